//! The router: from the table of endpoints to an axum service, for all platforms.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use http::{HeaderValue, Method, StatusCode, header};
use linkspan_platforms::{Platform, Platforms};
use ruma::api::error::ErrorKind;

use crate::{App, endpoint::Run, error::ApiError, routes::endpoints};

/// Put into a request's extensions by the listener: where the client is.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// Put into a request's extensions by a listener that is one platform's alone.
#[derive(Clone, Debug)]
pub struct ListenerPlatform(pub Arc<Platform>);

/// Serves the client-server API of all platforms.
pub fn router(app: App) -> Router {
    // An endpoint of several methods on one path is several rows of the table.
    let mut by_path: BTreeMap<&'static str, MethodRouter<App>> = BTreeMap::new();
    for endpoint in endpoints() {
        let Ok(method) = MethodFilter::try_from(endpoint.method.clone()) else { continue };
        for path in endpoint.paths {
            let run = endpoint.run.clone();
            let handler = move |State(app): State<App>, request: Request| {
                let run = run.clone();
                async move {
                    let answer = match platform_of(&app.platforms, &request) {
                        Some(platform) => answer(run, endpoint.may_be_dropped, app, platform, request).await,
                        None => Err(unknown_host()),
                    };
                    answer.unwrap_or_else(IntoResponse::into_response)
                }
            };
            let route = by_path.remove(path).unwrap_or_default();
            by_path.insert(path, route.merge(on(method, handler)));
        }
    }
    let mut router = Router::new();
    for (path, route) in by_path {
        router = router.route(path, route.fallback(unknown_method));
    }
    router.fallback(unknown_path).layer(middleware::from_fn(add_headers)).with_state(app)
}

/// Runs an endpoint. What changes something runs to its end even if the client goes away meanwhile:
/// half of it done would leave memory and disk at odds.
async fn answer(
    run: Run,
    may_be_dropped: bool,
    app: App,
    platform: Arc<Platform>,
    request: Request,
) -> Result<Response, ApiError> {
    if may_be_dropped {
        return run(app, platform, request).await;
    }
    tokio::spawn(run(app, platform, request)).await.unwrap_or_else(|error| Err(ApiError::internal(&error)))
}

/// The platform a request is for: its listener's, or the one its `Host` names.
pub fn platform_of(platforms: &Platforms, request: &Request) -> Option<Arc<Platform>> {
    if let Some(ListenerPlatform(platform)) = request.extensions().get() {
        return Some(platform.clone());
    }
    // A target in full counts, and `Host` does not then: RFC 9112, section 3.2.2.
    let host = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    platforms.by_host(host).cloned()
}

fn unknown_host() -> ApiError {
    ApiError::not_found("no platform is served under this host name")
}

async fn unknown_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, ErrorKind::Unrecognized, "no such endpoint")
}

async fn unknown_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::Unrecognized, "no such method here")
}

/// Cross-origin access for web clients, on every response, and an answer to every preflight.
/// <https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients>
async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    let fixed = |value: &'static str| HeaderValue::from_static(value);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, fixed("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed("GET, POST, PUT, DELETE, OPTIONS"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        fixed("X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match, Range"),
    );
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, fixed("ETag, Retry-After, Content-Range"));
    response
}

/// A JSON body with its content type.
pub(crate) fn json_response(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
