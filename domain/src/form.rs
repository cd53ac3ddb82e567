//! Checks an event's own form. An event that fails is never allowed, whoever sends it.

use ruma::{
    UserId,
    events::{TimelineEventType, room::member::MembershipState},
    room_version_rules::{AuthorizationRules, RoomVersionRules},
    state_res::events::{
        RoomCreateEvent, RoomMemberEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField as Level,
    },
};

use crate::{Forbidden, SharedPdu, check_auth_events};

/// The fields of power levels that are a single level.
const SINGLE_LEVELS: [Level; 7] = [
    Level::UsersDefault,
    Level::EventsDefault,
    Level::StateDefault,
    Level::Ban,
    Level::Redact,
    Level::Kick,
    Level::Invite,
];

/// An event has a form that the rules never allow, whoever sends it. The text says why, to the sender.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl From<Malformed> for Forbidden {
    fn from(error: Malformed) -> Self {
        Self(error.0)
    }
}

/// Checks what the rules ask of an event whoever sends it: of a create event, a membership, and power levels.
/// Events of other types may have any content.
///
/// `create`: the create event of the room, which from version 12 on says who has no entry in power levels.
/// <https://spec.matrix.org/v1.19/rooms/v12/#authorization-rules>
pub fn check_form(rules: &RoomVersionRules, pdu: &SharedPdu, create: &SharedPdu) -> Result<(), Malformed> {
    match pdu.event_type {
        TimelineEventType::RoomCreate => check_create(rules, pdu),
        TimelineEventType::RoomMember => check_member(&rules.authorization, pdu),
        TimelineEventType::RoomPowerLevels => check_power_levels(&rules.authorization, pdu, create),
        _ => Ok(()),
    }
}

fn check_create(rules: &RoomVersionRules, pdu: &SharedPdu) -> Result<(), Malformed> {
    if !pdu.prev_events.is_empty() {
        return Err(Malformed("a room is created once".into()));
    }
    check_auth_events(rules, pdu, |_| None).map_err(|error| Malformed(error.0))?;
    // All that comes after it is held against this field.
    RoomCreateEvent::new(pdu.clone()).federate().map_err(Malformed)?;
    Ok(())
}

fn check_member(rules: &AuthorizationRules, pdu: &SharedPdu) -> Result<(), Malformed> {
    if pdu.state_key.as_deref().is_none_or(|state_key| <&UserId>::try_from(state_key).is_err()) {
        return Err(Malformed("the state key of a membership is a user id".into()));
    }
    match RoomMemberEvent::new(pdu.clone()).membership().map_err(Malformed)? {
        MembershipState::Join | MembershipState::Invite | MembershipState::Leave | MembershipState::Ban => {
            Ok(())
        }
        MembershipState::Knock if rules.knocking => Ok(()),
        MembershipState::Knock => Err(Malformed("rooms of this version know no knocking".into())),
        unknown => Err(Malformed(format!("there is no membership `{unknown}`"))),
    }
}

fn check_power_levels(
    rules: &AuthorizationRules,
    pdu: &SharedPdu,
    create: &SharedPdu,
) -> Result<(), Malformed> {
    let levels = RoomPowerLevelsEvent::new(pdu.clone());
    for field in SINGLE_LEVELS {
        levels.get_as_int(field, rules).map_err(Malformed)?;
    }
    levels.events(rules).map_err(Malformed)?;
    levels.notifications(rules).map_err(Malformed)?;
    let users = levels.users(rules).map_err(Malformed)?;
    if !rules.explicitly_privilege_room_creators {
        return Ok(());
    }
    let creators = RoomCreateEvent::new(create.clone()).creators(rules).map_err(Malformed)?;
    match creators.iter().find(|creator| users.is_some_and(|users| users.contains_key(*creator))) {
        Some(creator) => Err(Malformed(format!(
            "{creator} is a creator of this room and stands above all power levels: `users` has no entry for creators"
        ))),
        None => Ok(()),
    }
}
