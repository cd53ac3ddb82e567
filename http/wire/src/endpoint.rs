//! What an endpoint is, and how its function becomes a route.

use std::{
    any::type_name,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
};

use axum::{body::HttpBody, extract::Request, response::Response};
use http::{Method, Uri, request::Parts};
use linkspan_operators::Begun;
use linkspan_platforms::{Platform, RateClass, Work};
use linkspan_storage::{AnswerPending, Unanswered};
use ruma::api::{IncomingRequest, path_builder::PathBuilder};

use crate::{
    ApiError, App, WholeRequest,
    answer::respond,
    caller::{Caller, RequestHead, payer},
    clock::now_ts,
    operator::Operator,
    unsent::hold_whole,
};

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Anybody,
    /// Anybody, but a valid access token shows more.
    MaybeUser,
    /// Whoever has an access token of the platform that is addressed.
    User,
    /// An administrator of the platform that is addressed, or the operator of the whole back-end.
    Operator,
    /// The operator of the whole back-end.
    BackEndOperator,
}

/// An endpoint, as the table lists it.
#[derive(Clone, Copy, Debug)]
pub struct EndpointInfo {
    /// The name of its function.
    pub name: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// One of its paths, and the newest stable one if there is one. `{name}` stands for a parameter.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether guests may call it where a user may.
    pub open_to_guests: bool,
    /// The section of the specification.
    pub spec: &'static str,
}

/// Stands in the extensions of a request to an endpoint that is open to guests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenToGuests;

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;
pub(crate) type Run = Arc<dyn Fn(App, Arc<Platform>, Request) -> Answer + Send + Sync>;

/// An endpoint with what it takes to serve it.
#[derive(Clone)]
pub struct Endpoint {
    /// What the table says of it.
    pub info: EndpointInfo,
    pub(crate) method: Method,
    pub(crate) paths: Vec<&'static str>,
    pub(crate) run: Run,
    /// Whether it need not run to its end if the client goes away.
    pub(crate) may_be_dropped: bool,
    /// Whether it changes nothing, so that it is answered for a platform that is fenced, too.
    pub(crate) only_reads: bool,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(f)
    }
}

impl Endpoint {
    /// `function` is the whole name of the type of its function.
    fn new(
        function: &'static str,
        method: Method,
        paths: Vec<&'static str>,
        access: Access,
        spec: &'static str,
        run: Run,
    ) -> Self {
        let name = name_of(function);
        let stable = paths.iter().rfind(|path| path.contains("/v"));
        let path = *stable.or(paths.last()).expect("an endpoint has a path");
        let named = match method {
            Method::GET => "GET",
            Method::PUT => "PUT",
            Method::POST => "POST",
            Method::DELETE => "DELETE",
            _ => "OTHER",
        };
        let info = EndpointInfo { name, method: named, path, access, open_to_guests: false, spec };
        let only_reads = method == Method::GET;
        Self { info, may_be_dropped: only_reads, only_reads, method, paths, run }
    }

    /// Gives it the name of its function, where that is called by another.
    pub fn named(mut self, name: &'static str) -> Self {
        self.info.name = name;
        self
    }

    /// Says that nobody misses the rest of it if the client goes away meanwhile, because it changes nothing.
    pub fn may_be_dropped(mut self) -> Self {
        self.may_be_dropped = true;
        self.only_reads = true;
        self
    }

    /// Says that it changes nothing, whatever its method.
    pub fn only_reads(mut self) -> Self {
        self.only_reads = true;
        self
    }

    /// Lets guests call it, too. What answers instead of it because of [`Self::with_parameter`] stays closed
    /// to them if that comes after.
    pub fn open_to_guests(mut self) -> Self {
        let run = self.run;
        self.run = Arc::new(move |app, platform, mut request: Request| {
            request.extensions_mut().insert(OpenToGuests);
            run(app, platform, request)
        });
        self.info.open_to_guests = true;
        self
    }

    /// Has `other` answer where the query has a parameter.
    pub fn with_parameter(mut self, parameter: &'static str, other: Self) -> Self {
        let (run, with) = (self.run, other.run);
        self.run = Arc::new(move |app, platform, request: Request| {
            let query = request.uri().query().unwrap_or_default();
            let has = query.split('&').any(|pair| pair.split('=').next() == Some(parameter));
            if has { with(app, platform, request) } else { run(app, platform, request) }
        });
        self
    }

