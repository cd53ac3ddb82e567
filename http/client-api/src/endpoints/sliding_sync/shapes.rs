//! What both shapes of sliding sync have in common.

use std::collections::BTreeMap;

use linkspan_sync::{Filters, Hero, SlidingRoom};
use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(super) type Event = Box<RawValue>;

#[derive(Default, Deserialize)]
pub(super) struct WireFilters {
    is_dm: Option<bool>,
    is_encrypted: Option<bool>,
    // This is its name from before it was specified.
    #[serde(alias = "is_invite")]
    is_invited: Option<bool>,
    #[serde(rename = "org.linkspan.is_cross_platform")]
    is_cross_platform: Option<bool>,
    room_types: Option<Vec<Option<String>>>,
    #[serde(default)]
    not_room_types: Vec<Option<String>>,
    spaces: Option<Vec<OwnedRoomId>>,
    tags: Option<Vec<String>>,
    #[serde(default)]
    not_tags: Vec<String>,
}

impl WireFilters {
    pub(super) fn into_filters(self) -> Filters {
        Filters {
            is_dm: self.is_dm,
            is_encrypted: self.is_encrypted,
            is_invited: self.is_invited,
            is_cross_platform: self.is_cross_platform,
            room_types: self.room_types,
            not_room_types: self.not_room_types,
            spaces: self.spaces,
            tags: self.tags,
            not_tags: self.not_tags,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ListAnswer {
    count: u64,
}

/// The part of a room's news that has the same names in both shapes.
#[derive(Serialize)]
pub(super) struct RoomNews {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    initial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heroes: Option<Vec<WireHero>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_dm: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required_state: Vec<Event>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timeline: Vec<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
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

#[derive(Serialize)]
struct WireHero {
    user_id: OwnedUserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    displayname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
}

pub(super) fn list_answers(counts: BTreeMap<String, u64>) -> BTreeMap<String, ListAnswer> {
    counts.into_iter().map(|(name, count)| (name, ListAnswer { count })).collect()
}

impl RoomNews {
    pub(super) fn new(room: SlidingRoom) -> Self {
        Self {
            initial: room.initial,
            avatar: room.avatar,
            heroes: room.heroes.map(|heroes| heroes.into_iter().map(WireHero::new).collect()),
            is_dm: room.is_dm,
            required_state: room.required_state,
            timeline: room.timeline,
            prev_batch: room.prev_batch,
            num_live: room.num_live,
            joined_count: room.joined_count,
            invited_count: room.invited_count,
            notification_count: room.notification_count,
            highlight_count: room.highlight_count,
            bump_stamp: room.bump_stamp,
        }
    }
}

impl WireHero {
    fn new(hero: Hero) -> Self {
        Self { user_id: hero.user_id, displayname: hero.name, avatar_url: hero.avatar }
    }
}
