//! What an app has to know of the platform that serves it, and of those whose people can be met there.

use axum::response::Response;
use linkspan_accounts::Profile;
use linkspan_platforms::Platform;
use linkspan_wire::{Anybody, ApiError, App, WholeRequest, json_answer, scheme};
use ruma::OwnedUserId;
use serde_json::{Value, json};

pub(crate) async fn get_platform(app: App, caller: Anybody, _: WholeRequest) -> Result<Response, ApiError> {
    let platform = &caller.platform;
    let settings = &platform.settings;
    let mut described = describe(platform);
    described["registration"] = json!(settings.registration);
    described["guests"] = json!(settings.guests);
    described["presence"] = json!(settings.presence);
    described["url_previews"] = json!(settings.url_previews);
    described["upload_bytes"] = json!(settings.limits.upload_bytes);
    described["without"] = json!(settings.without);
    if !settings.demo_account.is_empty() {
        let users = app.accounts.list_demo_users(platform).await?;
        described["demo_accounts"] = users.iter().map(describe_user).collect();
    }
    Ok(json_answer(&described))
}

pub(crate) async fn list_platforms(
    app: App,
    _: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let scheme = scheme(&request.parts.headers);
    let platforms = app.platforms.iter().map(|platform| {
        let mut described = describe(&platform);
        described["address"] = json!(format!("{scheme}://{}", platform.first_host()));
        described
    });
    Ok(json_answer(&json!({ "platforms": platforms.collect::<Vec<_>>() })))
}

/// What people of every platform may know of this one.
fn describe(platform: &Platform) -> Value {
    let settings = &platform.settings;
    let mut described = json!({
        "name": platform.display_name(),
        "server_name": platform.server_name(),
        "colour": platform.colour().to_string(),
        "identity": settings.identity,
        "encryption": settings.encryption,
    });
    if let Some(label) = &settings.label {
        described["label"] = json!(label);
    }
    described
}

fn describe_user((user_id, profile): &(OwnedUserId, Profile)) -> Value {
    let mut described = json!({ "user_id": user_id });
    for (field, name) in [("displayname", "name"), ("avatar_url", "avatar_url")] {
        if let Some(value) = profile.get(field) {
            described[name] = value.clone();
        }
    }
    described
}
