//! The answer to a sync. It serializes to what goes over the wire.
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync>

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{pieces::SyncedRoom, room::RestOfState};

/// An event as JSON.
pub type Event = Box<RawValue>;

/// What is new for a client.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct SyncResponse {
    pub next_batch: String,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub account_data: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub presence: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub to_device: Events,
    #[serde(skip_serializing_if = "SyncedRooms::is_empty")]
    pub rooms: SyncedRooms,
    #[serde(skip_serializing_if = "DeviceLists::is_empty")]
    pub device_lists: DeviceLists,
    pub device_one_time_keys_count: BTreeMap<String, u64>,
    pub device_unused_fallback_key_types: Vec<String>,
}

impl SyncResponse {
    /// Whether there is nothing new.
    pub fn is_empty(&self) -> bool {
        self.account_data.is_empty()
            && self.presence.is_empty()
            && self.to_device.is_empty()
            && self.rooms.is_empty()
            && self.device_lists.is_empty()
    }
}

/// A list of events.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Events {
    pub events: Vec<Event>,
}

impl Events {
    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn size_bytes(&self) -> usize {
        size_bytes(&self.events)
    }
}

/// Rooms by the user's membership.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct SyncedRooms {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub join: BTreeMap<OwnedRoomId, JoinedRoom>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub invite: BTreeMap<OwnedRoomId, InvitedRoom>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub knock: BTreeMap<OwnedRoomId, KnockedRoom>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub leave: BTreeMap<OwnedRoomId, LeftRoom>,
}

impl SyncedRooms {
    pub(crate) fn add(&mut self, room_id: OwnedRoomId, room: SyncedRoom) {
        match room {
            SyncedRoom::Join(room) => drop(self.join.insert(room_id, room)),
            SyncedRoom::Invite(room) => drop(self.invite.insert(room_id, room)),
            SyncedRoom::Knock(room) => drop(self.knock.insert(room_id, room)),
            SyncedRoom::Leave(room) => drop(self.leave.insert(room_id, room)),
        }
    }

    fn is_empty(&self) -> bool {
        self.join.is_empty() && self.invite.is_empty() && self.knock.is_empty() && self.leave.is_empty()
    }
}

/// A room that the user is joined to.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct JoinedRoom {
    pub summary: Summary,
    pub timeline: Timeline,
    pub ephemeral: Events,
    pub account_data: Events,
    pub unread_notifications: UnreadCounts,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unread_thread_notifications: BTreeMap<OwnedEventId, UnreadCounts>,
    /// It comes last, where it can be gone on with.
    #[serde(flatten)]
    pub state: StateChange,
    #[serde(skip)]
    pub(crate) rest: Option<RestOfState>,
}

/// Where the changes of the state are told.
#[derive(Debug, Serialize)]
pub enum StateChange {
    /// The state as it was before the timeline.
    #[serde(rename = "state")]
    Before(Events),
    /// The state as it is after the timeline.
    #[serde(rename = "state_after")]
    After(Events),
    /// The same, under the name from before it was specified.
    #[serde(rename = "org.matrix.msc4222.state_after")]
    AfterUnstable(Events),
}

impl Default for StateChange {
    fn default() -> Self {
        Self::Before(Events::default())
    }
}

impl StateChange {
    /// The events.
    pub fn events(&self) -> &[Event] {
        match self {
            Self::Before(events) | Self::After(events) | Self::AfterUnstable(events) => &events.events,
        }
    }
}

/// What a client needs to name a room that has no name.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Summary {
    #[serde(rename = "m.heroes", skip_serializing_if = "Option::is_none")]
    pub heroes: Option<Vec<OwnedUserId>>,
    #[serde(rename = "m.joined_member_count", skip_serializing_if = "Option::is_none")]
    pub joined: Option<u64>,
    #[serde(rename = "m.invited_member_count", skip_serializing_if = "Option::is_none")]
    pub invited: Option<u64>,
}

/// A part of a room's timeline.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Timeline {
    pub events: Vec<Event>,
    pub limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_batch: Option<String>,
}

/// About how many bytes events have as JSON.
pub(crate) fn size_bytes<'e>(events: impl IntoIterator<Item = &'e Event>) -> usize {
    events.into_iter().map(|event| event.get().len()).sum()
}

impl JoinedRoom {
    pub(crate) fn size_bytes(&self) -> usize {
        let beside = self.ephemeral.size_bytes() + self.account_data.size_bytes();
        size_bytes(self.state.events()) + size_bytes(&self.timeline.events) + beside
    }
}

impl InvitedRoom {
    pub(crate) fn size_bytes(&self) -> usize {
        self.invite_state.size_bytes()
    }
}

impl KnockedRoom {
    pub(crate) fn size_bytes(&self) -> usize {
        self.knock_state.size_bytes()
    }
}

impl LeftRoom {
    pub(crate) fn size_bytes(&self) -> usize {
        size_bytes(self.state.events()) + size_bytes(&self.timeline.events)
    }
}

/// Counts of unread messages.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct UnreadCounts {
    pub notification_count: u64,
    pub highlight_count: u64,
}

/// A room that the user is invited to.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct InvitedRoom {
    pub invite_state: Events,
}

/// A room that the user has knocked on.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct KnockedRoom {
    pub knock_state: Events,
}

/// A room that the user has left.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct LeftRoom {
    pub timeline: Timeline,
    pub account_data: Events,
    /// It comes last, where it can be gone on with.
    #[serde(flatten)]
    pub state: StateChange,
    #[serde(skip)]
    pub(crate) rest: Option<RestOfState>,
}

/// Users whose devices the client should look at again.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct DeviceLists {
    pub changed: Vec<OwnedUserId>,
    pub left: Vec<OwnedUserId>,
}

impl DeviceLists {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}
