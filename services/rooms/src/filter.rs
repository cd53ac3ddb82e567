//! Which events a client wants: filters, ready to be asked.
//! <https://spec.matrix.org/v1.19/client-server-api/#filtering>

use linkspan_domain::Pdu;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::filter::{Filter, RoomEventFilter, UrlFilter},
};

use crate::RelationFilter;

/// A filter of events.
#[derive(Clone, Debug, Default, Hash)]
pub struct EventFilter {
    types: Option<Vec<String>>,
    not_types: Vec<String>,
    senders: Option<Vec<OwnedUserId>>,
    not_senders: Vec<OwnedUserId>,
    rooms: Option<Vec<OwnedRoomId>>,
    not_rooms: Vec<OwnedRoomId>,
    with_url: Option<bool>,
    pub(crate) relations: RelationFilter,
}

impl EventFilter {
    /// Makes a filter from the one that a client sent.
    pub fn new(filter: &RoomEventFilter) -> Self {
        Self {
            types: filter.types.clone(),
            not_types: filter.not_types.clone(),
            senders: filter.senders.clone(),
            not_senders: filter.not_senders.clone(),
            rooms: filter.rooms.clone(),
            not_rooms: filter.not_rooms.clone(),
            with_url: filter.url_filter.as_ref().map(|filter| *filter == UrlFilter::EventsWithUrl),
            relations: RelationFilter::default(),
        }
    }

    /// Makes a filter for what is outside rooms: presence, or the user's account data.
    pub fn outside_rooms(filter: &Filter) -> Self {
        Self {
            types: filter.types.clone(),
            not_types: filter.not_types.clone(),
            senders: filter.senders.clone(),
            not_senders: filter.not_senders.clone(),
            ..Self::default()
        }
    }

    /// The filter that also asks for relations.
    pub fn with_relations(mut self, relations: RelationFilter) -> Self {
        self.relations = relations;
        self
    }

    /// Whether it lets everything of every room through.
    pub fn is_open(&self) -> bool {
        self.types.is_none()
            && self.not_types.is_empty()
            && self.senders.is_none()
            && self.not_senders.is_empty()
            && self.with_url.is_none()
    }

    /// Whether it lets nothing through, whatever the event.
    pub fn is_closed(&self) -> bool {
        self.types.as_ref().is_some_and(Vec::is_empty) || self.senders.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether it lets events of the room through.
    pub fn matches_room(&self, room_id: &RoomId) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|room| room == room_id))
            && !self.not_rooms.iter().any(|room| room == room_id)
    }

    /// Whether it lets things of this type through.
    pub fn matches_type(&self, event_type: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, event_type));
        self.types.as_ref().is_none_or(|types| any(types)) && !any(&self.not_types)
    }

    /// Whether it lets things of this user through.
    pub fn matches_sender(&self, user_id: &UserId) -> bool {
        let is_one_of = |users: &[OwnedUserId]| users.iter().any(|user| user == user_id);
        self.senders.as_ref().is_none_or(|senders| is_one_of(senders)) && !is_one_of(&self.not_senders)
    }

    /// Whether it lets an event of a room that it lets through itself through.
    pub fn matches(&self, pdu: &Pdu) -> bool {
        self.matches_type(&pdu.event_type.to_string())
            && self.matches_sender(&pdu.sender)
            && self.with_url.is_none_or(|wanted| has_url(pdu) == wanted)
            && self.relations.matches(pdu)
    }
}

/// Whether a text matches a pattern, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    while let Some((part, after)) = rest.split_once('*') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
        rest = after;
    }
    text.ends_with(rest)
}

fn has_url(pdu: &Pdu) -> bool {
    let content: Option<serde_json::Value> = pdu.content_as();
    content.is_some_and(|content| content.get("url").is_some_and(serde_json::Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_text() {
        assert!(matches("m.room.*", "m.room.message"));
        assert!(matches("*.message", "m.room.message"));
        assert!(matches("m.*.mess*", "m.room.message"));
        assert!(matches("*", ""));
        assert!(!matches("m.room.*", "m.call.invite"));
        assert!(!matches("m.room", "m.room.message"));
    }
}
