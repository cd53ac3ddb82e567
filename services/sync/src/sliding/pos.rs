//! The token of a sliding-sync connection.

use std::{fmt, str::FromStr};

use linkspan_inbox::{BadToken, SyncToken};

/// Up to where a connection has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pos {
    /// Which connection of this name.
    pub generation: u64,
    /// What has been told.
    pub token: SyncToken,
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.token, self.generation)
    }
}

impl FromStr for Pos {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let (token, generation) = text.split_once('.').ok_or(BadToken)?;
        Ok(Self { generation: generation.parse().map_err(|_| BadToken)?, token: token.parse()? })
    }
}
