//! What clients ask about the server besides its versions.

use std::collections::BTreeMap;

use axum::{extract::Request, response::Response};
use http::{HeaderMap, header};
use linkspan_domain::versions;
use linkspan_platforms::{Encryption, Platform};
use ruma::api::client::thirdparty::get_protocols;
use serde_json::{Value, json};

use crate::{
    App,
    caller::{Anybody, User},
    endpoint::json_answer,
    error::ApiError,
};

/// Not ruma's response, which leaves out what has its default value: clients differ in what they take for it.
pub(crate) async fn get_capabilities(_: App, caller: User, _: Request) -> Result<Response, ApiError> {
    let available: BTreeMap<_, _> =
        versions::SUPPORTED.iter().map(|version| (version.as_str(), "stable")).collect();
    let default = &caller.platform.settings.room_version;
    Ok(json_answer(&json!({ "capabilities": {
        "m.change_password": { "enabled": !caller.oauth },
        "m.room_versions": { "default": default, "available": available },
        "m.set_displayname": { "enabled": true },
        "m.set_avatar_url": { "enabled": true },
        "m.3pid_changes": { "enabled": false },
        "m.get_login_token": { "enabled": !caller.oauth },
        "m.profile_fields": { "enabled": true },
    } })))
}

/// The base URL is the one that the request came by: every platform has its own.
pub(crate) async fn get_well_known(_: App, caller: Anybody, request: Request) -> Result<Response, ApiError> {
    let base_url = base_url(request.headers(), &caller.platform);
    let mut answer = json!({ "m.homeserver": { "base_url": base_url } });
    if let Some(hint) = encryption_hint(caller.platform.settings.encryption) {
        answer["io.element.e2ee"] = hint;
    }
    Ok(json_answer(&answer))
}

/// Whether clients are to encrypt new rooms, and whether they may offer it at all. The name is Element's; others
/// read it too.
fn encryption_hint(encryption: Encryption) -> Option<Value> {
    match encryption {
        Encryption::Optional => None,
        Encryption::Required => Some(json!({ "default": true, "force_disable": false })),
        Encryption::Forbidden => Some(json!({ "default": false, "force_disable": true })),
    }
}

/// Where a client reaches a platform, as it came: scheme and host, without a slash at the end.
pub fn base_url(headers: &HeaderMap, platform: &Platform) -> String {
    let host = host(headers).unwrap_or(platform.server_name().as_str());
    format!("{}://{host}", scheme(headers))
}

fn scheme(headers: &HeaderMap) -> &'static str {
    let https = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme.as_bytes() == b"https");
    if https { "https" } else { "http" }
}

/// The host as the client named it, if it looks like one.
fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(allowed)).then_some(host)
}

pub(crate) async fn get_support(_: App, _: Anybody, _: Request) -> Result<Response, ApiError> {
    Err(ApiError::not_found("no contact is configured for this platform"))
}

pub(crate) async fn get_turn_server(_: App, _: User, _: Request) -> Result<Response, ApiError> {
    Ok(json_answer(&json!({})))
}

pub(crate) async fn get_thirdparty_protocols(
    _: App,
    _: User,
    _: get_protocols::v3::Request,
) -> Result<get_protocols::v3::Response, ApiError> {
    Ok(get_protocols::v3::Response::new(BTreeMap::new()))
}
