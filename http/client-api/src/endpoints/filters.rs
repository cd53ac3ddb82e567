//! Stored filters.

use axum::{extract::Request, response::Response};
use linkspan_rooms::RelationFilter;
use linkspan_sync::RelationFilters;
use ruma::api::{
    client::filter::{FilterDefinition, create_filter, get_filter},
    error::ErrorKind,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    App,
    caller::User,
    endpoint::{BODY_BYTES, check_object, parse, path_args, read_body, respond},
    error::ApiError,
    router::json_response,
};

pub(crate) async fn create_filter(app: App, caller: User, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let args = path_args(&mut parts)?;
    let body = read_body(body, BODY_BYTES).await?;
    let request: create_filter::v3::Request = parse(parts, &args, &body)?;
    caller.check_is(&request.user_id)?;
    let _: RelationFilters = part_of(&body)?;
    let id = app.accounts.create_filter(&caller.user_id, &part_of(&body)?).await?;
    respond(create_filter::v3::Response::new(id))
}

pub(crate) async fn get_filter(app: App, caller: User, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let args = path_args(&mut parts)?;
    let request: get_filter::v3::Request = parse(parts, &args, &[])?;
    caller.check_is(&request.user_id)?;
    let filter = app.accounts.filter(&caller.user_id, &request.filter_id).await?;
    let filter = filter.ok_or_else(|| ApiError::not_found("you have no such filter"))?;
    Ok(json_response(filter.into_bytes()))
}

/// The filter of a sync: None, JSON, or the id of one that is stored.
pub(crate) async fn sync_filter(
    app: &App,
    user: &User,
    filter: Option<&str>,
) -> Result<(FilterDefinition, RelationFilters), ApiError> {
    let Some(filter) = filter else { return Ok(Default::default()) };
    let json = if filter.starts_with('{') {
        check_object(filter.as_bytes())?;
        filter.to_owned()
    } else {
        let stored = app.accounts.filter(&user.user_id, filter).await?;
        stored.ok_or_else(|| ApiError::bad_request(ErrorKind::InvalidParam, "there is no such filter"))?
    };
    Ok((part_of(json.as_bytes())?, part_of(json.as_bytes())?))
}

/// What the filter of a search asks for of relations, in the body of the request.
pub(crate) fn search_relations(body: &[u8]) -> Result<RelationFilter, ApiError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        search_categories: Categories,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Categories {
        room_events: Option<Criteria>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Criteria {
        filter: Option<RelationFilter>,
    }
    let criteria = part_of::<Body>(body)?.search_categories.room_events.unwrap_or_default();
    Ok(criteria.filter.unwrap_or_default())
}

fn part_of<T: DeserializeOwned>(json: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(json)
        .map_err(|error| ApiError::bad_request(ErrorKind::InvalidParam, error.to_string()))
}
