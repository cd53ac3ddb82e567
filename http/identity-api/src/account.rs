//! Who asks. A client shows an OpenID token of its user, and gets a token for this API. Like the other, it is
//! kept in memory for an hour; then, and after a restart, clients register again.
//! <https://spec.matrix.org/v1.19/identity-service-api/#authentication>

use axum::response::Response;
use http::request::Parts;
use linkspan_wire::{Anybody, ApiError, App, WholeRequest, bearer, json_answer, now_ts};
use ruma::{OwnedUserId, api::error::ErrorKind};
use serde::Deserialize;
use serde_json::json;

use crate::check_open;

/// There are no terms to be agreed to besides the platform's own.
pub(crate) async fn get_terms(_: App, caller: Anybody, _: WholeRequest) -> Result<Response, ApiError> {
    check_open(&caller.platform)?;
    Ok(json_answer(&json!({ "policies": {} })))
}

/// The OpenID token; the client's other fields say where it is from, which the token itself tells.
#[derive(Deserialize)]
struct OpenId {
    access_token: String,
}

pub(crate) async fn register_with_openid(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    check_open(&caller.platform)?;
    let OpenId { access_token } = request.json()?;
    let platform = caller.platform.server_name();
    let token =
        app.accounts.new_identity_token(platform, &access_token, now_ts()).await?.ok_or_else(refused)?;
    // Some clients look for the name that access tokens have elsewhere.
    Ok(json_answer(&json!({ "token": token, "access_token": token })))
}

pub(crate) async fn get_identity_account(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = proved_user(&app, &caller, &request.parts).await?;
    Ok(json_answer(&json!({ "user_id": user_id })))
}

pub(crate) async fn log_out_of_identity(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    proved_user(&app, &caller, &request.parts).await?;
    if let Some(token) = bearer(&request.parts.headers) {
        app.accounts.end_identity_token(&token, now_ts());
    }
    Ok(json_answer(&json!({})))
}

/// The user whose token a request carries, where the platform has this API turned on.
pub(crate) async fn proved_user(app: &App, caller: &Anybody, parts: &Parts) -> Result<OwnedUserId, ApiError> {
    check_open(&caller.platform)?;
    let token = bearer(&parts.headers).ok_or_else(refused)?;
    let user_id = app.accounts.identity_user(caller.platform.server_name(), &token, now_ts()).await?;
    user_id.ok_or_else(refused)
}

fn refused() -> ApiError {
    ApiError::unauthorized(ErrorKind::Unauthorized, "a valid token is needed")
}
