//! Opening a link in a mail that an app has asked for, and confirming what it is about.
//!
//! The page asks, and only then confirms: programs open links, too.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::get,
};
use http::StatusCode;
use linkspan_accounts::{AccountsError, LinkToken, ValidationLink, ValidationPurpose};
use linkspan_platforms::Platform;
use linkspan_wire::{App, EMAIL_PAGE, now_ts, platform_of};
use maud::html;

use crate::{
    mailed_link::{token_in, used_up_page},
    response,
    shell::Page,
    trouble,
    visit::{Stop, Values, failed},
};

/// Serves the page that such links open.
pub(crate) fn router(app: App) -> Router {
    Router::new().route(EMAIL_PAGE, get(ask).post(confirm)).with_state(app)
}

async fn ask(State(app): State<App>, request: Request) -> Response {
    let platform = platform_of(&app.platforms, &request);
    let opened = opened(platform.as_ref(), &request);
    let shown = async {
        let (platform, link) = opened?;
        let found = app.accounts.validation_link(platform.server_name(), &link, now_ts()).await;
        Ok(show(&platform, StatusCode::OK, &question(&found.map_err(|error| gone(&platform, error))?)))
    };
    shown.await.unwrap_or_else(|stop| trouble::answer(stop, platform.as_deref()))
}

async fn confirm(State(app): State<App>, request: Request) -> Response {
    let platform = platform_of(&app.platforms, &request);
    let opened = opened(platform.as_ref(), &request);
    let shown = async {
        let (platform, link) = opened?;
        let next = app.accounts.validate_by_link(platform.server_name(), &link, now_ts()).await;
        let next = next.map_err(|error| gone(&platform, error))?;
        Ok(show(&platform, StatusCode::OK, &done(next.as_deref())))
    };
    shown.await.unwrap_or_else(|stop| trouble::answer(stop, platform.as_deref()))
}

/// The platform that a link is for, and what the link has in it.
fn opened(platform: Option<&Arc<Platform>>, request: &Request) -> Result<(Arc<Platform>, LinkToken), Stop> {
    let platform = platform.ok_or(Stop::NotFound)?;
    let values = Values::parse(request.uri().query().unwrap_or_default().as_bytes());
    let link = token_in(&values).ok_or_else(|| gone(platform, AccountsError::NotFound("link")))?;
    Ok((platform.clone(), link))
}

fn gone(platform: &Platform, error: AccountsError) -> Stop {
    match error {
        AccountsError::NotFound(_) => {
            Stop::Instead(Box::new(show(platform, StatusCode::NOT_FOUND, &used_up_page(None))))
        }
        error => failed(error),
    }
}

fn show(platform: &Platform, status: StatusCode, page: &Page) -> Response {
    response::html(status, page.in_frame(platform), "")
}

/// Asks whether to confirm. The form goes to the address of the page itself.
fn question(link: &ValidationLink) -> Page {
    let what = match link.purpose {
        ValidationPurpose::Register | ValidationPurpose::LogIn => {
            "Confirm this address to create your account:"
        }
        ValidationPurpose::ResetPassword => "Confirm this address to reset the password of your account:",
        ValidationPurpose::Add => "Confirm this address to add it to your account:",
    };
    Page::card(
        "Confirm your email address",
        html! {
            h1 { "Confirm your email address" }
            p { (what) " " strong { (link.id.address()) } }
            form method="post" { button type="submit" { "Confirm" } }
            p.aside { "Didn't ask for this? Just close this page." }
        },
    )
}

/// Says that the address is confirmed. `next_link` is where the app wants its user to go on.
fn done(next_link: Option<&str>) -> Page {
    Page::card(
        "Email address confirmed",
        html! {
            h1 { "Your email address is confirmed" }
            p { "Go back to your app to continue. You can close this page." }
            @if let Some(link) = next_link {
                p.aside { "Or continue at " a href=(link) rel="noreferrer" { (link) } }
            }
        },
    )
}
