//! Key backups: room keys that clients keep here, encrypted, for a device that comes later.
//! <https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups>

use std::iter::Sum;

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
/// The greatest number of versions of a user that are not deleted. Clients make one, and another when its key is lost.
const MAX_VERSIONS: usize = 20;
/// The greatest number of keys of a user, all versions together: some rooms' of many years.
const MAX_KEYS: u64 = 500_000;
/// The bytes that a key takes besides what clients write.
const KEY_OVERHEAD_BYTES: u64 = 100;
/// The bytes that a key is taken to have in a version whose bytes were not counted. Those that clients write have about
/// as many.
const USUAL_KEY_BYTES: u64 = 1_000;

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
    /// Begins a new version of a user's backup, and returns its number. Refuses with [`KeysError::TooMany`], which is
    /// 403 `M_FORBIDDEN`, if there are too many that were not deleted.
    pub async fn create_backup(
        &self,
        user_id: &OwnedUserId,
        algorithm: &str,
        auth_data: &str,
    ) -> Result<u64> {
        check_version_data(algorithm, auth_data)?;
        let created = self.store.update(async || {
            let rows = self.version_rows(user_id).await?;
            let version = rows.last().map_or(0, |(key, _)| key.version) + 1;
            let key = KeyBackupKey { user_id: user_id.clone(), version };
            if rows.iter().filter(|(_, record)| !record.deleted).count() >= MAX_VERSIONS {
                return Err(KeysError::TooMany("versions of key backups"));
            }
            let mut writes = WriteSet::new();
            // The newest number is enough to know which were used.
            let mut deleted = Vec::new();
            for (key, _) in rows.iter().filter(|(_, record)| record.deleted) {
                writes.delete::<KeyBackups>(key);
                deleted.push(key.version);
            }
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
                    size_bytes: Some(0),
                },
            );
            Ok::<_, KeysError>((writes, (version, deleted)))
        });
        let (version, deleted) = created.await?;
        for deleted in deleted {
            // A stop may have left some.
            self.store.delete_range::<BackedUpKeys>(Which::All.range(user_id, deleted)).await?;
        }
        Ok(version)
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
            writes.put::<KeyBackups>(
                &key,
                &KeyBackupRecord { deleted: true, count: 0, size_bytes: Some(0), ..record },
            );
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

    /// Puts keys into the newest version. A key that is there already is replaced only by a better one. Refuses with
    /// [`KeysError::TooMany`], which is 403 `M_FORBIDDEN`, what makes more than a user may have; deleting keys or older
    /// versions makes room.
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
        let most_bytes = self.most_backup_bytes(user_id);
        let backed_up = self.store.update(async || {
            let rows = self.version_rows(user_id).await?;
            let in_all: Held = rows.iter().map(|(_, record)| Held::by(record)).sum();
            let (backup_key, backup) = writable(rows, version)?;
            let before = Held::by(&backup);
            let mut held = before;
            let mut writes = WriteSet::new();
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
                    Some(stored) => held = held.without(size_of(&row, &stored)),
                    None => held.count += 1,
                }
                held.size_bytes += size_of(&row, &record);
                writes.put::<BackedUpKeys>(&row, &record);
            }
            let others = Held {
                count: in_all.count - before.count,
                size_bytes: in_all.size_bytes - before.size_bytes,
            };
            let is_more = held.count > before.count || held.size_bytes > before.size_bytes;
            if is_more
                && (others.count + held.count > MAX_KEYS || others.size_bytes + held.size_bytes > most_bytes)
            {
                return Err(KeysError::TooMany("keys or bytes in key backups"));
            }
            Ok::<_, KeysError>(changed(writes, &backup_key, &backup, held))
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
            let (backup_key, backup) = writable(self.version_rows(user_id).await?, version)?;
            let mut writes = WriteSet::new();
            let mut held = Held::by(&backup);
            let range = which.range(user_id, version);
            if *which == Which::All {
                // They need not be read, for nothing is left.
                self.store.keys(range).await?.iter().for_each(|row| writes.delete::<BackedUpKeys>(row));
                held = Held::default();
            } else {
                for (row, record) in self.store.range(range).await? {
                    writes.delete::<BackedUpKeys>(&row);
                    held = held.without(size_of(&row, &record));
                    held.count = held.count.saturating_sub(1);
                }
            }
            Ok::<_, KeysError>(changed(writes, &backup_key, &backup, held))
        });
        removed.await
    }

    fn most_backup_bytes(&self, user_id: &OwnedUserId) -> u64 {
        let platform = self.platforms.get(user_id.server_name());
        platform.map_or(0, |platform| platform.settings.limits.key_backup_bytes)
    }

    /// The versions of a user, the newest last; among them those that were deleted since the last one was begun.
    async fn version_rows(&self, user_id: &OwnedUserId) -> Result<Vec<(KeyBackupKey, KeyBackupRecord)>> {
        Ok(self.store.range(Range::<KeyBackups>::prefix((user_id,))).await?)
    }

    /// Finds the newest version that has not been deleted.
    async fn current_row(&self, user_id: &OwnedUserId) -> Result<Option<(KeyBackupKey, KeyBackupRecord)>> {
        Ok(current(self.version_rows(user_id).await?))
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
}

