//! Sync, which tells a client what is new since its token.
//!
//! An incremental sync reads the pointers in the user's inbox after the token and looks only at what they
//! point at, so its cost is that of what is new. While there is nothing, it waits in the inbox's wake-ups.
//!
//! An answer that becomes large is not made as a whole: its rooms are made while it is sent ([`Pieces`]).
//!
//! This crate writes what a connection of sliding sync was sent ([`SlidingRequest`]), and it removes the
//! messages to devices that a client has acknowledged. It writes no event.

mod changes;
mod filter;
mod format;
mod members;
mod pieces;
mod response;
mod room;
mod sliding;
mod timing;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use linkspan_accounts::{Accounts, AccountsError, TokenHash};
use linkspan_inbox::{Inbox, SyncToken, Waiter};
use linkspan_keys::{DeviceListChanges, Keys, KeysError};
use linkspan_platforms::{Limited, Platforms, give_way, let_others_run};
use linkspan_push::{Push, PushError};
use linkspan_rooms::{IgnoredUsers, Rooms, RoomsError};
use linkspan_storage::{CacheSize, Position, StorageError, Store};
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use timing::Timing;

pub use filter::{FurtherFilters, ParsedFilters, SyncFilter};
pub use pieces::Pieces;
pub use response::*;
pub use sliding::*;

use crate::{changes::RoomChange, pieces::SyncedRoom};

/// An answer whose rooms have about so many bytes is large, and its rest is made while it is sent.
const WHOLE_BYTES: usize = 1 << 20;
/// The longest time that a client may wait.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// Why a sync failed.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The token of a connection is not one of this server, or not its newest one.
    #[error("this connection is not known; begin anew")]
    UnknownPos,
    /// The request has more lists or subscriptions than it may.
    #[error("a request has at most 100 lists and 100 subscriptions")]
    TooMany,
    /// More is asked for of a room than an answer has.
    #[error(
        "an answer has no more than 64 MiB of a room's state: ask for its members with `$LAZY`, or for fewer types"
    )]
    TooLarge,
    /// Too much long work waits already.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// Rooms failed.
    #[error(transparent)]
    Rooms(#[from] RoomsError),
    /// Accounts failed.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// Keys failed.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Counting unread messages, or push rules, failed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

pub(crate) type Result<T> = std::result::Result<T, SyncError>;

/// Whether a client wants the state after the timeline, and under which name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateAfter {
    /// The client wants the state before the timeline.
    #[default]
    No,
    /// The client wants it as `state_after`.
    Stable,
    /// The client wants it under the name from before it was specified.
    Unstable,
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The hash of the access token: the request is good for as long as its session is.
    pub token_hash: TokenHash,
    /// The token of the last answer. Without it, everything is new.
    pub since: Option<SyncToken>,
    /// What the client wants to know.
    pub filter: Arc<SyncFilter>,
    /// Whether the whole state of all rooms is wanted.
    pub full_state: bool,
    /// How long the client waits for news.
    pub timeout: Duration,
    /// Which state the client wants.
    pub state_after: StateAfter,
    /// Whether the user's platform shows presence.
    pub presence: bool,
}

/// The answer to a sync.
#[derive(Debug)]
pub enum SyncAnswer {
    /// All of it.
    Whole(Box<SyncResponse>),
    /// It is large, and is made while it is sent.
    Pieces(Box<Pieces>),
}

/// The syncs of all users. Clones share their state.
#[derive(Clone, Debug)]
pub struct Sync {
    platforms: Arc<Platforms>,
    rooms: Rooms,
    accounts: Accounts,
    inbox: Inbox,
    keys: Keys,
    push: Push,
    sent_members: Arc<members::SentMembers>,
    store: Store,
    connections: Arc<Connections>,
    room_types: Arc<RoomTypes>,
    parsed_filters: Arc<ParsedFilters>,
}

