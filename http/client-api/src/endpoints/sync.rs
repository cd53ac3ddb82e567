//! Sync.

use axum::{
    extract::{Query, Request},
    response::Response,
};
use linkspan_inbox::SyncToken;
use linkspan_sync::{StateAfter, SyncRequest};
use ruma::{
    api::{IncomingRequestExt, client::sync::sync_events::v3::Request as WireRequest, error::ErrorKind},
    presence::PresenceState,
};
use serde::Deserialize;

use crate::{
    App, app::now_ts, caller::User, endpoints::filters::sync_filter, error::ApiError, router::json_response,
};

/// The filter as it stands in the query: ruma's type leaves a part of it out.
#[derive(Deserialize)]
struct WithFilter {
    filter: Option<String>,
}

pub(crate) async fn sync(app: App, user: User, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let wanted = Query::<WithFilter>::try_from_uri(&parts.uri).ok().and_then(|query| query.0.filter);
    let wants_unstable_state_after = parts
        .uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "org.matrix.msc4222.use_state_after=true"));
    let request =
        WireRequest::try_from_http_request(http::Request::from_parts(parts, &[][..]), &[] as &[&str])
            .map_err(|error| ApiError::from_parse(&error, &[]))?;
    let since = match &request.since {
        Some(since) => Some(since.parse::<SyncToken>().map_err(|_| {
            ApiError::bad_request(ErrorKind::InvalidParam, "`since` is not a token of this server")
        })?),
        None => None,
    };
    let presence = user.platform.settings.presence;
    if presence {
        let state = match request.set_presence {
            PresenceState::Offline => linkspan_inbox::PresenceState::Offline,
            PresenceState::Unavailable => linkspan_inbox::PresenceState::Unavailable,
            _ => linkspan_inbox::PresenceState::Online,
        };
        app.rooms.note_presence(&user.user_id, state).await?;
    }
    let (filter, relations) = sync_filter(&app, &user, wanted.as_deref()).await?;
    let command = SyncRequest {
        user_id: user.user_id.clone(),
        device_id: user.device_id.clone(),
        since,
        filter,
        relations,
        full_state: request.full_state,
        timeout: request.timeout.unwrap_or_default(),
        state_after: match (request.use_state_after, wants_unstable_state_after) {
            (true, _) => StateAfter::Stable,
            (_, true) => StateAfter::Unstable,
            _ => StateAfter::No,
        },
        presence,
    };
    let response = app.sync.sync(&command, now_ts).await?;
    Ok(json_response(serde_json::to_vec(&response).map_err(|error| ApiError::internal(&error))?))
}
