//! Joining, inviting, leaving, forgetting, kicking, banning, knocking.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-membership>

use http::StatusCode;
use linkspan_rooms::Removal;
use linkspan_wire::{ApiError, App, User, now_ts};
use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId,
    api::{
        client::{
            knock::knock_room,
            membership::{
                ban_user, forget_room,
                invite_user::{self, v3::InvitationRecipient},
                join_room_by_id, join_room_by_id_or_alias, kick_user, leave_room, unban_user,
            },
        },
        error::ErrorKind,
    },
};

/// The room that an id or an alias names.
pub(crate) async fn find_room(
    app: &App,
    room_id_or_alias: OwnedRoomOrAliasId,
) -> Result<OwnedRoomId, ApiError> {
    match OwnedRoomId::try_from(room_id_or_alias) {
        Ok(room_id) => Ok(room_id),
        Err(alias) => Ok(app.rooms.resolve_alias(&alias).await?),
    }
}

pub(crate) async fn join_room(
    app: App,
    caller: User,
    request: join_room_by_id::v3::Request,
) -> Result<join_room_by_id::v3::Response, ApiError> {
    app.rooms.join_room(&caller.user_id, &request.room_id, request.reason.as_deref(), now_ts()).await?;
    Ok(join_room_by_id::v3::Response::new(request.room_id))
}

pub(crate) async fn join_room_or_alias(
    app: App,
    caller: User,
    request: join_room_by_id_or_alias::v3::Request,
) -> Result<join_room_by_id_or_alias::v3::Response, ApiError> {
    let room_id = find_room(&app, request.room_id_or_alias).await?;
    app.rooms.join_room(&caller.user_id, &room_id, request.reason.as_deref(), now_ts()).await?;
    Ok(join_room_by_id_or_alias::v3::Response::new(room_id))
}

pub(crate) async fn invite_user(
    app: App,
    caller: User,
    request: invite_user::v3::Request,
) -> Result<invite_user::v3::Response, ApiError> {
    let InvitationRecipient::UserId(invited) = request.recipient else {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            ErrorKind::ThreepidDenied,
            "users are invited by their user ids",
        ));
    };
    let reason = invited.reason.as_deref();
    app.rooms.invite(&caller.user_id, &request.room_id, &invited.user_id, reason, now_ts()).await?;
    Ok(invite_user::v3::Response::new())
}

pub(crate) async fn leave_room(
    app: App,
    caller: User,
    request: leave_room::v3::Request,
) -> Result<leave_room::v3::Response, ApiError> {
    app.rooms.leave_room(&caller.user_id, &request.room_id, request.reason.as_deref(), now_ts()).await?;
    Ok(leave_room::v3::Response::new())
}

pub(crate) async fn forget_room(
    app: App,
    caller: User,
    request: forget_room::v3::Request,
) -> Result<forget_room::v3::Response, ApiError> {
    app.rooms.forget(&caller.user_id, &request.room_id).await?;
    Ok(forget_room::v3::Response::new())
}

pub(crate) async fn kick_user(
    app: App,
    caller: User,
    request: kick_user::v3::Request,
) -> Result<kick_user::v3::Response, ApiError> {
    let reason = request.reason.as_deref();
    let rooms = &app.rooms;
    rooms
        .remove_member(Removal::Kick, &caller.user_id, &request.room_id, &request.user_id, reason, now_ts())
        .await?;
    Ok(kick_user::v3::Response::new())
}

pub(crate) async fn ban_user(
    app: App,
    caller: User,
    request: ban_user::v3::Request,
) -> Result<ban_user::v3::Response, ApiError> {
    let reason = request.reason.as_deref();
    let rooms = &app.rooms;
    rooms
        .remove_member(Removal::Ban, &caller.user_id, &request.room_id, &request.user_id, reason, now_ts())
        .await?;
    Ok(ban_user::v3::Response::new())
}

pub(crate) async fn unban_user(
    app: App,
    caller: User,
    request: unban_user::v3::Request,
) -> Result<unban_user::v3::Response, ApiError> {
    let reason = request.reason.as_deref();
    let rooms = &app.rooms;
    rooms
        .remove_member(Removal::Unban, &caller.user_id, &request.room_id, &request.user_id, reason, now_ts())
        .await?;
    Ok(unban_user::v3::Response::new())
}

pub(crate) async fn knock_room(
    app: App,
    caller: User,
    request: knock_room::v3::Request,
) -> Result<knock_room::v3::Response, ApiError> {
    let room_id = find_room(&app, request.room_id_or_alias).await?;
    app.rooms.knock(&caller.user_id, &room_id, request.reason.as_deref(), now_ts()).await?;
    Ok(knock_room::v3::Response::new(room_id))
}
