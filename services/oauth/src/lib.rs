//! Logging in by OAuth 2.0: clients, what people allow them, and the browsers in which they do.
//! <https://spec.matrix.org/v1.19/client-server-api/#oauth-20-api>
//!
//! Each operation has a file of its name. Devices and tokens belong to the accounts service. What is allowed
//! here becomes a session there, in the write-set that also uses up what allowed it. Everything belongs to
//! one platform.

mod authorise;
mod browser_session;
mod client;
mod device_grant;
mod expire;
mod newcomers;
mod redeem_code;
mod redirect_uri;
mod register_client;
mod scope;
mod tokens;

use std::{fmt, sync::Arc};

use linkspan_accounts::{Accounts, AccountsError};
use linkspan_storage::{StorageError, Store};

pub use authorise::{Authorisation, AuthorisationRequest, Refusal, ReturnAddress};
pub use browser_session::BrowserSession;
pub use client::Client;
pub use device_grant::{DeviceGrant, PendingGrant};
pub use register_client::{NewClient, is_loopback};
pub use scope::Scope;
pub use tokens::{TokenOutcome, TokenRequest, Tokens};

/// Why something that a client or a browser asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// The request cannot be understood.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// There is no such client.
    #[error("this client is not registered here")]
    InvalidClient,
    /// The code or token is not valid, or not valid any more, or belongs to another client.
    #[error("{0}")]
    InvalidGrant(&'static str),
    /// The client is not registered for this.
    #[error("{0}")]
    UnauthorizedClient(&'static str),
    /// The client asks for another type of response than a code.
    #[error("the response type is `code`")]
    UnsupportedResponseType,
    /// The scope is not one that can be granted.
    #[error("{0}")]
    InvalidScope(&'static str),
    /// A client cannot be registered with such a redirect URI.
    #[error("{0}")]
    InvalidRedirectUri(&'static str),
    /// A client cannot be registered like this.
    #[error("{0}")]
    InvalidClientMetadata(&'static str),
    /// There are too many clients.
    #[error("too many clients are registered; try again later")]
    TooManyClients,
    /// Nobody has allowed or denied the device grant yet.
    #[error("nobody has decided yet")]
    AuthorizationPending,
    /// Nobody has answered yet, and the client asks too often.
    #[error("you ask too often")]
    SlowDown,
    /// Nobody decided in time.
    #[error("the device code has expired")]
    ExpiredToken,
    /// The user said no.
    #[error("it was denied")]
    AccessDenied,
    /// The accounts refused or failed.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl OAuthError {
    /// The error's code in RFC 6749, 7591 or 8628. None means that it is not the client's fault.
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope(_) => "invalid_scope",
            Self::InvalidRedirectUri(_) => "invalid_redirect_uri",
            Self::InvalidClientMetadata(_) => "invalid_client_metadata",
            Self::TooManyClients => "temporarily_unavailable",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::AccessDenied => "access_denied",
            Self::Accounts(_) | Self::Storage(_) => return None,
        })
    }
}

/// The OAuth 2.0 servers of all platforms. Clones share their state.
#[derive(Clone)]
pub struct OAuth {
    store: Store,
    accounts: Accounts,
    polls: Arc<device_grant::Polls>,
    newcomers: Arc<newcomers::Newcomers>,
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OAuth")
    }
}

impl OAuth {
    /// Makes the OAuth 2.0 servers of the platforms in a store, for these accounts.
    pub fn new(store: Store, accounts: Accounts) -> Self {
        Self { store, accounts, polls: Arc::default(), newcomers: Arc::default() }
    }
}
