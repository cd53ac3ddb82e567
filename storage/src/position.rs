//! Positions: the order in which commits became durable.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Positions in an era; a power of two.
const ERA: u64 = 1 << 14;

/// The place of a commit in the order of all commits: the node that made it (top 8 bits) and its
/// sequence number on that node (low 56 bits). Positions of one node rise with every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(u64);

impl Position {
    /// This is before the first commit.
    pub const ZERO: Self = Self(0);
    /// Stands in a key or value for the position that the commit will get; the commit fills it in.
    pub const PENDING: Self = Self(u64::MAX);

    /// The position `sequence` of `node`.
    pub fn new(node: u8, sequence: u64) -> Self {
        Self((u64::from(node) << 56) | (sequence & ((1 << 56) - 1)))
    }

    /// The position as one number, as it stands in tokens and on disk.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The position that `get` gave the number of.
    pub fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// The first position of its era: 16,384 positions of a node that some rows do not tell apart.
    pub fn era(self) -> Self {
        Self(self.0 & !(ERA - 1))
    }

    /// The sequence number on its node; that of the first commit is 1.
    pub fn sequence(self) -> u64 {
        self.0 & ((1 << 56) - 1)
    }

    /// The next position of the same node. [`Position::PENDING`], which clients may send in a made-up
    /// token, stays what it is.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
