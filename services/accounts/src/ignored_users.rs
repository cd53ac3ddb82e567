//! Whom a user ignores, which clients keep as one entry of account data. It is the user's list of blocks, too: whether a
//! client writes it as a whole or asks for one name to be changed, it is one list. Linked accounts have one list together:
//! each keeps it as its own, and whatever changes one changes all with the same write-set.
//! <https://spec.matrix.org/v1.19/client-server-api/#ignoring-users>

use std::collections::BTreeSet;

use linkspan_storage::WriteSet;
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value};

use crate::{
    Accounts, AccountsError,
    account_data::{CONTENT_BYTES, put_account_data},
    linked_accounts::Person,
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
            return Err(TOO_LARGE);
        }
        self.put_ignored_list(writes, user_id, after).await
    }

    /// Whether somebody is on a user's list.
    pub async fn is_ignored(&self, user_id: &OwnedUserId, other: &UserId) -> Result<bool, AccountsError> {
        let content = self.account_data(user_id, None, IGNORED_USERS).await?;
        Ok(names(content.as_deref()).contains(other.as_str()))
    }

    /// Writes a user's list, which is then the one of all accounts that are linked with the user's.
    pub(crate) async fn put_ignored_list(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        content: String,
    ) -> Result<(), AccountsError> {
        let mut person = self.expect_person(writes, user_id).await?;
        let ignored = names(Some(&content));
        put_account_data(writes, user_id, None, IGNORED_USERS, content);
        let user_ids = person.user_ids();
        person.0.retain(|(account, _)| account != user_id);
        self.put_names(writes, &person, &besides(ignored, &user_ids)).await
    }

    /// Has all accounts of a person ignore whom one of them ignores.
    pub(crate) async fn put_common_ignored(
        &self,
        writes: &mut WriteSet,
        person: &Person,
    ) -> Result<(), AccountsError> {
        let mut ignored = BTreeSet::new();
        for (account, _) in &person.0 {
            let content = self.expect_account_data(writes, account, None, IGNORED_USERS).await?;
            ignored.extend(names(content.as_deref()));
        }
        self.put_names(writes, person, &besides(ignored, &person.user_ids())).await
    }

    /// Has accounts ignore these and nobody else.
    async fn put_names(
        &self,
        writes: &mut WriteSet,
        person: &Person,
        ignored: &BTreeSet<String>,
    ) -> Result<(), AccountsError> {
        for (account, _) in &person.0 {
            let before = self.expect_account_data(writes, account, None, IGNORED_USERS).await?;
            let Some(after) = with_names(before.as_deref(), ignored) else { continue };
            if after.len() > CONTENT_BYTES {
                return Err(TOO_LARGE);
            }
            put_account_data(writes, account, None, IGNORED_USERS, after);
        }
        Ok(())
    }
}

const TOO_LARGE: AccountsError = AccountsError::TooLarge("the list of those whom you ignore");

/// The names on a list; none if it is no list.
fn names(content: Option<&str>) -> BTreeSet<String> {
    let content = content.and_then(|content| serde_json::from_str::<Map<String, Value>>(content).ok());
    let ignored = content.as_ref().and_then(|content| content.get(FIELD)).and_then(Value::as_object);
    ignored.into_iter().flat_map(Map::keys).cloned().collect()
}

/// A person ignores none of their own accounts.
fn besides(mut names: BTreeSet<String>, own: &BTreeSet<OwnedUserId>) -> BTreeSet<String> {
    names.retain(|name| !own.iter().any(|own| own == name));
    names
}

/// The content with these names on the list and no others; None if it has just these. What else is in it stays.
fn with_names(content: Option<&str>, ignored: &BTreeSet<String>) -> Option<String> {
    if names(content) == *ignored {
        return None;
    }
    let content = content.and_then(|content| serde_json::from_str::<Map<String, Value>>(content).ok());
    let mut content = content.unwrap_or_default();
    let mut before = match content.remove(FIELD) {
        Some(Value::Object(before)) => before,
        _ => Map::new(),
    };
    let entry = |name: &String| (name.clone(), before.remove(name).unwrap_or_else(|| Map::new().into()));
    let list: Map<_, _> = ignored.iter().map(entry).collect();
    content.insert(FIELD.to_owned(), list.into());
    Some(Value::Object(content).to_string())
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

    use super::{changed, names, with_names};

    #[test]
    fn a_list_is_made_like_another_and_the_rest_stays() {
        let before = json!({ "ignored_users": { "@a:a": { "why": 1 }, "@b:b": {} }, "more": 2 }).to_string();
        let like = |content: Option<&str>, list: &[&str]| {
            let list = list.iter().map(|name| (*name).to_owned()).collect();
            with_names(content, &list).and_then(|after| serde_json::from_str::<Value>(&after).ok())
        };
        let after = json!({ "ignored_users": { "@a:a": { "why": 1 }, "@c:c": {} }, "more": 2 });
        assert_eq!(like(Some(&before), &["@c:c", "@a:a"]), Some(after));
        assert_eq!(like(Some(&before), &["@b:b", "@a:a"]), None);
        assert_eq!(like(None, &[]), None);
        assert_eq!(like(Some("[]"), &["@a:a"]), Some(json!({ "ignored_users": { "@a:a": {} } })));
        assert_eq!(names(Some(&before)).len(), 2);
    }

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
