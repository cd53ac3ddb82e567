//! Demo accounts: an operator lets anybody use them without any proof, so that people can try a platform out.
//!
//! The configuration names them as people do. Each name is looked up once, and means the same user from then on, so that
//! whoever has that handle, address or number later does not become a demo account. Visitors have whole sessions; what
//! would take the account from its operator is refused to everybody ([`Accounts::check_not_demo`]).

use linkspan_platforms::{DemoAccount, Platform};
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{DemoAccounts, Devices, PlatformKey},
    records::{AccountRecord, DemoAccountRecord},
};
use ruma::{DeviceId, OwnedUserId};

use crate::{
    Accounts, AccountsError, DeviceRemoved, Identifier, LoggedIn, NewDevice, PasswordStamp, Profile,
    ProvedUser, log_in::SessionOf,
};

/// How long a visitor's device stays that is not used, in milliseconds.
const VISIT_MS: u64 = 24 * 60 * 60 * 1000;
/// The most devices of visitors of an account, so that there is always room for one more.
const MAX_VISITORS: usize = 50;

const NO_DEMO: AccountsError = AccountsError::Forbidden("this is no demo account of the platform");

/// A visit of a demo account.
#[derive(Clone)]
pub struct DemoSession {
    /// The session.
    pub session: LoggedIn,
    /// The recovery key that the operator has configured for the account.
    pub recovery_key: Option<String>,
    /// Devices of earlier visitors that had to go.
    pub removed: Vec<DeviceRemoved>,
}

impl Accounts {
    /// Looks up whom the configuration means by the demo accounts of all platforms, unless that was done before. It is to
    /// be called at the start, before anybody can change anything. Accounts that do not exist yet are looked up again.
    pub async fn bind_demo_accounts(&self) -> Result<(), AccountsError> {
        for platform in self.platforms.iter().flat_map(|platforms| platforms.iter()) {
            for account in &platform.settings.demo_account {
                self.bound_user(&platform, account).await?;
            }
        }
        Ok(())
    }

    /// The users whose accounts anybody may use, in the order of the configuration, with their profiles. Accounts that
    /// do not exist yet are left out, and those of administrators, which must not be anybody's.
    pub async fn list_demo_users(
        &self,
        platform: &Platform,
    ) -> Result<Vec<(OwnedUserId, Profile)>, AccountsError> {
        let mut users = Vec::new();
        for account in &platform.settings.demo_account {
            if let Some(user_id) = self.demo_user(platform, account).await? {
                let profile = self.profile(&user_id).await?;
                users.push((user_id, profile));
            }
        }
        Ok(users)
    }

    /// Logs a new device of a demo account in. Devices of visitors who were not seen for a day go, and of the others
    /// those seen longest ago if there are many.
    pub async fn begin_demo_session(
        &self,
        platform: &Platform,
        user_id: &OwnedUserId,
        device: NewDevice,
        now_ts: u64,
    ) -> Result<DemoSession, AccountsError> {
        for demo_account in &platform.settings.demo_account {
            if self.demo_user(platform, demo_account).await?.as_ref() == Some(user_id) {
                let account = self.account(user_id).await?.ok_or(NO_DEMO)?;
                let user =
                    ProvedUser { user_id: user_id.clone(), password_stamp: PasswordStamp::of(&account) };
                // First: whoever is refused ends nobody's visit.
                let mut session = self.start_session_of(user, device, SessionOf::Visitor, now_ts).await?;
                let mut removed = std::mem::take(&mut session.gave_way);
                removed.extend(self.remove_visitors(user_id, &session.device_id, now_ts).await?);
                return Ok(DemoSession { session, recovery_key: demo_account.recovery_key.clone(), removed });
            }
        }
        Err(NO_DEMO)
    }

    /// Removes the devices of visitors for whom there is no room beside `newest`.
    async fn remove_visitors(
        &self,
        user_id: &OwnedUserId,
        newest: &DeviceId,
        now_ts: u64,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        let devices = self.store.range::<Devices>(Range::prefix((user_id,))).await?;
        let mut visitors: Vec<_> = devices
            .into_iter()
            .filter(|(key, device)| device.is_visitors && key.device_id != newest)
            .collect();
        visitors.sort_by_key(|(_, device)| std::cmp::Reverse(device.last_seen_ts));
        let fit = visitors.iter().take(MAX_VISITORS - 1);
        let stay = fit.take_while(|(_, device)| now_ts < device.last_seen_ts + VISIT_MS).count();
        let gone: Vec<_> = visitors.split_off(stay).into_iter().map(|(key, _)| key.device_id).collect();
        self.remove_devices(user_id, &gone).await
    }

    /// Whether anybody may use this account, as the configuration is now.
    pub async fn is_demo_account(&self, user_id: &OwnedUserId) -> Result<bool, AccountsError> {
        let platforms = self.platforms.as_ref();
        let Some(platform) = platforms.and_then(|platforms| platforms.get(user_id.server_name())) else {
            return Ok(false);
        };
        for account in &platform.settings.demo_account {
            let bound = self.store.get::<DemoAccounts>(&demo_key(&platform, account)).await?;
            if bound.is_some_and(|bound| bound.user_id == *user_id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses what would take a demo account from its operator: another handle, address, number or password, links to
    /// other accounts, and the account's end. Operators do these things without asking here.
    pub(crate) async fn check_not_demo(&self, user_id: &OwnedUserId) -> Result<(), AccountsError> {
        if self.is_demo_account(user_id).await? { Err(AccountsError::DemoAccount) } else { Ok(()) }
    }

    /// The user of a demo account, unless it is no account for anybody any more.
    async fn demo_user(
        &self,
        platform: &Platform,
        account: &DemoAccount,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let Some(user_id) = self.bound_user(platform, account).await? else { return Ok(None) };
        let account = self.account(&user_id).await?.filter(|account| !account.deactivated && !account.admin);
        Ok(account.map(|_| user_id))
    }

    /// The user whom a demo account was found to be; if nobody was, whoever it is now, for good.
    async fn bound_user(
        &self,
        platform: &Platform,
        demo_account: &DemoAccount,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let key = demo_key(platform, demo_account);
        if let Some(bound) = self.store.get::<DemoAccounts>(&key).await? {
            return Ok(Some(bound.user_id));
        }
        // Whoever asks before there is such an account writes nothing.
        if self.candidate(platform, demo_account).await?.is_none() {
            return Ok(None);
        }
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                if let Some(bound) = self.store.get::<DemoAccounts>(&key).await? {
                    return Ok((writes, Some(bound.user_id)));
                }
                let found = self.candidate(platform, demo_account).await?;
                if let Some(user_id) = &found {
                    writes.expect_absent::<DemoAccounts>(&key);
                    writes.put::<DemoAccounts>(&key, &DemoAccountRecord { user_id: user_id.clone() });
                }
                Ok((writes, found))
            })
            .await
    }

    /// The user whom the name of a demo account means at present.
    async fn candidate(
        &self,
        platform: &Platform,
        demo_account: &DemoAccount,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        let name = Identifier::Name(demo_account.user.clone());
        let Some(user_id) = self.find_user(platform.server_name(), &name).await? else { return Ok(None) };
        let is_anybodys = |account: &AccountRecord| !account.deactivated && !account.admin && !account.guest;
        Ok(self.account(&user_id).await?.filter(is_anybodys).map(|_| user_id))
    }
}

fn demo_key(platform: &Platform, account: &DemoAccount) -> PlatformKey {
    PlatformKey { platform: platform.server_name().clone(), name: account.user.clone() }
}
