//! Reports of rooms, events and users.
//! <https://spec.matrix.org/v1.19/client-server-api/#reporting-content>

use axum::response::Response;
use linkspan_rooms::{Disclosed, NewReport, Reported};
use ruma::api::client::{
    reporting::report_user,
    room::{report_content, report_room},
};

use linkspan_wire::{ApiError, App, User, WholeRequest, now_ts, respond};
use serde::Deserialize;

pub(crate) async fn report_room(
    app: App,
    caller: User,
    request: report_room::v3::Request,
) -> Result<report_room::v3::Response, ApiError> {
    let reported = Reported::Room(request.room_id);
    app.rooms.report(&caller.user_id, new_report(reported, Some(request.reason), None), now_ts()).await?;
    Ok(report_room::v3::Response::new())
}

/// What older clients say besides the reason, which ruma's type leaves out.
#[derive(Default, Deserialize)]
struct EventReport {
    reason: Option<String>,
    /// How bad the event is, from -100, the worst, to 0.
    score: Option<i64>,
}

pub(crate) async fn report_event(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let body = request.body.clone();
    // Also reads the ids, and refuses what is wrong with the rest.
    let target: report_content::v3::Request = request.parse()?;
    let report: EventReport = match body.is_empty() {
        true => EventReport::default(),
        false => serde_json::from_slice(&body).map_err(|error| ApiError::from_json(&error, &body))?,
    };
    let reported = Reported::Event(target.room_id, target.event_id);
    let report = new_report(reported, report.reason, report.score);
    app.rooms.report(&caller.user_id, report, now_ts()).await?;
    respond(report_content::v3::Response::new())
}

pub(crate) async fn report_user(
    app: App,
    caller: User,
    request: report_user::v3::Request,
) -> Result<report_user::v3::Response, ApiError> {
    let reported = Reported::User(request.user_id);
    app.rooms.report(&caller.user_id, new_report(reported, Some(request.reason), None), now_ts()).await?;
    Ok(report_user::v3::Response::new())
}

/// A report that discloses nothing more: the specification has no fields for that.
fn new_report(reported: Reported, reason: Option<String>, score: Option<i64>) -> NewReport {
    NewReport { reported, reason, score, disclosed: Disclosed::default() }
}
