//! Push: which events notify whom, how many are unread, and the pushers that are told.
//!
//! Rules are kept as the account data `m.push_rules`, and asked when a user syncs or has a pusher, not
//! when a message is sent: an append knows nothing of them. Counts of unread events are counted on from
//! where they were counted to ([`Push::unread`]). Which threads a user follows is kept here, since rules ask for it
//! ([`Push::subscribe_thread`]). One task follows the feed and tells push gateways and push services
//! ([`Push::follow`]); nothing that it does holds up anybody else.
//!
//! This crate writes no event, receipt or membership, and knows no sync response.

mod badge;
mod delivery;
mod dispatch;
mod evaluation;
mod gateway;
mod glob;
mod message_encryption;
mod notifications;
mod pushers;
mod room_facts;
mod room_rules;
mod rules;
mod thread_subscriptions;
mod unread;
mod web_push;

use std::{fmt, sync::Arc, time::Duration};

use linkspan_accounts::{Accounts, AccountsError};
use linkspan_platforms::{NamedShares, Platforms};
use linkspan_rooms::{Rooms, RoomsError};
use linkspan_storage::{CacheSize, CommitError, StorageError, Store};

pub use evaluation::{Compiled, Evaluation, PushEvent, Recipient, RoomContext, UserContext};
pub use notifications::{Notification, NotificationPage};
pub use pushers::PusherState;
pub use room_rules::RoomRules;
pub use thread_subscriptions::{ThreadChange, ThreadChanges};
pub use unread::{Unread, UnreadCount};

/// Why something about push was not done.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is no such rule.
    #[error("there is no such push rule")]
    NoSuchRule,
    /// The user has no pusher of this application.
    #[error("there is no such pusher")]
    NoSuchPusher,
    /// No pusher of this application waits for this token.
    #[error("this token was not sent to a pusher, or has been given back")]
    UnknownAckToken,
    /// The token was sent too long ago.
    #[error("this token has expired: set the pusher again")]
    ExpiredAckToken,
    /// A parameter is not allowed.
    #[error("{0}")]
    Invalid(String),
    /// A rule cannot be placed, or its name is reserved for rules of the server.
    #[error("{0}")]
    Misplaced(String),
    /// There is no such thread, or the user may not see it or is not subscribed to it.
    #[error("{0}")]
    NoSuchThread(&'static str),
    /// The event that is said to have caused a subscription is not in the thread.
    #[error("the event is not in this thread")]
    NotInThread,
    /// The user has unsubscribed since the event that is said to have caused a subscription.
    #[error("the user has unsubscribed from this thread since")]
    ConflictingUnsubscription,
    /// Account data or a device could not be read.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The room could not be read.
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<CommitError> for PushError {
    fn from(error: CommitError) -> Self {
        Self::Storage(error.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, PushError>;

/// A clock. It says milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How notifications are sent.
#[derive(Clone)]
pub struct PushSettings {
    /// Whether push gateways and push services may have private, local or otherwise special addresses. It is false wherever
    /// users are not trusted with the server's own network.
    pub allow_private_gateways: bool,
    /// How long after its first failure a gateway or push service is tried again. Each further time is twice as long.
    pub first_retry: Duration,
    /// How long the badge waits after a user may have read something. What else the user reads meanwhile goes
    /// into the same update.
    pub badge_delay: Duration,
    /// The clock.
    pub clock: Clock,
}

impl PushSettings {
    /// The settings for a server that the world can reach.
    pub fn new(clock: Clock) -> Self {
        Self {
            allow_private_gateways: false,
            first_retry: Duration::from_secs(1),
            badge_delay: Duration::from_secs(3),
            clock,
        }
    }
}

impl fmt::Debug for PushSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushSettings")
            .field("allow_private_gateways", &self.allow_private_gateways)
            .field("first_retry", &self.first_retry)
            .field("badge_delay", &self.badge_delay)
            .finish_non_exhaustive()
    }
}

/// Push rules, pushers and unread counts of all hosted users. Clones share their state.
#[derive(Clone, Debug)]
pub struct Push {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    platforms: Arc<Platforms>,
    accounts: Accounts,
    rooms: Rooms,
    settings: PushSettings,
    rules: rules::RuleCache,
    pushers: Arc<pushers::PusherIndex>,
    unread: unread::UnreadCache,
    deliveries: Arc<delivery::Deliveries>,
    badges: badge::BadgeCache,
    dispatch: dispatch::Dispatch,
}

impl Push {
    /// Opens push over a store, and reads which users have pushers.
    pub async fn open(
        store: Store,
        platforms: Arc<Platforms>,
        accounts: Accounts,
        rooms: Rooms,
        settings: PushSettings,
    ) -> Result<Self> {
        let pushers = pushers::PusherIndex::load(&store).await?;
        let deliveries = delivery::Deliveries::watching(&store, gateway::Gateway::new(&settings));
        let rules = rules::RuleCache::new(&store);
        let shared = Shared {
            store,
            platforms,
            accounts,
            rooms,
            settings,
            rules,
            pushers,
            unread: unread::new_cache(),
            deliveries,
            badges: badge::new_cache(),
            dispatch: dispatch::Dispatch::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The places that its work shares, for operators.
    pub fn shares(&self) -> [NamedShares; 3] {
        self.shared.deliveries.shares()
    }

    /// What is kept in memory, by name, for operators.
    pub fn cache_sizes(&self) -> [(&'static str, CacheSize); 3] {
        let shared = &self.shared;
        [
            ("push_rules", shared.rules.size()),
            ("unread_counts", CacheSize::of(&shared.unread)),
            ("badges", CacheSize::of(&shared.badges)),
        ]
    }

    fn store(&self) -> &Store {
        &self.shared.store
    }

    fn rooms(&self) -> &Rooms {
        &self.shared.rooms
    }

    fn now_ts(&self) -> u64 {
        (self.shared.settings.clock)()
    }
}
