//! Opening a link in a mail, and confirming what it is about.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, Request, State},
    response::Response,
    routing::get,
};
use http::StatusCode;
use linkspan_accounts::AccountsError;
use linkspan_client_api::{App, EMAIL_PAGE, now_ts, platform_of};
use linkspan_platforms::Platform;
use serde::Deserialize;

use crate::{email, landing, response::html};

/// The query of a link in a mail.
#[derive(Deserialize)]
struct EmailLink {
    sid: String,
    token: String,
}

/// The page that links in mails open.
pub(crate) fn router(app: App) -> Router {
    Router::new().route(EMAIL_PAGE, get(ask).post(confirm)).with_state(app)
}

/// The platform that a link is for, and what the link says.
fn email_link(app: &App, request: &Request) -> Result<(Arc<Platform>, EmailLink), Box<Response>> {
    let platform = platform_of(&app.platforms, request)
        .ok_or_else(|| Box::new(html(StatusCode::NOT_FOUND, landing::unknown_host_page(), "")))?;
    match Query::<EmailLink>::try_from_uri(request.uri()) {
        Ok(Query(link)) => Ok((platform, link)),
        Err(_) => Err(Box::new(unknown_link(&platform))),
    }
}

fn unknown_link(platform: &Platform) -> Response {
    html(StatusCode::NOT_FOUND, email::unknown(&platform.settings.name), "")
}

async fn ask(State(app): State<App>, request: Request) -> Response {
    let (platform, link) = match email_link(&app, &request) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let EmailLink { sid, token } = link;
    match app.accounts.email_to_validate(platform.server_name(), &sid, &token, now_ts()).await {
        Ok((purpose, address)) => {
            html(StatusCode::OK, email::question(&platform.settings.name, purpose, &address), "")
        }
        Err(error) => failed(&platform, &error),
    }
}

async fn confirm(State(app): State<App>, request: Request) -> Response {
    let (platform, link) = match email_link(&app, &request) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let EmailLink { sid, token } = link;
    match app.accounts.validate_email(platform.server_name(), &sid, &token, now_ts()).await {
        Ok(next) => html(StatusCode::OK, email::done(&platform.settings.name, next.as_deref()), ""),
        Err(error) => failed(&platform, &error),
    }
}

fn failed(platform: &Platform, error: &AccountsError) -> Response {
    match error {
        AccountsError::NotFound(_) => unknown_link(platform),
        error => {
            tracing::error!(%error, "a page failed");
            html(StatusCode::INTERNAL_SERVER_ERROR, email::unknown(&platform.settings.name), "")
        }
    }
}
