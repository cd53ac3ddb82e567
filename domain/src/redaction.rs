//! Taking the content of an event away.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId,
    canonical_json::{redact_content_in_place, redact_in_place},
    room_version_rules::RoomVersionRules,
};

use crate::{Pdu, PduError};

/// Whether redactions of this version name their target in `content.redacts` (since version 11).
pub fn redacts_through_content(rules: &RoomVersionRules) -> bool {
    rules.redaction.content_field_redacts
}

/// The redacted form of an event's JSON, which remembers the redaction in `unsigned.redacted_by`.
/// <https://spec.matrix.org/v1.19/rooms/v12/#redactions>
pub fn redact(json: &str, rules: &RoomVersionRules, redacted_by: &EventId) -> Result<String, PduError> {
    let malformed = |error: &dyn std::fmt::Display| PduError(error.to_string());
    let mut object: CanonicalJsonObject = serde_json::from_str(json).map_err(|error| malformed(&error))?;
    redact_in_place(&mut object, &rules.redaction, None).map_err(|error| malformed(&error))?;
    let unsigned = CanonicalJsonObject::from_iter([(
        "redacted_by".to_owned(),
        CanonicalJsonValue::String(redacted_by.to_string()),
    )]);
    object.insert("unsigned".into(), CanonicalJsonValue::Object(unsigned));
    serde_json::to_string(&object).map_err(|error| malformed(&error))
}

/// A copy of the event with its content redacted. The copy does not count as a redacted event.
/// <https://spec.matrix.org/v1.19/rooms/v12/#redactions>
pub fn without_content(pdu: &Pdu, rules: &RoomVersionRules) -> Result<Pdu, PduError> {
    let malformed = |error: &dyn std::fmt::Display| PduError(error.to_string());
    let mut content: CanonicalJsonObject =
        serde_json::from_str(pdu.content.get()).map_err(|error| malformed(&error))?;
    redact_content_in_place(&mut content, &rules.redaction, pdu.event_type.to_string());
    let content = serde_json::value::to_raw_value(&content).map_err(|error| malformed(&error))?;
    Ok(Pdu { content, ..pdu.clone() })
}
