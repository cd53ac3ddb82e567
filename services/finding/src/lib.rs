//! Finding people: by words of their names, by handle, by a whole user id, by the exact number or e-mail address.
//!
//! Who has which name or address the services below know, and the rooms service says who may find whom
//! ([`Rooms::may_find`]). Here both come together, for whoever looks for somebody. There is no table.
//!
//! Whoever is hidden from the finder is treated as if there were nobody: the same is read for both, and the same is
//! answered.

mod find;
mod look_up;
mod search;

use std::sync::Arc;

use linkspan_accounts::{Accounts, AccountsError};
use linkspan_contacts::{Contacts, ContactsError};
use linkspan_directory::Directory;
use linkspan_matching::{Matching, MatchingError};
use linkspan_platforms::Platforms;
use linkspan_rooms::{Rooms, RoomsError};
use linkspan_storage::StorageError;
use ruma::OwnedUserId;
use serde_json::Value;

pub use find::Wanted;

/// Looking for somebody failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[allow(missing_docs)]
pub enum FindingError {
    Accounts(#[from] AccountsError),
    Contacts(#[from] ContactsError),
    Matching(#[from] MatchingError),
    Rooms(#[from] RoomsError),
    Storage(#[from] StorageError),
}

pub(crate) type Result<T> = std::result::Result<T, FindingError>;

/// Somebody who was found, as others see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPerson {
    /// Who.
    pub user_id: OwnedUserId,
    /// The name that the person shows.
    pub display_name: Option<String>,
    /// The URL of the person's picture.
    pub avatar_url: Option<String>,
}

/// Finding people on all platforms. Clones are the same.
#[derive(Clone, Debug)]
pub struct Finding {
    platforms: Arc<Platforms>,
    accounts: Accounts,
    matching: Matching,
    contacts: Contacts,
    directory: Directory,
    rooms: Rooms,
}

impl Finding {
    /// Finding people by what these services know.
    pub fn new(
        platforms: Arc<Platforms>,
        accounts: Accounts,
        matching: Matching,
        contacts: Contacts,
        directory: Directory,
        rooms: Rooms,
    ) -> Self {
        Self { platforms, accounts, matching, contacts, directory, rooms }
    }

    async fn show(&self, people: Vec<OwnedUserId>) -> Result<Vec<FoundPerson>> {
        let mut shown = Vec::with_capacity(people.len());
        for user_id in people {
            let text = async |field: &str| {
                let value = self.accounts.profile_field(&user_id, field).await?;
                Ok::<_, AccountsError>(value.as_ref().and_then(Value::as_str).map(str::to_owned))
            };
            let (display_name, avatar_url) = (text("displayname").await?, text("avatar_url").await?);
            shown.push(FoundPerson { user_id, display_name, avatar_url });
        }
        Ok(shown)
    }
}
