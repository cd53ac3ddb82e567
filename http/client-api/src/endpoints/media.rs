//! Uploads, downloads and thumbnails of media. Contents are streamed, and never held as a whole.

use std::{ops::Range, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use linkspan_media::{Description, MediaFile, ThumbnailMethod, ThumbnailRequest, clean_filename};
use linkspan_platforms::Network;
use linkspan_wire::{
    ApiError, App, MaybeUser, Pace, User, WholeRequest, address_of, json_response, now_ts, parse_query,
    path_args, respond, streamed_content,
};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName, UInt,
    api::{
        client::{authenticated_media, media},
        error::ErrorKind,
    },
    http_headers::{ContentDisposition, ContentDispositionType},
};
use serde::Deserialize;

pub(crate) const UPLOAD_PATHS: &[&str] =
    &["/_matrix/media/r0/upload", "/_matrix/media/v1/upload", "/_matrix/media/v3/upload"];
pub(crate) const UPLOAD_TO_PATHS: &[&str] = &[
    "/_matrix/media/unstable/fi.mau.msc2246/upload/{server_name}/{media_id}",
    "/_matrix/media/v3/upload/{server_name}/{media_id}",
];
pub(crate) const DOWNLOAD_PATHS: &[&str] = &[
    "/_matrix/client/unstable/org.matrix.msc3916/media/download/{server_name}/{media_id}",
    "/_matrix/client/unstable/org.matrix.msc3916/media/download/{server_name}/{media_id}/{filename}",
    "/_matrix/client/v1/media/download/{server_name}/{media_id}/{filename}",
    "/_matrix/client/v1/media/download/{server_name}/{media_id}",
];
pub(crate) const THUMBNAIL_PATHS: &[&str] = &[
    "/_matrix/client/unstable/org.matrix.msc3916/media/thumbnail/{server_name}/{media_id}",
    "/_matrix/client/v1/media/thumbnail/{server_name}/{media_id}",
];
pub(crate) const LEGACY_DOWNLOAD_PATHS: &[&str] = &[
    "/_matrix/media/r0/download/{server_name}/{media_id}",
    "/_matrix/media/r0/download/{server_name}/{media_id}/{filename}",
    "/_matrix/media/v1/download/{server_name}/{media_id}",
    "/_matrix/media/v1/download/{server_name}/{media_id}/{filename}",
    "/_matrix/media/v3/download/{server_name}/{media_id}/{filename}",
    "/_matrix/media/v3/download/{server_name}/{media_id}",
];
pub(crate) const LEGACY_THUMBNAIL_PATHS: &[&str] = &[
    "/_matrix/media/r0/thumbnail/{server_name}/{media_id}",
    "/_matrix/media/v1/thumbnail/{server_name}/{media_id}",
    "/_matrix/media/v3/thumbnail/{server_name}/{media_id}",
];

/// How long a download waits for a content that has not come yet, unless the client says otherwise.
const WAIT_MS: u64 = 20_000;

/// The types that browsers may show by themselves. Contents of other types are offered for saving only.
/// <https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content>
const INLINE_TYPES: [&str; 26] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];

pub(crate) async fn upload(app: App, user: User, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let description = description(&parts)?;
    let uri = app.media.upload(&user.user_id, description, content(body), now_ts()).await?;
    respond(media::create_content::v3::Response::new(uri))
}

pub(crate) async fn create_media(
    app: App,
    user: User,
    _: media::create_mxc_uri::v1::Request,
) -> Result<media::create_mxc_uri::v1::Response, ApiError> {
    let (uri, expires_ts) = app.media.create(&user.user_id, now_ts()).await?;
    let mut response = media::create_mxc_uri::v1::Response::new(uri);
    response.unused_expires_at = UInt::new(expires_ts).map(MilliSecondsSinceUnixEpoch);
    Ok(response)
}

pub(crate) async fn upload_to(app: App, user: User, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let address = MediaAddress::of(path_args(&mut parts)?)?;
    let description = description(&parts)?;
    let place = (&*address.server_name, address.media_id.as_str());
    app.media.upload_to(&user.user_id, place, description, content(body), now_ts()).await?;
    Ok(json_response(b"{}".to_vec()))
}

