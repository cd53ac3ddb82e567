//! Accounts whose users wanted what they said to be erased, and since when it is.
//!
//! What that means for events is the rooms service's part.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate>

use std::{collections::HashMap, sync::Arc};

use linkspan_storage::{
    Position, Range, Stamped, Store, WriteSet,
    catalogue::{ErasedAccounts, UserKey},
};
use parking_lot::RwLock;
use ruma::{OwnedUserId, UserId};
use tokio::sync::OnceCell;

use crate::{Accounts, AccountsError};

/// Rows that are read at once.
const PAGE: usize = 1_000;

/// Who was erased, and at which position in the order of commits.
///
/// All of them are kept in memory, about a hundred bytes each: whoever renders an event asks for its sender, and nobody
/// may read the disk for that.
#[derive(Debug, Default)]
pub struct Erasures {
    at: RwLock<HashMap<OwnedUserId, Position>>,
    loaded: OnceCell<()>,
}

impl Erasures {
    /// Those of a store; what was erased before is loaded when somebody asks.
    pub(crate) fn watch(store: &Store) -> Arc<Self> {
        let erasures = Arc::<Self>::default();
        store.watch::<ErasedAccounts, _>(&erasures, |erasures, key, change| {
            if change.is_put {
                erasures.at.write().insert(key.user_id.clone(), change.position);
            }
        });
        erasures
    }

    /// The position at which a user's account was erased; None: it was not.
    pub fn erased_at(&self, user_id: &UserId) -> Option<Position> {
        self.at.read().get(user_id).copied()
    }
}

impl Accounts {
    /// The accounts that were erased: those of now, and those that will be.
    pub async fn erasures(&self) -> Result<&Arc<Erasures>, AccountsError> {
        let erasures = &self.shared.erasures;
        erasures.loaded.get_or_try_init(|| self.load_erasures()).await?;
        Ok(erasures)
    }

    async fn load_erasures(&self) -> Result<(), AccountsError> {
        let mut range = Range::<ErasedAccounts>::all();
        loop {
            let rows = self.store.range(range.limit(PAGE)).await?;
            let is_last = rows.len() < PAGE;
            let last = rows.last().map(|(key, _)| key.clone());
            let rows = rows.into_iter().map(|(key, stamp)| (key.user_id, stamp.position));
            self.shared.erasures.at.write().extend(rows);
            match last.filter(|_| !is_last) {
                Some(last) => range = Range::all().after(&last),
                None => return Ok(()),
            }
        }
    }

    /// Erases an account; one that was erased before stays so since then.
    pub(crate) async fn put_erasure(
        &self,
        writes: &mut WriteSet,
        key: &UserKey,
    ) -> Result<(), AccountsError> {
        if self.store.get::<ErasedAccounts>(key).await?.is_none() {
            writes.expect_absent::<ErasedAccounts>(key);
            writes.put::<ErasedAccounts>(key, &Stamped::pending(()));
        }
        Ok(())
    }
}
