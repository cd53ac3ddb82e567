//! Networks beyond Matrix, which bridges connect. There are none, so nothing of them is found.
//! <https://spec.matrix.org/v1.19/client-server-api/#third-party-networks>

use std::collections::BTreeMap;

use linkspan_wire::{ApiError, App, User};
use ruma::api::client::thirdparty::{
    get_location_for_protocol, get_location_for_room_alias, get_protocol, get_protocols,
    get_user_for_protocol, get_user_for_user_id,
};

fn no_such_protocol() -> ApiError {
    ApiError::not_found("no network of this protocol is connected")
}

pub(crate) async fn get_thirdparty_protocols(
    _: App,
    _: User,
    _: get_protocols::v3::Request,
) -> Result<get_protocols::v3::Response, ApiError> {
    Ok(get_protocols::v3::Response::new(BTreeMap::new()))
}

pub(crate) async fn get_thirdparty_protocol(
    _: App,
    _: User,
    _: get_protocol::v3::Request,
) -> Result<get_protocol::v3::Response, ApiError> {
    Err(no_such_protocol())
}

pub(crate) async fn get_thirdparty_locations(
    _: App,
    _: User,
    _: get_location_for_protocol::v3::Request,
) -> Result<get_location_for_protocol::v3::Response, ApiError> {
    Err(no_such_protocol())
}

pub(crate) async fn get_thirdparty_users(
    _: App,
    _: User,
    _: get_user_for_protocol::v3::Request,
) -> Result<get_user_for_protocol::v3::Response, ApiError> {
    Err(no_such_protocol())
}

pub(crate) async fn get_thirdparty_locations_of_alias(
    _: App,
    _: User,
    _: get_location_for_room_alias::v3::Request,
) -> Result<get_location_for_room_alias::v3::Response, ApiError> {
    Err(ApiError::not_found("this alias is of no other network"))
}

pub(crate) async fn get_thirdparty_users_of_user(
    _: App,
    _: User,
    _: get_user_for_user_id::v3::Request,
) -> Result<get_user_for_user_id::v3::Response, ApiError> {
    Err(ApiError::not_found("this user is of no other network"))
}
