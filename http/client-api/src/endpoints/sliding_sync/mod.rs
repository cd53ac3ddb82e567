//! Simplified sliding sync, in the shape that was specified and in the one that clients had before.

mod shapes;
mod stable;
mod unstable;

use axum::{extract::Request, response::Response};
use linkspan_sync::{Pos, SlidingRequest, SlidingResponse};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    App,
    app::now_ts,
    caller::User,
    endpoint::{BODY_BYTES, check_object, read_body},
    endpoints::presence::begin_waiting,
    error::ApiError,
    router::json_response,
};

/// The greatest length of a connection's name and of a list's, in bytes.
const MAX_NAME_BYTES: usize = 255;

pub(crate) async fn sliding_sync_unstable(
    app: App,
    user: User,
    request: Request,
) -> Result<Response, ApiError> {
    let query = unstable::query(request.uri().query().unwrap_or_default())?;
    let body: unstable::Body = read(request).await?;
    let txn_id = body.txn_id.clone();
    let _waiting = begin_waiting(&app, &user, query.set_presence.as_ref()).await?;
    let command = body.into_request(&user, query)?;
    let response = answer(&app, &command).await?;
    respond(&unstable::Response::new(response, txn_id))
}

pub(crate) async fn sliding_sync(app: App, user: User, request: Request) -> Result<Response, ApiError> {
    let body: stable::Body = read(request).await?;
    let _waiting = begin_waiting(&app, &user, body.set_presence.as_ref()).await?;
    let command = body.into_request(&user)?;
    let response = answer(&app, &command).await?;
    respond(&stable::Response::new(response))
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let body = read_body(request.into_body(), BODY_BYTES).await?;
    check_object(&body)?;
    serde_json::from_slice(&body).map_err(|error| ApiError::from_json(&error, &body))
}

async fn answer(app: &App, command: &SlidingRequest) -> Result<SlidingResponse, ApiError> {
    let names = command.lists.keys().chain([&command.conn_id]);
    if names.into_iter().any(|name| name.len() > MAX_NAME_BYTES) {
        return Err(ApiError::invalid_param("the name of a connection or a list is too long"));
    }
    Ok(app.sync.sliding_sync(command, now_ts).await?)
}

/// A token of a connection; any other text is of a connection that is not known.
fn pos(text: Option<&str>) -> Result<Option<Pos>, ApiError> {
    text.map(str::parse).transpose().map_err(|_| linkspan_sync::SyncError::UnknownPos.into())
}

fn respond(body: &impl Serialize) -> Result<Response, ApiError> {
    Ok(json_response(serde_json::to_vec(body).map_err(|error| ApiError::internal(&error))?))
}
