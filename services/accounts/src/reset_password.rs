//! Setting a new password without the old one: by an e-mail address of the account.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword>

use linkspan_platforms::Platform;
use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts as AccountsTable, EmailAddresses, UserKey},
    records::AccountRecord,
};
use ruma::api::client::uiaa::{AuthData, AuthType};

use crate::{
    Accounts, AccountsError, DeviceRemoved, EmailLinkToken, EmailPurpose, PasswordStamp, ProvedUser,
    email_addresses::email_key,
    email_validation::ValidatedEmail,
    interactive::{Purpose, RESET_PASSWORD},
    log_in::check_active,
    password::check_password,
};

/// The stages for a user who has no password to prove.
const EMAIL_FLOWS: &[&[AuthType]] = &[&[AuthType::EmailIdentity]];

impl Accounts {
    /// Sets the password of a user who confirms an address of the account. With `log_out_others`, the
    /// account's devices are removed.
    pub async fn reset_password(
        &self,
        platform: &Platform,
        new_password: String,
        log_out_others: bool,
        auth: Option<&AuthData>,
        now_ts: u64,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        check_password(&new_password)?;
        let purpose = Purpose::of_platform(platform.server_name(), RESET_PASSWORD);
        let proof = self.authenticate_interactively(&purpose, EMAIL_FLOWS, auth, now_ts).await?;
        let email = proof.email.ok_or(AccountsError::AddressNotValidated)?;
        let user = self.put_password_by_email(platform, new_password, &email).await?;
        if log_out_others { self.log_out_all(&user.user_id, None).await } else { Ok(Vec::new()) }
    }

    /// Sets the password of whoever has the link of a mail to an address of the account, and removes all its devices.
    /// Returns the user, with the stamp of the new password, and the devices that are gone.
    pub async fn reset_password_by_link(
        &self,
        platform: &Platform,
        new_password: String,
        link: &EmailLinkToken,
        now_ts: u64,
    ) -> Result<(ProvedUser, Vec<DeviceRemoved>), AccountsError> {
        check_password(&new_password)?;
        let purpose = EmailPurpose::ResetPassword;
        let email = self.email_of_link(platform.server_name(), purpose, link, now_ts).await?;
        let user = self.put_password_by_email(platform, new_password, &email).await?;
        let removed = self.log_out_all(&user.user_id, None).await?;
        Ok((user, removed))
    }

    /// Writes the password of the account that has an address, and uses up the address's validation.
    async fn put_password_by_email(
        &self,
        platform: &Platform,
        new_password: String,
        email: &ValidatedEmail,
    ) -> Result<ProvedUser, AccountsError> {
        let address = email_key(platform.server_name(), &email.address);
        let password_hash = self.shared.passwords.hash(new_password).await?;
        self.store
            .update(async || {
                let owner = self.store.get::<EmailAddresses>(&address).await?;
                let owner = owner.ok_or(AccountsError::AddressNotValidated)?;
                let mut writes = WriteSet::new();
                writes.expect::<EmailAddresses>(&address, &owner);
                let key = UserKey { user_id: owner.user_id };
                let account = check_active(self.store.get::<AccountsTable>(&key).await?)?;
                writes.expect::<AccountsTable>(&key, &account);
                let changed = AccountRecord { password_hash: Some(password_hash.clone()), ..account };
                writes.put::<AccountsTable>(&key, &changed);
                self.use_up(&mut writes, email).await?;
                let password_stamp = PasswordStamp::of(&changed);
                Ok((writes, ProvedUser { user_id: key.user_id, password_stamp }))
            })
            .await
    }
}
