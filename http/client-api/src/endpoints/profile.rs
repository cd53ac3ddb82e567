//! Reading profiles. Setting them changes rooms, too, and stands with those.

use ruma::api::{
    client::profile::{ProfileFieldValue, get_profile, get_profile_field},
    error::ErrorKind,
};

use crate::{App, caller::Anybody, error::ApiError};

pub(crate) async fn get_profile(
    app: App,
    _: Anybody,
    request: get_profile::v3::Request,
) -> Result<get_profile::v3::Response, ApiError> {
    let profile = app.accounts.public_profile(&request.user_id).await?;
    let mut response = get_profile::v3::Response::new();
    profile.into_iter().for_each(|(field, value)| response.set(field, value));
    Ok(response)
}

pub(crate) async fn get_profile_field(
    app: App,
    _: Anybody,
    request: get_profile_field::v3::Request,
) -> Result<get_profile_field::v3::Response, ApiError> {
    let field = request.field.as_str();
    let value = app.accounts.public_profile(&request.user_id).await?.remove(field);
    let value = value.ok_or_else(|| ApiError::not_found("this profile has no such field"))?;
    let value = ProfileFieldValue::new(field, value)
        .map_err(|error| ApiError::bad_request(ErrorKind::Unknown, error.to_string()))?;
    Ok(get_profile_field::v3::Response::new(value))
}
