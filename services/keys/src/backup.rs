//! Key backups: room keys that clients keep here, encrypted, for a device that comes later.
//! <https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups>

use linkspan_storage::{
    Range, WriteSet,
    catalogue::{BackedUpKeyKey, BackedUpKeys, KeyBackupKey, KeyBackups},
    records::{BackedUpKeyRecord, KeyBackupRecord},
};
use ruma::{OwnedRoomId, OwnedUserId};

use crate::{Keys, KeysError, Result};

/// The greatest JSON of one key or of a version's data, in bytes.
const MAX_JSON_BYTES: usize = 65_536;
/// The greatest length of an algorithm or of a session's id, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// A version of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupVersion {
    /// The version's number. The first is 1.
    pub version: u64,
    /// The algorithm, such as `m.megolm_backup.v1.curve25519-aes-sha2`.
    pub algorithm: String,
    /// The data that clients need to use the version, as a JSON object.
    pub auth_data: String,
    /// How much the backup holds.
    pub state: BackupState,
}

/// How much is in a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupState {
    /// A number that is another one after every change.
    pub etag: u64,
    /// How many keys there are.
    pub count: u64,
}

/// A room key in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUpKey {
    /// The room that the key is for.
    pub room_id: OwnedRoomId,
    /// The session that the key is for.
    pub session_id: String,
    /// The first message that it decrypts.
    pub first_message_index: u64,
    /// How often the key was handed on before it came here.
    pub forwarded_count: u64,
    /// Whether the device that put it here had it from a verified device.
    pub is_verified: bool,
    /// The encrypted key, as a JSON object.
    pub session_data: String,
}

/// Which keys of a backup are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All keys are meant.
    All,
    /// The keys of a room are meant.
    Room(OwnedRoomId),
    /// One key is meant.
    Session(OwnedRoomId, String),
}

impl Which {
    fn range(&self, user_id: &OwnedUserId, version: u64) -> Range<BackedUpKeys> {
        match self {
            Self::All => Range::prefix((user_id, &version)),
            Self::Room(room_id) => Range::prefix((user_id, &version, room_id)),
            Self::Session(room_id, session_id) => Range::prefix((user_id, &version, room_id, session_id)),
        }
    }
}

impl Keys {
    /// Begins a new version of a user's backup, and returns its number.
    pub async fn create_backup(
        &self,
        user_id: &OwnedUserId,
        algorithm: &str,
        auth_data: &str,
    ) -> Result<u64> {
        check_version_data(algorithm, auth_data)?;
        let created = self.store.update(async || {
            let newest = self.newest_row(user_id).await?;
            let version = newest.map_or(0, |(key, _)| key.version) + 1;
            let key = KeyBackupKey { user_id: user_id.clone(), version };
            let mut writes = WriteSet::new();
            self.accounts.expect_active(&mut writes, user_id).await?;
            writes.expect_absent::<KeyBackups>(&key);
            writes.put::<KeyBackups>(
                &key,
                &KeyBackupRecord {
                    algorithm: algorithm.to_owned(),
                    auth_data: auth_data.to_owned(),
                    etag: 0,
                    count: 0,
                    deleted: false,
                },
            );
            Ok::<_, KeysError>((writes, version))
        });
        created.await
    }

    /// Finds a version of a user's backup, or the newest one if none is named.
    pub async fn backup(&self, user_id: &OwnedUserId, version: Option<u64>) -> Result<BackupVersion> {
        let (key, record) = match version {
            Some(version) => self.version_row(user_id, version).await?,
            None => self.current_row(user_id).await?.ok_or(NO_BACKUP)?,
        };
        let state = BackupState { etag: record.etag, count: record.count };
        let KeyBackupRecord { algorithm, auth_data, .. } = record;
        Ok(BackupVersion { version: key.version, algorithm, auth_data, state })
    }

