//! What people have reported to the operators of a platform.

use axum::response::Response;
use linkspan_rooms::Report;
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, next_batch};

#[derive(Deserialize)]
struct Query {
    #[serde(flatten)]
    page: Page,
    /// Those that are closed are listed, too.
    #[serde(default)]
    all: bool,
}

pub(crate) async fn list_reports(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { page, all } = request.query()?;
    let (platform, limit) = (operator.platform.server_name().to_owned(), page.limit()?);
    let reports = app.rooms.list_reports(&platform, page.place()?, limit).await?;
    let next = next_batch(&reports, limit, |last| last.number.to_string());
    let shown = reports.iter().filter(|report| all || report.record.closed_ts.is_none());
    let reports: Vec<Value> = shown.map(to_wire).collect();
    Ok(json_answer(&json!({ "reports": reports, "next_batch": next })))
}

pub(crate) async fn get_report(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let number = number_of(&request)?;
    let report = app.rooms.get_report(operator.platform.server_name(), number).await?;
    let report = report.ok_or_else(|| {
        ApiError::not_found(format!("{} has no report {number}", operator.platform.server_name()))
    })?;
    Ok(json_answer(&to_wire(&report)))
}

#[derive(Deserialize)]
struct Close {
    note: Option<String>,
}

pub(crate) async fn close_report(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (number, Close { note }) = (number_of(&request)?, request.json()?);
    app.rooms.close_report(operator.platform.server_name(), number, note, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

fn number_of(request: &WholeRequest) -> Result<u64, ApiError> {
    let number = request.args.first().and_then(|number| number.parse().ok());
    number.ok_or_else(|| ApiError::invalid_param("the path needs the number of a report"))
}

fn to_wire(Report { number, record }: &Report) -> Value {
    let kind = match (&record.event_id, &record.room_id) {
        (Some(_), _) => "message",
        (None, Some(_)) => "room",
        (None, None) => "person",
    };
    let content = record.content.as_ref();
    let content_from = content.map(|_| if record.is_claimed { "reporter" } else { "server" });
    json!({
        "number": number,
        "state": if record.closed_ts.is_some() { "closed" } else { "open" },
        "kind": kind,
        "ts": record.ts,
        "reporter": record.reporter,
        "room_id": record.room_id,
        "event_id": record.event_id,
        "user_id": record.user_id,
        "reason": record.reason,
        "score": record.score,
        "content": content.and_then(|content| serde_json::from_str::<Value>(content).ok()),
        "content_from": content_from,
        "closed_ts": record.closed_ts,
        "note": record.note,
    })
}
