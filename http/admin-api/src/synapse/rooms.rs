//! Rooms. Only people of the platform are named.

use axum::response::Response;
use linkspan_rooms::{
    DeleteRoom, NewRoom, RoomDeletion, RoomDetails, RoomOrder, RoomPlace, RoomScope, RoomsQuery, Stage,
};
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, events::room::member::MembershipState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{MAX_COUNTED, MAX_PAGE, Numbered, arg, own_user};
use crate::endpoints::rooms::deletion_of;

#[derive(Deserialize)]
struct Query {
    #[serde(flatten)]
    page: Numbered,
    search_term: Option<String>,
    order_by: Option<String>,
}

pub(crate) async fn synapse_list_rooms(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { page, search_term, order_by } = request.query()?;
    let (from, limit) = page.read()?;
    let scope = scope(&operator);
    let order = match order_by.as_deref() {
        Some("joined_members" | "joined_local_members" | "size") => RoomOrder::Members,
        _ => RoomOrder::Id,
    };
    let search = search_term.filter(|search| !search.is_empty());
    let (mut rooms, mut total) = (Vec::new(), 0);
    let mut after: Option<RoomPlace> = None;
    loop {
        let (scope, search) = (scope.clone(), search.clone());
        let query = RoomsQuery { scope: scope.clone(), search, order, after, limit: MAX_PAGE };
        let found = app.rooms.list_rooms(&query).await?;
        for room in &found.rooms {
            if (from..from + limit).contains(&total) {
                rooms.push(to_wire(&operator, &app.rooms.show_room(&scope, &room.room_id).await?));
            }
            total += 1;
        }
        after = found.next;
        if after.is_none() || total >= MAX_COUNTED {
            break;
        }
    }
    let mut answer = json!({ "rooms": rooms, "offset": from, "total_rooms": total });
    if from + limit < total {
        answer["next_batch"] = (from + limit).into();
    }
    if from > 0 {
        answer["prev_batch"] = from.saturating_sub(limit).into();
    }
    Ok(json_answer(&answer))
}

pub(crate) async fn synapse_get_room(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let room = app.rooms.show_room(&scope(&operator), &room_of(&request)?).await?;
    Ok(json_answer(&to_wire(&operator, &room)))
}

pub(crate) async fn synapse_list_members(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (scope, room_id) = (scope(&operator), room_of(&request)?);
    let (mut joined, mut after) = (Vec::new(), None::<OwnedUserId>);
    loop {
        let (members, next) = app.rooms.list_room_members(&scope, &room_id, after, MAX_PAGE).await?;
        let members = members.into_iter().filter(|member| member.membership == MembershipState::Join);
        joined.extend(members.map(|member| member.user_id));
        after = next;
        if after.is_none() || joined.len() >= MAX_COUNTED {
            break;
        }
    }
    Ok(json_answer(&json!({ "total": joined.len(), "members": joined })))
}

pub(crate) async fn synapse_get_block(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let blocked = app.rooms.is_room_blocked(&scope(&operator), &room_of(&request)?).await?;
    Ok(json_answer(&json!({ "block": blocked })))
}

#[derive(Deserialize)]
struct Block {
    block: bool,
}

pub(crate) async fn synapse_block_room(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (room_id, Block { block }) = (room_of(&request)?, request.json()?);
    app.rooms.set_room_blocked(&scope(&operator), &room_id, block, now_ts()).await?;
    Ok(json_answer(&json!({ "block": block })))
}

#[derive(Deserialize)]
struct Delete {
    new_room_user_id: Option<String>,
    room_name: Option<String>,
    message: Option<String>,
    #[serde(default)]
    block: bool,
    #[serde(default = "yes")]
    purge: bool,
}

fn yes() -> bool {
    true
}

pub(crate) async fn synapse_delete_room(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (room_id, wanted): (_, Delete) = (room_of(&request)?, request.json()?);
    let new_room = match wanted.new_room_user_id {
        Some(creator) => Some(NewRoom { creator: own_user(&operator, &creator)?, name: wanted.room_name }),
        None => None,
    };
    let command = DeleteRoom {
        scope: scope(&operator),
        platform: operator.platform.server_name().to_owned(),
        room_id,
        message: wanted.message,
        new_room,
        block: wanted.block,
        purge: wanted.purge,
    };
    let deletion = app.rooms.delete_room(&command, now_ts()).await?;
    Ok(json_answer(&json!({ "delete_id": deletion.id })))
}

pub(crate) async fn synapse_get_deletion(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    Ok(json_answer(&status(&deletion_of(&app, &operator, &request).await?)))
}

pub(crate) async fn synapse_list_deletions(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let (platform, room_id) = (operator.platform.server_name().to_owned(), room_of(&request)?);
    let deletions = app.rooms.list_room_deletions(&platform, None, MAX_COUNTED).await?;
    let of_room = deletions.iter().filter(|deletion| deletion.record.room_id == room_id);
    let results: Vec<Value> = of_room.map(status).collect();
    match results.is_empty() {
        true => Err(ApiError::not_found("this room was not deleted lately")),
        false => Ok(json_answer(&json!({ "results": results }))),
    }
}

fn scope(operator: &Operator) -> RoomScope {
    RoomScope::Platform(operator.platform.server_name().to_owned())
}

fn room_of(request: &WholeRequest) -> Result<OwnedRoomId, ApiError> {
    RoomId::parse(arg(request, 0)).map_err(|_| ApiError::invalid_param("the path needs a room id"))
}

fn status(deletion: &RoomDeletion) -> Value {
    let status = match deletion.stage() {
        Stage::Removing => "shutting_down",
        Stage::Purging => "purging",
        Stage::Done => "complete",
        Stage::Failed => "failed",
    };
    let record = &deletion.record;
    json!({
        "delete_id": deletion.id,
        "room_id": record.room_id,
        "status": status,
        "error": record.error,
        "shutdown_room": {
            "kicked_users": [],
            "failed_to_kick_users": [],
            "local_aliases": [],
            "new_room_id": record.new_room.as_ref().map(|(room_id, _)| room_id),
        },
    })
}

fn to_wire(operator: &Operator, room: &RoomDetails) -> Value {
    let listed = &room.listed;
    let local = room.joined_by_platform.get(operator.platform.server_name()).copied().unwrap_or_default();
    json!({
        "room_id": listed.room_id,
        "name": listed.name,
        "topic": room.topic,
        "avatar": room.avatar_url,
        "canonical_alias": listed.canonical_alias,
        "joined_members": listed.joined,
        "joined_local_members": local,
        "version": listed.version,
        "creator": listed.creator,
        "encryption": listed.encryption,
        "federatable": true,
        "public": room.published,
        "join_rules": listed.join_rule,
        "history_visibility": room.history_visibility,
        "room_type": listed.room_type,
    })
}
