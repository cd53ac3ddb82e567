//! The accounts of a platform.

use axum::response::Response;
use linkspan_accounts::{AccountInfo, Restriction};
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, next_batch, user_of};

#[derive(Deserialize)]
struct NewUser {
    localpart: String,
    password: String,
    #[serde(default)]
    admin: bool,
}

pub(crate) async fn create_user(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let NewUser { localpart, password, admin } = request.json()?;
    let platform = operator.platform.server_name().to_owned();
    let user_id = app.accounts.create_account(&platform, &localpart, password, admin, now_ts()).await?;
    Ok(json_answer(&json!({ "user_id": user_id })))
}

pub(crate) async fn list_users(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let page: Page = request.query()?;
    let (platform, limit) = (operator.platform.server_name().to_owned(), page.limit()?);
    let users = app.accounts.list_accounts(&platform, page.place()?.as_ref(), limit).await?;
    let next = next_batch(&users, limit, |last| last.user_id.to_string());
    let users: Vec<Value> = users.iter().map(to_wire).collect();
    Ok(json_answer(&json!({ "users": users, "next_batch": next })))
}

pub(crate) async fn get_user(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    Ok(json_answer(&to_wire(&app.accounts.account_info(&user_id).await?)))
}

#[derive(Deserialize)]
struct NewPassword {
    password: String,
    #[serde(default = "yes")]
    log_out_devices: bool,
}

fn yes() -> bool {
    true
}

pub(crate) async fn set_user_password(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let NewPassword { password, log_out_devices } = request.json()?;
    let logged_out = app.reset_password(&user_id, password, log_out_devices).await?;
    Ok(json_answer(&json!({ "logged_out": logged_out })))
}

#[derive(Deserialize)]
struct Locked {
    locked: bool,
}

pub(crate) async fn set_user_locked(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (user_id, Locked { locked }) = (user_of(&operator, &request)?, request.json()?);
    app.accounts.set_restricted(operator.name(), &user_id, Restriction::Locked, locked).await?;
    Ok(json_answer(&json!({ "locked": locked })))
}

#[derive(Deserialize)]
struct Suspended {
    suspended: bool,
}

pub(crate) async fn set_user_suspended(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (user_id, Suspended { suspended }) = (user_of(&operator, &request)?, request.json()?);
    app.accounts.set_restricted(operator.name(), &user_id, Restriction::Suspended, suspended).await?;
    Ok(json_answer(&json!({ "suspended": suspended })))
}

#[derive(Deserialize)]
struct Admin {
    admin: bool,
}

pub(crate) async fn set_user_admin(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (user_id, Admin { admin }) = (user_of(&operator, &request)?, request.json()?);
    if operator.name() == Some(&user_id) && !admin {
        return Err(ApiError::forbidden("another administrator has to do this: nobody might be left"));
    }
    app.accounts.set_admin(&user_id, admin).await?;
    Ok(json_answer(&json!({ "admin": admin })))
}

pub(crate) async fn log_user_out(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let logged_out = app.log_user_out(&user_id).await?;
    Ok(json_answer(&json!({ "logged_out": logged_out })))
}

#[derive(Deserialize)]
struct Deactivate {
    #[serde(default)]
    erase: bool,
}

pub(crate) async fn deactivate_user(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let logged_out = deactivate(&app, &operator, &request).await?;
    Ok(json_answer(&json!({ "logged_out": logged_out })))
}

/// Deactivates the account that a request names. Returns how many devices were logged out.
pub(crate) async fn deactivate(
    app: &App,
    operator: &Operator,
    request: &WholeRequest,
) -> Result<usize, ApiError> {
    let (user_id, Deactivate { erase }) = (user_of(operator, request)?, request.json()?);
    if operator.name() == Some(&user_id) {
        return Err(ApiError::forbidden("administrators deactivate their own accounts as everybody does"));
    }
    Ok(app.deactivate(&user_id, None, erase, now_ts()).await?)
}

pub(crate) async fn list_user_rooms(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let rooms = app.rooms_of_account(&user_id).await?;
    Ok(json_answer(&json!({ "joined_rooms": rooms })))
}

pub(super) fn to_wire(account: &AccountInfo) -> Value {
    json!({
        "user_id": account.user_id,
        "handle": account.handle,
        "created_ts": account.created_ts,
        "admin": account.admin,
        "guest": account.guest,
        "locked": account.locked,
        "suspended": account.suspended,
        "deactivated": account.deactivated,
    })
}
