//! How answers that are JSON are made.

use axum::{body::Body, response::Response};
use bytes::BytesMut;
use http::{HeaderValue, header};
use ruma::api::{OutgoingResponse, OutgoingResponseExt};

use crate::ApiError;

/// An answer whose body is already JSON.
pub fn json_response(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A JSON answer to a request that ruma has no type for.
pub fn json_answer(body: &serde_json::Value) -> Response {
    json_response(body.to_string().into_bytes())
}

/// The answer of a ruma type.
pub fn respond(response: impl OutgoingResponse) -> Result<Response, ApiError> {
    let response =
        response.try_into_http_response::<BytesMut>().map_err(|error| ApiError::internal(&error))?;
    Ok(response.map(|body| Body::from(body.freeze())))
}
