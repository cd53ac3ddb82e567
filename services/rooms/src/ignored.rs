//! Whom users ignore, kept in memory: everybody who reads events asks.
//! <https://spec.matrix.org/v1.19/client-server-api/#ignoring-users>

use std::{collections::HashSet, sync::Arc};

use linkspan_storage::Position;
use quick_cache::{Weighter, sync::Cache};
use ruma::OwnedUserId;

use crate::{Result, Rooms};

/// About how many users' lists are kept.
const CACHED_USERS: usize = 100_000;
/// Users and those whom they ignore, of all lists that are kept: about a hundred bytes each.
const CACHED_ENTRIES: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub(crate) struct ByLength;

/// Whom a user ignores, as of a position in the order of commits.
type IgnoredSince = (Position, Arc<HashSet<OwnedUserId>>);

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
    pub async fn ignored_users(&self, user_id: &OwnedUserId) -> Result<Arc<HashSet<OwnedUserId>>> {
        let changed = self.shared.inbox.account_data_changed(user_id);
        if let Some((at, ignored)) = self.shared.ignored.get(user_id)
            && at >= changed
        {
            return Ok(ignored);
        }
        let at = self.store().position();
        let ignored = Arc::new(self.shared.accounts.ignored_users(user_id).await?);
        self.shared.ignored.insert(user_id.clone(), (at, ignored.clone()));
        Ok(ignored)
    }
}
