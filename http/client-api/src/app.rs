//! What endpoints call: the services.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use linkspan_accounts::Accounts;
use linkspan_inbox::Inbox;
use linkspan_platforms::Platforms;
use linkspan_push::Push;

/// Handles on all services; cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// The hosted platforms.
    pub platforms: Arc<Platforms>,
    /// Accounts, devices, profiles, account data.
    pub accounts: Accounts,
    /// Inboxes.
    pub inbox: Inbox,
    /// Push rules, pushers, unread counts.
    pub push: Push,
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ts() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
