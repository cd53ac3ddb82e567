//! Deactivating an account: for good; its name is never given to another.
//! <https://spec.matrix.org/v1.19/client-server-api/#account-deactivation>

use linkspan_storage::{
    Range, StorageError, WriteSet,
    catalogue::{AccountData, Accounts as AccountsTable, DepartingAccounts, Filters, Profiles, UserKey},
    records::{AccountRecord, DepartingAccountRecord},
};
use ruma::OwnedUserId;

use crate::{Accounts, AccountsError, Attempt, DeviceRemoved, PasswordStamp, interactive::Purpose};

impl Accounts {
    /// Refuses unless the user proves the password; comes before [`Self::begin_deactivation`], which has to be told
    /// of which password that was.
    pub async fn check_deactivation(
        &self,
        user_id: &OwnedUserId,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<PasswordStamp, AccountsError> {
        self.prove_password(&Purpose::of_user(user_id, "deactivate"), attempt, now_ts).await
    }

    /// Begins to deactivate an account: from now on nobody logs in, and it is to be finished, after a stop too. Its
    /// devices go at once; those that are gone. `proved`: of the password that the user has proved; None: an operator
    /// asks. `erase`: its profile is to go, too, and what it said is not for those who come later. Again is the same.
    pub async fn begin_deactivation(
        &self,
        user_id: &OwnedUserId,
        proved: Option<PasswordStamp>,
        erase: bool,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
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

    /// Accounts that are deactivated and not yet out of everything: a stop came in between.
    pub async fn departing_accounts(&self) -> Result<Vec<OwnedUserId>, AccountsError> {
        let keys = self.store.keys::<DepartingAccounts>(Range::all()).await?;
        Ok(keys.into_iter().map(|key| key.user_id).collect())
    }

    /// Removes an account's links, data, addresses and numbers, filters and, if it is to be erased, its profile, and releases its
    /// handle. It comes last: whatever else the account is in is to be found again after a stop.
    pub async fn finish_deactivation(&self, user_id: &OwnedUserId, now_ts: u64) -> Result<(), AccountsError> {
        let key = UserKey { user_id: user_id.clone() };
        let departing = self.store.get::<DepartingAccounts>(&key).await?;
        // First: linked accounts have a change of whom they ignore written to this one.
        self.forget_links(user_id).await?;
        self.store.delete_range::<AccountData>(Range::prefix((user_id,))).await?;
        self.delete_all_ids(user_id).await?;
        self.store.delete_range::<Filters>(Range::prefix((user_id,))).await?;
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
