//! Pages for people who open a platform's address in a browser.
//!
//! One says what runs here, and how to log in with a Matrix client; the other is opened by links in mails.
//! They load nothing from elsewhere, run no script, and show only what anybody may know of a platform, or what
//! the link is good for.

mod email;
mod html;
mod landing;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::{Query, Request, State},
    response::Response,
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use linkspan_accounts::{Accounts, AccountsError};
use linkspan_client_api::{EMAIL_PAGE, platform_of};
use linkspan_platforms::{Platform, Platforms};
use serde::Deserialize;

const STYLE: &str = include_str!("style.css");
const STYLE_PATH: &str = "/_linkspan/style.css";
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";

/// What pages ask.
#[derive(Clone)]
struct Services {
    platforms: Arc<Platforms>,
    accounts: Accounts,
}

/// Serves the pages of all platforms.
pub fn router(platforms: Arc<Platforms>, accounts: Accounts) -> Router {
    Router::new()
        .route("/", get(get_landing_page))
        .route(EMAIL_PAGE, get(ask_to_confirm_email).post(confirm_email))
        .route(STYLE_PATH, get(async || page(StatusCode::OK, "text/css; charset=utf-8", STYLE.to_owned())))
        .with_state(Services { platforms, accounts })
}

async fn get_landing_page(State(services): State<Services>, request: Request) -> Response {
    match platform_of(&services.platforms, &request) {
        Some(platform) => {
            let address = address(request.headers(), platform.server_name().as_str());
            page(StatusCode::OK, HTML, landing::landing_page(&services.platforms, &platform, &address))
        }
        None => page(StatusCode::NOT_FOUND, HTML, landing::unknown_host_page()),
    }
}

/// The query of a link in a mail.
#[derive(Deserialize)]
struct EmailLink {
    sid: String,
    token: String,
}

/// The platform that a link is for, and what the link says.
fn email_link(services: &Services, request: &Request) -> Result<(Arc<Platform>, EmailLink), Box<Response>> {
    let platform = platform_of(&services.platforms, request)
        .ok_or_else(|| Box::new(page(StatusCode::NOT_FOUND, HTML, landing::unknown_host_page())))?;
    match Query::<EmailLink>::try_from_uri(request.uri()) {
        Ok(Query(link)) => Ok((platform, link)),
        Err(_) => Err(Box::new(unknown_link(&platform))),
    }
}

fn unknown_link(platform: &Platform) -> Response {
    page(StatusCode::NOT_FOUND, HTML, email::unknown(&platform.settings.name))
}

async fn ask_to_confirm_email(State(services): State<Services>, request: Request) -> Response {
    let (platform, link) = match email_link(&services, &request) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let EmailLink { sid, token } = link;
    let found = services.accounts.email_to_validate(platform.server_name(), &sid, &token, now_ts()).await;
    match found {
        Ok((purpose, address)) => {
            page(StatusCode::OK, HTML, email::question(&platform.settings.name, purpose, &address))
        }
        Err(error) => failed(&platform, &error),
    }
}

async fn confirm_email(State(services): State<Services>, request: Request) -> Response {
    let (platform, link) = match email_link(&services, &request) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let EmailLink { sid, token } = link;
    match services.accounts.validate_email(platform.server_name(), &sid, &token, now_ts()).await {
        Ok(next) => page(StatusCode::OK, HTML, email::done(&platform.settings.name, next.as_deref())),
        Err(error) => failed(&platform, &error),
    }
}

fn failed(platform: &Platform, error: &AccountsError) -> Response {
    match error {
        AccountsError::NotFound(_) => unknown_link(platform),
        error => {
            tracing::error!(%error, "a page failed");
            page(StatusCode::INTERNAL_SERVER_ERROR, HTML, email::unknown(&platform.settings.name))
        }
    }
}

fn now_ts() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The address that the browser shows for this server, as far as it can be known.
fn address(headers: &HeaderMap, server_name: &str) -> String {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let scheme = if text(header::HeaderName::from_static("x-forwarded-proto")) == Some("https") {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{}", text(header::HOST).unwrap_or(server_name))
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use linkspan_storage::{Memory, Store};
    use tower::ServiceExt;

    use super::*;

    async fn get(host: &str, path: &str) -> (StatusCode, HeaderMap, String) {
        let folder = ["handle", "account", "phone"].map(|identity| {
            let text = format!(
                "name = \"{identity}-app\"\nserver_name = \"{identity}.localhost\"\nidentity = \"{identity}\"\n\
                 registration = \"open\""
            );
            toml::from_str(&text).expect("the settings are good")
        });
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let platforms = Platforms::open(&store, folder.to_vec(), 1).await.expect("the platforms open");
        let request = Request::get(path).header("host", host).body(Body::empty()).expect("a good request");
        let accounts = Accounts::new(store.clone());
        let response = router(Arc::new(platforms), accounts).oneshot(request).await.expect("it never fails");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("it is text"))
    }

    #[tokio::test]
    async fn the_page_is_the_platforms_own() {
        let (status, headers, page) = get("phone.localhost:8008", "/").await;
        assert_eq!(status, StatusCode::OK);
        assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().is_ok_and(|it| it.contains("'none'")));
        assert!(
            page.contains("<h1>phone-app</h1>") && page.contains("http://phone.localhost:8008"),
            "{page}"
        );
        assert!(page.contains("handle-app") && page.contains("account-app"), "{page}");
    }

    #[tokio::test]
    async fn nothing_is_loaded_from_elsewhere() {
        let (_, _, page) = get("phone.localhost", "/").await;
        assert!(!page.contains("src=") && !page.contains("<script"), "{page}");
        let (status, headers, _) = get("phone.localhost", STYLE_PATH).await;
        assert_eq!(
            (status, headers[header::CONTENT_TYPE].as_bytes()),
            (StatusCode::OK, &b"text/css; charset=utf-8"[..])
        );
    }

    #[tokio::test]
    async fn an_unknown_host_is_told_of_no_platform() {
        let (status, _, page) = get("elsewhere.example", "/").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(!page.contains("phone"), "{page}");
    }
}
