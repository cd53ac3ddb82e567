//! Access tokens: who calls? Asked on every request, so answers are kept in memory.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use linkspan_storage::{
    CommitGroup, Notice, WriteSet,
    catalogue::{AccessTokens, DeviceKey, Devices, PlatformHashKey},
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

/// A session as it is kept in memory.
#[derive(Debug)]
struct Cached {
    session: Session,
    expires_ts: Option<u64>,
    last_seen_ts: AtomicU64,
}

/// The sessions that were asked for lately, by the hash of their access token.
pub(crate) struct Cache {
    sessions: quick_cache::sync::Cache<TokenHash, Arc<Cached>>,
    /// Rises before tokens are forgotten: whoever read the store before does not cache what it read.
    forgotten: AtomicU64,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self { sessions: quick_cache::sync::Cache::new(CACHED), forgotten: AtomicU64::new(0) }
    }

    /// Hears of commits: forgets the sessions that they end or change. These can be read as they are now already, and
    /// nobody has been told of it yet.
    pub(crate) fn hear(&self, group: &CommitGroup) {
        for notice in group.iter().flat_map(|committed| &committed.notices) {
            if let Notice::Session(_, token_hash) = notice {
                self.forgotten.fetch_add(1, Ordering::SeqCst);
                self.sessions.remove(token_hash);
            }
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
        let cached = self.session(platform, hash_token(token)).await?;
        if cached.expires_ts.is_some_and(|expires_ts| expires_ts <= now_ts) {
            return Err(AccountsError::UnknownToken { soft_logout: true });
        }
        self.see(&cached, address, now_ts);
        Ok(cached.session.clone())
    }

    /// Refuses if a session that was proved has been ended since, or its account is locked: for who waits on its behalf.
    /// A token that has merely run out was good when the request came.
    pub async fn check_session(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        token_hash: TokenHash,
    ) -> Result<(), AccountsError> {
        match self.session(&user_id.server_name().to_owned(), token_hash).await {
            Ok(cached) if cached.session.locked => Err(AccountsError::Locked),
            Ok(_) => Ok(()),
            // A device that goes on with other tokens need not forget what it keeps.
            Err(AccountsError::UnknownToken { .. }) => {
                let soft_logout = self.device(user_id, device_id).await?.is_some();
                Err(AccountsError::UnknownToken { soft_logout })
            }
            Err(error) => Err(error),
        }
    }

    /// A token of another platform is unknown.
    async fn session(
        &self,
        platform: &OwnedServerName,
        token_hash: TokenHash,
    ) -> Result<Arc<Cached>, AccountsError> {
        match self.shared.sessions.sessions.get(&token_hash) {
            Some(cached) if cached.session.user_id.server_name() != *platform => {
                Err(AccountsError::UnknownToken { soft_logout: false })
            }
            Some(cached) => Ok(cached),
            None => self.load_session(platform, token_hash).await,
        }
    }

    /// Whom an access token of a platform stands for, without its device counting as seen.
    pub(crate) async fn session_of_token(
        &self,
        platform: &OwnedServerName,
        token: &str,
    ) -> Result<Session, AccountsError> {
        Ok(self.session(platform, hash_token(token)).await?.session.clone())
    }

    async fn load_session(
        &self,
        platform: &OwnedServerName,
        token_hash: TokenHash,
    ) -> Result<Arc<Cached>, AccountsError> {
        let unknown = || AccountsError::UnknownToken { soft_logout: false };
        let forgotten = self.shared.sessions.forgotten.load(Ordering::SeqCst);
        let key = PlatformHashKey { platform: platform.clone(), hash: token_hash };
        let token = self.store.get::<AccessTokens>(&key).await?.ok_or_else(unknown)?;
        let account = self.account(&token.user_id).await?.filter(|account| !account.deactivated);
        let account = account.ok_or_else(unknown)?;
        let key = DeviceKey { user_id: token.user_id.clone(), device_id: token.device_id.clone() };
        let device = self.store.get::<Devices>(&key).await?.ok_or_else(unknown)?;
        if device.access_token == token_hash && device.previous_access_token.is_some() {
            self.settle_refresh(&key, token_hash).await?;
        } else if device.access_token != token_hash && device.previous_access_token != Some(token_hash) {
            return Err(unknown());
        }
        let cached = Arc::new(Cached {
            session: Session {
                user_id: token.user_id,
                device_id: token.device_id,
                token_hash,
                oauth: device.client_id.is_some(),
                admin: account.admin,
                locked: account.locked,
                guest: account.guest,
            },
            expires_ts: token.expires_ts,
            last_seen_ts: AtomicU64::new(device.last_seen_ts),
        });
        self.shared.sessions.sessions.insert(token_hash, cached.clone());
        if self.shared.sessions.forgotten.load(Ordering::SeqCst) != forgotten {
            self.shared.sessions.sessions.remove(&token_hash);
        }
        Ok(cached)
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

    fn see(&self, cached: &Arc<Cached>, address: IpAddr, now_ts: u64) {
        let last = cached.last_seen_ts.load(Ordering::Relaxed);
        let due = now_ts.saturating_sub(last) >= SEEN_MS;
        let mine = || {
            cached.last_seen_ts.compare_exchange(last, now_ts, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if !(due && mine()) {
            return;
        }
        let (accounts, cached) = (self.clone(), cached.clone());
        tokio::spawn(async move {
            if let Err(error) = accounts.write_seen(&cached.session, address, now_ts).await {
                tracing::warn!(%error, "when a device was last seen could not be written");
            }
        });
    }

    async fn write_seen(&self, session: &Session, address: IpAddr, now_ts: u64) -> Result<(), AccountsError> {
        let key = DeviceKey { user_id: session.user_id.clone(), device_id: session.device_id.clone() };
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
