//! Whether an invitation to an address still waits. Every platform says it of its own people's invitations, also where
//! nobody is looked up: rooms name this address.
//! <https://spec.matrix.org/v1.19/identity-service-api/#invitation-storage>

use axum::response::Response;
use linkspan_wire::{Anybody, ApiError, App, WholeRequest, json_answer};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Query {
    public_key: String,
}

pub(crate) async fn is_invitation_valid(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let Query { public_key } = request.query()?;
    let valid = app.rooms.is_invitation_key(caller.platform.server_name(), &public_key).await?;
    Ok(json_answer(&json!({ "valid": valid })))
}
