//! Registration tokens, with which people register where registration is by token.

use axum::response::Response;
use linkspan_accounts::RegistrationTokenInfo;
use linkspan_wire::{ApiError, App, Operator, WholeRequest, json_answer, now_ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, next_batch};

#[derive(Deserialize)]
struct NewToken {
    token: Option<String>,
    uses_allowed: Option<u64>,
    expires_ts: Option<u64>,
}

pub(crate) async fn create_registration_token(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let NewToken { token, uses_allowed, expires_ts } = request.json()?;
    if uses_allowed == Some(0) {
        return Err(ApiError::invalid_param("a token that can be used 0 times lets nobody in"));
    }
    let platform = operator.platform.server_name().to_owned();
    let made = app.accounts.create_registration_token(&platform, token, uses_allowed, expires_ts).await?;
    Ok(json_answer(&to_wire(&made)))
}

pub(crate) async fn list_registration_tokens(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let page: Page = request.query()?;
    let (platform, limit) = (operator.platform.server_name().to_owned(), page.limit()?);
    let tokens = app.accounts.list_registration_tokens(&platform, page.from.as_deref(), limit).await?;
    let next = next_batch(&tokens, limit, |last| last.token.clone());
    let tokens: Vec<Value> = tokens.iter().map(to_wire).collect();
    Ok(json_answer(&json!({ "registration_tokens": tokens, "next_batch": next })))
}

pub(crate) async fn delete_registration_token(
    app: App,
    operator: Operator,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let token = request.args.first().map(String::as_str).unwrap_or_default();
    let platform = operator.platform.server_name().to_owned();
    if !app.accounts.delete_registration_token(&platform, token).await? {
        return Err(ApiError::not_found(format!("{platform} has no registration token {token:?}")));
    }
    Ok(json_answer(&json!({})))
}

fn to_wire(token: &RegistrationTokenInfo) -> Value {
    json!({
        "token": token.token,
        "uses_allowed": token.uses_allowed,
        "completed": token.completed,
        "expires_ts": token.expires_ts,
        "valid": token.is_valid(now_ts()),
    })
}
