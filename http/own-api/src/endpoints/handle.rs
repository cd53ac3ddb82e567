//! Handles, on platforms whose people are known by them: one's own, which ones there are, and who has one.

use axum::response::Response;
use linkspan_accounts::Handle;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, now_ts};
use ruma::OwnedServerName;
use serde::Deserialize;
use serde_json::json;

pub(crate) async fn get_handle(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let own = app.accounts.own_handle(&caller.user_id, now_ts()).await?;
    Ok(json_answer(&json!({ "handle": own.handle, "changes_left": own.changes_left })))
}

#[derive(Deserialize)]
struct NewHandle {
    handle: String,
}

pub(crate) async fn change_handle(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let NewHandle { handle } = request.json()?;
    let handle = app.rooms.change_handle(&caller.user_id, &handle, now_ts()).await?;
    Ok(json_answer(&json!({ "handle": handle.as_str() })))
}

/// Answers as changing to the handle would be answered, but for the limit on changes.
pub(crate) async fn get_handle_availability(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let handle = Handle::parse(in_path(&request)?)?;
    app.accounts.check_handle(&caller.platform, &caller.user_id, &handle, now_ts()).await?;
    Ok(json_answer(&json!({ "available": true })))
}

#[derive(Deserialize)]
struct OfPlatform {
    platform: Option<OwnedServerName>,
}

pub(crate) async fn resolve_handle(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let OfPlatform { platform } = request.query()?;
    let platform = platform.as_ref().unwrap_or(caller.platform.server_name());
    let owner = app.finding.resolve_handle(&caller.user_id, platform, in_path(&request)?).await?;
    let owner = owner.ok_or_else(|| ApiError::not_found("nobody has this handle there"))?;
    Ok(json_answer(&json!({ "user_id": owner })))
}

fn in_path(request: &WholeRequest) -> Result<&str, ApiError> {
    let [handle] = &request.args[..] else { return Err(ApiError::invalid_param("a handle is needed")) };
    Ok(handle)
}
