//! Making an event: from what a client asks for to a hashed PDU with its id.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD},
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId,
    OwnedUserId, UInt,
    canonical_json::redact_content_in_place,
    events::{TimelineEventType, room::member::MembershipState},
    room_version_rules::{RoomIdFormatVersion, RoomVersionRules},
};
use sha2::{Digest, Sha256};

use crate::{MAX_PDU_BYTES, Pdu, pdu::redacts_of_content, redacts_through_content};

/// The longest type and state key, in bytes.
/// <https://spec.matrix.org/v1.19/client-server-api/#size-limits>
const MAX_ID_BYTES: usize = 255;

/// How deeply objects and lists may be nested in a content, and in whatever else is kept and given to others.
/// Parsers stop at 128 levels, which include those around the content.
pub const MAX_DEPTH: usize = 100;

/// An event could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The event is larger than an event may be, or one of its ids is.
    #[error("{0}")]
    TooLarge(String),
    /// The event is not canonical JSON, or not an event.
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

    /// The membership that a member event is to set; None: it is another event, or it says none.
    pub fn membership(&self) -> Option<MembershipState> {
        let is_member = self.event_type == TimelineEventType::RoomMember;
        let membership = self.content.get("membership").filter(|_| is_member)?;
        Some(membership.as_str()?.into())
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
        let event_type = event_type.to_string();
        check_id("type", &event_type)?;
        if let Some(state_key) = &state_key {
            check_id("state_key", state_key)?;
        }
        let redacts_through_content = redacts_through_content(rules);
        if let Some(redacts) = redacts.as_ref().filter(|_| redacts_through_content) {
            content.insert("redacts".into(), CanonicalJsonValue::String(redacts.to_string()));
        }
        let malformed = |error: serde_json::Error| DraftError::Malformed(error.to_string());
        let whole = serde_json::value::to_raw_value(&content).map_err(malformed)?;
        redact_content_in_place(&mut content, &rules.redaction, &event_type);
        let kept = serde_json::to_string(&content).map_err(malformed)?;

        let mut before_content = String::from("{\"auth_events\":");
        write_json(&mut before_content, &place.auth_events);
        before_content.push_str(",\"content\":");
        let depth = format!(",\"depth\":{}", integer(place.depth));
        let mut before_redacts = format!(",\"origin_server_ts\":{},\"prev_events\":", origin_server_ts.get());
        write_json(&mut before_redacts, &place.prev_events);
        let mut redacts_field = String::new();
        if let Some(redacts) = redacts.as_ref().filter(|_| !redacts_through_content) {
            redacts_field.push_str(",\"redacts\":");
            write_json(&mut redacts_field, redacts);
        }
        let mut end = String::new();
        if let Some(room_id) = room_id {
            end.push_str(",\"room_id\":");
            write_json(&mut end, room_id);
        }
        end.push_str(",\"sender\":");
        write_json(&mut end, sender);
        if let Some(state_key) = &state_key {
            end.push_str(",\"state_key\":");
            write_json(&mut end, state_key);
        }
        end.push_str(",\"type\":");
        write_json(&mut end, &event_type);
        end.push('}');

        let content_hash =
            sha256(&[&before_content, whole.get(), &depth, &before_redacts, &redacts_field, &end]);
        let hashes = format!(",\"hashes\":{{\"sha256\":\"{}\"}}", STANDARD_NO_PAD.encode(content_hash));
        // A redaction keeps all that stands around the content, but not `redacts`.
        let reference_hash = sha256(&[&before_content, &kept, &depth, &hashes, &before_redacts, &end]);
        let json =
            [&before_content, whole.get(), &depth, &hashes, &before_redacts, &redacts_field, &end].concat();
        // Leave room for the signature that is added when the event leaves for another server.
        if json.len() + SIGNATURE_BYTES > MAX_PDU_BYTES {
            return Err(DraftError::TooLarge(format!("the event has more than {MAX_PDU_BYTES} bytes")));
        }
        let hash = URL_SAFE_NO_PAD.encode(reference_hash);
        let event_id: OwnedEventId = format!("${hash}").try_into().expect("a hash after `$` is an event id");
        let room_id = match room_id {
            Some(room_id) => room_id.clone(),
            None => format!("!{hash}").try_into().expect("a hash after `!` is a room id"),
        };
        let event_type = TimelineEventType::from(event_type);
        let redacts = match event_type {
            TimelineEventType::RoomRedaction => redacts.or_else(|| redacts_of_content(&whole)),
            _ => None,
        };
        let pdu = Pdu {
            event_id,
            room_id,
            sender: sender.clone(),
            origin_server_ts,
            event_type,
            state_key,
            content: whole,
            prev_events: place.prev_events,
            auth_events: place.auth_events,
            depth: place.depth,
            redacts,
            redacted_by: None,
            rejected: false,
            withheld: false,
        };
        Ok((pdu, json))
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

/// Whether the ids of rooms of this version are the hashes of their create events.
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

/// The most bytes that `"signatures":{"SERVER":{"ed25519:KEY":"…"}},` takes.
const SIGNATURE_BYTES: usize = 512;

fn check_id(field: &str, value: &str) -> Result<(), DraftError> {
    if value.len() > MAX_ID_BYTES {
        return Err(DraftError::TooLarge(format!("`{field}` has more than {MAX_ID_BYTES} bytes")));
    }
    Ok(())
}

/// Converts a number. The greatest integer of canonical JSON stands for all that are greater.
fn integer(value: u64) -> u64 {
    value.min(UInt::MAX.into())
}

fn write_json(to: &mut String, value: &(impl serde::Serialize + ?Sized)) {
    to.push_str(&serde_json::to_string(value).expect("ids and strings are JSON"));
}

fn sha256(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
