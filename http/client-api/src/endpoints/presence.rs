//! Presence.
//! <https://spec.matrix.org/v1.19/client-server-api/#presence>

use std::time::Duration;

use linkspan_inbox::PresenceState as State;
use ruma::{
    OwnedUserId,
    api::{
        client::presence::{get_presence, set_presence},
        error::ErrorKind,
    },
    presence::PresenceState,
};

use crate::{App, caller::User, error::ApiError};

/// Who was active within this time is active now.
const ACTIVE: Duration = Duration::from_secs(60);

pub(crate) async fn set_presence(
    app: App,
    caller: User,
    request: set_presence::v3::Request,
) -> Result<set_presence::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    let state = match request.presence {
        PresenceState::Online => State::Online,
        PresenceState::Unavailable => State::Unavailable,
        PresenceState::Offline => State::Offline,
        _ => return Err(ApiError::bad_request(ErrorKind::InvalidParam, "there is no such presence")),
    };
    if caller.platform.settings.presence {
        app.rooms.set_presence(&caller.user_id, &caller.device_id, state, request.status_msg).await?;
    }
    Ok(set_presence::v3::Response::new())
}

pub(crate) async fn get_presence(
    app: App,
    caller: User,
    request: get_presence::v3::Request,
) -> Result<get_presence::v3::Response, ApiError> {
    let user_id = &request.user_id;
    let is_own = caller.user_id == *user_id;
    if !is_own && app.rooms.mutual_rooms(&caller.user_id, user_id).await?.is_empty() {
        return Err(ApiError::forbidden("you share no room with this user"));
    }
    let shown = caller.platform.settings.presence && shows_presence(&app, user_id);
    let Some(presence) = app.inbox.presence(user_id).filter(|_| shown) else {
        return Ok(get_presence::v3::Response::new(PresenceState::Offline));
    };
    let mut response = get_presence::v3::Response::new(match presence.state {
        State::Online => PresenceState::Online,
        State::Unavailable => PresenceState::Unavailable,
        State::Offline => PresenceState::Offline,
    });
    response.status_msg = presence.status_msg;
    response.last_active_ago = Some(presence.last_active_ago);
    response.currently_active = Some(presence.state == State::Online && presence.last_active_ago < ACTIVE);
    Ok(response)
}

/// Whether the user's platform shows presence.
fn shows_presence(app: &App, user_id: &OwnedUserId) -> bool {
    app.platforms.get(user_id.server_name()).is_some_and(|platform| platform.settings.presence)
}
