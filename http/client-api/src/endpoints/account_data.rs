//! The caller's account data and tags.

use axum::response::Response;
use linkspan_accounts::AccountsError;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::{
        config::{
            get_global_account_data, get_room_account_data, set_global_account_data, set_room_account_data,
        },
        tag::{create_tag, delete_tag, get_tags},
    },
    serde::Raw,
};
use serde_json::{json, value::RawValue};

pub(crate) async fn get_global_account_data(
    app: App,
    caller: User,
    request: get_global_account_data::v3::Request,
) -> Result<get_global_account_data::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    let content = get(&app, &caller, None, &request.event_type.to_string()).await?;
    Ok(get_global_account_data::v3::Response::new(Raw::from_json(content)))
}

pub(crate) async fn get_room_account_data(
    app: App,
    caller: User,
    request: get_room_account_data::v3::Request,
) -> Result<get_room_account_data::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    let content = get(&app, &caller, Some(&request.room_id), &request.event_type.to_string()).await?;
    Ok(get_room_account_data::v3::Response::new(Raw::from_json(content)))
}

async fn get(
    app: &App,
    caller: &User,
    room_id: Option<&OwnedRoomId>,
    event_type: &str,
) -> Result<Box<RawValue>, ApiError> {
    let content = match (room_id, event_type) {
        // There are some without any ever having been stored.
        (None, "m.push_rules") => Some(app.push.push_rules_content(&caller.user_id).await?),
        _ => app.accounts.account_data(&caller.user_id, room_id, event_type).await?,
    };
    let content = content.ok_or(AccountsError::NotFound("account data"))?;
    RawValue::from_string(content).map_err(|error| ApiError::internal(&error))
}

pub(crate) async fn set_global_account_data(
    app: App,
    caller: User,
    request: set_global_account_data::v3::Request,
) -> Result<set_global_account_data::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    let (event_type, content) = (request.event_type.to_string(), request.data.json());
    app.accounts.set_account_data(&caller.user_id, None, &event_type, content).await?;
    Ok(set_global_account_data::v3::Response::new())
}

pub(crate) async fn set_room_account_data(
    app: App,
    caller: User,
    request: set_room_account_data::v3::Request,
) -> Result<set_room_account_data::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    let (event_type, content) = (request.event_type.to_string(), request.data.json());
    app.accounts.set_account_data(&caller.user_id, Some(&request.room_id), &event_type, content).await?;
    Ok(set_room_account_data::v3::Response::new())
}

/// Deletes account data that is not about a room, as MSC3391 proposes.
pub(crate) async fn delete_global_account_data(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let [user_id, event_type] = args(request)?;
    caller.check_is(&parse_user_id(&user_id)?)?;
    app.accounts.delete_account_data(&caller.user_id, None, &event_type).await?;
    Ok(json_answer(&json!({})))
}

/// Deletes account data about a room, as MSC3391 proposes.
pub(crate) async fn delete_room_account_data(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let [user_id, room_id, event_type] = args(request)?;
    caller.check_is(&parse_user_id(&user_id)?)?;
    let room_id = RoomId::parse(&room_id).map_err(|_| not_an_id())?;
    app.accounts.delete_account_data(&caller.user_id, Some(&room_id), &event_type).await?;
    Ok(json_answer(&json!({})))
}

fn args<const N: usize>(request: WholeRequest) -> Result<[String; N], ApiError> {
    request.args.try_into().map_err(|_| ApiError::not_found("no such endpoint"))
}

fn parse_user_id(id: &str) -> Result<OwnedUserId, ApiError> {
    UserId::parse(id).map_err(|_| not_an_id())
}

fn not_an_id() -> ApiError {
    ApiError::invalid_param("the path holds something that is not an id")
}

pub(crate) async fn get_tags(
    app: App,
    caller: User,
    request: get_tags::v3::Request,
) -> Result<get_tags::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    Ok(get_tags::v3::Response::new(app.accounts.tags(&caller.user_id, &request.room_id).await?))
}

pub(crate) async fn create_tag(
    app: App,
    caller: User,
    request: create_tag::v3::Request,
) -> Result<create_tag::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    app.accounts.put_tag(&caller.user_id, &request.room_id, &request.tag, request.tag_info).await?;
    Ok(create_tag::v3::Response::new())
}

pub(crate) async fn delete_tag(
    app: App,
    caller: User,
    request: delete_tag::v3::Request,
) -> Result<delete_tag::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    app.accounts.delete_tag(&caller.user_id, &request.room_id, &request.tag).await?;
    Ok(delete_tag::v3::Response::new())
}
