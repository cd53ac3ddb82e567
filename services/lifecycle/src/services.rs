//! The services, opened in their order over one store.

use std::sync::Arc;

use linkspan_accounts::{Accounts, Courier, Indexing, NameIndex};
use linkspan_contacts::Contacts;
use linkspan_directory::Directory;
use linkspan_domain::Discovery;
use linkspan_export::Export;
use linkspan_finding::Finding;
use linkspan_inbox::Inbox;
use linkspan_keys::Keys;
use linkspan_matching::{Index, Matching};
use linkspan_media::Media;
use linkspan_oauth::OAuth;
use linkspan_operators::Operators;
use linkspan_platforms::{NamedShares, Platforms};
use linkspan_push::{Push, PushSettings};
use linkspan_rooms::{ProvedIndex, Rooms};
use linkspan_storage::{CacheSize, Store, WriteSet};
use linkspan_sync::Sync;
use ruma::OwnedUserId;

use crate::{Census, Result};

/// Handles on all services. Clones are the same services.
#[derive(Clone, Debug)]
pub struct Services {
    /// The hosted platforms.
    pub platforms: Arc<Platforms>,
    /// Accounts, devices, profiles, account data.
    pub accounts: Accounts,
    /// Who of an address book is here.
    pub matching: Matching,
    /// Whom users know, and who may reach them.
    pub contacts: Contacts,
    /// Logging in by OAuth 2.0.
    pub oauth: OAuth,
    /// Inboxes.
    pub inbox: Inbox,
    /// How people and rooms are found.
    pub directory: Directory,
    /// Rooms.
    pub rooms: Rooms,
    /// Finding people.
    pub finding: Finding,
    /// Keys for end-to-end encryption.
    pub keys: Keys,
    /// Push rules, pushers, unread counts.
    pub push: Push,
    /// What is new for clients.
    pub sync: Sync,
    /// Uploads, downloads, thumbnails.
    pub media: Media,
    /// Archives of what there is of a person.
    pub export: Export,
    /// What operators did.
    pub operators: Operators,
    /// How much each platform has.
    pub census: Census,
}

/// The names in the directory, which the accounts have follow what people choose.
struct Names(Directory);

impl NameIndex for Names {
    fn put_choice<'a>(
        &'a self,
        writes: &'a mut WriteSet,
        user_id: &'a OwnedUserId,
        own: Discovery,
    ) -> Indexing<'a> {
        Box::pin(self.0.index_choice(writes, user_id, own))
    }
}

/// Accounts that are found in the directory from the beginning, as far as they choose.
pub fn accounts(store: Store, platforms: Arc<Platforms>, directory: Directory) -> Accounts {
    Accounts::new(store)
        .with_platforms(platforms)
        .with_name_index(Arc::new(Names(directory.clone())))
        .on_create(move |writes, user_id, name| directory.index_new_user(writes, user_id, name))
}

impl Services {
    /// The places that each kind of work shares, for operators. A kind may have several.
    pub fn shares(&self) -> Vec<NamedShares> {
        let mut all = vec![self.accounts.shares(), self.matching.shares(), self.export.shares()];
        all.extend(self.media.shares());
        all.extend(self.push.shares());
        all.extend(self.rooms.shares());
        all
    }

    /// What each cache keeps in memory, by name, for operators.
    pub fn cache_sizes(&self) -> Vec<(&'static str, CacheSize)> {
        let mut all: Vec<_> = self.rooms.cache_sizes().into();
        all.extend(self.accounts.cache_sizes());
        all.extend(self.contacts.cache_sizes());
        all.extend(self.keys.cache_sizes());
        all.extend(self.push.cache_sizes());
        all.extend(self.sync.cache_sizes());
        all.extend(self.media.cache_sizes());
        all
    }

    /// Opens all services over a store. Messages to people go out by `courier`, and `clock` says milliseconds since
    /// the Unix epoch. Nothing runs in the background yet.
    pub async fn over(
        store: &Store,
        platforms: Arc<Platforms>,
        media: Media,
        courier: Arc<dyn Courier>,
        clock: fn() -> u64,
    ) -> Result<Self> {
        let inbox = Inbox::new(store.clone(), clock());
        let directory = Directory::new(store.clone(), platforms.clone());
        let index = Index::open(store.clone(), platforms.clone(), clock()).await?;
        let accounts = accounts(store.clone(), platforms.clone(), directory.clone())
            .with_courier(courier)
            .with_address_index(Arc::new(index.clone()))
            .with_address_owners(Arc::new(ProvedIndex::new(store.clone(), platforms.clone())));
        accounts.bind_demo_accounts().await?;
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
            clock,
        );
        let finding = Finding::new(
            platforms.clone(),
            accounts.clone(),
            matching.clone(),
            contacts.clone(),
            directory.clone(),
            rooms.clone(),
        );
        let settings = PushSettings::new(Arc::new(clock));
        let push =
            Push::open(store.clone(), platforms.clone(), accounts.clone(), rooms.clone(), settings).await?;
        rooms.set_room_settings(Arc::new(push.room_rules()));
        let keys =
            Keys::new(store.clone(), platforms.clone(), accounts.clone(), rooms.clone(), inbox.clone());
        let sync = Sync::new(
            store.clone(),
            platforms.clone(),
            rooms.clone(),
            accounts.clone(),
            inbox.clone(),
            keys.clone(),
            push.clone(),
        );
        let oauth = OAuth::new(store.clone(), accounts.clone());
        let export = Export::new(
            accounts.clone(),
            contacts.clone(),
            media.clone(),
            push.clone(),
            rooms.clone(),
            clock,
        );
        let operators = Operators::new(store.clone());
        Ok(Self {
            platforms,
            accounts,
            matching,
            contacts,
            oauth,
            inbox,
            directory,
            rooms,
            finding,
            keys,
            push,
            sync,
            media,
            export,
            operators,
            census: Census::new(store.clone()),
        })
    }
}
