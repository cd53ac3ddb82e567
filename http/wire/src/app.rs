//! What endpoints call: the services.

use std::{ops::Deref, sync::Arc};

use linkspan_accounts::Accounts;
use linkspan_contacts::Contacts;
use linkspan_directory::Directory;
use linkspan_inbox::Inbox;
use linkspan_keys::Keys;
use linkspan_lifecycle::Lifecycle;
use linkspan_matching::Matching;
use linkspan_media::Media;
use linkspan_oauth::OAuth;
use linkspan_platforms::Platforms;
use linkspan_push::Push;
use linkspan_rooms::Rooms;
use linkspan_sync::Sync;

/// Handles on all services.
#[derive(Debug)]
pub struct Services {
    /// The hosted platforms.
    pub platforms: Arc<Platforms>,
    /// Accounts, devices, profiles, account data.
    pub accounts: Accounts,
    /// Who of an address book is here.
    pub matching: Matching,
    /// Whom users know, and who may reach them.
    pub contacts: Contacts,
    /// Logging in by OAuth 2.0.
    pub oauth: OAuth,
    /// Inboxes.
    pub inbox: Inbox,
    /// Finding people.
    pub directory: Directory,
    /// Rooms.
    pub rooms: Rooms,
    /// Keys for end-to-end encryption.
    pub keys: Keys,
    /// Push rules, pushers, unread counts.
    pub push: Push,
    /// What is new for clients.
    pub sync: Sync,
    /// Uploads, downloads, thumbnails.
    pub media: Media,
    /// The end of accounts and devices.
    pub lifecycle: Lifecycle,
}

/// All services, as endpoints get them. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Services>);

impl From<Services> for App {
    fn from(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}
