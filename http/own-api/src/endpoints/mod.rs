//! The endpoints, a file for each area.

pub(crate) mod abilities;
pub(crate) mod blocks;
pub(crate) mod contacts;
pub(crate) mod demo_session;
pub(crate) mod discovery;
pub(crate) mod export;
pub(crate) mod find;
pub(crate) mod handle;
pub(crate) mod invitations;
pub(crate) mod join_links;
pub(crate) mod links;
pub(crate) mod matching;
pub(crate) mod platform;
pub(crate) mod reach;
pub(crate) mod report;
pub(crate) mod requests;
pub(crate) mod validation;

use linkspan_wire::{ApiError, WholeRequest};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::Value;

/// The only parameter in the path of a request, a user id.
fn user_id_of(request: &WholeRequest) -> Result<OwnedUserId, ApiError> {
    let user_id = request.args.first().and_then(|user_id| UserId::parse(user_id).ok());
    user_id.ok_or_else(|| ApiError::invalid_param("the path needs a user id"))
}

/// The first parameter in the path of a request, a room id.
fn room_id_of(request: &WholeRequest) -> Result<OwnedRoomId, ApiError> {
    let room_id = request.args.first().and_then(|room_id| RoomId::parse(room_id).ok());
    room_id.ok_or_else(|| ApiError::invalid_param("the path needs a room id"))
}

/// An object without its fields that are null.
fn without_nulls(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, field| !field.is_null());
    }
    value
}
