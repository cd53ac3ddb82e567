//! Address books, matched without being handed over. The protocol is in `libs/matching-rs`.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header};
use linkspan_address_book::wire::{Buckets, Evaluate, decode_element, encode_element, write_bucket};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, now_ts};
use serde_json::json;

pub(crate) async fn get_matching_parameters(
    app: App,
    _: User,
    _: WholeRequest,
) -> Result<Response, ApiError> {
    Ok(json_answer(&json!(app.matching.parameters().await?)))
}

pub(crate) async fn evaluate_addresses(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Evaluate { version, elements } = request.json()?;
    let elements = elements.iter().enumerate().map(|(at, element)| {
        let wrong = |_| ApiError::invalid_param(format!("element {at} is not 32 bytes in unpadded base64"));
        decode_element(element).map_err(wrong)
    });
    let elements = elements.collect::<Result<Vec<_>, _>>()?;
    let evaluated = app.matching.evaluate(&caller.user_id, version, &elements, now_ts()).await?;
    let elements: Vec<_> = evaluated.iter().map(encode_element).collect();
    Ok(json_answer(&json!({ "elements": elements })))
}

pub(crate) async fn get_matching_buckets(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Buckets { version, bucket_bits, buckets } = request.json()?;
    let contents = app.matching.buckets(&caller.user_id, version, bucket_bits, &buckets, now_ts()).await?;
    let mut body = Vec::new();
    contents.iter().for_each(|entries| write_bucket(&mut body, entries));
    let mut response = Response::new(Body::from(body));
    let binary = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, binary);
    Ok(response)
}
