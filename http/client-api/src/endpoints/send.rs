//! Sending messages and state, and redacting.
//! <https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room>

use linkspan_wire::{ApiError, App, User, now_ts};
use ruma::api::client::{message::send_message_event, redact::redact_event, state::send_state_event};

pub(crate) async fn send_message(
    app: App,
    caller: User,
    request: send_message_event::v3::Request,
) -> Result<send_message_event::v3::Response, ApiError> {
    let event_type = request.event_type.to_string();
    let sent = app.rooms.send_message(
        &caller.user_id,
        &caller.device_id,
        &request.room_id,
        &event_type,
        request.body.json().get(),
        request.txn_id.as_str(),
        now_ts(),
    );
    Ok(send_message_event::v3::Response::new(sent.await?))
}

pub(crate) async fn redact_event(
    app: App,
    caller: User,
    request: redact_event::v3::Request,
) -> Result<redact_event::v3::Response, ApiError> {
    let sent = app.rooms.redact_event(
        &caller.user_id,
        &caller.device_id,
        &request.room_id,
        &request.event_id,
        request.reason.as_deref(),
        request.txn_id.as_str(),
        now_ts(),
    );
    Ok(redact_event::v3::Response::new(sent.await?))
}

pub(crate) async fn set_state(
    app: App,
    caller: User,
    request: send_state_event::v3::Request,
) -> Result<send_state_event::v3::Response, ApiError> {
    let event_type = request.event_type.to_string();
    let sent = app.rooms.set_state(
        &caller.user_id,
        &request.room_id,
        &event_type,
        &request.state_key,
        request.body.json().get(),
        now_ts(),
    );
    Ok(send_state_event::v3::Response::new(sent.await?))
}
