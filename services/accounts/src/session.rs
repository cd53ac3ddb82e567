//! Access tokens: who calls?

use std::net::IpAddr;

use linkspan_storage::catalogue::{AccessTokens, Accounts as AccountsTable, PlatformHashKey, UserKey};
use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId};
use sha2::{Digest, Sha256};

use crate::{Accounts, AccountsError};

/// Whom an access token stands for.
#[derive(Clone, Debug)]
pub struct Session {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// Whether the user administers the platform.
    pub admin: bool,
}

impl Accounts {
    /// Finds whom an access token of a platform stands for. A token of another platform is unknown.
    pub async fn authenticate(
        &self,
        platform: &OwnedServerName,
        token: &str,
        _address: IpAddr,
        now_ts: u64,
    ) -> Result<Session, AccountsError> {
        let key = PlatformHashKey { platform: platform.clone(), hash: Sha256::digest(token).into() };
        let unknown = AccountsError::UnknownToken { soft_logout: false };
        let Some(token) = self.store.get::<AccessTokens>(&key).await? else { return Err(unknown) };
        if token.expires_ts.is_some_and(|expires_ts| expires_ts <= now_ts) {
            return Err(AccountsError::UnknownToken { soft_logout: true });
        }
        let account = self.store.get::<AccountsTable>(&UserKey { user_id: token.user_id.clone() }).await?;
        match account {
            Some(account) if !account.deactivated => {
                Ok(Session { user_id: token.user_id, device_id: token.device_id, admin: account.admin })
            }
            _ => Err(unknown),
        }
    }
}
