//! Accounts, devices, tokens, profiles and account data.
//!
//! This crate does not know rooms: what a changed profile or a deactivated account means there is
//! the rooms service's part.

mod session;

use linkspan_storage::{StorageError, Store};

pub use session::Session;

/// Something about an account failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The access token is not, or no longer, valid.
    #[error("unknown access token")]
    UnknownToken {
        /// It has expired; the device is still there.
        soft_logout: bool,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The accounts of all platforms. Clones are the same accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    store: Store,
}

impl Accounts {
    /// The accounts in a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}
