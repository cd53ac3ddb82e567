//! Stored filters.

use ruma::api::client::filter::{create_filter, get_filter};

use crate::{App, caller::User, error::ApiError};

pub(crate) async fn create_filter(
    app: App,
    caller: User,
    request: create_filter::v3::Request,
) -> Result<create_filter::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    let id = app.accounts.create_filter(&caller.user_id, &request.filter).await?;
    Ok(create_filter::v3::Response::new(id))
}

pub(crate) async fn get_filter(
    app: App,
    caller: User,
    request: get_filter::v3::Request,
) -> Result<get_filter::v3::Response, ApiError> {
    caller.check_is(&request.user_id)?;
    let filter = app.accounts.filter(&caller.user_id, &request.filter_id).await?;
    let filter = filter.ok_or_else(|| ApiError::not_found("you have no such filter"))?;
    Ok(get_filter::v3::Response::new(filter))
}
