//! Sync tokens.

use std::{fmt, str::FromStr};

use linkspan_storage::Position;

/// How far a client has been told: a position of the store, and an epoch of typing and presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncToken {
    /// The position up to which commits were told.
    pub position: Position,
    /// The epoch up to which changes of typing and presence were told.
    pub epoch: u64,
}

/// A string that is not a sync token.
#[derive(Debug, thiserror::Error)]
#[error("not a sync token")]
pub struct BadToken;

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}_{}", self.position, self.epoch)
    }
}

impl FromStr for SyncToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let (position, epoch) =
            text.strip_prefix('s').and_then(|rest| rest.split_once('_')).ok_or(BadToken)?;
        Ok(Self {
            position: Position::from_u64(position.parse().map_err(|_| BadToken)?),
            epoch: epoch.parse().map_err(|_| BadToken)?,
        })
    }
}
