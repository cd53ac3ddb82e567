//! Registration tokens.

use axum::response::Response;
use linkspan_accounts::RegistrationTokenInfo;
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{MAX_PAGE, arg};

#[derive(Deserialize)]
struct Query {
    valid: Option<bool>,
}

pub(crate) async fn synapse_list_tokens(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { valid } = request.query()?;
    let platform = operator.platform.server_name().to_owned();
    let tokens = app.accounts.list_registration_tokens(&platform, None, MAX_PAGE).await?;
    let wanted = |token: &&RegistrationTokenInfo| valid.is_none_or(|valid| valid == token.is_valid(now_ts()));
    let tokens: Vec<Value> = tokens.iter().filter(wanted).map(to_wire).collect();
    Ok(json_answer(&json!({ "registration_tokens": tokens })))
}

#[derive(Deserialize)]
struct NewToken {
    token: Option<String>,
    uses_allowed: Option<u64>,
    expiry_time: Option<u64>,
}

pub(crate) async fn synapse_create_token(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let NewToken { token, uses_allowed, expiry_time } = request.json()?;
    if uses_allowed == Some(0) {
        return Err(ApiError::invalid_param("a token that can be used 0 times lets nobody in"));
    }
    let platform = operator.platform.server_name().to_owned();
    let made = app.accounts.create_registration_token(&platform, token, uses_allowed, expiry_time).await?;
    Ok(json_answer(&to_wire(&made)))
}

pub(crate) async fn synapse_delete_token(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let platform = operator.platform.server_name().to_owned();
    match app.accounts.delete_registration_token(&platform, arg(&request, 0)).await? {
        true => Ok(json_answer(&json!({}))),
        false => Err(ApiError::not_found("there is no such registration token")),
    }
}

fn to_wire(token: &RegistrationTokenInfo) -> Value {
    json!({
        "token": token.token,
        "uses_allowed": token.uses_allowed,
        "pending": 0,
        "completed": token.completed,
        "expiry_time": token.expires_ts,
    })
}