pub(crate) async fn get_config(
    app: App,
    user: User,
    _: authenticated_media::get_media_config::v1::Request,
) -> Result<authenticated_media::get_media_config::v1::Response, ApiError> {
    let limit = app.media.upload_limit(user.platform.server_name())?;
    Ok(authenticated_media::get_media_config::v1::Response::new(UInt::new_saturating(limit)))
}

#[allow(deprecated)]
pub(crate) async fn get_legacy_config(
    app: App,
    user: User,
    _: media::get_media_config::v3::Request,
) -> Result<media::get_media_config::v3::Response, ApiError> {
    let limit = app.media.upload_limit(user.platform.server_name())?;
    Ok(media::get_media_config::v3::Response::new(UInt::new_saturating(limit)))
}

pub(crate) async fn download(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let WholeRequest { parts, args, .. } = request;
    let address = MediaAddress::of(args)?;
    let answer = send_original(&app, address, &parts).await;
    // It may have waited for an upload.
    caller.check_still_holds(&app).await?;
    answer
}

pub(crate) async fn get_thumbnail(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let WholeRequest { parts, args, .. } = request;
    let address = MediaAddress::of(args)?;
    let asker = (caller.platform.server_name().as_ref(), caller.user_id.as_str());
    let answer = send_thumbnail(&app, asker, address, &parts).await;
    caller.check_still_holds(&app).await?;
    answer
}

/// Sends a content at the paths from before version 1.11, which asked for no authentication. Some clients
/// send their token there, and get what they get elsewhere. Without a token, media are served only where
/// their platform allows it.
pub(crate) async fn download_legacy(
    app: App,
    caller: MaybeUser,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let WholeRequest { parts, args, .. } = request;
    let address = MediaAddress::of(args)?;
    check_legacy(&app, &caller, &address, &parts.uri)?;
    send_original(&app, address, &parts).await
}

/// Sends a thumbnail at the same old paths, under the same conditions as [`download_legacy`].
pub(crate) async fn get_legacy_thumbnail(
    app: App,
    caller: MaybeUser,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let WholeRequest { parts, args, .. } = request;
    let address = MediaAddress::of(args)?;
    check_legacy(&app, &caller, &address, &parts.uri)?;
    let who = match &caller.user {
        Some(user) => user.user_id.to_string(),
        None => Network::of(address_of(&parts.extensions)).to_string(),
    };
    send_thumbnail(&app, (caller.platform.server_name(), &who), address, &parts).await
}

fn check_legacy(app: &App, caller: &MaybeUser, address: &MediaAddress, uri: &Uri) -> Result<(), ApiError> {
    let query: DownloadQuery = parse_query(uri)?;
    // To this platform the others are remote servers.
    let is_remote = address.server_name != *caller.platform.server_name();
    if is_remote && query.allow_remote == Some(false) {
        return Err(ApiError::not_found("this would be fetched from another server"));
    }
    let platform = app.platforms.get(&address.server_name);
    if caller.user.is_some() || platform.is_some_and(|platform| platform.settings.legacy_media) {
        Ok(())
    } else {
        Err(ApiError::not_found("media are served to authenticated users only"))
    }
}

async fn send_original(app: &App, address: MediaAddress, parts: &Parts) -> Result<Response, ApiError> {
    let query: DownloadQuery = parse_query(&parts.uri)?;
    let MediaAddress { server_name, media_id, filename } = address;
    let mut file = app.media.open(&server_name, &media_id, query.wait(), now_ts()).await?;
    if let Some(filename) = filename.as_deref().and_then(clean_filename) {
        file.filename = Some(filename);
    }
    send(&file, &parts.method, &parts.headers).await
}

