//! Reading what a request says in its path, its query and its body, within limits.

use std::{borrow::Cow, fmt, net::IpAddr, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::Query,
};
use bytes::Bytes;
use http::{Method, StatusCode, Uri, request::Parts};
use http_body_util::BodyExt;
use linkspan_domain::MAX_DEPTH;
use linkspan_platforms::{Holding, Network, Platform};
use percent_encoding::percent_decode_str;
use ruma::{
    OwnedUserId, UserId,
    api::{IncomingRequest, IncomingRequestExt, error::ErrorKind},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::{Instant, timeout_at};

use crate::{ApiError, address_of};

/// The greatest body of a request that is not an upload, in bytes.
const BODY_BYTES: usize = 2 << 20;
/// The greatest body of somebody who has not logged in, in bytes. The largest that such endpoints are meant for is a list
/// of a few hundred addresses to look up.
const STRANGER_BODY_BYTES: usize = 64 << 10;
/// How long a body may take to bring [`PACE_BYTES`], or its end.
const PACE_TIME: Duration = Duration::from_secs(30);
/// How much of a body has to come in this time, in bytes: 2 KB/s, which phones reach on the edge of their network.
const PACE_BYTES: usize = 64 << 10;
/// How much of a body is not counted as taking up memory, in bytes. A connection has a buffer of this size anyway, and
/// most bodies are smaller.
const UNCOUNTED_BYTES: usize = 8 << 10;

/// Who sends a body, as far as its head has told.
#[derive(Clone, Copy, Debug)]
pub enum Sender<'a> {
    /// A user who has logged in.
    User(&'a UserId),
    /// Somebody at an address.
    Stranger(IpAddr),
}

impl Sender<'_> {
    fn limit(&self) -> usize {
        match self {
            Self::User(_) => BODY_BYTES,
            Self::Stranger(_) => STRANGER_BODY_BYTES,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::User(user_id) => user_id.to_string(),
            Self::Stranger(address) => Network::of(*address).to_string(),
        }
    }
}

/// Why there is no more of a body.
#[derive(Debug)]
pub enum BodyError {
    /// It comes too slowly.
    TooSlow,
    /// The client or the connection is at fault.
    Broken(axum::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSlow => f.write_str("the request's body came too slowly"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, ErrorKind::Unknown, error.to_string())
    }
}

/// Reads a body as it comes, and gives up when it comes too slowly.
#[derive(Debug)]
pub struct Pace {
    until: Instant,
    /// How much has come in this time.
    bytes: usize,
}

impl Pace {
    /// Begins with a body.
    pub fn begin() -> Self {
        Self { until: Instant::now() + PACE_TIME, bytes: 0 }
    }

    /// The next piece of the body, or `None` at its end.
    pub async fn next(&mut self, body: &mut Body) -> Result<Option<Bytes>, BodyError> {
        loop {
            match timeout_at(self.until, body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(BodyError::Broken(error)),
                Ok(Some(Ok(frame))) => {
                    // What else there is are trailers, which nothing here has a use for.
                    if let Ok(piece) = frame.into_data() {
                        self.bytes += piece.len();
                        return Ok(Some(piece));
                    }
                }
                Err(_) if self.bytes < PACE_BYTES => return Err(BodyError::TooSlow),
                Err(_) => *self = Self::begin(),
            }
        }
    }
}

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

/// The whole of a body that has at most `limit` bytes. It takes up room of its platform and its sender as it comes, until
/// it is dropped, and is refused if they have none left.
pub async fn read_body(
    mut body: Body,
    limit: usize,
    platform: &Platform,
    sender: Sender<'_>,
) -> Result<Bytes, ApiError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let mut pace = Pace::begin();
    let mut room: Option<Holding> = None;
    let mut whole = Pieces::default();
    while let Some(piece) = pace.next(&mut body).await? {
        let size = whole.size() + piece.len();
        if size > limit {
            return Err(too_large(limit));
        }
        if size > UNCOUNTED_BYTES {
            room.get_or_insert_with(|| platform.incoming.begin(sender.name())).grow_to(size)?;
        }
        whole.add(piece);
    }
    Ok(match room {
        Some(room) => Bytes::from_owner(Held { bytes: whole.join(), _room: room }),
        None => whole.join(),
    })
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("the request has more than {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message)
}

