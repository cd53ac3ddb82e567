//! What platforms demand of encryption, and what that means for a room: which events it takes, who may come in.
//!
//! One platform may require that messages are encrypted, another may forbid it. In a room the rules of all platforms
//! hold whose people are in it or invited. What a message is, and whether it can be read, is decided in
//! [`crate::readable`].

use ruma::{
    OwnedServerName, ServerName,
    events::{StateEventType, TimelineEventType},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    Pdu,
    readable::{can_be_read, has_ciphertext, is_encrypted, is_message_type, is_sealed_for_devices},
    verification::is_step_between_devices,
};

/// The algorithms that encrypt the messages of rooms.
/// <https://spec.matrix.org/v1.19/client-server-api/#mroomencryption>
pub(crate) const ROOM_ALGORITHMS: [&str; 1] = ["m.megolm.v1.aes-sha2"];
/// The type of encrypted messages, in rooms and to devices.
const ENCRYPTED: &str = "m.room.encrypted";

/// What a platform demands of the messages in the rooms that its people are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptionRule {
    /// The messages must be encrypted.
    Required,
    /// The messages must not be encrypted.
    Forbidden,
}

impl EncryptionRule {
    /// Whether an event of a room is kept from the people of a platform with this rule. Such an event can be
    /// there because it came before these people, or before the rule.
    pub fn hides(self, pdu: &Pdu) -> bool {
        match self {
            Self::Required => can_be_read(pdu),
            Self::Forbidden => is_encrypted(pdu),
        }
    }
}

/// What a room's `m.room.encryption` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomEncryption {
    /// The room is not encrypted.
    Off,
    /// The event names no known algorithm. That satisfies neither those who require encryption nor those who
    /// forbid it.
    Unknown,
    /// The room is encrypted.
    On,
}

impl RoomEncryption {
    /// Reads the state event. Without one, encryption is off.
    pub fn of(event: Option<&Pdu>) -> Self {
        #[derive(Deserialize)]
        struct Content {
            #[serde(default)]
            algorithm: Value,
        }
        let content: Option<Content> = event.and_then(Pdu::content_as);
        match content.map(|content| content.algorithm) {
            None | Some(Value::Null) => Self::Off,
            Some(Value::String(algorithm)) if ROOM_ALGORITHMS.contains(&algorithm.as_str()) => Self::On,
            Some(_) => Self::Unknown,
        }
    }
}

/// The rules of the platforms whose people are in a room or invited, with how many these are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesPresent(Vec<(OwnedServerName, EncryptionRule, u64)>);

impl RulesPresent {
    /// Notes that somebody of a platform with this rule has come.
    pub fn add(&mut self, platform: &ServerName, rule: EncryptionRule) {
        match self.0.iter_mut().find(|(present, ..)| present == platform) {
            Some((_, _, people)) => *people += 1,
            None => self.0.push((platform.to_owned(), rule, 1)),
        }
    }

    /// Notes that somebody of this platform has gone.
    pub fn remove(&mut self, platform: &ServerName) {
        if let Some(at) = self.0.iter().position(|(present, ..)| present == platform) {
            let people = &mut self.0[at].2;
            *people = people.saturating_sub(1);
            if *people == 0 {
                self.0.remove(at);
            }
        }
    }

    /// Whether nobody has a rule.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Finds a platform that has this rule.
    pub fn platform_with(&self, rule: EncryptionRule) -> Option<&OwnedServerName> {
        self.0.iter().find(|(_, present, _)| *present == rule).map(|(platform, ..)| platform)
    }

    /// Checks that no two of the platforms have rules that exclude each other.
    pub fn check_agree(&self) -> Result<(), EncryptionRefusal> {
        let required = self.platform_with(EncryptionRule::Required);
        let forbidden = self.platform_with(EncryptionRule::Forbidden);
        match (required, forbidden) {
            (Some(requires), Some(forbids)) => {
                Err(EncryptionRefusal::Excluding { requires: requires.clone(), forbids: forbids.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// A platform's rule on encryption does not allow something. The text says why, to the person who tries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionRefusal {
    /// The message can be read.
    #[error(
        "{0} requires end-to-end encryption: in rooms with its people only encrypted messages are accepted, and this \
         one is not encrypted"
    )]
    Readable(OwnedServerName),
    /// The encrypted message has no ciphertext, or something to read beside it.
    #[error(
        "{0} requires end-to-end encryption: this encrypted message has no ciphertext, or something to read beside it"
    )]
    BesideCiphertext(OwnedServerName),
    /// The reaction has words in it.
    #[error(
        "{0} requires end-to-end encryption: a reaction, which is not encrypted, can be no more than an emoji"
    )]
    WordsInReaction(OwnedServerName),
    /// The encrypted message to devices is not one that a device makes.
    #[error(
        "{0} requires end-to-end encryption: this encrypted message to devices has something to read in it"
    )]
    BesideOlm(OwnedServerName),
    /// The message is encrypted.
    #[error("{0} forbids end-to-end encryption: in rooms with its people no encrypted messages are accepted")]
    Encrypted(OwnedServerName),
    /// The encrypted message goes to somebody else's devices.
    #[error(
        "{0} forbids end-to-end encryption: its people and others send each other's devices nothing encrypted"
    )]
    EncryptedToDevices(OwnedServerName),
    /// The event turns encryption on.
    #[error("{0} forbids end-to-end encryption: it cannot be turned on in a room with its people")]
    TurnedOn(OwnedServerName),
    /// The event turns encryption off, or into something that is no encryption.
    #[error("{0} requires end-to-end encryption: it cannot be turned off in a room with its people")]
    TurnedOff(OwnedServerName),
    /// Somebody comes into a room that is not encrypted.
    #[error(
        "{0} requires end-to-end encryption, and this room is not encrypted: its people cannot be in it until \
         encryption is turned on"
    )]
    RoomReadable(OwnedServerName),
    /// Somebody comes into a room that is encrypted.
    #[error("{0} forbids end-to-end encryption, and this room is encrypted: its people cannot be in it")]
    RoomEncrypted(OwnedServerName),
    /// The room would have people of two platforms whose rules exclude each other.
    #[error(
        "{requires} requires end-to-end encryption and {forbids} forbids it: their people cannot be in one room"
    )]
    Excluding {
        /// The platform that requires encryption.
        requires: OwnedServerName,
        /// The platform that forbids it.
        forbids: OwnedServerName,
    },
}

