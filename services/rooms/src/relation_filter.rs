//! Which events a client wants by their relations: those that relate in a certain way, and those that
//! others relate to.
//! <https://spec.matrix.org/v1.19/client-server-api/#filtering>,
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/3874>

use linkspan_domain::Pdu;
use linkspan_storage::{
    Range,
    catalogue::{RelationKey, Relations},
    records::RelationRecord,
};
use ruma::OwnedUserId;
use serde::Deserialize;

use crate::{EventFilter, Result, Rooms, View, append::relation_of};

/// The most relations of an event that are looked at.
const MAX_RELATIONS: usize = 1_000;

/// The part of a filter that ruma's type leaves out.
#[derive(Clone, Debug, Default, Deserialize, Hash)]
#[serde(default)]
pub struct RelationFilter {
    /// Events to which one of these users has related an event.
    #[serde(alias = "io.element.relation_senders")]
    related_by_senders: Option<Vec<OwnedUserId>>,
    /// Events to which an event relates in one of these ways.
    #[serde(alias = "io.element.relation_types")]
    related_by_rel_types: Option<Vec<String>>,
    /// Only events that relate in one of these ways.
    #[serde(rename = "org.matrix.msc3874.rel_types")]
    rel_types: Option<Vec<String>>,
    /// Only events that relate in none of these ways.
    #[serde(rename = "org.matrix.msc3874.not_rel_types")]
    not_rel_types: Vec<String>,
}

impl RelationFilter {
    /// Whether it lets an event through for how the event itself relates.
    pub(crate) fn matches(&self, pdu: &Pdu) -> bool {
        if self.rel_types.is_none() && self.not_rel_types.is_empty() {
            return true;
        }
        let rel_type = relation_of(pdu).map(|relation| relation.rel_type);
        let is_one_of = |types: &[String]| rel_type.as_ref().is_some_and(|rel_type| types.contains(rel_type));
        self.rel_types.as_ref().is_none_or(|types| is_one_of(types)) && !is_one_of(&self.not_rel_types)
    }

    fn asks_for_relations(&self) -> bool {
        self.related_by_senders.is_some() || self.related_by_rel_types.is_some()
    }
}

impl Rooms {
    /// Whether a filter lets an event through to the user. What the user may not see of its relations does not count.
    pub async fn keeps(&self, view: &mut View, filter: &EventFilter, event: &Pdu) -> Result<bool> {
        if !filter.matches_room(&event.room_id) || !filter.matches(event) {
            return Ok(false);
        }
        let wanted = &filter.relations;
        if !wanted.asks_for_relations() {
            return Ok(true);
        }
        let range = Range::<Relations>::prefix((&event.room_id, &event.event_id));
        let relations = self.store().range(range.limit(MAX_RELATIONS)).await?;
        let is_wanted = |(key, relation): &&(RelationKey, RelationRecord)| {
            wanted.related_by_senders.as_ref().is_none_or(|senders| senders.contains(&relation.sender))
                && wanted.related_by_rel_types.as_ref().is_none_or(|types| types.contains(&key.rel_type))
        };
        for (key, relation) in relations.iter().filter(is_wanted) {
            // Where the event itself is would have to be looked up: taken for the first, nothing is taken for granted.
            if self.shows_relation(view, 0, key, relation).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
