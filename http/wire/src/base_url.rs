//! Where clients and people reach a platform: scheme and host, without a slash at the end.

use http::{HeaderMap, header};
use linkspan_platforms::Platform;

use crate::App;

/// Where a client reaches a platform: where its operator says, or else as the request came.
pub fn base_url(headers: &HeaderMap, platform: &Platform) -> String {
    if let Some(url) = &platform.settings.public_url {
        return url.clone();
    }
    let host = host(headers).unwrap_or(platform.server_name().as_str());
    format!("{}://{host}", scheme(headers))
}

/// Where a platform is reached, for what is sent to people: where its operator says. Else the host of the request counts
/// only if it is one of the platform's names, since anybody can write anything there. Otherwise it is
/// [`Platform::first_host`].
pub fn known_base_url(app: &App, platform: &Platform, headers: &HeaderMap) -> String {
    if let Some(url) = &platform.settings.public_url {
        return url.clone();
    }
    let is_its_own = |host: &&str| {
        app.platforms.by_host(host).is_some_and(|found| found.server_name() == platform.server_name())
    };
    let host = host(headers).filter(is_its_own).unwrap_or_else(|| platform.first_host());
    format!("{}://{host}", scheme(headers))
}

/// The OAuth 2.0 issuer of the platform that is reached at a base URL.
/// <https://spec.matrix.org/v1.19/client-server-api/#server-metadata-discovery>
pub fn issuer(base_url: &str) -> String {
    format!("{base_url}/")
}

/// The scheme by which a request came, as far as a proxy tells.
pub fn scheme(headers: &HeaderMap) -> &'static str {
    let https = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme.as_bytes() == b"https");
    if https { "https" } else { "http" }
}

/// The host as the client named it, if it looks like one.
fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(allowed)).then_some(host)
}
