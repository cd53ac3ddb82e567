//! A visit to a page: the platform, the browser, who has logged in with it, and what it sends.
//!
//! A form is taken only with the proof that a page of ours has put into it: a hash of the browser's cookie.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{MethodRouter, get, post},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use linkspan_accounts::{ProvedUser, hash_token, new_token};
use linkspan_oauth::BrowserSession;
use linkspan_platforms::{self as platforms, Platform, RateClass};
use linkspan_wire::{
    ACCOUNT_PAGE, App, RequestId, Sender, address_of, base_url, issuer, known_base_url, now_ts, platform_of,
    read_body,
};
use url::form_urlencoded;

use crate::{
    log_in,
    response::{self, redirect},
    shell::Page,
    trouble,
};

/// The greatest body of a form, in bytes.
const FORM_BYTES: usize = 64 << 10;
/// The longest address of a page, in bytes.
const TARGET_BYTES: usize = 8 << 10;
/// How long a browser keeps a cookie. Its session may end before.
const COOKIE_LIFE: cookie::time::Duration = cookie::time::Duration::hours(12);

/// What a page shows instead of itself.
pub(crate) enum Stop {
    /// The browser goes there.
    Redirect(String),
    /// A page says that there is nothing here.
    NotFound,
    /// A page says that the form is not one that this browser got from here just now.
    Expired,
    /// A page says that there were too many attempts. `back` is where to try again.
    Limited { wait: Duration, back: String },
    /// A page says why.
    Refused(StatusCode, String),
    /// Another page is shown.
    Instead(Box<Response>),
    /// A page says that something failed, and the log has the cause.
    Failed,
}

pub(crate) type Shown = Result<Response, Stop>;

/// Says that something failed that the visitor cannot help.
pub(crate) fn failed(cause: impl std::fmt::Display) -> Stop {
    let request = RequestId::current().map(tracing::field::display);
    tracing::error!(request, %cause, "a page failed");
    Stop::Failed
}

/// Says that too much was tried. `back` is where to try again.
pub(crate) fn too_many(limited: platforms::Limited, back: impl Into<String>) -> Stop {
    Stop::Limited { wait: limited.retry_after, back: back.into() }
}

/// Says why it cannot be done what was asked for.
pub(crate) fn refused(why: impl Into<String>) -> Stop {
    Stop::Refused(StatusCode::BAD_REQUEST, why.into())
}

/// Names and values of a query or a form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(Vec<(String, String)>);

impl Values {
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The value of a name, if that is given once and is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let (_, value) = values.next()?;
        (values.next().is_none() && !value.is_empty()).then_some(value)
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(crate) fn repeats(&self) -> bool {
        let mut names: Vec<_> = self.0.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The same with one value instead of those under its name.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let kept = self.0.iter().filter(|(known, _)| known != name).cloned();
        Self(kept.chain([(name.to_owned(), value.to_owned())]).collect())
    }

    /// All values but that of a name, as a query.
    pub(crate) fn without(&self, name: &str) -> String {
        let kept = self.0.iter().filter(|(known, _)| known != name);
        form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
    }
}

/// An address with one more value.
pub(crate) fn with_value(path: &str, name: &str, value: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
    format!("{path}{separator}{pair}")
}

