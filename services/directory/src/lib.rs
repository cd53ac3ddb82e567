//! How people and rooms are found: the words of users' names and handles, room aliases, and lists of public rooms.
//!
//! A function that changes something adds to a write-set of the caller, so that the change is committed
//! together with what it follows from. The rooms service decides who may set an alias or list a room. This
//! crate knows neither rooms nor accounts.

mod aliases;
mod lists;
mod public_rooms;
mod users;
mod words;

use std::sync::Arc;

use linkspan_platforms::Platforms;
use linkspan_storage::{StorageError, Store};

/// Something about the directory failed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The alias points at a room already.
    #[error("this alias is taken")]
    AliasTaken,
    /// The alias points nowhere.
    #[error("there is no such alias")]
    NoSuchAlias,
    /// The alias is not well formed.
    #[error("an alias has at most 255 bytes and no NUL")]
    BadAlias,
    /// The alias belongs to another platform than the user who sets it, or to a platform that is not hosted.
    #[error("aliases can be set on one's own platform only")]
    ForeignAlias,
    /// The room has as many aliases of this platform as it may have.
    #[error("this room has too many aliases")]
    TooManyAliases,
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The directory of all platforms. Clones are the same directory.
#[derive(Clone, Debug)]
pub struct Directory {
    store: Store,
    platforms: Arc<Platforms>,
}

impl Directory {
    /// The directory in a store.
    pub fn new(store: Store, platforms: Arc<Platforms>) -> Self {
        Self { store, platforms }
    }
}