/// A request, with what is found out once for all its rooms.
#[derive(Debug)]
pub(crate) struct Ask {
    request: Arc<SyncRequest>,
    now_ts: u64,
    since: Option<SyncToken>,
    until: SyncToken,
    filter: Arc<SyncFilter>,
    ignored: IgnoredUsers,
    /// Rooms in which who types has changed.
    typing: Vec<OwnedRoomId>,
    /// About how many bytes the timelines of the answer have so far.
    timeline_bytes: AtomicUsize,
    /// A part of the answer is on its way already. It is not broken off for work that waits, and what it has of members is
    /// not noted, because the client may never come to have it.
    is_being_sent: bool,
}

impl Ask {
    /// Lets others run, and waits for its turn.
    async fn give_way(&self) -> Result<()> {
        match give_way().await {
            Err(_) if self.is_being_sent => {
                let_others_run().await;
                Ok(())
            }
            gave_way => Ok(gave_way?),
        }
    }

    /// The position up to which commits were told before.
    fn since_position(&self) -> Position {
        self.since.map_or(Position::ZERO, |since| since.position)
    }

    fn wants_room(&self, room_id: &OwnedRoomId) -> bool {
        let filter = &self.filter.definition.room;
        filter.rooms.as_ref().is_none_or(|rooms| rooms.contains(room_id))
            && !filter.not_rooms.contains(room_id)
    }
}

impl Sync {
    /// Makes the syncs over these services.
    pub fn new(
        store: Store,
        platforms: Arc<Platforms>,
        rooms: Rooms,
        accounts: Accounts,
        inbox: Inbox,
        keys: Keys,
        push: Push,
    ) -> Self {
        let sent_members = Arc::new(members::SentMembers::new());
        let connections = Connections::watching(&store);
        let room_types = Arc::new(RoomTypes::new());
        let parsed_filters = Arc::new(ParsedFilters::new());
        Self {
            platforms,
            rooms,
            accounts,
            inbox,
            keys,
            push,
            sent_members,
            store,
            connections,
            room_types,
            parsed_filters,
        }
    }

