//! Deactivating an account: for good; its name is never given to another.
//! <https://spec.matrix.org/v1.19/client-server-api/#account-deactivation>

use linkspan_storage::{
    Range, StorageError, Table, WriteSet,
    catalogue::{AccountData, Accounts as AccountsTable, Filters, Profiles, UserKey},
    records::AccountRecord,
};
use ruma::{OwnedUserId, api::client::uiaa::AuthData};

use crate::{Accounts, AccountsError, DeviceRemoved, interactive::Purpose};

/// Rows that one commit removes.
const BATCH: usize = 1_000;

impl Accounts {
    /// Refuses unless the user proves the password; comes before leaving the rooms and [`Self::deactivate`].
    pub async fn check_deactivation(
        &self,
        user_id: &OwnedUserId,
        auth: Option<&AuthData>,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        self.prove_password(&Purpose::of_user(user_id, "deactivate"), auth, now_ts).await
    }

    /// Deactivates an account and removes its password, devices, tokens, account data and filters; `erase`:
    /// its profile, too. Again is the same.
    pub async fn deactivate(
        &self,
        user_id: &OwnedUserId,
        erase: bool,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        let key = UserKey { user_id: user_id.clone() };
        self.store
            .update(async || {
                let account = self.store.get::<AccountsTable>(&key).await?;
                let account = account.ok_or(AccountsError::NotFound("account"))?;
                let mut writes = WriteSet::new();
                writes.expect::<AccountsTable>(&key, &account);
                let gone = AccountRecord { password_hash: None, deactivated: true, admin: false, ..account };
                writes.put::<AccountsTable>(&key, &gone);
                Ok::<_, AccountsError>((writes, ()))
            })
            .await?;
        let removed = self.log_out_all(user_id, None).await?;
        self.remove_all::<AccountData>(|| Range::prefix((user_id,))).await?;
        self.delete_all_emails(user_id).await?;
        self.remove_all::<Filters>(|| Range::prefix((user_id,))).await?;
        if erase {
            self.remove_all::<Profiles>(|| Range::prefix((user_id,))).await?;
        }
        Ok(removed)
    }

    async fn remove_all<T: Table>(&self, range: impl Fn() -> Range<T>) -> Result<(), AccountsError> {
        loop {
            let keys = self.store.keys::<T>(range().limit(BATCH)).await?;
            if keys.is_empty() {
                return Ok(());
            }
            let mut writes = WriteSet::new();
            keys.iter().for_each(|key| writes.delete::<T>(key));
            self.store.commit(writes).await.map_err(StorageError::from)?;
        }
    }
}