    /// Changes the data of a version. The algorithm stays.
    pub async fn update_backup(
        &self,
        user_id: &OwnedUserId,
        version: u64,
        algorithm: &str,
        auth_data: &str,
    ) -> Result<()> {
        check_version_data(algorithm, auth_data)?;
        let updated = self.store.update(async || {
            let (key, record) = self.version_row(user_id, version).await?;
            if record.algorithm != algorithm {
                return Err(KeysError::Invalid("the algorithm of a backup does not change".into()));
            }
            let mut writes = WriteSet::new();
            writes.expect::<KeyBackups>(&key, &record);
            writes.put::<KeyBackups>(&key, &KeyBackupRecord { auth_data: auth_data.to_owned(), ..record });
            Ok((writes, ()))
        });
        updated.await
    }

    /// Removes a version with its keys.
    pub async fn delete_backup(&self, user_id: &OwnedUserId, version: u64) -> Result<()> {
        let deleted = self.store.update(async || {
            let (key, record) = self.version_row(user_id, version).await?;
            let mut writes = WriteSet::new();
            writes.expect::<KeyBackups>(&key, &record);
            writes.put::<KeyBackups>(&key, &KeyBackupRecord { deleted: true, count: 0, ..record });
            Ok::<_, KeysError>((writes, ()))
        });
        deleted.await?;
        Ok(self.store.delete_range::<BackedUpKeys>(Which::All.range(user_id, version)).await?)
    }

    /// Removes all versions with their keys, because the account is gone.
    pub async fn remove_backups(&self, user_id: &OwnedUserId) -> Result<()> {
        self.store.delete_range::<KeyBackups>(Range::prefix((user_id,))).await?;
        Ok(self.store.delete_range::<BackedUpKeys>(Range::prefix((user_id,))).await?)
    }

    /// Puts keys into the newest version. A key that is there already is replaced only by a better one.
    pub async fn back_up(
        &self,
        user_id: &OwnedUserId,
        version: u64,
        keys: &[BackedUpKey],
    ) -> Result<BackupState> {
        if keys
            .iter()
            .any(|key| key.session_data.len() > MAX_JSON_BYTES || key.session_id.len() > MAX_NAME_BYTES)
        {
            return Err(KeysError::TooLarge("a key or its session's id is too long".into()));
        }
        let backed_up = self.store.update(async || {
            let (backup_key, backup) = self.writable_row(user_id, version).await?;
            let mut writes = WriteSet::new();
            let mut added = 0;
            let row = |key: &BackedUpKey| BackedUpKeyKey {
                user_id: user_id.clone(),
                version,
                room_id: key.room_id.clone(),
                session_id: key.session_id.clone(),
            };
            let rows: Vec<_> = keys.iter().map(row).collect();
            let stored = self.store.get_many::<BackedUpKeys>(&rows).await?;
            for ((key, row), stored) in keys.iter().zip(rows).zip(stored) {
                let record = key.record();
                match stored {
                    Some(stored) if !is_better(&record, &stored) => continue,
                    Some(_) => {}
                    None => added += 1,
                }
                writes.put::<BackedUpKeys>(&row, &record);
            }
            Ok::<_, KeysError>(changed(writes, &backup_key, &backup, backup.count + added))
        });
        backed_up.await
    }

    /// Finds keys of a version.
    pub async fn backed_up(
        &self,
        user_id: &OwnedUserId,
        version: u64,
        which: &Which,
    ) -> Result<Vec<BackedUpKey>> {
        self.version_row(user_id, version).await?;
        let rows = self.store.range(which.range(user_id, version)).await?;
        Ok(rows.into_iter().map(BackedUpKey::from_row).collect())
    }

    /// Removes keys of the newest version.
    pub async fn remove_backed_up(
        &self,
        user_id: &OwnedUserId,
        version: u64,
        which: &Which,
    ) -> Result<BackupState> {
        let removed = self.store.update(async || {
            let (backup_key, backup) = self.writable_row(user_id, version).await?;
            let mut writes = WriteSet::new();
            let rows = self.store.keys(which.range(user_id, version)).await?;
            rows.iter().for_each(|row| writes.delete::<BackedUpKeys>(row));
            let count = backup.count.saturating_sub(rows.len() as u64);
            Ok::<_, KeysError>(changed(writes, &backup_key, &backup, count))
        });
        removed.await
    }

