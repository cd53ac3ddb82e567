//! The rooms that people of a platform are in.
//!
//! Of people of other platforms only their number is shown. The operator of the whole back-end sees all rooms, and everybody
//! in them, with `all_platforms`.

use std::collections::BTreeMap;

use axum::response::Response;
use linkspan_rooms::{
    BlockedRoom, DeleteRoom, ListedMember, ListedRoom, NewRoom, RoomDeletion, RoomDetails, RoomOrder,
    RoomScope, RoomsQuery, Stage,
};
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use ruma::{OwnedRoomId, OwnedServerName, RoomId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, named_user, next_batch};

#[derive(Deserialize)]
struct Query {
    #[serde(flatten)]
    page: Page,
    search: Option<String>,
    order: Option<String>,
    #[serde(default)]
    all_platforms: bool,
}

/// A page of what one platform or, where the operator of the whole back-end wants it, all platforms have.
#[derive(Deserialize)]
struct ScopedPage {
    #[serde(flatten)]
    page: Page,
    #[serde(default)]
    all_platforms: bool,
}

pub(crate) async fn list_rooms(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { page, search, order, all_platforms } = request.query()?;
    let order = match order.as_deref() {
        None | Some("room_id") => RoomOrder::Id,
        Some("members") => RoomOrder::Members,
        Some("activity") => RoomOrder::Activity,
        Some(_) => return Err(ApiError::invalid_param("order is none of room_id, members and activity")),
    };
    let search = search.filter(|search| !search.is_empty());
    let scope = scope(&operator, all_platforms)?;
    let (limit, after) = (page.limit()?, page.place()?);
    let found = app.rooms.list_rooms(&RoomsQuery { scope, search, order, after, limit }).await?;
    let rooms: Vec<Value> = found.rooms.iter().map(to_wire).collect();
    Ok(json_answer(&json!({ "rooms": rooms, "next_batch": found.next.map(|next| next.to_string()) })))
}

pub(crate) async fn get_room(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let ScopedPage { all_platforms, .. } = request.query()?;
    let room = app.rooms.show_room(&scope(&operator, all_platforms)?, &room_of(&request)?).await?;
    Ok(json_answer(&details(&room)))
}

pub(crate) async fn list_room_members(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let ScopedPage { page, all_platforms } = request.query()?;
    let (scope, room_id) = (scope(&operator, all_platforms)?, room_of(&request)?);
    let (members, next) = app.rooms.list_room_members(&scope, &room_id, page.place()?, page.limit()?).await?;
    let member = |ListedMember { user_id, membership }: &ListedMember| json!({ "user_id": user_id, "membership": membership });
    let members: Vec<Value> = members.iter().map(member).collect();
    Ok(json_answer(&json!({ "members": members, "next_batch": next })))
}

#[derive(Deserialize)]
struct Blocked {
    blocked: bool,
    #[serde(default)]
    all_platforms: bool,
}

pub(crate) async fn set_room_blocked(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (room_id, Blocked { blocked, all_platforms }) = (room_of(&request)?, request.json()?);
    let scope = scope(&operator, all_platforms)?;
    app.rooms.set_room_blocked(&scope, &room_id, blocked, now_ts()).await?;
    Ok(json_answer(&json!({ "blocked": blocked })))
}

pub(crate) async fn list_blocked_rooms(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let ScopedPage { page, all_platforms } = request.query()?;
    let (scope, limit) = (scope(&operator, all_platforms)?, page.limit()?);
    let rooms = app.rooms.list_blocked_rooms(&scope, page.place()?, limit).await?;
    let next = next_batch(&rooms, limit, |last| last.room_id.to_string());
    let blocked = |BlockedRoom { room_id, blocked_ts, .. }: &BlockedRoom| json!({ "room_id": room_id, "blocked_ts": blocked_ts });
    let rooms: Vec<Value> = rooms.iter().map(blocked).collect();
    Ok(json_answer(&json!({ "blocked": rooms, "next_batch": next })))
}

#[derive(Deserialize)]
struct Delete {
    message: Option<String>,
    new_room: Option<WantedRoom>,
    #[serde(default)]
    block: bool,
    #[serde(default = "yes")]
    purge: bool,
    #[serde(default)]
    all_platforms: bool,
}

#[derive(Deserialize)]
struct WantedRoom {
    creator: String,
    name: Option<String>,
}

fn yes() -> bool {
    true
}

