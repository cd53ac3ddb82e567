//! What people see instead of a page: the reason, and a way on.

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use linkspan_platforms::Platform;
use linkspan_wire::{ACCOUNT_PAGE, App, platform_of, unknown_method, unknown_path};
use maud::{Markup, html};

use crate::{about, response, shell::Page, visit::Stop, words};

/// Beginnings of paths that programs ask for, which get answers that programs understand.
const OF_PROGRAMS: [&str; 3] = ["/_matrix/", "/_synapse/", "/.well-known/"];

/// Answers a request for a page with what came instead of it.
pub(crate) fn answer(stop: Stop, platform: Option<&Platform>) -> Response {
    match (stop, platform) {
        (Stop::Redirect(location), _) => response::redirect(&location),
        (Stop::Instead(response), _) => *response,
        (stop, Some(platform)) => explain(&stop, platform),
        (_, None) => response::html(StatusCode::NOT_FOUND, about::unknown_host_page(), ""),
    }
}

fn explain(stop: &Stop, platform: &Platform) -> Response {
    let (status, title, text, way_on) = match stop {
        Stop::NotFound => (
            StatusCode::NOT_FOUND,
            "Page not found",
            "There's nothing at this address. Check it for typing errors, or start again from here:"
                .to_owned(),
            home(platform),
        ),
        Stop::Expired => (
            StatusCode::FORBIDDEN,
            "This page has expired",
            "Go back, reload the page and try again. Your browser has to allow cookies.".to_owned(),
            home(platform),
        ),
        Stop::Limited { wait, back } => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many attempts",
            format!("Please wait {}, then try again.", words::wait(*wait)),
            html! { p.aside { a href=(back) { "Try again" } } },
        ),
        Stop::Refused(status, why) => (*status, "That didn't work", why.clone(), home(platform)),
        Stop::Failed | Stop::Redirect(_) | Stop::Instead(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Something went wrong",
            "It's not your fault. Please try again in a few minutes.".to_owned(),
            home(platform),
        ),
    };
    let page = Page::card(title, html! { h1 { (title) } p { (text) } (way_on) });
    let mut response = response::html(status, page.in_frame(platform), "");
    if let Stop::Limited { wait, .. } = stop {
        let seconds = wait.as_millis().div_ceil(1_000) as u64;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Links for whoever has lost the way.
fn home(platform: &Platform) -> Markup {
    html! {
        ul.ways {
            @if platform.settings.oauth { li { a href=(ACCOUNT_PAGE) { "Your account" } } }
            li { a href="/" { (platform.display_name()) } }
        }
    }
}

/// Answers where there is nothing at an address. People who look for a page get one.
pub(crate) async fn no_page(app: App, request: Request) -> Response {
    if !wants_page(&request) {
        return unknown_path(request).await;
    }
    answer(Stop::NotFound, platform_of(&app.platforms, &request).as_deref())
}

/// Answers where an address has no such method.
pub(crate) async fn no_method(app: App, request: Request) -> Response {
    if !wants_page(&request) {
        return unknown_method(request).await;
    }
    let mut response = answer(Stop::NotFound, platform_of(&app.platforms, &request).as_deref());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

fn wants_page(request: &Request) -> bool {
    let of_programs = OF_PROGRAMS.iter().any(|start| request.uri().path().starts_with(start));
    !of_programs && takes_html(request.headers())
}

/// Whether HTML is wanted. Browsers name it, and programs that take anything do not.
fn takes_html(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.split(',').any(|kind| kind.trim().starts_with("text/html")))
}
