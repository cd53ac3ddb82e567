//! Whom users ignore: read from their account data in this place only, and kept in memory, since everybody who reads
//! events asks.
//! <https://spec.matrix.org/v1.19/client-server-api/#ignoring-users>

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use linkspan_storage::Position;
use quick_cache::{Weighter, sync::Cache};
use ruma::OwnedUserId;
use serde::{Deserialize, de::IgnoredAny};

use crate::{Result, Rooms};

/// The account data that says whom a user ignores.
const IGNORED_USERS: &str = "m.ignored_user_list";
/// About how many users' lists are kept.
const CACHED_USERS: usize = 100_000;
/// Users and those whom they ignore, of all lists that are kept: about a hundred bytes each.
const CACHED_ENTRIES: u64 = 1 << 20;

/// The users whom a user ignores.
pub type IgnoredUsers = Arc<HashSet<OwnedUserId>>;

/// Weighs a list by the users on it.
#[derive(Clone, Debug)]
pub(crate) struct ByLength;

/// Whom a user ignores, as of a position in the order of commits.
type IgnoredSince = (Position, IgnoredUsers);

impl Weighter<OwnedUserId, IgnoredSince> for ByLength {
    fn weight(&self, _: &OwnedUserId, (_, ignored): &IgnoredSince) -> u64 {
        1 + ignored.len() as u64
    }
}

pub(crate) type IgnoredCache = Cache<OwnedUserId, IgnoredSince, ByLength>;

pub(crate) fn new_cache() -> IgnoredCache {
    Cache::with_weighter(CACHED_USERS, CACHED_ENTRIES, ByLength)
}

impl Rooms {
    /// Whom a hosted user ignores. The disk is read only if the user's account data may have changed since.
    pub async fn ignored_users(&self, user_id: &OwnedUserId) -> Result<IgnoredUsers> {
        let changed = self.shared.inbox.account_data_changed(user_id);
        if let Some((at, ignored)) = self.shared.ignored.get(user_id)
            && at >= changed
        {
            return Ok(ignored);
        }
        let at = self.store().position();
        let ignored = Arc::new(self.stored_ignored_users(user_id).await?);
        self.shared.ignored.insert(user_id.clone(), (at, ignored.clone()));
        Ok(ignored)
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
        // Nobody ignores themselves.
        Ok(ignored.filter(|other| other != user_id).collect())
    }
}