/// Sends a thumbnail to somebody: a user, or a network, of a platform.
async fn send_thumbnail(
    app: &App,
    asker: (&ServerName, &str),
    address: MediaAddress,
    parts: &Parts,
) -> Result<Response, ApiError> {
    let wait = parse_query::<DownloadQuery>(&parts.uri)?.wait();
    let wanted = parse_query::<ThumbnailQuery>(&parts.uri)?.into_request()?;
    let MediaAddress { server_name, media_id, .. } = address;
    let file = app.media.thumbnail(asker, &server_name, &media_id, wanted, wait, now_ts()).await?;
    send(&file, &parts.method, &parts.headers).await
}

// What comes in

/// The content that a path names.
struct MediaAddress {
    server_name: OwnedServerName,
    media_id: String,
    filename: Option<String>,
}

impl MediaAddress {
    fn of(args: Vec<String>) -> Result<Self, ApiError> {
        let mut args = args.into_iter();
        let server_name = args.next().unwrap_or_default();
        let server_name =
            ServerName::parse(server_name).map_err(|error| ApiError::invalid_param(error.to_string()))?;
        Ok(Self { server_name, media_id: args.next().unwrap_or_default(), filename: args.next() })
    }
}

#[derive(Deserialize)]
struct UploadQuery {
    filename: Option<String>,
}

#[derive(Deserialize)]
struct DownloadQuery {
    timeout_ms: Option<u64>,
    allow_remote: Option<bool>,
}

impl DownloadQuery {
    fn wait(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.unwrap_or(WAIT_MS))
    }
}

/// The query of a thumbnail. It has no `animated`: a still thumbnail is always allowed.
#[derive(Deserialize)]
struct ThumbnailQuery {
    width: Option<u64>,
    height: Option<u64>,
    method: Option<String>,
}

impl ThumbnailQuery {
    fn into_request(self) -> Result<ThumbnailRequest, ApiError> {
        let (Some(width), Some(height)) = (self.width, self.height) else {
            return Err(ApiError::bad_request(ErrorKind::MissingParam, "width and height are needed"));
        };
        let pixels = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let method = match self.method.as_deref() {
            Some("crop") => ThumbnailMethod::Crop,
            _ => ThumbnailMethod::Scale,
        };
        Ok(ThumbnailRequest { width: pixels(width), height: pixels(height), method })
    }
}

fn description(parts: &Parts) -> Result<Description, ApiError> {
    let header = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    Ok(Description {
        content_type: header(header::CONTENT_TYPE).map(str::to_owned),
        filename: parse_query::<UploadQuery>(&parts.uri)?.filename,
        size_bytes: header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
    })
}

/// A body as a stream that fails when it pauses for too long.
fn content(body: Body) -> impl Stream<Item = Result<Bytes, String>> + Send + 'static {
    futures_util::stream::unfold(Some((body, Pace::begin())), |reading| async {
        let (mut body, mut pace) = reading?;
        match pace.next(&mut body).await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some((body, pace)))),
            Ok(None) => None,
            Err(error) => Some((Err(error.to_string()), None)),
        }
    })
}

// What goes out

/// How long clients may keep a content that does not go before: a year, in seconds.
const CACHED_S: u64 = 31_536_000;

