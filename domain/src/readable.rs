//! Which events are messages, and which of these anybody on the way could read.
//!
//! What is not known to be encrypted counts as readable, so that a new type of message cannot slip through. Only the
//! shape of an encrypted message can be checked: whether its ciphertext is one, nobody without the key can tell.

use ruma::{OwnedUserId, events::TimelineEventType};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Number, value::RawValue};

use crate::{Pdu, encryption_rule::ROOM_ALGORITHMS, verification::is_wordless_step};

/// The longest key of a reaction, in bytes: emoji of several people with colours of skin have 35.
const MAX_REACTION_BYTES: usize = 64;
/// The longest id of an event, in bytes: a hash has 44.
const MAX_EVENT_ID_BYTES: usize = 64;
/// The longest name in the clear (of a session, a device, a key, a type), in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 255;
/// The most users whom a message mentions in the clear.
const MAX_MENTIONS: usize = 100;

/// Types of messages. As state, which clients would not show as messages, they count as messages too.
const MESSAGE_TYPES: [&str; 19] = [
    "m.audio",
    "m.beacon",
    "m.emote",
    "m.encrypted",
    "m.file",
    "m.image",
    "m.location",
    "m.message",
    "m.notice",
    "m.reaction",
    "m.room.encrypted",
    "m.room.message",
    "m.room.message.feedback",
    "m.room.redaction",
    "m.sticker",
    "m.text",
    "m.video",
    "m.voice",
    "org.matrix.msc3672.beacon",
];
/// How further types of messages begin.
const MESSAGE_PREFIXES: [&str; 8] = [
    "m.call.answer",
    "m.call.candidates",
    "m.call.invite",
    "m.key.verification.",
    "m.poll.",
    "org.matrix.msc1767.",
    "org.matrix.msc3381.poll.",
    "org.matrix.msc3245.",
];

/// Whether events of this type are messages, state or not.
pub(crate) fn is_message_type(event_type: &str) -> bool {
    MESSAGE_TYPES.contains(&event_type)
        || MESSAGE_PREFIXES.iter().any(|prefix| event_type.starts_with(prefix))
}

/// Whether an event is a message: all that is no state, and state that pretends to be one.
fn is_message(pdu: &Pdu) -> bool {
    #[derive(Deserialize)]
    struct Content {
        msgtype: Option<IgnoredAny>,
    }
    if pdu.state_key.is_none() || is_message_type(&pdu.event_type.to_string()) {
        return true;
    }
    // Most state says nothing of the kind, and need not be parsed to know it.
    pdu.content.get().contains("\"msgtype\"")
        && pdu.content_as::<Content>().is_some_and(|content| content.msgtype.is_some())
}

/// Whether an event is a message with something to read in it.
pub(crate) fn can_be_read(pdu: &Pdu) -> bool {
    if !is_message(pdu) {
        return false;
    }
    let sealed = match pdu.event_type {
        TimelineEventType::RoomEncrypted => is_sealed(&pdu.content),
        TimelineEventType::Reaction => is_emoji_only(&pdu.content),
        TimelineEventType::RoomRedaction => is_wordless_redaction(&pdu.content),
        _ if is_wordless_step(&pdu.event_type, &pdu.content) => true,
        // Empty or not, what is shown of it is a message.
        _ => return true,
    };
    // A redaction has taken away what there was to read.
    !sealed && pdu.redacted_by.is_none()
}

/// Whether an event is an encrypted message.
pub(crate) fn is_encrypted(pdu: &Pdu) -> bool {
    #[derive(Deserialize)]
    struct Content {
        ciphertext: Option<IgnoredAny>,
    }
    match pdu.event_type {
        TimelineEventType::RoomEncrypted => true,
        _ => {
            pdu.content.get().contains("\"ciphertext\"")
                && pdu.content_as::<Content>().is_some_and(|content| content.ciphertext.is_some())
        }
    }
}

