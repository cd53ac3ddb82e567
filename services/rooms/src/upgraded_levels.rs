//! Power levels of a room that is upgraded. Versions differ in what stands for a creator's power, and in what
//! a level may be.
//! <https://spec.matrix.org/v1.19/rooms/v12/#room-creators>

use ruma::{CanonicalJsonObject, CanonicalJsonValue, Int, OwnedUserId};

/// The level of a room's creator in versions that do not privilege creators.
const CREATOR: i64 = 100;
/// The least level for upgrading a room in versions that do. It is more than anybody but a creator has by
/// default.
const TOMBSTONE: i64 = 150;
/// The least level for saying something in a room that was replaced, or for inviting into it.
const CLOSED: i64 = 50;

/// Fields that are a level.
const LEVELS: [&str; 7] =
    ["ban", "events_default", "invite", "kick", "redact", "state_default", "users_default"];
/// Fields that hold levels.
const MAPS: [&str; 3] = ["events", "notifications", "users"];

/// Converts levels that are texts, as versions before 10 allow, into numbers. What is no level meant nothing,
/// and is removed.
pub(crate) fn levels_to_numbers(content: &mut CanonicalJsonObject) {
    for field in LEVELS {
        if let Some(value) = content.remove(field) {
            content.extend(number(&value).map(|number| (field.to_owned(), level(number))));
        }
    }
    for field in MAPS {
        if let Some(CanonicalJsonValue::Object(levels)) = content.remove(field) {
            let levels = levels.into_iter().filter_map(|(key, value)| Some((key, level(number(&value)?))));
            content.insert(field.to_owned(), CanonicalJsonValue::Object(levels.collect()));
        }
    }
}

/// Removes the levels of creators, who stand above all levels.
pub(crate) fn privilege_creators<'a>(
    content: &mut CanonicalJsonObject,
    creators: impl Iterator<Item = &'a OwnedUserId>,
) {
    if let Some(CanonicalJsonValue::Object(users)) = content.get_mut("users") {
        creators.for_each(|creator| drop(users.remove(creator.as_str())));
    }
}

/// Whoever upgrades a room becomes a creator of the new one, and creators stand above all. Levels from a version without
/// that were not chosen with it in mind: only creators may upgrade the new room until they decide otherwise.
pub(crate) fn keep_upgrades_to_creators(content: &mut CanonicalJsonObject) {
    let events = content.entry("events".to_owned()).or_insert_with(|| CanonicalJsonObject::new().into());
    if let CanonicalJsonValue::Object(events) = events {
        raise(events, "m.room.tombstone", 0, TOMBSTONE);
    }
}

/// Gives creators a level that is enough for everything.
pub(crate) fn give_creators_a_level<'a>(
    content: &mut CanonicalJsonObject,
    creators: impl Iterator<Item = &'a OwnedUserId>,
) {
    let highest = content.values().flat_map(highest_of).max().unwrap_or(CREATOR).max(CREATOR);
    let users = content.entry("users".to_owned()).or_insert_with(|| CanonicalJsonObject::new().into());
    if let CanonicalJsonValue::Object(users) = users {
        users.extend(creators.map(|creator| (creator.to_string(), level(highest))));
    }
}

/// Lets only users with more than the default level send events into a room and invite into it. State and types of
/// events with a level of their own are closed as well: the room would stay open by them. No level gets lower.
pub(crate) fn close_to_talk(content: &mut CanonicalJsonObject) {
    let users_default = content.get("users_default").and_then(number).unwrap_or(0);
    let closed = users_default.saturating_add(1).max(CLOSED);
    raise(content, "events_default", 0, closed);
    raise(content, "state_default", CLOSED, closed);
    raise(content, "invite", 0, closed);
    if let Some(CanonicalJsonValue::Object(events)) = content.get_mut("events") {
        let types: Vec<_> = events.keys().cloned().collect();
        types.iter().for_each(|event_type| raise(events, event_type, 0, closed));
    }
}

/// Raises a level to at least `least`. `default` is its value if nothing sets it.
fn raise(levels: &mut CanonicalJsonObject, field: &str, default: i64, least: i64) {
    if levels.get(field).and_then(number).unwrap_or(default) < least {
        levels.insert(field.to_owned(), level(least));
    }
}

