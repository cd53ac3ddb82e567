//! Who calls: one type for each level of access, proved before an endpoint runs.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, request::Parts};
use linkspan_accounts::{AccountsError, Attempt, TokenHash};
use linkspan_platforms::{Platform, RateClass};
use linkspan_rooms::Reader;
use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::{client::uiaa::AuthData, error::ErrorKind},
};

use crate::{
    App,
    app::now_ts,
    endpoint::{Access, OpenToGuests},
    error::ApiError,
    router::ClientAddress,
};

/// What is known of a request before its body is read.
#[derive(Debug)]
pub(crate) struct RequestHead<'a> {
    /// The platform that was addressed.
    pub(crate) platform: &'a Arc<Platform>,
    pub(crate) parts: &'a Parts,
    pub(crate) rate_class: RateClass,
}

impl RequestHead<'_> {
    fn address(&self) -> IpAddr {
        address_of(&self.parts.extensions)
    }

    /// Refuses guests where they may not call, and everywhere if their platform has no guests any more.
    /// <https://spec.matrix.org/v1.19/client-server-api/#guest-access>
    fn check_open_to_guests(&self) -> Result<(), ApiError> {
        if !self.platform.settings.guests {
            return Err(AccountsError::Guest("there are no guests here any more").into());
        }
        match self.parts.extensions.get::<OpenToGuests>() {
            Some(OpenToGuests) => Ok(()),
            None => Err(AccountsError::Guest("guests cannot do this: register first").into()),
        }
    }

    /// Counts the request against the platform's limits. `user_id` is the caller, if known.
    fn check_rate(&self, user_id: Option<&OwnedUserId>) -> Result<(), ApiError> {
        let limiter = &self.platform.rate_limiter;
        let by_address = matches!(self.rate_class, RateClass::Login | RateClass::Registration);
        match user_id {
            _ if self.rate_class == RateClass::Free => Ok(()),
            Some(user_id) if !by_address => Ok(limiter.check(self.rate_class, user_id.as_str())?),
            _ => Ok(limiter.check_address(self.rate_class, self.address())?),
        }
    }
}

/// A client's address, as the listener saw it.
pub fn address_of(extensions: &http::Extensions) -> IpAddr {
    extensions.get::<ClientAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |address| address.0)
}

/// A level of access, proved from a request's head.
pub(crate) trait Caller: Sized + Send + Sync {
    const ACCESS: Access;
    /// The user, if one has logged in.
    fn user_id(&self) -> Option<&OwnedUserId>;
    fn prove(app: &App, head: &RequestHead<'_>) -> impl Future<Output = Result<Self, ApiError>> + Send;
    /// Refuses, after having waited for something, if the session has been ended meanwhile.
    fn check_still_holds(&self, _: &App) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }
}

/// Anybody; only the platform that was addressed is known.
#[derive(Clone, Debug)]
pub(crate) struct Anybody {
    pub(crate) platform: Arc<Platform>,
    pub(crate) address: IpAddr,
}

impl Caller for Anybody {
    const ACCESS: Access = Access::Anybody;

    fn user_id(&self) -> Option<&OwnedUserId> {
        None
    }

    async fn prove(_: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        head.check_rate(None)?;
        Ok(Self { platform: head.platform.clone(), address: head.address() })
    }
}

/// A user of the platform that was addressed, logged in on a device.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) platform: Arc<Platform>,
    pub(crate) user_id: OwnedUserId,
    pub(crate) device_id: OwnedDeviceId,
    /// The hash of the access token.
    pub(crate) token_hash: TokenHash,
    pub(crate) admin: bool,
    /// Whether the session is one of the OAuth 2.0 API.
    pub(crate) oauth: bool,
    pub(crate) address: IpAddr,
    /// Whether it is a guest, who calls an endpoint that is open to guests.
    pub(crate) guest: bool,
}

impl User {
    /// Refuses to act for anybody but the caller.
    pub(crate) fn check_is(&self, user_id: &ruma::UserId) -> Result<(), ApiError> {
        if self.user_id == user_id {
            Ok(())
        } else {
            Err(ApiError::forbidden("you can do this for yourself only"))
        }
    }

