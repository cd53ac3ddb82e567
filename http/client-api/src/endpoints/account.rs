//! The account as a whole: its password, its end, and who administers it.

use axum::response::Response;
use linkspan_wire::{Anybody, ApiError, App, MaybeUser, User, WholeRequest, json_answer, now_ts, timestamp};
use ruma::{
    api::{
        client::{
            account::{ThirdPartyIdRemovalStatus, change_password, deactivate, request_openid_token},
            admin::get_user_info,
        },
        error::ErrorKind,
    },
    authentication::TokenType,
};
use serde::Deserialize;
use serde_json::json;

use crate::endpoints::session::duration_ms;

/// Sets a new password. Somebody who has forgotten the old one has no token, and confirms an address or
/// a number instead.
pub(crate) async fn change_password(
    app: App,
    caller: MaybeUser,
    request: change_password::v3::Request,
) -> Result<change_password::v3::Response, ApiError> {
    let change_password::v3::Request { new_password, logout_devices, auth, .. } = request;
    let (accounts, auth) = (&app.accounts, auth.as_ref());
    let removed = match &caller.user {
        Some(user) => {
            user.check_proves_by_password()?;
            let User { user_id, device_id, .. } = user;
            let (attempt, now_ts) = (user.attempt(auth), now_ts());
            accounts
                .change_password(user_id, device_id, new_password, logout_devices, attempt, now_ts)
                .await?
        }
        None if accounts.resets_passwords(&caller.platform) => {
            let (from, now_ts) = (caller.address, now_ts());
            accounts
                .reset_password(&caller.platform, new_password, logout_devices, auth, from, now_ts)
                .await?
        }
        None => return Err(ApiError::unauthorized(ErrorKind::MissingToken, "an access token is needed")),
    };
    app.forget_devices(removed).await?;
    Ok(change_password::v3::Response::new())
}

pub(crate) async fn deactivate(
    app: App,
    caller: User,
    request: deactivate::v3::Request,
) -> Result<deactivate::v3::Response, ApiError> {
    caller.check_proves_by_password()?;
    let (user_id, attempt) = (&caller.user_id, caller.attempt(request.auth.as_ref()));
    let proved = app.accounts.check_deactivation(user_id, attempt, now_ts()).await?;
    app.deactivate(user_id, Some(proved), request.erase, now_ts()).await?;
    Ok(deactivate::v3::Response::new(ThirdPartyIdRemovalStatus::Success))
}

pub(crate) async fn request_openid_token(
    app: App,
    caller: User,
    request: request_openid_token::v3::Request,
) -> Result<request_openid_token::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    let token = app.accounts.new_openid_token(&caller.user_id, now_ts());
    Ok(request_openid_token::v3::Response::new(
        token.token,
        TokenType::Bearer,
        caller.platform.server_name().clone(),
        duration_ms(token.expires_in_ms),
    ))
}

#[derive(Deserialize)]
struct OpenIdQuery {
    access_token: Option<String>,
}

/// Says whose OpenID token it is. Whoever was shown the token asks this of the token's platform.
pub(crate) async fn get_openid_user(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let OpenIdQuery { access_token } = request.query()?;
    let token = access_token
        .ok_or_else(|| ApiError::unauthorized(ErrorKind::MissingToken, "an OpenID token is needed"))?;
    let user_id = app.accounts.openid_user(caller.platform.server_name(), &token, now_ts()).await?;
    let user_id = user_id.ok_or_else(|| ApiError::unknown_token(false))?;
    Ok(json_answer(&json!({ "sub": user_id })))
}

/// Tells where an account was used. The user may ask this, and so may administrators of the user's platform.
pub(crate) async fn get_user_info(
    app: App,
    caller: User,
    request: get_user_info::v3::Request,
) -> Result<get_user_info::v3::Response, ApiError> {
    let same_platform = request.user_id.server_name() == *caller.platform.server_name();
    if !(caller.admin && same_platform) {
        caller.check_is(&request.user_id)?;
    }
    let mut response = get_user_info::v3::Response::new();
    for device in app.accounts.devices(&request.user_id).await? {
        let mut connection = get_user_info::v3::ConnectionInfo::new();
        connection.ip = device.last_seen_ip;
        connection.last_seen = timestamp(device.last_seen_ts);
        let mut session = get_user_info::v3::SessionInfo::new();
        session.connections.push(connection);
        let mut info = get_user_info::v3::DeviceInfo::new();
        info.sessions.push(session);
        response.devices.insert(device.device_id.to_string(), info);
    }
    response.user_id = Some(request.user_id);
    Ok(response)
}
