//! All services over one store: how they begin, and what comes to an end in several of them at once.
//!
//! It stands above all other services and stores nothing itself. Each service removes its own rows; what is decided
//! here is only the order, and that a step which a stop interrupted is done again.

mod census;
mod departure;
mod room_media;
mod services;
mod sweeps;

use linkspan_accounts::AccountsError;
use linkspan_contacts::ContactsError;
use linkspan_keys::KeysError;
use linkspan_matching::MatchingError;
use linkspan_media::MediaError;
use linkspan_oauth::OAuthError;
use linkspan_push::PushError;
use linkspan_rooms::RoomsError;
use linkspan_storage::StorageError;
use linkspan_sync::SyncError;

pub use census::{Census, Totals};
pub use room_media::RoomMediaStep;
pub use services::{Services, accounts};

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