    /// Refuses what sessions of the OAuth 2.0 API do on the platform's pages.
    /// <https://spec.matrix.org/v1.19/client-server-api/#oauth-20-api>
    pub(crate) fn check_proves_by_password(&self) -> Result<(), ApiError> {
        if !self.oauth {
            return Ok(());
        }
        Err(ApiError::new(
            http::StatusCode::NOT_FOUND,
            ErrorKind::Unrecognized,
            "this session began by OAuth 2.0: use the platform's page for accounts",
        ))
    }

    /// What the caller gives to prove who it is.
    pub(crate) fn attempt<'a>(&'a self, auth: Option<&'a AuthData>) -> Attempt<'a> {
        Attempt { auth, platform: &self.platform, address: self.address }
    }

    /// The user for whom events are rendered, in answers that are not a sync's.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { device_id: &self.device_id, now_ts: now_ts(), with_room_id: true }
    }
}

impl Caller for User {
    const ACCESS: Access = Access::User;

    fn user_id(&self) -> Option<&OwnedUserId> {
        Some(&self.user_id)
    }

    async fn prove(app: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        let AnySession { user, locked } = AnySession::prove(app, head).await?;
        if user.guest {
            head.check_open_to_guests()?;
        }
        if locked { Err(AccountsError::Locked.into()) } else { Ok(user) }
    }

    async fn check_still_holds(&self, app: &App) -> Result<(), ApiError> {
        Ok(app.accounts.check_session(&self.user_id, &self.device_id, self.token_hash).await?)
    }
}

/// A user as in [`User`], but the account may be locked, or a guest's on a platform that has no guests any
/// more. It is for logging out, which everybody may always do.
#[derive(Clone, Debug)]
pub(crate) struct AnySession {
    pub(crate) user: User,
    locked: bool,
}

impl Caller for AnySession {
    const ACCESS: Access = Access::User;

    fn user_id(&self) -> Option<&OwnedUserId> {
        self.user.user_id()
    }

    async fn prove(app: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        let token = access_token(head.parts)
            .ok_or_else(|| ApiError::unauthorized(ErrorKind::MissingToken, "an access token is needed"))?;
        let session =
            app.accounts.authenticate(head.platform.server_name(), &token, head.address(), now_ts()).await?;
        head.check_rate(Some(&session.user_id))?;
        let user = User {
            platform: head.platform.clone(),
            user_id: session.user_id,
            device_id: session.device_id,
            token_hash: session.token_hash,
            admin: session.admin,
            oauth: session.oauth,
            address: head.address(),
            guest: session.guest,
        };
        Ok(Self { user, locked: session.locked })
    }
}

/// Anybody, who may have logged in. A token that is given must be right.
#[derive(Clone, Debug)]
pub(crate) struct MaybeUser {
    pub(crate) platform: Arc<Platform>,
    pub(crate) user: Option<User>,
}

impl Caller for MaybeUser {
    const ACCESS: Access = Access::MaybeUser;

    fn user_id(&self) -> Option<&OwnedUserId> {
        self.user.as_ref()?.user_id()
    }

    async fn prove(app: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        if access_token(head.parts).is_none() {
            head.check_rate(None)?;
            return Ok(Self { platform: head.platform.clone(), user: None });
        }
        let user = User::prove(app, head).await?;
        Ok(Self { platform: head.platform.clone(), user: Some(user) })
    }

    async fn check_still_holds(&self, app: &App) -> Result<(), ApiError> {
        match &self.user {
            Some(user) => user.check_still_holds(app).await,
            None => Ok(()),
        }
    }
}

/// The access token: `Authorization: Bearer`, or the query parameter that old clients use.
fn access_token(parts: &Parts) -> Option<String> {
    bearer(&parts.headers).or_else(|| {
        let query = parts.uri.query()?;
        let (_, token) = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == "access_token")?;
        Some(token.to_owned())
    })
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}
