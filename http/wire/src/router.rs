//! The router: from the tables of endpoints to what answers a request, for all platforms.

use std::{collections::BTreeMap, fmt, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Method, StatusCode, header};
use linkspan_platforms::{Limited, Platform, Platforms};
use linkspan_storage::{AnswerSent, Finish, answer_pending};
use ruma::api::error::ErrorKind;
use tower::ServiceExt;

use crate::{
    ApiError, App, FromControlSocket,
    body::PathArgs,
    endpoint::{Answer, Endpoint},
};

/// The client's address, which the listener puts into a request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// The platform of a listener that is one platform's alone. The listener puts it into a request's extensions.
#[derive(Clone, Debug)]
pub struct ListenerPlatform(pub Arc<Platform>);

/// The client-server API of all platforms, and whatever else is served under their names.
///
/// axum finds a handler through a chain of services and boxes, which every request of the API would pay for.
/// So handlers are found here.
pub struct Api {
    app: App,
    paths: matchit::Router<Vec<Endpoint>>,
    /// The router that answers paths outside the API.
    others: Router,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// The APIs whose tables these are, over the services. `others` answers all other paths, those that there
    /// are not included.
    pub fn new(app: App, tables: impl IntoIterator<Item = Vec<Endpoint>>, others: Router) -> Self {
        Self { app, paths: by_path(tables), others }
    }

    /// The platforms that are served.
    pub fn platforms(&self) -> &Platforms {
        &self.app.platforms
    }

    /// Answers a request, as [`Self::ask`] does.
    pub fn answer(&self, request: Request) -> impl Future<Output = Response> + Send + use<> {
        self.ask(request).answer
    }

    /// Finds what answers a request. What is awaited is small: a connection holds it while its client waits for news.
    ///
    /// The answer may have an [`AnswerSent`] among its extensions: the user's other requests are told of what
    /// this one did when the last clone of that is dropped, which is to be when the answer has been sent.
    ///
    /// The body of the request may not have been read to its end. What is left of it is the concern of whoever
    /// serves the connection.
    pub fn ask(&self, request: Request) -> Asked<impl Future<Output = Response> + Send + use<>> {
        let mut place = Place::default();
        let begun = self.begin(request, &mut place);
        let answer = async move {
            match begun {
                Begun::Answered(response) => with_headers(response),
                Begun::Endpoint { answer, may_be_dropped, sent } => {
                    let answer = run(answer, may_be_dropped).await;
                    let mut response = with_headers(answer.unwrap_or_else(IntoResponse::into_response));
                    sent.and_then(|sent| response.extensions_mut().insert(sent));
                    response
                }
                Begun::Other(answer) => answer.await,
            }
        };
        Asked { platform: place.platform, route: place.route, answer }
    }

    fn begin(&self, mut request: Request, place: &mut Place) -> Begun {
        let Ok(found) = self.paths.at(request.uri().path()) else {
            place.platform = platform_of(&self.app.platforms, &request);
            let only_reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
            if let Some(platform) = place.platform.as_ref().filter(|_| !only_reads)
                && is_shut(platform, &request)
            {
                return Begun::Answered(ApiError::fenced(platform.server_name()).into_response());
            }
            let answer = self.others.clone().oneshot(request);
            return Begun::Other(answer.map(|Ok(response)| response).boxed());
        };
        if request.method() == Method::OPTIONS {
            return Begun::Answered(StatusCode::NO_CONTENT.into_response());
        }
        // A request for the head is answered like a GET, and hyper leaves the body out.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let Some(endpoint) = found.value.iter().find(|endpoint| endpoint.method == *method) else {
            return Begun::Answered(no_method().into_response());
        };
        place.route = Some(endpoint.info.path);
        let args = found.params.iter().map(|(_, arg)| arg.to_owned()).collect();
        request.extensions_mut().insert(PathArgs(args));
        let Some(platform) = platform_of(&self.app.platforms, &request) else {
            return Begun::Answered(unknown_host().into_response());
        };
        place.platform = Some(platform.clone());
        if !endpoint.only_reads && is_shut(&platform, &request) {
            return Begun::Answered(ApiError::fenced(platform.server_name()).into_response());
        }
        let may_be_dropped = endpoint.may_be_dropped;
        let sent = (!may_be_dropped).then(|| {
            let (sent, pending) = answer_pending();
            request.extensions_mut().insert(pending);
            sent
        });
        let answer = (endpoint.run)(self.app.clone(), platform, request);
        Begun::Endpoint { answer, may_be_dropped, sent }
    }
}

