//! Revoking a token. A client that has either token of a session may end it.
//! <https://spec.matrix.org/v1.19/client-server-api/#token-revocation>

use linkspan_storage::catalogue::{AccessTokens, DeviceKey, Devices, PlatformHashKey, RefreshTokens};
use ruma::OwnedServerName;

use crate::{
    Accounts, AccountsError, DeviceRemoved,
    log_in::{refresh_tokens_of, tokens_of},
    token::{TokenHash, hash_token},
};

impl Accounts {
    /// Logs out the device that an access or refresh token of a platform belongs to, even if it has expired.
    /// A token that is unknown there ends nothing.
    pub async fn revoke_token(
        &self,
        platform: &OwnedServerName,
        token: &str,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        match self.device_of_token(platform, hash_token(token)).await? {
            Some(device) => self.log_out(&device.user_id, &device.device_id).await,
            None => Ok(Vec::new()),
        }
    }

    async fn device_of_token(
        &self,
        platform: &OwnedServerName,
        hash: TokenHash,
    ) -> Result<Option<DeviceKey>, AccountsError> {
        let key = PlatformHashKey { platform: platform.clone(), hash };
        let access = self.store.get::<AccessTokens>(&key).await?;
        let access = access.map(|token| (token.user_id, token.device_id));
        let refresh = self.store.get::<RefreshTokens>(&key).await?.filter(|_| access.is_none());
        let refresh = refresh.map(|token| (token.user_id, token.device_id));
        let Some((user_id, device_id)) = access.or(refresh) else { return Ok(None) };
        let key = DeviceKey { user_id, device_id };
        let device = self.store.get::<Devices>(&key).await?;
        let owns = device.is_some_and(|device| {
            tokens_of(&device).contains(&hash) || refresh_tokens_of(&device).contains(&hash)
        });
        Ok(owns.then_some(key))
    }
}