    /// Finds the newest version that was ever begun.
    async fn newest_row(&self, user_id: &OwnedUserId) -> Result<Option<(KeyBackupKey, KeyBackupRecord)>> {
        let range = Range::<KeyBackups>::prefix((user_id,)).reverse().limit(1);
        Ok(self.store.range(range).await?.pop())
    }

    /// Finds the newest version that has not been deleted.
    async fn current_row(&self, user_id: &OwnedUserId) -> Result<Option<(KeyBackupKey, KeyBackupRecord)>> {
        let rows = self.store.range(Range::<KeyBackups>::prefix((user_id,)).reverse()).await?;
        Ok(rows.into_iter().find(|(_, record)| !record.deleted))
    }

    async fn version_row(
        &self,
        user_id: &OwnedUserId,
        version: u64,
    ) -> Result<(KeyBackupKey, KeyBackupRecord)> {
        let key = KeyBackupKey { user_id: user_id.clone(), version };
        let record = self.store.get::<KeyBackups>(&key).await?;
        Ok((key, record.filter(|record| !record.deleted).ok_or(NO_BACKUP)?))
    }

    /// Finds the version, if keys may be written to it.
    async fn writable_row(
        &self,
        user_id: &OwnedUserId,
        version: u64,
    ) -> Result<(KeyBackupKey, KeyBackupRecord)> {
        let (key, record) = self.current_row(user_id).await?.ok_or(NO_BACKUP)?;
        if key.version != version {
            return Err(KeysError::WrongBackupVersion { current: key.version });
        }
        Ok((key, record))
    }
}

const NO_BACKUP: KeysError = KeysError::NotFound("there is no such version of a key backup");

impl BackedUpKey {
    fn record(&self) -> BackedUpKeyRecord {
        BackedUpKeyRecord {
            first_message_index: self.first_message_index,
            forwarded_count: self.forwarded_count,
            is_verified: self.is_verified,
            session_data: self.session_data.clone(),
        }
    }

    fn from_row((row, record): (BackedUpKeyKey, BackedUpKeyRecord)) -> Self {
        Self {
            room_id: row.room_id,
            session_id: row.session_id,
            first_message_index: record.first_message_index,
            forwarded_count: record.forwarded_count,
            is_verified: record.is_verified,
            session_data: record.session_data,
        }
    }
}

/// Whether a key is better than another. A verified one is better, then one that decrypts more messages, then
/// one that was handed on less often.
fn is_better(new: &BackedUpKeyRecord, old: &BackedUpKeyRecord) -> bool {
    let rank = |key: &BackedUpKeyRecord| (!key.is_verified, key.first_message_index, key.forwarded_count);
    rank(new) < rank(old)
}

/// Adds the version's new count and etag to a write-set, if that changes anything.
fn changed(
    mut writes: WriteSet,
    key: &KeyBackupKey,
    backup: &KeyBackupRecord,
    count: u64,
) -> (WriteSet, BackupState) {
    let unchanged = writes.is_empty();
    let etag = backup.etag + u64::from(!unchanged);
    if !unchanged {
        writes.expect::<KeyBackups>(key, backup);
        writes.put::<KeyBackups>(key, &KeyBackupRecord { etag, count, ..backup.clone() });
    }
    (writes, BackupState { etag, count })
}

fn check_version_data(algorithm: &str, auth_data: &str) -> Result<()> {
    if algorithm.len() > MAX_NAME_BYTES || auth_data.len() > MAX_JSON_BYTES {
        return Err(KeysError::TooLarge("the algorithm or the data of a backup is too long".into()));
    }
    Ok(())
}
