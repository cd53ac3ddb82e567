//! Access tokens: who calls? Asked on every request, so answers are kept in memory.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use linkspan_storage::{
    Copies, Store, WriteSet,
    catalogue::{AccessTokens, DeviceKey, Devices, PlatformHashKey},
    records::AccountRecord,
};
use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId};

use crate::{
    Accounts, AccountsError,
    log_in::delete_tokens,
    token::{TokenHash, hash_token},
};

/// How many access tokens are kept in memory.
const CACHED: usize = 100_000;
/// How exactly it is known when a device was last seen, in milliseconds.
const SEEN_MS: u64 = 60_000;

/// Whom an access token stands for.
#[derive(Clone, Debug)]
pub struct Session {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The hash of the access token: whoever waits asks with it again ([`Accounts::check_session`]).
    pub token_hash: TokenHash,
    /// Whether the user administers the platform.
    pub admin: bool,
    /// Whether the session is one of the OAuth 2.0 API: its user proves things on the platform's pages.
    pub oauth: bool,
    /// Whether the account is locked: nothing but logging out may be done with it.
    pub locked: bool,
    /// Whether the user is a guest.
    pub guest: bool,
}

/// What an access token stands for, as it is kept in memory. The rest of a session is the account's.
#[derive(Debug)]
pub(crate) struct TokenUse {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    token_hash: TokenHash,
    oauth: bool,
    expires_ts: Option<u64>,
    last_seen_ts: AtomicU64,
}

/// What access tokens stand for that were used lately, by the hash of the token.
pub(crate) type TokenUses = Copies<TokenHash, Arc<TokenUse>>;

/// Nothing is known yet. A token that ends is forgotten with its row.
pub(crate) fn token_uses(store: &Store) -> TokenUses {
    Copies::new(CACHED).forget_on::<AccessTokens>(store, |key| Some(Cow::Borrowed(&key.hash)))
}

impl TokenUse {
    fn session(&self, account: &AccountRecord) -> Session {
        Session {
            user_id: self.user_id.clone(),
            device_id: self.device_id.clone(),
            token_hash: self.token_hash,
            admin: account.admin,
            oauth: self.oauth,
            locked: account.locked,
            guest: account.guest,
        }
    }
}

impl Accounts {
    /// Finds whom an access token of a platform stands for. A token of another platform is unknown.
    ///
    /// The device counts as seen at `address`; that is written once a minute, and not awaited.
    pub async fn authenticate(
        &self,
        platform: &OwnedServerName,
        token: &str,
        address: IpAddr,
        now_ts: u64,
    ) -> Result<Session, AccountsError> {
        let (token, account) = self.token_use(platform, hash_token(token)).await?;
        if token.expires_ts.is_some_and(|expires_ts| expires_ts <= now_ts) {
            return Err(AccountsError::UnknownToken { soft_logout: true });
        }
        self.see(&token, address, now_ts);
        Ok(token.session(&account))
    }

    /// Refuses if a session that was proved has been ended since, or its account is locked: for who waits on its behalf.
    /// A token that has merely run out was good when the request came.
    pub async fn check_session(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        token_hash: TokenHash,
    ) -> Result<(), AccountsError> {
        match self.token_use(&user_id.server_name().to_owned(), token_hash).await {
            Ok((_, account)) if account.locked => Err(AccountsError::Locked),
            Ok(_) => Ok(()),
            // A device that goes on with other tokens need not forget what it keeps.
            Err(AccountsError::UnknownToken { .. }) => {
                let soft_logout = self.device(user_id, device_id).await?.is_some();
                Err(AccountsError::UnknownToken { soft_logout })
            }
            Err(error) => Err(error),
        }
    }

