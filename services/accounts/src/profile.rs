//! Profiles: what everybody may see of a user.
//! <https://spec.matrix.org/v1.19/client-server-api/#profiles>
//!
//! A change of a profile changes member events, too: so it is the rooms service that begins it, and
//! puts the fields with [`Accounts::put_profile_field`] into its write-set.

use std::collections::BTreeMap;

use linkspan_storage::{
    Json, Range, StorageError, WriteSet,
    catalogue::{Profiles, UserNameKey},
};
use ruma::{MxcUri, OwnedUserId};
use serde_json::Value;

use crate::{Accounts, AccountsError};

/// The fields of a profile by name.
pub type Profile = BTreeMap<String, Value>;

/// The greatest whole profile as JSON, in bytes.
const PROFILE_BYTES: usize = 65_536;
/// The greatest length of a field's name, in bytes.
const KEY_BYTES: usize = 255;
/// The greatest length of a display name, in characters.
const DISPLAY_NAME_CHARS: usize = 256;
/// The greatest length of an avatar's URL, in bytes.
const AVATAR_URL_BYTES: usize = 1_000;

/// Refuses a field that cannot be in a profile. A name follows the Common Namespaced Identifier Grammar.
pub fn check_profile_field(field: &str, value: &Value) -> Result<(), AccountsError> {
    if field.len() > KEY_BYTES {
        return Err(AccountsError::KeyTooLarge);
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if !field.starts_with(|first: char| first.is_ascii_lowercase()) || !field.bytes().all(allowed) {
        return Err(AccountsError::InvalidParam("this is not the name of a profile field"));
    }
    match (field, value) {
        ("displayname", Value::String(name)) if name.chars().count() > DISPLAY_NAME_CHARS => {
            Err(AccountsError::TooLarge("the display name"))
        }
        ("avatar_url", Value::String(url)) if url.len() > AVATAR_URL_BYTES => {
            Err(AccountsError::TooLarge("the avatar's URL"))
        }
        ("avatar_url", Value::String(url))
            if !url.is_empty() && <&MxcUri>::from(url.as_str()).validate().is_err() =>
        {
            Err(AccountsError::InvalidParam("an avatar's URL is an mxc:// URI"))
        }
        ("displayname" | "avatar_url" | "m.tz", Value::String(_)) => Ok(()),
        ("displayname" | "avatar_url" | "m.tz", _) => {
            Err(AccountsError::InvalidParam("this profile field is a text"))
        }
        _ => Ok(()),
    }
}

impl Accounts {
    /// The profile of a user; empty for a user without one.
    pub async fn profile(&self, user_id: &OwnedUserId) -> Result<Profile, AccountsError> {
        let rows = self.store.range::<Profiles>(Range::prefix((user_id,))).await?;
        rows.into_iter().map(|(key, json)| Ok((key.name, parse(&json)?))).collect()
    }

    /// A field of a user's profile.
    pub async fn profile_field(
        &self,
        user_id: &OwnedUserId,
        field: &str,
    ) -> Result<Option<Value>, AccountsError> {
        let key = UserNameKey { user_id: user_id.clone(), name: field.to_owned() };
        self.store.get::<Profiles>(&key).await?.map(|json| parse(&json)).transpose()
    }

    /// The profile of a user who has an account; other users are not found.
    pub async fn public_profile(&self, user_id: &OwnedUserId) -> Result<Profile, AccountsError> {
        self.account(user_id).await?.ok_or(AccountsError::NotFound("user"))?;
        self.profile(user_id).await
    }

    /// Sets a field of a profile in `writes`; None, an empty display name and an empty avatar remove it.
    pub async fn put_profile_field(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        field: &str,
        value: Option<&Value>,
    ) -> Result<(), AccountsError> {
        let key = UserNameKey { user_id: user_id.clone(), name: field.to_owned() };
        let emptied = matches!(field, "displayname" | "avatar_url") && value == Some(&Value::from(""));
        let Some(value) = value.filter(|_| !emptied) else {
            writes.delete::<Profiles>(&key);
            return Ok(());
        };
        check_profile_field(field, value)?;
        let mut profile = self.profile(user_id).await?;
        profile.insert(field.to_owned(), value.clone());
        if serde_json::to_string(&profile).map_or(usize::MAX, |json| json.len()) > PROFILE_BYTES {
            return Err(AccountsError::ProfileTooLarge);
        }
        writes.put::<Profiles>(&key, &Json(value.to_string()));
        Ok(())
    }
}

/// Writes the display name of an account that is being made.
pub(crate) fn put_display_name(
    writes: &mut WriteSet,
    user_id: &OwnedUserId,
    name: &str,
) -> Result<(), AccountsError> {
    let (field, value) = ("displayname", Value::from(name));
    check_profile_field(field, &value)?;
    let key = UserNameKey { user_id: user_id.clone(), name: field.to_owned() };
    writes.put::<Profiles>(&key, &Json(value.to_string()));
    Ok(())
}

fn parse(json: &Json) -> Result<Value, AccountsError> {
    let damaged = |error: serde_json::Error| StorageError::DamagedValue {
        table: "profiles",
        reason: error.to_string(),
    };
    Ok(serde_json::from_str(&json.0).map_err(damaged)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check_profile_field;

    #[test]
    fn fields_are_checked() {
        assert!(check_profile_field("displayname", &json!("Anna")).is_ok());
        assert!(check_profile_field("displayname", &json!(["Anna"])).is_err());
        assert!(check_profile_field("displayname", &json!("x".repeat(257))).is_err());
        assert!(check_profile_field("avatar_url", &json!("mxc://instagram.localhost/abc")).is_ok());
        assert!(check_profile_field("avatar_url", &json!("https://example.org/a.png")).is_err());
        assert!(check_profile_field("org.example.pronouns", &json!([{ "summary": "she/her" }])).is_ok());
        assert!(check_profile_field("Not a name", &json!(1)).is_err());
        assert!(check_profile_field(&"k".repeat(256), &json!(1)).is_err());
    }
}
