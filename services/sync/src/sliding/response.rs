//! What a client is answered on a sliding-sync connection. It does not depend on the form on the wire.

use std::collections::BTreeMap;

use linkspan_push::ThreadChanges;
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};

use super::Pos;
use crate::{Event, response::size_bytes};

/// An answer.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct SlidingResponse {
    pub pos: Pos,
    /// The number of rooms in each list.
    pub lists: BTreeMap<String, u64>,
    pub rooms: BTreeMap<OwnedRoomId, SlidingRoom>,
    pub extensions: ExtensionNews,
}

/// The news of a room. A field that is None has not changed.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct SlidingRoom {
    /// Whether everything is told anew.
    pub initial: bool,
    /// Whether the timeline has events from before those that were sent last.
    pub expanded_timeline: bool,
    pub membership: Option<MembershipState>,
    /// The lists that it is in.
    pub lists: Vec<String>,
    pub name: Option<Option<String>>,
    pub avatar: Option<Option<String>>,
    pub heroes: Option<Vec<Hero>>,
    pub is_dm: Option<bool>,
    /// The stripped state of a room that the user is invited to or knocks on.
    pub stripped_state: Option<Vec<Event>>,
    pub required_state: Vec<Event>,
    pub timeline: Vec<Event>,
    pub prev_batch: Option<String>,
    pub limited: bool,
    /// How many events at the end of the timeline have just happened.
    pub num_live: Option<u64>,
    pub joined_count: Option<u64>,
    pub invited_count: Option<u64>,
    pub notification_count: Option<u64>,
    pub highlight_count: Option<u64>,
    pub bump_stamp: Option<u64>,
}

impl SlidingRoom {
    /// About how many bytes its events have.
    pub(super) fn size_bytes(&self) -> usize {
        let stripped = self.stripped_state.iter().flatten();
        size_bytes(self.required_state.iter().chain(&self.timeline).chain(stripped))
    }
}

/// Somebody who names a room without a name.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Hero {
    pub user_id: OwnedUserId,
    pub name: Option<String>,
    pub avatar: Option<String>,
}

/// The news that is not of rooms. A field that is None was not asked for.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct ExtensionNews {
    pub to_device: Option<ToDeviceNews>,
    pub e2ee: Option<E2eeNews>,
    pub account_data: Option<AccountDataNews>,
    pub receipts: BTreeMap<OwnedRoomId, Event>,
    pub typing: BTreeMap<OwnedRoomId, Event>,
    pub thread_subscriptions: ThreadChanges,
}

/// Messages to the device.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct ToDeviceNews {
    pub next_batch: u64,
    pub events: Vec<Event>,
}

/// Changes of device lists, and the keys that the device has left on the server.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct E2eeNews {
    pub changed: Vec<OwnedUserId>,
    pub left: Vec<OwnedUserId>,
    pub one_time_keys: BTreeMap<String, u64>,
    pub unused_fallback: Vec<String>,
}

/// Account data that has changed.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct AccountDataNews {
    pub global: Vec<Event>,
    pub rooms: BTreeMap<OwnedRoomId, Vec<Event>>,
}

impl ExtensionNews {
    /// Whether there is nothing in it that a client would want to be woken for.
    pub(crate) fn is_empty(&self) -> bool {
        self.to_device.as_ref().is_none_or(|news| news.events.is_empty())
            && self.e2ee.as_ref().is_none_or(|news| news.changed.is_empty() && news.left.is_empty())
            && self.account_data.as_ref().is_none_or(|news| news.global.is_empty() && news.rooms.is_empty())
            && self.receipts.is_empty()
            && self.typing.is_empty()
            && self.thread_subscriptions == ThreadChanges::default()
    }
}
