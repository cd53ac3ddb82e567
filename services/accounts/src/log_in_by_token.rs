//! Login tokens. With one, a user who has given proof elsewhere logs a client in, once.
//! <https://spec.matrix.org/v1.19/client-server-api/#token-based-user-login>
//!
//! They are kept in memory, because they last two minutes.

use linkspan_platforms::{Holder, Platform};
use ruma::OwnedUserId;

use crate::{
    Accounts, AccountsError, Attempt, LoggedIn, NewDevice, PasswordStamp, ProvedUser, Purpose,
    token::new_token,
};

/// How long a login token lasts, in milliseconds.
const LOGIN_TOKEN_MS: u64 = 120_000;

const WRONG_TOKEN: AccountsError = AccountsError::Forbidden("this login token is not valid");

/// A login token.
#[derive(Clone)]
pub struct LoginToken {
    /// The token.
    pub token: String,
    /// How long it lasts, in milliseconds.
    pub expires_in_ms: u64,
}

impl Accounts {
    /// Makes a token that logs a client of `user_id` in, once, and only while the password is the one that
    /// the user has proved.
    pub fn new_login_token(
        &self,
        user_id: &OwnedUserId,
        password_stamp: PasswordStamp,
        now_ts: u64,
    ) -> LoginToken {
        let token = new_token("lsl_");
        let user = ProvedUser { user_id: user_id.clone(), password_stamp };
        let holder = Holder::user(user_id);
        self.shared.login_tokens.put(holder, token.clone(), user, now_ts + LOGIN_TOKEN_MS, now_ts);
        LoginToken { token, expires_in_ms: LOGIN_TOKEN_MS }
    }

    /// Makes a login token for a user who proves the password.
    pub async fn prove_login_token(
        &self,
        user_id: &OwnedUserId,
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<LoginToken, AccountsError> {
        let purpose = Purpose::of_user(user_id, "get a login token");
        let password_stamp = self.prove_password(&purpose, attempt, now_ts).await?;
        Ok(self.new_login_token(user_id, password_stamp, now_ts))
    }

    /// Logs in the user whom a token of the platform stands for. The token is used up.
    pub async fn log_in_by_token(
        &self,
        platform: &Platform,
        token: &str,
        device: NewDevice,
        now_ts: u64,
    ) -> Result<LoggedIn, AccountsError> {
        let tokens = &self.shared.login_tokens;
        let is_here = |user: &ProvedUser| user.user_id.server_name() == *platform.server_name();
        let here = tokens.get(token, now_ts).filter(is_here);
        let user = here.and_then(|_| tokens.take(token, now_ts)).ok_or(WRONG_TOKEN)?;
        let started = self.start_session(user, device, now_ts).await;
        started.map_err(|error| if let AccountsError::Forbidden(_) = error { WRONG_TOKEN } else { error })
    }
}
