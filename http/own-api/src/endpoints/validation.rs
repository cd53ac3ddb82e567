//! Taking the code of a message that confirms an address or a number.
//! <https://spec.matrix.org/v1.19/identity-service-api/#post_matrixidentityv2validatemsisdnsubmittoken>

use axum::response::Response;
use linkspan_accounts::{AccountsError, ValidationSession};
use linkspan_wire::{Anybody, ApiError, App, WholeRequest, json_answer, now_ts};
use ruma::OwnedClientSecret;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct SubmittedCode {
    sid: String,
    client_secret: OwnedClientSecret,
    token: String,
}

/// Clients were told of this address as `submit_url`. A wrong code is no error, which the specification leaves open:
/// clients show that the code was wrong then, and of an error only that something failed.
pub(crate) async fn submit_code(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let SubmittedCode { sid, client_secret, token } = request.json()?;
    let session = ValidationSession { sid, client_secret: client_secret.to_string() };
    let platform = caller.platform.server_name();
    let success = match app.accounts.validate_by_code(platform, &session, token.trim(), now_ts()).await {
        Ok(()) => true,
        Err(AccountsError::WrongCode) => false,
        Err(error) => return Err(error.into()),
    };
    Ok(json_answer(&json!({ "success": success })))
}