/// The newest version that has not been deleted.
fn current(rows: Vec<(KeyBackupKey, KeyBackupRecord)>) -> Option<(KeyBackupKey, KeyBackupRecord)> {
    rows.into_iter().rev().find(|(_, record)| !record.deleted)
}

/// The version, if keys may be written to it.
fn writable(
    rows: Vec<(KeyBackupKey, KeyBackupRecord)>,
    version: u64,
) -> Result<(KeyBackupKey, KeyBackupRecord)> {
    let (key, record) = current(rows).ok_or(NO_BACKUP)?;
    if key.version != version {
        return Err(KeysError::WrongBackupVersion { current: key.version });
    }
    Ok((key, record))
}

/// How much a version holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    count: u64,
    size_bytes: u64,
}

impl Held {
    fn by(version: &KeyBackupRecord) -> Self {
        let usual = || version.count * USUAL_KEY_BYTES;
        Self { count: version.count, size_bytes: version.size_bytes.unwrap_or_else(usual) }
    }

    fn without(self, size_bytes: u64) -> Self {
        Self { size_bytes: self.size_bytes.saturating_sub(size_bytes), ..self }
    }
}

impl Sum for Held {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, it| Self {
            count: sum.count + it.count,
            size_bytes: sum.size_bytes + it.size_bytes,
        })
    }
}

fn size_of(row: &BackedUpKeyKey, record: &BackedUpKeyRecord) -> u64 {
    let written = row.room_id.as_str().len() + row.session_id.len() + record.session_data.len();
    written as u64 + KEY_OVERHEAD_BYTES
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

/// Adds what the version holds now, and its etag, to a write-set, if that changes anything.
fn changed(
    mut writes: WriteSet,
    key: &KeyBackupKey,
    backup: &KeyBackupRecord,
    held: Held,
) -> (WriteSet, BackupState) {
    let unchanged = writes.is_empty();
    let etag = backup.etag + u64::from(!unchanged);
    if !unchanged {
        writes.expect::<KeyBackups>(key, backup);
        let Held { count, size_bytes } = held;
        let size_bytes = Some(size_bytes);
        writes.put::<KeyBackups>(key, &KeyBackupRecord { etag, count, size_bytes, ..backup.clone() });
    }
    (writes, BackupState { etag, count: held.count })
}

fn check_version_data(algorithm: &str, auth_data: &str) -> Result<()> {
    if algorithm.len() > MAX_NAME_BYTES || auth_data.len() > MAX_JSON_BYTES {
        return Err(KeysError::TooLarge("the algorithm or the data of a backup is too long".into()));
    }
    Ok(())
}
