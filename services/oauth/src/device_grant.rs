//! Device grants. A device without a browser shows a code, and somebody types it into a browser elsewhere.
//! <https://spec.matrix.org/v1.19/client-server-api/#device-authorisation-flow>

use linkspan_accounts::{
    ClientDevice, PasswordStamp, ProvedUser, TokenHash, hash_token, new_token, new_typed_code,
    read_typed_code, show_typed_code,
};
use linkspan_platforms::Platform;
use linkspan_storage::{
    StorageError, WriteSet,
    catalogue::{DeviceGrants, PlatformHashKey, PlatformKey, UserCodes},
    records::{DeviceGrantRecord, UserCodeRecord},
};
use quick_cache::sync::Cache;
use ruma::{OwnedServerName, OwnedUserId};

use crate::{
    Client, OAuth, OAuthError, Scope, TokenOutcome,
    client::DEVICE_CODE,
    tokens::{Asker, begun, refused},
};

/// How long people have to type the code, in milliseconds.
const GRANT_MS: u64 = 20 * 60_000;
/// How long a client waits between two questions, in milliseconds. It waits longer after each that came too
/// early.
const INTERVAL_MS: u64 = 5_000;
/// How much earlier than that a question may come, in milliseconds. Clocks and networks are not exact.
const EARLY_MS: u64 = 500;
/// The number of grants whose last question is remembered.
const REMEMBERED: usize = 10_000;

/// When each grant was last asked about, and how long its client should wait. This is kept in memory only.
pub(crate) struct Polls(Cache<TokenHash, (u64, u64)>);

impl Default for Polls {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Polls {
    /// Notes a question. Returns whether it came too early.
    fn is_too_early(&self, grant: TokenHash, now_ts: u64) -> bool {
        let Some((last_ts, interval_ms)) = self.0.get(&grant) else {
            self.0.insert(grant, (now_ts, INTERVAL_MS));
            return false;
        };
        let early = now_ts < (last_ts + interval_ms).saturating_sub(EARLY_MS);
        self.0.insert(grant, (now_ts, if early { interval_ms + INTERVAL_MS } else { interval_ms }));
        early
    }
}

/// What a device gets that asks for a grant.
#[derive(Clone)]
pub struct DeviceGrant {
    /// The code with which the device asks whether the user has answered.
    pub device_code: String,
    /// The code that the device shows, in two halves with a hyphen.
    pub user_code: String,
    /// How long the user has to answer, in milliseconds.
    pub expires_in_ms: u64,
    /// How long the device waits between two questions, in milliseconds.
    pub interval_ms: u64,
}

/// A grant that somebody is asked about who has typed its code.
#[derive(Clone, Debug)]
pub struct PendingGrant {
    /// The client that asks.
    pub client: Client,
    /// The code, as the device shows it.
    pub user_code: String,
    key: PlatformHashKey,
}

impl OAuth {
    /// Begins a grant for a client on a device without a browser.
    pub async fn begin_device_grant(
        &self,
        platform: &OwnedServerName,
        client_id: &str,
        scope: &str,
        now_ts: u64,
    ) -> Result<DeviceGrant, OAuthError> {
        let client = self.client(platform, client_id).await?.ok_or(OAuthError::InvalidClient)?;
        client.check_grant_type(DEVICE_CODE)?;
        let Scope { device_id, granted } = Scope::parse(scope)?;
        let device_code = new_token("lsd_");
        let key = PlatformHashKey { platform: platform.clone(), hash: hash_token(&device_code) };
        let expires_ts = now_ts + GRANT_MS;
        let letters = self
            .store
            .update(async || {
                let letters = new_typed_code();
                let record = DeviceGrantRecord {
                    client_id: client.client_id.clone(),
                    device_id: device_id.clone(),
                    scope: granted.clone(),
                    user_code: letters.clone(),
                    expires_ts,
                    allowed_by: None,
                    denied: false,
                    password_stamp: None,
                };
                let mut writes = WriteSet::new();
                let user_code = user_code_key(platform, &letters);
                writes.expect_absent::<UserCodes>(&user_code);
                writes.put::<UserCodes>(&user_code, &UserCodeRecord { device_code: key.hash, expires_ts });
                writes.put::<DeviceGrants>(&key, &record);
                Ok::<_, StorageError>((writes, letters))
            })
            .await?;
        let user_code = show_typed_code(&letters);
        Ok(DeviceGrant { device_code, user_code, expires_in_ms: GRANT_MS, interval_ms: INTERVAL_MS })
    }

