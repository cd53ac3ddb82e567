//! Events that are sent later, unless they are taken back in time.
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4140>

use axum::response::Response;
use linkspan_rooms::{DelayAction, DelayOrder, DelayQuery, DelayStatus, DelayedEvent, NewDelayedEvent};
use linkspan_wire::{Anybody, ApiError, App, User, WholeRequest, json_answer, now_ts};
use ruma::{
    OwnedRoomId,
    api::{
        IncomingRequest,
        client::{delayed_events::send_delayed_event, message::send_message_event, state::send_state_event},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::send::attached_media;

/// The parameter of `/send` and `/state` by which an event is delayed.
pub(crate) const DELAY: &str = "org.matrix.msc4140.delay";

fn invalid(message: &str) -> ApiError {
    ApiError::invalid_param(message)
}

/// The typed request, and the delay in its query.
fn with_delay<R: IncomingRequest>(request: WholeRequest) -> Result<(R, u64), ApiError> {
    #[derive(Deserialize)]
    struct Delay {
        #[serde(rename = "org.matrix.msc4140.delay")]
        delay_ms: u64,
    }
    let Delay { delay_ms } = request.query()?;
    Ok((request.parse()?, delay_ms))
}

async fn schedule(app: &App, caller: &User, event: NewDelayedEvent) -> Result<Response, ApiError> {
    let delay_id = app.rooms.schedule_event(&caller.user_id, &caller.device_id, event, now_ts()).await?;
    Ok(json_answer(&json!({ "delay_id": delay_id })))
}

pub(crate) async fn delay_message(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let attached = attached_media(&request)?;
    let (request, delay_ms): (send_message_event::v3::Request, _) = with_delay(request)?;
    let event = NewDelayedEvent {
        room_id: request.room_id,
        event_type: request.event_type.to_string(),
        state_key: None,
        content: request.body.json().get().to_owned(),
        attached,
        delay_ms,
        endpoint: "send",
        txn_id: Some(request.txn_id.to_string()),
    };
    schedule(&app, &caller, event).await
}

pub(crate) async fn delay_state(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let attached = attached_media(&request)?;
    let (request, delay_ms): (send_state_event::v3::Request, _) = with_delay(request)?;
    let event = NewDelayedEvent {
        room_id: request.room_id,
        event_type: request.event_type.to_string(),
        state_key: Some(request.state_key),
        content: request.body.json().get().to_owned(),
        attached,
        delay_ms,
        endpoint: "state",
        txn_id: None,
    };
    schedule(&app, &caller, event).await
}

pub(crate) async fn schedule_event(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let attached = attached_media(&request)?;
    let request: send_delayed_event::unstable::Request = request.parse()?;
    let event = NewDelayedEvent {
        room_id: request.room_id,
        event_type: request.event_type.to_string(),
        state_key: request.state_key,
        content: request.content.json().get().to_owned(),
        attached,
        delay_ms: u64::try_from(request.delay.as_millis()).unwrap_or(u64::MAX),
        endpoint: "delayed_event",
        txn_id: Some(request.txn_id.to_string()),
    };
    schedule(&app, &caller, event).await
}

/// Shows an event to its user, under the names of the proposal and under those that these fields had before.
fn shown(event: DelayedEvent) -> Value {
    let DelayedEvent { delay_id, record } = event;
    let content: Value = serde_json::from_str(&record.content).unwrap_or_default();
    let mut shown = json!({
        "delay_id": delay_id,
        "room_id": record.room_id,
        "type": record.event_type,
        "delay": record.delay_ms,
        "running_since": record.running_since_ts,
        "content": content,
    });
    if let Some(state_key) = record.state_key {
        shown["state_key"] = state_key.into();
    }
    if let Some(event_id) = record.event_id {
        shown["event_id"] = event_id.as_str().into();
    }
    if let Some((errcode, message)) = record.error {
        shown["error"] = json!({ "errcode": errcode, "error": message });
    }
    if let Some(finalised_ts) = record.finalised_ts {
        shown["origin_server_ts"] = finalised_ts.into();
        shown["finalised_ts"] = finalised_ts.into();
    }
    shown
}

/// Does not answer with ruma's response, which has only the earlier one of two names for when the event
/// ended.
pub(crate) async fn get_delayed_event(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let delay_id = request.args.first().map(String::as_str).unwrap_or_default();
    Ok(json_answer(&shown(app.rooms.get_delayed_event(&caller.user_id, delay_id).await?)))
}

/// The query of [`get_delayed_events`].
#[derive(Deserialize)]
struct ListQuery {
    order_by: Option<String>,
    dir: Option<String>,
    since_ts: Option<String>,
    status: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    room_id: Option<OwnedRoomId>,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

impl ListQuery {
    fn read(self) -> Result<DelayQuery, ApiError> {
        let backwards = match self.dir.as_deref() {
            None | Some("f") => false,
            Some("b") => true,
            Some(_) => return Err(invalid("`dir` is f or b")),
        };
        let order = match self.order_by.as_deref() {
            None | Some("send_ts") => DelayOrder::Due,
            Some("origin_server_ts") => DelayOrder::Finalised,
            Some("running_since") => DelayOrder::RunningSince,
            Some(_) => return Err(invalid("unknown `order_by`")),
        };
        let since_ts = match self.since_ts.as_deref() {
            // What is overdue is about to be sent; what was scheduled just now has begun before.
            None if order == DelayOrder::Due && !backwards => now_ts().saturating_sub(OVERDUE_MS),
            None => now_ts(),
            Some("end") => u64::MAX,
            Some(ts) => ts.parse().map_err(|_| invalid("`since_ts` is no time"))?,
        };
        let mut status = Vec::new();
        status.extend(match self.status.as_deref() {
            None => None,
            Some("scheduled") => Some(DelayStatus::Scheduled),
            Some("finalised") => Some(DelayStatus::Finalised),
            Some(_) => return Err(invalid("unknown `status`")),
        });
        status.extend(match self.outcome.as_deref() {
            None => None,
            Some("send") => Some(DelayStatus::Sent),
            Some("cancel") => Some(DelayStatus::Cancelled),
            Some("error") => Some(DelayStatus::Failed),
            Some(_) => return Err(invalid("unknown `outcome`")),
        });
        let by_action = match self.reason.as_deref() {
            None => None,
            Some("action") => Some(true),
            Some("delay") => Some(false),
            Some(_) => return Err(invalid("unknown `reason`")),
        };
        let Self { room_id, event_type, .. } = self;
        Ok(DelayQuery { order, backwards, since_ts, status, room_id, event_type, by_action })
    }
}

/// How long an event that should have been sent is still listed among those to come, in milliseconds.
const OVERDUE_MS: u64 = 60_000;

pub(crate) async fn get_delayed_events(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let query: ListQuery = request.query()?;
    let events = app.rooms.list_delayed_events(&caller.user_id, &query.read()?).await?;
    let events: Vec<_> = events.into_iter().map(shown).collect();
    Ok(json_answer(&json!({ "delayed_events": events })))
}

fn action(name: &str) -> Result<DelayAction, ApiError> {
    match name {
        "restart" => Ok(DelayAction::Restart),
        "send" => Ok(DelayAction::Send),
        "cancel" => Ok(DelayAction::Cancel),
        _ => Err(invalid("an action is restart, send or cancel")),
    }
}

async fn act(app: &App, caller: &Anybody, delay_id: &str, action: DelayAction) -> Result<Response, ApiError> {
    app.rooms.act_on_delayed_event(caller.platform.server_name(), delay_id, action, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

/// Takes the action from the body, where it stood before it came into the path.
pub(crate) async fn update_delayed_event(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    struct Body {
        action: String,
    }
    let body: Body = request.json()?;
    let delay_id = request.args.first().map(String::as_str).unwrap_or_default();
    act(&app, &caller, delay_id, action(&body.action)?).await
}

pub(crate) async fn act_on_delayed_event(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let [delay_id, name] = &request.args[..] else {
        return Err(invalid("an event and an action are needed"));
    };
    act(&app, &caller, delay_id, action(name)?).await
}
