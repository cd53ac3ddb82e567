//! Logging in by a code that was sent to the phone number or the e-mail address that people are known by: whoever proves
//! it logs in to its account, or begins another one.
//!
//! Operators of networks give a number that nobody uses to somebody else. So a number alone leads into no account that
//! has a second step, or that has not been used for long; docs/decisions/0014-phone-numbers.md has the whole rule. An
//! address leads into its account: it would set another password, too.

use std::net::IpAddr;

use linkspan_platforms::{Identity, Platform};
use linkspan_storage::{
    WriteSet,
    catalogue::{Accounts as AccountsTable, ThirdPartyIds, UserKey},
    records::{AccountRecord, ThirdPartyIdRecord},
};
use ruma::{OwnedServerName, api::client::uiaa::AuthType, thirdparty::Medium};

use crate::{
    Accounts, AccountsError, Evidence, LoggedIn, NewDevice, PasswordStamp, ProvedUser, ThirdPartyId,
    ValidationPurpose, ValidationSession,
    log_in::{check_active, check_device},
    third_party_ids::id_key,
};

/// How long an account may rest before its number alone opens it no more, in milliseconds.
const UNUSED_MS: u64 = 45 * 24 * 60 * 60 * 1000;

/// What an identifier that somebody has proved leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It leads to no account. Whoever has it begins one.
    Free,
    /// It leads to an account that asks for a second step. Who does not know that begins another account.
    Guarded,
    /// It leads into an account.
    Open,
}

impl Standing {
    /// The standing of the e-mail address of an account.
    fn of_address(account: &AccountRecord) -> Self {
        if account.deactivated { Self::Free } else { Self::Open }
    }

    /// The standing of the number of an account, which was last used at this time.
    fn of_number(account: &AccountRecord, used_ts: u64, now_ts: u64) -> Self {
        let rests = now_ts.saturating_sub(used_ts) >= UNUSED_MS;
        match account.password_hash {
            _ if account.deactivated => Self::Free,
            Some(_) => Self::Guarded,
            None if rests && !is_restricted(account) => Self::Free,
            None => Self::Open,
        }
    }
}

/// Whether an operator has restricted an account. Its number stays with it, so that nobody begins anew with it.
fn is_restricted(account: &AccountRecord) -> bool {
    account.locked || account.suspended
}

impl Accounts {
    /// By what people of a platform are known that they prove with a code: phone numbers, e-mail addresses, or nothing.
    pub fn known_by(&self, platform: &Platform) -> Option<Medium> {
        let settings = &platform.settings;
        let medium = match settings.identity {
            Identity::Phone if self.sends_sms(platform) => Medium::Msisdn,
            Identity::Account if self.sends_mails(platform) => Medium::Email,
            Identity::Phone | Identity::Account | Identity::Handle => return None,
        };
        settings.verify.then_some(medium)
    }

    /// Whether people of a platform are known by a phone number that they prove.
    pub fn knows_by_number(&self, platform: &Platform) -> bool {
        self.known_by(platform) == Some(Medium::Msisdn)
    }

    /// The stage of interactive authentication that proves what people of a platform are known by. Logging in with a
    /// code has the same name.
    pub fn log_in_stage(&self, platform: &Platform) -> Option<AuthType> {
        match self.known_by(platform)? {
            Medium::Msisdn => Some(AuthType::Msisdn),
            _ => Some(AuthType::EmailIdentity),
        }
    }

    /// What the identifier leads to that a session has validated for logging in.
    pub async fn standing(
        &self,
        platform: &OwnedServerName,
        session: &ValidationSession,
        now_ts: u64,
    ) -> Result<Standing, AccountsError> {
        let id = self.validated_id(platform, ValidationPurpose::LogIn, session, now_ts).await?;
        match self.store.get::<ThirdPartyIds>(&id_key(platform, &id)).await? {
            Some(record) => self.standing_with(&id, &record, now_ts).await,
            None => Ok(Standing::Free),
        }
    }

    /// Logs in the user whose identifier a session has validated, as [`Accounts::prove_by_code`] finds it.
    pub async fn log_in_by_code(
        &self,
        platform: &Platform,
        session: &ValidationSession,
        password: Option<String>,
        device: NewDevice,
        now_ts: u64,
    ) -> Result<LoggedIn, AccountsError> {
        check_device(&device)?;
        let user = self.prove_by_code(platform, session, password, device.address, now_ts).await?;
        self.start_session(user, device, now_ts).await
    }