    /// What a token stands for, and the account as it is. A token of another platform is unknown.
    async fn token_use(
        &self,
        platform: &OwnedServerName,
        token_hash: TokenHash,
    ) -> Result<(Arc<TokenUse>, Arc<AccountRecord>), AccountsError> {
        let unknown = || AccountsError::UnknownToken { soft_logout: false };
        let load = || self.load_token_use(platform, token_hash);
        let token = self.shared.token_uses.get_or_read(&token_hash, load).await?;
        if token.user_id.server_name() != *platform {
            return Err(unknown());
        }
        let account = self.shared_account(&token.user_id).await?;
        account.filter(|account| !account.deactivated).map(|account| (token, account)).ok_or_else(unknown)
    }

    /// Whom an access token of a platform stands for, without its device counting as seen.
    pub(crate) async fn session_of_token(
        &self,
        platform: &OwnedServerName,
        token: &str,
    ) -> Result<Session, AccountsError> {
        let (token, account) = self.token_use(platform, hash_token(token)).await?;
        Ok(token.session(&account))
    }

    async fn load_token_use(
        &self,
        platform: &OwnedServerName,
        token_hash: TokenHash,
    ) -> Result<Arc<TokenUse>, AccountsError> {
        let unknown = || AccountsError::UnknownToken { soft_logout: false };
        let key = PlatformHashKey { platform: platform.clone(), hash: token_hash };
        let token = self.store.get::<AccessTokens>(&key).await?.ok_or_else(unknown)?;
        let key = DeviceKey { user_id: token.user_id.clone(), device_id: token.device_id.clone() };
        let device = self.store.get::<Devices>(&key).await?.ok_or_else(unknown)?;
        if device.access_token == token_hash && device.previous_access_token.is_some() {
            self.settle_refresh(&key, token_hash).await?;
        } else if device.access_token != token_hash && device.previous_access_token != Some(token_hash) {
            return Err(unknown());
        }
        Ok(Arc::new(TokenUse {
            user_id: token.user_id,
            device_id: token.device_id,
            token_hash,
            oauth: device.client_id.is_some(),
            expires_ts: token.expires_ts,
            last_seen_ts: AtomicU64::new(device.last_seen_ts),
        }))
    }

    /// The new access token is used, so its client has it: the tokens before the refresh go.
    async fn settle_refresh(&self, key: &DeviceKey, token_hash: TokenHash) -> Result<(), AccountsError> {
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                let Some(device) = self.store.get::<Devices>(key).await? else { return Ok((writes, ())) };
                if device.access_token != token_hash {
                    return Ok((writes, ()));
                }
                let mut settled = device.clone();
                let gone = settled.previous_access_token.take();
                let refresh = settled.previous_refresh_token.take();
                delete_tokens(&mut writes, &key.user_id, gone, refresh);
                writes.expect::<Devices>(key, &device);
                writes.put::<Devices>(key, &settled);
                Ok((writes, ()))
            })
            .await
    }

    fn see(&self, token: &Arc<TokenUse>, address: IpAddr, now_ts: u64) {
        let last = token.last_seen_ts.load(Ordering::Relaxed);
        let due = now_ts.saturating_sub(last) >= SEEN_MS;
        let mine = || {
            token.last_seen_ts.compare_exchange(last, now_ts, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if !(due && mine()) {
            return;
        }
        let (accounts, token) = (self.clone(), token.clone());
        tokio::spawn(async move {
            if let Err(error) = accounts.write_seen(&token, address, now_ts).await {
                tracing::warn!(%error, "when a device was last seen could not be written");
            }
        });
    }

    async fn write_seen(&self, token: &TokenUse, address: IpAddr, now_ts: u64) -> Result<(), AccountsError> {
        let key = DeviceKey { user_id: token.user_id.clone(), device_id: token.device_id.clone() };
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                if let Some(device) = self.store.get::<Devices>(&key).await? {
                    writes.expect::<Devices>(&key, &device);
                    let mut seen = device;
                    seen.last_seen_ts = seen.last_seen_ts.max(now_ts);
                    seen.last_seen_ip = Some(address.to_string());
                    writes.put::<Devices>(&key, &seen);
                }
                Ok((writes, ()))
            })
            .await
    }
}
