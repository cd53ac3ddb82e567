//! Filters of syncs, ready to be asked.
//! <https://spec.matrix.org/v1.19/client-server-api/#filtering>

use std::sync::Arc;

use linkspan_rooms::{EventFilter, RelationFilter};
use quick_cache::sync::Cache;
use ruma::{RoomId, api::client::filter::FilterDefinition};
use serde::Deserialize;

use crate::format::EventFields;

/// How many parsed filters are kept.
const KEPT_FILTERS: usize = 2_000;
/// The longest filter that is kept, in bytes of JSON.
const MAX_KEPT_FILTER_BYTES: usize = 4 << 10;

/// What a filter asks for of relations, which ruma's type leaves out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RelationFilters {
    room: RoomRelationFilters,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RoomRelationFilters {
    timeline: RelationFilter,
    state: RelationFilter,
}

/// What a client wants to know of the news.
#[derive(Clone, Debug, Default)]
pub struct SyncFilter {
    pub(crate) definition: FilterDefinition,
    /// The fields of events. None means all fields.
    pub(crate) fields: Option<EventFields>,
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
    pub fn new(definition: FilterDefinition, relations: RelationFilters) -> Self {
        let room = &definition.room;
        let fields = definition.event_fields.as_deref().filter(|fields| !fields.is_empty());
        Self {
            fields: fields.map(EventFields::new),
            presence: EventFilter::outside_rooms(&definition.presence),
            account_data: EventFilter::outside_rooms(&definition.account_data),
            timeline: EventFilter::new(&room.timeline).with_relations(relations.room.timeline),
            state: EventFilter::new(&room.state).with_relations(relations.room.state),
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
