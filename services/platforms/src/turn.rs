//! Credentials for servers that carry calls, as these servers check them: a name that says until when it holds, and a
//! password that is made of it. <https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00>

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ruma::UserId;
use sha1::Sha1;

use crate::Turn;

/// What somebody shows to a server that carries calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnCredentials {
    /// When it ends, in seconds since the Unix epoch, and for whom it is.
    pub username: String,
    /// What proves that this server has given it out.
    pub password: String,
}

impl Turn {
    /// Credentials that hold from now on. `now_ts`: milliseconds since the Unix epoch.
    pub fn credentials(&self, user_id: &UserId, now_ts: u64) -> TurnCredentials {
        let ends_s = (now_ts / 1_000).saturating_add(self.lifetime_s);
        let username = format!("{ends_s}:{user_id}");
        let mut mac = Hmac::<Sha1>::new_from_slice(self.shared_secret.as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(username.as_bytes());
        let password = STANDARD.encode(mac.finalize().into_bytes());
        TurnCredentials { username, password }
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    /// What OpenSSL makes of it: `printf '1700000600:@anna:a.example' | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn a_password_is_made_of_the_name_and_the_secret() {
        let turn = Turn { uris: Vec::new(), shared_secret: "north".to_owned(), lifetime_s: 600 };
        let TurnCredentials { username, password } =
            turn.credentials(user_id!("@anna:a.example"), 1_700_000_000_999);
        assert_eq!(
            (username.as_str(), password.as_str()),
            ("1700000600:@anna:a.example", "HwKGGIW0zfWsebNVydrRM88dlzw=")
        );
    }
}