    /// Finds the grant of a platform that a typed code stands for, however it is written. None means that
    /// there is none, or none any more.
    pub async fn pending_grant(
        &self,
        platform: &OwnedServerName,
        user_code: &str,
        now_ts: u64,
    ) -> Result<Option<PendingGrant>, OAuthError> {
        let Some(letters) = read_typed_code(user_code) else { return Ok(None) };
        let Some(code) = self.store.get::<UserCodes>(&user_code_key(platform, &letters)).await? else {
            return Ok(None);
        };
        let key = PlatformHashKey { platform: platform.clone(), hash: code.device_code };
        let grant = self.store.get::<DeviceGrants>(&key).await?;
        let grant = grant.filter(|grant| is_pending(grant) && now_ts < grant.expires_ts);
        let Some(grant) = grant else { return Ok(None) };
        let client = self.client(platform, &grant.client_id).await?;
        Ok(client.map(|client| PendingGrant { client, user_code: show_typed_code(&letters), key }))
    }

    /// Notes that the user allows or denies what a device waits for. Only the first answer counts. What is
    /// allowed holds only as long as the password is the one that the user has proved.
    pub async fn answer_grant(
        &self,
        grant: &PendingGrant,
        user_id: &OwnedUserId,
        password_stamp: PasswordStamp,
        allowed: bool,
        now_ts: u64,
    ) -> Result<(), OAuthError> {
        let gone = || OAuthError::InvalidRequest("this code is not valid any more");
        self.store
            .update(async || {
                let pending = self.store.get::<DeviceGrants>(&grant.key).await?;
                let pending =
                    pending.filter(|it| is_pending(it) && now_ts < it.expires_ts).ok_or_else(gone)?;
                let mut writes = WriteSet::new();
                writes.expect::<DeviceGrants>(&grant.key, &pending);
                let allowed_by = allowed.then(|| user_id.clone());
                let letters = pending.user_code.clone();
                let password_stamp = password_stamp.0;
                let answered = DeviceGrantRecord { allowed_by, denied: !allowed, password_stamp, ..pending };
                writes.put::<DeviceGrants>(&grant.key, &answered);
                writes.delete::<UserCodes>(&user_code_key(&grant.key.platform, &letters));
                Ok::<_, OAuthError>((writes, ()))
            })
            .await?;
        if allowed {
            self.mark_used(&grant.key.platform, &grant.client.client_id, now_ts).await?;
        }
        Ok(())
    }

    pub(crate) async fn redeem_device_code(
        &self,
        platform: &Platform,
        asker: Asker<'_>,
        device_code: &str,
    ) -> Result<TokenOutcome, OAuthError> {
        let wrong = || OAuthError::InvalidGrant("the device code is not valid");
        let key = PlatformHashKey { platform: platform.server_name().clone(), hash: hash_token(device_code) };
        let grant = self.store.get::<DeviceGrants>(&key).await?;
        let grant = grant.filter(|grant| grant.client_id == asker.client_id).ok_or_else(wrong)?;
        if grant.expires_ts <= asker.now_ts {
            return Err(OAuthError::ExpiredToken);
        }
        if grant.denied {
            return Err(OAuthError::AccessDenied);
        }
        let early = self.polls.is_too_early(key.hash, asker.now_ts);
        let Some(user_id) = grant.allowed_by.clone() else {
            return Err(if early { OAuthError::SlowDown } else { OAuthError::AuthorizationPending });
        };
        let client = self.client(platform.server_name(), asker.client_id).await?;
        let client = client.ok_or(OAuthError::InvalidClient)?;
        let device = ClientDevice {
            client_id: grant.client_id.clone(),
            device_id: grant.device_id.clone(),
            display_name: Some(client.name().to_owned()),
            address: asker.address,
        };
        let use_up = async || {
            let mut writes = WriteSet::new();
            let current = self.store.get::<DeviceGrants>(&key).await?.ok_or_else(wrong)?;
            writes.expect::<DeviceGrants>(&key, &current);
            writes.delete::<DeviceGrants>(&key);
            Ok::<_, OAuthError>(writes)
        };
        let user = ProvedUser { user_id, password_stamp: PasswordStamp(grant.password_stamp) };
        let begin = self.accounts.begin_session(user, device, asker.now_ts, use_up);
        Ok(begun(begin.await.map_err(refused)?, grant.scope))
    }
}

fn is_pending(grant: &DeviceGrantRecord) -> bool {
    grant.allowed_by.is_none() && !grant.denied
}

fn user_code_key(platform: &OwnedServerName, letters: &str) -> PlatformKey {
    PlatformKey { platform: platform.clone(), name: letters.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::Polls;

    #[test]
    fn who_asks_too_often_waits_longer() {
        let polls = Polls::default();
        let at = |seconds: u64| polls.is_too_early([1; 32], 1_000_000 + seconds * 1_000);
        assert_eq!((at(0), at(5), at(6), at(12), at(28)), (false, false, true, true, false));
        assert!(!polls.is_too_early([2; 32], 1_000_000), "another grant has a clock of its own");
    }
}
