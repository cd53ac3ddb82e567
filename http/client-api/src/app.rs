//! What endpoints call: the services.

use std::{
    ops::Deref,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use linkspan_accounts::Accounts;
use linkspan_directory::Directory;
use linkspan_inbox::Inbox;
use linkspan_keys::Keys;
use linkspan_lifecycle::Lifecycle;
use linkspan_media::Media;
use linkspan_oauth::OAuth;
use linkspan_platforms::Platforms;
use linkspan_push::Push;
use linkspan_rooms::Rooms;
use linkspan_sync::Sync;
use ruma::{MilliSecondsSinceUnixEpoch, UInt};

use crate::endpoints::filters::SyncFilters;

/// Handles on all services.
#[derive(Debug)]
pub struct Services {
    /// The hosted platforms.
    pub platforms: Arc<Platforms>,
    /// Accounts, devices, profiles, account data.
    pub accounts: Accounts,
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

/// All services, as endpoints get them: cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    services: Services,
    sync_filters: SyncFilters,
}

impl From<Services> for App {
    fn from(services: Services) -> Self {
        Self(Arc::new(Shared { services, sync_filters: SyncFilters::new() }))
    }
}

impl Deref for App {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0.services
    }
}

impl App {
    pub(crate) fn sync_filters(&self) -> &SyncFilters {
        &self.0.sync_filters
    }
}

/// A time of a record, as ruma has it; None: later than any time on the wire.
pub(crate) fn timestamp(ts: u64) -> Option<MilliSecondsSinceUnixEpoch> {
    UInt::new(ts).map(MilliSecondsSinceUnixEpoch)
}

/// Milliseconds since the Unix epoch.
pub fn now_ts() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
