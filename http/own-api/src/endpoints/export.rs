//! "Get my data": an archive of what the server has of the caller.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};
use linkspan_export::Session;
use linkspan_wire::{ApiError, App, User, WholeRequest, now_ts};
use ruma::api::client::uiaa::AuthData;
use serde::Deserialize;

#[derive(Deserialize)]
struct Proof {
    auth: Option<AuthData>,
}

/// Whoever has found a session open must not have everything by it, so the caller proves the password again. That takes a
/// body, which a GET does not have.
pub(crate) async fn export_data(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    caller.check_proves_by_password()?;
    let Proof { auth } = request.json()?;
    let (user_id, device_id) = (caller.user_id.clone(), caller.device_id.clone());
    let session = Session { user_id, device_id, token_hash: caller.token_hash };
    let pieces = app.export.begin(session, caller.attempt(auth.as_ref()), now_ts()).await?;
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    let name = HeaderValue::from_static("attachment; filename=\"my-data.zip\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}
