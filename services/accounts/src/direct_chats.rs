//! Direct chats: with whom a user talks in which rooms, which clients keep as one entry of account data.
//! <https://spec.matrix.org/v1.19/client-server-api/#direct-messaging>

use linkspan_storage::WriteSet;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Map, Value};

use crate::{
    Accounts, AccountsError,
    account_data::{CONTENT_BYTES, put_account_data},
};

/// The account data that says so: a list of rooms for each person.
const TYPE: &str = "m.direct";

impl Accounts {
    /// Makes a room a direct chat with all with whom another room is one.
    pub async fn copy_direct_chat(
        &self,
        user_id: &OwnedUserId,
        from: &OwnedRoomId,
        to: &OwnedRoomId,
    ) -> Result<(), AccountsError> {
        let copy =
            |before: Option<&str>| Ok(with_copy(before.unwrap_or_default(), from.as_str(), to.as_str()));
        self.change_account_data(user_id, None, TYPE, copy).await
    }

    /// Makes a room a direct chat with somebody in `writes`, which are refused if the list changes meanwhile. A
    /// list that has become too large stays as it is.
    pub async fn add_direct_chat(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        other: &UserId,
        room_id: &RoomId,
    ) -> Result<(), AccountsError> {
        let before = self.expect_account_data(writes, user_id, None, TYPE).await?;
        let after = with_chat(before.as_deref(), other.as_str(), room_id.as_str());
        if let Some(after) = after.filter(|after| after.len() <= CONTENT_BYTES) {
            put_account_data(writes, user_id, None, TYPE, after);
        }
        Ok(())
    }
}

/// The content with a room among those of a person; None if it is there.
fn with_chat(content: Option<&str>, person: &str, room: &str) -> Option<String> {
    let people = content.and_then(|content| serde_json::from_str::<Map<String, Value>>(content).ok());
    let mut people = people.unwrap_or_default();
    let rooms = people.entry(person).or_insert_with(|| Value::Array(Vec::new()));
    if !rooms.is_array() {
        *rooms = Value::Array(Vec::new());
    }
    let rooms = rooms.as_array_mut().filter(|rooms| !rooms.iter().any(|other| other == room))?;
    rooms.push(room.into());
    Some(Value::Object(people).to_string())
}

/// The content with `to` wherever `from` is; None if nothing is missing.
fn with_copy(content: &str, from: &str, to: &str) -> Option<String> {
    let mut people: Map<String, Value> = serde_json::from_str(content).ok()?;
    let mut is_changed = false;
    for rooms in people.values_mut().filter_map(Value::as_array_mut) {
        if rooms.iter().any(|room| room == from) && !rooms.iter().any(|room| room == to) {
            rooms.push(to.into());
            is_changed = true;
        }
    }
    is_changed.then(|| Value::Object(people).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{with_chat, with_copy};

    #[test]
    fn a_chat_is_added_to_those_with_the_same_person() {
        let with = |content: Option<Value>| {
            let content = content.map(|content| content.to_string());
            let after = with_chat(content.as_deref(), "@a", "!new")?;
            serde_json::from_str::<Value>(&after).ok()
        };
        assert_eq!(with(None), Some(json!({ "@a": ["!new"] })));
        assert_eq!(with(Some(json!({ "@a": "!x" }))), Some(json!({ "@a": ["!new"] })));
        let before = json!({ "@a": ["!x"], "@b": ["!y"] });
        assert_eq!(with(Some(before)), Some(json!({ "@a": ["!x", "!new"], "@b": ["!y"] })));
        assert_eq!(with(Some(json!({ "@a": ["!new"] }))), None);
    }

    #[test]
    fn a_room_is_added_beside_the_one_that_it_replaces() {
        let copied = |content: Value| {
            let content = with_copy(&content.to_string(), "!old", "!new")?;
            serde_json::from_str::<Value>(&content).ok()
        };
        let before = json!({ "@a": ["!x", "!old"], "@b": ["!x"], "@c": ["!old", "!new"], "@d": "!old" });
        let after =
            json!({ "@a": ["!x", "!old", "!new"], "@b": ["!x"], "@c": ["!old", "!new"], "@d": "!old" });
        assert_eq!(copied(before), Some(after.clone()));
        assert_eq!(copied(after), None);
        assert_eq!(copied(json!({})), None);
        assert_eq!(copied(json!([])), None);
    }
}
