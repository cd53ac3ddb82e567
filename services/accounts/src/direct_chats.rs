//! Direct chats: with whom a user talks in which rooms, which clients keep as one entry of account data.
//! <https://spec.matrix.org/v1.19/client-server-api/#direct-messaging>

use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::{Map, Value};

use crate::{Accounts, AccountsError};

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

    use super::with_copy;

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
