//! A persistent event of a room, parsed once and shared from then on.

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
    UInt, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
    signatures::reference_hash,
    state_res::{self, check_pdu_format},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::redacts_through_content;

/// The greatest size of a PDU: bytes of canonical JSON.
/// <https://spec.matrix.org/v1.19/client-server-api/#size-limits>
pub const MAX_PDU_BYTES: usize = 65_535;

/// The key of an entry in a room's state: the type and the state key of the event.
pub type StateKey = (StateEventType, String);

/// The JSON is not a PDU of the room version.
#[derive(Debug, thiserror::Error)]
#[error("malformed event: {0}")]
pub struct PduError(pub String);

/// An event as servers exchange it, with its id.
#[derive(Clone, Debug)]
pub struct Pdu {
    /// The event's id: `$` and the reference hash.
    pub event_id: OwnedEventId,
    /// The room; for the create event of a room of version 12, the room that it makes.
    pub room_id: OwnedRoomId,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// When the event was sent, by the clock of the sender's server.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// Its type.
    pub event_type: TimelineEventType,
    /// Present on state events.
    pub state_key: Option<String>,
    /// Its content.
    pub content: Box<RawValue>,
    /// The events it follows.
    pub prev_events: Vec<OwnedEventId>,
    /// The events that allow it.
    pub auth_events: Vec<OwnedEventId>,
    /// The length of the longest way to the create event.
    pub depth: u64,
    /// The event it redacts, if it is a redaction.
    pub redacts: Option<OwnedEventId>,
    /// The redaction that took its content away, if one did.
    pub redacted_by: Option<OwnedEventId>,
    /// Whether the event failed authorisation.
    pub rejected: bool,
    /// Whether the event is withheld from all but its sender.
    pub withheld: bool,
}

/// The fields of a PDU's JSON.
#[derive(Deserialize)]
struct Fields {
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    state_key: Option<String>,
    content: Box<RawValue>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    depth: UInt,
    redacts: Option<OwnedEventId>,
    unsigned: Option<UnsignedFields>,
}

#[derive(Deserialize)]
struct UnsignedFields {
    redacted_by: Option<OwnedEventId>,
}

#[derive(Deserialize)]
struct RedactionContent {
    redacts: Option<OwnedEventId>,
}

pub(crate) fn redacts_of_content(content: &RawValue) -> Option<OwnedEventId> {
    serde_json::from_str::<RedactionContent>(content.get()).ok().and_then(|content| content.redacts)
}

/// What an event has around its content when it is rendered, in bytes, as far as it is not long.
const USUAL_HEAD_BYTES: usize = 400;

impl Pdu {
    /// About how many bytes the event has when it is rendered for a client, without what relates to it.
    pub fn size_bytes(&self) -> usize {
        self.content.get().len() + self.state_key.as_ref().map_or(0, String::len) + USUAL_HEAD_BYTES
    }

    /// Parses the stored JSON of the event `event_id`.
    pub fn from_stored(event_id: OwnedEventId, json: &str) -> Result<Self, PduError> {
        let fields: Fields = serde_json::from_str(json).map_err(|error| PduError(error.to_string()))?;
        if !fields.content.get().starts_with('{') {
            return Err(PduError("the content is not an object".into()));
        }
        let room_id = match fields.room_id {
            Some(room_id) => room_id,
            None => format!("!{}", event_id.as_str().trim_start_matches('$'))
                .try_into()
                .map_err(|_| PduError("no room id".into()))?,
        };
        // Other events may have a field of that name, which means nothing.
        let redacts = match fields.event_type {
            TimelineEventType::RoomRedaction => {
                fields.redacts.or_else(|| redacts_of_content(&fields.content))
            }
            _ => None,
        };
        Ok(Self {
            event_id,
            room_id,
            sender: fields.sender,
            origin_server_ts: fields.origin_server_ts,
            event_type: fields.event_type,
            state_key: fields.state_key,
            content: fields.content,
            prev_events: fields.prev_events,
            auth_events: fields.auth_events,
            depth: fields.depth.into(),
            redacts,
            redacted_by: fields.unsigned.and_then(|unsigned| unsigned.redacted_by),
            rejected: false,
            withheld: false,
        })
    }

    /// Checks the format and size of a PDU that came from outside and finds its id.
    ///
    /// Signatures and authorisation are not looked at.
    pub fn from_received(object: &CanonicalJsonObject, rules: &RoomVersionRules) -> Result<Self, PduError> {
        check_pdu_format(object, &rules.event_format).map_err(PduError)?;
        let hash = reference_hash(object, rules).map_err(|error| PduError(error.to_string()))?;
        let event_id = format!("${hash}").try_into().map_err(|_| PduError("no event id".into()))?;
        let json = serde_json::to_string(object).map_err(|error| PduError(error.to_string()))?;
        let mut pdu = Self::from_stored(event_id, &json)?;
        // Only one of the two places is covered by the hash. Only what stands there is the same for
        // everybody.
        if pdu.redacts.is_some() && redacts_through_content(rules) {
            pdu.redacts = redacts_of_content(&pdu.content);
        } else if pdu.redacts.is_some() && !object.contains_key("redacts") {
            pdu.redacts = None;
        }
        Ok(pdu)
    }

    /// The entry of the room's state that the event sets, if it is a state event.
    pub fn state_entry(&self) -> Option<StateKey> {
        let state_key = self.state_key.as_ref()?;
        Some((self.event_type.to_string().into(), state_key.clone()))
    }

    /// Whether it sets the entry of the state that `event_type` and `state_key` name.
    pub fn is_state(&self, event_type: &StateEventType, state_key: &str) -> bool {
        self.state_key.as_deref() == Some(state_key) && self.event_type.to_string() == event_type.to_string()
    }

    /// The content as `T`, or None if it has another shape.
    pub fn content_as<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.content.get()).ok()
    }

    /// `content.membership` of a member event.
    pub fn membership(&self) -> Option<MembershipState> {
        #[derive(Deserialize)]
        struct Content {
            membership: MembershipState,
        }
        self.content_as::<Content>().map(|content| content.membership)
    }
}

impl state_res::Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    /// The field `room_id`. A create event whose hash is the room's id has none: it cannot name the room that
    /// it makes.
    fn room_id(&self) -> Option<&RoomId> {
        let makes_room = self.room_id.as_str()[1..] == self.event_id.as_str()[1..];
        (!makes_room).then_some(&*self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

/// Borrowed ids look up shared PDUs.
impl AsRef<EventId> for Pdu {
    fn as_ref(&self) -> &EventId {
        &self.event_id
    }
}

/// A shared PDU.
pub type SharedPdu = Arc<Pdu>;
