//! Events and the rules of rooms, on top of ruma.
//!
//! Everything here is a pure function of its arguments: no I/O, no clock, no randomness. What a
//! rule needs to know (events, states) is handed in.

mod authorization;
mod ciphertext;
mod client_event;
mod content_kind;
mod departure;
mod disappearing;
mod discovery;
mod draft;
mod emoji;
mod encryption_rule;
mod first_contact;
mod form;
mod invite_permission;
mod pdu;
mod policy_server;
mod power;
mod reach;
mod readable;
mod redaction;
mod resolution;
mod third_party_invite;
mod verification;
pub mod versions;
mod visibility;

pub use authorization::{Forbidden, auth_event_keys, authorize, check_auth_events};
pub use client_event::{ClientEvent, Unsigned, stripped_state_event};
pub use content_kind::ContentKind;
pub use departure::{DepartureError, sign_for_departure};
pub use disappearing::{MAX_TIMER_MS, MIN_TIMER_MS, TIMER_TYPE, can_disappear, parse_timer};
pub use discovery::{
    Audience, BadDiscovery, DISCOVERY_TYPE, Discovery, Finder, FoundBy, may_find, parse_discovery,
    write_discovery,
};
pub use draft::{Draft, DraftError, MAX_DEPTH, Place, parse_content, room_id_is_hash};
pub use encryption_rule::{
    EncryptionRefusal, EncryptionRule, RoomEncryption, RulesPresent, check_event, check_member,
    check_redacted, check_to_device,
};
pub use first_contact::{ANSWER_DAYS, DAYS_TO_ANSWER, FirstContacts, approaches_per_day};
pub use form::{Malformed, check_form};
pub use invite_permission::{INVITE_LISTS_TYPE, INVITE_PERMISSION_TYPES, InvitePermission};
pub use pdu::{MAX_PDU_BYTES, Pdu, PduError, SharedPdu, StateKey};
pub use policy_server::{POLICY_SERVER_TYPE, PolicyServer};
pub use power::PowerLevels;
pub use reach::{
    Approach, BadReachRules, MAX_REACH_RULES, REACH_TYPE, Reach, ReachKind, ReachRule, Relation, Source,
    decide_reach, default_reach_rules, parse_reach_rules, write_reach_rules,
};
pub use redaction::{redact, redacts_through_content, without_content};
pub use resolution::{Arena, ResolveError, resolve};
pub use third_party_invite::{InvitationKey, masked_address, shown_name, token_of_public_key};
pub use verification::take_words_out;
pub use visibility::{HistoryVisibility, Seen};
