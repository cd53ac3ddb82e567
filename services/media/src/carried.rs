//! What messages carry goes with them, if they disappear.
//!
//! An upload is known to be carried by a message where its uploader has sent it in one that disappears, or has named it
//! with any other. It stays until the last of these has gone, and for good if one of them stays.

use linkspan_storage::{
    Range, StorageError, Store, WriteSet,
    catalogue::{
        ExpiringMedia, ExpiringMediaKey, Media as MediaTable, MediaUsage, PlatformKey, Thumbnails, UserKey,
        UserMedia,
    },
    records::MediaRecord,
};
use ruma::{MxcUri, OwnedServerName, UserId};

use crate::{
    Media, MediaError,
    id::{media_key, object_path},
    own::own_key,
    thumbnail::{object_of, thumbnail_keys},
    upload::counted_bytes,
};

/// The most uploads that one message is known to carry. Albums in clients have up to thirty pictures.
pub const MAX_CARRIED: usize = 32;
/// How many uploads are looked at in one step of a sweep.
const BATCH: usize = 64;
/// How long an upload stays that nobody is given any more: a message that was on its way before may still keep it.
const UNDER_WAY_MS: u64 = 60_000;
/// The time at which an upload expires that a message carries which stays.
const NEVER: u64 = u64::MAX;

/// When an upload goes, if it is known that it does.
pub(crate) fn goes_at(record: &MediaRecord) -> Option<u64> {
    record.expires_ts.filter(|expires_ts| *expires_ts != NEVER)
}

/// Whether the last message that carried an upload has gone.
pub(crate) fn has_expired(record: &MediaRecord, now_ts: u64) -> bool {
    record.expires_ts.is_some_and(|expires_ts| expires_ts <= now_ts)
}

/// Notes, in the write-set of a message, that the message carries an upload of its sender until `until_ts` or, without
/// that, for good. Returns false, and notes nothing, if the sender has no such upload, or it has expired: what is being
/// removed cannot be kept.
pub async fn carry(
    store: &Store,
    writes: &mut WriteSet,
    sender: &UserId,
    uri: &MxcUri,
    until_ts: Option<u64>,
    now_ts: u64,
) -> Result<bool, StorageError> {
    let Ok((server_name, media_id)) = uri.parts() else { return Ok(false) };
    let key = media_key(server_name, media_id);
    let record = store.get::<MediaTable>(&key).await?;
    let is_there = |record: &MediaRecord| record.user_id == sender && !has_expired(record, now_ts);
    let Some(record) = record.filter(is_there) else { return Ok(false) };
    let expires_ts = until_ts.unwrap_or(NEVER).max(record.expires_ts.unwrap_or_default());
    if record.expires_ts == Some(expires_ts) {
        // It could be removed before this message is on disk.
        writes.expect::<MediaTable>(&key, &record);
        return Ok(true);
    }
    if expires_ts != NEVER {
        let (platform, media_id) = (key.platform.clone(), key.name.clone());
        writes.put::<ExpiringMedia>(&ExpiringMediaKey { platform, expires_ts, media_id }, &());
    }
    writes.expect::<MediaTable>(&key, &record);
    writes.put::<MediaTable>(&key, &MediaRecord { expires_ts: Some(expires_ts), ..record });
    Ok(true)
}

impl Media {
    /// Removes the uploads whose time was up a minute ago, the content first: what a stop leaves undone is found again.
    /// One that cannot be removed stays in the queue, and keeps no other.
    pub async fn remove_expired(&self, now_ts: u64) -> Result<(), MediaError> {
        let until_ts = now_ts.saturating_sub(UNDER_WAY_MS);
        let mut outcome = Ok(());
        for platform in self.shared.platforms.iter() {
            if let Err(error) = self.remove_expired_of(platform.server_name(), until_ts).await {
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn remove_expired_of(&self, platform: &OwnedServerName, until_ts: u64) -> Result<(), MediaError> {
        let mut last: Option<ExpiringMediaKey> = None;
        loop {
            let queued = Range::<ExpiringMedia>::prefix((platform,)).limit(BATCH).after_last(last.as_ref());
            let mut due = self.shared.store.keys(queued).await?;
            due.retain(|key| key.expires_ts <= until_ts);
            for key in &due {
                if let Err(error) = self.remove_if_expired(key).await {
                    let ExpiringMediaKey { media_id, .. } = key;
                    tracing::warn!(%error, %platform, media_id, "an upload that has expired was not removed");
                }
            }
            last = due.into_iter().last();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    /// Removes an upload that was to go at the time of its row, unless it is carried for longer by now.
    async fn remove_if_expired(&self, row: &ExpiringMediaKey) -> Result<(), MediaError> {
        let store = &self.shared.store;
        let key = media_key(&row.platform, &row.media_id);
        store
            .update(async || {
                let mut writes = WriteSet::new();
                writes.delete::<ExpiringMedia>(row);
                let record = store.get::<MediaTable>(&key).await?;
                writes.expect_read::<MediaTable>(&key, record.as_ref());
                if let Some(record) = record.filter(|record| record.expires_ts == Some(row.expires_ts)) {
                    self.remove_upload(&mut writes, &key, &record).await?;
                }
                Ok((writes, ()))
            })
            .await
    }

    /// Removes the content of an upload and its thumbnails, and its record in `writes`.
    pub(crate) async fn remove_upload(
        &self,
        writes: &mut WriteSet,
        key: &PlatformKey,
        record: &MediaRecord,
    ) -> Result<(), MediaError> {
        self.remove_thumbnails(writes, key).await?;
        if let Some(object) = &record.object {
            self.shared.objects.delete(&object_path(&key.platform, object)).await?;
        }
        writes.delete::<MediaTable>(key);
        writes.delete::<UserMedia>(&own_key(&record.user_id, &key.name));
        self.give_back(writes, record).await
    }

    /// Removes the thumbnails of an upload, whose record goes in `writes`. These do not hold if another is noted
    /// meanwhile.
    async fn remove_thumbnails(&self, writes: &mut WriteSet, media: &PlatformKey) -> Result<(), MediaError> {
        let keys = thumbnail_keys(&media.platform, &media.name);
        let records = self.shared.store.get_many::<Thumbnails>(&keys).await?;
        for (key, record) in keys.iter().zip(records) {
            writes.expect_read::<Thumbnails>(key, record.as_ref());
            if record.is_some() {
                self.shared.objects.delete(&object_path(&media.platform, &object_of(key))).await?;
                writes.delete::<Thumbnails>(key);
            }
        }
        Ok(())
    }

    /// Counts a removed upload for its uploader no more.
    async fn give_back(&self, writes: &mut WriteSet, record: &MediaRecord) -> Result<(), MediaError> {
        let key = UserKey { user_id: record.user_id.clone() };
        // Who has no account any more is not counted for.
        if let Some(used_bytes) = self.shared.store.get::<MediaUsage>(&key).await? {
            writes.expect::<MediaUsage>(&key, &used_bytes);
            writes.put::<MediaUsage>(&key, &used_bytes.saturating_sub(counted_bytes(record.size_bytes)));
        }
        Ok(())
    }
}
