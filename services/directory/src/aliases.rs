//! Room aliases.

use linkspan_storage::{
    Range, StorageError, WriteSet,
    catalogue::{AliasKey, Aliases, RoomAliasKey, RoomAliases},
    records::AliasRecord,
};
use ruma::{OwnedRoomAliasId, RoomAliasId, RoomId, ServerName, UserId};

use crate::{Directory, DirectoryError};

/// The greatest length of an alias, in bytes.
const ALIAS_BYTES: usize = 255;
/// The most aliases of a room that are listed.
const ALIASES: usize = 1000;
/// The most aliases that a room has on one platform: every member may set some, and those of one platform leave room for
/// those of others.
const OF_PLATFORM: usize = 100;

impl Directory {
    /// Where an alias of a hosted platform points, and who set it.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<Option<AliasRecord>, StorageError> {
        self.store.get::<Aliases>(&alias_key(alias)).await
    }

    /// Points a new alias at a room. The commit is refused if somebody else takes the alias meanwhile.
    pub async fn put_alias(
        &self,
        writes: &mut WriteSet,
        alias: &RoomAliasId,
        room_id: &RoomId,
        creator: &UserId,
    ) -> Result<(), DirectoryError> {
        self.check_alias(alias, creator)?;
        let key = alias_key(alias);
        if self.store.contains::<Aliases>(&key).await? {
            return Err(DirectoryError::AliasTaken);
        }
        if self.aliases_on(alias.server_name(), room_id).await?.len() >= OF_PLATFORM {
            return Err(DirectoryError::TooManyAliases);
        }
        writes.expect_absent::<Aliases>(&key);
        let record = AliasRecord { room_id: room_id.to_owned(), creator: creator.to_owned() };
        writes.put::<Aliases>(&key, &record);
        writes.put::<RoomAliases>(&room_alias_key(room_id, alias), &());
        Ok(())
    }

    /// Removes an alias, and returns where it pointed and who had set it. The commit is refused if it changes
    /// meanwhile.
    pub async fn delete_alias(
        &self,
        writes: &mut WriteSet,
        alias: &RoomAliasId,
    ) -> Result<AliasRecord, DirectoryError> {
        let key = alias_key(alias);
        let record = self.store.get::<Aliases>(&key).await?.ok_or(DirectoryError::NoSuchAlias)?;
        writes.expect::<Aliases>(&key, &record);
        writes.delete::<Aliases>(&key);
        writes.delete::<RoomAliases>(&room_alias_key(&record.room_id, alias));
        Ok(record)
    }

    /// Points some aliases at the room that replaces theirs. The commit is refused if one of them changes meanwhile.
    pub async fn move_aliases(
        &self,
        writes: &mut WriteSet,
        aliases: &[OwnedRoomAliasId],
        to: &RoomId,
    ) -> Result<(), DirectoryError> {
        for alias in aliases {
            let mut record = self.delete_alias(writes, alias).await?;
            record.room_id = to.to_owned();
            writes.put::<Aliases>(&alias_key(alias), &record);
            writes.put::<RoomAliases>(&room_alias_key(to, alias), &());
        }
        Ok(())
    }

    /// The aliases of a room on one platform.
    pub async fn aliases_on(
        &self,
        platform: &ServerName,
        room_id: &RoomId,
    ) -> Result<Vec<OwnedRoomAliasId>, StorageError> {
        let range = Range::<RoomAliases>::prefix_platform((&room_id.to_owned(),), &platform.to_owned());
        let keys = self.store.keys(range.limit(ALIASES)).await?;
        Ok(keys.into_iter().map(|key| key.alias).collect())
    }

    /// The aliases of a room on all hosted platforms, at most 1000.
    pub async fn aliases_of(&self, room_id: &RoomId) -> Result<Vec<OwnedRoomAliasId>, StorageError> {
        let range = Range::<RoomAliases>::prefix((&room_id.to_owned(),)).limit(ALIASES);
        Ok(self.store.keys(range).await?.into_iter().map(|key| key.alias).collect())
    }

    fn check_alias(&self, alias: &RoomAliasId, creator: &UserId) -> Result<(), DirectoryError> {
        if alias.as_str().len() > ALIAS_BYTES || alias.as_str().contains('\0') {
            return Err(DirectoryError::BadAlias);
        }
        let is_own = alias.server_name() == creator.server_name();
        if is_own && self.platforms.hosts(alias.server_name()) {
            Ok(())
        } else {
            Err(DirectoryError::ForeignAlias)
        }
    }
}

fn alias_key(alias: &RoomAliasId) -> AliasKey {
    AliasKey { alias: alias.to_owned() }
}

fn room_alias_key(room_id: &RoomId, alias: &RoomAliasId) -> RoomAliasKey {
    RoomAliasKey { room_id: room_id.to_owned(), alias: alias.to_owned() }
}
