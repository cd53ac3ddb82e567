//! The shape that clients had before sliding sync was specified.

use std::{collections::BTreeMap, time::Duration};

use linkspan_sync::{
    Extensions, Filters, List, RequiredState, RoomConfig, Scope, SlidingRequest, SlidingResponse, SlidingRoom,
};
use linkspan_wire::{ApiError, User};
use ruma::{OwnedRoomId, OwnedUserId, api::client::sync::sync_events::v5, presence::PresenceState};
use serde::{Deserialize, Serialize};

use super::{
    pos,
    shapes::{Event, ListAnswer, RoomNews, WireFilters, list_answers},
};
use crate::endpoints::thread_subscriptions;

#[derive(Default)]
pub(super) struct Query {
    pos: Option<String>,
    timeout: Duration,
    pub(super) set_presence: Option<PresenceState>,
}

#[derive(Deserialize)]
pub(super) struct Body {
    pub(super) txn_id: Option<String>,
    conn_id: Option<String>,
    #[serde(default)]
    lists: BTreeMap<String, WireList>,
    #[serde(default)]
    room_subscriptions: BTreeMap<OwnedRoomId, WireConfig>,
    #[serde(default)]
    extensions: WireExtensions,
}

#[derive(Deserialize)]
struct WireList {
    #[serde(default)]
    ranges: Vec<(u64, u64)>,
    #[serde(default)]
    filters: WireFilters,
    #[serde(flatten)]
    config: WireConfig,
}

#[derive(Deserialize)]
struct WireConfig {
    #[serde(default)]
    required_state: Vec<(String, String)>,
    timeline_limit: u64,
}

#[derive(Default, Deserialize)]
pub(super) struct WireExtensions {
    #[serde(default)]
    to_device: WireToDevice,
    #[serde(default)]
    e2ee: WireExtension,
    #[serde(default)]
    account_data: WireExtension,
    #[serde(default)]
    receipts: WireExtension,
    #[serde(default)]
    typing: WireExtension,
    #[serde(default, rename = "io.element.msc4308.thread_subscriptions")]
    thread_subscriptions: WireThreadSubscriptions,
}

#[derive(Default, Deserialize)]
struct WireThreadSubscriptions {
    enabled: Option<bool>,
    limit: Option<u64>,
}

#[derive(Default, Deserialize)]
struct WireToDevice {
    enabled: Option<bool>,
    since: Option<String>,
}

#[derive(Default, Deserialize)]
struct WireExtension {
    enabled: Option<bool>,
    lists: Option<Vec<String>>,
    rooms: Option<Vec<String>>,
}

/// Reads the query. Parameters that are not known do not matter.
pub(super) fn query(text: &str) -> Result<Query, ApiError> {
    let mut query = Query::default();
    for (name, value) in form(text) {
        match name.as_str() {
            "pos" => query.pos = Some(value),
            "timeout" => {
                let timeout = value.parse().map_err(|_| ApiError::invalid_param("timeout is a number"))?;
                query.timeout = Duration::from_millis(timeout);
            }
            "set_presence" => query.set_presence = Some(value.into()),
            _ => {}
        }
    }
    Ok(query)
}

fn form(text: &str) -> Vec<(String, String)> {
    ruma::exports::serde_html_form::from_str(text).unwrap_or_default()
}

impl Body {
    pub(super) fn into_request(self, user: &User, query: Query) -> Result<SlidingRequest, ApiError> {
        let user_id = &user.user_id;
        let list = |list: WireList| List {
            ranges: Some(list.ranges),
            filters: filters(list.filters),
            config: list.config.into_config(user_id),
        };
        Ok(SlidingRequest {
            user_id: user_id.clone(),
            device_id: user.device_id.clone(),
            token_hash: user.token_hash,
            conn_id: self.conn_id.unwrap_or_default(),
            pos: pos(query.pos.as_deref())?,
            timeout: query.timeout,
            lists: self.lists.into_iter().map(|(name, wanted)| (name, list(wanted))).collect(),
            subscriptions: self
                .room_subscriptions
                .into_iter()
                .map(|(room_id, config)| (room_id, config.into_config(user_id)))
                .collect(),
            extensions: self.extensions.into_extensions()?,
        })
    }
}

/// Takes an empty list of room types for none.
fn filters(wire: WireFilters) -> Filters {
    let filters = wire.into_filters();
    Filters { room_types: filters.room_types.filter(|types| !types.is_empty()), ..filters }
}

impl WireConfig {
    fn into_config(self, user_id: &OwnedUserId) -> RoomConfig {
        let mut state = RequiredState::default();
        for (event_type, state_key) in self.required_state {
            if state_key == "$LAZY" {
                state.lazy_members = true;
                continue;
            }
            let any_unless = |text: String| (text != "*").then_some(text);
            let state_key = if state_key == "$ME" { user_id.to_string() } else { state_key };
            state.include.push((any_unless(event_type), any_unless(state_key)));
        }
        let timeline_limit = usize::try_from(self.timeline_limit).unwrap_or(usize::MAX);
        RoomConfig { timeline_limit, required_state: vec![state] }
    }
}