/// All endpoints by their paths, of which two tables may share one with different methods.
fn by_path(tables: impl IntoIterator<Item = Vec<Endpoint>>) -> matchit::Router<Vec<Endpoint>> {
    let mut by_path: BTreeMap<&'static str, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in tables.into_iter().flatten() {
        for path in &endpoint.paths {
            let known = by_path.entry(path).or_default();
            let is_new = known.iter().all(|other| other.method != endpoint.method);
            assert!(is_new, "{} {path} is in the tables twice", endpoint.method);
            known.push(endpoint.clone());
        }
    }
    let mut paths = matchit::Router::new();
    for (path, endpoints) in by_path {
        paths.insert(path, endpoints).expect("no two paths of the tables are in each other's way");
    }
    paths
}

/// A request that is being answered, and what may be told of it.
#[derive(Debug)]
pub struct Asked<F> {
    /// The platform that it is for. None: it is not served here, or there is no such endpoint.
    pub platform: Option<Arc<Platform>>,
    /// The path of its endpoint, in which `{name}` stands for a parameter. None for pages, and for what is not there.
    pub route: Option<&'static str>,
    /// Gives the answer.
    pub answer: F,
}

/// Where a request goes, as far as it is known.
#[derive(Default)]
struct Place {
    platform: Option<Arc<Platform>>,
    route: Option<&'static str>,
}

/// A request for which it is known what answers it.
enum Begun {
    Answered(Response),
    /// `sent` is there for an endpoint that changes something.
    Endpoint {
        answer: Answer,
        may_be_dropped: bool,
        sent: Option<AnswerSent>,
    },
    Other(BoxFuture<'static, Response>),
}

/// Runs an endpoint. What changes something runs to its end even if the client goes away meanwhile:
/// half of it done would leave memory and disk at odds.
async fn run(answer: Answer, may_be_dropped: bool) -> Result<Response, ApiError> {
    // A bug breaks one request, but not the others on its connection.
    let answer = match may_be_dropped {
        true => AssertUnwindSafe(answer).catch_unwind().await,
        false => AssertUnwindSafe(Finish::from(answer)).catch_unwind().await,
    };
    answer.unwrap_or_else(|_| Err(ApiError::internal(&"the endpoint panicked")))
}

/// The platform that a request is for, which is its listener's or the one that its `Host` names.
pub fn platform_of(platforms: &Platforms, request: &Request) -> Option<Arc<Platform>> {
    if let Some(ListenerPlatform(platform)) = request.extensions().get() {
        return Some(platform.clone());
    }
    // If the target has a host, `Host` does not count: RFC 9112, section 3.2.2.
    let host = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    platforms.by_host(host)
}

/// Whether a request may change nothing, because its platform is fenced. The operator of the whole back-end goes on.
fn is_shut(platform: &Platform, request: &Request) -> bool {
    platform.settings.fenced && request.extensions().get::<FromControlSocket>().is_none()
}

/// Answers a request for which there is no room before anything is known of it.
pub fn refuse(limited: Limited) -> Response {
    with_headers(ApiError::from(limited).into_response())
}

fn unknown_host() -> ApiError {
    ApiError::not_found("no platform is served under this host name")
}

/// Answers a path that does not exist.
pub async fn unknown_path(request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return with_headers(StatusCode::NO_CONTENT.into_response());
    }
    let error = ApiError::new(StatusCode::NOT_FOUND, ErrorKind::Unrecognized, "no such endpoint");
    with_headers(error.into_response())
}

/// Answers a method that a path does not have.
pub async fn unknown_method(_: Request) -> Response {
    with_headers(no_method().into_response())
}

fn no_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::Unrecognized, "no such method here")
}

/// Adds the headers that let web clients of every origin read an answer.
/// <https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients>
fn with_headers(mut response: Response) -> Response {
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

#[cfg(test)]
mod tests {
    use linkspan_platforms::RateClass::Read;

    use super::*;
    use crate::{Anybody, WholeRequest, raw_endpoint};

    fn table(method: Method, path: &'static str) -> Vec<Endpoint> {
        let nothing = async |_: App, _: Anybody, _: WholeRequest| Ok(Response::default());
        vec![raw_endpoint(method, &[path], nothing, Read, "")]
    }

    #[test]
    fn tables_may_share_a_path() {
        let paths = by_path([table(Method::GET, "/a/{b}"), table(Method::PUT, "/a/{b}")]);
        assert_eq!(paths.at("/a/c").expect("it is there").value.len(), 2);
    }

    #[test]
    #[should_panic(expected = "GET /a is in the tables twice")]
    fn tables_do_not_share_a_method_of_a_path() {
        by_path([table(Method::GET, "/a"), table(Method::GET, "/a")]);
    }
}
