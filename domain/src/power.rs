//! Power levels, as far as a server asks for them outside authorisation.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId, room_version_rules::RoomVersionRules};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Pdu;

/// The power levels of a room, creators included.
/// <https://spec.matrix.org/v1.19/client-server-api/#mroompower_levels>
#[derive(Clone, Debug, Default)]
pub struct PowerLevels {
    content: Option<Content>,
    creators: Vec<OwnedUserId>,
    /// Whether creators stand above every level, which they do since version 12.
    privileged_creators: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    users: BTreeMap<OwnedUserId, i64>,
    users_default: i64,
    events: BTreeMap<String, i64>,
    events_default: i64,
    state_default: Option<i64>,
    invite: Option<i64>,
    kick: Option<i64>,
    ban: Option<i64>,
    redact: Option<i64>,
    notifications: BTreeMap<String, i64>,
}

impl Content {
    /// Reads each field by itself. Versions before 10 allow fields that make no sense; the other fields still
    /// hold.
    fn of(event: &Pdu) -> Option<Self> {
        let map: Map<String, Value> = event.content_as()?;
        let of_field = |field: &str| map.get(field).and_then(level);
        let of_map = |field: &str| {
            let entries = map.get(field).and_then(Value::as_object).into_iter().flatten();
            entries.filter_map(|(key, value)| Some((key.clone(), level(value)?)))
        };
        Some(Self {
            users: of_map("users").filter_map(|(user, level)| Some((user.try_into().ok()?, level))).collect(),
            users_default: of_field("users_default").unwrap_or(0),
            events: of_map("events").collect(),
            events_default: of_field("events_default").unwrap_or(0),
            state_default: of_field("state_default"),
            invite: of_field("invite"),
            kick: of_field("kick"),
            ban: of_field("ban"),
            redact: of_field("redact"),
            notifications: of_map("notifications").collect(),
        })
    }
}

/// Reads a level. It is a number, or in versions before 10 also a text that holds a number.
fn level(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[derive(Deserialize)]
struct CreateContent {
    #[serde(default)]
    additional_creators: Vec<OwnedUserId>,
}

impl PowerLevels {
    /// Reads the room's create event and its power levels event.
    pub fn new(rules: &RoomVersionRules, create: &Pdu, power_levels: Option<&Pdu>) -> Self {
        let privileged_creators = rules.authorization.explicitly_privilege_room_creators;
        let mut creators = vec![create.sender.clone()];
        if privileged_creators {
            let additional = create.content_as::<CreateContent>();
            creators.extend(additional.map(|content| content.additional_creators).unwrap_or_default());
        }
        Self { content: power_levels.and_then(Content::of), creators, privileged_creators }
    }

    /// The creators whom nobody can demote. Rooms of older versions have none.
    pub fn creators(&self) -> &[OwnedUserId] {
        &self.creators
    }

    /// The level of a user. `i64::MAX` stands for a creator, who is above every level.
    pub fn user(&self, user_id: &UserId) -> i64 {
        let is_creator = self.creators.iter().any(|creator| creator == user_id);
        if is_creator && self.privileged_creators {
            return i64::MAX;
        }
        match &self.content {
            Some(content) => content.users.get(user_id).copied().unwrap_or(content.users_default),
            None if is_creator => 100,
            None => 0,
        }
    }

    /// The level needed to send an event of this type.
    pub fn needed_for_event(&self, event_type: &str, is_state: bool) -> i64 {
        let Some(content) = &self.content else { return 0 };
        let default = if is_state { content.state_default.unwrap_or(50) } else { content.events_default };
        content.events.get(event_type).copied().unwrap_or(default)
    }

    /// The level needed to invite.
    pub fn needed_to_invite(&self) -> i64 {
        self.content.as_ref().and_then(|content| content.invite).unwrap_or(0)
    }

    /// The level needed to kick.
    pub fn needed_to_kick(&self) -> i64 {
        self.content.as_ref().and_then(|content| content.kick).unwrap_or(50)
    }

    /// The level needed to ban.
    pub fn needed_to_ban(&self) -> i64 {
        self.content.as_ref().and_then(|content| content.ban).unwrap_or(50)
    }

    /// The level needed to redact what others sent.
    pub fn needed_to_redact(&self) -> i64 {
        self.content.as_ref().and_then(|content| content.redact).unwrap_or(50)
    }

    /// The level needed to notify with this key, such as `room`.
    pub fn needed_to_notify(&self, key: &str) -> i64 {
        self.content.as_ref().and_then(|content| content.notifications.get(key).copied()).unwrap_or(50)
    }

    /// Users with a level of their own, and the level of the others.
    pub fn users(&self) -> (BTreeMap<OwnedUserId, i64>, i64) {
        self.content
            .as_ref()
            .map(|content| (content.users.clone(), content.users_default))
            .unwrap_or_default()
    }
}
