//! Logging in and out, and refreshing tokens.

use std::time::Duration;

use axum::response::Response;
use linkspan_accounts::{Credentials, Identifier, LoggedIn, NewDevice, ValidationSession};
use linkspan_wire::{
    AnySession, Anybody, ApiError, App, User, WholeRequest, json_answer, note_failed_log_in, now_ts, respond,
};
use ruma::{
    OwnedDeviceId,
    api::{
        client::{
            account::whoami,
            session::{
                get_login_token,
                login::{
                    self,
                    v3::{LoginInfo, Password},
                },
                logout, logout_all, refresh_token,
            },
            uiaa::{MatrixUserIdentifier, ThirdpartyIdCredentials, UserIdentifier},
        },
        error::ErrorKind,
    },
};
use serde::Deserialize;
use serde_json::json;

pub(crate) fn duration_ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Does not answer with ruma's response, which lacks what tells older clients that the platform prefers
/// OAuth.
pub(crate) async fn get_login_types(
    app: App,
    caller: Anybody,
    _: WholeRequest,
) -> Result<Response, ApiError> {
    let mut flows = vec![
        json!({ "type": "m.login.password" }),
        json!({ "type": "m.login.token", "get_login_token": true }),
    ];
    flows.extend(app.accounts.log_in_stage(&caller.platform).map(|by_code| json!({ "type": by_code })));
    if caller.platform.settings.oauth {
        flows.push(json!({
            "type": "m.login.sso",
            "oauth_aware_preferred": true,
            "org.matrix.msc3824.delegated_oidc_compatibility": true,
        }));
    }
    Ok(json_answer(&json!({ "flows": flows })))
}

pub(crate) async fn get_login_token(
    app: App,
    caller: User,
    request: get_login_token::v1::Request,
) -> Result<get_login_token::v1::Response, ApiError> {
    caller.check_proves_by_password()?;
    let attempt = caller.attempt(request.auth.as_ref());
    let token = app.accounts.prove_login_token(&caller.user_id, attempt, now_ts()).await?;
    Ok(get_login_token::v1::Response::new(duration_ms(token.expires_in_ms), token.token))
}

/// What every body of a log-in has to have.
#[derive(Deserialize)]
struct WithType {
    #[serde(rename = "type")]
    login_type: Option<String>,
}

/// Looks for a `type` before ruma does, which takes it for granted and panics otherwise.
pub(crate) async fn log_in(app: App, caller: Anybody, request: WholeRequest) -> Result<Response, ApiError> {
    let typed: WithType = request.json()?;
    let Some(login_type) = typed.login_type else {
        return Err(ApiError::bad_request(ErrorKind::MissingParam, "the type of log-in is missing"));
    };
    let by_code = app.accounts.log_in_stage(&caller.platform);
    let (platform, address) = (caller.platform.clone(), caller.address);
    let logged_in = match by_code.is_some_and(|by_code| by_code.as_str() == login_type) {
        true => log_in_by_code(&app, caller, request.json()?).await,
        false => log_in_typed(&app, caller, request.parse()?).await,
    };
    let logged_in = logged_in.inspect_err(|error| {
        if let ApiError::Standard { kind: ErrorKind::Forbidden | ErrorKind::ThreepidAuthFailed, .. } = error {
            note_failed_log_in(&platform, address);
        }
    })?;
    app.forget_devices(logged_in.gave_way).await?;
    let mut response =
        login::v3::Response::new(logged_in.user_id, logged_in.access_token, logged_in.device_id);
    response.refresh_token = logged_in.refresh_token;
    response.expires_in = logged_in.expires_in_ms.map(duration_ms);
    respond(response)
}

async fn log_in_typed(app: &App, caller: Anybody, request: login::v3::Request) -> Result<LoggedIn, ApiError> {
    let device = NewDevice {
        device_id: request.device_id,
        display_name: request.initial_device_display_name,
        refreshable: request.refresh_token,
        address: Some(caller.address),
    };
    let platform = &caller.platform;
    Ok(match request.login_info {
        LoginInfo::Token(login) => {
            app.accounts.log_in_by_token(platform, &login.token, device, now_ts()).await?
        }
        login => {
            let credentials = credentials(login)?;
            app.accounts.log_in(platform, credentials, device, now_ts()).await?
        }
    })
}

