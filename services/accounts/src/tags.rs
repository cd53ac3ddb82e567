//! Tags of rooms, which are one entry of account data.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-tagging>

use std::hash::{BuildHasher, RandomState};

use ruma::{
    OwnedRoomId, OwnedUserId,
    events::tag::{TagEventContent, TagInfo, Tags},
};
use tokio::sync::{Mutex, MutexGuard};

use crate::{Accounts, AccountsError};

/// The account data that holds the tags.
const TYPE: &str = "m.tag";
/// The greatest number of tags of a room.
const MAX_TAGS: usize = 100;
/// The greatest length of a tag, in bytes.
const TAG_BYTES: usize = 255;

/// Tags change one by one inside of one entry: the changes of a user take turns.
pub(crate) struct Locks {
    locks: [Mutex<()>; 64],
    hasher: RandomState,
}

impl Locks {
    pub(crate) fn new() -> Self {
        Self { locks: std::array::from_fn(|_| Mutex::new(())), hasher: RandomState::new() }
    }

    async fn lock(&self, user_id: &OwnedUserId) -> MutexGuard<'_, ()> {
        let hash = self.hasher.hash_one(user_id);
        self.locks[hash as usize % self.locks.len()].lock().await
    }
}

impl Accounts {
    /// The tags that a user gave a room.
    pub async fn tags(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<Tags, AccountsError> {
        let content = self.account_data(user_id, Some(room_id), TYPE).await?;
        // Clients can write the whole entry, too; what is not tags counts as none.
        let content = content.and_then(|json| serde_json::from_str::<TagEventContent>(&json).ok());
        Ok(content.map(|content| content.tags).unwrap_or_default())
    }

    /// Gives a room a tag.
    pub async fn put_tag(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        tag: &str,
        info: TagInfo,
    ) -> Result<(), AccountsError> {
        if tag.len() > TAG_BYTES {
            return Err(AccountsError::InvalidParam("a tag has at most 255 bytes"));
        }
        let _turn = self.shared.tag_locks.lock(user_id).await;
        let mut tags = self.tags(user_id, room_id).await?;
        tags.insert(tag.into(), info);
        if tags.len() > MAX_TAGS {
            return Err(AccountsError::TooMany("tags"));
        }
        self.write_tags(user_id, room_id, tags).await
    }

    /// Takes a tag from a room.
    pub async fn delete_tag(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        tag: &str,
    ) -> Result<(), AccountsError> {
        let _turn = self.shared.tag_locks.lock(user_id).await;
        let mut tags = self.tags(user_id, room_id).await?;
        match tags.remove(&tag.into()) {
            Some(_) => self.write_tags(user_id, room_id, tags).await,
            None => Ok(()),
        }
    }

    /// Gives a room the tags of another, unless it has or had some of its own.
    pub async fn copy_tags(
        &self,
        user_id: &OwnedUserId,
        from: &OwnedRoomId,
        to: &OwnedRoomId,
    ) -> Result<(), AccountsError> {
        let _turn = self.shared.tag_locks.lock(user_id).await;
        let Some(tags) = self.account_data(user_id, Some(from), TYPE).await? else { return Ok(()) };
        let copy = |before: Option<&str>| before.is_none().then(|| tags.clone());
        self.change_account_data(user_id, Some(to), TYPE, copy).await
    }

    async fn write_tags(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        tags: Tags,
    ) -> Result<(), AccountsError> {
        let content =
            serde_json::to_string(&TagEventContent::new(tags)).map_err(|_| AccountsError::NotAnObject)?;
        self.write_account_data(user_id, Some(room_id), TYPE, content).await
    }
}
