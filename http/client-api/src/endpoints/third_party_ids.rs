//! E-mail addresses of accounts, and confirming them. Phone numbers are not supported.
//! <https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information>

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use linkspan_accounts::{EmailPurpose, EmailRequest};
use linkspan_platforms::Platform;
use linkspan_wire::{
    Anybody, ApiError, App, EMAIL_PAGE, User, WholeRequest, json_answer, known_base_url, now_ts, respond,
};
use ruma::{
    OwnedSessionId,
    api::{
        IncomingRequest,
        client::account::{
            ThirdPartyIdRemovalStatus, add_3pid, delete_3pid, request_3pid_management_token_via_email,
            request_3pid_management_token_via_msisdn, request_password_change_token_via_email,
            request_password_change_token_via_msisdn, request_registration_token_via_email,
            request_registration_token_via_msisdn,
        },
        error::ErrorKind,
    },
    thirdparty::Medium,
};
use serde_json::json;

fn denied() -> ApiError {
    let message = "phone numbers are not supported here";
    ApiError::new(StatusCode::FORBIDDEN, ErrorKind::ThreepidDenied, message)
}

fn no_such_medium(medium: &str) -> ApiError {
    let message = format!("{medium} are not supported here");
    ApiError::bad_request(ErrorKind::ThreepidMediumNotSupported, message)
}

/// Reads a request, and the headers that the link in the mail is made from.
fn with_headers<R: IncomingRequest>(request: WholeRequest) -> Result<(HeaderMap, R), ApiError> {
    Ok((request.parts.headers.clone(), request.parse()?))
}

/// Sends the mail that confirms an address. Returns the session in which it is confirmed.
async fn send_token(
    app: &App,
    platform: &Platform,
    headers: &HeaderMap,
    request: EmailRequest,
) -> Result<OwnedSessionId, ApiError> {
    let page = format!("{}{EMAIL_PAGE}", known_base_url(app, platform, headers));
    let sid =
        app.accounts.request_email_validation(platform, EmailRequest { page, ..request }, now_ts()).await?;
    sid.try_into().map_err(|error| ApiError::internal(&error))
}

macro_rules! email_request {
    ($purpose:expr, $request:expr) => {
        EmailRequest {
            purpose: $purpose,
            address: $request.email,
            client_secret: $request.client_secret.to_string(),
            send_attempt: $request.send_attempt.into(),
            next_link: $request.next_link,
            page: String::new(),
        }
    };
}

pub(crate) async fn request_register_token(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    use request_registration_token_via_email::v3;
    let (headers, request): (_, v3::Request) = with_headers(request)?;
    let request = email_request!(EmailPurpose::Register, request);
    respond(v3::Response::new(send_token(&app, &caller.platform, &headers, request).await?))
}

pub(crate) async fn request_password_token(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    use request_password_change_token_via_email::v3;
    let (headers, request): (_, v3::Request) = with_headers(request)?;
    let request = email_request!(EmailPurpose::ResetPassword, request);
    respond(v3::Response::new(send_token(&app, &caller.platform, &headers, request).await?))
}

pub(crate) async fn request_3pid_token(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    use request_3pid_management_token_via_email::v3;
    let (headers, request): (_, v3::Request) = with_headers(request)?;
    if !app.accounts.sends_mails(&caller.platform) {
        return Err(no_such_medium("e-mail addresses"));
    }
    let request = email_request!(EmailPurpose::Add, request);
    respond(v3::Response::new(send_token(&app, &caller.platform, &headers, request).await?))
}

pub(crate) async fn request_register_token_by_phone(
    _: App,
    _: Anybody,
    _: request_registration_token_via_msisdn::v3::Request,
) -> Result<request_registration_token_via_msisdn::v3::Response, ApiError> {
    Err(denied())
}

pub(crate) async fn request_password_token_by_phone(
    _: App,
    _: Anybody,
    _: request_password_change_token_via_msisdn::v3::Request,
) -> Result<request_password_change_token_via_msisdn::v3::Response, ApiError> {
    Err(denied())
}

pub(crate) async fn request_3pid_token_by_phone(
    _: App,
    _: Anybody,
    _: request_3pid_management_token_via_msisdn::v3::Request,
) -> Result<request_3pid_management_token_via_msisdn::v3::Response, ApiError> {
    Err(no_such_medium("phone numbers"))
}

/// Does not answer with ruma's response, which leaves an empty list out: clients take the list for granted.
pub(crate) async fn get_3pids(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let addresses = app.accounts.email_addresses(&caller.user_id).await?;
    let threepids = addresses.into_iter().map(|email| {
        json!({
            "medium": "email",
            "address": email.address,
            "validated_at": email.validated_ts,
            "added_at": email.added_ts,
        })
    });
    Ok(json_answer(&json!({ "threepids": threepids.collect::<Vec<_>>() })))
}

pub(crate) async fn add_3pid(
    app: App,
    caller: User,
    request: add_3pid::v3::Request,
) -> Result<add_3pid::v3::Response, ApiError> {
    let session = (request.sid.as_str(), request.client_secret.as_str());
    let attempt = caller.attempt(request.auth.as_ref());
    app.accounts.add_email_address(&caller.user_id, session, attempt, now_ts()).await?;
    Ok(add_3pid::v3::Response::new())
}

/// Takes nothing back from an identity server, because nothing was ever told to one.
pub(crate) async fn delete_3pid(
    app: App,
    caller: User,
    request: delete_3pid::v3::Request,
) -> Result<delete_3pid::v3::Response, ApiError> {
    match request.medium {
        Medium::Email => app.accounts.delete_email_address(&caller.user_id, &request.address).await?,
        Medium::Msisdn => {}
        _ => return Err(ApiError::invalid_param("unknown medium")),
    }
    Ok(delete_3pid::v3::Response::new(ThirdPartyIdRemovalStatus::Success))
}
