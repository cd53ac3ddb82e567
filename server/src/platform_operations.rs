//! What the operator of the whole back-end asks about platforms: which there are, and their signing keys.

use std::sync::Arc;

use axum::response::Response;
use hyper::Method;
use linkspan_platforms::{Platform, PlatformsError, RateClass::Other, RateClass::Read, SigningKey};
use linkspan_storage::Store;
use linkspan_wire::{
    ApiError, App, BackEndOperator, Endpoint, WholeRequest, json_answer, now_ts, raw_endpoint,
};
use ruma::{OwnedServerName, ServerName};
use serde_json::{Value, json};

/// Where these operations are explained.
const EXPLAINED: &str = "docs/decisions/0036-settings-change-live.md";

/// The table of their endpoints.
pub(crate) fn endpoints(store: &Store) -> Vec<Endpoint> {
    let (for_list, for_rotation) = (store.clone(), store.clone());
    let list_keys = move |app: App, operator: BackEndOperator, request: WholeRequest| {
        list_keys(app, operator, request, for_list.clone())
    };
    let rotate_key = move |app: App, operator: BackEndOperator, request: WholeRequest| {
        rotate_key(app, operator, request, for_rotation.clone())
    };
    vec![
        raw_endpoint(Method::GET, &["/_linkspan/admin/v1/platforms"], list_hosted_platforms, Read, EXPLAINED),
        raw_endpoint(
            Method::GET,
            &["/_linkspan/admin/v1/platforms/{server_name}/signing_keys"],
            list_keys,
            Read,
            EXPLAINED,
        )
        .named("list_signing_keys"),
        raw_endpoint(
            Method::POST,
            &["/_linkspan/admin/v1/platforms/{server_name}/signing_keys"],
            rotate_key,
            Other,
            EXPLAINED,
        )
        .named("rotate_signing_key"),
    ]
}

async fn list_hosted_platforms(app: App, _: BackEndOperator, _: WholeRequest) -> Result<Response, ApiError> {
    let platforms: Vec<_> = app.platforms.iter().map(|platform| describe(&app, &platform)).collect();
    Ok(json_answer(&json!({ "platforms": platforms })))
}

fn describe(app: &App, platform: &Platform) -> Value {
    let totals = app.census.totals(platform.server_name());
    json!({
        "name": platform.settings.name,
        "server_name": platform.server_name(),
        "state": if platform.settings.fenced { "fenced" } else { "served" },
        "users": totals.map(|totals| totals.accounts),
        "rooms": totals.map(|totals| totals.rooms),
    })
}

async fn list_keys(
    app: App,
    _: BackEndOperator,
    request: WholeRequest,
    store: Store,
) -> Result<Response, ApiError> {
    let platform = platform_in(&app, &request)?;
    let keys = app.platforms.list_signing_keys(&store, platform.server_name()).await.map_err(failed)?;
    let keys: Vec<_> = keys.iter().map(describe_key).collect();
    Ok(json_answer(&json!({ "keys": keys })))
}

async fn rotate_key(
    app: App,
    _: BackEndOperator,
    request: WholeRequest,
    store: Store,
) -> Result<Response, ApiError> {
    let platform = platform_in(&app, &request)?;
    let name = platform.server_name();
    let key = app.platforms.rotate_signing_key(&store, name, now_ts()).await.map_err(failed)?;
    tracing::info!(platform = %name, key = key.id, "the platform signs with a new key");
    Ok(json_answer(&describe_key(&key)))
}

fn describe_key(key: &SigningKey) -> Value {
    json!({
        "key_id": key.id,
        "key": key.public,
        "created_ts": key.created_ts,
        "expired_ts": key.expired_ts,
    })
}

fn platform_in(app: &App, request: &WholeRequest) -> Result<Arc<Platform>, ApiError> {
    let unknown = || ApiError::not_found("this platform is not served here");
    let name = request.args.first().and_then(|name| OwnedServerName::try_from(name.as_str()).ok());
    let name: &ServerName = &name.ok_or_else(unknown)?;
    app.platforms.get(name).ok_or_else(unknown)
}

fn failed(error: PlatformsError) -> ApiError {
    match error {
        PlatformsError::Storage(error) => error.into(),
        error => ApiError::internal(&error),
    }
}
