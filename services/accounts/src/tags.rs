//! Tags of rooms, which are one entry of account data.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-tagging>

use ruma::{
    OwnedRoomId, OwnedUserId,
    events::tag::{TagEventContent, TagInfo, Tags},
};

use crate::{Accounts, AccountsError};

/// The account data that holds the tags.
const TYPE: &str = "m.tag";
/// The greatest number of tags of a room.
const MAX_TAGS: usize = 100;
/// The greatest length of a tag, in bytes.
const TAG_BYTES: usize = 255;

impl Accounts {
    /// The tags that a user gave a room.
    pub async fn tags(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<Tags, AccountsError> {
        let content = self.account_data(user_id, Some(room_id), TYPE).await?;
        Ok(parse(content.as_deref()))
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
        let put = |content: Option<&str>| {
            let mut tags = parse(content);
            tags.insert(tag.into(), info.clone());
            if tags.len() > MAX_TAGS { Err(AccountsError::TooMany("tags")) } else { to_json(tags).map(Some) }
        };
        self.change_account_data(user_id, Some(room_id), TYPE, put).await
    }

    /// Takes a tag from a room.
    pub async fn delete_tag(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        tag: &str,
    ) -> Result<(), AccountsError> {
        let delete = |content: Option<&str>| {
            let mut tags = parse(content);
            tags.remove(&tag.into()).map(|_| to_json(tags)).transpose()
        };
        self.change_account_data(user_id, Some(room_id), TYPE, delete).await
    }

    /// Gives a room the tags of another, unless it has or had some of its own.
    pub async fn copy_tags(
        &self,
        user_id: &OwnedUserId,
        from: &OwnedRoomId,
        to: &OwnedRoomId,
    ) -> Result<(), AccountsError> {
        let Some(tags) = self.account_data(user_id, Some(from), TYPE).await? else { return Ok(()) };
        let copy = |before: Option<&str>| Ok(before.is_none().then(|| tags.clone()));
        self.change_account_data(user_id, Some(to), TYPE, copy).await
    }
}

/// The tags of an entry. Clients can write the whole entry, too; what is not tags counts as none.
fn parse(content: Option<&str>) -> Tags {
    let content = content.and_then(|json| serde_json::from_str::<TagEventContent>(json).ok());
    content.map(|content| content.tags).unwrap_or_default()
}

fn to_json(tags: Tags) -> Result<String, AccountsError> {
    serde_json::to_string(&TagEventContent::new(tags)).map_err(|_| AccountsError::NotAnObject)
}
