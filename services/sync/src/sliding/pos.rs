//! The token of a sliding-sync connection.

use std::{fmt, str::FromStr};

use linkspan_inbox::{BadToken, SyncToken};

/// The place up to which a connection has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pos {
    /// A number that tells the connection from earlier ones of the same name.
    pub generation: u64,
    /// The number of the answer on the connection, counted from 1.
    pub answer: u64,
    /// The token up to which everything was told.
    pub token: SyncToken,
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.token, self.generation, self.answer)
    }
}

impl FromStr for Pos {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let (token, numbers) = text.split_once('.').ok_or(BadToken)?;
        let (generation, answer) = numbers.split_once('.').ok_or(BadToken)?;
        let number = |text: &str| text.parse().map_err(|_| BadToken);
        Ok(Self { generation: number(generation)?, answer: number(answer)?, token: token.parse()? })
    }
}
