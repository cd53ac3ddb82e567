//! What an account says of its user, for the archive that the user can have of it (services/export).

use linkspan_storage::{
    Range,
    catalogue::{AccountData, AccountDataKey},
};
use ruma::{OwnedRoomId, OwnedUserId};

use crate::{Accounts, AccountsError, Attempt, interactive::Purpose};

/// How many entries of account data are read at a time: each may have 64 KiB.
const BATCH: usize = 50;

/// An entry of account data, of the user or of the user in a room.
#[derive(Clone, Debug)]
pub struct OwnAccountData {
    /// The room, if it is about one.
    pub room_id: Option<OwnedRoomId>,
    /// Its type.
    pub event_type: String,
    /// Its content, JSON; empty when it was deleted.
    pub content: String,
}

impl OwnAccountData {
    fn key(&self, user_id: &OwnedUserId) -> AccountDataKey {
        AccountDataKey {
            user_id: user_id.clone(),
            room_id: self.room_id.clone(),
            event_type: self.event_type.clone(),
        }
    }
}

impl Accounts {
    /// Refuses unless a user who wants an archive of everything proves the password or, without one, the
    /// number or address.
    pub async fn check_export(
        &self,
        user_id: &OwnedUserId,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        self.prove_password(&Purpose::of_user(user_id, "export"), attempt, now_ts).await.map(drop)
    }

    /// Some of all account data of a user, those that come after `after`; there are no more if there is none.
    pub async fn own_account_data(
        &self,
        user_id: &OwnedUserId,
        after: Option<&OwnAccountData>,
    ) -> Result<Vec<OwnAccountData>, AccountsError> {
        let mut range = Range::<AccountData>::prefix((user_id,)).limit(BATCH);
        if let Some(after) = after {
            range = range.after(&after.key(user_id));
        }
        let rows = self.store.range(range).await?.into_iter();
        let data = rows.map(|(key, stored)| OwnAccountData {
            room_id: key.room_id,
            event_type: key.event_type,
            content: stored.value.0,
        });
        Ok(data.collect())
    }
}
