//! E-mail addresses and phone numbers of accounts, and confirming them.
//! <https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information>

use axum::response::Response;
use http::HeaderMap;
use linkspan_accounts::{ThirdPartyId, ValidationPurpose, ValidationRequest, ValidationSession};
use linkspan_wire::{
    Anybody, ApiError, App, EMAIL_PAGE, SUBMIT_CODE, User, WholeRequest, json_answer, known_base_url, now_ts,
};
use ruma::{
    OwnedClientSecret, UInt,
    api::{
        client::account::{ThirdPartyIdRemovalStatus, add_3pid, delete_3pid},
        error::ErrorKind,
    },
};
use serde::Deserialize;
use serde_json::json;

/// What a client gives to have an address or a number confirmed. The endpoints of all purposes take the same.
#[derive(Deserialize)]
struct TokenRequest<T> {
    client_secret: OwnedClientSecret,
    send_attempt: UInt,
    next_link: Option<String>,
    #[serde(flatten)]
    to: T,
}

#[derive(Deserialize)]
struct ByMail {
    email: String,
}

#[derive(Deserialize)]
struct ByPhone {
    country: String,
    phone_number: String,
}

fn no_such_medium(medium: &str) -> ApiError {
    let message = format!("{medium} are not supported here");
    ApiError::bad_request(ErrorKind::ThreepidMediumNotSupported, message)
}

/// Asks for a message. Returns the session in which it is confirmed.
async fn ask<T>(
    app: &App,
    caller: &Anybody,
    headers: &HeaderMap,
    purpose: ValidationPurpose,
    request: TokenRequest<T>,
    id: ThirdPartyId,
) -> Result<String, ApiError> {
    let request = ValidationRequest {
        purpose,
        id,
        client_secret: request.client_secret.to_string(),
        send_attempt: request.send_attempt.into(),
        next_link: request.next_link,
        page: format!("{}{EMAIL_PAGE}", known_base_url(app, &caller.platform, headers)),
        by_page: false,
        from: caller.address,
    };
    Ok(app.accounts.request_validation(&caller.platform, request, now_ts()).await?)
}

async fn ask_by_mail(
    app: App,
    caller: Anybody,
    purpose: ValidationPurpose,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let mut asked: TokenRequest<ByMail> = request.json()?;
    if purpose == ValidationPurpose::Add && !app.accounts.sends_mails(&caller.platform) {
        return Err(no_such_medium("e-mail addresses"));
    }
    let id = ThirdPartyId::email(&asked.to.email)?;
    asked.next_link = asked.next_link.filter(|link| !link.is_empty());
    let sid = ask(&app, &caller, &request.parts.headers, purpose, asked, id).await?;
    Ok(json_answer(&json!({ "sid": sid })))
}

/// The client submits the code that comes by SMS to `submit_url`.
async fn ask_by_phone(
    app: App,
    caller: Anybody,
    purpose: ValidationPurpose,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let asked: TokenRequest<ByPhone> = request.json()?;
    if purpose == ValidationPurpose::Add && !app.accounts.sends_sms(&caller.platform) {
        return Err(no_such_medium("phone numbers"));
    }
    let id = ThirdPartyId::phone(&asked.to.country, &asked.to.phone_number)?;
    let headers = &request.parts.headers;
    let sid = ask(&app, &caller, headers, purpose, asked, id).await?;
    let submit_url = format!("{}{SUBMIT_CODE}", known_base_url(&app, &caller.platform, headers));
    Ok(json_answer(&json!({ "sid": sid, "submit_url": submit_url })))
}

pub(crate) async fn request_register_token(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    ask_by_mail(app, caller, ValidationPurpose::Register, request).await
}

pub(crate) async fn request_password_token(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    ask_by_mail(app, caller, ValidationPurpose::ResetPassword, request).await
}

pub(crate) async fn request_3pid_token(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    ask_by_mail(app, caller, ValidationPurpose::Add, request).await
}

pub(crate) async fn request_register_token_by_phone(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    ask_by_phone(app, caller, ValidationPurpose::Register, request).await
}

pub(crate) async fn request_password_token_by_phone(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    ask_by_phone(app, caller, ValidationPurpose::ResetPassword, request).await
}

pub(crate) async fn request_3pid_token_by_phone(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    ask_by_phone(app, caller, ValidationPurpose::Add, request).await
}

/// Does not answer with ruma's response, which leaves an empty list out: clients take the list for granted.
pub(crate) async fn get_3pids(app: App, caller: User, _: WholeRequest) -> Result<Response, ApiError> {
    let added = app.accounts.third_party_ids(&caller.user_id).await?;
    let threepids = added.into_iter().map(|added| {
        json!({
            "medium": added.id.medium(),
            "address": added.id.address(),
            "validated_at": added.validated_ts,
            "added_at": added.added_ts,
        })
    });
    Ok(json_answer(&json!({ "threepids": threepids.collect::<Vec<_>>() })))
}

pub(crate) async fn add_3pid(
    app: App,
    caller: User,
    request: add_3pid::v3::Request,
) -> Result<add_3pid::v3::Response, ApiError> {
    let session =
        ValidationSession { sid: request.sid.to_string(), client_secret: request.client_secret.to_string() };
    let attempt = caller.attempt(request.auth.as_ref());
    app.accounts.add_third_party_id(&caller.user_id, session, attempt, now_ts()).await?;
    Ok(add_3pid::v3::Response::new())
}

/// There is no identity server to take anything back from, unless the platform is one itself.
pub(crate) async fn delete_3pid(
    app: App,
    caller: User,
    request: delete_3pid::v3::Request,
) -> Result<delete_3pid::v3::Response, ApiError> {
    let id = ThirdPartyId::new(&request.medium, &request.address)?;
    app.accounts.delete_third_party_id(&caller.platform, &caller.user_id, &id).await?;
    Ok(delete_3pid::v3::Response::new(match caller.platform.settings.identity_lookup {
        true => ThirdPartyIdRemovalStatus::Success,
        false => ThirdPartyIdRemovalStatus::NoSupport,
    }))
}
