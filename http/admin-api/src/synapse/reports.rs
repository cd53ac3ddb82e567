//! What people have reported.

use axum::response::Response;
use linkspan_rooms::Report;
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer};
use serde_json::{Value, json};

use super::{MAX_COUNTED, MAX_PAGE, Numbered, arg};

pub(crate) async fn synapse_list_reports(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let page: Numbered = request.query()?;
    let (from, limit) = page.read()?;
    let platform = operator.platform.server_name().to_owned();
    let (mut reports, mut total) = (Vec::new(), 0);
    let mut after = None;
    loop {
        let found = app.rooms.list_reports(&platform, after, MAX_PAGE).await?;
        for report in found.iter().filter(|report| report.record.event_id.is_some()) {
            if (from..from + limit).contains(&total) {
                reports.push(to_wire(report));
            }
            total += 1;
        }
        after = found.last().filter(|_| found.len() == MAX_PAGE).map(|report| report.number);
        if after.is_none() || total >= MAX_COUNTED {
            break;
        }
    }
    let mut answer = json!({ "event_reports": reports, "total": total });
    if from + limit < total {
        answer["next_token"] = (from + limit).into();
    }
    Ok(json_answer(&answer))
}

pub(crate) async fn synapse_get_report(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let number = arg(&request, 0).parse::<u64>();
    let number = number.map_err(|_| ApiError::invalid_param("the path needs the number of a report"))?;
    let report = app.rooms.get_report(operator.platform.server_name(), number).await?;
    let report = report.ok_or_else(|| ApiError::not_found("there is no such report"))?;
    let mut answer = to_wire(&report);
    let content = report.record.content.as_ref();
    answer["event_json"] =
        content.and_then(|content| serde_json::from_str(content).ok()).unwrap_or(Value::Null);
    Ok(json_answer(&answer))
}

fn to_wire(Report { number, record }: &Report) -> Value {
    json!({
        "id": number,
        "received_ts": record.ts,
        "room_id": record.room_id,
        "event_id": record.event_id,
        "user_id": record.reporter,
        "sender": record.user_id,
        "reason": record.reason,
        "score": record.score,
        "name": null,
        "canonical_alias": null,
    })
}
