//! Stored filters.

use std::sync::Arc;

use axum::response::Response;
use linkspan_rooms::RelationFilter;
use linkspan_sync::{FurtherFilters, SyncFilter};
use linkspan_wire::{ApiError, App, User, WholeRequest, check_object, json_response, respond};
use ruma::api::client::filter::{create_filter, get_filter};
use serde::{Deserialize, de::DeserializeOwned};

pub(crate) async fn create_filter(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let body = request.body.clone();
    let request: create_filter::v3::Request = request.parse()?;
    caller.check_is(&request.user_id)?;
    let _: FurtherFilters = part_of(&body)?;
    let id = app.accounts.create_filter(&caller.user_id, &part_of(&body)?).await?;
    respond(create_filter::v3::Response::new(id))
}

pub(crate) async fn get_filter(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let request: get_filter::v3::Request = request.parse()?;
    caller.check_is(&request.user_id)?;
    let filter = app.accounts.filter(&caller.user_id, &request.filter_id).await?;
    let filter = filter.ok_or_else(|| ApiError::not_found("you have no such filter"))?;
    Ok(json_response(filter.into_bytes()))
}

/// The filter of a sync, which names none, is JSON itself, or is the id of one that is stored.
pub(crate) async fn sync_filter(
    app: &App,
    user: &User,
    filter: Option<String>,
) -> Result<Arc<SyncFilter>, ApiError> {
    let Some(filter) = filter else { return Ok(Arc::default()) };
    let is_json = filter.starts_with('{');
    let key = if is_json { filter } else { format!("{} {filter}", user.user_id) };
    if let Some(parsed) = app.sync.parsed_filters().get(&key) {
        return Ok(parsed);
    }
    let stored = match key.split_once(' ') {
        Some((_, id)) if !is_json => {
            let stored = app.accounts.filter(&user.user_id, id).await?;
            let missing = || ApiError::invalid_param("there is no such filter");
            Some(stored.ok_or_else(missing)?)
        }
        _ => None,
    };
    let json = stored.as_ref().unwrap_or(&key).as_bytes();
    check_object(json)?;
    let parsed = Arc::new(SyncFilter::new(part_of(json)?, part_of(json)?));
    let json_bytes = json.len();
    app.sync.parsed_filters().keep(key, parsed.clone(), json_bytes);
    Ok(parsed)
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
    serde_json::from_slice(json).map_err(|error| ApiError::invalid_param(error.to_string()))
}
