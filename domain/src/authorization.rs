//! Whether an event is allowed, by ruma's authorisation rules.

use ruma::{
    EventId,
    events::StateEventType,
    room_version_rules::RoomVersionRules,
    state_res::{auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules},
};
use serde_json::value::RawValue;

use crate::{Malformed, SharedPdu, StateKey};

/// The rules do not allow an event. The text says why, to the sender.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Forbidden(pub String);

/// The entries of the state that allow (or forbid) an event, by which its `auth_events` are chosen. Fails for a
/// membership that does not have the form of one.
/// <https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection>
pub fn auth_event_keys(
    rules: &RoomVersionRules,
    event_type: &ruma::events::TimelineEventType,
    sender: &ruma::UserId,
    state_key: Option<&str>,
    content: &RawValue,
) -> Result<Vec<StateKey>, Malformed> {
    auth_types_for_event(event_type, sender, state_key, content, &rules.authorization).map_err(Malformed)
}

/// Checks an event against a state of its room.
/// <https://spec.matrix.org/v1.19/rooms/v12/#authorization-rules>
pub fn authorize(
    rules: &RoomVersionRules,
    pdu: &SharedPdu,
    state: impl Fn(&StateEventType, &str) -> Option<SharedPdu>,
) -> Result<(), Forbidden> {
    check_state_dependent_auth_rules(&rules.authorization, pdu.clone(), state).map_err(Forbidden)
}

/// Checks what does not depend on a state: a create event's own form, and that the `auth_events`
/// of any other event are the ones it may have.
pub fn check_auth_events(
    rules: &RoomVersionRules,
    pdu: &SharedPdu,
    event: impl Fn(&EventId) -> Option<SharedPdu>,
) -> Result<(), Forbidden> {
    check_state_independent_auth_rules(&rules.authorization, pdu.clone(), event).map_err(Forbidden)
}
