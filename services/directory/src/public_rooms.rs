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
    /// Makes a platform list a room.
    pub fn publish(&self, writes: &mut WriteSet, platform: &ServerName, room_id: &RoomId) {
        writes.put::<PublicRooms>(&key(platform, room_id), &());
    }

    /// Makes a platform list a room no longer.
    pub fn unpublish(&self, writes: &mut WriteSet, platform: &ServerName, room_id: &RoomId) {
        writes.delete::<PublicRooms>(&key(platform, room_id));
    }

    /// Makes every platform that lists a room list the room that replaces it instead.
    pub async fn move_listings(
        &self,
        writes: &mut WriteSet,
        from: &RoomId,
        to: &RoomId,
    ) -> Result<(), StorageError> {
        for platform in self.platforms.iter() {
            if self.is_published(platform.server_name(), from).await? {
                self.unpublish(writes, platform.server_name(), from);
                self.publish(writes, platform.server_name(), to);
            }
        }
        Ok(())
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
