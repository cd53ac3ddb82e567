//! Links by which people join a room: made and taken back by those who may invite, and opened by whoever is given one.

use axum::response::Response;
use http::HeaderMap;
use linkspan_rooms::{LinkPreview, LinkTerms};
use linkspan_storage::records::JoinLinkRecord;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer, known_base_url, now_ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{room_id_of, without_nulls};

#[derive(Deserialize)]
struct Terms {
    valid_for_ms: Option<u64>,
    uses: Option<u64>,
}

pub(crate) async fn make_join_link(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Terms { valid_for_ms, uses } = request.json()?;
    let (room_id, terms) = (room_id_of(&request)?, LinkTerms { valid_for_ms, uses });
    let link = app.rooms.make_join_link(&caller.user_id, &room_id, terms, now_ts()).await?;
    Ok(json_answer(&to_wire(&app, &request.parts.headers, &link, true)))
}

pub(crate) async fn list_join_links(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let links = app.rooms.list_join_links(&caller.user_id, &room_id_of(&request)?, now_ts()).await?;
    let headers = &request.parts.headers;
    let links = links.iter().map(|link| to_wire(&app, headers, &link.record, link.works));
    Ok(json_answer(&json!({ "links": links.collect::<Vec<_>>() })))
}

/// A link leads to the platform of its maker: whatever becomes of the others, it is found there.
fn to_wire(app: &App, headers: &HeaderMap, link: &JoinLinkRecord, works: bool) -> Value {
    let platform = app.platforms.get(link.maker.server_name());
    let url =
        platform.map(|platform| format!("{}/join/{}", known_base_url(app, &platform, headers), link.token));
    without_nulls(json!({
        "token": link.token,
        "url": url,
        "maker": link.maker,
        "made_ts": link.made_ts,
        "expires_ts": link.expires_ts,
        "uses_allowed": link.uses_allowed,
        "uses": link.uses,
        "works": works,
    }))
}

pub(crate) async fn revoke_join_link(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (room_id, token) = (room_id_of(&request)?, request.args.get(1).map_or("", String::as_str));
    app.rooms.revoke_join_link(&caller.user_id, &room_id, token).await?;
    Ok(json_answer(&json!({})))
}

/// The only parameter in the path, a token.
fn token_of(request: &WholeRequest) -> &str {
    request.args.first().map_or("", String::as_str)
}

pub(crate) async fn preview_join_link(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let preview = app.rooms.preview_join_link(&caller.user_id, token_of(&request), now_ts()).await?;
    let LinkPreview { summary, platforms, disappearing_timer_ms, membership, expires_ts, refusal } = preview;
    let mut answer = without_nulls(json!({
        "name": summary.name,
        "topic": summary.topic,
        "avatar_url": summary.avatar_url,
        "room_type": summary.room_type,
        "joined_members": summary.joined,
        "platforms": platforms,
        "encryption": summary.encryption,
        "disappearing_timer_ms": disappearing_timer_ms,
        "expires_ts": expires_ts,
        "may_join": refusal.is_none(),
    }));
    if let Some(membership) = membership {
        answer["membership"] = membership.as_str().into();
        answer["room_id"] = json!(summary.room_id);
    }
    if let Some(refusal) = refusal {
        answer["refusal"] = ApiError::from(refusal).to_json();
    }
    Ok(json_answer(&answer))
}

pub(crate) async fn join_by_link(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let room_id = app.rooms.join_by_link(&caller.user_id, token_of(&request), now_ts()).await?;
    Ok(json_answer(&json!({ "room_id": room_id })))
}
