//! Sync.

use axum::{extract::Request, response::Response};
use linkspan_inbox::SyncToken;
use linkspan_sync::{StateAfter, SyncRequest};
use ruma::{
    api::{
        IncomingRequestExt,
        client::{
            filter::FilterDefinition,
            sync::sync_events::v3::{Filter, Request as WireRequest},
        },
        error::ErrorKind,
    },
    presence::PresenceState,
};

use crate::{App, app::now_ts, caller::User, error::ApiError, router::json_response};

pub(crate) async fn sync(app: App, user: User, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
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
    let command = SyncRequest {
        user_id: user.user_id.clone(),
        device_id: user.device_id.clone(),
        since,
        filter: filter(&app, &user, request.filter).await?,
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

async fn filter(app: &App, user: &User, filter: Option<Filter>) -> Result<FilterDefinition, ApiError> {
    match filter {
        None => Ok(FilterDefinition::default()),
        Some(Filter::FilterDefinition(filter)) => Ok(filter),
        Some(Filter::FilterId(id)) => {
            let filter = app.accounts.filter(&user.user_id, &id).await?;
            filter.ok_or_else(|| ApiError::bad_request(ErrorKind::InvalidParam, "there is no such filter"))
        }
        Some(_) => Err(ApiError::bad_request(ErrorKind::InvalidParam, "not a filter")),
    }
}
