//! The sessions of browsers in which somebody has logged in to a platform's pages.
//!
//! A cookie holds a token, and the store holds the token's hash. A session ends after some time, with the
//! account, and when the password changes. A locked account has no sessions.

use std::net::IpAddr;

use linkspan_accounts::{Credentials, PasswordStamp, hash_token, new_token};
use linkspan_platforms::Platform;
use linkspan_storage::{
    StorageError, WriteSet,
    catalogue::{BrowserSessions, PlatformHashKey},
    records::{AccountRecord, BrowserSessionRecord},
};
use ruma::{OwnedServerName, OwnedUserId};

use crate::{OAuth, OAuthError};

/// How long a session lasts, in milliseconds.
const SESSION_MS: u64 = 12 * 3_600_000;
/// How long somebody counts as having proved just now who it is, in milliseconds.
const FRESH_MS: u64 = 10 * 60_000;

/// A session: who has logged in with a browser.
#[derive(Clone, Debug)]
pub struct BrowserSession {
    /// The user who has logged in.
    pub user_id: OwnedUserId,
    /// The stamp of the account's password at the time of the proof.
    pub password_stamp: PasswordStamp,
    /// Whether the user has proved just now who it is.
    pub fresh: bool,
}

impl OAuth {
    /// Logs a browser at `from` in by password. Returns the token for its cookie.
    pub async fn log_browser_in(
        &self,
        platform: &Platform,
        credentials: Credentials,
        from: IpAddr,
        now_ts: u64,
    ) -> Result<String, OAuthError> {
        let user = self.accounts.check_log_in(platform, credentials, Some(from)).await?;
        self.begin_browser_session(&user.user_id, user.password_stamp, now_ts).await
    }

    /// Logs in a browser whose user has proved everything. Returns the token for its cookie. It is refused if
    /// the password has changed since it was proved.
    pub async fn begin_browser_session(
        &self,
        user_id: &OwnedUserId,
        password_stamp: PasswordStamp,
        now_ts: u64,
    ) -> Result<String, OAuthError> {
        let token = new_token("lsb_");
        let expires_ts = now_ts + SESSION_MS;
        let user_id = user_id.clone();
        let key = session_key(&user_id.server_name().to_owned(), &token);
        let record =
            BrowserSessionRecord { user_id, password_stamp: password_stamp.0, proved_ts: now_ts, expires_ts };
        let mut writes = WriteSet::new();
        writes.put::<BrowserSessions>(&key, &record);
        self.store.commit(writes).await.map_err(StorageError::from)?;
        Ok(token)
    }

    /// Finds the session with the token of a cookie. None means that there is none, or none any more.
    pub async fn browser_session(
        &self,
        platform: &OwnedServerName,
        token: &str,
        now_ts: u64,
    ) -> Result<Option<BrowserSession>, OAuthError> {
        let session = self.store.get::<BrowserSessions>(&session_key(platform, token)).await?;
        let Some(session) = session.filter(|session| now_ts < session.expires_ts) else { return Ok(None) };
        let account = self.accounts.account(&session.user_id).await?;
        let password_stamp = PasswordStamp(session.password_stamp);
        if !account.is_some_and(|account| may_act(&account) && PasswordStamp::of(&account) == password_stamp)
        {
            return Ok(None);
        }
        let fresh = now_ts.saturating_sub(session.proved_ts) < FRESH_MS;
        Ok(Some(BrowserSession { user_id: session.user_id, password_stamp, fresh }))
    }

    /// Logs a browser out.
    pub async fn end_browser_session(
        &self,
        platform: &OwnedServerName,
        token: &str,
    ) -> Result<(), OAuthError> {
        let mut writes = WriteSet::new();
        writes.delete::<BrowserSessions>(&session_key(platform, token));
        self.store.commit(writes).await.map_err(StorageError::from)?;
        Ok(())
    }
}

fn may_act(account: &AccountRecord) -> bool {
    !account.deactivated && !account.locked
}

fn session_key(platform: &OwnedServerName, token: &str) -> PlatformHashKey {
    PlatformHashKey { platform: platform.clone(), hash: hash_token(token) }
}
