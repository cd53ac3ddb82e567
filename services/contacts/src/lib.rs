//! Whom each user knows, who may reach the user and who may find the user: contacts, and the choices that say how
//! others come through.
//!
//! A contact is somebody whom the user has accepted, or has written to first. That happens in rooms, so it is
//! the rooms service that says it, and adds the contact to the write-set of the membership that it follows
//! from. What somebody's choices mean for an invitation is asked at the door of rooms. This crate does not
//! know rooms.

mod card;
mod choices;
mod contact;

use std::sync::Arc;

use linkspan_accounts::{Accounts, AccountsError};
use linkspan_domain::Source;
use linkspan_platforms::Platforms;
use linkspan_storage::{CacheSize, Limits, Rows, StorageError, Store, catalogue::Contacts as ContactsTable};
use ruma::UserId;

pub use card::{Card, CardAccount};
pub use choices::Choices;
pub use contact::{Contact, How, MAX_CONTACTS};

/// Contacts that are kept in memory, those included who were asked about and are none.
const CACHED_CONTACTS: Limits = Limits { entries: 100_000, weight: 100_000 };

/// Something about contacts failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[allow(missing_docs)]
pub enum ContactsError {
    Accounts(#[from] AccountsError),
    Storage(#[from] StorageError),
}

pub(crate) type Result<T> = std::result::Result<T, ContactsError>;

/// The contacts and choices of all hosted users. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Contacts {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    platforms: Arc<Platforms>,
    accounts: Accounts,
    contacts: Rows<ContactsTable>,
    choices: choices::KeptChoices,
}

impl Contacts {
    /// The contacts in a store.
    pub fn new(store: Store, platforms: Arc<Platforms>, accounts: Accounts) -> Self {
        let contacts = Rows::new(&store, CACHED_CONTACTS, |_| 1);
        let choices = choices::new_choices(&store);
        Self { shared: Arc::new(Shared { store, platforms, accounts, contacts, choices }) }
    }

    /// What is kept in memory, by name, for operators.
    pub fn cache_sizes(&self) -> [(&'static str, CacheSize); 2] {
        [("contacts", self.shared.contacts.size()), ("contact_choices", self.shared.choices.size())]
    }

    /// Where somebody comes from, as a hosted user sees it.
    pub fn source(&self, user_id: &UserId, other: &UserId) -> Source {
        if user_id.server_name() == other.server_name() {
            Source::OwnPlatform
        } else if self.shared.platforms.hosts(other.server_name()) {
            Source::HostedPlatform
        } else {
            Source::OtherServer
        }
    }
}
