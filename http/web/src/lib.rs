//! Serves the chat app and the operator's console at each platform's address: the files that `npm run build` makes in `web`, which are part of the
//! program, and what differs between platforms, which is the manifest and the icons.
//!
//! Everything else the app asks of the APIs. Nothing here knows who asks, so nothing here is anybody's secret.

mod encoding;
mod file;
mod icon;
mod manifest;

use std::fmt;

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use linkspan_platforms::{Platform, Platforms};
use linkspan_wire::platform_of;
use xxhash_rust::xxh3::xxh3_128;

pub use file::{BUILT_IN, File};

use encoding::Encoding;
use file::{CONSOLE, IMMUTABLE, INDEX, OF_CONSOLE, content_type};
use icon::{Icon, Icons};

/// What the app may load: its own files, and pictures and sounds that it has decrypted. Its cryptography is WebAssembly.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; connect-src 'self' blob:; \
     worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The headers of every answer.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What the app may ask people for: a camera for QR codes and pictures, a microphone for voice messages, and places.
const PERMISSIONS: &str = "camera=(self), microphone=(self), geolocation=(self), payment=(), usb=(), \
     serial=(), midi=(), display-capture=()";

/// How long a browser may keep a file whose name changes with its content: a year.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// A browser keeps it, and asks each time whether there is something newer.
const ASK_AGAIN: &str = "no-cache";

/// The addresses of the app itself, which all give the same document. Those that end with a slash stand for all
/// addresses below.
const OF_APP: [&str; 12] = [
    "/",
    "/chat/",
    "/new",
    "/new/",
    "/requests",
    "/requests/",
    "/search",
    "/settings",
    "/settings/",
    "/join/",
    "/welcome",
    "/welcome/",
];

/// The address of the operator's console, which has more below it.
const CONSOLE_ADDRESS: &str = "/_linkspan/console";

/// The chat app, as it is served.
pub struct Web {
    files: &'static [File],
    icons: Icons,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

/// Something to send, before it is known what the client has of it already.
struct Content {
    content_type: &'static str,
    caching: &'static str,
    /// None if it is sent as it is, whatever the client takes.
    encoding: Option<Encoding>,
    /// None for what never changes.
    tag: Option<String>,
    body: Bytes,
}

impl Web {
    /// Serves these files. If there are none, there is no app.
    pub fn new(files: &'static [File]) -> Self {
        Self { files, icons: Icons::default() }
    }

    /// Answers a request for something of the app. None if there is nothing of it at the address, or the platform that
    /// the request is for has no app, and it is not of the console.
    pub fn answer(&self, platforms: &Platforms, request: &Request) -> Option<Response> {
        let path = request.uri().path();
        if self.files.is_empty() || !self.has(path) {
            return None;
        }
        let platform = platform_of(platforms, request)?;
        // A platform without the app has operators all the same.
        if !platform.settings.app && !is_of_console(path) {
            return None;
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Some(refusal(StatusCode::METHOD_NOT_ALLOWED, header::ALLOW, "GET, HEAD"));
        }
        let response = match self.content(&platform, path, request.headers()) {
            Some(content) => content.answer(request),
            None => refusal(StatusCode::NOT_ACCEPTABLE, header::VARY, "accept-encoding"),
        };
        Some(response)
    }

    /// Whether there is something of the app at an address.
    fn has(&self, path: &str) -> bool {
        path == manifest::PATH || Icon::at(path).is_some() || self.file_at(path).is_some()
    }

    fn file_at(&self, path: &str) -> Option<&'static File> {
        let path = match path {
            INDEX | CONSOLE => return None,
            path if is_of_app(path) => INDEX,
            path if is_at_console(path) => CONSOLE,
            path => path,
        };
        self.files.iter().find(|file| file.path == path)
    }

    /// What is at an address, if there is anything that the client takes.
    fn content(&self, platform: &Platform, path: &str, headers: &HeaderMap) -> Option<Content> {
        if path == manifest::PATH {
            return Some(Content::made("application/manifest+json", manifest::of(platform).into()));
        }
        if let Some(icon) = Icon::at(path) {
            return Some(Content::made(icon.content_type(), self.icons.get(platform.colour(), icon)));
        }
        let file = self.file_at(path)?;
        let encoding = encoding::choose(headers, &file.encodings())?;
        let body = Bytes::from_static(file.encoded(encoding));
        let (caching, tag) = match file.path.starts_with(IMMUTABLE) {
            true => (FOREVER, None),
            false => (ASK_AGAIN, Some(tag_of(file.plain))),
        };
        Some(Content { content_type: content_type(file.path), caching, encoding: Some(encoding), tag, body })
    }
}

impl Content {
    /// Something that was made for the platform.
    fn made(content_type: &'static str, body: Bytes) -> Self {
        Self { content_type, caching: ASK_AGAIN, encoding: None, tag: Some(tag_of(&body)), body }
    }

    fn answer(self, request: &Request) -> Response {
        let mut response = with_headers(Response::new(Body::empty()));
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.caching));
        if let Some(tag) = &self.tag {
            headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("a tag is ASCII"));
        }
        if self.encoding.is_some() {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if self.tag.is_some_and(|tag| knows(request.headers(), &tag)) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        if let Some(name) = self.encoding.and_then(Encoding::name) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if request.method() != Method::HEAD {
            *response.body_mut() = Body::from(self.body);
        }
        response
    }
}

fn is_of_app(path: &str) -> bool {
    OF_APP.iter().any(|of_app| {
        path == *of_app || (of_app.len() > 1 && of_app.ends_with('/') && path.starts_with(of_app))
    })
}

/// Whether the console's document is at a path.
fn is_at_console(path: &str) -> bool {
    path.strip_prefix(CONSOLE_ADDRESS).is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// Whether what is at a path is the console, or a file of it.
fn is_of_console(path: &str) -> bool {
    is_at_console(path) || path.starts_with(OF_CONSOLE)
}

/// The tag of a content. It is weak, because it is the same however the content is compressed.
fn tag_of(content: &[u8]) -> String {
    format!("W/\"{:032x}\"", xxh3_128(content))
}

/// Whether the client says that it has what has this tag. RFC 9110, section 13.1.2.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).map(opaque).any(|named| named == "*" || named == opaque(tag))
}

fn refusal(status: StatusCode, name: HeaderName, value: &'static str) -> Response {
    let mut response = with_headers(Response::new(Body::empty()));
    *response.status_mut() = status;
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

fn with_headers(mut response: Response) -> Response {
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
