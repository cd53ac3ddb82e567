//! Messages to devices.
//! <https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging>

use linkspan_rooms::{Target, ToDeviceMessage};
use linkspan_wire::{ApiError, App, User, now_ts};
use ruma::{api::client::to_device::send_event_to_device, to_device::DeviceIdOrAllDevices};

pub(crate) async fn send_to_device(
    app: App,
    caller: User,
    request: send_event_to_device::v3::Request,
) -> Result<send_event_to_device::v3::Response, ApiError> {
    let messages = request.messages.into_iter().flat_map(|(user_id, by_device)| {
        by_device.into_iter().map(move |(device, content)| ToDeviceMessage {
            user_id: user_id.clone(),
            target: match device {
                DeviceIdOrAllDevices::DeviceId(device_id) => Target::Device(device_id),
                DeviceIdOrAllDevices::AllDevices => Target::AllDevices,
            },
            content: content.into_json(),
        })
    });
    let event_type = request.event_type.to_string();
    let sent = app.rooms.send_to_device(
        &caller.user_id,
        &caller.device_id,
        &event_type,
        request.txn_id.as_str(),
        messages.collect(),
        now_ts(),
    );
    sent.await?;
    Ok(send_event_to_device::v3::Response::new())
}
