//! End-to-end encryption keys: what devices and users publish so that others can encrypt to them.
//! <https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption>
//!
//! Whatever changes a user's devices or identity puts a pointer into the inbox of everybody who shares a room
//! with the user, in the same write-set. A one-time key is handed out by the write-set that removes it.
//!
//! This crate never sees a secret: backups and dehydrated devices are encrypted by clients. It does not know
//! what is said in rooms.

mod backup;
mod claim;
mod cross_signing;
mod dehydrated;
mod device_keys;
mod device_lists;
mod one_time_keys;
mod query;
mod signed_json;

use std::sync::Arc;

use linkspan_accounts::{Accounts, AccountsError};
use linkspan_inbox::Inbox;
use linkspan_platforms::Platforms;
use linkspan_rooms::{Rooms, RoomsError};
use linkspan_storage::{CacheSize, StorageError, Store};

pub use backup::{BackedUpKey, BackupState, BackupVersion, Which};
pub use claim::Wanted;
pub(crate) use cross_signing::Usage;
pub use cross_signing::{Identity, SignatureFailures};
pub use dehydrated::DehydratedDevice;
pub use device_lists::DeviceListChanges;
pub use one_time_keys::{OneTimeKey, Remaining, Upload};
pub use query::QueriedKeys;

/// Why something about keys was not done.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The request does not have the right shape, or contradicts itself or its sender.
    #[error("{0}")]
    BadJson(String),
    /// A value does not fit what is there already.
    #[error("{0}")]
    Invalid(String),
    /// A cross-signing key has the name of a device.
    #[error("the key is the same as the id of a device")]
    NamedLikeDevice,
    /// A value that is needed is missing.
    #[error("{0}")]
    Missing(&'static str),
    /// A signature is missing or wrong.
    #[error("{0}")]
    BadSignature(String),
    /// The user has another identity already. Further proof is needed to replace it.
    #[error("this replaces the cross-signing keys of the account")]
    ReplacesIdentity,
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(&'static str),
    /// The backup is not at the version named.
    #[error("the newest version of the backup is {current}")]
    WrongBackupVersion {
        /// The number of the newest version.
        current: u64,
    },
    /// Something is larger than a limit allows.
    #[error("{0}")]
    TooLarge(String),
    /// The user has as many of these as one may have. It is 403 `M_FORBIDDEN`, as for accounts.
    #[error("there are too many {0}")]
    TooMany(&'static str),
    /// Accounts failed.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Rooms failed.
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

pub(crate) type Result<T> = std::result::Result<T, KeysError>;

/// The keys of all hosted users. Clones are the same keys.
#[derive(Clone, Debug)]
pub struct Keys {
    store: Store,
    platforms: Arc<Platforms>,
    accounts: Accounts,
    rooms: Rooms,
    inbox: Inbox,
    shared: Arc<Shared>,
}

/// What is kept in memory only.
#[derive(Debug)]
struct Shared {
    counts: one_time_keys::Counts,
    /// One-time keys that are being handed out.
    reserved: claim::ReservedRows,
}

impl Keys {
    /// The keys in a store.
    pub fn new(
        store: Store,
        platforms: Arc<Platforms>,
        accounts: Accounts,
        rooms: Rooms,
        inbox: Inbox,
    ) -> Self {
        let shared =
            Shared { counts: one_time_keys::new_counts(&store), reserved: claim::ReservedRows::default() };
        Self { store, platforms, accounts, rooms, inbox, shared: Arc::new(shared) }
    }

    /// What is kept in memory, by name, for operators.
    pub fn cache_sizes(&self) -> [(&'static str, CacheSize); 1] {
        [("key_counts", self.shared.counts.size())]
    }
}
