//! OpenID tokens, with which a third party asks this server who somebody is, and the tokens of the identity service's API,
//! which somebody gets for one. Neither can be had for the other kind, so that whoever was shown a token cannot make it
//! last.
//! <https://spec.matrix.org/v1.19/client-server-api/#openid>

use linkspan_platforms::Holder;
use ruma::{OwnedServerName, OwnedUserId};

use crate::{Accounts, AccountsError, token::new_token};

/// How long a token lasts, in milliseconds.
const OPENID_MS: u64 = 3_600_000;

/// An OpenID token.
#[derive(Clone)]
pub struct OpenIdToken {
    /// The token.
    pub token: String,
    /// How long it lasts, in milliseconds.
    pub expires_in_ms: u64,
}

impl Accounts {
    /// Makes a token by which others can learn that they talk to `user_id`.
    pub fn new_openid_token(&self, user_id: &OwnedUserId, now_ts: u64) -> OpenIdToken {
        let token = new_token("lso_");
        let holder = Holder::user(user_id);
        self.shared.openid.put(holder, token.clone(), user_id.clone(), now_ts + OPENID_MS, now_ts);
        OpenIdToken { token, expires_in_ms: OPENID_MS }
    }

    /// The user of `platform` whose OpenID token it is. None if it has expired, or is not one of this platform's.
    pub async fn openid_user(
        &self,
        platform: &OwnedServerName,
        token: &str,
        now_ts: u64,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        self.active_on(platform, self.shared.openid.get(token, now_ts)).await
    }

    /// Makes a token of the identity service's API for a user who has shown an OpenID token. That one is worthless then.
    pub async fn new_identity_token(
        &self,
        platform: &OwnedServerName,
        openid_token: &str,
        now_ts: u64,
    ) -> Result<Option<String>, AccountsError> {
        let Some(user_id) = self.openid_user(platform, openid_token, now_ts).await? else { return Ok(None) };
        self.shared.openid.take(openid_token, now_ts);
        let token = new_token("lsi_");
        let holder = Holder::user(&user_id);
        self.shared.identity_tokens.put(holder, token.clone(), user_id, now_ts + OPENID_MS, now_ts);
        Ok(Some(token))
    }

    /// The user of `platform` whose token of the identity service's API it is. None as of [`openid_user`](Self::openid_user).
    pub async fn identity_user(
        &self,
        platform: &OwnedServerName,
        token: &str,
        now_ts: u64,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        self.active_on(platform, self.shared.identity_tokens.get(token, now_ts)).await
    }

    /// Makes a token of the identity service's API worthless.
    pub fn end_identity_token(&self, token: &str, now_ts: u64) {
        self.shared.identity_tokens.take(token, now_ts);
    }

    async fn active_on(
        &self,
        platform: &OwnedServerName,
        user_id: Option<OwnedUserId>,
    ) -> Result<Option<OwnedUserId>, AccountsError> {
        match user_id.filter(|user_id| user_id.server_name() == *platform) {
            Some(user_id) if self.is_active(&user_id).await? => Ok(Some(user_id)),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::{Memory, Store};
    use ruma::owned_server_name;

    use super::OPENID_MS;
    use crate::Accounts;

    const NOW: u64 = 1_700_000_000_000;

    #[tokio::test]
    async fn a_token_is_good_on_its_platform_for_its_time_while_the_account_lasts() {
        let accounts = Accounts::new(Store::in_memory(Memory::new().expect("an engine")));
        let (here, there) = (owned_server_name!("here.localhost"), owned_server_name!("there.localhost"));
        let password = "correct horse".to_owned();
        let anna = accounts.create_account(&here, "anna", password, false, NOW).await.expect("an account");
        let token = accounts.new_openid_token(&anna, NOW).token;
        let user =
            async |platform, now_ts| accounts.openid_user(platform, &token, now_ts).await.expect("asked");
        assert_eq!(user(&here, NOW + OPENID_MS - 1).await, Some(anna.clone()));
        assert_eq!(user(&here, NOW + OPENID_MS).await, None);
        assert_eq!(user(&there, NOW).await, None);
        accounts.begin_deactivation(&anna, None, false).await.expect("deactivated");
        assert_eq!(user(&here, NOW).await, None);
    }
}
