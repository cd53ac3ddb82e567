//! Asking for the code that proves the address or number which people are known by, and taking the code of any message
//! that confirms one.
//! <https://spec.matrix.org/v1.19/identity-service-api/#post_matrixidentityv2validatemsisdnsubmittoken>

use axum::response::Response;
use linkspan_accounts::{
    AccountsError, ThirdPartyId, ValidationPurpose, ValidationRequest, ValidationSession,
};
use linkspan_wire::{Anybody, ApiError, App, WholeRequest, json_answer, now_ts};
use ruma::{OwnedClientSecret, UInt, api::error::ErrorKind, thirdparty::Medium};
use serde::Deserialize;
use serde_json::json;

/// An e-mail address, or a phone number. The number is international if there is no country.
#[derive(Deserialize)]
struct CodeRequest {
    client_secret: OwnedClientSecret,
    send_attempt: UInt,
    email: Option<String>,
    phone_number: Option<String>,
    country: Option<String>,
}

impl CodeRequest {
    fn id(&self) -> Result<ThirdPartyId, ApiError> {
        Ok(match (&self.email, &self.phone_number, &self.country) {
            (Some(email), None, _) => ThirdPartyId::email(email)?,
            (None, Some(number), Some(country)) => ThirdPartyId::phone(country, number)?,
            (None, Some(number), None) => ThirdPartyId::new(&Medium::Msisdn, number)?,
            (Some(_), Some(_), _) => {
                return Err(ApiError::invalid_param("either `email` or `phone_number`, not both"));
            }
            (None, None, _) => {
                let message = "`email` or `phone_number` is missing";
                return Err(ApiError::bad_request(ErrorKind::MissingParam, message));
            }
        })
    }
}

/// The code logs in, or registers: nobody learns which before it was entered.
pub(crate) async fn request_code(
    app: App,
    caller: Anybody,
    request: WholeRequest,
) -> Result<Response, ApiError> {
    let asked: CodeRequest = request.json()?;
    let request = ValidationRequest {
        purpose: ValidationPurpose::LogIn,
        id: asked.id()?,
        client_secret: asked.client_secret.to_string(),
        send_attempt: asked.send_attempt.into(),
        next_link: None,
        page: String::new(),
        by_page: false,
        from: caller.address,
    };
    let sid = app.accounts.request_validation(&caller.platform, request, now_ts()).await?;
    Ok(json_answer(&json!({ "sid": sid })))
}

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
