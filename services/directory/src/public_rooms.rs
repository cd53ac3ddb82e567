//! The rooms that each platform lists. A room may be listed by several platforms.

use linkspan_storage::{
    Range, StorageError, WriteSet,
    catalogue::{PublicRoomKey, PublicRooms},
};
use ruma::{OwnedRoomId, RoomId, ServerName};

use crate::Directory;

/// The most rooms of a platform that are listed.
const ROOMS: usize = 10_000;

impl Directory {
    /// Makes a platform list a room, or list it no longer. Returns whether that changes anything; the commit is refused if
    /// somebody else does it meanwhile.
    pub async fn set_published(
        &self,
        writes: &mut WriteSet,
        platform: &ServerName,
        room_id: &RoomId,
        published: bool,
    ) -> Result<bool, StorageError> {
        let key = key(platform, room_id);
        match (self.store.contains::<PublicRooms>(&key).await?, published) {
            (false, true) => {
                writes.expect_absent::<PublicRooms>(&key);
                writes.put::<PublicRooms>(&key, &());
                Ok(true)
            }
            (true, false) => {
                writes.expect::<PublicRooms>(&key, &());
                writes.delete::<PublicRooms>(&key);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether a platform lists a room.
    pub async fn is_published(&self, platform: &ServerName, room_id: &RoomId) -> Result<bool, StorageError> {
        self.store.contains::<PublicRooms>(&key(platform, room_id)).await
    }

    /// The rooms that a platform lists, at most 10000.
    pub async fn published_rooms(&self, platform: &ServerName) -> Result<Vec<OwnedRoomId>, StorageError> {
        let range = Range::<PublicRooms>::prefix((&platform.to_owned(),)).limit(ROOMS);
        Ok(self.store.keys(range).await?.into_iter().map(|key| key.room_id).collect())
    }
}

fn key(platform: &ServerName, room_id: &RoomId) -> PublicRoomKey {
    PublicRoomKey { platform: platform.to_owned(), room_id: room_id.to_owned() }
}
