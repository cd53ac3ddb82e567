//! End-to-end encryption keys: what devices and users publish so that others can encrypt to them.
//! <https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption>
//!
//! Whatever changes a user's devices or identity puts a pointer into the inbox of everybody who shares a room
//! with the user, in the same write-set. A one-time key is handed out by the write-set that removes it.
//!
//! This crate never sees a secret: backups and dehydrated devices are encrypted by clients. It does not know
//! what is said in rooms.

mod device_lists;
mod one_time_keys;

use linkspan_accounts::{Accounts, AccountsError};
use linkspan_rooms::{Rooms, RoomsError};
use linkspan_storage::{StorageError, Store};

pub use device_lists::DeviceListChanges;
pub use one_time_keys::Remaining;

/// Something about keys failed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A value is not what it has to be.
    #[error("{0}")]
    Invalid(String),
    /// A signature is missing or wrong.
    #[error("{0}")]
    BadSignature(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(&'static str),
    /// More than a limit allows.
    #[error("{0}")]
    TooLarge(String),
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
    accounts: Accounts,
    rooms: Rooms,
}

impl Keys {
    /// The keys in a store.
    pub fn new(store: Store, accounts: Accounts, rooms: Rooms) -> Self {
        Self { store, accounts, rooms }
    }
}
