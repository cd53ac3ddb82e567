//! Simplified sliding sync, in the shape that was specified and in the one that clients had before.

mod shapes;
mod stable;
mod unstable;

use axum::response::Response;
use linkspan_sync::{Pos, SlidingRequest, SlidingResponse};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_response, now_ts};
use serde::Serialize;

use crate::endpoints::presence::begin_waiting;

/// The greatest length of a connection's name and of a list's, in bytes.
const MAX_NAME_BYTES: usize = 255;

pub(crate) async fn sliding_sync_unstable(
    app: App,
    user: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let query = unstable::query(request.parts.uri.query().unwrap_or_default())?;
    let body: unstable::Body = request.json()?;
    // It would hold the buffer that it was read to for as long as the client waits.
    drop(request);
    let txn_id = body.txn_id.clone();
    let _waiting = begin_waiting(&app, &user, query.set_presence.as_ref()).await?;
    let command = body.into_request(&user, query)?;
    let response = answer(&app, &command).await?;
    respond(&unstable::Response::new(response, txn_id))
}

pub(crate) async fn sliding_sync(app: App, user: User, request: WholeRequest) -> Result<Response, ApiError> {
    let body: stable::Body = request.json()?;
    drop(request);
    let _waiting = begin_waiting(&app, &user, body.set_presence.as_ref()).await?;
    let command = body.into_request(&user)?;
    let response = answer(&app, &command).await?;
    respond(&stable::Response::new(response))
}

async fn answer(app: &App, command: &SlidingRequest) -> Result<SlidingResponse, ApiError> {
    let names = command.lists.keys().chain([&command.conn_id]);
    if names.into_iter().any(|name| name.len() > MAX_NAME_BYTES) {
        return Err(ApiError::invalid_param("the name of a connection or a list is too long"));
    }
    Ok(app.sync.sliding_sync(command, now_ts).await?)
}

/// Reads the token of a connection. Any other text counts as the token of a connection that is not known.
fn pos(text: Option<&str>) -> Result<Option<Pos>, ApiError> {
    text.map(str::parse).transpose().map_err(|_| linkspan_sync::SyncError::UnknownPos.into())
}

fn respond(body: &impl Serialize) -> Result<Response, ApiError> {
    Ok(json_response(serde_json::to_vec(body).map_err(|error| ApiError::internal(&error))?))
}
