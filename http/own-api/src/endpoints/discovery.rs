//! Who may find the caller: the caller's own choice, and what holds where it says nothing.

use axum::response::Response;
use linkspan_domain::parse_discovery;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer};
use ruma::api::error::ErrorKind;
use serde_json::json;

pub(crate) async fn get_discovery(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let choices = app.contacts.choices(&caller.user_id).await?;
    Ok(json_answer(&json!({ "own": choices.own_discovery(), "platform": choices.platform_discovery() })))
}

pub(crate) async fn set_discovery(
    app: App,
    caller: User,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let content: Box<serde_json::value::RawValue> = request.json()?;
    let own = parse_discovery(content.get())
        .map_err(|error| ApiError::bad_request(ErrorKind::BadJson, error.to_string()))?;
    app.contacts.set_own_discovery(&caller.user_id, &own).await?;
    Ok(json_answer(&json!({})))
}
