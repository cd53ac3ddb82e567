//! Looking people up by hashes of their addresses.
//! <https://spec.matrix.org/v1.19/identity-service-api/#association-lookup>

use axum::response::Response;
use linkspan_wire::{Anybody, ApiError, App, WholeRequest, json_answer, now_ts};
use serde::Deserialize;
use serde_json::json;

use crate::{account::proved_user, check_open};

/// The one algorithm. The other that the specification has, `none`, would take addresses in the clear.
const SHA256: &str = "sha256";

pub(crate) async fn get_identity_versions(
    _: App,
    caller: Anybody,
    _: WholeRequest,
) -> Result<Response, ApiError> {
    check_open(&caller.platform)?;
    Ok(json_answer(&json!({ "versions": ["v1.1", "v1.19"] })))
}

pub(crate) async fn get_identity_status(
    _: App,
    caller: Anybody,
    _: WholeRequest,
) -> Result<Response, ApiError> {
    check_open(&caller.platform)?;
    Ok(json_answer(&json!({})))
}

pub(crate) async fn get_hash_details(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    proved_user(&app, &caller, &request.parts).await?;
    Ok(json_answer(&json!({ "algorithms": [SHA256], "lookup_pepper": app.matching.pepper().await? })))
}

#[derive(Deserialize)]
struct Lookup {
    algorithm: String,
    pepper: String,
    addresses: Vec<String>,
}

pub(crate) async fn look_up(app: App, caller: Anybody, request: WholeRequest) -> Result<Response, ApiError> {
    let user_id = proved_user(&app, &caller, &request.parts).await?;
    let Lookup { algorithm, pepper, addresses } = request.json()?;
    if algorithm != SHA256 {
        return Err(ApiError::invalid_param("the algorithm has to be sha256"));
    }
    let mappings = app.finding.look_up(&user_id, &pepper, &addresses, now_ts()).await?;
    Ok(json_answer(&json!({ "mappings": mappings })))
}