pub(crate) async fn delete_room(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (room_id, wanted): (_, Delete) = (room_of(&request)?, request.json()?);
    let new_room = match wanted.new_room {
        Some(WantedRoom { creator, name }) => {
            Some(NewRoom { creator: named_user(&operator, &creator)?, name })
        }
        None => None,
    };
    let command = DeleteRoom {
        scope: scope(&operator, wanted.all_platforms)?,
        platform: operator.platform.server_name().to_owned(),
        room_id,
        message: wanted.message,
        new_room,
        block: wanted.block,
        purge: wanted.purge,
    };
    let deletion = app.rooms.delete_room(&command, now_ts()).await?;
    Ok(json_answer(&deletion_to_wire(&deletion)))
}

pub(crate) async fn list_room_deletions(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let page: Page = request.query()?;
    let (platform, limit) = (operator.platform.server_name().to_owned(), page.limit()?);
    let deletions = app.rooms.list_room_deletions(&platform, page.from.as_deref(), limit).await?;
    let next = next_batch(&deletions, limit, |last| last.id.clone());
    let deletions: Vec<Value> = deletions.iter().map(deletion_to_wire).collect();
    Ok(json_answer(&json!({ "deletions": deletions, "next_batch": next })))
}

pub(crate) async fn get_room_deletion(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    Ok(json_answer(&deletion_to_wire(&deletion_of(&app, &operator, &request).await?)))
}

/// The deletion whose id a request names.
pub(crate) async fn deletion_of(
    app: &App,
    operator: &Operator,
    request: &WholeRequest,
) -> Result<RoomDeletion, ApiError> {
    let id = request.args.first().map(String::as_str).unwrap_or_default();
    let deletion = app.rooms.get_room_deletion(&operator.platform.server_name().to_owned(), id).await?;
    deletion.ok_or_else(|| ApiError::not_found("there is no such deletion"))
}

/// Whose rooms the operator acts on.
fn scope(operator: &Operator, all_platforms: bool) -> Result<RoomScope, ApiError> {
    match (all_platforms, operator.name()) {
        (false, _) => Ok(RoomScope::Platform(operator.platform.server_name().to_owned())),
        (true, None) => Ok(RoomScope::All),
        (true, Some(_)) => {
            Err(ApiError::forbidden("only the operator of the whole back-end reaches all platforms"))
        }
    }
}

/// The first parameter in the path of a request: a room.
fn room_of(request: &WholeRequest) -> Result<OwnedRoomId, ApiError> {
    let room_id = request.args.first().map(String::as_str).unwrap_or_default();
    RoomId::parse(room_id).map_err(|_| ApiError::invalid_param("the path needs a room id"))
}

fn to_wire(room: &ListedRoom) -> Value {
    json!({
        "room_id": room.room_id,
        "name": room.name,
        "canonical_alias": room.canonical_alias,
        "room_type": room.room_type,
        "version": room.version,
        "encryption": room.encryption,
        "join_rule": room.join_rule,
        "creator": room.creator,
        "creator_platform": room.creator_platform,
        "created_ts": room.created_ts,
        "joined_members": room.joined,
        "events": room.events,
        "last_activity_ts": room.last_activity_ts,
        "blocked": room.blocked,
    })
}

fn details(room: &RoomDetails) -> Value {
    let members: BTreeMap<&OwnedServerName, u64> =
        room.joined_by_platform.iter().map(|(platform, count)| (platform, *count)).collect();
    let mut details = to_wire(&room.listed);
    details["topic"] = json!(room.topic);
    details["avatar_url"] = json!(room.avatar_url);
    details["history_visibility"] = json!(room.history_visibility);
    details["joined_by_platform"] = json!(members);
    details["state_bytes"] = json!(room.state_bytes);
    details["published"] = json!(room.published);
    details
}

fn deletion_to_wire(deletion: &RoomDeletion) -> Value {
    let record = &deletion.record;
    let state = match deletion.stage() {
        Stage::Removing => "removing",
        Stage::Purging => "purging",
        Stage::Done => "done",
        Stage::Failed => "failed",
    };
    json!({
        "id": deletion.id,
        "room_id": record.room_id,
        "state": state,
        "requested_ts": record.requested_ts,
        "ended_ts": record.ended_ts,
        "all_platforms": record.of_all,
        "removed_members": record.removed,
        "purged": record.purged,
        "new_room_id": record.new_room.as_ref().map(|(room_id, _)| room_id),
        "error": record.error,
    })
}
