//! Those whom the caller blocks: the list that clients keep as `m.ignored_user_list`, name by name.

use axum::response::Response;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer};
use serde_json::json;

use super::user_id_of;

pub(crate) async fn list_blocks(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let blocked = app.rooms.ignored_users(&caller.user_id).await?;
    let mut blocked: Vec<_> = blocked.iter().collect();
    blocked.sort();
    Ok(json_answer(&json!({ "blocked": blocked })))
}

pub(crate) async fn block_user(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    app.accounts.set_ignored(&caller.user_id, &user_id_of(&request)?, true).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn unblock_user(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    app.accounts.set_ignored(&caller.user_id, &user_id_of(&request)?, false).await?;
    Ok(json_answer(&json!({})))
}
