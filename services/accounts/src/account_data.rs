//! Account data: what clients keep about their user, and about the user in a room.
//! <https://spec.matrix.org/v1.19/client-server-api/#client-config>

use linkspan_domain::{DISCOVERY_TYPE, REACH_TYPE, parse_discovery, parse_reach_rules};
use linkspan_inbox::point;
use linkspan_storage::{
    Json, Position, Range, Stamped, WriteSet,
    catalogue::{AccountData, AccountDataKey},
    records::InboxPointer,
};
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::value::RawValue;

use crate::{Accounts, AccountsError, IGNORED_USERS};

/// The greatest content, in bytes.
pub(crate) const CONTENT_BYTES: usize = 65_536;
/// The greatest length of a type, in bytes.
const TYPE_BYTES: usize = 255;
/// The greatest number of types of a user outside rooms, and in each room.
const MAX_TYPES: usize = 1_000;
/// The greatest number of entries of a user in all.
const MAX_ENTRIES: usize = 50_000;
/// Types that clients change through endpoints of their own.
const SERVER_CONTROLLED: [&str; 2] = ["m.fully_read", "m.push_rules"];
/// Stands for content that was deleted, so that other devices learn of it.
const DELETED: &str = "";

/// An entry of account data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDataItem {
    /// Its type.
    pub event_type: String,
    /// Its content, JSON; `{}` when it was deleted.
    pub content: String,
    /// It was deleted: only an incremental sync tells of it.
    pub deleted: bool,
    /// When it was written.
    pub position: Position,
}

/// Writes account data without any check, and has the user's devices told.
pub fn put_account_data(
    writes: &mut WriteSet,
    user_id: &OwnedUserId,
    room_id: Option<&OwnedRoomId>,
    event_type: &str,
    content: String,
) {
    writes.put::<AccountData>(&key(user_id, room_id, event_type), &Stamped::pending(Json(content)));
    point(writes, user_id, InboxPointer::AccountData(room_id.cloned()));
}

impl Accounts {
    /// The content of an entry, JSON.
    pub async fn account_data(
        &self,
        user_id: &OwnedUserId,
        room_id: Option<&OwnedRoomId>,
        event_type: &str,
    ) -> Result<Option<String>, AccountsError> {
        let entry = self.store.get::<AccountData>(&key(user_id, room_id, event_type)).await?;
        Ok(entry.map(|entry| entry.value.0).filter(|content| content != DELETED))
    }

    /// All entries of a user outside rooms, or in a room; deleted ones, too.
    pub async fn list_account_data(
        &self,
        user_id: &OwnedUserId,
        room_id: Option<&OwnedRoomId>,
    ) -> Result<Vec<AccountDataItem>, AccountsError> {
        let rows = self.store.range::<AccountData>(Range::prefix((user_id, &room_id.cloned()))).await?;
        Ok(rows.into_iter().map(|(key, entry)| item(key, entry)).collect())
    }

    /// Sets an entry for a client. Empty content deletes it (MSC3391).
    pub async fn set_account_data(
        &self,
        user_id: &OwnedUserId,
        room_id: Option<&OwnedRoomId>,
        event_type: &str,
        content: &RawValue,
    ) -> Result<(), AccountsError> {
        check_type(event_type)?;
        if content.get().len() > CONTENT_BYTES {
            return Err(AccountsError::TooLarge("the content"));
        }
        if !content.get().starts_with('{') {
            return Err(AccountsError::NotAnObject);
        }
        if is_empty_object(content) {
            return self.delete_account_data(user_id, room_id, event_type).await;
        }
        if room_id.is_none() && event_type == REACH_TYPE {
            parse_reach_rules(content.get())?;
        }
        if room_id.is_none() && event_type == DISCOVERY_TYPE {
            parse_discovery(content.get())?;
        }
        self.write_account_data(user_id, room_id, event_type, content.get().to_owned()).await
    }

    /// Deletes an entry for a client, if there is one.
    pub async fn delete_account_data(
        &self,
        user_id: &OwnedUserId,
        room_id: Option<&OwnedRoomId>,
        event_type: &str,
    ) -> Result<(), AccountsError> {
        check_type(event_type)?;
        if self.account_data(user_id, room_id, event_type).await?.is_none() {
            return Ok(());
        }
        self.write_account_data(user_id, room_id, event_type, DELETED.to_owned()).await
    }

