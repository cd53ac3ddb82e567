//! Opening the store and the services over it, and what they need done in the background.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use linkspan_accounts::Accounts;
use linkspan_contacts::Contacts;
use linkspan_directory::Directory;
use linkspan_inbox::Inbox;
use linkspan_keys::Keys;
use linkspan_lifecycle::Lifecycle;
use linkspan_matching::{Index, Matching};
use linkspan_oauth::OAuth;
use linkspan_platforms::Platforms;
use linkspan_push::{Push, PushSettings};
use linkspan_rooms::Rooms;
use linkspan_storage::{StorageError, Store};
use linkspan_sync::Sync;
use linkspan_wire::{App, Services, now_ts};
use tokio::task::JoinSet;

use crate::{Failure, config::Config, courier::Couriers, media, stored};

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
pub(crate) fn accounts(store: Store, platforms: Arc<Platforms>, directory: Directory) -> Accounts {
    Accounts::new(store)
        .with_platforms(platforms)
        .on_create(move |writes, user_id, name| directory.index_new_user(writes, user_id, name))
}

/// The rooms of a store that nothing serves.
pub(crate) async fn rooms(config: &Config) -> Result<Rooms, Failure> {
    let store = open_store(config).await?;
    let platforms = Arc::new(Platforms::open(&store, config.platforms.clone(), now_ts()).await?);
    let directory = Directory::new(store.clone(), platforms.clone());
    let inbox = Inbox::new(store.clone(), now_ts());
    let accounts = Accounts::new(store.clone());
    let contacts = Contacts::new(store.clone(), platforms.clone(), accounts.clone());
    Ok(Rooms::new(store, platforms, accounts, contacts, directory, inbox))
}

/// Opens everything a configuration asks for. The background tasks end when the set is dropped.
pub(crate) async fn open(config: &Config) -> Result<(App, JoinSet<()>), Failure> {
    let store = open_store(config).await?;
    let started_ts = now_ts();
    let platforms = Arc::new(Platforms::open(&store, config.platforms.clone(), started_ts).await?);
    let inbox = Inbox::new(store.clone(), started_ts);
    let mut tasks = JoinSet::new();
    tasks.spawn(inbox.clone().follow(store.follow()));
    let directory = Directory::new(store.clone(), platforms.clone());
    let accounts = accounts(store.clone(), platforms.clone(), directory.clone());
    let accounts = accounts.with_courier(Arc::new(Couriers::new(&config.platforms)?));
    let index = Index::open(store.clone(), platforms.clone(), started_ts).await?;
    let accounts = accounts.with_address_index(Arc::new(index.clone()));
    let matching = Matching::new(store.clone(), index, accounts.clone());
    matching.fill_index().await?;
    let contacts = Contacts::new(store.clone(), platforms.clone(), accounts.clone());
    let rooms = Rooms::new(
        store.clone(),
        platforms.clone(),
        accounts.clone(),
        contacts.clone(),
        directory.clone(),
        inbox.clone(),
    );
    let settings = PushSettings::new(Arc::new(now_ts));
    let push = Push::open(store.clone(), accounts.clone(), rooms.clone(), settings).await?;
    rooms.set_room_settings(Arc::new(push.room_rules()));
    tasks.spawn(push.clone().follow(store.follow()));
    let keys = Keys::new(store.clone(), platforms.clone(), accounts.clone(), rooms.clone(), inbox.clone());
    let sync =
        Sync::new(store.clone(), rooms.clone(), accounts.clone(), inbox.clone(), keys.clone(), push.clone());
    let oauth = OAuth::new(store.clone(), accounts.clone());
    let media = media::open(config, store, platforms.clone())?;
    let lifecycle = Lifecycle {
        platforms: platforms.clone(),
        accounts: accounts.clone(),
        matching: matching.clone(),
        contacts: contacts.clone(),
        oauth: oauth.clone(),
        inbox: inbox.clone(),
        rooms: rooms.clone(),
        keys: keys.clone(),
        push: push.clone(),
        sync: sync.clone(),
        media: media.clone(),
    };
    lifecycle.finish_interrupted(started_ts).await?;
    tasks.spawn(lifecycle.clone().sweep(now_ts));
    tasks.spawn(rooms.clone().send_delayed_events(now_ts));
    tasks.spawn(rooms.clone().keep_guests_out(now_ts));
    let services = Services {
        platforms,
        accounts,
        matching,
        contacts,
        oauth,
        inbox,
        directory,
        rooms,
        keys,
        push,
        sync,
        media,
        lifecycle,
    };
    let app = App::from(services);
    Ok((app, tasks))
}
