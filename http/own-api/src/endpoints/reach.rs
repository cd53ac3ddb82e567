//! Who may reach the caller: the caller's own rules, and those of the platform that they come after.

use axum::response::Response;
use linkspan_domain::parse_reach_rules;
use linkspan_wire::{ApiError, App, User, WholeRequest, json_answer};
use ruma::api::error::ErrorKind;
use serde_json::json;

pub(crate) async fn get_reach(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let choices = app.contacts.choices(&caller.user_id).await?;
    Ok(json_answer(&json!({ "rules": choices.own_rules(), "platform_rules": choices.platform_rules() })))
}

pub(crate) async fn set_reach(app: App, caller: User, request: WholeRequest) -> Result<Response, ApiError> {
    let content: Box<serde_json::value::RawValue> = request.json()?;
    let rules = parse_reach_rules(content.get())
        .map_err(|error| ApiError::bad_request(ErrorKind::BadJson, error.to_string()))?;
    app.contacts.set_own_rules(&caller.user_id, rules).await?;
    Ok(json_answer(&json!({})))
}