fn level(level: i64) -> CanonicalJsonValue {
    CanonicalJsonValue::Integer(Int::new_saturating(level))
}

/// A level: a number, or a text that holds one, as versions before 10 allow.
fn number(value: &CanonicalJsonValue) -> Option<i64> {
    match value {
        CanonicalJsonValue::String(text) => text.trim().parse().ok(),
        value => value.as_integer().map(i64::from),
    }
}

/// The highest level in a field, or in the fields of a field.
fn highest_of(value: &CanonicalJsonValue) -> Option<i64> {
    match value {
        CanonicalJsonValue::Object(levels) => levels.values().filter_map(number).max(),
        value => number(value),
    }
}

#[cfg(test)]
mod tests {
    use ruma::{CanonicalJsonObject, OwnedUserId, owned_user_id};
    use serde_json::{Value, json};

    use super::{
        close_to_talk, give_creators_a_level, keep_upgrades_to_creators, levels_to_numbers,
        privilege_creators,
    };

    fn changed(content: Value, change: impl Fn(&mut CanonicalJsonObject)) -> Value {
        let mut content = serde_json::from_value(content).expect("an object");
        change(&mut content);
        serde_json::to_value(content).expect("JSON")
    }

    fn creators() -> [OwnedUserId; 2] {
        [owned_user_id!("@anna:a.example"), owned_user_id!("@ben:b.example")]
    }

    #[test]
    fn creators_get_what_everything_needs() {
        let give = |content: &mut CanonicalJsonObject| give_creators_a_level(content, creators().iter());
        let levels = json!({ "events": { "m.room.tombstone": 150 }, "users": { "@cleo:a.example": 50 } });
        let users = json!({ "@anna:a.example": 150, "@ben:b.example": 150, "@cleo:a.example": 50 });
        assert_eq!(changed(levels, give)["users"], users);
        let users = json!({ "@anna:a.example": 100, "@ben:b.example": 100 });
        assert_eq!(changed(json!({ "kick": 7, "users_default": -1 }), give)["users"], users);
    }

    #[test]
    fn creators_have_no_level_where_they_need_none() {
        let privilege = |content: &mut CanonicalJsonObject| privilege_creators(content, creators().iter());
        let levels = json!({ "users": { "@anna:a.example": 100, "@cleo:a.example": 50 } });
        assert_eq!(changed(levels, privilege), json!({ "users": { "@cleo:a.example": 50 } }));
    }

    #[test]
    fn what_upgrading_needs_is_raised_only() {
        for (before, after) in [
            (json!({}), 150),
            (json!({ "events": { "m.room.tombstone": 50 } }), 150),
            (json!({ "events": { "m.room.tombstone": 200 } }), 200),
        ] {
            assert_eq!(changed(before, keep_upgrades_to_creators)["events"]["m.room.tombstone"], after);
        }
    }

    #[test]
    fn levels_become_numbers_or_go() {
        let levels = json!({
            "ban": " 70 ", "kick": "much", "invite": null, "redact": 5, "users": { "@cleo:a.example": "+7" },
            "events": { "m.room.name": "x", "m.room.topic": 3 }, "notifications": [], "other": "1",
        });
        let expected = json!({
            "ban": 70, "redact": 5, "users": { "@cleo:a.example": 7 }, "events": { "m.room.topic": 3 },
            "other": "1",
        });
        assert_eq!(changed(levels, levels_to_numbers), expected);
    }

    #[test]
    fn a_room_is_closed_by_raising_levels() {
        for (before, after) in [
            (json!({}), json!({ "events_default": 50, "invite": 50 })),
            (
                json!({ "users_default": "60", "events": { "m.room.message": 0, "m.room.name": 90 } }),
                json!({
                    "users_default": "60", "events_default": 61, "state_default": 61, "invite": 61,
                    "events": { "m.room.message": 61, "m.room.name": 90 },
                }),
            ),
            (
                json!({ "events_default": "75", "state_default": 0, "invite": 90 }),
                json!({ "events_default": "75", "state_default": 50, "invite": 90 }),
            ),
        ] {
            assert_eq!(changed(before, close_to_talk), after);
        }
    }
}
