//! Who calls. There is a type for each kind of caller, which is proved before an endpoint runs.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, request::Parts};
use linkspan_accounts::{AccountsError, Attempt, TokenHash};
use linkspan_platforms::{Network, Payer, Platform, RateClass};
use linkspan_rooms::Reader;
use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::{client::uiaa::AuthData, error::ErrorKind},
};

use crate::{ApiError, App, ClientAddress, clock::now_ts, endpoint::Access, endpoint::OpenToGuests};

/// What is known of a request before its body is read.
#[derive(Debug)]
pub struct RequestHead<'a> {
    /// The platform that was addressed.
    pub platform: &'a Arc<Platform>,
    /// Method, address, headers and extensions.
    pub parts: &'a Parts,
    /// How the endpoint counts against the platform's rate limits.
    pub rate_class: RateClass,
}

impl RequestHead<'_> {
    /// The client's address, as the listener saw it.
    pub fn address(&self) -> IpAddr {
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

    /// Counts the request against the platform's limits: on the user, or on the address while nobody is
    /// known. Who has used up what there is to read does not search either.
    pub fn check_rate(&self, user_id: Option<&OwnedUserId>) -> Result<(), ApiError> {
        let limiter = &self.platform.rate_limiter;
        let by_address = matches!(self.rate_class, RateClass::Login | RateClass::Registration);
        if self.rate_class == RateClass::Search {
            self.check_may_read(user_id)?;
        }
        match user_id {
            // What it costs is known and counted when it is over.
            _ if self.rate_class == RateClass::Read => self.check_may_read(user_id),
            Some(user_id) if !by_address => Ok(limiter.check(self.rate_class, user_id.as_str())?),
            _ => Ok(limiter.check_address(self.rate_class, self.address())?),
        }
    }

    fn check_may_read(&self, user_id: Option<&OwnedUserId>) -> Result<(), ApiError> {
        let limiter = &self.platform.rate_limiter;
        match user_id {
            Some(user_id) => limiter.check_balance(RateClass::Read, user_id.as_str())?,
            None => limiter.check_balance_of_network(RateClass::Read, Network::of(self.address()))?,
        }
        Ok(())
    }
}

/// Who pays for what a caller reads.
pub(crate) fn payer(caller: &impl Caller, extensions: &http::Extensions) -> Payer {
    match caller.reading_user() {
        Some(user_id) => Payer::User(user_id.to_string()),
        None => Payer::Network(Network::of(address_of(extensions))),
    }
}

/// A client's address, as the listener saw it.
pub fn address_of(extensions: &http::Extensions) -> IpAddr {
    extensions.get::<ClientAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |address| address.0)
}

/// Who calls an endpoint. A value of such a type is the proof, so an endpoint's function gets one only once
/// all of it was seen.
///
/// Proving has two steps. The first sees the head of a request, and refuses before anything is read of its
/// body. The second has the whole body: some proofs cover it, as the signatures of servers do, and others
/// must be looked at once more because the body took its time.
pub trait Caller: Sized + Send + Sync {
    /// The level of access that the table lists.
    const ACCESS: Access;
    /// What the head says of the caller: the caller itself, unless its proof covers the body.
    type Claim: Send;

    /// The user, if one has logged in.
    fn user_id(&self) -> Option<&OwnedUserId>;

    /// The user who pays for what is read. Where there is none, the client's network does.
    fn reading_user(&self) -> Option<&OwnedUserId> {
        self.user_id()
    }

    /// Reads who calls from the head, and counts the request against the rate limits.
    fn claim(app: &App, head: &RequestHead<'_>)
    -> impl Future<Output = Result<Self::Claim, ApiError>> + Send;

    /// The user whose body it is, if the head alone proves that. Bodies of others have a smaller limit.
    fn claimed(_: &Self::Claim) -> Option<&OwnedUserId> {
        None
    }

    /// Proves it when the whole body has arrived.
    fn prove(
        claim: Self::Claim,
        app: &App,
        body: &[u8],
    ) -> impl Future<Output = Result<Self, ApiError>> + Send;
}

/// Anybody. Only the platform that was addressed is known.
#[derive(Clone, Debug)]
pub struct Anybody {
    /// The platform that was addressed.
    pub platform: Arc<Platform>,
    /// Where the client is.
    pub address: IpAddr,
}

impl Caller for Anybody {
    const ACCESS: Access = Access::Anybody;
    type Claim = Self;

    fn user_id(&self) -> Option<&OwnedUserId> {
        None
    }

    async fn claim(_: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        head.check_rate(None)?;
        Ok(Self { platform: head.platform.clone(), address: head.address() })
    }

    async fn prove(claim: Self, _: &App, _: &[u8]) -> Result<Self, ApiError> {
        Ok(claim)
    }
}

/// A user of the platform that was addressed, logged in on a device.
#[derive(Clone, Debug)]
pub struct User {
    /// The platform that was addressed, which is the user's.
    pub platform: Arc<Platform>,
    /// The user.
    pub user_id: OwnedUserId,
    /// The device that the session is of.
    pub device_id: OwnedDeviceId,
    /// The hash of the access token.
    pub token_hash: TokenHash,
    /// Whether the user is an administrator of the platform.
    pub admin: bool,
    /// Whether the session began by OAuth 2.0.
    pub oauth: bool,
    /// Where the client is.
    pub address: IpAddr,
    /// Whether the user is a guest, who then calls an endpoint that is open to guests.
    pub guest: bool,
}

impl User {
    /// Refuses to act for anybody but the caller.
    pub fn check_is(&self, user_id: &ruma::UserId) -> Result<(), ApiError> {
        if self.user_id == user_id {
            Ok(())
        } else {
            Err(ApiError::forbidden("you can do this for yourself only"))
        }
    }

