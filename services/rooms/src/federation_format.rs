//! Events in the format in which servers exchange them, for clients whose filter asks for it.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter_request_eventformat>
//!
//! It decides nothing of who may see what: it takes events that were rendered for somebody, and shows no more of their
//! content than these do.

use linkspan_domain::sign_for_departure;
use linkspan_storage::{
    catalogue::{EventIds, EventKey, HiddenEvents, RoomEventKey, Timeline, TimelineKey},
    records::EventPlaceRecord,
};
use ruma::{OwnedEventId, OwnedRoomId};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{Result, Room, Rooms, room::damaged};

/// What an event in the format for servers takes from the one in the format for clients.
#[derive(Deserialize)]
struct Rendered {
    event_id: OwnedEventId,
    content: Map<String, Value>,
    #[serde(default)]
    unsigned: Value,
}

impl Rooms {
    /// Events of a room that were rendered for a client, as servers exchange them. They keep their ids, and what is
    /// said of them in `unsigned`: neither hashes nor signatures cover these, and a client needs them.
    pub async fn in_federation_format(
        &self,
        room_id: &OwnedRoomId,
        events: Vec<Box<RawValue>>,
    ) -> Result<Vec<Box<RawValue>>> {
        let Some(room) = self.find_room(room_id).await? else { return Ok(events) };
        let mut formatted = Vec::with_capacity(events.len());
        for event in events {
            formatted.push(self.event_in_federation_format(&room, event).await?);
        }
        Ok(formatted)
    }

    async fn event_in_federation_format(&self, room: &Room, event: Box<RawValue>) -> Result<Box<RawValue>> {
        let rendered: Rendered =
            serde_json::from_str(event.get()).map_err(|error| damaged(&error.to_string()))?;
        let Some(stored) = self.stored_json(&room.id, &rendered.event_id).await? else { return Ok(event) };
        let mut pdu = self.signed(room, &stored)?;
        let covered = pdu.get("content").and_then(Value::as_object).cloned().unwrap_or_default();
        // A rendered event may have less content than the stored one, and fields that are only for clients.
        let mut content = rendered.content;
        content.retain(|field, _| covered.contains_key(field));
        pdu.insert("content".to_owned(), content.into());
        pdu.insert("event_id".to_owned(), rendered.event_id.as_str().into());
        pdu.insert("unsigned".to_owned(), rendered.unsigned);
        serde_json::value::to_raw_value(&pdu).map_err(|error| damaged(&error.to_string()))
    }

    /// The PDU as other servers get it.
    fn signed(&self, room: &Room, json: &str) -> Result<Map<String, Value>> {
        let platforms: Vec<_> = self.shared.platforms.iter().collect();
        let key_of = |server: &ruma::ServerName| {
            let platform = platforms.iter().find(|platform| platform.server_name() == server)?;
            Some(&*platform.signing_key)
        };
        let pdu = sign_for_departure(json, &room.rules, key_of);
        let pdu = pdu.map_err(|error| damaged(&error.to_string()))?;
        let pdu = serde_json::to_value(pdu).map_err(|error| damaged(&error.to_string()))?;
        match pdu {
            Value::Object(pdu) => Ok(pdu),
            _ => Err(damaged("an event that is no object")),
        }
    }

    /// The JSON of an event as it is stored.
    async fn stored_json(&self, room_id: &OwnedRoomId, event_id: &OwnedEventId) -> Result<Option<String>> {
        let store = self.store();
        let record = match store.get::<EventIds>(&EventKey { event_id: event_id.clone() }).await? {
            Some(EventPlaceRecord::Timeline(in_room, seq)) if in_room == *room_id => {
                let stored = store.get::<Timeline>(&TimelineKey { room_id: in_room, seq }).await?;
                stored.map(|stored| stored.value)
            }
            Some(EventPlaceRecord::Hidden(in_room)) if in_room == *room_id => {
                let key = RoomEventKey { room_id: in_room, event_id: event_id.clone() };
                store.get::<HiddenEvents>(&key).await?
            }
            _ => None,
        };
        Ok(record.map(|record| record.pdu))
    }
}