/// A log-in by a code that was sent to the number or address that people are known by. The specification has such
/// credentials for interactive authentication only.
#[derive(Deserialize)]
struct ByCode {
    threepid_creds: ThirdpartyIdCredentials,
    /// The second step, if the account has one.
    password: Option<String>,
    device_id: Option<OwnedDeviceId>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    refresh_token: bool,
}

async fn log_in_by_code(app: &App, caller: Anybody, login: ByCode) -> Result<LoggedIn, ApiError> {
    let session = ValidationSession {
        sid: login.threepid_creds.sid.to_string(),
        client_secret: login.threepid_creds.client_secret.to_string(),
    };
    let device = NewDevice {
        device_id: login.device_id,
        display_name: login.initial_device_display_name,
        refreshable: login.refresh_token,
        address: Some(caller.address),
    };
    let (platform, password) = (&caller.platform, login.password);
    Ok(app.accounts.log_in_by_code(platform, &session, password, device, now_ts()).await?)
}

fn credentials(login: LoginInfo) -> Result<Credentials, ApiError> {
    match login {
        LoginInfo::Password(login) => {
            let password = login.password.clone();
            Ok(Credentials { identifier: identifier(login)?, password })
        }
        LoginInfo::ApplicationService(_) => Err(ApiError::bad_request(
            ErrorKind::AppserviceLoginUnsupported,
            "application services cannot log in",
        )),
        _ => Err(ApiError::bad_request(ErrorKind::Unknown, "this type of log-in is not supported")),
    }
}

/// Who logs in by password. Before there were identifiers this was said by `user`, or by `medium` and
/// `address`.
#[allow(deprecated)]
fn identifier(login: Password) -> Result<Identifier, ApiError> {
    let user = login.user.map(|user| UserIdentifier::Matrix(MatrixUserIdentifier::new(user)));
    let third_party = login.medium.zip(login.address);
    let third_party =
        third_party.map(|(medium, address)| UserIdentifier::third_party_id(medium.into(), address));
    let identifier = login.identifier.or(user).or(third_party);
    let identifier = identifier
        .ok_or_else(|| ApiError::bad_request(ErrorKind::MissingParam, "the identifier is missing"))?;
    Identifier::from_wire(&identifier)
        .ok_or_else(|| ApiError::forbidden("log in with a user id, an e-mail address or a phone number"))
}

pub(crate) async fn refresh_token(
    app: App,
    caller: Anybody,
    request: refresh_token::v3::Request,
) -> Result<refresh_token::v3::Response, ApiError> {
    let platform = caller.platform.server_name();
    let refreshed = app.accounts.refresh(platform, &request.refresh_token, now_ts()).await?;
    let mut response = refresh_token::v3::Response::new(refreshed.access_token);
    response.refresh_token = Some(refreshed.refresh_token);
    response.expires_in_ms = Some(duration_ms(refreshed.expires_in_ms));
    Ok(response)
}

pub(crate) async fn log_out(
    app: App,
    AnySession { user: caller, .. }: AnySession,
    _: logout::v3::Request,
) -> Result<logout::v3::Response, ApiError> {
    let removed = app.accounts.log_out(&caller.user_id, &caller.device_id).await?;
    app.forget_devices(removed).await?;
    Ok(logout::v3::Response::new())
}

pub(crate) async fn log_out_all(
    app: App,
    AnySession { user: caller, .. }: AnySession,
    _: logout_all::v3::Request,
) -> Result<logout_all::v3::Response, ApiError> {
    let removed = app.accounts.log_out_everywhere(&caller.user_id, &caller.device_id).await?;
    app.forget_devices(removed).await?;
    Ok(logout_all::v3::Response::new())
}

pub(crate) async fn whoami(
    _: App,
    caller: User,
    _: whoami::v3::Request,
) -> Result<whoami::v3::Response, ApiError> {
    let mut response = whoami::v3::Response::new(caller.user_id, caller.guest);
    response.device_id = Some(caller.device_id);
    Ok(response)
}
