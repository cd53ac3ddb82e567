//! Sessions of demo accounts, which anybody may use.

use axum::response::Response;
use linkspan_accounts::NewDevice;
use linkspan_wire::{Anybody, ApiError, App, WholeRequest, json_answer, now_ts};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct NewSession {
    user_id: OwnedUserId,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    refresh_token: bool,
}

pub(crate) async fn begin_demo_session(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let new: NewSession = request.json()?;
    let device = NewDevice {
        device_id: None,
        display_name: new.initial_device_display_name,
        refreshable: new.refresh_token,
        address: Some(caller.address),
    };
    let begun = app.accounts.begin_demo_session(&caller.platform, &new.user_id, device, now_ts()).await?;
    app.forget_devices(begun.removed).await?;
    let session = begun.session;
    let mut answer = json!({
        "user_id": session.user_id,
        "device_id": session.device_id,
        "access_token": session.access_token,
    });
    if let Some((token, lasts_ms)) = session.refresh_token.zip(session.expires_in_ms) {
        answer["refresh_token"] = json!(token);
        answer["expires_in_ms"] = json!(lasts_ms);
    }
    if let Some(key) = begun.recovery_key {
        answer["recovery_key"] = json!(key);
    }
    Ok(json_answer(&answer))
}
