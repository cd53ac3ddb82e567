//! Exchanging a refresh token for a new pair of tokens.
//! <https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens>
//!
//! The tokens before a refresh last until the new access token is used: an answer that got lost can be
//! asked for again.

use linkspan_storage::{
    WriteSet,
    catalogue::{DeviceKey, Devices, PlatformHashKey, RefreshTokens},
    records::{DeviceRecord, RefreshTokenRecord},
};
use ruma::OwnedServerName;

use crate::{
    Accounts, AccountsError,
    log_in::{ACCESS_TOKEN_MS, delete_tokens, put_access_token, put_refresh_token, token_key},
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

impl Accounts {
    /// Exchanges a refresh token of a platform.
    pub async fn refresh(
        &self,
        platform: &OwnedServerName,
        token: &str,
        now_ts: u64,
    ) -> Result<Refreshed, AccountsError> {
        let hash = hash_token(token);
        let unknown = || AccountsError::UnknownToken { soft_logout: false };
        let (refreshed, gone) = self
            .store
            .update(async || {
                let key = PlatformHashKey { platform: platform.clone(), hash };
                let record = self.store.get::<RefreshTokens>(&key).await?.ok_or_else(unknown)?;
                if self.account(&record.user_id).await?.is_some_and(|account| account.locked) {
                    return Err(AccountsError::Locked);
                }
                let key = DeviceKey { user_id: record.user_id, device_id: record.device_id };
                let device = self.store.get::<Devices>(&key).await?.ok_or_else(unknown)?;
                let (writes, refreshed, gone) = exchange(&key, &device, hash, now_ts).ok_or_else(unknown)?;
                Ok::<_, AccountsError>((writes, (refreshed, gone)))
            })
            .await?;
        self.shared.sessions.forget(gone);
        Ok(refreshed)
    }
}

/// What exchanging `hash` writes, what it gives, and the access token that goes; None: it is none of the
/// device's refresh tokens any more.
fn exchange(
    key: &DeviceKey,
    device: &DeviceRecord,
    hash: TokenHash,
    now_ts: u64,
) -> Option<(WriteSet, Refreshed, Option<TokenHash>)> {
    let mut writes = WriteSet::new();
    let mut next = device.clone();
    let gone = if device.refresh_token == Some(hash) {
        // That the client has this token shows that it has the access token, too.
        delete_tokens(&mut writes, &key.user_id, device.previous_access_token, device.previous_refresh_token);
        next.previous_access_token = Some(device.access_token);
        next.previous_refresh_token = Some(hash);
        device.previous_access_token
    } else if device.previous_refresh_token == Some(hash) {
        delete_tokens(&mut writes, &key.user_id, [device.access_token], device.refresh_token);
        Some(device.access_token)
    } else {
        return None;
    };
    let (access_token, access_hash) = put_access_token(&mut writes, key, true, now_ts);
    let (refresh_token, refresh_hash) = put_refresh_token(&mut writes, key);
    next.access_token = access_hash;
    next.refresh_token = Some(refresh_hash);
    let used =
        RefreshTokenRecord { user_id: key.user_id.clone(), device_id: key.device_id.clone(), used: true };
    writes.put::<RefreshTokens>(&token_key(&key.user_id, hash), &used);
    writes.expect::<Devices>(key, device);
    writes.put::<Devices>(key, &next);
    Some((writes, Refreshed { access_token, refresh_token, expires_in_ms: ACCESS_TOKEN_MS }, gone))
}