    /// Refuses what sessions of the OAuth 2.0 API do on the platform's pages.
    /// <https://spec.matrix.org/v1.19/client-server-api/#oauth-20-api>
    pub fn check_proves_by_password(&self) -> Result<(), ApiError> {
        if !self.oauth {
            return Ok(());
        }
        Err(ApiError::new(
            http::StatusCode::NOT_FOUND,
            ErrorKind::Unrecognized,
            "this session began by OAuth 2.0: use the platform's page for accounts",
        ))
    }

    /// Refuses if the session has ended while something was waited for.
    pub async fn check_still_holds(&self, app: &App) -> Result<(), ApiError> {
        Ok(app.accounts.check_session(&self.user_id, &self.device_id, self.token_hash).await?)
    }

    /// What the caller gives to prove who it is.
    pub fn attempt<'a>(&'a self, auth: Option<&'a AuthData>) -> Attempt<'a> {
        Attempt { auth, platform: &self.platform, address: self.address }
    }

    /// For whom events are rendered in answers that are not a sync's.
    pub fn reader(&self) -> Reader<'_> {
        Reader { device_id: &self.device_id, now_ts: now_ts(), with_room_id: true }
    }
}

impl Caller for User {
    const ACCESS: Access = Access::User;
    type Claim = Self;

    fn user_id(&self) -> Option<&OwnedUserId> {
        Some(&self.user_id)
    }

    fn reading_user(&self) -> Option<&OwnedUserId> {
        // Anybody can be a new guest whenever a guest has used up what there was.
        (!self.guest).then_some(&self.user_id)
    }

    async fn claim(app: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        let AnySession { user, locked } = AnySession::claim(app, head).await?;
        if user.guest {
            head.check_open_to_guests()?;
        }
        if locked { Err(AccountsError::Locked.into()) } else { Ok(user) }
    }

    fn claimed(claim: &Self) -> Option<&OwnedUserId> {
        claim.user_id()
    }

    async fn prove(claim: Self, app: &App, body: &[u8]) -> Result<Self, ApiError> {
        if !body.is_empty() {
            // Whoever sends it slowly may have been logged out since.
            claim.check_still_holds(app).await?;
        }
        Ok(claim)
    }
}

/// A user as in [`User`], but the account may be locked, or a guest's on a platform that has no guests any
/// more. It is for logging out, which everybody may always do.
#[derive(Clone, Debug)]
pub struct AnySession {
    /// Whose session it is.
    pub user: User,
    locked: bool,
}

impl Caller for AnySession {
    const ACCESS: Access = Access::User;
    type Claim = Self;

    fn user_id(&self) -> Option<&OwnedUserId> {
        self.user.user_id()
    }

    fn reading_user(&self) -> Option<&OwnedUserId> {
        self.user.reading_user()
    }

    async fn claim(app: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        let token = access_token(head.parts)
            .ok_or_else(|| ApiError::unauthorized(ErrorKind::MissingToken, "an access token is needed"))?;
        let session =
            app.accounts.authenticate(head.platform.server_name(), &token, head.address(), now_ts()).await?;
        let reads_as_guest = session.guest && head.rate_class == RateClass::Read;
        head.check_rate(Some(&session.user_id).filter(|_| !reads_as_guest))?;
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

    fn claimed(claim: &Self) -> Option<&OwnedUserId> {
        claim.user_id()
    }

    async fn prove(claim: Self, _: &App, _: &[u8]) -> Result<Self, ApiError> {
        Ok(claim)
    }
}

/// Anybody, who may have logged in. A token that is given must be right.
#[derive(Clone, Debug)]
pub struct MaybeUser {
    /// The platform that was addressed.
    pub platform: Arc<Platform>,
    /// The user, if a token was given.
    pub user: Option<User>,
    /// Where the client is.
    pub address: IpAddr,
}

impl Caller for MaybeUser {
    const ACCESS: Access = Access::MaybeUser;
    type Claim = Self;

    fn user_id(&self) -> Option<&OwnedUserId> {
        self.user.as_ref()?.user_id()
    }

    fn reading_user(&self) -> Option<&OwnedUserId> {
        self.user.as_ref()?.reading_user()
    }

    async fn claim(app: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        if access_token(head.parts).is_none() {
            head.check_rate(None)?;
            return Ok(Self { platform: head.platform.clone(), user: None, address: head.address() });
        }
        let user = User::claim(app, head).await?;
        Ok(Self { platform: head.platform.clone(), user: Some(user), address: head.address() })
    }

    fn claimed(claim: &Self) -> Option<&OwnedUserId> {
        claim.user_id()
    }

    async fn prove(claim: Self, app: &App, body: &[u8]) -> Result<Self, ApiError> {
        let Self { platform, user, address } = claim;
        let user = match user {
            Some(user) => Some(User::prove(user, app, body).await?),
            None => None,
        };
        Ok(Self { platform, user, address })
    }
}

/// The access token, which is in `Authorization: Bearer` or in the query parameter that old clients use.
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

/// The access token in a request's headers.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}
