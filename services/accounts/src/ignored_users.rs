//! Whom a user ignores, which clients keep as one entry of account data. It is the user's list of blocks, too: whether a
//! client writes it as a whole or asks for one name to be changed, it is one list.
//! <https://spec.matrix.org/v1.19/client-server-api/#ignoring-users>

use linkspan_storage::WriteSet;
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value};

use crate::{
    Accounts, AccountsError,
    account_data::{CONTENT_BYTES, put_account_data},
};

/// The account data that says whom a user ignores.
pub const IGNORED_USERS: &str = "m.ignored_user_list";
/// The field of its content with the names.
const FIELD: &str = "ignored_users";

impl Accounts {
    /// Adds somebody to those whom a user ignores, or takes them off the list.
    pub async fn set_ignored(
        &self,
        user_id: &OwnedUserId,
        other: &UserId,
        is_ignored: bool,
    ) -> Result<(), AccountsError> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                self.expect_active(&mut writes, user_id).await?;
                self.put_ignored(&mut writes, user_id, other, is_ignored).await?;
                Ok((writes, ()))
            })
            .await
    }

    /// Has a user ignore somebody, or not any more, in `writes`, which are refused if the list changes meanwhile.
    pub async fn put_ignored(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        other: &UserId,
        is_ignored: bool,
    ) -> Result<(), AccountsError> {
        if user_id == other {
            return Err(AccountsError::InvalidParam("nobody can ignore themselves"));
        }
        let before = self.expect_account_data(writes, user_id, None, IGNORED_USERS).await?;
        let Some(after) = changed(before.as_deref(), other, is_ignored) else { return Ok(()) };
        if after.len() > CONTENT_BYTES {
            return Err(AccountsError::TooLarge("the list of those whom you ignore"));
        }
        put_account_data(writes, user_id, None, IGNORED_USERS, after);
        Ok(())
    }
}

/// The content with somebody added or taken off; None if that changes nothing. What else is in it stays.
fn changed(content: Option<&str>, other: &UserId, is_ignored: bool) -> Option<String> {
    let content = content.and_then(|content| serde_json::from_str::<Map<String, Value>>(content).ok());
    let mut content = content.unwrap_or_default();
    let ignored = content.entry(FIELD).or_insert_with(|| Value::Object(Map::new()));
    if !ignored.is_object() {
        *ignored = Value::Object(Map::new());
    }
    let ignored = ignored.as_object_mut()?;
    if is_ignored == ignored.contains_key(other.as_str()) {
        return None;
    }
    match is_ignored {
        true => drop(ignored.insert(other.to_string(), Value::Object(Map::new()))),
        false => drop(ignored.remove(other.as_str())),
    }
    Some(Value::Object(content).to_string())
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::{Value, json};

    use super::changed;

    #[test]
    fn a_name_is_added_and_taken_off_and_the_rest_stays() {
        let changed = |content: Option<Value>, is_ignored| {
            let content = content.map(|content| content.to_string());
            let after = changed(content.as_deref(), user_id!("@ben:b.example"), is_ignored)?;
            serde_json::from_str::<Value>(&after).ok()
        };
        let ben = json!({ "ignored_users": { "@ben:b.example": {} } });
        assert_eq!(changed(None, true), Some(ben.clone()));
        assert_eq!(changed(Some(json!([])), true), Some(ben.clone()));
        assert_eq!(changed(Some(json!({ "ignored_users": 1 })), true), Some(ben.clone()));
        assert_eq!(changed(Some(ben.clone()), true), None);
        assert_eq!(changed(None, false), None);
        let both =
            json!({ "ignored_users": { "@anna:a.example": { "why": 1 }, "@ben:b.example": {} }, "more": 2 });
        let anna = json!({ "ignored_users": { "@anna:a.example": { "why": 1 } }, "more": 2 });
        assert_eq!(changed(Some(both.clone()), false), Some(anna.clone()));
        assert_eq!(changed(Some(anna), true), Some(both));
    }
}
