//! Presence.
//! <https://spec.matrix.org/v1.19/client-server-api/#presence>

use std::time::Duration;

use linkspan_inbox::{PresenceState as State, WaitingDevice};
use linkspan_wire::{ApiError, App, User};
use ruma::{
    OwnedUserId,
    api::client::presence::{get_presence, set_presence},
    presence::PresenceState,
};

/// How long ago somebody may have been active and still counts as active now.
const ACTIVE: Duration = Duration::from_secs(60);

pub(crate) async fn set_presence(
    app: App,
    caller: User,
    request: set_presence::v3::Request,
) -> Result<set_presence::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    let state = known_state(&request.presence)?;
    if caller.platform.settings.presence {
        app.rooms.set_presence(&caller.user_id, &caller.device_id, state, request.status_msg).await?;
    }
    Ok(set_presence::v3::Response::new())
}

/// Sets the presence of the device for as long as its sync waits: to online, unless the sync says otherwise.
pub(crate) async fn begin_waiting(
    app: &App,
    caller: &User,
    set_presence: Option<&PresenceState>,
) -> Result<Option<WaitingDevice>, ApiError> {
    let state = set_presence.map_or(Ok(State::Online), known_state)?;
    if !caller.platform.settings.presence {
        return Ok(None);
    }
    Ok(app.rooms.begin_waiting(&caller.user_id, &caller.device_id, state).await?)
}

/// Refuses what is no presence of the specification.
fn known_state(state: &PresenceState) -> Result<State, ApiError> {
    match state {
        PresenceState::Online => Ok(State::Online),
        PresenceState::Unavailable => Ok(State::Unavailable),
        PresenceState::Offline => Ok(State::Offline),
        _ => Err(ApiError::invalid_param("a presence is `online`, `unavailable` or `offline`")),
    }
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
    let shown = caller.platform.settings.presence
        && shows_presence(&app, user_id)
        && !app.rooms.hides_presence(user_id, &caller.user_id).await?;
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
