//! Who operates: the administrators of a platform, each on their own, and whoever may open the control socket.

use std::sync::Arc;

use linkspan_platforms::Platform;
use ruma::OwnedUserId;

use crate::{
    ApiError, App,
    caller::{Caller, RequestHead, User},
    endpoint::Access,
};

/// Stands in the extensions of a request that came by the control socket. Whoever may open that operates the whole
/// back-end.
#[derive(Clone, Copy, Debug)]
pub struct FromControlSocket;

/// An operator of the platform that was addressed.
#[derive(Clone, Debug)]
pub struct Operator {
    /// The platform that was addressed.
    pub platform: Arc<Platform>,
    /// The administrator. None: the operator of the whole back-end.
    pub administrator: Option<User>,
}

impl Operator {
    /// The administrator's user id, by which the action is written down.
    pub fn name(&self) -> Option<&OwnedUserId> {
        self.administrator.as_ref().map(|user| &user.user_id)
    }
}

impl Caller for Operator {
    const ACCESS: Access = Access::Operator;
    type Claim = Self;

    fn user_id(&self) -> Option<&OwnedUserId> {
        self.name()
    }

    async fn claim(app: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        let platform = head.platform.clone();
        if head.parts.extensions.get::<FromControlSocket>().is_some() {
            return Ok(Self { platform, administrator: None });
        }
        let user = User::claim(app, head).await?;
        if !user.admin {
            return Err(ApiError::forbidden("only administrators of this platform can do this"));
        }
        Ok(Self { platform, administrator: Some(user) })
    }

    fn claimed(claim: &Self) -> Option<&OwnedUserId> {
        claim.name()
    }

    async fn prove(claim: Self, app: &App, body: &[u8]) -> Result<Self, ApiError> {
        let Self { platform, administrator } = claim;
        let administrator = match administrator {
            Some(user) => Some(User::prove(user, app, body).await?),
            None => None,
        };
        Ok(Self { platform, administrator })
    }
}

/// The operator of the whole back-end, whichever platform was addressed.
#[derive(Clone, Copy, Debug)]
pub struct BackEndOperator(());

impl Caller for BackEndOperator {
    const ACCESS: Access = Access::BackEndOperator;
    type Claim = Self;

    fn user_id(&self) -> Option<&OwnedUserId> {
        None
    }

    async fn claim(_: &App, head: &RequestHead<'_>) -> Result<Self, ApiError> {
        head.check_rate(None)?;
        match head.parts.extensions.get::<FromControlSocket>() {
            Some(FromControlSocket) => Ok(Self(())),
            None => Err(ApiError::forbidden("this is answered on the control socket only")),
        }
    }

    async fn prove(claim: Self, _: &App, _: &[u8]) -> Result<Self, ApiError> {
        Ok(claim)
    }
}
