//! Removing what a crash leaves in the object store: contents without a record, and files half written.

use std::{
    path::{Path as FilePath, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt;
use linkspan_storage::catalogue::Media as MediaTable;
use object_store::{ObjectMeta, path::Path};
use ruma::ServerName;

use crate::{
    Media, MediaError,
    id::{check_id, id_of_object, media_key},
};

/// The age that an object has at least when it is removed. A younger one may belong to an upload that is
/// under way.
const AGE_MS: u64 = 24 * 60 * 60 * 1000;

impl Media {
    /// Removes what crashes left a day or longer ago, and returns how many objects that were. It looks at
    /// every object, so it is to be run now and then: when the server starts, or once a day. Fails with the last error,
    /// if there was one, once every platform had its turn.
    pub async fn remove_leftovers(&self, now_ts: u64) -> Result<u64, MediaError> {
        let before_ts = now_ts.saturating_sub(AGE_MS);
        let (mut removed, mut outcome) = (0, Ok(()));
        for platform in self.shared.platforms.iter() {
            match self.remove_unrecorded(platform.server_name(), before_ts).await {
                Ok(unrecorded) => removed += unrecorded,
                Err(error) => outcome = Err(error),
            }
            if let Some(folder) = self.shared.objects.as_folder() {
                let folder = folder.join(platform_folder(platform.server_name()));
                let before = UNIX_EPOCH + Duration::from_millis(before_ts);
                let task = tokio::task::spawn_blocking(move || remove_half_written(&folder, before));
                removed += task.await.unwrap_or_default();
            }
        }
        outcome.map(|()| removed)
    }

    async fn remove_unrecorded(&self, platform: &ServerName, before_ts: u64) -> Result<u64, MediaError> {
        let prefix = Path::from_iter([platform.as_str()]);
        let mut objects = self.shared.objects.objects().list(Some(&prefix));
        let mut removed = 0;
        while let Some(object) = objects.next().await {
            let object = object?;
            let is_old =
                u64::try_from(object.last_modified.timestamp_millis()).is_ok_and(|ts| ts < before_ts);
            if is_old && !self.is_recorded(platform, &object).await? {
                match self.shared.objects.delete(&object.location).await {
                    Ok(()) => removed += 1,
                    Err(error) => {
                        let object = &object.location;
                        tracing::warn!(%error, %object, "a content without a record could not be removed");
                    }
                }
            }
        }
        Ok(removed)
    }

    /// Whether an object is a content or a thumbnail of media that there is.
    async fn is_recorded(&self, platform: &ServerName, object: &ObjectMeta) -> Result<bool, MediaError> {
        let name = object.location.filename().unwrap_or_default();
        let media_id = id_of_object(name);
        if check_id(media_id).is_err() {
            // The object is not one of ours.
            return Ok(true);
        }
        let record = self.shared.store.get::<MediaTable>(&media_key(platform, media_id)).await?;
        let is_thumbnail = name.ends_with("-crop") || name.ends_with("-scale");
        Ok(record.and_then(|record| record.object).is_some_and(|object| object == name || is_thumbnail))
    }
}

/// A platform's folder.
fn platform_folder(platform: &ServerName) -> PathBuf {
    PathBuf::from(Path::from_iter([platform.as_str()]).as_ref())
}

/// Removes files that the object store had not yet given their final names. It calls them `name#1`.
fn remove_half_written(folder: &FilePath, before: SystemTime) -> u64 {
    let mut removed = 0;
    let shelves = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for file in shelves.filter_map(|shelf| std::fs::read_dir(shelf.path()).ok()).flatten().flatten() {
        let is_old = file.metadata().and_then(|data| data.modified()).is_ok_and(|time| time < before);
        if is_old && file.file_name().to_string_lossy().contains('#') {
            match std::fs::remove_file(file.path()) {
                Ok(()) => removed += 1,
                Err(error) => tracing::warn!(%error, "a file half written could not be removed"),
            }
        }
    }
    removed
}