impl WireExtensions {
    pub(super) fn into_extensions(self) -> Result<Extensions, ApiError> {
        let since = self.to_device.since.as_deref().map(str::parse).transpose();
        let since = since.map_err(|_| ApiError::invalid_param("since is not a token of this server"))?;
        let is_on = |enabled: Option<bool>| enabled == Some(true);
        Ok(Extensions {
            to_device: is_on(self.to_device.enabled).then_some(since),
            e2ee: is_on(self.e2ee.enabled),
            account_data: self.account_data.into_scope(),
            receipts: self.receipts.into_scope(),
            typing: self.typing.into_scope(),
            thread_subscriptions: is_on(self.thread_subscriptions.enabled)
                .then(|| thread_subscriptions::wanted(self.thread_subscriptions.limit)),
        })
    }
}

impl WireExtension {
    fn into_scope(self) -> Option<Scope> {
        let unless_all = |names: Vec<String>| (!names.iter().any(|name| name == "*")).then_some(names);
        let rooms = self.rooms.and_then(unless_all);
        let rooms = rooms.map(|ids| ids.into_iter().filter_map(|id| id.try_into().ok()).collect());
        (self.enabled == Some(true)).then(|| Scope { lists: self.lists.and_then(unless_all), rooms })
    }
}

#[derive(Serialize)]
pub(super) struct Response {
    pos: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    txn_id: Option<String>,
    lists: BTreeMap<String, ListAnswer>,
    rooms: BTreeMap<OwnedRoomId, Room>,
    extensions: ExtensionAnswers,
}

#[derive(Serialize)]
pub(super) struct ExtensionAnswers {
    #[serde(skip_serializing_if = "Option::is_none")]
    to_device: Option<ToDevice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e2ee: Option<E2ee>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_data: Option<AccountData>,
    #[serde(skip_serializing_if = "RoomEvents::is_empty")]
    receipts: RoomEvents,
    #[serde(skip_serializing_if = "RoomEvents::is_empty")]
    typing: RoomEvents,
    #[serde(
        rename = "io.element.msc4308.thread_subscriptions",
        skip_serializing_if = "v5::response::ThreadSubscriptions::is_empty"
    )]
    thread_subscriptions: v5::response::ThreadSubscriptions,
}

#[derive(Serialize)]
struct ToDevice {
    next_batch: String,
    events: Vec<Event>,
}

#[derive(Serialize)]
struct E2ee {
    device_lists: DeviceLists,
    device_one_time_keys_count: BTreeMap<String, u64>,
    device_unused_fallback_key_types: Vec<String>,
}

#[derive(Serialize)]
struct DeviceLists {
    changed: Vec<OwnedUserId>,
    left: Vec<OwnedUserId>,
}

#[derive(Serialize)]
struct AccountData {
    global: Vec<Event>,
    rooms: BTreeMap<OwnedRoomId, Vec<Event>>,
}

#[derive(Serialize)]
struct RoomEvents {
    rooms: BTreeMap<OwnedRoomId, Event>,
}

impl RoomEvents {
    fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}

#[derive(Serialize)]
struct Room {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unstable_expanded_timeline: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_state: Option<Vec<Event>>,
    limited: bool,
    #[serde(flatten)]
    news: RoomNews,
}

impl Response {
    pub(super) fn new(response: SlidingResponse, txn_id: Option<String>) -> Self {
        let rooms = response.rooms.into_iter().map(|(room_id, room)| (room_id, Room::new(room)));
        Self {
            pos: response.pos.to_string(),
            txn_id,
            lists: list_answers(response.lists),
            rooms: rooms.collect(),
            extensions: ExtensionAnswers::new(response.extensions),
        }
    }
}

impl Room {
    fn new(mut room: SlidingRoom) -> Self {
        room.is_dm = room.is_dm.filter(|is_dm| *is_dm || !room.initial);
        Self {
            unstable_expanded_timeline: room.expanded_timeline,
            name: room.name.take().flatten(),
            invite_state: room.stripped_state.take(),
            limited: room.limited,
            news: RoomNews::new(room),
        }
    }
}

impl ExtensionAnswers {
    pub(super) fn new(news: linkspan_sync::ExtensionNews) -> Self {
        Self {
            to_device: news
                .to_device
                .map(|news| ToDevice { next_batch: news.next_batch.to_string(), events: news.events }),
            e2ee: news.e2ee.map(|news| E2ee {
                device_lists: DeviceLists { changed: news.changed, left: news.left },
                device_one_time_keys_count: news.one_time_keys,
                device_unused_fallback_key_types: news.unused_fallback,
            }),
            account_data: news
                .account_data
                .map(|news| AccountData { global: news.global, rooms: news.rooms }),
            receipts: RoomEvents { rooms: news.receipts },
            typing: RoomEvents { rooms: news.typing },
            thread_subscriptions: thread_subscriptions::extension_answer(news.thread_subscriptions),
        }
    }
}
