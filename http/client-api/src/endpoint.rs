//! What an endpoint is, and how its function becomes a route.

use std::{borrow::Cow, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response};
use bytes::BytesMut;
use futures_util::future::Either;
use http::{Method, Uri};
use http_body_util::{BodyExt, Limited};
use linkspan_domain::MAX_DEPTH;
use linkspan_platforms::{Platform, RateClass};
use linkspan_storage::{AnswerPending, Unanswered};
use percent_encoding::percent_decode_str;
use ruma::api::{
    IncomingRequest, IncomingRequestExt, OutgoingResponse, OutgoingResponseExt, error::ErrorKind,
    path_builder::PathBuilder,
};

use serde::de::IgnoredAny;

use crate::{
    App,
    caller::{Caller, RequestHead},
    error::ApiError,
    router::json_response,
};

/// The greatest body of a request that is not an upload, in bytes.
pub(crate) const BODY_BYTES: usize = 2 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Anybody,
    /// Anybody; a valid access token shows more.
    MaybeUser,
    /// Who has an access token of the platform that is addressed.
    User,
}

/// An endpoint, as the table lists it.
#[derive(Clone, Copy, Debug)]
pub struct EndpointInfo {
    /// The function.
    pub name: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// One of its paths, the newest stable one where there is one; `{name}` stands for a parameter.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether guests may call it where a user may.
    pub open_to_guests: bool,
    /// The section of the specification.
    pub spec: &'static str,
}

/// Stands in the extensions of a request to an endpoint that is open to guests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenToGuests;

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;
pub(crate) type Run = Arc<dyn Fn(App, Arc<Platform>, Request) -> Answer + Send + Sync>;

/// An endpoint with what it takes to serve it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) info: EndpointInfo,
    pub(crate) method: Method,
    pub(crate) paths: Vec<&'static str>,
    pub(crate) run: Run,
    /// It need not run to its end if the client goes away.
    pub(crate) may_be_dropped: bool,
}

impl Endpoint {
    /// Nobody misses the rest of it if the client goes away meanwhile.
    pub(crate) fn may_be_dropped(mut self) -> Self {
        self.may_be_dropped = true;
        self
    }

    /// Lets guests call it, too. What answers instead of it because of [`Self::with_parameter`] stays closed to them if
    /// that comes after.
    pub(crate) fn open_to_guests(mut self) -> Self {
        let run = self.run;
        self.run = Arc::new(move |app, platform, mut request: Request| {
            request.extensions_mut().insert(OpenToGuests);
            run(app, platform, request)
        });
        self.info.open_to_guests = true;
        self
    }

    /// Has `other` answer where the query has a parameter.
    pub(crate) fn with_parameter(mut self, parameter: &'static str, other: Self) -> Self {
        let (run, with) = (self.run, other.run);
        self.run = Arc::new(move |app, platform, request: Request| {
            let query = request.uri().query().unwrap_or_default();
            let has = query.split('&').any(|pair| pair.split('=').next() == Some(parameter));
            if has { with(app, platform, request) } else { run(app, platform, request) }
        });
        self
    }

    /// Takes parameters of the query under an earlier name, too: `(earlier, name)`.
    pub(crate) fn also_named(mut self, names: &'static [(&'static str, &'static str)]) -> Self {
        let run = self.run;
        self.run = Arc::new(move |app, platform, mut request: Request| {
            if let Some(uri) = renamed(request.uri(), names) {
                *request.uri_mut() = uri;
            }
            run(app, platform, request)
        });
        self
    }

    /// The same endpoint at one more path.
    pub(crate) fn also_at(mut self, path: &'static str) -> Self {
        self.paths.push(path);
        self
    }
}

/// The endpoint of a ruma request type `R`, called by `C`.
pub(crate) fn endpoint<C, R, F, Fut>(function: F, rate_class: RateClass, spec: &'static str) -> Endpoint
where
    C: Caller + 'static,
    R: IncomingRequest + Send + 'static,
    F: Fn(App, C, R) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<R::OutgoingResponse, ApiError>> + Send + 'static,
{
    let run: Run = Arc::new(move |app, platform, request| {
        let function = function.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let head = RequestHead { platform: &platform, parts: &parts, rate_class };
            let caller = C::prove(&app, &head).await?;
            let request_of_caller = unanswered(&mut parts, &caller);
            let path_args = path_args(&mut parts)?;
            let body = read_body(body, BODY_BYTES).await?;
            if !body.is_empty() {
                // Whoever sends it slowly may have been logged out since.
                caller.check_still_holds(&app).await?;
            }
            let request = parse::<R>(parts, &path_args, &body)?;
            let response = run_for(request_of_caller, function(app, caller, request)).await?;
            respond(response)
        })
    });
    let paths: Vec<_> = R::PATH_BUILDER.all_paths().collect();
    let path =
        *paths.iter().rfind(|path| path.contains("/v")).or(paths.last()).expect("an endpoint has a path");
    Endpoint {
        info: info::<F>(R::METHOD.clone(), path, C::ACCESS, spec),
        may_be_dropped: R::METHOD == Method::GET,
        method: R::METHOD,
        paths,
        run,
    }
}

