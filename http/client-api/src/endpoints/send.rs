//! Sending messages and state, and redacting.
//! <https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room>

use axum::response::Response;
use linkspan_wire::{ApiError, App, User, WholeRequest, now_ts, respond};
use ruma::{
    OwnedMxcUri,
    api::client::{message::send_message_event, redact::redact_event, state::send_state_event},
};

/// The parameter of `/send` that names an upload which the event carries. It may be there several times.
/// <https://github.com/matrix-org/matrix-spec-proposals/pull/3911>
const ATTACH_MEDIA: &str = "org.matrix.msc3911.attach_media";

/// The uploads that a request names.
pub(crate) fn attached_media(request: &WholeRequest) -> Result<Vec<OwnedMxcUri>, ApiError> {
    let parameters: Vec<(String, String)> = request.query()?;
    let named = parameters.into_iter().filter(|(name, _)| name == ATTACH_MEDIA);
    Ok(named.map(|(_, uri)| uri.into()).collect())
}

pub(crate) async fn send_message(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let attached = attached_media(&request)?;
    let request: send_message_event::v3::Request = request.parse()?;
    let event_type = request.event_type.to_string();
    let sent = app.rooms.send_message(
        &caller.user_id,
        &caller.device_id,
        &request.room_id,
        &event_type,
        request.body.json().get(),
        attached,
        request.txn_id.as_str(),
        now_ts(),
    );
    respond(send_message_event::v3::Response::new(sent.await?))
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