/// What has come of a body. Most come in one piece, which is not copied.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    /// All of it, if there are several pieces.
    joined: Vec<u8>,
}

impl Pieces {
    fn size(&self) -> usize {
        self.first.len().max(self.joined.len())
    }

    fn add(&mut self, piece: Bytes) {
        if self.size() == 0 {
            self.first = piece;
            return;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&piece);
    }

    fn join(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.into() }
    }
}

/// A body together with the room that it takes up.
struct Held {
    bytes: Bytes,
    _room: Holding,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
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
    /// Reads the body of a request that is not an upload. `user` has sent it, if it is known who has.
    pub(crate) async fn read(
        mut parts: Parts,
        body: Body,
        platform: &Platform,
        user: Option<&OwnedUserId>,
    ) -> Result<Self, ApiError> {
        let args = path_args(&mut parts)?;
        let stranger = || Sender::Stranger(address_of(&parts.extensions));
        let sender = user.map_or_else(stranger, |user_id| Sender::User(user_id));
        let body = read_body(body, sender.limit(), platform, sender).await?;
        Ok(Self { args, body, parts })
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
    use std::sync::Arc;

    use axum::response::IntoResponse;
    use futures_util::{StreamExt, stream};
    use linkspan_platforms::Platforms;
    use linkspan_storage::{Memory, Store};

    use super::*;

    const HERE: Sender<'static> = Sender::Stranger(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    async fn platform() -> Arc<Platform> {
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let settings = serde_json::json!([{ "name": "a", "server_name": "a.localhost" }]);
        let settings = serde_json::from_value(settings).expect("the settings are good");
        let platforms = Platforms::open(&store, settings, 1).await.expect("the platforms open");
        platforms.iter().next().expect("a platform").clone()
    }

    async fn read(body: Body, limit: usize) -> Result<Bytes, StatusCode> {
        let read = read_body(body, limit, &*platform().await, HERE).await;
        read.map_err(|error| error.into_response().status())
    }

    /// Brings a piece of so many bytes after each pause.
    fn pieces(bytes: usize, count: usize, pause: Duration) -> Body {
        let one_by_one = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'a'; bytes]))
        });
        Body::from_stream(one_by_one)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_time_and_a_size() {
        let half = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"half"))]);
        let half = Body::from_stream(half.chain(stream::pending()));
        assert_eq!(read(half, 10).await, Err(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(read(Body::from("eleven byte"), 10).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(read(pieces(6, 2, Duration::ZERO), 10).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(read(Body::from("ten  bytes"), 10).await.expect("it fits"), "ten  bytes");
        assert_eq!(read(pieces(5, 2, Duration::ZERO), 10).await.expect("it fits"), "aaaaaaaaaa");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_may_come_slowly_but_has_to_come() {
        let slow = pieces(16 << 10, 128, Duration::from_secs(6));
        assert_eq!(read(slow, BODY_BYTES).await.expect("it is on its way").len(), BODY_BYTES);
        let too_slow = pieces(16 << 10, 128, Duration::from_secs(10));
        assert_eq!(read(too_slow, BODY_BYTES).await, Err(StatusCode::REQUEST_TIMEOUT));
    }

    #[tokio::test]
    async fn bodies_of_one_sender_take_up_room_until_they_are_dropped() {
        let platform = platform().await;
        let read = || read_body(Body::from(vec![b'a'; BODY_BYTES]), BODY_BYTES, &platform, HERE);
        let mut bodies = Vec::new();
        let refused = loop {
            match read().await {
                Ok(body) => bodies.push(body),
                Err(error) => break error,
            }
        };
        assert_eq!((refused.into_response().status(), bodies.len()), (StatusCode::TOO_MANY_REQUESTS, 8));
        let there = Sender::Stranger([192, 0, 2, 1].into());
        read_body(Body::from(vec![b'a'; BODY_BYTES]), BODY_BYTES, &platform, there)
            .await
            .expect("others have room");
        read_body(Body::from("small"), BODY_BYTES, &platform, HERE)
            .await
            .expect("small ones are not counted");
        bodies.pop();
        read().await.expect("there is room again");
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
