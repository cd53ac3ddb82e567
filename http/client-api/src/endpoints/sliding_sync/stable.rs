//! The shape of sliding sync as it was specified: `POST /v4/sync`.

use std::{collections::BTreeMap, time::Duration};

use linkspan_sync::{Filters, List, RequiredState, RoomConfig, SlidingRequest, SlidingResponse, SlidingRoom};
use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    pos,
    unstable::{ExtensionAnswers, ListAnswer, WireExtensions, WireHero, list_answers, wire_heroes},
};
use crate::{caller::User, error::ApiError};

#[derive(Deserialize)]
pub(super) struct Body {
    conn_id: Option<String>,
    pos: Option<String>,
    #[serde(default)]
    timeout: u64,
    pub(super) set_presence: Option<String>,
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

#[derive(Default, Deserialize)]
struct WireFilters {
    is_dm: Option<bool>,
    is_encrypted: Option<bool>,
    is_invited: Option<bool>,
    room_types: Option<Vec<Option<String>>>,
    #[serde(default)]
    not_room_types: Vec<Option<String>>,
    spaces: Option<Vec<OwnedRoomId>>,
    tags: Option<Vec<String>>,
    #[serde(default)]
    not_tags: Vec<String>,
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
            conn_id: self.conn_id.unwrap_or_default(),
            pos: pos(self.pos.as_deref())?,
            timeout: Duration::from_millis(self.timeout),
            lists: self.lists.into_iter().map(|(name, wanted)| (name, list(wanted))).collect(),
            subscriptions: subscriptions.map(|(id, config)| (id, config.into_config())).collect(),
            extensions: self.extensions.into_extensions()?,
        })
    }
}

impl WireFilters {
    fn into_filters(self) -> Filters {
        Filters {
            is_dm: self.is_dm,
            is_encrypted: self.is_encrypted,
            is_invited: self.is_invited,
            room_types: self.room_types,
            not_room_types: self.not_room_types,
            spaces: self.spaces,
            tags: self.tags,
            not_tags: self.not_tags,
        }
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
    initial: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    expanded_timeline: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lists: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heroes: Option<Vec<WireHero>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_dm: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripped_state: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required_state: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timeline: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_live: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invited_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    highlight_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bump_stamp: Option<u64>,
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
    fn new(room: SlidingRoom) -> Self {
        Self {
            initial: room.initial,
            expanded_timeline: room.expanded_timeline,
            membership: room.membership,
            lists: room.lists,
            name: room.name,
            avatar: room.avatar,
            heroes: room.heroes.map(wire_heroes),
            is_dm: room.is_dm,
            stripped_state: room.stripped_state,
            required_state: room.required_state,
            timeline: room.timeline,
            prev_batch: room.prev_batch,
            limited: room.limited,
            num_live: room.num_live,
            joined_count: room.joined_count,
            invited_count: room.invited_count,
            notification_count: room.notification_count,
            highlight_count: room.highlight_count,
            bump_stamp: room.bump_stamp,
        }
    }
}