    /// Takes parameters of the query under an earlier name, too: `(earlier, name)`.
    pub fn also_named(mut self, names: &'static [(&'static str, &'static str)]) -> Self {
        let run = self.run;
        self.run = Arc::new(move |app, platform, mut request: Request| {
            if let Some(uri) = renamed(request.uri(), names) {
                *request.uri_mut() = uri;
            }
            run(app, platform, request)
        });
        self
    }

    /// Serves the endpoint at one more path.
    pub fn also_at(mut self, path: &'static str) -> Self {
        self.paths.push(path);
        self
    }
}

/// The endpoint of a ruma request type `R`, called by `C`. `spec` is its section of the specification.
pub fn endpoint<C, R, F, Fut>(function: F, rate_class: RateClass, spec: &'static str) -> Endpoint
where
    C: Caller + 'static,
    R: IncomingRequest + Send + 'static,
    F: Fn(App, C, R) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<R::OutgoingResponse, ApiError>> + Send + 'static,
{
    let run: Run = Arc::new(move |app, platform, request| {
        let function = function.clone();
        Box::pin(async move {
            let Admitted { caller, request, part } = admit(&app, &platform, request, rate_class).await?;
            let request = request.parse::<R>()?;
            part.run(pin!(async { respond(function(app, caller, request).await?) })).await
        })
    });
    let paths = R::PATH_BUILDER.all_paths().collect();
    Endpoint::new(type_name::<F>(), R::METHOD, paths, C::ACCESS, spec, run)
}

/// An endpoint that ruma has no type for, or not for all of it.
pub fn raw_endpoint<C, F, Fut>(
    method: Method,
    paths: &[&'static str],
    function: F,
    rate_class: RateClass,
    spec: &'static str,
) -> Endpoint
where
    C: Caller + 'static,
    F: Fn(App, C, WholeRequest) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let run: Run = Arc::new(move |app, platform, request| {
        let function = function.clone();
        Box::pin(async move {
            let Admitted { caller, request, part } = admit(&app, &platform, request, rate_class).await?;
            part.run(pin!(function(app, caller, request))).await
        })
    });
    Endpoint::new(type_name::<F>(), method, paths.to_vec(), C::ACCESS, spec, run)
}

/// An endpoint for the operators of a platform. What it changes is written down: who did it, the name of the function,
/// the parameters of the path, and how it ended.
pub fn operator_endpoint<F, Fut>(
    method: Method,
    paths: &[&'static str],
    function: F,
    rate_class: RateClass,
    spec: &'static str,
) -> Endpoint
where
    F: Fn(App, Operator, WholeRequest) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let changes = method != Method::GET;
    let name = name_of(type_name::<F>());
    let run: Run = Arc::new(move |app, platform, request| {
        let function = function.clone();
        Box::pin(async move {
            let Admitted { caller, request, part } = admit(&app, &platform, request, rate_class).await?;
            let begun = if changes { Some(begin_action(&app, &caller, name, &request).await?) } else { None };
            let outcome = part.run(pin!(function(app.clone(), caller, request))).await;
            if let Some(begun) = begun {
                let status = outcome.as_ref().map_or_else(ApiError::status, Response::status);
                app.operators.end_action(begun, status.as_u16()).await?;
            }
            outcome
        })
    });
    Endpoint::new(type_name::<F>(), method, paths.to_vec(), Operator::ACCESS, spec, run)
}

async fn begin_action(
    app: &App,
    operator: &Operator,
    action: &str,
    request: &WholeRequest,
) -> Result<Begun, ApiError> {
    let platform = operator.platform.server_name().to_owned();
    let (name, subjects) = (operator.name().cloned(), request.args.clone());
    Ok(app.operators.begin_action(&platform, name, action, subjects, now_ts()).await?)
}

/// An endpoint that reads the body itself: as a stream, or up to a limit of its own. Its caller is one that
/// the head alone proves.
pub fn streaming_endpoint<C, F, Fut>(
    method: Method,
    paths: &[&'static str],
    function: F,
    rate_class: RateClass,
    spec: &'static str,
) -> Endpoint
where
    C: Caller<Claim = C> + 'static,
    F: Fn(App, C, Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, ApiError>> + Send + 'static,
{
    let run: Run = Arc::new(move |app, platform, request| {
        let function = function.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let caller =
                C::claim(&app, &RequestHead { platform: &platform, parts: &parts, rate_class }).await?;
            let part = AnswerPart::new(&app, &platform, &mut parts, &caller)?;
            part.run(pin!(function(app, caller, Request::from_parts(parts, body)))).await
        })
    });
    Endpoint::new(type_name::<F>(), method, paths.to_vec(), C::ACCESS, spec, run)
}

/// A request whose caller is proved and whose body has been read.
struct Admitted<C> {
    caller: C,
    request: WholeRequest,
    part: AnswerPart,
}

/// Proves the caller of a request and reads its body. It knows nothing of the endpoint, so that the compiler
/// makes it once for each type of caller, and not for each endpoint.
async fn admit<C: Caller>(
    app: &App,
    platform: &Arc<Platform>,
    request: Request,
    rate_class: RateClass,
) -> Result<Admitted<C>, ApiError> {
    let (parts, body) = request.into_parts();
    let claim = C::claim(app, &RequestHead { platform, parts: &parts, rate_class }).await?;
    let mut request = WholeRequest::read(parts, body, platform, C::claimed(&claim)).await?;
    let caller = C::prove(claim, app, &request.body).await?;
    let part = AnswerPart::new(app, platform, &mut request.parts, &caller)?;
    Ok(Admitted { caller, request, part })
}

/// What is known of a request while its answer is made.
struct AnswerPart {
    work: Arc<Work>,
    /// What the request commits carries it, if it writes on behalf of a user.
    unanswered: Option<Unanswered>,
    is_reading: bool,
}

impl AnswerPart {
    /// Refuses who has not taken earlier answers, unless the request changes something.
    fn new(
        app: &App,
        platform: &Arc<Platform>,
        parts: &mut Parts,
        caller: &impl Caller,
    ) -> Result<Self, ApiError> {
        let pending = parts.extensions.remove::<AnswerPending>();
        let user_id = caller.user_id();
        let payer = payer(caller, &parts.extensions);
        let is_reading = pending.is_none();
        let work = match is_reading {
            true => Work::reading(platform.clone(), payer, app.long_work().clone()),
            false => Work::writing(platform.clone(), payer),
        };
        if is_reading {
            platform.unsent.check_room_for_answer(work.who())?;
        }
        let unanswered = pending.and_then(|answer| Some(Unanswered::new(user_id?.clone(), answer)));
        Ok(Self { work, unanswered, is_reading })
    }

    /// Runs an endpoint's function. It does not know the type of the function, for the same reason as [`admit`].
    async fn run(
        self,
        function: Pin<&mut (dyn Future<Output = Result<Response, ApiError>> + Send)>,
    ) -> Result<Response, ApiError> {
        let Self { work, unanswered, is_reading } = self;
        let function = work.clone().run(function);
        let response = match unanswered {
            Some(request) => request.run(function).await,
            None => function.await,
        }?;
        work.note_answer(response.body().size_hint().lower());
        if !is_reading {
            // What was changed is told, and that is never much.
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let body = hold_whole(&work, body)?;
        Ok(Response::from_parts(head, body))
    }
}

/// The name of a function, from the whole name of its type.
fn name_of(function: &'static str) -> &'static str {
    function.rsplit("::").find(|part| *part != "{{closure}}").unwrap_or(function)
}

/// The address with parameters of its query renamed, or `None` if there are none to rename.
fn renamed(uri: &Uri, names: &[(&str, &str)]) -> Option<Uri> {
    let query = uri.query()?;
    if !names.iter().any(|(earlier, _)| query.contains(earlier)) {
        return None;
    }
    let rename = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = names.iter().find(|(earlier, _)| *earlier == key).map_or(key, |(_, name)| name);
        format!("{name}={value}")
    };
    let query = query.split('&').map(rename).collect::<Vec<_>>().join("&");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", uri.path()).parse().ok()?);
    Uri::from_parts(parts).ok()
}
