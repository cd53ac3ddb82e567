//! Events in the format for clients.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-event-format>

use std::borrow::Cow;

use ruma::{EventId, OwnedEventId, RoomId, events::room::member::MembershipState};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Pdu, pdu::redacts_of_content};

/// What a server says of an event beside the event itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Unsigned {
    /// Milliseconds since the event was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// The sending device's own transaction id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// The id that the event had while it was delayed.
    #[serde(rename = "org.matrix.msc4140.delay_id", skip_serializing_if = "Option::is_none")]
    pub delay_id: Option<String>,
    /// The time at which the event loses its content, in milliseconds since the Unix epoch.
    #[serde(rename = "org.linkspan.disappears_ts", skip_serializing_if = "Option::is_none")]
    pub disappears_ts: Option<u64>,
    /// The membership that the user who reads this had when the event happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub membership: Option<MembershipState>,
    /// The state event that it replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces_state: Option<OwnedEventId>,
    /// The content of the event that it replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_content: Option<Box<RawValue>>,
    /// The redaction, if the event was redacted, in the format for clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted_because: Option<Box<RawValue>>,
    /// Bundled aggregations of relations.
    #[serde(rename = "m.relations", skip_serializing_if = "Option::is_none")]
    pub relations: Option<Box<RawValue>>,
}

/// An event in the format for clients, borrowed from a PDU.
#[derive(Debug, Serialize)]
pub struct ClientEvent<'a> {
    content: Cow<'a, RawValue>,
    event_id: &'a EventId,
    origin_server_ts: u64,
    /// None in a sync, which names the room around its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a RoomId>,
    sender: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a str>,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacts: Option<&'a EventId>,
    unsigned: Unsigned,
}

impl<'a> ClientEvent<'a> {
    /// The event with its room's id. A redaction names what it redacts in both places where clients look for it,
    /// whichever of them its room version has.
    /// <https://spec.matrix.org/v1.19/rooms/v11/#moving-the-redacts-property-of-mroomredaction-events-to-a-content-property>
    pub fn new(pdu: &'a Pdu, unsigned: Unsigned) -> Self {
        Self {
            content: content_for_clients(pdu),
            event_id: &pdu.event_id,
            origin_server_ts: pdu.origin_server_ts.get().into(),
            room_id: Some(&pdu.room_id),
            sender: pdu.sender.as_str(),
            state_key: pdu.state_key.as_deref(),
            event_type: pdu.event_type.to_string(),
            redacts: pdu.redacts.as_deref(),
            unsigned,
        }
    }

    /// The event without its room's id, as sync sends it.
    pub fn without_room_id(pdu: &'a Pdu, unsigned: Unsigned) -> Self {
        Self { room_id: None, ..Self::new(pdu, unsigned) }
    }

    /// Writes the event as JSON.
    pub fn to_json(&self) -> Box<RawValue> {
        serde_json::value::to_raw_value(self).expect("an event is JSON")
    }
}

fn content_for_clients(pdu: &Pdu) -> Cow<'_, RawValue> {
    pdu.redacts
        .as_ref()
        .filter(|redacts| redacts_of_content(&pdu.content).as_ref() != Some(*redacts))
        .and_then(|redacts| {
            let mut content: serde_json::Map<String, serde_json::Value> = pdu.content_as()?;
            content.insert("redacts".to_owned(), redacts.as_str().into());
            serde_json::value::to_raw_value(&content).ok()
        })
        .map_or(Cow::Borrowed(&*pdu.content), Cow::Owned)
}

/// A state event in the form that people outside the room are shown.
/// <https://spec.matrix.org/v1.19/client-server-api/#stripped-state>
pub fn stripped_state_event(pdu: &Pdu) -> String {
    #[derive(Serialize)]
    struct Stripped<'a> {
        content: &'a RawValue,
        sender: &'a str,
        state_key: &'a str,
        #[serde(rename = "type")]
        event_type: String,
        event_id: &'a EventId,
        origin_server_ts: u64,
        room_id: &'a RoomId,
    }
    serde_json::to_string(&Stripped {
        content: &pdu.content,
        sender: pdu.sender.as_str(),
        state_key: pdu.state_key.as_deref().unwrap_or_default(),
        event_type: pdu.event_type.to_string(),
        event_id: &pdu.event_id,
        origin_server_ts: pdu.origin_server_ts.get().into(),
        room_id: &pdu.room_id,
    })
    .expect("an event is JSON")
}
