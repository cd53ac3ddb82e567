//! What is sent to a browser: its headers, and with them what a page may load and where its forms may lead.
//!
//! Every page is sent from here, so that no page has a form that its own policy forbids.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};

/// Sends a page. Its forms may lead to this host and to `leads_to`, which are sources of a content security
/// policy.
pub(crate) fn html(status: StatusCode, html: String, leads_to: &str) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self' {leads_to}; \
         frame-ancestors 'none'"
    );
    let mut response = answer(status, "text/html; charset=utf-8", "no-store", html);
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// Sends a style sheet of the pages.
pub(crate) fn style_sheet(status: StatusCode, text: String) -> Response {
    answer(status, "text/css; charset=utf-8", "no-cache", text)
}

/// Sends the browser to another page, by GET.
pub(crate) fn redirect(location: &str) -> Response {
    let mut response = Response::new(Body::empty());
    match HeaderValue::try_from(location) {
        Ok(location) => {
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(header::LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn answer(status: StatusCode, content_type: &'static str, caching: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, caching),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
