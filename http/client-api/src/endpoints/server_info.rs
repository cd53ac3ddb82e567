//! What clients ask about the server besides its versions.

use std::collections::BTreeMap;

use axum::response::Response;
use linkspan_accounts::HANDLE_FIELD;
use linkspan_domain::versions;
use linkspan_platforms::{Encryption, TurnCredentials};
use linkspan_rooms::{MAX_DELAY_MS, MAX_SCHEDULED};
use linkspan_wire::{Anybody, ApiError, App, User, WholeRequest, base_url, json_answer, now_ts};
use serde_json::{Value, json};

/// Does not answer with ruma's response, which leaves out what has its default value: clients differ in what
/// they take for the default.
pub(crate) async fn get_capabilities(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let mut capabilities = capabilities(&caller);
    let sends = app.accounts.sends_mails(&caller.platform) || app.accounts.sends_sms(&caller.platform);
    capabilities["m.3pid_changes"] = json!({ "enabled": sends });
    if app.accounts.is_demo_account(&caller.user_id).await? {
        for refused in ["m.3pid_changes", "m.change_password"] {
            capabilities[refused] = json!({ "enabled": false });
        }
    }
    if caller.admin {
        let moderation = json!({ "lock": true, "suspend": true });
        capabilities["m.account_moderation"] = moderation.clone();
        capabilities["uk.timedout.msc4323"] = moderation;
    }
    Ok(json_answer(&json!({ "capabilities": capabilities })))
}

/// What users of a platform can do. Who logged in without a password cannot do what is proved by one.
fn capabilities(caller: &User) -> Value {
    let platform = &caller.platform;
    let available: BTreeMap<_, _> =
        versions::SUPPORTED.iter().map(|version| (version.as_str(), "stable")).collect();
    let (yes, no) = (json!({ "enabled": true }), json!({ "enabled": false }));
    let by_password = json!({ "enabled": !caller.oauth });
    let profile_fields = json!({ "enabled": true, "disallowed": [HANDLE_FIELD] });
    json!({
        "m.change_password": by_password,
        "m.room_versions": { "default": platform.settings.room_version, "available": available },
        "m.set_displayname": yes,
        "m.set_avatar_url": yes,
        "m.get_login_token": by_password,
        "m.profile_fields": profile_fields,
        "uk.tcpip.msc4133.profile_fields": profile_fields,
        "m.webpush": { "enabled": true, "vapid": platform.vapid_key.public_key() },
        "m.delayed_events": { "max_delay_ms": MAX_DELAY_MS, "max_scheduled": MAX_SCHEDULED },
        "m.forget_forced_upon_leave": no,
        "org.matrix.msc4267.forget_forced_upon_leave": no,
    })
}

/// Tells clients the base URL that the request came by: every platform has its own.
pub(crate) async fn get_well_known(
    _: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let base_url = base_url(&request.parts.headers, &caller.platform);
    let mut answer = json!({ "m.homeserver": { "base_url": base_url } });
    if let Some(hint) = encryption_hint(caller.platform.settings.encryption) {
        answer["io.element.e2ee"] = hint;
    }
    if caller.platform.settings.identity_lookup {
        answer["m.identity_server"] = json!({ "base_url": answer["m.homeserver"]["base_url"] });
    }
    let transports = &caller.platform.settings.rtc.transports;
    if !transports.is_empty() {
        // Where clients looked before there was an endpoint.
        answer["org.matrix.msc4143.rtc_foci"] = json!(transports);
    }
    Ok(json_answer(&answer))
}

/// Whether clients are to encrypt new rooms, and whether they may offer it at all. The name is Element's;
/// others read it too.
fn encryption_hint(encryption: Encryption) -> Option<Value> {
    match encryption {
        Encryption::Optional => None,
        Encryption::Required => Some(json!({ "default": true, "force_disable": false })),
        Encryption::Forbidden => Some(json!({ "default": false, "force_disable": true })),
    }
}

/// Tells where calls of several people meet.
/// <https://github.com/matrix-org/matrix-spec-proposals/pull/4143>
pub(crate) async fn get_rtc_transports(_: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    Ok(json_answer(&json!({ "rtc_transports": caller.platform.settings.rtc.transports })))
}

pub(crate) async fn get_support(_: App, caller: Anybody, _: WholeRequest) -> Result<Response, ApiError> {
    let support = &caller.platform.settings.support;
    if support.is_empty() {
        return Err(ApiError::not_found("no contact is configured for this platform"));
    }
    Ok(json_answer(&json!(support)))
}

/// Tells what carries calls of two people. Where nothing does, it is an empty object.
pub(crate) async fn get_turn_server(_: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let Some(turn) = &caller.platform.settings.turn else { return Ok(json_answer(&json!({}))) };
    let TurnCredentials { username, password } = turn.credentials(&caller.user_id, now_ts());
    Ok(json_answer(&json!({
        "username": username, "password": password, "uris": turn.uris, "ttl": turn.lifetime_s,
    })))
}