    /// What is kept in memory, by name, for operators.
    pub fn cache_sizes(&self) -> [(&'static str, CacheSize); 4] {
        [
            ("sent_members", self.sent_members.size()),
            ("sliding_connections", self.connections.size()),
            ("room_types", self.room_types.size()),
            ("filters", self.parsed_filters.size()),
        ]
    }

    /// The filters of syncs that were parsed lately.
    pub fn parsed_filters(&self) -> &ParsedFilters {
        &self.parsed_filters
    }

    /// Answers a sync. It answers at once if there is news or everything is asked for; otherwise it waits
    /// until there is news or the time is up. `clock` says milliseconds since the Unix epoch.
    pub async fn sync(&self, request: &Arc<SyncRequest>, clock: impl Fn() -> u64) -> Result<SyncAnswer> {
        let SyncRequest { user_id, device_id, token_hash, .. } = &**request;
        let waiter = self.inbox.waiter(user_id);
        let mut timing = self.timing(user_id);
        let response = self.wait_for_news(request, &waiter, &mut timing, clock).await;
        waiter.own_requests_answered().await;
        self.accounts.check_session(user_id, device_id, *token_hash).await?;
        response
    }

    async fn wait_for_news(
        &self,
        request: &Arc<SyncRequest>,
        waiter: &Waiter,
        timing: &mut Timing,
        clock: impl Fn() -> u64,
    ) -> Result<SyncAnswer> {
        let SyncRequest { user_id, device_id, token_hash, since, .. } = &**request;
        if let Some(since) = since {
            self.inbox.acknowledge_to_device(user_id, device_id, since.position).await?;
        }
        let token = since.map(|since| since.to_string());
        self.sent_members.begin(device_id, user_id, token.as_deref());
        let deadline = tokio::time::Instant::now() + request.timeout.min(MAX_TIMEOUT);
        let asked_for_news = since.is_some() && !request.full_state && !request.timeout.is_zero();
        if asked_for_news {
            self.inbox.gather().await;
        }
        loop {
            // From here on news wakes us, also what comes while we look.
            let changed = waiter.changed();
            // This is boxed so that a client that waits keeps nothing of what building an answer needs.
            let (answer, token) = Box::pin(self.build(request, waiter, clock())).await?;
            let response = match answer {
                SyncAnswer::Whole(response) => response,
                // There is news in it, and the members in it are noted by nobody.
                pieces @ SyncAnswer::Pieces(_) => return Ok(pieces),
            };
            let wait = asked_for_news
                && response.is_empty()
                && !self.inbox.is_stopping()
                && self.accounts.check_session(user_id, device_id, *token_hash).await.is_ok();
            let news = tokio::time::timeout_at(deadline, changed);
            if !wait || timing.wait(news).await.is_err() {
                self.sent_members.finish(device_id, user_id, token.to_string());
                return Ok(SyncAnswer::Whole(response));
            }
        }
    }

    async fn build(
        &self,
        request: &Arc<SyncRequest>,
        waiter: &Waiter,
        now_ts: u64,
    ) -> Result<(SyncAnswer, SyncToken)> {
        let mut until = self.inbox.now();
        let (messages, complete) =
            self.rooms.to_device(&request.user_id, &request.device_id, until.position).await?;
        // What a token acknowledges must all have been handed over before.
        until.position = complete;
        let since = request.since.map(|since| SyncToken {
            position: since.position.min(until.position),
            // A token with an epoch from the future is from before the clock was set back.
            epoch: since.epoch.min(until.epoch),
        });
        let ask = self.ask(request, since, until, waiter, now_ts).await?;
        let mut response = SyncResponse { next_batch: until.to_string(), ..SyncResponse::default() };
        response.to_device.events =
            messages.into_iter().filter_map(|message| changes::raw(message.json)).collect();
        let mut changes = self.find_changes(&ask).await?;
        self.add_account_data(&ask, &changes, &mut response).await?;
        self.add_presence(&ask, waiter, &changes, &mut response).await?;
        let DeviceListChanges { changed, left } = self.device_list_changes(&ask, &changes).await?;
        response.device_lists = DeviceLists { changed, left };
        let remaining = self.keys.remaining(&request.user_id, &request.device_id).await?;
        response.device_one_time_keys_count = remaining.one_time.clone();
        response.device_unused_fallback_key_types = remaining.unused_fallback.clone();
        let mut bytes = 0;
        let mut rooms = std::mem::take(&mut changes.rooms).into_iter();
        while let Some((room_id, change)) = rooms.next() {
            let Some(mut room) = self.wanted_room(&ask, &room_id, &change).await? else { continue };
            bytes += room.size_bytes();
            let rest = room.take_rest();
            if rest.is_some() || bytes >= WHOLE_BYTES {
                let pieces = self.begin_pieces(ask, response, (room_id, room, rest), rooms.collect()).await?;
                return Ok((SyncAnswer::Pieces(Box::new(pieces)), until));
            }
            response.rooms.add(room_id, room);
        }
        Ok((SyncAnswer::Whole(Box::new(response)), until))
    }

    /// A room in an answer, if the client wants it and there is something to tell of it.
    async fn wanted_room(
        &self,
        ask: &Ask,
        room_id: &OwnedRoomId,
        change: &RoomChange,
    ) -> Result<Option<SyncedRoom>> {
        ask.give_way().await?;
        if ask.wants_room(room_id) && self.is_of_wanted_platforms(ask, room_id).await? {
            self.synced_room(ask, room_id, change).await
        } else {
            Ok(None)
        }
    }

    /// Finds out what all rooms of an answer need.
    async fn ask(
        &self,
        request: &Arc<SyncRequest>,
        since: Option<SyncToken>,
        until: SyncToken,
        waiter: &Waiter,
        now_ts: u64,
    ) -> Result<Ask> {
        let ignored = self.rooms.ignored_users(&request.user_id).await?;
        let mut typing = since.map(|since| waiter.typing_since(since.epoch)).unwrap_or_default();
        if let Some(since) = since.filter(|_| !ignored.is_empty()) {
            typing.retain(|room_id| self.inbox.typing_changed_besides(&ignored, room_id, since.epoch));
        }
        let (request, filter) = (request.clone(), request.filter.clone());
        let (timeline_bytes, is_being_sent) = (AtomicUsize::new(0), false);
        Ok(Ask { request, now_ts, since, until, filter, ignored, typing, timeline_bytes, is_being_sent })
    }
}
