//! The token endpoint. It gives a client tokens for a code, for a device grant, or for an older refresh
//! token.
//! <https://spec.matrix.org/v1.19/client-server-api/#grant-types>

use std::net::IpAddr;

use linkspan_accounts::{AccountsError, DeviceRemoved, LoggedIn, RefreshOutcome};
use linkspan_platforms::Platform;

use crate::{OAuth, OAuthError, Scope};

/// What a client gives in exchange for tokens.
#[derive(Clone)]
#[allow(missing_docs)]
pub enum TokenRequest {
    /// A code, with the proof that it belongs to the client.
    Code { code: String, redirect_uri: String, code_verifier: String },
    /// A refresh token.
    Refresh { refresh_token: String },
    /// A device code.
    Device { device_code: String },
}

/// Tokens for a client.
#[derive(Clone)]
pub struct Tokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// How long the access token lasts, in milliseconds.
    pub expires_in_ms: u64,
    /// The scope that the tokens are good for.
    pub scope: String,
    /// Devices of the user that had to give way, because there were too many.
    pub gave_way: Vec<DeviceRemoved>,
}

/// What a client gets for what it gives.
#[derive(Clone)]
pub enum TokenOutcome {
    /// The client gets tokens.
    Tokens(Tokens),
    /// The client gets nothing, because what it gave was used before. The session that this gave has ended.
    Compromised(Vec<DeviceRemoved>),
}

/// The client that asks, with its address and the time.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) address: Option<IpAddr>,
    pub(crate) now_ts: u64,
}

impl OAuth {
    /// Gives a client of a platform tokens in exchange for something else.
    pub async fn give_tokens(
        &self,
        platform: &Platform,
        client_id: &str,
        request: TokenRequest,
        address: Option<IpAddr>,
        now_ts: u64,
    ) -> Result<TokenOutcome, OAuthError> {
        let asker = Asker { client_id, address, now_ts };
        match request {
            TokenRequest::Code { code, redirect_uri, code_verifier } => {
                self.redeem_code(platform, asker, &code, &redirect_uri, &code_verifier).await
            }
            TokenRequest::Refresh { refresh_token } => self.refresh(platform, asker, &refresh_token).await,
            TokenRequest::Device { device_code } => {
                self.redeem_device_code(platform, asker, &device_code).await
            }
        }
    }

    async fn refresh(
        &self,
        platform: &Platform,
        asker: Asker<'_>,
        refresh_token: &str,
    ) -> Result<TokenOutcome, OAuthError> {
        let server_name = platform.server_name();
        let refreshed =
            self.accounts.refresh_session(server_name, asker.client_id, refresh_token, asker.now_ts).await;
        match refreshed {
            Ok(RefreshOutcome::Refreshed { tokens, device_id }) => Ok(TokenOutcome::Tokens(Tokens {
                access_token: tokens.access_token,
                refresh_token: tokens.refresh_token,
                expires_in_ms: tokens.expires_in_ms,
                scope: Scope::of_device(&device_id),
                gave_way: Vec::new(),
            })),
            Ok(RefreshOutcome::Compromised(removed)) => Ok(TokenOutcome::Compromised(removed)),
            Err(AccountsError::UnknownToken { .. }) => {
                Err(OAuthError::InvalidGrant("the refresh token is not valid"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Gives the tokens of a session that has begun.
pub(crate) fn begun(session: LoggedIn, scope: String) -> TokenOutcome {
    TokenOutcome::Tokens(Tokens {
        access_token: session.access_token,
        refresh_token: session.refresh_token.unwrap_or_default(),
        expires_in_ms: session.expires_in_ms.unwrap_or_default(),
        scope,
        gave_way: session.gave_way,
    })
}

/// Converts the error of a session that did not begin. If the password has changed since, what it allowed is
/// not allowed any more.
pub(crate) fn refused(error: OAuthError) -> OAuthError {
    match error {
        OAuthError::Accounts(AccountsError::Forbidden(_)) => {
            OAuthError::InvalidGrant("the password was changed since this was allowed")
        }
        error => error,
    }
}
