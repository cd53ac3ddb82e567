//! Address books, matched without being handed over: who in a book is on one of the hosted platforms.
//!
//! It owns a key, and an entry for each address by which everybody may find somebody. Where the entry
//! lies follows from the address and the key by an oblivious pseudo-random function, and so does what seals
//! it (`libs/matching-rs` has the protocol). Apps have addresses evaluated that they have blinded, and fetch
//! whole buckets of entries, so this service learns neither the addresses nor who was found. Why it is so,
//! and what it does not protect against, is in `docs/decisions/0017-address-book-matching.md`.
//!
//! Whose address is whose is the accounts service's business, which tells [`Index`] of each change in the
//! write-set that makes it.

mod ask;
mod fill;
mod hashes;
mod index;
mod key;
mod usage;

use std::{fmt, thread, time::Duration};

pub use hashes::Hashed;
pub use index::Index;
use linkspan_accounts::{Accounts, AccountsError};
use linkspan_platforms::{Limited, NamedShares, NotDone, Shares, WaitingLimits};
use linkspan_storage::{
    StorageError, Store, WriteSet,
    catalogue::{MatchingUses, UserKey},
};
use ruma::OwnedUserId;
pub use usage::{BUCKETS_PER_DAY, ELEMENTS_PER_DAY};

/// How many requests wait to be evaluated. An app sends one after the other, each of some milliseconds.
const WAITING: WaitingLimits = WaitingLimits { per_who: 8, per_platform: 256, in_all: 1_024 };

/// Matching failed.
#[derive(Debug, thiserror::Error)]
pub enum MatchingError {
    /// A value is not what it has to be; the text says which, and may be shown to anybody.
    #[error("{0}")]
    Invalid(String),
    /// The pepper is not the present one.
    #[error("there is another pepper by now: ask for the details of hashing again")]
    OtherPepper,
    /// The key or the number of buckets is not the one that the caller was told of.
    #[error("there is another key or another number of buckets by now: ask for the parameters again")]
    Changed,
    /// The caller has asked for too much today.
    #[error("too much was asked for today")]
    Limited {
        /// When the next day begins.
        retry_after: Duration,
    },
    /// Too many ask at the same time.
    #[error(transparent)]
    Busy(#[from] Limited),
    /// The accounts service refused or failed.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Elements could not be evaluated.
    #[error(transparent)]
    NotDone(#[from] NotDone),
}

pub(crate) type Result<T> = std::result::Result<T, MatchingError>;

/// Matching for the people of all platforms. Clones are the same.
#[derive(Clone)]
pub struct Matching {
    store: Store,
    index: Index,
    accounts: Accounts,
    /// The places at which elements are evaluated, which takes a core for some milliseconds. Half of the cores are left
    /// to others.
    places: Shares,
}

impl fmt::Debug for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Matching")
    }
}

impl Matching {
    /// Matching by an index, which the accounts have been told to keep.
    pub fn new(store: Store, index: Index, accounts: Accounts) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { store, index, accounts, places: Shares::new(cores / 2, WAITING) }
    }

    /// The places that its work shares, for operators.
    pub fn shares(&self) -> NamedShares {
        ("matching", self.places.clone())
    }

    /// Removes what is kept of a user who is deactivated. The user's entries go with the addresses, as the
    /// accounts service removes them.
    pub async fn remove_user(&self, user_id: &OwnedUserId) -> Result<()> {
        let key = UserKey { user_id: user_id.clone() };
        let mut writes = WriteSet::new();
        writes.delete::<MatchingUses>(&key);
        self.store.commit(writes).await.map_err(StorageError::from)?;
        Ok(())
    }
}
