//! Previews of the pages that people link to.
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url>

use axum::{extract::Query, response::Response};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_response, now_ts};
use ruma::api::error::ErrorKind;
use serde::Deserialize;

/// The query. It has no `ts`, which asks for a version of the page: the specification promises none, and none
/// are kept.
#[derive(Deserialize)]
struct Page {
    url: String,
}

pub(crate) async fn preview_url(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let Query(Page { url }) = Query::try_from_uri(&request.parts.uri)
        .map_err(|error| ApiError::bad_request(ErrorKind::MissingParam, error.body_text()))?;
    let preview = app.media.preview_url(&caller.user_id, &url, now_ts()).await?;
    Ok(json_response(preview.as_bytes().to_vec()))
}
