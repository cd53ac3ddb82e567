//! Dehydrated devices.

use axum::response::Response;
use linkspan_keys::{DehydratedDevice, Upload};
use linkspan_storage::Position;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, now_ts};
use ruma::{
    OwnedDeviceId,
    api::client::dehydrated_device::{
        delete_dehydrated_device, get_dehydrated_device, get_events, put_dehydrated_device,
    },
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::endpoints::keys::{json_of, one_time_keys};

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

/// The query of [`get_dehydrated_events`].
#[derive(Deserialize)]
struct EventsQuery {
    from: Option<String>,
}

pub(crate) async fn get_dehydrated_events(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let query: EventsQuery = request.query()?;
    let device_id = OwnedDeviceId::from(request.args.concat());
    let page = events_after(&app, &caller, &device_id, query.from.as_deref()).await?;
    let mut answer = json!({ "events": page.events });
    // Clients read on until there is none.
    if !page.events.is_empty() {
        answer["next_batch"] = json!(page.next_batch);
    }
    Ok(json_answer(&answer))
}

/// Answers older clients, which ask by POST and read on until a page is empty.
pub(crate) async fn get_dehydrated_events_by_post(
    app: App,
    caller: User,
    request: get_events::unstable::Request,
) -> Result<get_events::unstable::Response, ApiError> {
    events_after(&app, &caller, &request.device_id, request.next_batch.as_deref()).await
}

async fn events_after(
    app: &App,
    caller: &User,
    device_id: &OwnedDeviceId,
    batch: Option<&str>,
) -> Result<get_events::unstable::Response, ApiError> {
    let since = batch.map_or(Ok(0), str::parse);
    let since = since.map_err(|_| ApiError::invalid_param("this is no batch of this server"))?;
    let since = Position::from_u64(since);
    let (messages, until) = app.keys.dehydrated_messages(&caller.user_id, device_id, since).await?;
    let events = messages.into_iter().filter_map(|message| RawValue::from_string(message.json).ok());
    let mut response = get_events::unstable::Response::new(events.map(Raw::from_json).collect());
    response.next_batch = Some(until.to_string());
    Ok(response)
}

fn none() -> ApiError {
    ApiError::not_found("there is no dehydrated device")
}
