//! What those who run a platform tell its people.

use axum::response::Response;
use linkspan_rooms::NoticeTask;
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::named_user;

#[derive(Deserialize)]
struct Notice {
    user_id: Option<String>,
    #[serde(default)]
    everybody: bool,
    body: Option<String>,
    content: Option<Map<String, Value>>,
}

impl Notice {
    /// The content of the message, as JSON.
    fn content(&self) -> Result<String, ApiError> {
        match (&self.body, &self.content) {
            (Some(body), None) if !body.is_empty() => {
                Ok(json!({ "msgtype": "m.text", "body": body }).to_string())
            }
            (None, Some(content)) if content.contains_key("msgtype") && content.contains_key("body") => {
                Ok(Value::from(content.clone()).to_string())
            }
            _ => Err(ApiError::invalid_param("a notice has a body, or the content of a message")),
        }
    }
}

pub(crate) async fn send_server_notice(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let notice: Notice = request.json()?;
    let content = notice.content()?;
    match (&notice.user_id, notice.everybody) {
        (Some(name), false) => {
            let user_id = named_user(&operator, name)?;
            let (room_id, event_id) = app.rooms.send_notice(&user_id, &content, now_ts()).await?;
            Ok(json_answer(&json!({ "room_id": room_id, "event_id": event_id })))
        }
        (None, true) => {
            let platform = operator.platform.server_name().to_owned();
            let task = app.rooms.send_notice_to_all(&platform, &content, now_ts()).await?;
            Ok(json_answer(&to_wire(&task)))
        }
        _ => Err(ApiError::invalid_param("a notice is for one user, or for everybody")),
    }
}

pub(crate) async fn get_server_notice(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let id = request.args.first().map(String::as_str).unwrap_or_default();
    let task = app.rooms.get_notice_task(&operator.platform.server_name().to_owned(), id).await?;
    let task = task.ok_or_else(|| ApiError::not_found("there is no such notice to everybody"))?;
    Ok(json_answer(&to_wire(&task)))
}

fn to_wire(NoticeTask { id, record }: &NoticeTask) -> Value {
    json!({
        "id": id,
        "requested_ts": record.requested_ts,
        "ended_ts": record.ended_ts,
        "sent": record.sent,
        "failed": record.failed,
    })
}