impl EncryptionRefusal {
    /// The name of the broken rule, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Readable(_)
            | Self::BesideCiphertext(_)
            | Self::WordsInReaction(_)
            | Self::BesideOlm(_)
            | Self::TurnedOff(_)
            | Self::RoomReadable(_) => "encryption_required",
            Self::Encrypted(_) | Self::EncryptedToDevices(_) | Self::TurnedOn(_) | Self::RoomEncrypted(_) => {
                "encryption_forbidden"
            }
            Self::Excluding { .. } => "encryption_rules_exclude",
        }
    }
}

/// Whether a room with these rules takes an event: a message, or a change of its encryption. [`check_member`]
/// is asked about who may come in.
///
/// Redactions are always taken, because what they take away must go. [`EncryptionRule::hides`] says what
/// becomes of the words in one.
pub fn check_event(present: &RulesPresent, pdu: &Pdu) -> Result<(), EncryptionRefusal> {
    if present.is_empty() || (pdu.event_type == TimelineEventType::RoomRedaction && pdu.state_key.is_none()) {
        return Ok(());
    }
    let turns = pdu.is_state(&StateEventType::RoomEncryption, "").then(|| RoomEncryption::of(Some(pdu)));
    if let Some(platform) = present.platform_with(EncryptionRule::Required) {
        if turns.is_some_and(|turns| turns != RoomEncryption::On) {
            return Err(EncryptionRefusal::TurnedOff(platform.clone()));
        }
        if can_be_read(pdu) {
            return Err(readable(pdu, platform.clone()));
        }
    }
    if let Some(platform) = present.platform_with(EncryptionRule::Forbidden) {
        if turns.is_some_and(|turns| turns != RoomEncryption::Off) {
            return Err(EncryptionRefusal::TurnedOn(platform.clone()));
        }
        if is_encrypted(pdu) {
            return Err(EncryptionRefusal::Encrypted(platform.clone()));
        }
    }
    Ok(())
}

fn readable(pdu: &Pdu, platform: OwnedServerName) -> EncryptionRefusal {
    match pdu.event_type {
        TimelineEventType::RoomEncrypted => EncryptionRefusal::BesideCiphertext(platform),
        TimelineEventType::Reaction => EncryptionRefusal::WordsInReaction(platform),
        _ => EncryptionRefusal::Readable(platform),
    }
}

/// Whether a room with these rules and this encryption takes somebody of `platform`, who comes in, is invited, or
/// asks to be.
pub fn check_member(
    present: &RulesPresent,
    encryption: RoomEncryption,
    platform: &ServerName,
    rule: EncryptionRule,
) -> Result<(), EncryptionRefusal> {
    let mut with = present.clone();
    with.add(platform, rule);
    with.check_agree()?;
    match (rule, encryption) {
        (EncryptionRule::Required, RoomEncryption::Off | RoomEncryption::Unknown) => {
            Err(EncryptionRefusal::RoomReadable(platform.to_owned()))
        }
        (EncryptionRule::Forbidden, RoomEncryption::On | RoomEncryption::Unknown) => {
            Err(EncryptionRefusal::RoomEncrypted(platform.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Whether a room with these rules lets an event lose its content. The event that turned encryption on must
/// keep it.
pub fn check_redacted(present: &RulesPresent, target: &Pdu) -> Result<(), EncryptionRefusal> {
    match present.platform_with(EncryptionRule::Required) {
        Some(platform) if target.is_state(&StateEventType::RoomEncryption, "") => {
            Err(EncryptionRefusal::TurnedOff(platform.clone()))
        }
        _ => Ok(()),
    }
}

/// Whether a message may go from a user with one rule to the devices of a user with another.
///
/// An encrypted message of a room's kind belongs into the room, and is refused here. What devices need to
/// agree on keys is let through. Somebody who forbids encryption has no key to share with others, so only
/// their own devices may pass secrets to each other.
pub fn check_to_device(
    present: &RulesPresent,
    event_type: &str,
    content: &RawValue,
    to_own_devices: bool,
) -> Result<(), EncryptionRefusal> {
    let encrypted = event_type == ENCRYPTED;
    if let Some(platform) = present.platform_with(EncryptionRule::Required) {
        let said = is_message_type(event_type) && !encrypted && !is_step_between_devices(event_type);
        if said {
            return Err(EncryptionRefusal::Readable(platform.clone()));
        }
        if encrypted && !is_sealed_for_devices(content) {
            return Err(EncryptionRefusal::BesideOlm(platform.clone()));
        }
    }
    match present.platform_with(EncryptionRule::Forbidden) {
        Some(platform) if !to_own_devices && (encrypted || has_ciphertext(content)) => {
            Err(EncryptionRefusal::EncryptedToDevices(platform.clone()))
        }
        _ => Ok(()),
    }
}