/// Answers with the whole content or a range of it, or says that the client has it already.
async fn send(file: &MediaFile, method: &Method, headers: &HeaderMap) -> Result<Response, ApiError> {
    let etag = format!("\"{}\"", file.tag);
    let size = file.size_bytes;
    if names_etag(headers, &etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        add_cache_headers(response.headers_mut(), &etag, file, now_ts());
        return Ok(response);
    }
    let asked = if method == Method::GET { asked_range(headers, &etag, size) } else { Asked::Whole };
    let (status, range) = match asked {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Range(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Unsatisfiable => return Ok(unsatisfiable(size)),
    };
    let body = match *method == Method::HEAD {
        true => Body::empty(),
        false => streamed_content(file.read(range.clone()).await?),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let to = response.headers_mut();
    add_cache_headers(to, &etag, file, now_ts());
    add_content_headers(to, file);
    to.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        insert(to, header::CONTENT_RANGE, &format!("bytes {}-{}/{size}", range.start, range.end - 1));
    }
    Ok(response)
}

/// A content never changes, and is kept for as long as it is there.
fn add_cache_headers(to: &mut HeaderMap, etag: &str, file: &MediaFile, now_ts: u64) {
    insert(to, header::ETAG, etag);
    let left_s = file.expires_ts.map_or(CACHED_S, |expires_ts| expires_ts.saturating_sub(now_ts) / 1000);
    let max_age_s = left_s.min(CACHED_S);
    insert(to, header::CACHE_CONTROL, &format!("private, max-age={max_age_s}, immutable"));
}

/// <https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content>
fn add_content_headers(to: &mut HeaderMap, file: &MediaFile) {
    let content_type = file.content_type.as_deref().unwrap_or("application/octet-stream");
    insert(to, header::CONTENT_TYPE, content_type);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let kind = match INLINE_TYPES.contains(&essence) {
        true => ContentDispositionType::Inline,
        false => ContentDispositionType::Attachment,
    };
    let disposition = ContentDisposition::new(kind).with_filename(file.filename.clone());
    insert(to, header::CONTENT_DISPOSITION, &disposition.to_string());
    insert(
        to,
        header::CONTENT_SECURITY_POLICY,
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
         style-src 'unsafe-inline'; object-src 'self';",
    );
    insert(to, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    insert(to, http::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin");
    insert(to, header::ACCEPT_RANGES, "bytes");
}

fn insert(to: &mut HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        to.insert(name, value);
    }
}

fn unsatisfiable(size: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

/// Whether the client says that it has this content.
fn names_etag(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag == etag)
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Range(Range<u64>),
    Unsatisfiable,
}

/// The part that is asked for. A range that is malformed, of another unit or of several parts means the whole
/// (RFC 9110, section 14.2).
fn asked_range(headers: &HeaderMap, etag: &str, size: u64) -> Asked {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if headers.contains_key(header::IF_RANGE) && text(header::IF_RANGE) != Some(etag) {
        return Asked::Whole;
    }
    let range = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else { return Asked::Whole };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Asked::Whole,
    };
    if range.start < range.end { Asked::Range(range) } else { Asked::Unsatisfiable }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;
    use linkspan_media::{Media, MediaStore};
    use linkspan_platforms::{Platforms, Settings};
    use linkspan_storage::{Memory, Store};
    use ruma::user_id;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn ranges_are_understood() {
        let asked = |range: &str| asked_range(&headers(&[("range", range)]), "\"t\"", 10);
        assert_eq!(asked("bytes=0-3"), Asked::Range(0..4));
        assert_eq!(asked("bytes=3-"), Asked::Range(3..10));
        assert_eq!(asked("bytes=-3"), Asked::Range(7..10));
        assert_eq!(asked("bytes=-30"), Asked::Range(0..10));
        assert_eq!(asked("bytes=5-500"), Asked::Range(5..10));
        assert_eq!(asked("bytes=0-18446744073709551615"), Asked::Range(0..10));
        for none in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(asked(none), Asked::Unsatisfiable, "{none}");
        }
        for whole in ["bytes=3-1", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "bytes=", "bytes=-", "0-1"] {
            assert_eq!(asked(whole), Asked::Whole, "{whole}");
        }
        let if_range =
            |tag: &str| asked_range(&headers(&[("range", "bytes=0-3"), ("if-range", tag)]), "\"t\"", 10);
        assert_eq!(if_range("\"t\""), Asked::Range(0..4));
        assert_eq!(if_range("\"other\""), Asked::Whole);
    }

    async fn file(content_type: &str, filename: Option<&str>) -> MediaFile {
        let store = Store::in_memory(Memory::new().expect("store"));
        let settings = serde_json::json!({ "name": "insta", "server_name": "insta.example" });
        let settings: Settings = serde_json::from_value(settings).expect("settings");
        let platforms = Platforms::open(&store, vec![settings], 1).await.expect("platforms");
        let media = Media::new(store, Arc::new(platforms), MediaStore::in_memory());
        let description = Description {
            content_type: Some(content_type.to_owned()),
            filename: filename.map(str::to_owned),
            size_bytes: None,
        };
        let content = futures_util::stream::iter([Ok::<_, String>(Bytes::from_static(b"0123456789"))]);
        let uri = media.upload(user_id!("@anna:insta.example"), description, content, 1).await.expect("up");
        let (server_name, media_id) = uri.parts().expect("a URI");
        media.open(server_name, media_id, Duration::ZERO, 1).await.expect("there")
    }

    async fn sent(
        file: &MediaFile,
        method: Method,
        asked: &[(&'static str, &str)],
    ) -> (StatusCode, HeaderMap, Bytes) {
        let response = send(file, &method, &headers(asked)).await.expect("a response");
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.expect("a body").to_bytes())
    }

    #[tokio::test]
    async fn what_is_to_go_is_cached_until_then_only() {
        let mut file = file("image/png", None).await;
        let mut cached = |expires_ts: Option<u64>| {
            let mut headers = HeaderMap::new();
            file.expires_ts = expires_ts;
            add_cache_headers(&mut headers, "tag", &file, 10_000);
            headers["cache-control"].to_str().expect("text").to_owned()
        };
        for (expires_ts, max_age_s) in [(None, 31_536_000), (Some(19_999), 9), (Some(9_000), 0)] {
            assert_eq!(cached(expires_ts), format!("private, max-age={max_age_s}, immutable"));
        }
    }

    #[tokio::test]
    async fn contents_are_sent_whole_and_in_parts() {
        let file = file("image/png", Some("a \"b\".png")).await;
        let (status, all, body) = sent(&file, Method::GET, &[]).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, &b"0123456789"[..]));
        for (name, value) in [
            ("content-type", "image/png"),
            ("content-length", "10"),
            ("content-disposition", "inline; filename=\"a \\\"b\\\".png\""),
            ("cache-control", "private, max-age=31536000, immutable"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("accept-ranges", "bytes"),
        ] {
            assert_eq!(all[name], value);
        }
        assert!(
            all["content-security-policy"].to_str().expect("text").starts_with("sandbox; default-src 'none'")
        );

        let (status, part, body) = sent(&file, Method::GET, &[("range", "bytes=2-4")]).await;
        assert_eq!((status, &body[..]), (StatusCode::PARTIAL_CONTENT, &b"234"[..]));
        assert_eq!(
            (&part["content-range"], &part["content-length"]),
            (&"bytes 2-4/10".parse().expect("value"), &"3".parse().expect("value"))
        );
        let (status, none, _) = sent(&file, Method::GET, &[("range", "bytes=10-")]).await;
        assert_eq!(
            (status, none["content-range"].as_bytes()),
            (StatusCode::RANGE_NOT_SATISFIABLE, &b"bytes */10"[..])
        );

        let (status, head, body) = sent(&file, Method::HEAD, &[("range", "bytes=2-4")]).await;
        assert_eq!((status, body.len(), head["content-length"].as_bytes()), (StatusCode::OK, 0, &b"10"[..]));

        let etag = all["etag"].to_str().expect("text").to_owned();
        for known in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
            let (status, _, body) = sent(&file, Method::GET, &[("if-none-match", &known)]).await;
            assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
        }
        let (status, ..) = sent(&file, Method::GET, &[("if-none-match", "\"x\"")]).await;
        assert_eq!(status, StatusCode::OK);
    }

    #[tokio::test]
    async fn only_harmless_types_are_shown_inline() {
        for (content_type, filename, sent_type, disposition) in [
            ("text/html", Some("a.html"), "text/html", "attachment; filename=a.html"),
            ("image/svg+xml", None, "image/svg+xml", "attachment"),
            ("TEXT/plain; charset=utf-8", None, "text/plain; charset=utf-8", "inline"),
            ("text/plainx", None, "text/plainx", "attachment"),
            ("no type\r\nX: y", None, "application/octet-stream", "attachment"),
            ("image/png", Some("Ödön.png"), "image/png", "inline; filename*=utf-8''%C3%96d%C3%B6n.png"),
        ] {
            let (_, all, _) = sent(&file(content_type, filename).await, Method::GET, &[]).await;
            assert_eq!(all["content-type"], sent_type);
            assert_eq!(all["content-disposition"], disposition);
        }
    }
}
