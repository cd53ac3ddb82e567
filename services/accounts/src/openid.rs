//! OpenID tokens: by one, a third party asks this server who somebody is.
//! <https://spec.matrix.org/v1.19/client-server-api/#openid>

use ruma::{OwnedServerName, OwnedUserId};

use crate::{Accounts, token::new_token};

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
    /// A new token by which others can learn that they talk to `user_id`.
    pub fn new_openid_token(&self, user_id: &OwnedUserId, now_ts: u64) -> OpenIdToken {
        let token = new_token("lso_");
        self.shared.openid.put(token.clone(), user_id.clone(), now_ts + OPENID_MS);
        OpenIdToken { token, expires_in_ms: OPENID_MS }
    }

    /// The user of `platform` whose token it is.
    pub fn openid_user(&self, platform: &OwnedServerName, token: &str, now_ts: u64) -> Option<OwnedUserId> {
        self.shared.openid.get(token, now_ts).filter(|user_id| user_id.server_name() == *platform)
    }
}
