//! Reading what a request says in its path, its query and its body, within limits.

use std::{borrow::Cow, time::Duration};

use axum::{body::Body, extract::Query};
use bytes::Bytes;
use http::{Method, StatusCode, Uri, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use linkspan_domain::MAX_DEPTH;
use percent_encoding::percent_decode_str;
use ruma::api::{IncomingRequest, IncomingRequestExt, error::ErrorKind};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::ApiError;

/// The greatest body of a request that is not an upload, in bytes.
const BODY_BYTES: usize = 2 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The parameters in the path as they stand there. The router puts them into a request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct PathArgs(pub(crate) Vec<String>);

/// The parameters in the path, percent-decoded.
pub fn path_args(parts: &mut Parts) -> Result<Vec<String>, ApiError> {
    let PathArgs(args) = parts.extensions.remove().unwrap_or(PathArgs(Vec::new()));
    let decode = |arg: String| match percent_decode_str(&arg).decode_utf8() {
        Ok(Cow::Borrowed(_)) => Ok(arg),
        Ok(Cow::Owned(decoded)) => Ok(decoded),
        Err(_) => Err(ApiError::invalid_param("the path is not UTF-8")),
    };
    args.into_iter().map(decode).collect()
}

/// The whole of a body that has at most `limit` bytes.
pub async fn read_body(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let too_slow = |_| {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, ErrorKind::Unknown, "the request's body came too slowly")
    };
    let collected =
        tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await.map_err(too_slow)?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::TooLarge,
            format!("the request has more than {limit} bytes"),
        )),
        Err(error) => Err(ApiError::bad_request(ErrorKind::Unknown, error.to_string())),
    }
}

/// A request whose whole body has arrived.
#[derive(Debug)]
pub struct WholeRequest {
    /// The head of the request.
    pub parts: Parts,
    /// The parameters in the path, in their order.
    pub args: Vec<String>,
    /// The body, which may be empty.
    pub body: Bytes,
}

impl WholeRequest {
    /// Reads the body of a request that is not an upload.
    pub(crate) async fn read(mut parts: Parts, body: Body) -> Result<Self, ApiError> {
        Ok(Self { args: path_args(&mut parts)?, body: read_body(body, BODY_BYTES).await?, parts })
    }

    /// The query, where ruma has no type for the request.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        parse_query(&self.parts.uri)
    }

    /// The JSON object in the body, where ruma has no type for the request.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        check_object(&self.body)?;
        serde_json::from_slice(&self.body).map_err(|error| ApiError::from_json(&error, &self.body))
    }

    /// The request as ruma has it. What a client sent wrong is answered with the specification's code for it.
    /// <https://spec.matrix.org/v1.19/client-server-api/#standard-error-response>
    pub fn parse<R: IncomingRequest>(self) -> Result<R, ApiError> {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let attempt =
            |parts, body: &[u8]| R::try_from_http_request(http::Request::from_parts(parts, body), &args);
        let body = json_of(&R::METHOD, &self.body)?;
        // Some clients say null where they mean nothing.
        let second = without_nulls(body).map(|body| (self.parts.clone(), body));
        attempt(self.parts, body).or_else(|error| {
            let second = second.and_then(|(parts, body)| attempt(parts, &body).ok());
            second.ok_or_else(|| ApiError::from_parse(&error, body))
        })
    }
}

/// The body as ruma is to parse it, which is looked at only where requests have one.
fn json_of<'a>(method: &Method, body: &'a [u8]) -> Result<&'a [u8], ApiError> {
    if *method == Method::GET {
        return Ok(body);
    }
    // Many clients send nothing where the specification has an object without required fields.
    let body = if body.is_empty() { b"{}" } else { body };
    check_object(body)?;
    Ok(body)
}

/// The object without its members that are null, or `None` if it has none of these.
fn without_nulls(body: &[u8]) -> Option<Vec<u8>> {
    if !body.windows(4).any(|window| window == b"null") {
        return None;
    }
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    let members = object.len();
    object.retain(|_, value| !value.is_null());
    (object.len() < members).then(|| serde_json::to_vec(&object).ok()).flatten()
}

/// The query of a request that ruma has no type for.
pub fn parse_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    let Query(query) =
        Query::try_from_uri(uri).map_err(|error| ApiError::invalid_param(error.body_text()))?;
    Ok(query)
}

/// Refuses a body that is not a JSON object, or one that is nested so deep that those who are given what is
/// in it could not read it. serde by itself takes lists for structs, and what it skips it does not look at.
pub fn check_object(body: &[u8]) -> Result<(), ApiError> {
    let not_json =
        |error: &dyn std::fmt::Display| ApiError::bad_request(ErrorKind::NotJson, error.to_string());
    let text = std::str::from_utf8(body).map_err(|error| not_json(&error))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| not_json(&error))?;
    if !text.trim_start().starts_with('{') {
        return Err(ApiError::bad_request(ErrorKind::BadJson, "the body is not an object"));
    }
    if depth_of(text) > 1 + MAX_DEPTH {
        let message = format!("the body has more than {MAX_DEPTH} objects and lists in each other");
        return Err(ApiError::bad_request(ErrorKind::BadJson, message));
    }
    Ok(())
}

/// How many objects and lists are in each other, at most, in a text that is JSON.
fn depth_of(json: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Goes on after the end of a JSON string whose beginning was read.
fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use bytes::Bytes;
    use futures_util::{StreamExt, stream};
    use http::StatusCode;

    use super::*;

    async fn refused(body: Body) -> StatusCode {
        read_body(body, 10).await.expect_err("it is refused").into_response().status()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_time_and_a_size() {
        let half = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"half"))]);
        assert_eq!(
            refused(Body::from_stream(half.chain(stream::pending()))).await,
            StatusCode::REQUEST_TIMEOUT
        );
        assert_eq!(refused(Body::from("eleven byte")).await, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(read_body(Body::from("ten  bytes"), 10).await.expect("it fits"), "ten  bytes");
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        for (json, depth) in [
            ("{}", 1),
            (r#"{"a": [[], {"b": []}], "c": [[]]}"#, 4),
            (r#"{"[[[\\\"[[": "{{\\"}"#, 1),
            (r#"{"a\\\\": [[]]}"#, 3),
            (r#"{"\u005b": "[é["}"#, 1),
        ] {
            assert_eq!(depth_of(json), depth, "{json}");
        }
    }

    #[test]
    fn a_body_is_a_json_object() {
        let code = |body: &[u8]| match check_object(body) {
            Ok(()) => "",
            Err(ApiError::Standard { kind: ErrorKind::NotJson, .. }) => "no JSON",
            Err(_) => "no object",
        };
        for good in ["{}", " {\"a\": [1e400, \"\\ud800\"]}\n"] {
            assert_eq!(code(good.as_bytes()), "", "{good}");
        }
        for bad in [&b""[..], b"{", b"{} {}", b"{\"a\": \"\xff\"}", b"\xef\xbb\xbf{}"] {
            assert_eq!(code(bad), "no JSON", "{bad:?}");
        }
        for other in
            ["[]", "[{}]", "null", "\"{}\"", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))]
        {
            assert_eq!(code(other.as_bytes()), "no object");
        }
    }
}
