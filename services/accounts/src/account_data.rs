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

use crate::{Accounts, AccountsError, Amount, Counted, IGNORED_USERS};

/// The greatest content, in bytes.
pub(crate) const CONTENT_BYTES: usize = 65_536;
/// The greatest length of a type, in bytes.
const TYPE_BYTES: usize = 255;
/// The greatest number of types of a user outside rooms, and in each room. How much there may be in all is said in
/// services/accounts/src/stored_amounts.rs.
const MAX_TYPES: usize = 1_000;
/// Entries that are read in one go when they are counted for the first time.
const PAGE: usize = 1_000;
/// Types that clients change through endpoints of their own.
const SERVER_CONTROLLED: [&str; 2] = ["m.fully_read", "m.push_rules"];
/// Types outside rooms that the server writes, too. There is one entry of each, so they are not counted.
const WRITTEN_BY_SERVER: [&str; 4] = [IGNORED_USERS, "m.direct", "m.fully_read", "m.push_rules"];
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
                let mut writes = WriteSet::new();
                self.expect_active(&mut writes, user_id).await?;
                let before = self.store.get::<AccountData>(&key(user_id, room_id, event_type)).await?;
                self.count_account_data(&mut writes, user_id, room_id, event_type, before.as_ref(), &content)
                    .await?;
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
                self.expect_active(&mut writes, user_id).await?;
                writes.expect_read::<AccountData>(&key, before.as_ref());
                self.count_account_data(&mut writes, user_id, room_id, event_type, before.as_ref(), &after)
                    .await?;
                put_account_data(&mut writes, user_id, room_id, event_type, after);
                Ok((writes, ()))
            })
            .await
    }

    /// Counts an entry that takes the place of `before`. If there are as many here as there may be, what was deleted long
    /// since makes room: other devices that did not hear of it have it in their next whole sync only.
    async fn count_account_data(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        room_id: Option<&OwnedRoomId>,
        event_type: &str,
        before: Option<&Stamped<Json>>,
        after: &str,
    ) -> Result<(), AccountsError> {
        if !is_counted(room_id, event_type) {
            return Ok(());
        }
        let mut before_amount = before.map_or(Amount::NONE, |before| amount_of(event_type, &before.value.0));
        let after = amount_of(event_type, after);
        let here = Range::<AccountData>::prefix((user_id, &room_id.cloned())).limit(MAX_TYPES);
        let is_full = before.is_none() && self.store.keys(here.clone()).await?.len() >= MAX_TYPES;
        if !is_full {
            match self.count_stored(writes, user_id, Counted::AccountData, before_amount, after).await {
                Err(AccountsError::TooMany(_)) => {}
                counted => return counted.map(drop),
            }
        }
        let deleted = self.store.range(here).await?;
        let deleted = deleted.into_iter().filter(|(key, entry)| {
            entry.value.0 == DELETED && key.event_type != event_type && is_counted(room_id, &key.event_type)
        });
        let mut makes_room = false;
        for (key, entry) in deleted {
            writes.expect::<AccountData>(&key, &entry);
            writes.delete::<AccountData>(&key);
            before_amount += amount_of(&key.event_type, DELETED);
            makes_room = true;
        }
        if is_full && !makes_room {
            return Err(AccountsError::TooMany("types of account data"));
        }
        self.count_stored(writes, user_id, Counted::AccountData, before_amount, after).await.map(drop)
    }

    /// How much account data a user has, counted entry by entry.
    pub(crate) async fn account_data_so_far(&self, user_id: &OwnedUserId) -> Result<Amount, AccountsError> {
        let mut amount = Amount::NONE;
        let mut last: Option<AccountDataKey> = None;
        loop {
            let page = Range::<AccountData>::prefix((user_id,)).limit(PAGE).after_last(last.as_ref());
            let rows = self.store.range(page).await?;
            let Some((key, _)) = rows.last() else { return Ok(amount) };
            last = Some(key.clone());
            for (key, entry) in &rows {
                if is_counted(key.room_id.as_ref(), &key.event_type) {
                    amount += amount_of(&key.event_type, &entry.value.0);
                }
            }
        }
    }
}

/// Whether an entry is one that clients make. The others are bounded by being one each, and one for each room.
fn is_counted(room_id: Option<&OwnedRoomId>, event_type: &str) -> bool {
    match room_id {
        None => !WRITTEN_BY_SERVER.contains(&event_type),
        Some(_) => !SERVER_CONTROLLED.contains(&event_type),
    }
}

fn amount_of(event_type: &str, content: &str) -> Amount {
    Amount { entries: 1, size_bytes: (event_type.len() + content.len()) as u64 }
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
