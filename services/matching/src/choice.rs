//! What people say about being found.

use linkspan_storage::{
    WriteSet,
    catalogue::{MatchingChoices, UserKey},
    records::MatchingChoiceRecord,
};
use ruma::OwnedUserId;

use crate::{Matching, Result};

impl Matching {
    /// Whether others find a user by the user's addresses.
    pub async fn is_findable(&self, user_id: &OwnedUserId) -> Result<bool> {
        Ok(self.index.choice(user_id).await?.0)
    }

    /// Sets whether others find a user by the addresses that the user has and will have. Whoever has found
    /// the user before keeps what they have learnt.
    pub async fn set_findable(&self, user_id: &OwnedUserId, findable: bool) -> Result<()> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                self.accounts.expect_active(&mut writes, user_id).await?;
                let key = UserKey { user_id: user_id.clone() };
                let (_, row) = self.index.choice(user_id).await?;
                writes.expect_read::<MatchingChoices>(&key, row.as_ref());
                writes.put::<MatchingChoices>(&key, &MatchingChoiceRecord { findable });
                for id in self.accounts.expect_addresses(&mut writes, user_id).await? {
                    match self.index.rows(user_id, id.medium(), id.address()).await? {
                        Some(rows) if findable => rows.put(&mut writes),
                        Some(rows) => rows.take(&mut writes),
                        None => {}
                    }
                }
                Ok((writes, ()))
            })
            .await
    }
}
