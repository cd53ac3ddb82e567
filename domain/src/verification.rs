//! Steps of a verification in a room. Clients may send them in the clear, and this module says whether there
//! is anything to read in one.
//!
//! matrix-sdk encrypts these steps like everything else, matrix-js-sdk does not. They are made of keys,
//! hashes and names. Two of them have words for people as well, which no program needs.
//! <https://spec.matrix.org/v1.19/client-server-api/#key-verification-framework>

use std::collections::BTreeMap;

use ruma::{CanonicalJsonValue, events::TimelineEventType};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{Draft, readable::Relation};

/// What asks somebody to verify. In a room it is a kind of message, to devices it is a type.
const REQUEST: &str = "m.key.verification.request";
/// The types of all steps that follow. A list of prefixes would not do: the rest of a type could be a
/// sentence.
const STEPS: [&str; 7] = [
    "m.key.verification.accept",
    "m.key.verification.cancel",
    "m.key.verification.done",
    "m.key.verification.key",
    "m.key.verification.mac",
    "m.key.verification.ready",
    "m.key.verification.start",
];
/// The longest key, hash, id or name, in bytes.
const MAX_WORD_BYTES: usize = 255;
/// The most entries of a list or a map. There is one for each key or method.
const MAX_ENTRIES: usize = 32;
/// The fields that steps have, besides the relation to the request and the words for people.
const FIELDS: [&str; 19] = [
    "code",
    "commitment",
    "from_device",
    "hash",
    "hashes",
    "key",
    "key_agreement_protocol",
    "key_agreement_protocols",
    "keys",
    "mac",
    "message_authentication_code",
    "message_authentication_codes",
    "method",
    "methods",
    "msgtype",
    "secret",
    "short_authentication_string",
    "timestamp",
    "to",
];

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "m.relates_to")]
    relates_to: Option<Relation>,
    msgtype: Option<String>,
    /// The text of a request, which clients show that cannot verify.
    body: Option<String>,
    /// The reason of a cancellation.
    reason: Option<String>,
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
}

/// Whether an event is a step of a verification with nothing in it for people to read.
pub(crate) fn is_wordless_step(event_type: &TimelineEventType, content: &RawValue) -> bool {
    let Ok(step) = serde_json::from_str::<Step>(content.get()) else { return false };
    let is_step = match event_type {
        TimelineEventType::RoomMessage => step.msgtype.as_deref() == Some(REQUEST),
        // Every step but the request names the event that it belongs to.
        _ => {
            let belongs = step.relates_to.as_ref().is_some_and(Relation::is_reference);
            STEPS.contains(&event_type.to_string().as_str()) && step.msgtype.is_none() && belongs
        }
    };
    is_step
        && step.relates_to.is_none_or(|relation| relation.is_wordless())
        && step.body.is_none_or(|body| body.is_empty())
        && step.reason.is_none_or(|reason| reason.is_empty())
        && step.fields.iter().all(|(name, value)| FIELDS.contains(&name.as_str()) && is_wordless_value(value))
}

/// Whether devices send each other messages of this type to verify one another.
pub(crate) fn is_step_between_devices(event_type: &str) -> bool {
    event_type == REQUEST || STEPS.contains(&event_type)
}

/// Whether text is a word, as encoded bytes, ids and names are. A sentence is none.
fn is_word(text: &str) -> bool {
    text.len() <= MAX_WORD_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_wordless_value(value: &Value) -> bool {
    let is_word_too = |value: &Value| value.as_str().is_some_and(is_word);
    match value {
        Value::String(text) => is_word(text),
        Value::Array(all) => all.len() <= MAX_ENTRIES && all.iter().all(is_word_too),
        Value::Object(all) => {
            all.len() <= MAX_ENTRIES && all.iter().all(|(name, value)| is_word(name) && is_word_too(value))
        }
        _ => false,
    }
}

/// Empties the words for people in a step of a verification.
pub fn take_words_out(draft: &mut Draft) {
    let of_request = draft.event_type == TimelineEventType::RoomMessage
        && draft.content.get("msgtype").and_then(CanonicalJsonValue::as_str) == Some(REQUEST);
    let name = match draft.event_type {
        _ if of_request => "body",
        TimelineEventType::KeyVerificationCancel => "reason",
        _ => return,
    };
    if let Some(words) = draft.content.get_mut(name) {
        *words = CanonicalJsonValue::String(String::new());
    }
}
