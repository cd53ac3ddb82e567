//! Reports of rooms, events and users.
//! <https://spec.matrix.org/v1.19/client-server-api/#reporting-content>

use linkspan_rooms::Reported;
use ruma::api::client::{
    reporting::report_user,
    room::{report_content, report_room},
};

use crate::{App, app::now_ts, caller::User, error::ApiError};

pub(crate) async fn report_room(
    app: App,
    caller: User,
    request: report_room::v3::Request,
) -> Result<report_room::v3::Response, ApiError> {
    let reported = Reported::Room(request.room_id);
    app.rooms.report(&caller.user_id, reported, Some(request.reason), None, now_ts()).await?;
    Ok(report_room::v3::Response::new())
}

pub(crate) async fn report_event(
    app: App,
    caller: User,
    request: report_content::v3::Request,
) -> Result<report_content::v3::Response, ApiError> {
    let reported = Reported::Event(request.room_id, request.event_id);
    app.rooms.report(&caller.user_id, reported, request.reason, None, now_ts()).await?;
    Ok(report_content::v3::Response::new())
}

pub(crate) async fn report_user(
    app: App,
    caller: User,
    request: report_user::v3::Request,
) -> Result<report_user::v3::Response, ApiError> {
    let reported = Reported::User(request.user_id);
    app.rooms.report(&caller.user_id, reported, Some(request.reason), None, now_ts()).await?;
    Ok(report_user::v3::Response::new())
}
