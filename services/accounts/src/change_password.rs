//! Changing the password.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword>

use linkspan_platforms::Platform;
use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts as AccountsTable, UserKey},
    records::AccountRecord,
};
use ruma::{OwnedDeviceId, OwnedUserId, thirdparty::Medium};

use crate::{
    Accounts, AccountsError, Attempt, DeviceRemoved,
    interactive::Purpose,
    log_in::check_active,
    password::{PasswordStamp, check_password},
};

impl Accounts {
    /// Changes the password of a user who proves the old one. With `log_out_others`, all devices but
    /// `device_id`, which asks, are removed.
    pub async fn change_password(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        new_password: String,
        log_out_others: bool,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        check_password(&new_password)?;
        self.check_not_demo(user_id).await?;
        let purpose = Purpose::of_user(user_id, "change password");
        let proved = self.prove_password(&purpose, attempt, now_ts).await?;
        self.put_password(user_id, new_password, Some(proved)).await?;
        if log_out_others { self.log_out_all(user_id, Some(device_id)).await } else { Ok(Vec::new()) }
    }

    /// Changes the password of a user who gives the old one, as a page asks for it. With `log_out_devices`,
    /// all devices are removed. Returns the stamp of the new password, and the devices that are gone.
    pub async fn replace_password(
        &self,
        platform: &Platform,
        user_id: &OwnedUserId,
        password: String,
        new_password: String,
        log_out_devices: bool,
    ) -> Result<(PasswordStamp, Vec<DeviceRemoved>), AccountsError> {
        check_password(&new_password)?;
        let proved = self.check_own_password(platform, user_id, password).await?;
        let changed = self.put_password(user_id, new_password, Some(proved)).await?;
        let removed = if log_out_devices { self.log_out_all(user_id, None).await? } else { Vec::new() };
        Ok((changed, removed))
    }

    /// Sets the first password of a user who has just proved on a page who it is. Returns its stamp. Refuses if there is
    /// one already.
    pub async fn set_first_password(
        &self,
        user_id: &OwnedUserId,
        password: String,
    ) -> Result<PasswordStamp, AccountsError> {
        check_password(&password)?;
        self.put_password(user_id, password, Some(PasswordStamp(None))).await
    }

    /// Removes the password of a user who gives it and is known by a number, as a page asks for it. Returns the stamp of
    /// having none. Refuses a user who has no number.
    pub async fn remove_password(
        &self,
        platform: &Platform,
        user_id: &OwnedUserId,
        password: String,
    ) -> Result<PasswordStamp, AccountsError> {
        if !self.knows_by_number(platform) {
            return Err(NO_NUMBER);
        }
        let proved = self.check_own_password(platform, user_id, password).await?;
        self.write_password(user_id, None, Some(proved)).await
    }

    /// Sets a password without asking anybody: for operators.
    pub async fn set_password(&self, user_id: &OwnedUserId, password: String) -> Result<(), AccountsError> {
        check_password(&password)?;
        self.put_password(user_id, password, None).await.map(|_| ())
    }

    /// Writes a password, and returns its stamp. `proved` is the stamp of the password that the user has
    /// proved, if somebody asked for it.
    pub(crate) async fn put_password(
        &self,
        user_id: &OwnedUserId,
        password: String,
        proved: Option<PasswordStamp>,
    ) -> Result<PasswordStamp, AccountsError> {
        let passwords = &self.shared.passwords;
        let password_hash = passwords.hash(user_id.server_name(), user_id.as_str(), password).await?;
        self.write_password(user_id, Some(password_hash), proved).await
    }

    /// Writes the hash of a password, as [`put_password`](Self::put_password) does. Nobody but an operator, who proves
    /// nothing, changes that of a demo account.
    ///
    /// If there is no hash, it removes the password, of a user who has a number to log in with.
    async fn write_password(
        &self,
        user_id: &OwnedUserId,
        password_hash: Option<String>,
        proved: Option<PasswordStamp>,
    ) -> Result<PasswordStamp, AccountsError> {
        if proved.is_some() {
            self.check_not_demo(user_id).await?;
        }
        let key = UserKey { user_id: user_id.clone() };
        self.store
            .update(async || {
                let account = check_active(self.store.get::<AccountsTable>(&key).await?)?;
                if let Some(proved) = proved {
                    proved.check(&account)?;
                }
                let mut writes = WriteSet::new();
                // Somebody else may know the old one.
                writes.use_reserve();
                if password_hash.is_none()
                    && !self.keeps_id(&mut writes, user_id, &Medium::Msisdn, None).await?
                {
                    return Err(NO_NUMBER);
                }
                writes.expect::<AccountsTable>(&key, &account);
                let changed = AccountRecord { password_hash: password_hash.clone(), ..account };
                writes.put::<AccountsTable>(&key, &changed);
                Ok((writes, PasswordStamp::of(&changed)))
            })
            .await
    }
}

/// Whoever has neither a password nor a number could not log in any more.
const NO_NUMBER: AccountsError = AccountsError::NotFound("number");
