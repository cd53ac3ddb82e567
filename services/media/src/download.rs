//! Downloads of media of any hosted platform.

use std::{io, ops::Range, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use linkspan_storage::{catalogue::Media as MediaTable, records::MediaRecord};
use object_store::path::Path;
use ruma::ServerName;
use tokio::sync::broadcast::error::RecvError;

use crate::{
    Media, MediaError, MediaStore, carried,
    id::{check_id, media_key, object_path},
    pending,
};

/// The longest wait for a content that has not come yet.
const WAIT: Duration = Duration::from_secs(20);

/// The bytes of a content, as they come from the object store.
pub type Content = BoxStream<'static, io::Result<Bytes>>;

/// A content that is there. Nothing of it is read before it is asked for.
#[derive(Clone, Debug)]
pub struct MediaFile {
    /// The media type, which is well formed. Without one the content counts as arbitrary bytes.
    pub content_type: Option<String>,
    /// The uploader's name for it, without control characters.
    pub filename: Option<String>,
    /// Its size.
    pub size_bytes: u64,
    /// A name for the content, which never changes. It has only letters, digits, `-`, `_` and `.`.
    pub tag: String,
    /// The time at which it goes, if it does, in milliseconds since the Unix epoch.
    pub expires_ts: Option<u64>,
    pub(crate) path: Path,
    pub(crate) objects: MediaStore,
}

impl MediaFile {
    /// The bytes of a range, which must lie within the content.
    pub async fn read(&self, range: Range<u64>) -> Result<Content, MediaError> {
        self.objects.read(&self.path, range).await
    }
}

impl Media {
    /// Finds a content of a hosted platform. Waits for one that has not come yet, for `wait` and at most 20
    /// seconds.
    pub async fn open(
        &self,
        server_name: &ServerName,
        media_id: &str,
        wait: Duration,
        now_ts: u64,
    ) -> Result<MediaFile, MediaError> {
        let (record, object) = self.find(server_name, media_id, wait, now_ts).await?;
        Ok(self.original(server_name, record, object))
    }

    pub(crate) fn original(
        &self,
        server_name: &ServerName,
        record: MediaRecord,
        object: String,
    ) -> MediaFile {
        MediaFile {
            expires_ts: carried::goes_at(&record),
            content_type: record.content_type,
            filename: record.filename,
            size_bytes: record.size_bytes,
            path: object_path(server_name, &object),
            tag: object,
            objects: self.shared.objects.clone(),
        }
    }

    /// Finds the record of a content that is there, and the content's name in the object store.
    pub(crate) async fn find(
        &self,
        server_name: &ServerName,
        media_id: &str,
        wait: Duration,
        now_ts: u64,
    ) -> Result<(MediaRecord, String), MediaError> {
        check_id(media_id)?;
        self.limits(server_name)?;
        // The news are subscribed to before the first look, so that nothing that arrives in between is
        // missed.
        let mut arrivals = self.shared.arrivals.subscribe();
        if let Some(found) = self.look(server_name, media_id, now_ts).await? {
            return Ok(found);
        }
        let arrival = async {
            loop {
                match arrivals.recv().await {
                    Ok((platform, id)) if platform == server_name && id == media_id => {}
                    Ok(_) => continue,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(MediaError::NotYetUploaded),
                }
                if let Some(found) = self.look(server_name, media_id, now_ts).await? {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(wait.min(WAIT), arrival).await.unwrap_or(Err(MediaError::NotYetUploaded))
    }

    /// Looks for a content once. None means that it has not come yet.
    async fn look(
        &self,
        server_name: &ServerName,
        media_id: &str,
        now_ts: u64,
    ) -> Result<Option<(MediaRecord, String)>, MediaError> {
        let record = self.shared.store.get::<MediaTable>(&media_key(server_name, media_id)).await?;
        let record = record.ok_or(MediaError::NotFound)?;
        let is_gone = pending::has_expired(&record, now_ts) || carried::has_expired(&record, now_ts);
        if is_gone || record.quarantined {
            return Err(MediaError::NotFound);
        }
        Ok(record.object.clone().map(|object| (record, object)))
    }
}
