//! Deactivating an account: for good; its name is never given to another.
//! <https://spec.matrix.org/v1.19/client-server-api/#account-deactivation>

use linkspan_storage::{
    Range, StorageError, WriteSet,
    catalogue::{
        AccountData, Accounts as AccountsTable, DepartingAccounts, Filters, Profiles, StoredAmounts, UserKey,
    },
    records::{AccountRecord, DepartingAccountRecord},
};
use ruma::OwnedUserId;

use crate::{Accounts, AccountsError, Attempt, DeviceRemoved, PasswordStamp, interactive::Purpose};

impl Accounts {
    /// Refuses unless the user proves the password. Returns its stamp, which [`Self::begin_deactivation`] checks again.
    pub async fn check_deactivation(
        &self,
        user_id: &OwnedUserId,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<PasswordStamp, AccountsError> {
        self.check_not_demo(user_id).await?;
        self.prove_password(&Purpose::of_user(user_id, "deactivate"), attempt, now_ts).await
    }

    /// Begins to deactivate an account. From now on nobody logs in, and the rest is finished even if the server stops
    /// meanwhile. `proved` is the stamp of the password that the user has proved; an operator needs none. With `erase`,
    /// the profile goes too, and those who join a room later do not see what the user said there. Removes the
    /// account's devices, and returns them. Doing it again changes nothing.
    pub async fn begin_deactivation(
        &self,
        user_id: &OwnedUserId,
        proved: Option<PasswordStamp>,
        erase: bool,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        if proved.is_some() {
            self.check_not_demo(user_id).await?;
        }
        let key = UserKey { user_id: user_id.clone() };
        self.store
            .update(async || {
                let account = self.store.get::<AccountsTable>(&key).await?;
                let account = account.ok_or(AccountsError::NotFound("account"))?;
                if let Some(proved) = proved.filter(|_| !account.deactivated) {
                    proved.check(&account)?;
                }
                let before = self.store.get::<DepartingAccounts>(&key).await?;
                let mut writes = WriteSet::new();
                writes.use_reserve();
                writes.expect::<AccountsTable>(&key, &account);
                let gone = AccountRecord { password_hash: None, deactivated: true, admin: false, ..account };
                writes.put::<AccountsTable>(&key, &gone);
                let erase = erase || before.is_some_and(|before| before.erase);
                writes.put::<DepartingAccounts>(&key, &DepartingAccountRecord { erase });
                if erase {
                    self.put_erasure(&mut writes, &key).await?;
                }
                Ok::<_, AccountsError>((writes, ()))
            })
            .await?;
        self.log_out_all(user_id, None).await
    }

    /// Accounts whose deactivation was begun and is not finished, because the server stopped in between.
    pub async fn departing_accounts(&self) -> Result<Vec<OwnedUserId>, AccountsError> {
        let keys = self.store.keys::<DepartingAccounts>(Range::all()).await?;
        Ok(keys.into_iter().map(|key| key.user_id).collect())
    }

    /// Removes an account's links, data, addresses and numbers, filters and, if it is to be erased, its profile, and
    /// releases its handle. It comes last, so that after a stop everything else that the account is in is still found.
    pub async fn finish_deactivation(&self, user_id: &OwnedUserId, now_ts: u64) -> Result<(), AccountsError> {
        let key = UserKey { user_id: user_id.clone() };
        let departing = self.store.get::<DepartingAccounts>(&key).await?;
        // First: linked accounts have a change of whom they ignore written to this one.
        self.forget_links(user_id).await?;
        self.store.delete_range::<AccountData>(Range::prefix((user_id,))).await?;
        self.delete_all_ids(user_id).await?;
        self.store.delete_range::<Filters>(Range::prefix((user_id,))).await?;
        self.store.delete_range::<StoredAmounts>(Range::prefix((user_id,))).await?;
        if departing.is_some_and(|departing| departing.erase) {
            self.store.delete_range::<Profiles>(Range::prefix((user_id,))).await?;
        }
        let mut writes = WriteSet::new();
        self.release_handle(&mut writes, user_id, now_ts).await?;
        writes.delete::<DepartingAccounts>(&key);
        self.store.commit(writes).await.map_err(StorageError::from)?;
        Ok(())
    }
}
