//! Uploads of contents, either at once or for an id that was given out before.

use bytes::Bytes;
use futures_util::Stream;
use linkspan_storage::{
    WriteSet,
    catalogue::{Media as MediaTable, MediaUsage, UserKey, UserMedia},
    records::MediaRecord,
};
use ruma::{OwnedMxcUri, OwnedUserId, ServerName, UserId};

use crate::{
    Description, Media, MediaError,
    id::{check_id, media_key, new_id, new_object, object_path},
    own::own_key,
    pending,
};

/// The least that an upload is counted for, in bytes: it has its records and at least one block on disk however small it
/// is, so that a quota of bytes bounds how many there are.
const LEAST_BYTES: u64 = 4 << 10;

/// What an upload of this size takes of its user's quota, in bytes.
pub(crate) fn counted_bytes(size_bytes: u64) -> u64 {
    size_bytes.max(LEAST_BYTES)
}

/// An upload on its way: what will be recorded once its content is whole.
#[derive(Debug)]
struct Upload {
    media_id: String,
    object: String,
    user_id: OwnedUserId,
    description: Description,
    /// When the upload started, in milliseconds since the Unix epoch.
    now_ts: u64,
    /// Whether the id was given out before.
    was_pending: bool,
}

impl Media {
    /// Stores a content. If the caller is dropped the upload goes on, until the content is whole or breaks
    /// off.
    pub async fn upload<S, E>(
        &self,
        user_id: &UserId,
        description: Description,
        content: S,
        now_ts: u64,
    ) -> Result<OwnedMxcUri, MediaError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        let media_id = new_id();
        let uri = mxc_uri(user_id.server_name(), &media_id);
        let upload = Upload {
            object: media_id.clone(),
            media_id,
            user_id: user_id.to_owned(),
            description: description.cleaned(),
            now_ts,
            was_pending: false,
        };
        self.run(upload, content).await?;
        Ok(uri)
    }

    /// Stores the content of an id that [`Media::create`] gave to the same user.
    pub async fn upload_to<S, E>(
        &self,
        user_id: &UserId,
        (server_name, media_id): (&ServerName, &str),
        description: Description,
        content: S,
        now_ts: u64,
    ) -> Result<(), MediaError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        check_id(media_id)?;
        if server_name != user_id.server_name() {
            return Err(MediaError::NotYours);
        }
        let record = self.shared.store.get::<MediaTable>(&media_key(server_name, media_id)).await?;
        let record =
            record.filter(|record| !pending::has_expired(record, now_ts)).ok_or(MediaError::NotFound)?;
        if record.user_id != user_id {
            return Err(MediaError::NotYours);
        }
        if record.object.is_some() {
            return Err(MediaError::CannotOverwrite);
        }
        let upload = Upload {
            media_id: media_id.to_owned(),
            object: new_object(media_id),
            user_id: user_id.to_owned(),
            description: description.cleaned(),
            now_ts,
            was_pending: true,
        };
        self.run(upload, content).await
    }

    /// Runs an upload on a task of its own, so that it is cleaned up even if its caller goes away. Nothing of the content
    /// is read before it is the user's turn.
    async fn run<S, E>(&self, upload: Upload, content: S) -> Result<(), MediaError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        self.shared.objects.check_space()?;
        let (limit_bytes, quota_bytes) = self.limits(upload.user_id.server_name())?;
        let usage_key = UserKey { user_id: upload.user_id.clone() };
        let used_bytes = self.shared.store.get::<MediaUsage>(&usage_key).await?.unwrap_or_default();
        let left_bytes = quota_bytes.saturating_sub(used_bytes);
        let refusal = move || match limit_bytes <= left_bytes {
            true => MediaError::TooLarge { limit_bytes },
            false => MediaError::QuotaExceeded { quota_bytes },
        };
        let most_bytes = limit_bytes.min(left_bytes);
        match upload.description.size_bytes {
            Some(announced) if announced > limit_bytes => return Err(MediaError::TooLarge { limit_bytes }),
            Some(announced) if announced > most_bytes => return Err(refusal()),
            _ => {}
        }
        let place = self.shared.uploads.take(upload.user_id.server_name(), upload.user_id.as_str()).await?;
        let media = self.clone();
        let task = tokio::spawn(async move {
            let _place = place;
            let path = object_path(upload.user_id.server_name(), &upload.object);
            let objects = &media.shared.objects;
            let size_bytes = objects.write(&path, content, most_bytes, refusal).await?;
            let recorded = media.record(&upload, size_bytes, quota_bytes).await;
            // After a failure of the store nobody knows whether the record is there.
            if recorded.as_ref().is_err_and(|error| !matches!(error, MediaError::Storage(_))) {
                objects.delete(&path).await?;
            }
            recorded
        });
        task.await.unwrap_or_else(|error| Err(MediaError::Interrupted(error.to_string())))
    }

    /// Records a content that is whole, and counts its size for the user.
    async fn record(&self, upload: &Upload, size_bytes: u64, quota_bytes: u64) -> Result<(), MediaError> {
        self.shared.store.update(|| self.recording(upload, size_bytes, quota_bytes)).await?;
        if upload.was_pending {
            // It is no error if nobody waits.
            let arrived = (upload.user_id.server_name().to_owned(), upload.media_id.clone());
            self.shared.arrivals.send(arrived).ok();
        }
        Ok(())
    }

    async fn recording(
        &self,
        upload: &Upload,
        size_bytes: u64,
        quota_bytes: u64,
    ) -> Result<(WriteSet, ()), MediaError> {
        let store = &self.shared.store;
        let mut writes = WriteSet::new();
        let key = media_key(upload.user_id.server_name(), &upload.media_id);
        let (mut expires_ts, mut quarantined, mut protected) = (None, false, false);
        if upload.was_pending {
            let pending = store.get::<MediaTable>(&key).await?.ok_or(MediaError::NotFound)?;
            if pending.object.is_some() {
                return Err(MediaError::CannotOverwrite);
            }
            writes.expect::<MediaTable>(&key, &pending);
            (expires_ts, quarantined, protected) =
                (pending.expires_ts, pending.quarantined, pending.protected);
            self.settle_pending(&mut writes, &upload.user_id, &upload.media_id).await?;
        } else {
            writes.expect_absent::<MediaTable>(&key);
        }
        let usage_key = UserKey { user_id: upload.user_id.clone() };
        let used_bytes = store.get::<MediaUsage>(&usage_key).await?;
        let now_used_bytes = used_bytes.unwrap_or_default().saturating_add(counted_bytes(size_bytes));
        if now_used_bytes > quota_bytes {
            return Err(MediaError::QuotaExceeded { quota_bytes });
        }
        writes.expect_read::<MediaUsage>(&usage_key, used_bytes.as_ref());
        writes.put::<MediaUsage>(&usage_key, &now_used_bytes);
        let record = MediaRecord {
            user_id: upload.user_id.clone(),
            content_type: upload.description.content_type.clone(),
            filename: upload.description.filename.clone(),
            size_bytes,
            created_ts: upload.now_ts,
            object: Some(upload.object.clone()),
            expires_ts,
            quarantined,
            protected,
        };
        writes.put::<MediaTable>(&key, &record);
        writes.put::<UserMedia>(&own_key(&upload.user_id, &upload.media_id), &());
        Ok((writes, ()))
    }
}

pub(crate) fn mxc_uri(server_name: &ServerName, media_id: &str) -> OwnedMxcUri {
    format!("mxc://{server_name}/{media_id}").into()
}
