//! Exchanging a refresh token for a new pair of tokens.
//! <https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens>
//!
//! The tokens before a refresh last until the new access token is used: an answer that got lost can be
//! asked for again. The refresh tokens of an OAuth session share a random part: one that is older than that
//! is known by it, and ends the session.

use linkspan_storage::{
    WriteSet,
    catalogue::{DeviceKey, Devices, PlatformHashKey, RefreshTokens},
    records::{DeviceRecord, RefreshTokenRecord},
};
use ruma::{OwnedDeviceId, OwnedServerName};

use crate::{
    Accounts, AccountsError, DeviceRemoved,
    log_in::{access_token_ms, delete_tokens, put_access_token, put_refresh_token, token_key},
    token::{TokenHash, hash_token},
};

/// A new pair of tokens.
#[derive(Clone)]
pub struct Refreshed {
    /// The new access token.
    pub access_token: String,
    /// The new refresh token.
    pub refresh_token: String,
    /// How long the access token lasts, in milliseconds.
    pub expires_in_ms: u64,
}

/// What became of a session that was to be refreshed.
#[derive(Clone)]
pub enum RefreshOutcome {
    /// The session goes on.
    Refreshed {
        /// The new tokens.
        tokens: Refreshed,
        /// The session's device.
        device_id: OwnedDeviceId,
    },
    /// The token had been exchanged before, and what it was exchanged for was used, so two have it. The
    /// session was ended.
    Compromised(Vec<DeviceRemoved>),
}

impl Accounts {
    /// Exchanges a refresh token of a platform. Its session began by logging in directly.
    pub async fn refresh(
        &self,
        platform: &OwnedServerName,
        token: &str,
        now_ts: u64,
    ) -> Result<Refreshed, AccountsError> {
        let (refreshed, _) = self.exchange_refresh_token(platform, None, token, now_ts).await?;
        Ok(refreshed)
    }

    /// Exchanges a refresh token of a session of the OAuth 2.0 API.
    /// <https://spec.matrix.org/v1.19/client-server-api/#refresh-token-grant>
    pub async fn refresh_session(
        &self,
        platform: &OwnedServerName,
        client_id: &str,
        token: &str,
        now_ts: u64,
    ) -> Result<RefreshOutcome, AccountsError> {
        match self.exchange_refresh_token(platform, Some(client_id), token, now_ts).await {
            Ok((tokens, device_id)) => Ok(RefreshOutcome::Refreshed { tokens, device_id }),
            Err(error @ AccountsError::UnknownToken { .. }) => {
                match self.end_family(platform, client_id, token).await? {
                    removed if removed.is_empty() => Err(error),
                    removed => Ok(RefreshOutcome::Compromised(removed)),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn exchange_refresh_token(
        &self,
        platform: &OwnedServerName,
        client_id: Option<&str>,
        token: &str,
        now_ts: u64,
    ) -> Result<(Refreshed, OwnedDeviceId), AccountsError> {
        let hash = hash_token(token);
        let unknown = || AccountsError::UnknownToken { soft_logout: false };
        self.store
            .update(async || {
                let key = PlatformHashKey { platform: platform.clone(), hash };
                let record = self.store.get::<RefreshTokens>(&key).await?.ok_or_else(unknown)?;
                if self.account(&record.user_id).await?.is_some_and(|account| account.locked) {
                    return Err(AccountsError::Locked);
                }
                let key = DeviceKey { user_id: record.user_id, device_id: record.device_id };
                let device = self.store.get::<Devices>(&key).await?;
                let device = device.filter(|device| device.client_id.as_deref() == client_id);
                let device = device.ok_or_else(unknown)?;
                let exchanged = exchange(&key, &device, (token, hash), now_ts);
                let (mut writes, refreshed) = exchanged.ok_or_else(unknown)?;
                // Whoever could not refresh could not log out either.
                writes.use_reserve();
                Ok((writes, (refreshed, key.device_id)))
            })
            .await
    }

    /// Ends the session that a spent refresh token belonged to.
    async fn end_family(
        &self,
        platform: &OwnedServerName,
        client_id: &str,
        token: &str,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        let Some(family) = family_of(token).map(hash_token) else { return Ok(Vec::new()) };
        let key = PlatformHashKey { platform: platform.clone(), hash: family };
        let Some(record) = self.store.get::<RefreshTokens>(&key).await? else { return Ok(Vec::new()) };
        let key = DeviceKey { user_id: record.user_id, device_id: record.device_id };
        let device = self.store.get::<Devices>(&key).await?;
        let its = |device: &DeviceRecord| {
            device.refresh_family == Some(family) && device.client_id.as_deref() == Some(client_id)
        };
        match device.filter(its) {
            Some(_) => self.log_out(&key.user_id, &key.device_id).await,
            None => Ok(Vec::new()),
        }
    }
}

/// What the refresh tokens of a session have in common.
fn family_of(token: &str) -> Option<&str> {
    Some(token.strip_prefix("lsr_")?.split_once('.')?.0)
}

/// Writes what exchanging a token changes, and returns the new tokens. None if it is not one of the device's
/// refresh tokens any more.
fn exchange(
    key: &DeviceKey,
    device: &DeviceRecord,
    (token, hash): (&str, TokenHash),
    now_ts: u64,
) -> Option<(WriteSet, Refreshed)> {
    let mut writes = WriteSet::new();
    let mut next = device.clone();
    if device.refresh_token == Some(hash) {
        // A client that has this token has the access token, too.
        delete_tokens(&mut writes, &key.user_id, device.previous_access_token, device.previous_refresh_token);
        next.previous_access_token = Some(device.access_token);
        next.previous_refresh_token = Some(hash);
    } else if device.previous_refresh_token == Some(hash) {
        delete_tokens(&mut writes, &key.user_id, [device.access_token], device.refresh_token);
    } else {
        return None;
    }
    let expires_in_ms = access_token_ms(device.client_id.as_deref());
    let (access_token, access_hash) = put_access_token(&mut writes, key, Some(expires_in_ms), now_ts);
    let family = family_of(token).filter(|_| device.refresh_family.is_some());
    let (refresh_token, refresh_hash) = put_refresh_token(&mut writes, key, family);
    next.access_token = access_hash;
    next.refresh_token = Some(refresh_hash);
    let used =
        RefreshTokenRecord { user_id: key.user_id.clone(), device_id: key.device_id.clone(), used: true };
    writes.put::<RefreshTokens>(&token_key(&key.user_id, hash), &used);
    writes.expect::<Devices>(key, device);
    writes.put::<Devices>(key, &next);
    Some((writes, Refreshed { access_token, refresh_token, expires_in_ms }))
}
