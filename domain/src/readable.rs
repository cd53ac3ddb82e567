//! Which events are messages, and which of these anybody on the way could read.
//!
//! What is not known to be encrypted counts as readable, so that a new type of message cannot slip through. Only the
//! shape of an encrypted message can be checked: whether its ciphertext is one, nobody without the key can tell.

use std::{borrow::Cow, collections::BTreeMap};

use ruma::{OwnedUserId, events::TimelineEventType};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Number, value::RawValue};

use crate::{
    Pdu,
    ciphertext::{is_key, is_megolm_message, is_olm_message},
    emoji::is_emoji,
    encryption_rule::ROOM_ALGORITHMS,
    verification::is_wordless_step,
};

/// The algorithm that encrypts what goes from device to device.
/// <https://spec.matrix.org/v1.19/client-server-api/#molmv1curve25519-aes-sha2>
const DEVICE_ALGORITHM: &str = "m.olm.v1.curve25519-aes-sha2";
/// The length of an event's id, in bytes. In all room versions that are hosted it is the length of a hash.
const EVENT_ID_BYTES: usize = 44;
/// The longest name that may stand in the clear, in bytes: of a device, a message or a type of relation.
const MAX_NAME_BYTES: usize = 64;
/// The most users whom a message mentions in the clear.
const MAX_MENTIONS: usize = 100;

/// The types of messages. A state event of such a type counts as a message too, although clients would not
/// show it as one.
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
/// The beginnings of the names of further types of messages.
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

/// Whether events of this type are messages, be they state or not.
pub(crate) fn is_message_type(event_type: &str) -> bool {
    MESSAGE_TYPES.contains(&event_type)
        || MESSAGE_PREFIXES.iter().any(|prefix| event_type.starts_with(prefix))
}

/// Whether an event is a message. Everything is one that is not state, and so is state that pretends to be a
/// message.
fn is_message(pdu: &Pdu) -> bool {
    #[derive(Deserialize)]
    struct Content {
        msgtype: Option<IgnoredAny>,
    }
    if pdu.state_key.is_none() || is_message_type(&pdu.event_type.to_string()) {
        return true;
    }
    // Most state does not have these words, and need not be parsed.
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
        // Whatever this field holds, clients show it as a message, even if it is empty.
        _ => return true,
    };
    // A redaction has taken away what there was to read.
    !sealed && pdu.redacted_by.is_none()
}

/// Whether an event is an encrypted message.
pub(crate) fn is_encrypted(pdu: &Pdu) -> bool {
    pdu.event_type == TimelineEventType::RoomEncrypted || has_ciphertext(&pdu.content)
}

/// Whether a content has the field in which ciphertext stands.
pub(crate) fn has_ciphertext(content: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Content {
        ciphertext: Option<IgnoredAny>,
    }
    content.get().contains("\"ciphertext\"")
        && serde_json::from_str(content.get()).is_ok_and(|content: Content| content.ciphertext.is_some())
}

/// A text, borrowed from the JSON where nothing in it is escaped.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An encrypted message: ciphertext, and around it only what is needed to find the key or to count relations.
/// <https://spec.matrix.org/v1.19/client-server-api/#mroomencrypted>
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    #[serde(borrow)]
    algorithm: Text<'a>,
    ciphertext: Text<'a>,
    session_id: Text<'a>,
    sender_key: Option<Text<'a>>,
    device_id: Option<Text<'a>>,
    #[serde(rename = "m.relates_to")]
    relates_to: Option<Relation>,
    /// The people whom the message mentions. Bridges say that in the clear.
    #[serde(rename = "m.mentions")]
    mentions: Option<Mentions>,
    /// A time that Element used to send, to measure how long sending takes.
    #[serde(rename = "io.element.performance_metrics")]
    #[expect(dead_code, reason = "its shape is all there is to know")]
    performance: Option<Performance>,
}

/// An encrypted message to devices. It has ciphertext for each device, by the device's key, and a number that
/// some clients add.
/// <https://spec.matrix.org/v1.19/client-server-api/#molmv1curve25519-aes-sha2>
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedForDevices<'a> {
    #[serde(borrow)]
    algorithm: Text<'a>,
    sender_key: Text<'a>,
    ciphertext: BTreeMap<Text<'a>, SealedForDevice<'a>>,
    #[serde(rename = "org.matrix.msgid")]
    message_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedForDevice<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(borrow)]
    body: Text<'a>,
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

/// A reaction as clients send it. It is not encrypted even in encrypted rooms, so that servers can count.
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
    let Ok(sealed) = serde_json::from_str::<Sealed<'_>>(content.get()) else { return false };
    ROOM_ALGORITHMS.contains(&&*sealed.algorithm.0)
        && is_megolm_message(&sealed.ciphertext.0)
        && is_key(&sealed.session_id.0)
        && sealed.sender_key.is_none_or(|key| is_key(&key.0))
        && sealed.device_id.is_none_or(|device_id| is_name(&device_id.0))
        && sealed.relates_to.as_ref().is_none_or(Relation::is_wordless)
        && sealed.mentions.is_none_or(|mentions| mentions.user_ids.len() <= MAX_MENTIONS)
}

/// Whether the content of a message to devices has nothing to read in it.
pub(crate) fn is_sealed_for_devices(content: &RawValue) -> bool {
    let Ok(sealed) = serde_json::from_str::<SealedForDevices<'_>>(content.get()) else { return false };
    let is_sealed = |one: &SealedForDevice<'_>| one.kind <= 1 && is_olm_message(&one.body.0, one.kind == 0);
    sealed.algorithm.0 == DEVICE_ALGORITHM
        && is_key(&sealed.sender_key.0)
        && !sealed.ciphertext.is_empty()
        && sealed.ciphertext.iter().all(|(key, one)| is_key(&key.0) && is_sealed(one))
        && sealed.message_id.is_none_or(|message_id| is_name(&message_id.0))
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
    /// Whether the relation says to which event this one belongs.
    pub(crate) fn is_reference(&self) -> bool {
        self.rel_type.as_deref() == Some("m.reference") && self.event_id.is_some()
    }

    pub(crate) fn is_wordless(&self) -> bool {
        let replied = self.in_reply_to.as_ref().map(|reply| &reply.event_id);
        self.rel_type.as_deref().is_none_or(is_name)
            && self.event_id.iter().chain(replied).all(|event_id| is_event_id(event_id))
            && self.key.as_deref().is_none_or(is_emoji)
    }
}

fn is_event_id(text: &str) -> bool {
    let is_of_hash = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == EVENT_ID_BYTES && text.starts_with('$') && text.bytes().skip(1).all(is_of_hash)
}

/// Whether text is a name that a program gives: short, and made of letters, digits and few other characters.
/// No sentence is one.
fn is_name(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=:".contains(&byte);
    text.len() <= MAX_NAME_BYTES && text.bytes().all(is_of_name)
}
