//! Media ids that are given out before their content comes.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav1create>

use std::time::Duration;

use linkspan_storage::{
    Range, WriteSet,
    catalogue::{Media as MediaTable, MediaUsage, PendingMedia, UserKey, UserMedia},
    records::{MediaRecord, PendingMediaRecord},
};
use ruma::{OwnedMxcUri, OwnedUserId, UserId};

use crate::{
    Media, MediaError,
    id::{media_key, new_id},
    upload::mxc_uri,
};

/// How long an id waits for its content.
const PENDING_MS: u64 = 24 * 60 * 60 * 1000;
/// The most ids of a user that wait for their content.
const PENDING: usize = 50;

/// Whether it is too late for the content to come.
pub(crate) fn has_expired(record: &MediaRecord, now_ts: u64) -> bool {
    record.object.is_none() && record.created_ts.saturating_add(PENDING_MS) <= now_ts
}

impl Media {
    /// Gives out an id whose content the user will bring with [`Media::upload_to`]. Returns it with the time
    /// until which it waits for that, in milliseconds since the Unix epoch.
    pub async fn create(&self, user_id: &UserId, now_ts: u64) -> Result<(OwnedMxcUri, u64), MediaError> {
        self.limits(user_id.server_name())?;
        let media_id = new_id();
        let expires_ts = now_ts.saturating_add(PENDING_MS);
        self.shared.store.update(|| self.creating(user_id, &media_id, now_ts)).await?;
        Ok((mxc_uri(user_id.server_name(), &media_id), expires_ts))
    }

    async fn creating(
        &self,
        user_id: &UserId,
        media_id: &str,
        now_ts: u64,
    ) -> Result<(WriteSet, ()), MediaError> {
        let mut writes = WriteSet::new();
        let platform = user_id.server_name();
        let mut pending = self.expect_pending(&mut writes, user_id.to_owned()).await?;
        pending.ids.retain(|(expired_id, expires_ts)| {
            let is_waiting = *expires_ts > now_ts;
            if !is_waiting {
                writes.delete::<MediaTable>(&media_key(platform, expired_id));
            }
            is_waiting
        });
        if pending.ids.len() >= PENDING {
            let first_ts = pending.ids.iter().map(|(_, expires_ts)| *expires_ts).min().unwrap_or(now_ts);
            let retry_after = Duration::from_millis(first_ts.saturating_sub(now_ts));
            return Err(MediaError::TooManyPending { retry_after });
        }
        pending.ids.push((media_id.to_owned(), now_ts.saturating_add(PENDING_MS)));
        writes.put::<PendingMedia>(&UserKey { user_id: user_id.to_owned() }, &pending);
        let record = MediaRecord {
            user_id: user_id.to_owned(),
            content_type: None,
            filename: None,
            size_bytes: 0,
            created_ts: now_ts,
            object: None,
            expires_ts: None,
            quarantined: false,
            protected: false,
        };
        let key = media_key(platform, media_id);
        writes.expect_absent::<MediaTable>(&key);
        writes.put::<MediaTable>(&key, &record);
        Ok((writes, ()))
    }

    /// Removes what only those need who upload, for a user whose account is gone: the ids that wait for their content,
    /// how much the user has stored, and the list of it. What was uploaded stays.
    pub async fn remove_user(&self, user_id: &OwnedUserId) -> Result<(), MediaError> {
        self.shared
            .store
            .update(async || {
                let mut writes = WriteSet::new();
                let pending = self.expect_pending(&mut writes, user_id.clone()).await?;
                for (media_id, _) in &pending.ids {
                    writes.delete::<MediaTable>(&media_key(user_id.server_name(), media_id));
                }
                let key = UserKey { user_id: user_id.clone() };
                writes.delete::<PendingMedia>(&key);
                writes.delete::<MediaUsage>(&key);
                Ok::<_, MediaError>((writes, ()))
            })
            .await?;
        Ok(self.shared.store.delete_range::<UserMedia>(Range::prefix((user_id,))).await?)
    }

    /// Takes an id that has got its content off the user's list.
    pub(crate) async fn settle_pending(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        media_id: &str,
    ) -> Result<(), MediaError> {
        let mut pending = self.expect_pending(writes, user_id.clone()).await?;
        pending.ids.retain(|(pending_id, _)| pending_id != media_id);
        writes.put::<PendingMedia>(&UserKey { user_id: user_id.clone() }, &pending);
        Ok(())
    }

    /// Reads the user's list, and has the write-set expect that it does not change before the commit.
    async fn expect_pending(
        &self,
        writes: &mut WriteSet,
        user_id: OwnedUserId,
    ) -> Result<PendingMediaRecord, MediaError> {
        let key = UserKey { user_id };
        let pending = self.shared.store.get::<PendingMedia>(&key).await?;
        writes.expect_read::<PendingMedia>(&key, pending.as_ref());
        Ok(pending.unwrap_or(PendingMediaRecord { ids: Vec::new() }))
    }
}
