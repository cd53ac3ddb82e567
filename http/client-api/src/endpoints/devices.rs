//! The caller's devices.

use linkspan_accounts::DeviceInfo;
use linkspan_wire::{ApiError, App, User, now_ts, timestamp};
use ruma::api::client::device::{
    Device, delete_device, delete_devices, get_device, get_devices, update_device,
};

pub(crate) async fn get_devices(
    app: App,
    caller: User,
    _: get_devices::v3::Request,
) -> Result<get_devices::v3::Response, ApiError> {
    let devices = app.accounts.devices(&caller.user_id).await?;
    Ok(get_devices::v3::Response::new(devices.into_iter().map(to_wire).collect()))
}

pub(crate) async fn get_device(
    app: App,
    caller: User,
    request: get_device::v3::Request,
) -> Result<get_device::v3::Response, ApiError> {
    let device = app.accounts.device(&caller.user_id, &request.device_id).await?;
    let device = device.ok_or_else(|| ApiError::not_found("you have no such device"))?;
    Ok(get_device::v3::Response::new(to_wire(device)))
}

pub(crate) async fn update_device(
    app: App,
    caller: User,
    request: update_device::v3::Request,
) -> Result<update_device::v3::Response, ApiError> {
    let (user_id, device_id) = (&caller.user_id, &request.device_id);
    app.accounts.rename_device(user_id, device_id, request.display_name).await?;
    app.keys.device_renamed(user_id, device_id).await?;
    Ok(update_device::v3::Response::new())
}

pub(crate) async fn delete_device(
    app: App,
    caller: User,
    request: delete_device::v3::Request,
) -> Result<delete_device::v3::Response, ApiError> {
    caller.check_proves_by_password()?;
    let devices = [request.device_id];
    let attempt = caller.attempt(request.auth.as_ref());
    let removed = app.accounts.delete_devices(&caller.user_id, &devices, attempt, now_ts()).await?;
    app.forget_devices(removed).await?;
    Ok(delete_device::v3::Response::new())
}

pub(crate) async fn delete_devices(
    app: App,
    caller: User,
    request: delete_devices::v3::Request,
) -> Result<delete_devices::v3::Response, ApiError> {
    caller.check_proves_by_password()?;
    let attempt = caller.attempt(request.auth.as_ref());
    let removed = app.accounts.delete_devices(&caller.user_id, &request.devices, attempt, now_ts()).await?;
    app.forget_devices(removed).await?;
    Ok(delete_devices::v3::Response::new())
}

fn to_wire(info: DeviceInfo) -> Device {
    let mut device = Device::new(info.device_id);
    device.display_name = info.display_name;
    device.last_seen_ip = info.last_seen_ip;
    device.last_seen_ts = timestamp(info.last_seen_ts);
    device
}
