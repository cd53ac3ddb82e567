//! What apps can show, so that a writer knows before sending who would not see it.

use std::collections::BTreeSet;

use axum::response::Response;
use linkspan_domain::ContentKind;
use linkspan_rooms::{Unable, Unseen};
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::room_id_of;

/// The most kinds that an app can name. There are fewer, but an app may know kinds that this server does not.
const MAX_KINDS: usize = 100;

#[derive(Deserialize)]
struct Shown {
    shows: Vec<String>,
}

/// Kinds that this server does not know are passed over: the app may be newer.
pub(crate) async fn set_abilities(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Shown { shows } = request.json()?;
    if shows.len() > MAX_KINDS {
        return Err(ApiError::invalid_param(format!("shows has more than {MAX_KINDS} kinds")));
    }
    let kinds: BTreeSet<_> = shows.iter().filter_map(|name| ContentKind::from_name(name)).collect();
    app.accounts.set_shown_kinds(&caller.user_id, &caller.device_id, &kinds).await?;
    Ok(json_answer(&json!({ "shows": kinds })))
}

pub(crate) async fn get_abilities(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let unseen = app.rooms.unseen_kinds(&caller.user_id, &room_id_of(&request)?).await?;
    let unseen: Map<String, Value> =
        unseen.iter().map(|(kind, unseen)| (kind.name().to_owned(), to_wire(unseen))).collect();
    Ok(json_answer(&json!({ "not_shown": unseen })))
}

fn to_wire(unseen: &Unseen) -> Value {
    let named = unseen.named.iter().map(|(user_id, why)| {
        let because = match why {
            Unable::Platform => "platform",
            Unable::App => "app",
        };
        json!({ "user_id": user_id, "because": because })
    });
    json!({
        "count": unseen.count,
        "platforms": unseen.by_platform,
        "users": named.collect::<Vec<_>>(),
    })
}
