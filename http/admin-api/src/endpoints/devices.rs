//! The devices of an account.

use axum::response::Response;
use linkspan_accounts::DeviceInfo;
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer};
use ruma::OwnedDeviceId;
use serde_json::{Value, json};

use super::user_of;

pub(crate) async fn list_user_devices(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let devices = app.accounts.list_devices(&user_id).await?;
    let devices: Vec<Value> = devices.iter().map(to_wire).collect();
    Ok(json_answer(&json!({ "devices": devices })))
}

pub(crate) async fn delete_user_device(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let user_id = user_of(&operator, &request)?;
    let device_id = OwnedDeviceId::from(request.args.get(1).map(String::as_str).unwrap_or_default());
    if app.log_device_out(&user_id, &device_id).await? == 0 {
        return Err(ApiError::not_found(format!("{user_id} has no device {device_id}")));
    }
    Ok(json_answer(&json!({})))
}

fn to_wire(device: &DeviceInfo) -> Value {
    json!({
        "device_id": device.device_id,
        "display_name": device.display_name,
        "created_ts": device.created_ts,
        "last_seen_ts": device.last_seen_ts,
        "last_seen_ip": device.last_seen_ip,
        "client_id": device.client_id,
    })
}