/// Where a form leads on to, which is always a page of ours.
pub(crate) fn local(next: Option<&str>) -> String {
    let ours = |next: &&str| {
        (next.starts_with("/_linkspan/") || *next == "/link" || next.starts_with("/link?"))
            && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    next.filter(ours).unwrap_or(ACCOUNT_PAGE).to_owned()
}

/// A visit to a page, as far as its head tells.
pub(crate) struct Visit {
    pub(crate) app: App,
    pub(crate) platform: Arc<Platform>,
    pub(crate) address: IpAddr,
    /// Where the browser reached the platform: scheme and host.
    pub(crate) base_url: String,
    /// The same for what is mailed, with a host that is known to be the platform's.
    pub(crate) known_base_url: String,
    /// Path and query of the page.
    pub(crate) target: String,
    pub(crate) query: Values,
    pub(crate) session: Option<BrowserSession>,
    pub(crate) now_ts: u64,
    /// The value of the cookie.
    browser: String,
    /// Whether the browser has no cookie yet.
    new_browser: bool,
}

impl Visit {
    async fn begin(app: App, platform: Option<Arc<Platform>>, request: &Parts) -> Result<Self, Stop> {
        let platform = platform.filter(|platform| platform.settings.oauth).ok_or(Stop::NotFound)?;
        let uri = &request.uri;
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        if target.len() > TARGET_BYTES {
            return Err(Stop::Refused(StatusCode::URI_TOO_LONG, "This address is too long for us.".into()));
        }
        let now_ts = now_ts();
        let base_url = base_url(&request.headers, &platform);
        let known_base_url = known_base_url(&app, &platform, &request.headers);
        let known = cookie(&request.headers, &cookie_name(&platform, &base_url));
        let session = match &known {
            Some(token) => app.oauth.browser_session(platform.server_name(), token, now_ts).await,
            None => Ok(None),
        };
        Ok(Self {
            session: session.map_err(failed)?,
            query: Values::parse(uri.query().unwrap_or_default().as_bytes()),
            address: address_of(&request.extensions),
            new_browser: known.is_none(),
            browser: known.unwrap_or_else(|| new_token("")),
            app,
            platform,
            base_url,
            known_base_url,
            target,
            now_ts,
        })
    }

    /// Reads the form that is sent, if it is one of ours.
    async fn read_form(&self, parts: &Parts, body: Body) -> Result<Values, Stop> {
        let site = parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let sender = match &self.session {
            Some(session) => Sender::User(&session.user_id),
            None => Sender::Stranger(self.address),
        };
        let body = read_body(body, FORM_BYTES, &self.platform, sender).await;
        let body = body.map_err(|_| refused("We didn't receive all of the form. Please try again."))?;
        let form = Values::parse(&body);
        let foreign = !matches!(site, None | Some(b"same-origin" | b"none"));
        if foreign || self.new_browser || form.text("csrf") != self.csrf() {
            return Err(Stop::Expired);
        }
        Ok(form)
    }

    /// What a form of this browser proves itself with.
    pub(crate) fn csrf(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hash_token(&format!("form {}", self.browser)))
    }

    /// What a message that this browser asks for is known by. Nobody else can say it.
    pub(crate) fn mail_secret(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hash_token(&format!("mail {}", self.browser)))
    }

    pub(crate) fn issuer(&self) -> String {
        issuer(&self.base_url)
    }

    /// The session of whoever has logged in. Others are sent to log in, and come back.
    pub(crate) fn session(&self) -> Result<BrowserSession, Stop> {
        self.session.clone().ok_or_else(|| Stop::Redirect(with_value(log_in::PATH, "next", &self.target)))
    }

    /// Counts an attempt at something that is limited. `back` is where to try again.
    pub(crate) fn check_rate(&self, class: RateClass, back: impl Into<String>) -> Result<(), Stop> {
        let counted = self.platform.rate_limiter.check_address(class, self.address);
        counted.map_err(|limited| too_many(limited, back))
    }

    /// Logs in the browser of somebody who has proved everything, and goes to the next page.
    pub(crate) async fn log_in(&self, user: &ProvedUser, next: &str) -> Shown {
        self.logged_in(&self.begin_session(user).await?, next)
    }

    /// Logs in the browser of somebody who has proved everything, and shows a page.
    pub(crate) async fn log_in_showing(&self, user: &ProvedUser, page: &Page) -> Shown {
        let mut response = self.show(page)?;
        self.set_cookie(&mut response, &self.begin_session(user).await?);
        Ok(response)
    }

    async fn begin_session(&self, user: &ProvedUser) -> Result<String, Stop> {
        let begun = self.app.oauth.begin_browser_session(&user.user_id, user.password_stamp, self.now_ts);
        begun.await.map_err(failed)
    }

    /// Gives the browser the token of its new session, and sends it to the next page.
    pub(crate) fn logged_in(&self, token: &str, next: &str) -> Shown {
        let mut response = redirect(next);
        self.set_cookie(&mut response, token);
        Ok(response)
    }

    /// Ends the session of the browser, which gets another cookie.
    pub(crate) async fn end_session(&self) -> Result<(), Stop> {
        let platform = self.platform.server_name();
        self.app.oauth.end_browser_session(platform, &self.browser).await.map_err(failed)
    }

    /// Shows a page. `leads_to` is where else than here its forms may lead.
    pub(crate) fn show_leading(&self, status: StatusCode, page: &Page, leads_to: &str) -> Shown {
        let mut response = response::html(status, page.in_frame(&self.platform), leads_to);
        if self.new_browser {
            self.set_cookie(&mut response, &self.browser);
        }
        Ok(response)
    }

    pub(crate) fn show(&self, page: &Page) -> Shown {
        self.show_leading(StatusCode::OK, page, "")
    }

    /// Shows a form again, with what is wrong with it.
    pub(crate) fn show_again(&self, page: &Page) -> Shown {
        self.show_leading(StatusCode::UNPROCESSABLE_ENTITY, page, "")
    }

    fn set_cookie(&self, response: &mut Response, value: &str) {
        let cookie = Cookie::build((cookie_name(&self.platform, &self.base_url), value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .max_age(COOKIE_LIFE)
            .secure(is_secure(&self.base_url));
        if let Ok(cookie) = HeaderValue::try_from(cookie.to_string()) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
    }
}

fn is_secure(base_url: &str) -> bool {
    base_url.starts_with("https:")
}

/// The name of a platform's cookie. Cookies do not tell ports apart, so platforms of one host need different
/// names.
fn cookie_name(platform: &Platform, base_url: &str) -> String {
    let prefix = if is_secure(base_url) { "__Host-" } else { "" };
    format!("{prefix}linkspan-{}", platform.settings.name)
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let value = lines.flat_map(Cookie::split_parse).flatten().find(|cookie| cookie.name() == name)?;
    let value = value.value();
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ((40..=60).contains(&value.len()) && value.bytes().all(of_token)).then(|| value.to_owned())
}

/// Serves a page that is looked at.
pub(crate) fn page<F, Fut>(handler: F) -> MethodRouter<App>
where
    F: Fn(Visit) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Shown> + Send + 'static,
{
    get(move |State(app): State<App>, request: Request| async move {
        let platform = platform_of(&app.platforms, &request);
        let (parts, _) = request.into_parts();
        let shown = async {
            let visit = Visit::begin(app, platform.clone(), &parts).await?;
            handler(visit).await
        };
        answer(shown.await, platform)
    })
}

/// Serves a form that stands on another page. Browsers show its address after an error, and whoever opens
/// that is led to the page.
pub(crate) fn form_of<F, Fut>(page: impl Into<String>, handler: F) -> MethodRouter<App>
where
    F: Fn(Visit, Values) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Shown> + Send + 'static,
{
    let page: String = page.into();
    form(handler).get(async move || redirect(&page))
}

/// Takes a form that is sent. What it changes is done to the end even if the browser goes away.
pub(crate) fn form<F, Fut>(handler: F) -> MethodRouter<App>
where
    F: Fn(Visit, Values) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Shown> + Send + 'static,
{
    post(move |State(app): State<App>, request: Request| async move {
        let platform = platform_of(&app.platforms, &request);
        let (parts, body) = request.into_parts();
        let of_platform = platform.clone();
        let shown = tokio::spawn(async move {
            let visit = Visit::begin(app, of_platform, &parts).await?;
            let form = visit.read_form(&parts, body).await?;
            handler(visit, form).await
        });
        answer(shown.await.unwrap_or_else(|error| Err(failed(error))), platform)
    })
}

fn answer(shown: Shown, platform: Option<Arc<Platform>>) -> Response {
    shown.unwrap_or_else(|stop| trouble::answer(stop, platform.as_deref()))
}
