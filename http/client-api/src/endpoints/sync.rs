//! Telling clients what is new: `GET /sync`.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use futures_util::stream;
use linkspan_inbox::SyncToken;
use linkspan_sync::{Pieces, StateAfter, SyncAnswer, SyncRequest};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_response, now_ts, streamed_json_response};
use ruma::presence::PresenceState;
use serde::Deserialize;

use crate::endpoints::{filters::sync_filter, presence::begin_waiting};

/// The query. It is not ruma's type, which parses filters anew each time, and leaves parts of them out.
#[derive(Deserialize)]
struct SyncQuery {
    filter: Option<String>,
    since: Option<String>,
    #[serde(default)]
    full_state: bool,
    set_presence: Option<PresenceState>,
    /// How long the client waits for news, in milliseconds.
    #[serde(default)]
    timeout: u64,
    #[serde(default)]
    use_state_after: bool,
    #[serde(default, rename = "org.matrix.msc4222.use_state_after")]
    use_state_after_unstable: bool,
}

pub(crate) async fn sync(app: App, user: User, request: WholeRequest) -> Result<Response, ApiError> {
    let query: SyncQuery = request.query()?;
    // It would hold the buffer that it was read to for as long as the client waits.
    drop(request);
    let since = match &query.since {
        Some(since) => Some(
            since
                .parse::<SyncToken>()
                .map_err(|_| ApiError::invalid_param("`since` is not a token of this server"))?,
        ),
        None => None,
    };
    let _waiting = begin_waiting(&app, &user, query.set_presence.as_ref()).await?;
    let command = SyncRequest {
        user_id: user.user_id.clone(),
        device_id: user.device_id.clone(),
        token_hash: user.token_hash,
        since,
        filter: sync_filter(&app, &user, query.filter).await?,
        full_state: query.full_state,
        timeout: Duration::from_millis(query.timeout),
        state_after: match (query.use_state_after, query.use_state_after_unstable) {
            (true, _) => StateAfter::Stable,
            (_, true) => StateAfter::Unstable,
            _ => StateAfter::No,
        },
        presence: user.platform.settings.presence,
    };
    match app.sync.sync(&Arc::new(command), now_ts).await? {
        SyncAnswer::Whole(response) => {
            Ok(json_response(serde_json::to_vec(&response).map_err(|error| ApiError::internal(&error))?))
        }
        SyncAnswer::Pieces(pieces) => {
            let next = |mut pieces: Box<Pieces>| async move {
                let piece = pieces.next().await?;
                Ok::<_, ApiError>(piece.map(|piece| (piece, pieces)))
            };
            streamed_json_response(stream::try_unfold(pieces, next), Pieces::HELD_BYTES)
        }
    }
}
