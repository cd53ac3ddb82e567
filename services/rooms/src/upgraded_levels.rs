//! Power levels of a room that is upgraded: what stands for a creator's power differs between versions.
//! <https://spec.matrix.org/v1.19/rooms/v12/#room-creators>

use ruma::{CanonicalJsonObject, CanonicalJsonValue, Int, OwnedUserId};

/// What the creator of a room has where versions do not privilege creators.
const CREATOR: i64 = 100;
/// What upgrading needs where they do, which only they have.
const TOMBSTONE: i64 = 150;

/// Creators have no level of their own, and only they may upgrade.
pub(crate) fn privilege_creators<'a>(
    content: &mut CanonicalJsonObject,
    creators: impl Iterator<Item = &'a OwnedUserId>,
) {
    if let Some(CanonicalJsonValue::Object(users)) = content.get_mut("users") {
        creators.for_each(|creator| drop(users.remove(creator.as_str())));
    }
    let events = content.entry("events".to_owned()).or_insert_with(|| CanonicalJsonObject::new().into());
    if let CanonicalJsonValue::Object(events) = events {
        events.insert("m.room.tombstone".into(), level(TOMBSTONE));
    }
}

/// Creators get a level that is enough for everything.
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

/// Lets only those talk in a room, and invite into it, who have more than others.
pub(crate) fn close_to_talk(content: &mut CanonicalJsonObject) {
    let default = content.get("users_default").and_then(number).unwrap_or(0);
    let closed = level(default.saturating_add(50).max(50));
    content.insert("events_default".into(), closed.clone());
    content.insert("invite".into(), closed);
}

fn level(level: i64) -> CanonicalJsonValue {
    CanonicalJsonValue::Integer(Int::new_saturating(level))
}

fn number(value: &CanonicalJsonValue) -> Option<i64> {
    value.as_integer().map(i64::from)
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

    use super::{give_creators_a_level, privilege_creators};

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
        let expected = json!({ "users": { "@cleo:a.example": 50 }, "events": { "m.room.tombstone": 150 } });
        assert_eq!(changed(levels, privilege), expected);
    }
}
