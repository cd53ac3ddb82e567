//! Where the endpoints and pages of a platform's OAuth 2.0 server are, and the way there for clients that
//! know only single sign-on.
//! <https://spec.matrix.org/v1.19/client-server-api/#server-metadata-discovery>

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use linkspan_platforms::Platform;
use linkspan_wire::{
    ACCOUNT_PAGE, AUTHORIZATION_PAGE, Anybody, ApiError, App, SSO_PAGE, WholeRequest, base_url, issuer,
    json_answer,
};
use ruma::api::error::ErrorKind;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;

pub(crate) const REGISTRATION: &str = "/_linkspan/oauth2/registration";
pub(crate) const TOKEN: &str = "/_linkspan/oauth2/token";
pub(crate) const REVOCATION: &str = "/_linkspan/oauth2/revocation";
pub(crate) const DEVICE_AUTHORIZATION: &str = "/_linkspan/oauth2/device_authorization";

/// What the page for accounts can be opened for. The last lines are names from before they were specified.
const ACTIONS: [&str; 9] = [
    "org.matrix.profile",
    "org.matrix.devices_list",
    "org.matrix.device_view",
    "org.matrix.device_delete",
    "org.matrix.account_deactivate",
    "org.matrix.cross_signing_reset",
    "org.matrix.sessions_list",
    "org.matrix.session_view",
    "org.matrix.session_end",
];

/// Refuses where the platform has no OAuth 2.0.
pub(crate) fn check_oauth(platform: &Platform) -> Result<(), ApiError> {
    if platform.settings.oauth {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::NOT_FOUND, ErrorKind::Unrecognized, "there is no OAuth 2.0 here"))
}

pub(crate) async fn get_auth_metadata(
    _: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    check_oauth(&caller.platform)?;
    let base = base_url(&request.parts.headers, &caller.platform);
    let at = |path: &str| format!("{base}{path}");
    Ok(json_answer(&json!({
        "issuer": issuer(&base),
        "authorization_endpoint": at(AUTHORIZATION_PAGE),
        "token_endpoint": at(TOKEN),
        "registration_endpoint": at(REGISTRATION),
        "revocation_endpoint": at(REVOCATION),
        "device_authorization_endpoint": at(DEVICE_AUTHORIZATION),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "grant_types_supported":
            ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "prompt_values_supported": ["create"],
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": ["urn:matrix:client:api:*"],
        "account_management_uri": at(ACCOUNT_PAGE),
        "account_management_actions_supported": ACTIONS,
    })))
}

pub(crate) async fn get_auth_issuer(
    _: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    check_oauth(&caller.platform)?;
    Ok(json_answer(&json!({ "issuer": issuer(&base_url(&request.parts.headers, &caller.platform)) })))
}

/// What a client that knows single sign-on asks.
#[derive(Deserialize)]
struct SsoQuery {
    #[serde(rename = "redirectUrl")]
    redirect_url: Option<String>,
    action: Option<String>,
    /// The same, under the name that it had before it was specified.
    #[serde(rename = "org.matrix.msc3824.action")]
    unstable_action: Option<String>,
}

pub(crate) async fn redirect_to_log_in(
    _: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    check_oauth(&caller.platform)?;
    let query: SsoQuery = request.query()?;
    let redirect_url = query
        .redirect_url
        .ok_or_else(|| ApiError::bad_request(ErrorKind::MissingParam, "redirectUrl is missing"))?;
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("redirectUrl", &redirect_url);
    let action = query.action.or(query.unstable_action);
    pairs.extend_pairs(action.iter().map(|action| ("action", action.as_str())));
    let location = HeaderValue::try_from(format!("{SSO_PAGE}?{}", pairs.finish()))
        .map_err(|error| ApiError::internal(&error))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Refuses every provider that has an id: there is only one, which has none.
pub(crate) async fn redirect_to_provider(_: App, _: Anybody, _: WholeRequest) -> Result<Response, ApiError> {
    Err(ApiError::not_found("there is no such identity provider"))
}
