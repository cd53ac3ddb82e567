//! Opening the store and the services over it, and what they need done in the background.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use linkspan_accounts::Accounts;
use linkspan_client_api::App;
use linkspan_directory::Directory;
use linkspan_inbox::Inbox;
use linkspan_media::{Media, MediaStore};
use linkspan_platforms::Platforms;
use linkspan_push::{Push, PushSettings};
use linkspan_rooms::Rooms;
use linkspan_storage::{StorageError, Store};
use linkspan_sync::Sync;
use tokio::task::JoinSet;

use crate::{Failure, config::Config};

/// How often what is idle is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// How often what crashes have left of uploads is removed.
const MEDIA_SWEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// Opens the store of a configuration.
pub(crate) fn open_store(data: &Path) -> Result<Store, Failure> {
    let folder = data.join("store");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Store::open(&folder).map_err(|error| match error {
        StorageError::InUse(_) => {
            format!("{} is in use by a running server; stop it first", data.display()).into()
        }
        error => format!("the store in {} cannot be opened: {error}", folder.display()).into(),
    })
}

/// Opens everything a configuration asks for. The background tasks end when the set is dropped.
pub(crate) async fn open(config: &Config) -> Result<(App, JoinSet<()>), Failure> {
    let store = open_store(&config.data)?;
    let started_ts = now_ts();
    let platforms = Arc::new(Platforms::open(&store, config.platforms.clone(), started_ts).await?);
    let inbox = Inbox::new(store.clone(), started_ts);
    let mut tasks = JoinSet::new();
    tasks.spawn(inbox.clone().follow(store.subscribe()));
    let directory = Directory::new(store.clone(), platforms.clone());
    let found = directory.clone();
    let accounts = Accounts::new(store.clone())
        .on_create(move |writes, user_id| found.index_user(writes, user_id, None, None));
    let rooms =
        Rooms::new(store.clone(), platforms.clone(), accounts.clone(), directory.clone(), inbox.clone());
    let settings = PushSettings::new(Arc::new(now_ts));
    let push = Push::open(store.clone(), accounts.clone(), rooms.clone(), settings).await?;
    tasks.spawn(push.clone().follow(store.subscribe()));
    let sync = Sync::new(rooms.clone(), accounts.clone(), inbox.clone(), push.clone());
    let media = Media::new(store, platforms.clone(), open_media_store(config)?);
    tasks.spawn(sweep_media(media.clone()));
    let app = App { platforms, accounts, inbox, directory, rooms, push, sync, media };
    tasks.spawn(forget_idle(app.clone()));
    Ok((app, tasks))
}

/// Where contents lie: in the configured bucket, or in the data folder.
fn open_media_store(config: &Config) -> Result<MediaStore, Failure> {
    let Some(bucket) = &config.media else {
        let folder = config.data.join("media");
        return MediaStore::folder(&folder).map_err(|error| format!("{}: {error}", folder.display()).into());
    };
    #[cfg(feature = "s3")]
    {
        let settings = linkspan_media::S3Settings {
            bucket: bucket.bucket.clone(),
            region: bucket.region.clone(),
            endpoint: bucket.endpoint.clone(),
            access_key: bucket.access_key.clone(),
            secret_key: bucket.secret_key.clone(),
        };
        MediaStore::s3(&settings).map_err(|error| format!("[media]: {error}").into())
    }
    #[cfg(not(feature = "s3"))]
    Err(format!("[media] names the bucket {}, but this build has no S3", bucket.bucket).into())
}

async fn sweep_media(media: Media) {
    let mut every = tokio::time::interval(MEDIA_SWEEP);
    loop {
        every.tick().await;
        match media.remove_leftovers(now_ts()).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed what was left of broken uploads"),
            Err(error) => tracing::warn!(%error, "broken uploads could not be looked for"),
        }
    }
}

async fn forget_idle(app: App) {
    let mut every = tokio::time::interval(HOUSEKEEPING);
    loop {
        every.tick().await;
        app.inbox.forget_idle();
        app.rooms.forget_idle();
        app.platforms.iter().for_each(|platform| platform.rate_limiter.forget_idle());
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ts() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
