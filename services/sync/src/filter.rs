//! Filters of syncs, ready to be asked.
//! <https://spec.matrix.org/v1.19/client-server-api/#filtering>

use linkspan_rooms::{EventFilter, RelationFilter};
use ruma::api::client::filter::FilterDefinition;
use serde::Deserialize;

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

/// What a client wants to know of what is new.
#[derive(Clone, Debug, Default)]
pub struct SyncFilter {
    pub(crate) definition: FilterDefinition,
    pub(crate) timeline: EventFilter,
    pub(crate) state: EventFilter,
    pub(crate) ephemeral: EventFilter,
    pub(crate) account_data: EventFilter,
}

impl SyncFilter {
    /// From the filter that a client sent, in its two parts.
    pub fn new(definition: FilterDefinition, relations: RelationFilters) -> Self {
        let room = &definition.room;
        Self {
            timeline: EventFilter::new(&room.timeline).with_relations(relations.room.timeline),
            state: EventFilter::new(&room.state).with_relations(relations.room.state),
            ephemeral: EventFilter::new(&room.ephemeral),
            account_data: EventFilter::new(&room.account_data),
            definition,
        }
    }
}
