//! Profiles. Setting a field changes the member events of rooms, too.
//! <https://spec.matrix.org/v1.19/client-server-api/#profiles>

use axum::response::Response;
use linkspan_wire::{ApiError, App, Caller, MaybeUser, User, WholeRequest, json_answer, now_ts};
use ruma::{
    UserId,
    api::{
        client::profile::{ProfileFieldValue, delete_profile_field, get_profile, get_profile_field},
        error::ErrorKind,
    },
};
use serde_json::{Map, Value, json};

/// The profile of a user whom the caller may know of. Whoever has not logged in is shown what another server would be: as
/// much as the user lets strangers see.
pub(crate) async fn get_profile(
    app: App,
    caller: MaybeUser,
    request: get_profile::v3::Request,
) -> Result<get_profile::v3::Response, ApiError> {
    let profile = app.rooms.profile_for(&request.user_id, caller.user_id()).await?;
    let mut response = get_profile::v3::Response::new();
    profile.into_iter().for_each(|(field, value)| response.set(field, value));
    Ok(response)
}

pub(crate) async fn get_profile_field(
    app: App,
    caller: MaybeUser,
    request: get_profile_field::v3::Request,
) -> Result<get_profile_field::v3::Response, ApiError> {
    let field = request.field.as_str();
    let value = app.rooms.profile_for(&request.user_id, caller.user_id()).await?.remove(field);
    let value = value.ok_or_else(|| ApiError::not_found("this profile has no such field"))?;
    let value = ProfileFieldValue::new(field, value)
        .map_err(|error| ApiError::bad_request(ErrorKind::Unknown, error.to_string()))?;
    Ok(get_profile_field::v3::Response::new(value))
}

/// Sets a field. Clients remove names and pictures by null or by leaving them out, which ruma's type refuses.
pub(crate) async fn set_profile_field(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let invalid = |message: &str| ApiError::invalid_param(message);
    let [user_id, field] = &request.args[..] else { return Err(invalid("a user and a field are needed")) };
    caller.check_is(&UserId::parse(user_id).map_err(|_| invalid("this is no user id"))?)?;
    let mut content: Map<String, Value> = request.json()?;
    let value = match (content.remove(field), field.as_str()) {
        (None | Some(Value::Null), "displayname" | "avatar_url") => None,
        (None, _) => {
            return Err(ApiError::bad_request(ErrorKind::MissingParam, format!("`{field}` is missing")));
        }
        (value, _) => value,
    };
    app.rooms.set_profile_field(&caller.user_id, field, value, now_ts()).await?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn delete_profile_field(
    app: App,
    caller: User,
    request: delete_profile_field::v3::Request,
) -> Result<delete_profile_field::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    app.rooms.set_profile_field(&caller.user_id, request.field.as_str(), None, now_ts()).await?;
    Ok(delete_profile_field::v3::Response::new())
}
