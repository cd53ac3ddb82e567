//! Receipts, read markers, typing.
//! <https://spec.matrix.org/v1.19/client-server-api/#receipts>

use std::time::Duration;

use axum::response::Response;
use linkspan_rooms::ReceiptKind;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, now_ts};
use ruma::{
    RoomId, UserId,
    api::client::{
        read_marker::set_read_marker,
        receipt::create_receipt::{self, v3::ReceiptType},
    },
};
use serde::Deserialize;
use serde_json::json;

/// How long somebody types if the client does not say it.
const TYPING: Duration = Duration::from_secs(30);

pub(crate) async fn create_receipt(
    app: App,
    caller: User,
    request: create_receipt::v3::Request,
) -> Result<create_receipt::v3::Response, ApiError> {
    let (room_id, event_id) = (&request.room_id, &request.event_id);
    let thread = match request.thread.as_str() {
        Some("") => return Err(invalid("a thread's id is not empty")),
        thread => thread.unwrap_or_default(),
    };
    let kind = match request.receipt_type {
        ReceiptType::Read => ReceiptKind::Public,
        ReceiptType::ReadPrivate => ReceiptKind::Private,
        ReceiptType::FullyRead if thread.is_empty() => {
            app.rooms.set_fully_read(&caller.user_id, room_id, event_id).await?;
            return Ok(create_receipt::v3::Response::new());
        }
        ReceiptType::FullyRead => return Err(invalid("this marker is of whole rooms, not of threads")),
        _ => return Err(invalid("there is no such type of receipt")),
    };
    app.rooms.set_receipt(&caller.user_id, room_id, kind, thread, event_id, now_ts()).await?;
    Ok(create_receipt::v3::Response::new())
}

fn invalid(message: &str) -> ApiError {
    ApiError::invalid_param(message)
}

pub(crate) async fn set_read_markers(
    app: App,
    caller: User,
    request: set_read_marker::v3::Request,
) -> Result<set_read_marker::v3::Response, ApiError> {
    let (user_id, room_id) = (&caller.user_id, &request.room_id);
    if let Some(event_id) = &request.fully_read {
        app.rooms.set_fully_read(user_id, room_id, event_id).await?;
    }
    let receipts =
        [(ReceiptKind::Public, &request.read_receipt), (ReceiptKind::Private, &request.private_read_receipt)];
    for (kind, event_id) in receipts {
        if let Some(event_id) = event_id {
            app.rooms.set_receipt(user_id, room_id, kind, "", event_id, now_ts()).await?;
        }
    }
    Ok(set_read_marker::v3::Response::new())
}

/// Notes whether a user types. It is not ruma's request, which insists on a timeout.
pub(crate) async fn set_typing(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    struct Typing {
        typing: bool,
        timeout: Option<u64>,
    }
    let [room_id, user_id] = &request.args[..] else { return Err(invalid("a room and a user are needed")) };
    let room_id = RoomId::parse(room_id).map_err(|_| invalid("this is no room id"))?;
    let user_id = UserId::parse(user_id).map_err(|_| invalid("this is no user id"))?;
    caller.check_is(&user_id)?;
    let state: Typing = request.json()?;
    let timeout = state.typing.then(|| state.timeout.map_or(TYPING, Duration::from_millis));
    app.rooms.set_typing(&caller.user_id, &room_id, timeout).await?;
    Ok(json_answer(&json!({})))
}
