//! Where media lie, by the configuration.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use linkspan_media::{Media, MediaStore, S3Settings};
use linkspan_platforms::Platforms;
use linkspan_storage::{Space, Store};

use crate::{
    Failure,
    config::{Config, MediaBucket},
};

/// Where media are in the data folder, if they are in no bucket.
pub(crate) fn media_folder(data: &Path) -> PathBuf {
    data.join("media")
}

/// The media of a configuration: in its bucket, or in the data folder.
pub(crate) fn open(config: &Config, store: Store, platforms: Arc<Platforms>) -> Result<Media, Failure> {
    let objects = match &config.media {
        Some(bucket) => MediaStore::s3(&s3_settings(bucket)).map_err(|error| format!("[media]: {error}"))?,
        None => {
            let folder = media_folder(&config.data);
            let space = Space::of_folder(&folder, config.storage.reserve_bytes);
            let objects =
                MediaStore::folder(&folder).map_err(|error| format!("{}: {error}", folder.display()));
            objects?.with_space(Arc::new(space))
        }
    };
    Ok(Media::new(store, platforms, objects))
}

fn s3_settings(bucket: &MediaBucket) -> S3Settings {
    S3Settings {
        bucket: bucket.bucket.clone(),
        region: bucket.region.clone(),
        endpoint: bucket.endpoint.clone(),
        access_key: bucket.access_key.clone(),
        secret_key: bucket.secret_key.clone(),
    }
}
