//! Opening the store and the services over it, and what they need done in the background.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use linkspan_accounts::Accounts;
use linkspan_contacts::Contacts;
use linkspan_directory::Directory;
use linkspan_inbox::Inbox;
use linkspan_platforms::Platforms;
use linkspan_rooms::Rooms;
use linkspan_storage::{EmbeddedOptions, StorageError, Store};
use linkspan_web::{BUILT_IN, Web};
use linkspan_wire::{Api, App, Services, now_ts};
use tokio::task::JoinSet;

use crate::{
    Failure, backup, config::Config, courier::Couriers, media, operations::Operations, platform_operations,
    reload::Reloading, stored,
};

/// Where the store is in the data folder.
pub(crate) fn store_folder(data: &Path) -> PathBuf {
    data.join("store")
}

/// Opens the store of a configuration. Refuses if it has accounts that the configuration puts out of reach.
pub(crate) async fn open_store(config: &Config) -> Result<Store, Failure> {
    let folder = store_folder(&config.data);
    if backup::is_half_restored(&config.data) {
        return Err(format!(
            "{} was not restored to the end: empty it, and restore again",
            config.data.display()
        )
        .into());
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let options =
        EmbeddedOptions { reserve_bytes: config.storage.reserve_bytes, ..EmbeddedOptions::default() };
    let store = Store::open_with(&folder, options).map_err(|error| match error {
        StorageError::InUse(_) => {
            format!("{} is in use by a running server; stop it first", config.data.display())
        }
        error => format!("the store in {} cannot be opened: {error}", folder.display()),
    })?;
    let newer = |error| format!("the store in {} cannot be used: {error}", folder.display());
    store.check_format().await.map_err(newer)?;
    stored::check_served(&store, config).await?;
    Ok(store)
}

/// The rooms of a store that nothing serves.
pub(crate) async fn rooms(config: &Config) -> Result<Rooms, Failure> {
    let store = open_store(config).await?;
    let platforms = Arc::new(Platforms::open(&store, config.platforms.clone(), now_ts()).await?);
    let directory = Directory::new(store.clone(), platforms.clone());
    let inbox = Inbox::new(store.clone(), now_ts());
    let accounts = Accounts::new(store.clone());
    let contacts = Contacts::new(store.clone(), platforms.clone(), accounts.clone());
    Ok(Rooms::new(store, platforms, accounts, contacts, directory, inbox, now_ts))
}

/// All that is served over the services.
pub(crate) fn api(config: &Config, app: App, store: Store, reloading: Reloading) -> Api {
    Api::new(
        app.clone(),
        [
            linkspan_client_api::endpoints(),
            linkspan_own_api::endpoints(),
            linkspan_admin_api::endpoints(),
            linkspan_admin_api::synapse_endpoints(),
            platform_operations::endpoints(&store),
            Operations::new(config, store, reloading).endpoints(),
            linkspan_identity_api::endpoints(),
        ],
        linkspan_pages::router(app, Web::new(BUILT_IN)),
    )
}

/// Opens everything a configuration asks for, over one store. The background tasks end when the set is dropped.
pub(crate) async fn open(config: &Config) -> Result<(App, Store, JoinSet<()>), Failure> {
    let store = open_store(config).await?;
    let started_ts = now_ts();
    let platforms = Arc::new(Platforms::open(&store, config.platforms.clone(), started_ts).await?);
    let media = media::open(config, store.clone(), platforms.clone())?;
    let courier = Arc::new(Couriers::new(platforms.clone()));
    // The inbox hears of what is committed from here on.
    let feed = store.follow();
    let services = Services::over(&store, platforms, media, courier, now_ts).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(services.inbox.clone().follow(feed));
    tasks.spawn(services.push.clone().follow(store.follow()));
    services.finish_interrupted(started_ts).await?;
    tasks.spawn(services.clone().sweep(now_ts));
    tasks.spawn(services.census.clone().keep_counting());
    tasks.spawn(services.rooms.clone().send_delayed_events(now_ts));
    tasks.spawn(services.rooms.clone().keep_guests_out(now_ts));
    tasks.spawn(services.rooms.clone().bring_invitations(now_ts));
    tasks.spawn(services.rooms.clone().keep_deleting_rooms(now_ts));
    tasks.spawn(services.rooms.clone().keep_sending_notices(now_ts));
    Ok((App::from(services), store, tasks))
}