    /// The user whose identifier a session has validated for logging in. Refuses with [`AccountsError::NoAccount`] if
    /// there is none, and with [`AccountsError::PasswordNeeded`] if the account has a second step. Then, as after a
    /// wrong password, the session is as good as before; else it is used up. How often a password may be tried is
    /// limited; the caller has counted the address, which is `from`.
    pub async fn prove_by_code(
        &self,
        platform: &Platform,
        session: &ValidationSession,
        password: Option<String>,
        from: Option<IpAddr>,
        now_ts: u64,
    ) -> Result<ProvedUser, AccountsError> {
        let evidence = Evidence::Session(session.clone());
        let name = platform.server_name();
        let validated = self.validated(name, &[ValidationPurpose::LogIn], &evidence, now_ts).await?;
        if self.known_by(platform).as_ref() != Some(validated.id.medium()) {
            return Err(AccountsError::AddressNotValidated);
        }
        let key = id_key(name, &validated.id);
        let record = self.store.get::<ThirdPartyIds>(&key).await?.ok_or(AccountsError::NoAccount)?;
        let user = match (self.standing_with(&validated.id, &record, now_ts).await?, password) {
            (Standing::Free, _) => return Err(AccountsError::NoAccount),
            (Standing::Guarded, None) => return Err(AccountsError::PasswordNeeded),
            (Standing::Guarded, Some(password)) => {
                let user_id = &record.user_id;
                let counted = self.count_log_in(platform, Some(user_id), "", from).await?;
                counted.give_back_if_right(self.check_user_password(user_id, password)).await?
            }
            (Standing::Open, _) => self.user_without_second_step(&validated.id, &record).await?,
        };
        let user_key = UserKey { user_id: user.user_id.clone() };
        self.store
            .update(async || {
                let account = check_active(self.store.get::<AccountsTable>(&user_key).await?)?;
                user.password_stamp.check(&account)?;
                let mut writes = WriteSet::new();
                writes.expect::<AccountsTable>(&user_key, &account);
                writes.expect::<ThirdPartyIds>(&key, &record);
                let proved = ThirdPartyIdRecord { validated_ts: validated.validated_ts, ..record.clone() };
                writes.put::<ThirdPartyIds>(&key, &proved);
                self.use_up(&mut writes, &validated).await?;
                Ok((writes, user.clone()))
            })
            .await
    }

    /// The owner of an identifier that opens the account alone.
    async fn user_without_second_step(
        &self,
        id: &ThirdPartyId,
        record: &ThirdPartyIdRecord,
    ) -> Result<ProvedUser, AccountsError> {
        let account = self.account(&record.user_id).await?.ok_or(AccountsError::NoAccount)?;
        // An account that has a password by now asks for it after a number.
        let password_stamp = if id.is_phone() { PasswordStamp(None) } else { PasswordStamp::of(&account) };
        Ok(ProvedUser { user_id: record.user_id.clone(), password_stamp })
    }

    /// Whether an identifier may be taken from the account that has it by somebody who has proved it. `writes` expect
    /// that account to stay as it is.
    pub(crate) async fn may_be_taken(
        &self,
        writes: &mut WriteSet,
        id: &ThirdPartyId,
        record: &ThirdPartyIdRecord,
        now_ts: u64,
    ) -> Result<bool, AccountsError> {
        let key = UserKey { user_id: record.user_id.clone() };
        let account = self.store.get::<AccountsTable>(&key).await?;
        writes.expect_read::<AccountsTable>(&key, account.as_ref());
        let is_kept = account.is_some_and(|account| is_restricted(&account) && !account.deactivated);
        let is_kept = is_kept || self.is_demo_account(&record.user_id).await?;
        Ok(id.is_phone() && !is_kept && self.standing_with(id, record, now_ts).await? != Standing::Open)
    }

    async fn standing_with(
        &self,
        id: &ThirdPartyId,
        record: &ThirdPartyIdRecord,
        now_ts: u64,
    ) -> Result<Standing, AccountsError> {
        let Some(account) = self.account(&record.user_id).await? else { return Ok(Standing::Free) };
        if !id.is_phone() {
            return Ok(Standing::of_address(&account));
        }
        let used_ts = self.used_ts(&account, record).await?;
        Ok(Standing::of_number(&account, used_ts, now_ts))
    }

    /// Whether somebody who proves an identifier may set the password of the account that has it. A number of an
    /// account that was not used for long may be somebody else's by now.
    pub(crate) async fn may_reset_by(
        &self,
        id: &ThirdPartyId,
        record: &ThirdPartyIdRecord,
        now_ts: u64,
    ) -> Result<bool, AccountsError> {
        let Some(account) = self.account(&record.user_id).await? else { return Ok(false) };
        Ok(!id.is_phone() || now_ts.saturating_sub(self.used_ts(&account, record).await?) < UNUSED_MS)
    }

    /// When an account was last used, as far as it is known.
    async fn used_ts(
        &self,
        account: &AccountRecord,
        record: &ThirdPartyIdRecord,
    ) -> Result<u64, AccountsError> {
        let devices = self.devices(&record.user_id).await?;
        let used = devices.iter().map(|device| device.last_seen_ts);
        Ok(used.chain([account.created_ts, record.validated_ts]).max().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::records::AccountRecord;

    use super::{
        Standing::{self, Free, Guarded, Open},
        UNUSED_MS,
    };

    #[test]
    fn a_number_alone_opens_what_was_used_lately_and_has_no_second_step() {
        let plain = AccountRecord {
            password_hash: None,
            created_ts: 0,
            deactivated: false,
            admin: false,
            suspended: false,
            locked: false,
            guest: false,
        };
        let guarded = AccountRecord { password_hash: Some("hash".into()), ..plain.clone() };
        let locked = AccountRecord { locked: true, ..plain.clone() };
        let gone = AccountRecord { deactivated: true, ..plain.clone() };
        for (account, lately, long_after) in
            [(&plain, Open, Free), (&guarded, Guarded, Guarded), (&locked, Open, Open), (&gone, Free, Free)]
        {
            assert_eq!(Standing::of_number(account, 1, UNUSED_MS), lately, "{account:?}");
            assert_eq!(Standing::of_number(account, 1, UNUSED_MS + 1), long_after, "{account:?}");
        }
    }
}
