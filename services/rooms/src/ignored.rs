//! Whom users ignore: read from their account data in this place only, and kept in memory, since everybody who reads
//! events asks.
//! <https://spec.matrix.org/v1.19/client-server-api/#ignoring-users>

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use linkspan_accounts::IGNORED_USERS;
use linkspan_storage::{
    Copies, Limits, Store,
    catalogue::{AccountData, AccountLinks},
};
use ruma::OwnedUserId;
use serde::{Deserialize, de::IgnoredAny};

use crate::{Result, Rooms};

/// About how many users' lists are kept.
const CACHED_USERS: usize = 100_000;
/// Users and those whom they ignore, of all lists that are kept: about a hundred bytes each.
const CACHED_ENTRIES: u64 = 1 << 20;

/// The users whom a user ignores.
pub type IgnoredUsers = Arc<HashSet<OwnedUserId>>;

/// The lists of users who were asked about lately.
pub(crate) type IgnoredLists = Copies<OwnedUserId, IgnoredUsers>;

/// No lists yet. One is read anew after each change of the account data that it is kept as.
pub(crate) fn new_lists(store: &Store) -> IgnoredLists {
    let limits = Limits { entries: CACHED_USERS, weight: CACHED_ENTRIES };
    let lists = Copies::weighted(limits, |_, ignored: &IgnoredUsers| 1 + ignored.len() as u64);
    // One's own linked accounts are not taken for ignored.
    let lists = lists.forget_on::<AccountLinks>(store, |key| Some(Cow::Borrowed(&key.user_id)));
    lists.forget_on::<AccountData>(store, |key| {
        let is_list = key.room_id.is_none() && key.event_type == IGNORED_USERS;
        is_list.then_some(Cow::Borrowed(&key.user_id))
    })
}

impl Rooms {
    /// The users who are on a hosted user's list.
    pub async fn ignored_users(&self, user_id: &OwnedUserId) -> Result<IgnoredUsers> {
        let read = async || self.stored_ignored_users(user_id).await.map(Arc::new);
        self.shared.ignored.get_or_read(user_id, read).await
    }

    async fn stored_ignored_users(&self, user_id: &OwnedUserId) -> Result<HashSet<OwnedUserId>> {
        #[derive(Deserialize)]
        struct Content {
            ignored_users: HashMap<String, IgnoredAny>,
        }
        let content = self.shared.accounts.account_data(user_id, None, IGNORED_USERS).await?;
        let content = content.and_then(|content| serde_json::from_str::<Content>(&content).ok());
        let ignored = content.into_iter().flat_map(|content| content.ignored_users.into_keys());
        let ignored = ignored.filter_map(|other| OwnedUserId::try_from(other).ok());
        let links = self.shared.accounts.account_links(user_id).await?;
        let own = |other: &OwnedUserId| {
            other == user_id
                || links.iter().flat_map(|links| &links.others).any(|(linked, _)| linked == other)
        };
        // Nobody ignores themselves.
        Ok(ignored.filter(|other| !own(other)).collect())
    }
}
