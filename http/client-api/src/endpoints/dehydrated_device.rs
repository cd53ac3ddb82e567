//! Dehydrated devices.

use linkspan_keys::{DehydratedDevice, Upload};
use linkspan_storage::Position;
use ruma::{
    api::client::dehydrated_device::{
        delete_dehydrated_device, get_dehydrated_device, get_events, put_dehydrated_device,
    },
    serde::Raw,
};
use serde_json::value::RawValue;

use crate::{
    App,
    app::now_ts,
    caller::User,
    endpoints::keys::{json_of, one_time_keys},
    error::ApiError,
};

pub(crate) async fn put_dehydrated_device(
    app: App,
    caller: User,
    request: put_dehydrated_device::unstable::Request,
) -> Result<put_dehydrated_device::unstable::Response, ApiError> {
    request.device_data.deserialize().map_err(|error| {
        ApiError::bad_request(ruma::api::error::ErrorKind::BadJson, format!("device_data: {error}"))
    })?;
    let upload = Upload {
        device_keys: Some(json_of(request.device_keys)),
        one_time_keys: one_time_keys(request.one_time_keys),
        fallback_keys: one_time_keys(request.fallback_keys),
    };
    let device =
        DehydratedDevice { device_id: request.device_id.clone(), device_data: json_of(request.device_data) };
    let name = request.initial_device_display_name;
    let removed = app.keys.put_dehydrated_device(&caller.user_id, &device, name, &upload, now_ts()).await?;
    app.forget_devices(removed.into_iter().collect()).await?;
    Ok(put_dehydrated_device::unstable::Response::new(request.device_id))
}

pub(crate) async fn get_dehydrated_device(
    app: App,
    caller: User,
    _: get_dehydrated_device::unstable::Request,
) -> Result<get_dehydrated_device::unstable::Response, ApiError> {
    let device = app.keys.dehydrated_device(&caller.user_id).await?;
    let device = device.ok_or_else(none)?;
    let data = RawValue::from_string(device.device_data).map_err(|error| ApiError::internal(&error))?;
    Ok(get_dehydrated_device::unstable::Response::new(device.device_id, Raw::from_json(data)))
}

pub(crate) async fn delete_dehydrated_device(
    app: App,
    caller: User,
    _: delete_dehydrated_device::unstable::Request,
) -> Result<delete_dehydrated_device::unstable::Response, ApiError> {
    let removed = app.keys.delete_dehydrated_device(&caller.user_id).await?.ok_or_else(none)?;
    let device_id = removed.device_id.clone();
    app.forget_devices(vec![removed]).await?;
    Ok(delete_dehydrated_device::unstable::Response::new(device_id))
}

pub(crate) async fn get_dehydrated_events(
    app: App,
    caller: User,
    request: get_events::unstable::Request,
) -> Result<get_events::unstable::Response, ApiError> {
    let since = request.next_batch.as_deref().map_or(Ok(0), str::parse);
    let since = since.map_err(|_| ApiError::invalid_param("next_batch is not one of this server"))?;
    let since = Position::from_u64(since);
    let (messages, until) = app.keys.dehydrated_messages(&caller.user_id, &request.device_id, since).await?;
    let events = messages.into_iter().filter_map(|message| RawValue::from_string(message.json).ok());
    let mut response = get_events::unstable::Response::new(events.map(Raw::from_json).collect());
    response.next_batch = Some(until.to_string());
    Ok(response)
}

fn none() -> ApiError {
    ApiError::not_found("there is no dehydrated device")
}
