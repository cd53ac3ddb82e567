//! Where media lie, by the configuration, and sweeping up what crashes have left there.

use std::{sync::Arc, time::Duration};

use linkspan_media::{Media, MediaStore, S3Settings};
use linkspan_platforms::Platforms;
use linkspan_storage::Store;
use linkspan_wire::now_ts;

use crate::{
    Failure,
    config::{Config, MediaBucket},
};

/// How often what crashes have left is looked for, the first time at the start.
const SWEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The media of a configuration: in its bucket, or in the data folder.
pub(crate) fn open(config: &Config, store: Store, platforms: Arc<Platforms>) -> Result<Media, Failure> {
    let objects = match &config.media {
        Some(bucket) => MediaStore::s3(&s3_settings(bucket)).map_err(|error| format!("[media]: {error}"))?,
        None => {
            let folder = config.data.join("media");
            MediaStore::folder(&folder).map_err(|error| format!("{}: {error}", folder.display()))?
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

/// Removes what crashes have left, now and once a day.
pub(crate) async fn sweep(media: Media) {
    let mut every = tokio::time::interval(SWEEP);
    loop {
        every.tick().await;
        match media.remove_leftovers(now_ts()).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "media without a record were removed"),
            Err(error) => tracing::warn!(%error, "media could not be swept"),
        }
    }
}
