//! Changing the password.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword>

use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts as AccountsTable, UserKey},
    records::AccountRecord,
};
use ruma::{OwnedDeviceId, OwnedUserId, api::client::uiaa::AuthData};

use crate::{
    Accounts, AccountsError, DeviceRemoved,
    interactive::{PASSWORD_FLOWS, Purpose},
    log_in::check_active,
    password::check_password,
};

impl Accounts {
    /// Changes the password of a user who proves the old one; `log_out_others` removes all devices but
    /// `device_id`, which asks.
    pub async fn change_password(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        new_password: String,
        log_out_others: bool,
        auth: Option<&AuthData>,
        now_ts: u64,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        check_password(&new_password)?;
        let purpose = Purpose::of_user(user_id, "change password");
        self.authenticate_interactively(&purpose, PASSWORD_FLOWS, auth, now_ts).await?;
        self.set_password(user_id, new_password).await?;
        if log_out_others { self.log_out_all(user_id, Some(device_id)).await } else { Ok(Vec::new()) }
    }

    /// Changes the password of a user who gives the old one, as a page asks for it; `log_out_devices` removes
    /// all devices.
    pub async fn replace_password(
        &self,
        user_id: &OwnedUserId,
        password: String,
        new_password: String,
        log_out_devices: bool,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        check_password(&new_password)?;
        self.check_credentials(Some(user_id.clone()), password).await?;
        self.set_password(user_id, new_password).await?;
        if log_out_devices { self.log_out_all(user_id, None).await } else { Ok(Vec::new()) }
    }

    /// Sets a password without asking anybody: for operators.
    pub async fn set_password(&self, user_id: &OwnedUserId, password: String) -> Result<(), AccountsError> {
        check_password(&password)?;
        let password_hash = self.shared.passwords.hash(password).await?;
        let key = UserKey { user_id: user_id.clone() };
        self.store
            .update(async || {
                let account = check_active(self.store.get::<AccountsTable>(&key).await?)?;
                let mut writes = WriteSet::new();
                writes.expect::<AccountsTable>(&key, &account);
                let changed = AccountRecord { password_hash: Some(password_hash.clone()), ..account };
                writes.put::<AccountsTable>(&key, &changed);
                Ok((writes, ()))
            })
            .await
    }
}
