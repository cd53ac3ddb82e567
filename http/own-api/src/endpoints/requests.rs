//! Message requests: invitations that wait until the caller has looked at them.

use axum::response::Response;
use linkspan_rooms::{MAX_PREVIEW, MessageRequest};
use linkspan_storage::Position;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, now_ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::room_id_of;

/// The most requests of a page.
const PAGE: usize = 100;

#[derive(Deserialize)]
struct Query {
    from: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list_requests(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { from, limit } = request.query()?;
    let before = from.map(|from| from.parse().map(Position::from_u64)).transpose();
    let before = before.map_err(|_| ApiError::invalid_param("from is not a token of this list"))?;
    let (before, limit) = (before.unwrap_or(Position::PENDING), limit.unwrap_or(PAGE).clamp(1, PAGE));
    let page = app.rooms.list_requests(&caller.user_id, before, limit).await?;
    let next = page.last().filter(|_| page.len() == limit).map(|request| request.position.to_string());
    let requests: Vec<Value> = page.into_iter().map(to_wire).collect();
    let mut answer = json!({ "requests": requests });
    if let Some(next) = next {
        answer["next_batch"] = next.into();
    }
    Ok(json_answer(&answer))
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
    let Query { limit, .. } = request.query()?;
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