/// An endpoint that reads the request and writes the response itself.
pub(crate) fn raw_endpoint<C, F, Fut>(
    method: Method,
    paths: &[&'static str],
    function: F,
    rate_class: RateClass,
    spec: &'static str,
) -> Endpoint
where
    C: Caller + 'static,
    F: Fn(App, C, Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let run: Run = Arc::new(move |app, platform, request| {
        let function = function.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let head = RequestHead { platform: &platform, parts: &parts, rate_class };
            let caller = C::prove(&app, &head).await?;
            let request_of_caller = unanswered(&mut parts, &caller);
            run_for(request_of_caller, function(app, caller, Request::from_parts(parts, body))).await
        })
    });
    let path = *paths.last().expect("an endpoint has a path");
    Endpoint {
        info: info::<F>(method.clone(), path, C::ACCESS, spec),
        may_be_dropped: method == Method::GET,
        method,
        paths: paths.to_vec(),
        run,
    }
}

/// The request as what it commits is to carry it; None: it is not one that writes on behalf of a user.
fn unanswered(parts: &mut http::request::Parts, caller: &impl Caller) -> Option<Unanswered> {
    let answer = parts.extensions.remove::<AnswerPending>()?;
    Some(Unanswered::new(caller.user_id()?.clone(), answer))
}

/// Runs an endpoint's function as a part of a request.
fn run_for<F: Future>(request: Option<Unanswered>, function: F) -> impl Future<Output = F::Output> {
    match request {
        Some(request) => Either::Left(request.run(function)),
        None => Either::Right(function),
    }
}

/// The address with parameters of its query renamed; None: there are none to rename.
fn renamed(uri: &Uri, names: &[(&str, &str)]) -> Option<Uri> {
    let query = uri.query()?;
    if !names.iter().any(|(earlier, _)| query.contains(earlier)) {
        return None;
    }
    let rename = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = names.iter().find(|(earlier, _)| *earlier == key).map_or(key, |(_, name)| name);
        format!("{name}={value}")
    };
    let query = query.split('&').map(rename).collect::<Vec<_>>().join("&");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", uri.path()).parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn info<F>(method: Method, path: &'static str, access: Access, spec: &'static str) -> EndpointInfo {
    let name = std::any::type_name::<F>();
    let name = name.rsplit("::").find(|part| *part != "{{closure}}").unwrap_or(name);
    let method = match method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    };
    EndpointInfo { name, method, path, access, open_to_guests: false, spec }
}

/// The parameters in the path as they stand there; the router puts them into a request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct PathArgs(pub(crate) Vec<String>);

/// The parameters in the path, percent-decoded.
pub(crate) fn path_args(parts: &mut http::request::Parts) -> Result<Vec<String>, ApiError> {
    let PathArgs(args) = parts.extensions.remove().unwrap_or(PathArgs(Vec::new()));
    let decode = |arg: String| match percent_decode_str(&arg).decode_utf8() {
        Ok(Cow::Borrowed(_)) => Ok(arg),
        Ok(Cow::Owned(decoded)) => Ok(decoded),
        Err(_) => Err(ApiError::bad_request(ErrorKind::InvalidParam, "the path is not UTF-8")),
    };
    args.into_iter().map(decode).collect()
}

/// The whole body, at most `limit` bytes of it.
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<bytes::Bytes, ApiError> {
    let too_slow = |_| {
        ApiError::new(
            http::StatusCode::REQUEST_TIMEOUT,
            ErrorKind::Unknown,
            "the request's body came too slowly",
        )
    };
    let collected =
        tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await.map_err(too_slow)?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ApiError::new(
            http::StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::TooLarge,
            format!("the request has more than {limit} bytes"),
        )),
        Err(error) => Err(ApiError::bad_request(ErrorKind::Unknown, error.to_string())),
    }
}

pub(crate) fn parse<R: IncomingRequest>(
    parts: http::request::Parts,
    args: &[String],
    body: &[u8],
) -> Result<R, ApiError> {
    // Many clients send nothing where the specification has an object without required fields.
    let body = if body.is_empty() && R::METHOD != Method::GET { b"{}" } else { body };
    if R::METHOD != Method::GET {
        check_object(body)?;
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let attempt =
        |parts, body: &[u8]| R::try_from_http_request(http::Request::from_parts(parts, body), &args);
    // Some clients say null where they mean nothing.
    let without_nulls = without_nulls(body).map(|body| (parts.clone(), body));
    attempt(parts, body).or_else(|error| {
        let second = without_nulls.and_then(|(parts, body)| attempt(parts, &body).ok());
        second.ok_or_else(|| ApiError::from_parse(&error, body))
    })
}

/// The object without its members that are null; None if it has none.
fn without_nulls(body: &[u8]) -> Option<Vec<u8>> {
    if !body.windows(4).any(|window| window == b"null") {
        return None;
    }
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    let members = object.len();
    object.retain(|_, value| !value.is_null());
    (object.len() < members).then(|| serde_json::to_vec(&object).ok()).flatten()
}

/// The JSON body of a request that ruma has no type for.
pub(crate) async fn read_json<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let body = read_body(request.into_body(), BODY_BYTES).await?;
    check_object(&body)?;
    serde_json::from_slice(&body).map_err(|error| ApiError::from_json(&error, &body))
}

/// Refuses a body that is not a JSON object, or one that is nested so deep that those who are given what is in it could
/// not read it. serde by itself takes lists for structs, and what it skips it does not look at.
pub(crate) fn check_object(body: &[u8]) -> Result<(), ApiError> {
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

/// A JSON answer to a request that ruma has no type for.
pub(crate) fn json_answer(body: &serde_json::Value) -> Response {
    json_response(body.to_string().into_bytes())
}

pub(crate) fn respond(response: impl OutgoingResponse) -> Result<Response, ApiError> {
    let response =
        response.try_into_http_response::<BytesMut>().map_err(|error| ApiError::internal(&error))?;
    Ok(response.map(|body| Body::from(body.freeze())))
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
