//! The shape of sliding sync as it was specified: `POST /v4/sync`.

use std::{collections::BTreeMap, time::Duration};

use linkspan_sync::{List, RequiredState, RoomConfig, SlidingRequest, SlidingResponse, SlidingRoom};
use ruma::{OwnedRoomId, events::room::member::MembershipState, presence::PresenceState};
use serde::{Deserialize, Serialize};

use super::{
    pos,
    shapes::{Event, ListAnswer, RoomNews, WireFilters, list_answers},
    unstable::{ExtensionAnswers, WireExtensions},
};
use crate::{caller::User, error::ApiError};

#[derive(Deserialize)]
pub(super) struct Body {
    conn_id: Option<String>,
    pos: Option<String>,
    #[serde(default)]
    timeout: u64,
    pub(super) set_presence: Option<PresenceState>,
    #[serde(default)]
    lists: BTreeMap<String, WireList>,
    #[serde(default)]
    room_subscriptions: BTreeMap<OwnedRoomId, WireConfig>,
    #[serde(default)]
    extensions: WireExtensions,
}

#[derive(Deserialize)]
struct WireList {
    range: Option<(u64, u64)>,
    #[serde(default)]
    filters: WireFilters,
    #[serde(flatten)]
    config: WireConfig,
}

#[derive(Deserialize)]
struct WireConfig {
    required_state: WireRequiredState,
    timeline_limit: u64,
}

#[derive(Deserialize)]
struct WireRequiredState {
    #[serde(default)]
    include: Vec<WirePattern>,
    #[serde(default)]
    exclude: Vec<WirePattern>,
    #[serde(default)]
    lazy_members: bool,
}

#[derive(Deserialize)]
struct WirePattern {
    #[serde(rename = "type")]
    event_type: Option<String>,
    state_key: Option<String>,
}

impl Body {
    pub(super) fn into_request(self, user: &User) -> Result<SlidingRequest, ApiError> {
        let list = |list: WireList| List {
            ranges: list.range.map(|range| vec![range]),
            filters: list.filters.into_filters(),
            config: list.config.into_config(),
        };
        let subscriptions = self.room_subscriptions.into_iter();
        Ok(SlidingRequest {
            user_id: user.user_id.clone(),
            device_id: user.device_id.clone(),
            token_hash: user.token_hash,
            conn_id: self.conn_id.unwrap_or_default(),
            pos: pos(self.pos.as_deref())?,
            timeout: Duration::from_millis(self.timeout),
            lists: self.lists.into_iter().map(|(name, wanted)| (name, list(wanted))).collect(),
            subscriptions: subscriptions.map(|(id, config)| (id, config.into_config())).collect(),
            extensions: self.extensions.into_extensions()?,
        })
    }
}

impl WireConfig {
    fn into_config(self) -> RoomConfig {
        let patterns = |patterns: Vec<WirePattern>| {
            patterns.into_iter().map(|pattern| (pattern.event_type, pattern.state_key)).collect()
        };
        let state = RequiredState {
            include: patterns(self.required_state.include),
            exclude: patterns(self.required_state.exclude),
            lazy_members: self.required_state.lazy_members,
        };
        let timeline_limit = usize::try_from(self.timeline_limit).unwrap_or(usize::MAX);
        RoomConfig { timeline_limit, required_state: vec![state] }
    }
}

#[derive(Serialize)]
pub(super) struct Response {
    pos: String,
    lists: BTreeMap<String, ListAnswer>,
    rooms: BTreeMap<OwnedRoomId, Room>,
    extensions: ExtensionAnswers,
}

#[derive(Serialize)]
struct Room {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    expanded_timeline: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<MembershipState>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lists: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripped_state: Option<Vec<Event>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    limited: bool,
    #[serde(flatten)]
    news: RoomNews,
}

impl Response {
    pub(super) fn new(response: SlidingResponse) -> Self {
        let rooms = response.rooms.into_iter().map(|(room_id, room)| (room_id, Room::new(room)));
        Self {
            pos: response.pos.to_string(),
            lists: list_answers(response.lists),
            rooms: rooms.collect(),
            extensions: ExtensionAnswers::new(response.extensions),
        }
    }
}

impl Room {
    fn new(mut room: SlidingRoom) -> Self {
        Self {
            expanded_timeline: room.expanded_timeline,
            membership: room.membership.take(),
            lists: std::mem::take(&mut room.lists),
            name: room.name.take(),
            stripped_state: room.stripped_state.take(),
            limited: room.limited,
            news: RoomNews::new(room),
        }
    }
}
