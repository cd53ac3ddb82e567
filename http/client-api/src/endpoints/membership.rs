//! Joining, inviting, leaving, forgetting, kicking, banning, knocking.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-membership>

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use linkspan_accounts::ThirdPartyId;
use linkspan_rooms::{AddressInvitations, Removal};
use linkspan_wire::{ApiError, App, User, WholeRequest, base_url, known_base_url, now_ts, respond};
use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId,
    api::{
        client::{
            knock::knock_room,
            membership::{
                Invite3pid, ban_user, forget_room,
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

pub(crate) async fn invite_user(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let headers = request.parts.headers.clone();
    let invite_user::v3::Request { room_id, recipient, .. } = request.parse()?;
    match recipient {
        InvitationRecipient::UserId(invited) => {
            let reason = invited.reason.as_deref();
            app.rooms.invite(&caller.user_id, &room_id, &invited.user_id, reason, now_ts()).await?;
        }
        InvitationRecipient::ThirdPartyId(invited) => {
            let invitations = by_address(&app, &caller, &headers, vec![invited], false).await?;
            app.rooms.invite_by_address(&caller.user_id, &room_id, &invitations, now_ts()).await?;
        }
        _ => return Err(ApiError::invalid_param("nobody is invited in this way")),
    }
    respond(invite_user::v3::Response::new())
}

/// Invitations to addresses, as the specification has them: the client names an identity server, and shows that its
/// user is known there. Each platform that has an identity server is its own, and no other is asked.
/// <https://spec.matrix.org/v1.19/client-server-api/#thirdparty_post_matrixclientv3roomsroomidinvite>
pub(crate) async fn by_address(
    app: &App,
    caller: &User,
    headers: &HeaderMap,
    invited: Vec<Invite3pid>,
    is_direct: bool,
) -> Result<AddressInvitations, ApiError> {
    let mut ids = Vec::with_capacity(invited.len());
    for Invite3pid { id_server, id_access_token, medium, address, .. } in invited {
        check_identity_server(caller, headers, &id_server)?;
        let platform = caller.platform.server_name();
        let user_id = app.accounts.identity_user(platform, &id_access_token, now_ts()).await?;
        // A code that says that a token is unknown would log the client out.
        if user_id.as_ref() != Some(&caller.user_id) {
            return Err(ApiError::forbidden("this is not your token for the identity server"));
        }
        ids.push(ThirdPartyId::new(&medium, &address)?);
    }
    Ok(AddressInvitations { ids, is_direct, base_url: known_base_url(app, &caller.platform, headers) })
}

fn check_identity_server(caller: &User, headers: &HeaderMap, id_server: &str) -> Result<(), ApiError> {
    let settings = &caller.platform.settings;
    let as_reached = base_url(headers, &caller.platform);
    let is_own = settings.identity_lookup
        && (*id_server == settings.server_name
            || settings.hosts.iter().any(|host| host == id_server)
            || as_reached.split("://").nth(1) == Some(id_server));
    if is_own {
        return Ok(());
    }
    let message = match settings.identity_lookup {
        true => "this platform's own identity server is the only one that can be named here",
        false => {
            "this platform has no identity server: invite by /_linkspan/client/v1/rooms/{roomId}/invite_by_address"
        }
    };
    Err(ApiError::new(StatusCode::FORBIDDEN, ErrorKind::ThreepidDenied, message))
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
