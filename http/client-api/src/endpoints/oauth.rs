//! What clients call of a platform's OAuth 2.0 server. Bodies are forms, and errors are those of its RFCs.
//! <https://spec.matrix.org/v1.19/client-server-api/#oauth-20-api>

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use linkspan_oauth::{Client, NewClient, OAuthError, TokenOutcome, TokenRequest, Tokens, is_loopback};
use linkspan_wire::{
    Anybody, ApiError, App, LINK_PAGE, Sender, base_url, check_object, json_answer, now_ts, read_body,
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::oauth_metadata::check_oauth;

/// The greatest body of these requests, in bytes.
const FORM_BYTES: usize = 64 << 10;
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The body of a registration.
#[derive(Deserialize)]
struct Metadata {
    client_name: Option<String>,
    client_uri: Option<String>,
    logo_uri: Option<String>,
    tos_uri: Option<String>,
    policy_uri: Option<String>,
    #[serde(default)]
    redirect_uris: Option<Vec<String>>,
    grant_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    application_type: Option<String>,
}

pub(crate) async fn register_client(
    app: App,
    caller: Anybody,
    request: Request,
) -> Result<Response, ApiError> {
    check_oauth(&caller.platform)?;
    let base = base_url(request.headers(), &caller.platform);
    let sender = Sender::Stranger(caller.address);
    let body = read_body(request.into_body(), FORM_BYTES, &caller.platform, sender).await?;
    if check_object(&body).is_err() {
        return refusal(&OAuthError::InvalidClientMetadata(
            "the body is not a JSON object, or nested too deep",
        ));
    }
    let Ok(metadata) = serde_json::from_slice::<Metadata>(&body) else {
        return refusal(&OAuthError::InvalidClientMetadata("a value is not of its type"));
    };
    let client = NewClient {
        client_name: metadata.client_name,
        client_uri: metadata.client_uri,
        logo_uri: metadata.logo_uri,
        tos_uri: metadata.tos_uri,
        policy_uri: metadata.policy_uri,
        redirect_uris: metadata.redirect_uris.unwrap_or_default(),
        grant_types: metadata.grant_types,
        token_endpoint_auth_method: metadata.token_endpoint_auth_method,
        application_type: metadata.application_type,
        on_loopback: base.strip_prefix("http://").is_some_and(is_loopback),
    };
    let platform = caller.platform.server_name();
    match app.oauth.register_client(platform, client, caller.address, now_ts()).await {
        Ok(client) => Ok(with_status(StatusCode::CREATED, not_stored(json_answer(&to_wire(&client))))),
        Err(error) => refusal(&error),
    }
}

fn to_wire(client: &Client) -> Value {
    let metadata = &client.metadata;
    let mut answer = json!({
        "client_id": client.client_id,
        "client_id_issued_at": metadata.created_ts / 1_000,
        "client_uri": metadata.client_uri,
        "redirect_uris": metadata.redirect_uris,
        "grant_types": metadata.grant_types,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": metadata.application_type,
    });
    for (name, value) in [
        ("client_name", &metadata.client_name),
        ("logo_uri", &metadata.logo_uri),
        ("tos_uri", &metadata.tos_uri),
        ("policy_uri", &metadata.policy_uri),
    ] {
        if let Some(value) = value {
            answer[name] = value.as_str().into();
        }
    }
    answer
}

pub(crate) async fn give_tokens(app: App, caller: Anybody, request: Request) -> Result<Response, ApiError> {
    check_oauth(&caller.platform)?;
    let form = match Form::read(&caller, request).await? {
        Ok(form) => form,
        Err(error) => return refusal(&error),
    };
    let (client_id, asked) = match token_request(&form) {
        Ok(asked) => asked,
        Err(TokenRefusal::GrantType) => {
            return Ok(error_answer("unsupported_grant_type", "this type of grant is not known"));
        }
        Err(TokenRefusal::Other(error)) => return refusal(&error),
    };
    let address = Some(caller.address);
    match app.oauth.give_tokens(&caller.platform, client_id, asked, address, now_ts()).await {
        Ok(TokenOutcome::Tokens(mut tokens)) => {
            app.forget_devices(std::mem::take(&mut tokens.gave_way)).await?;
            Ok(not_stored(json_answer(&tokens_to_wire(&tokens))))
        }
        Ok(TokenOutcome::Compromised(removed)) => {
            app.forget_devices(removed).await?;
            refusal(&OAuthError::InvalidGrant("this was used before; what it gave has been taken back"))
        }
        Err(error) => refusal(&error),
    }
}

enum TokenRefusal {
    GrantType,
    Other(OAuthError),
}

impl From<OAuthError> for TokenRefusal {
    fn from(error: OAuthError) -> Self {
        Self::Other(error)
    }
}

fn token_request(form: &Form) -> Result<(&str, TokenRequest), TokenRefusal> {
    let grant_type = form.required("grant_type", "grant_type is missing")?;
    let owned = |name, error| form.required(name, error).map(str::to_owned);
    let request = match grant_type {
        "authorization_code" => TokenRequest::Code {
            code: owned("code", "code is missing")?,
            redirect_uri: owned("redirect_uri", "redirect_uri is missing")?,
            code_verifier: owned("code_verifier", "code_verifier is missing")?,
        },
        "refresh_token" => {
            TokenRequest::Refresh { refresh_token: owned("refresh_token", "refresh_token is missing")? }
        }
        DEVICE_CODE => TokenRequest::Device { device_code: owned("device_code", "device_code is missing")? },
        _ => return Err(TokenRefusal::GrantType),
    };
    Ok((form.required("client_id", "client_id is missing")?, request))
}

fn tokens_to_wire(tokens: &Tokens) -> Value {
    json!({
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in_ms / 1_000,
        "refresh_token": tokens.refresh_token,
        "scope": tokens.scope,
    })
}

/// Ends the session of a token, whichever client asks: so whoever finds a token can make it worthless.
pub(crate) async fn revoke_token(app: App, caller: Anybody, request: Request) -> Result<Response, ApiError> {
    check_oauth(&caller.platform)?;
    let form = match Form::read(&caller, request).await? {
        Ok(form) => form,
        Err(error) => return refusal(&error),
    };
    let token = match form.required("token", "token is missing") {
        Ok(token) => token,
        Err(error) => return refusal(&error),
    };
    let removed = app.accounts.revoke_token(caller.platform.server_name(), token).await?;
    app.forget_devices(removed).await?;
    Ok(not_stored(json_answer(&json!({}))))
}

pub(crate) async fn begin_device_grant(
    app: App,
    caller: Anybody,
    request: Request,
) -> Result<Response, ApiError> {
    check_oauth(&caller.platform)?;
    let base = base_url(request.headers(), &caller.platform);
    let form = match Form::read(&caller, request).await? {
        Ok(form) => form,
        Err(error) => return refusal(&error),
    };
    let asked = form
        .required("client_id", "client_id is missing")
        .and_then(|client_id| Ok((client_id, form.required("scope", "scope is missing")?)));
    let (client_id, scope) = match asked {
        Ok(asked) => asked,
        Err(error) => return refusal(&error),
    };
    let platform = caller.platform.server_name();
    match app.oauth.begin_device_grant(platform, client_id, scope, now_ts()).await {
        Ok(grant) => Ok(not_stored(json_answer(&json!({
            "device_code": grant.device_code,
            "user_code": grant.user_code,
            "verification_uri": format!("{base}{LINK_PAGE}"),
            "verification_uri_complete": format!("{base}{LINK_PAGE}?user_code={}", grant.user_code),
            "expires_in": grant.expires_in_ms / 1_000,
            "interval": grant.interval_ms / 1_000,
        })))),
        Err(error) => refusal(&error),
    }
}

/// The values of a form, in which each name is given once.
struct Form(Vec<(String, String)>);

impl Form {
    async fn read(caller: &Anybody, request: Request) -> Result<Result<Self, OAuthError>, ApiError> {
        let is_form = is_form(request.headers());
        let sender = Sender::Stranger(caller.address);
        let body = read_body(request.into_body(), FORM_BYTES, &caller.platform, sender).await?;
        if !is_form {
            return Ok(Err(OAuthError::InvalidRequest("the body is application/x-www-form-urlencoded")));
        }
        let pairs: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        Ok(if twice {
            Err(OAuthError::InvalidRequest("a parameter is given twice"))
        } else {
            Ok(Self(pairs))
        })
    }

    /// The value of a parameter. An empty one counts as missing (RFC 6749, section 3.2).
    fn required(&self, name: &str, missing: &'static str) -> Result<&str, OAuthError> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str()).ok_or(OAuthError::InvalidRequest(missing))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Answers with an error of the RFCs. What is nobody's fault but ours is none of these.
fn refusal(error: &OAuthError) -> Result<Response, ApiError> {
    let Some(code) = error.code() else { return Err(ApiError::from_oauth(error)) };
    let answer = error_answer(code, &error.to_string());
    Ok(match error {
        OAuthError::InvalidClient => with_status(StatusCode::UNAUTHORIZED, answer),
        OAuthError::TooManyClients => with_status(StatusCode::SERVICE_UNAVAILABLE, answer),
        _ => answer,
    })
}

fn error_answer(code: &str, description: &str) -> Response {
    let answer = json_answer(&json!({ "error": code, "error_description": description }));
    with_status(StatusCode::BAD_REQUEST, not_stored(answer))
}

fn with_status(status: StatusCode, response: Response) -> Response {
    (status, response).into_response()
}

/// Keeps an answer out of caches, because it has tokens in it.
fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