/// An encrypted message: ciphertext, and around it only what is needed to find the key, or to count relations.
/// <https://spec.matrix.org/v1.19/client-server-api/#mroomencrypted>
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    algorithm: String,
    ciphertext: String,
    session_id: Option<String>,
    sender_key: Option<String>,
    device_id: Option<String>,
    #[serde(rename = "m.relates_to")]
    relates_to: Option<Relation>,
    /// Bridges say in the clear whom they mention.
    #[serde(rename = "m.mentions")]
    mentions: Option<Mentions>,
    /// Element used to measure how long sending takes.
    #[serde(rename = "io.element.performance_metrics")]
    #[expect(dead_code, reason = "its shape is all there is to know")]
    performance: Option<Performance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Relation {
    rel_type: Option<String>,
    event_id: Option<String>,
    key: Option<String>,
    #[expect(dead_code, reason = "its shape is all there is to know")]
    is_falling_back: Option<bool>,
    #[serde(rename = "m.in_reply_to")]
    in_reply_to: Option<InReplyTo>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InReplyTo {
    event_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mentions {
    #[serde(default)]
    user_ids: Vec<OwnedUserId>,
    #[expect(dead_code, reason = "its shape is all there is to know")]
    room: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Performance {
    #[serde(rename = "sendStartTs")]
    #[expect(dead_code, reason = "its shape is all there is to know")]
    send_start_ts: Option<Number>,
}

/// A reaction as clients send it: never encrypted, also in encrypted rooms, so that servers can count.
/// <https://spec.matrix.org/v1.19/client-server-api/#mreaction>
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reaction {
    #[serde(rename = "m.relates_to")]
    relates_to: Relation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redaction {
    redacts: Option<String>,
}

fn is_sealed(content: &RawValue) -> bool {
    let Ok(sealed) = serde_json::from_str::<Sealed>(content.get()) else { return false };
    let names = [&sealed.session_id, &sealed.sender_key, &sealed.device_id];
    ROOM_ALGORITHMS.contains(&sealed.algorithm.as_str())
        && !sealed.ciphertext.is_empty()
        && is_solid(&sealed.ciphertext)
        && names.into_iter().flatten().all(|name| name.len() <= MAX_NAME_BYTES && is_solid(name))
        && sealed.relates_to.as_ref().is_none_or(Relation::is_wordless)
        && sealed.mentions.is_none_or(|mentions| mentions.user_ids.len() <= MAX_MENTIONS)
}

fn is_emoji_only(content: &RawValue) -> bool {
    let Ok(reaction) = serde_json::from_str::<Reaction>(content.get()) else { return false };
    let relation = &reaction.relates_to;
    relation.rel_type.as_deref() == Some("m.annotation")
        && relation.event_id.is_some()
        && relation.key.is_some()
        && relation.in_reply_to.is_none()
        && relation.is_wordless()
}

fn is_wordless_redaction(content: &RawValue) -> bool {
    serde_json::from_str::<Redaction>(content.get())
        .is_ok_and(|redaction| redaction.redacts.as_deref().is_none_or(is_event_id))
}

impl Relation {
    /// Whether it says to which event another belongs.
    pub(crate) fn is_reference(&self) -> bool {
        self.rel_type.as_deref() == Some("m.reference") && self.event_id.is_some()
    }

    pub(crate) fn is_wordless(&self) -> bool {
        let replied = self.in_reply_to.as_ref().map(|reply| &reply.event_id);
        self.rel_type.as_ref().is_none_or(|rel_type| rel_type.len() <= MAX_NAME_BYTES && is_solid(rel_type))
            && self.event_id.iter().chain(replied).all(|event_id| is_event_id(event_id))
            && self.key.as_deref().is_none_or(is_emoji)
    }
}

fn is_event_id(text: &str) -> bool {
    text.starts_with('$') && text.len() <= MAX_EVENT_ID_BYTES && is_solid(text)
}

/// Short, and with one letter or digit at most: some emoji are made of one. A word is none, nor is the address of a
/// picture.
fn is_emoji(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= MAX_REACTION_BYTES
        && key.chars().filter(|character| character.is_alphanumeric()).count() <= 1
}

/// Encoded bytes and names are; a sentence is not.
pub(crate) fn is_solid(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}
