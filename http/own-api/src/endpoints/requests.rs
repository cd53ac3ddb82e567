//! Message requests: invitations that wait until the caller has looked at them.

use axum::response::Response;
use linkspan_rooms::{MAX_PREVIEW, MessageRequest};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, now_ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::room_id_of;

/// The most requests that are listed, the newest first. Those that are answered make room for others.
const MAX_LISTED: usize = 100;

#[derive(Deserialize)]
struct Query {
    limit: Option<usize>,
}

pub(crate) async fn list_requests(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let requests = app.rooms.list_requests(&caller.user_id, MAX_LISTED).await?;
    let requests: Vec<Value> = requests.into_iter().map(to_wire).collect();
    Ok(json_answer(&json!({ "requests": requests })))
}

fn to_wire(request: MessageRequest) -> Value {
    let state = request.stripped_state.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    json!({
        "room_id": request.room_id,
        "sender": request.sender,
        "is_direct": request.is_direct,
        "invite_state": state.collect::<Vec<_>>(),
    })
}

pub(crate) async fn preview_request(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { limit } = request.query()?;
    let (room_id, limit) = (room_id_of(&request)?, limit.unwrap_or(MAX_PREVIEW));
    let events = app.rooms.preview_request(&caller.user_id, &room_id, limit, caller.reader()).await?;
    let events = events.iter().filter_map(|event| serde_json::from_str::<Value>(event.get()).ok());
    Ok(json_answer(&json!({ "chunk": events.collect::<Vec<_>>() })))
}

pub(crate) async fn accept_request(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    app.rooms.accept_request(&caller.user_id, &room_id_of(&request)?, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn delete_request(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    app.rooms.delete_request(&caller.user_id, &room_id_of(&request)?).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn block_request(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    app.rooms.block_request(&caller.user_id, &room_id_of(&request)?).await?;
    Ok(json_answer(&json!({})))
}
