//! Opening the store and the services over it, and what they need done in the background.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use linkspan_accounts::Accounts;
use linkspan_client_api::{App, Services};
use linkspan_directory::Directory;
use linkspan_inbox::Inbox;
use linkspan_keys::Keys;
use linkspan_oauth::OAuth;
use linkspan_platforms::Platforms;
use linkspan_push::{Push, PushSettings};
use linkspan_rooms::Rooms;
use linkspan_storage::{StorageError, Store};
use linkspan_sync::Sync;
use tokio::task::JoinSet;

use crate::{Failure, config::Config, mail::SmtpMailer, media, stored};

/// How often what is idle is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// How often transaction ids and connections of sliding sync are looked through for old ones.
const OLD_SWEEP: Duration = Duration::from_secs(6 * 60 * 60);
/// How old a transaction id is when it is forgotten.
const TRANSACTION_LIFE_MS: u64 = 24 * 60 * 60 * 1000;
/// How long nobody has used a connection of sliding sync when it is forgotten.
const CONNECTION_LIFE_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// How often codes, browsers and clients are looked at that have expired.
const OAUTH_SWEEP: Duration = Duration::from_secs(60 * 60);

/// Where the store is in the data folder.
pub(crate) fn store_folder(data: &Path) -> PathBuf {
    data.join("store")
}

/// Opens the store of a configuration. Refuses if it has accounts that the configuration puts out of reach.
pub(crate) async fn open_store(config: &Config) -> Result<Store, Failure> {
    let folder = store_folder(&config.data);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let store = Store::open(&folder).map_err(|error| match error {
        StorageError::InUse(_) => {
            format!("{} is in use by a running server; stop it first", config.data.display())
        }
        error => format!("the store in {} cannot be opened: {error}", folder.display()),
    })?;
    stored::check_served(&store, config).await?;
    Ok(store)
}

/// Accounts, new ones of which are found in the directory.
pub(crate) fn accounts(store: Store, directory: Directory) -> Accounts {
    Accounts::new(store).on_create(move |writes, user_id| directory.index_new_user(writes, user_id))
}

/// Opens everything a configuration asks for. The background tasks end when the set is dropped.
pub(crate) async fn open(config: &Config) -> Result<(App, JoinSet<()>), Failure> {
    let store = open_store(config).await?;
    let started_ts = now_ts();
    let platforms = Arc::new(Platforms::open(&store, config.platforms.clone(), started_ts).await?);
    let inbox = Inbox::new(store.clone(), started_ts);
    let mut tasks = JoinSet::new();
    tasks.spawn(inbox.clone().follow(store.subscribe()));
    let directory = Directory::new(store.clone(), platforms.clone());
    let accounts = accounts(store.clone(), directory.clone());
    let accounts = accounts.with_mailer(Arc::new(SmtpMailer::new(&config.platforms)?));
    let rooms =
        Rooms::new(store.clone(), platforms.clone(), accounts.clone(), directory.clone(), inbox.clone());
    let settings = PushSettings::new(Arc::new(now_ts));
    let push = Push::open(store.clone(), accounts.clone(), rooms.clone(), settings).await?;
    rooms.set_room_settings(Arc::new(push.room_rules()));
    tasks.spawn(push.clone().follow(store.subscribe()));
    let keys = Keys::new(store.clone(), platforms.clone(), accounts.clone(), rooms.clone(), inbox.clone());
    let sync =
        Sync::new(store.clone(), rooms.clone(), accounts.clone(), inbox.clone(), keys.clone(), push.clone());
    let oauth = OAuth::new(store.clone(), accounts.clone());
    let media = media::open(config, store, platforms.clone())?;
    tasks.spawn(media::sweep(media.clone()));
    let services = Services { platforms, accounts, oauth, inbox, directory, rooms, keys, push, sync, media };
    let app = App::from(services);
    app.finish_interrupted().await?;
    tasks.spawn(forget_idle(app.clone()));
    tasks.spawn(app.rooms.clone().send_delayed_events(now_ts));
    tasks.spawn(app.rooms.clone().keep_guests_out(now_ts));
    tasks.spawn(forget_old(app.clone()));
    tasks.spawn(expire_oauth(app.clone()));
    Ok((app, tasks))
}

async fn forget_old(app: App) {
    let mut every = tokio::time::interval(OLD_SWEEP);
    loop {
        every.tick().await;
        if let Err(error) = app.rooms.forget_transactions(now_ts().saturating_sub(TRANSACTION_LIFE_MS)).await
        {
            tracing::warn!(%error, "old transaction ids could not be forgotten");
        }
        if let Err(error) = app.sync.forget_connections(now_ts().saturating_sub(CONNECTION_LIFE_MS)).await {
            tracing::warn!(%error, "unused connections of sliding sync could not be forgotten");
        }
        for platform in app.platforms.iter() {
            let forgotten = app.accounts.forget_email_validations(platform.server_name(), now_ts()).await;
            if let Err(error) = forgotten {
                tracing::warn!(%error, "addresses that nobody has confirmed could not be forgotten");
            }
        }
    }
}

async fn expire_oauth(app: App) {
    let mut every = tokio::time::interval(OAUTH_SWEEP);
    loop {
        every.tick().await;
        for platform in app.platforms.iter() {
            if let Err(error) = app.oauth.expire(platform.server_name(), now_ts()).await {
                tracing::warn!(%error, "what has expired of logging in could not be forgotten");
            }
        }
    }
}

async fn forget_idle(app: App) {
    let mut every = tokio::time::interval(HOUSEKEEPING);
    loop {
        every.tick().await;
        app.inbox.forget_idle();
        app.rooms.forget_idle();
        if let Err(error) = app.rooms.expire_presence(linkspan_rooms::QUIET).await {
            tracing::warn!(%error, "who has gone quiet could not be shown as away");
        }
        app.platforms.iter().for_each(|platform| platform.rate_limiter.forget_idle());
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ts() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