    pub(crate) async fn write_account_data(
        &self,
        user_id: &OwnedUserId,
        room_id: Option<&OwnedRoomId>,
        event_type: &str,
        content: String,
    ) -> Result<(), AccountsError> {
        let is_choice = room_id.is_none() && event_type == DISCOVERY_TYPE;
        self.store
            .update(async || {
                self.check_account_data_count(user_id, room_id, event_type).await?;
                let mut writes = WriteSet::new();
                self.expect_active(&mut writes, user_id).await?;
                if is_choice {
                    self.put_choice_into_indexes(&mut writes, user_id, &content).await?;
                }
                match event_type {
                    IGNORED_USERS if room_id.is_none() => {
                        writes.use_reserve();
                        self.put_ignored_list(&mut writes, user_id, content.clone()).await?;
                    }
                    _ => put_account_data(&mut writes, user_id, room_id, event_type, content.clone()),
                }
                Ok::<_, AccountsError>((writes, ()))
            })
            .await?;
        if is_choice { self.index_addresses(user_id).await } else { Ok(()) }
    }

    /// The content of an entry, as [`Accounts::account_data`] gives it; the write-set is refused if the entry changes
    /// meanwhile.
    pub async fn expect_account_data(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        room_id: Option<&OwnedRoomId>,
        event_type: &str,
    ) -> Result<Option<String>, AccountsError> {
        let key = key(user_id, room_id, event_type);
        let entry = self.store.get::<AccountData>(&key).await?;
        writes.expect_read::<AccountData>(&key, entry.as_ref());
        Ok(entry.map(|entry| entry.value.0).filter(|content| content != DELETED))
    }

    /// Changes an entry to what `change` makes of it; None leaves it as it is. `change` gets its content, `{}` if it was
    /// deleted, and None if there never was one.
    pub(crate) async fn change_account_data(
        &self,
        user_id: &OwnedUserId,
        room_id: Option<&OwnedRoomId>,
        event_type: &str,
        change: impl Fn(Option<&str>) -> Result<Option<String>, AccountsError>,
    ) -> Result<(), AccountsError> {
        let key = key(user_id, room_id, event_type);
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                let before = self.store.get::<AccountData>(&key).await?;
                let content = before.as_ref().map(|before| match before.value.0.as_str() {
                    DELETED => "{}",
                    content => content,
                });
                let Some(after) = change(content)? else { return Ok((writes, ())) };
                if after.len() > CONTENT_BYTES {
                    return Err(AccountsError::TooLarge("the content"));
                }
                self.check_account_data_count(user_id, room_id, event_type).await?;
                self.expect_active(&mut writes, user_id).await?;
                writes.expect_read::<AccountData>(&key, before.as_ref());
                put_account_data(&mut writes, user_id, room_id, event_type, after);
                Ok((writes, ()))
            })
            .await
    }

    async fn check_account_data_count(
        &self,
        user_id: &OwnedUserId,
        room_id: Option<&OwnedRoomId>,
        event_type: &str,
    ) -> Result<(), AccountsError> {
        if self.store.contains::<AccountData>(&key(user_id, room_id, event_type)).await? {
            return Ok(());
        }
        let here = Range::prefix((user_id, &room_id.cloned())).limit(MAX_TYPES);
        let all = Range::prefix((user_id,)).limit(MAX_ENTRIES);
        let full = self.store.keys::<AccountData>(here).await?.len() >= MAX_TYPES
            || self.store.keys::<AccountData>(all).await?.len() >= MAX_ENTRIES;
        if full { Err(AccountsError::TooMany("entries of account data")) } else { Ok(()) }
    }
}

/// `{}`, with whatever blanks there are.
fn is_empty_object(json: &RawValue) -> bool {
    let inside = json.get().strip_prefix('{').and_then(|json| json.strip_suffix('}'));
    inside.is_some_and(|inside| inside.trim().is_empty())
}

fn check_type(event_type: &str) -> Result<(), AccountsError> {
    if SERVER_CONTROLLED.contains(&event_type) {
        return Err(AccountsError::ServerControlled);
    }
    if event_type.is_empty() || event_type.len() > TYPE_BYTES {
        return Err(AccountsError::InvalidParam("a type has 1 to 255 bytes"));
    }
    Ok(())
}

fn key(user_id: &OwnedUserId, room_id: Option<&OwnedRoomId>, event_type: &str) -> AccountDataKey {
    AccountDataKey { user_id: user_id.clone(), room_id: room_id.cloned(), event_type: event_type.to_owned() }
}

fn item(key: AccountDataKey, entry: Stamped<Json>) -> AccountDataItem {
    let deleted = entry.value.0 == DELETED;
    AccountDataItem {
        event_type: key.event_type,
        content: if deleted { "{}".to_owned() } else { entry.value.0 },
        deleted,
        position: entry.position,
    }
}
