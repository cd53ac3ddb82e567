//! Making an event: from what a client asks for to a hashed PDU with its id.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId,
    OwnedUserId,
    events::TimelineEventType,
    room_version_rules::{RoomIdFormatVersion, RoomVersionRules},
    signatures::{add_content_hash_to_event, reference_hash},
};

use crate::{MAX_PDU_BYTES, Pdu, redacts_through_content};

/// The longest type and state key, in bytes.
/// <https://spec.matrix.org/v1.19/client-server-api/#size-limits>
const MAX_ID_BYTES: usize = 255;

/// Objects and lists in each other, of a content. Parsers stop at 128, with all that is around it.
const MAX_DEPTH: usize = 100;

/// An event could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// It is larger than an event may be, or one of its ids is.
    #[error("{0}")]
    TooLarge(String),
    /// It is not canonical JSON, or not an event.
    #[error("{0}")]
    Malformed(String),
}

/// What is to become an event.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its type.
    pub event_type: TimelineEventType,
    /// Present on state events.
    pub state_key: Option<String>,
    /// Its content.
    pub content: CanonicalJsonObject,
    /// The event it redacts, if it is a redaction.
    pub redacts: Option<OwnedEventId>,
}

/// Parses the content of an event as a client gave it.
///
/// Fails for JSON that is not an object, or not canonical: floats, integers beyond ±2^53; and for what is
/// nested so deep that the event around it could not be read any more.
pub fn parse_content(json: &str) -> Result<CanonicalJsonObject, DraftError> {
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(serde_json::Value::Object(map)) if map.values().any(|value| is_deeper(value, MAX_DEPTH)) => {
            Err(DraftError::Malformed("the content is nested too deep".into()))
        }
        Ok(serde_json::Value::Object(map)) => ruma::canonical_json::try_from_json_map(map)
            .map_err(|error| DraftError::Malformed(error.to_string())),
        Ok(_) => Err(DraftError::Malformed("the content is not an object".into())),
        Err(error) => Err(DraftError::Malformed(error.to_string())),
    }
}

impl Draft {
    /// A message-like event.
    pub fn message(event_type: TimelineEventType, content: CanonicalJsonObject) -> Self {
        Self { event_type, state_key: None, content, redacts: None }
    }

    /// A state event.
    pub fn state(
        event_type: TimelineEventType,
        state_key: impl Into<String>,
        content: CanonicalJsonObject,
    ) -> Self {
        Self { event_type, state_key: Some(state_key.into()), content, redacts: None }
    }

    /// Puts the event into its place in the graph and finds its hashes and its id.
    ///
    /// `room_id` is None for the create event of a room whose id is that event's hash. Returns the
    /// event and its canonical JSON, which is not signed yet.
    pub fn into_pdu(
        self,
        rules: &RoomVersionRules,
        room_id: Option<&OwnedRoomId>,
        sender: &OwnedUserId,
        origin_server_ts: MilliSecondsSinceUnixEpoch,
        place: Place,
    ) -> Result<(Pdu, String), DraftError> {
        let Self { event_type, state_key, mut content, redacts } = self;
        check_id("type", &event_type.to_string())?;
        if let Some(state_key) = &state_key {
            check_id("state_key", state_key)?;
        }
        let text = CanonicalJsonValue::String;
        let ids = |ids: &[OwnedEventId]| {
            CanonicalJsonValue::Array(ids.iter().map(|id| text(id.to_string())).collect())
        };
        let mut object = CanonicalJsonObject::new();
        if let Some(redacts) = &redacts {
            if redacts_through_content(rules) {
                content.insert("redacts".into(), text(redacts.to_string()));
            } else {
                object.insert("redacts".into(), text(redacts.to_string()));
            }
        }
        object.insert("auth_events".into(), ids(&place.auth_events));
        object.insert("content".into(), CanonicalJsonValue::Object(content));
        object.insert("depth".into(), integer(place.depth));
        object.insert("origin_server_ts".into(), integer(origin_server_ts.get().into()));
        object.insert("prev_events".into(), ids(&place.prev_events));
        if let Some(room_id) = room_id {
            object.insert("room_id".into(), text(room_id.to_string()));
        }
        object.insert("sender".into(), text(sender.to_string()));
        if let Some(state_key) = state_key {
            object.insert("state_key".into(), text(state_key));
        }
        object.insert("type".into(), text(event_type.to_string()));
        finish(object, rules)
    }
}

/// The place of a new event in a room's graph.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The events it follows.
    pub prev_events: Vec<OwnedEventId>,
    /// The events that allow it.
    pub auth_events: Vec<OwnedEventId>,
    /// One more than the greatest depth of the events it follows.
    pub depth: u64,
}

/// Whether the id of a room of this version is the hash of its create event.
pub fn room_id_is_hash(rules: &RoomVersionRules) -> bool {
    rules.room_id_format == RoomIdFormatVersion::V2
}

fn is_deeper(value: &serde_json::Value, depth: usize) -> bool {
    match value {
        serde_json::Value::Array(values) => {
            depth == 0 || values.iter().any(|value| is_deeper(value, depth - 1))
        }
        serde_json::Value::Object(values) => {
            depth == 0 || values.values().any(|value| is_deeper(value, depth - 1))
        }
        _ => false,
    }
}

fn finish(mut object: CanonicalJsonObject, rules: &RoomVersionRules) -> Result<(Pdu, String), DraftError> {
    let hashing = |error: ruma::signatures::JsonError| DraftError::TooLarge(error.to_string());
    add_content_hash_to_event(&mut object).map_err(hashing)?;
    let hash = reference_hash(&object, rules).map_err(hashing)?;
    let json = serde_json::to_string(&object).map_err(|error| DraftError::Malformed(error.to_string()))?;
    // Leave room for the signature that is added when the event leaves for another server.
    if json.len() + SIGNATURE_BYTES > MAX_PDU_BYTES {
        return Err(DraftError::TooLarge(format!("the event has more than {MAX_PDU_BYTES} bytes")));
    }
    let event_id = format!("${hash}").try_into().expect("a hash after `$` is an event id");
    let pdu = Pdu::from_stored(event_id, &json).map_err(|error| DraftError::Malformed(error.to_string()))?;
    Ok((pdu, json))
}

/// Bytes that `"signatures":{"SERVER":{"ed25519:KEY":"…"}},` takes at most.
const SIGNATURE_BYTES: usize = 512;

fn check_id(field: &str, value: &str) -> Result<(), DraftError> {
    if value.len() > MAX_ID_BYTES {
        return Err(DraftError::TooLarge(format!("`{field}` has more than {MAX_ID_BYTES} bytes")));
    }
    Ok(())
}

fn integer(value: u64) -> CanonicalJsonValue {
    CanonicalJsonValue::Integer(i64::try_from(value).ok().and_then(Int::new).unwrap_or(Int::MAX))
}
