//! Filters of syncs, ready to be asked.
//! <https://spec.matrix.org/v1.19/client-server-api/#filtering>

use std::sync::Arc;

use linkspan_rooms::{EventFilter, RelationFilter};
use linkspan_storage::CacheSize;
use quick_cache::sync::Cache;
use ruma::{RoomId, api::client::filter::FilterDefinition};
use serde::Deserialize;

use crate::format::EventFields;

/// How many parsed filters are kept.
const KEPT_FILTERS: usize = 2_000;
/// The longest filter that is kept, in bytes of JSON.
const MAX_KEPT_FILTER_BYTES: usize = 4 << 10;

/// What a filter asks for that ruma's type leaves out: of relations, and of whose chats it lets through.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FurtherFilters {
    room: RoomFurtherFilters,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RoomFurtherFilters {
    timeline: RelationFilter,
    state: RelationFilter,
    #[serde(rename = "org.linkspan.is_cross_platform")]
    is_cross_platform: Option<bool>,
}

/// What a client wants to know of the news.
#[derive(Clone, Debug, Default)]
pub struct SyncFilter {
    pub(crate) definition: FilterDefinition,
    /// The fields of events. None means all fields.
    pub(crate) fields: Option<EventFields>,
    /// Whether chats with people of other platforms are let through, or all others. None means all chats.
    pub(crate) is_cross_platform: Option<bool>,
    pub(crate) presence: EventFilter,
    /// The filter for the user's account data, but not for that of rooms.
    pub(crate) account_data: EventFilter,
    pub(crate) timeline: EventFilter,
    pub(crate) state: EventFilter,
    pub(crate) ephemeral: EventFilter,
    pub(crate) room_account_data: EventFilter,
}

impl SyncFilter {
    /// Makes a filter from the two parts of what a client sent.
    pub fn new(definition: FilterDefinition, further: FurtherFilters) -> Self {
        let room = &definition.room;
        let fields = definition.event_fields.as_deref().filter(|fields| !fields.is_empty());
        Self {
            fields: fields.map(EventFields::new),
            is_cross_platform: further.room.is_cross_platform,
            presence: EventFilter::outside_rooms(&definition.presence),
            account_data: EventFilter::outside_rooms(&definition.account_data),
            timeline: EventFilter::new(&room.timeline).with_relations(further.room.timeline),
            state: EventFilter::new(&room.state).with_relations(further.room.state),
            ephemeral: EventFilter::new(&room.ephemeral),
            room_account_data: EventFilter::new(&room.account_data),
            definition,
        }
    }

    /// Whether the filter lets through something of a room that is no event of its history.
    pub(crate) fn wants_ephemeral(&self, room_id: &RoomId, event_type: &str) -> bool {
        self.ephemeral.matches_room(room_id) && self.ephemeral.matches_type(event_type)
    }

    /// The most people whose presence is told.
    pub(crate) fn presence_limit(&self) -> usize {
        let limit = self.definition.presence.limit;
        limit.map_or(usize::MAX, |limit| usize::try_from(u64::from(limit)).unwrap_or(usize::MAX))
    }
}

/// Filters that were parsed lately, by what names them: clients send the same one with every sync. What a name stands
/// for never changes.
#[derive(Debug)]
pub struct ParsedFilters(Cache<String, Arc<SyncFilter>>);

impl ParsedFilters {
    pub(crate) fn new() -> Self {
        Self(Cache::new(KEPT_FILTERS))
    }

    /// How many there are.
    pub(crate) fn size(&self) -> CacheSize {
        CacheSize::of(&self.0)
    }

    /// The filter of a name, if it was parsed lately.
    pub fn get(&self, name: &str) -> Option<Arc<SyncFilter>> {
        self.0.get(name)
    }

    /// Keeps a filter that was parsed from `json_bytes` bytes of JSON, unless it is long.
    pub fn keep(&self, name: String, filter: Arc<SyncFilter>, json_bytes: usize) {
        if json_bytes <= MAX_KEPT_FILTER_BYTES {
            self.0.insert(name, filter);
        }
    }
}
