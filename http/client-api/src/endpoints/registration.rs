//! Registering accounts, by people and by operators' tools.

use axum::response::Response;
use linkspan_accounts::{NewDevice, Registered, Registration, SharedSecretRegistration};
use linkspan_wire::{Anybody, ApiError, App, WholeRequest, json_answer, now_ts};
use ruma::{
    OwnedDeviceId,
    api::{
        client::account::{
            check_registration_token_validity, get_username_availability, register,
            register::{LoginType, RegistrationKind},
        },
        error::ErrorKind,
    },
};
use serde::Deserialize;
use serde_json::json;

use crate::endpoints::session::duration_ms;

pub(crate) async fn register(
    app: App,
    caller: Anybody,
    request: register::v3::Request,
) -> Result<register::v3::Response, ApiError> {
    if request.kind == RegistrationKind::Guest {
        let name = request.initial_device_display_name;
        let registered =
            app.accounts.register_guest(&caller.platform, name, caller.address, now_ts()).await?;
        return Ok(response_to(registered));
    }
    check_kind(&request)?;
    let device = (!request.inhibit_login).then_some(NewDevice {
        device_id: request.device_id,
        display_name: request.initial_device_display_name,
        refreshable: request.refresh_token,
        address: Some(caller.address),
    });
    let registration = Registration {
        username: request.username,
        password: request.password,
        device,
        guest_access_token: request.guest_access_token,
        address: Some(caller.address),
    };
    let mut registered =
        app.accounts.register(&caller.platform, registration, request.auth.as_ref(), now_ts()).await?;
    app.forget_devices(Vec::from_iter(registered.removed.take())).await?;
    Ok(response_to(registered))
}

fn response_to(registered: Registered) -> register::v3::Response {
    let mut response = register::v3::Response::new(registered.user_id);
    if let Some(logged_in) = registered.logged_in {
        response.access_token = Some(logged_in.access_token);
        response.device_id = Some(logged_in.device_id);
        response.refresh_token = logged_in.refresh_token;
        response.expires_in = logged_in.expires_in_ms.map(duration_ms);
    }
    response
}

fn check_kind(request: &register::v3::Request) -> Result<(), ApiError> {
    match (&request.kind, &request.login_type) {
        (RegistrationKind::User, None) => Ok(()),
        (RegistrationKind::User, Some(LoginType::ApplicationService)) => Err(ApiError::bad_request(
            ErrorKind::AppserviceLoginUnsupported,
            "application services cannot register",
        )),
        _ => Err(ApiError::invalid_param("unknown kind of registration")),
    }
}

pub(crate) async fn get_username_availability(
    app: App,
    caller: Anybody,
    request: get_username_availability::v3::Request,
) -> Result<get_username_availability::v3::Response, ApiError> {
    app.accounts.check_username(&caller.platform, &request.username, now_ts()).await?;
    Ok(get_username_availability::v3::Response::new(true))
}

pub(crate) async fn check_registration_token(
    app: App,
    caller: Anybody,
    request: check_registration_token_validity::v1::Request,
) -> Result<check_registration_token_validity::v1::Response, ApiError> {
    let platform = caller.platform.server_name();
    let valid = app.accounts.registration_token_is_valid(platform, &request.token, now_ts()).await?;
    Ok(check_registration_token_validity::v1::Response::new(valid))
}

pub(crate) async fn get_registration_nonce(
    app: App,
    caller: Anybody,
    _: WholeRequest,
) -> Result<Response, ApiError> {
    let nonce = app.accounts.new_registration_nonce(&caller.platform, caller.address, now_ts());
    Ok(json_answer(&json!({ "nonce": nonce.ok_or_else(no_shared_secret)? })))
}

/// The body of a registration by shared secret.
#[derive(Deserialize)]
struct SharedSecretBody {
    nonce: String,
    username: String,
    password: String,
    #[serde(default)]
    admin: bool,
    user_type: Option<String>,
    mac: String,
    #[serde(default)]
    inhibit_login: bool,
    device_id: Option<OwnedDeviceId>,
    initial_device_display_name: Option<String>,
}

pub(crate) async fn register_by_shared_secret(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    if caller.platform.settings.registration_shared_secret.is_empty() {
        return Err(no_shared_secret());
    }
    let body: SharedSecretBody = request.json()?;
    let device = (!body.inhibit_login).then_some(NewDevice {
        device_id: body.device_id,
        display_name: body.initial_device_display_name,
        refreshable: false,
        address: Some(caller.address),
    });
    let SharedSecretBody { nonce, username, password, admin, user_type, mac, .. } = body;
    let registration = SharedSecretRegistration { nonce, username, password, admin, user_type, mac, device };
    let registered = app.accounts.register_by_shared_secret(&caller.platform, registration, now_ts()).await?;
    let mut answer = json!({
        "user_id": registered.user_id,
        "home_server": caller.platform.server_name(),
    });
    if let Some(logged_in) = registered.logged_in {
        answer["access_token"] = logged_in.access_token.into();
        answer["device_id"] = logged_in.device_id.as_str().into();
    }
    Ok(json_answer(&answer))
}

fn no_shared_secret() -> ApiError {
    ApiError::new(http::StatusCode::NOT_FOUND, ErrorKind::Unrecognized, "there is no shared secret here")
}
