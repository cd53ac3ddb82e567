//! What comes to an end in several services at once: accounts, devices, and whatever grows old.
//!
//! It stands above all other services and keeps nothing itself. Each service removes its own rows; what is decided
//! here is only the order, and that a step which a stop interrupted is done again.

mod departure;
mod sweeps;

use std::sync::Arc;

use linkspan_accounts::{Accounts, AccountsError};
use linkspan_contacts::{Contacts, ContactsError};
use linkspan_inbox::Inbox;
use linkspan_keys::{Keys, KeysError};
use linkspan_matching::{Matching, MatchingError};
use linkspan_media::{Media, MediaError};
use linkspan_oauth::{OAuth, OAuthError};
use linkspan_platforms::Platforms;
use linkspan_push::{Push, PushError};
use linkspan_rooms::{Rooms, RoomsError};
use linkspan_storage::StorageError;
use linkspan_sync::{Sync, SyncError};

/// The services in which something ends. Clones are the same ones.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Lifecycle {
    pub platforms: Arc<Platforms>,
    pub accounts: Accounts,
    pub matching: Matching,
    pub contacts: Contacts,
    pub oauth: OAuth,
    pub inbox: Inbox,
    pub rooms: Rooms,
    pub keys: Keys,
    pub push: Push,
    pub sync: Sync,
    pub media: Media,
}

/// One of the services failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[allow(missing_docs)]
pub enum LifecycleError {
    Accounts(#[from] AccountsError),
    Matching(#[from] MatchingError),
    Contacts(#[from] ContactsError),
    OAuth(#[from] OAuthError),
    Rooms(#[from] RoomsError),
    Keys(#[from] KeysError),
    Push(#[from] PushError),
    Sync(#[from] SyncError),
    Media(#[from] MediaError),
    Storage(#[from] StorageError),
}

pub(crate) type Result<T> = std::result::Result<T, LifecycleError>;
