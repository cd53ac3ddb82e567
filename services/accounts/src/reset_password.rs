//! Setting a new password without the old one: by an e-mail address or a phone number of the account.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpassword>

use std::net::IpAddr;

use linkspan_platforms::Platform;
use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts as AccountsTable, ThirdPartyIds, UserKey},
    records::AccountRecord,
};
use ruma::api::client::uiaa::{AuthData, AuthType};

use crate::{
    Accounts, AccountsError, DeviceRemoved, Evidence, PasswordStamp, ProvedUser, ValidationPurpose,
    interactive::{Purpose, RESET_PASSWORD},
    log_in::check_active,
    password::check_password,
    third_party_ids::id_key,
    validation::Validated,
};

impl Accounts {
    /// Whether whoever forgets the password can set another by a code to a phone number. Not where people are known by
    /// their number: there the password is what they know besides.
    pub fn resets_by_number(&self, platform: &Platform) -> bool {
        self.sends_sms(platform) && !self.knows_by_number(platform)
    }

    /// Whether whoever forgets the password can set another.
    pub fn resets_passwords(&self, platform: &Platform) -> bool {
        self.sends_mails(platform) || self.resets_by_number(platform)
    }

    /// Sets the password of a user who confirms an address or a number of the account. With `log_out_others`, the
    /// account's devices are removed. `from`: where the client is.
    pub async fn reset_password(
        &self,
        platform: &Platform,
        new_password: String,
        log_out_others: bool,
        auth: Option<&AuthData>,
        from: IpAddr,
        now_ts: u64,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        check_password(&new_password)?;
        let purpose = Purpose::of_platform(platform.server_name(), RESET_PASSWORD);
        let mut flows = Vec::new();
        flows.extend(self.sends_mails(platform).then(|| vec![AuthType::EmailIdentity]));
        flows.extend(self.resets_by_number(platform).then(|| vec![AuthType::Msisdn]));
        let proof = self.authenticate_interactively(&purpose, &flows, auth, Some(from), now_ts).await?;
        let validated = proof.ids.last().ok_or(AccountsError::AddressNotValidated)?;
        let user = self.put_password_by_id(platform, new_password, validated, now_ts).await?;
        if log_out_others { self.log_out_all(&user.user_id, None).await } else { Ok(Vec::new()) }
    }

    /// Sets the password of whoever shows on a page that an address or a number of the account is theirs, and removes
    /// all its devices. Returns the user, with the stamp of the new password, and the devices that are gone.
    pub async fn reset_password_on_page(
        &self,
        platform: &Platform,
        new_password: String,
        evidence: &Evidence,
        now_ts: u64,
    ) -> Result<(ProvedUser, Vec<DeviceRemoved>), AccountsError> {
        check_password(&new_password)?;
        let purpose = ValidationPurpose::ResetPassword;
        let validated = self.validated(platform.server_name(), &[purpose], evidence, now_ts).await?;
        let user = self.put_password_by_id(platform, new_password, &validated, now_ts).await?;
        let removed = self.log_out_all(&user.user_id, None).await?;
        Ok((user, removed))
    }

    /// Writes the password of the account that has an identifier, and uses up the identifier's validation.
    async fn put_password_by_id(
        &self,
        platform: &Platform,
        new_password: String,
        validated: &Validated,
        now_ts: u64,
    ) -> Result<ProvedUser, AccountsError> {
        let address = id_key(platform.server_name(), &validated.id);
        let (name, passwords) = (platform.server_name(), &self.shared.passwords);
        let password_hash = passwords.hash(name, validated.id.address(), new_password).await?;
        self.store
            .update(async || {
                let owner = self.store.get::<ThirdPartyIds>(&address).await?;
                let owner = owner.ok_or(AccountsError::AddressNotValidated)?;
                if !self.may_reset_by(&validated.id, &owner, now_ts).await? {
                    return Err(AccountsError::AddressNotValidated);
                }
                self.check_not_demo(&owner.user_id).await?;
                let mut writes = WriteSet::new();
                writes.expect::<ThirdPartyIds>(&address, &owner);
                let key = UserKey { user_id: owner.user_id };
                let account = check_active(self.store.get::<AccountsTable>(&key).await?)?;
                writes.expect::<AccountsTable>(&key, &account);
                let changed = AccountRecord { password_hash: Some(password_hash.clone()), ..account };
                writes.put::<AccountsTable>(&key, &changed);
                self.use_up(&mut writes, validated).await?;
                let password_stamp = PasswordStamp::of(&changed);
                Ok((writes, ProvedUser { user_id: key.user_id, password_stamp }))
            })
            .await
    }
}
