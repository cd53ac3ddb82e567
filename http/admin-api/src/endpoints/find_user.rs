//! Finding the account that somebody means.

use axum::response::Response;
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer};
use serde::Deserialize;
use serde_json::json;

use super::users::to_wire;

#[derive(Deserialize)]
struct Query {
    name: String,
}

pub(crate) async fn find_user(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { name } = request.query()?;
    let found = app.accounts.account_named(operator.platform.server_name(), &name).await?;
    Ok(json_answer(&json!({ "user": found.as_ref().map(to_wire) })))
}
