//! Reports in which people say what operators may know.

use axum::response::Response;
use linkspan_rooms::{Disclosed, NewReport, Reported};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, now_ts};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Body {
    #[serde(flatten)]
    what: What,
    reason: Option<String>,
    #[serde(default)]
    disclose: Disclose,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum What {
    Room { room_id: OwnedRoomId },
    Message { room_id: OwnedRoomId, event_id: OwnedEventId },
    Person { user_id: OwnedUserId },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Disclose {
    content: Option<Map<String, Value>>,
    reporter: bool,
}

pub(crate) async fn report(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let Body { what, reason, disclose } = request.json()?;
    let reported = match what {
        What::Room { room_id } => Reported::Room(room_id),
        What::Message { room_id, event_id } => Reported::Event(room_id, event_id),
        What::Person { user_id } => Reported::User(user_id),
    };
    let disclosed = Disclosed { content: disclose.content, reporter: disclose.reporter };
    let report = NewReport { reported, reason, score: None, disclosed };
    app.rooms.report(&caller.user_id, report, now_ts()).await?;
    Ok(json_answer(&json!({})))
}
