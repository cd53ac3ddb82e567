//! A person's browser on the pages of a platform: it signs up where it has to, and brings back a token with
//! which a client logs in (single sign-on). It fills in forms as a person does.
//! <https://spec.matrix.org/v1.19/client-server-api/#client-login-via-sso>

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use url::{Url, form_urlencoded};

use crate::{Failure, outbox::Outbox};

/// The greatest page that is read, in bytes.
const PAGE_BYTES: usize = 1 << 20;
/// How many times in a row a page may lead to another.
const REDIRECTS: usize = 10;
/// The client to which the browser is sent back. Nothing listens there: what counts is the address.
const CLIENT: &str = "http://127.0.0.1/demo";
const SSO: &str = "/_matrix/client/v3/login/sso/redirect";
const SSO_PAGE: &str = "/_linkspan/sso";
const LOG_IN: &str = "/_linkspan/log-in";
const PHONE: &str = "/_linkspan/phone";
const PHONE_CODE: &str = "/_linkspan/phone/code";
const PHONE_NAME: &str = "/_linkspan/phone/name";
const REGISTER: &str = "/_linkspan/register";
const REGISTER_CODE: &str = "/_linkspan/register/code";

/// What somebody types who signs up with an e-mail address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewAccount<'a> {
    pub(crate) email: &'a str,
    pub(crate) username: &'a str,
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
}

/// The browser, with what it keeps of one platform.
pub(crate) struct Browser {
    client: Client<HttpConnector, Full<Bytes>>,
    server: Url,
    cookies: BTreeMap<String, String>,
}

/// Where the browser has come to.
enum Place {
    /// A page, with its markup.
    Page(String),
    /// Back at the client, with a token to log in with.
    Client(String),
}

impl Browser {
    /// A browser for one platform, which knows nobody.
    pub(crate) fn new(server: &str) -> Result<Self, Failure> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { client, server: Url::parse(server)?, cookies: BTreeMap::new() })
    }

    /// Logs in with a phone number and the code that is sent to it. Who has no account gets one with this name.
    pub(crate) async fn log_in_by_number(
        &mut self,
        number: &str,
        name: &str,
        outbox: &Outbox,
    ) -> Result<String, Failure> {
        let page = self.begin().await?;
        let from = outbox.count();
        let page = self.fill(page, PHONE, &[("phone", number)]).await?;
        page.form(PHONE_CODE)?;
        let code = outbox.code_for(number, from).await?;
        let mut place = self.fill(page, PHONE_CODE, &[("code", &code)]).await?;
        if place.form(PHONE_NAME).is_ok() {
            place = self.fill(place, PHONE_NAME, &[("name", name)]).await?;
        }
        self.come_back(place).await
    }

    /// Logs in with an e-mail address and a password. Who has no account gets one, once a code that is mailed
    /// has proved the address.
    pub(crate) async fn log_in_by_email(
        &mut self,
        new: &NewAccount<'_>,
        outbox: &Outbox,
    ) -> Result<String, Failure> {
        let page = self.begin().await?;
        let known = [("user", new.email), ("password", new.password)];
        let place = self.fill(page, LOG_IN, &known).await?;
        let place =
            if place.form(LOG_IN).is_ok() { self.sign_up_by_email(new, outbox).await? } else { place };
        self.come_back(place).await
    }

    async fn sign_up_by_email(&mut self, new: &NewAccount<'_>, outbox: &Outbox) -> Result<Place, Failure> {
        let page = self.open(&format!("{}&action=register", sso())).await?;
        let from = outbox.count();
        let page = self.fill(page, REGISTER, &[("email", new.email)]).await?;
        page.form(REGISTER_CODE)?;
        let code = outbox.code_for(new.email, from).await?;
        let page = self.fill(page, REGISTER_CODE, &[("code", &code)]).await?;
        let details = [
            ("name", new.name),
            ("user", new.username),
            ("new_password", new.password),
            ("new_password2", new.password),
        ];
        self.fill(page, REGISTER, &details).await
    }

    /// The page on which somebody logs in who comes from the client.
    async fn begin(&mut self) -> Result<Place, Failure> {
        self.open(&sso()).await
    }

    /// Lets the client in, and goes back to it with the token.
    async fn come_back(&mut self, place: Place) -> Result<String, Failure> {
        match self.fill(place, SSO_PAGE, &[]).await? {
            Place::Client(token) => Ok(token),
            Place::Page(page) => Err(format!("the browser stays on the page “{}”", heading(&page)).into()),
        }
    }

    async fn open(&mut self, path: &str) -> Result<Place, Failure> {
        let request = Request::get(self.server.join(path)?.as_str());
        let answer = self.send(request, String::new()).await?;
        self.follow(answer).await
    }

    /// Fills in the form of a page that is sent to this path, its hidden fields included.
    async fn fill(&mut self, place: Place, path: &str, values: &[(&str, &str)]) -> Result<Place, Failure> {
        let form = place.form(path)?;
        let values = form
            .hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(values.iter().copied());
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish();
        let request = Request::builder().method(Method::POST).uri(self.server.join(&form.action)?.as_str());
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.send(request, body).await?;
        self.follow(answer).await
    }

    /// Goes where answers lead, until one is a page or leads to the client.
    async fn follow(&mut self, mut answer: Response<String>) -> Result<Place, Failure> {
        for _ in 0..REDIRECTS {
            let Some(location) = answer.headers().get(header::LOCATION) else {
                return Ok(Place::Page(answer.into_body()));
            };
            let mut to = self.server.join(location.to_str()?)?;
            if to.as_str().starts_with(CLIENT) {
                let token = to.query_pairs().find(|(name, _)| name == "loginToken");
                return Ok(Place::Client(token.ok_or("the client got no token")?.1.into_owned()));
            }
            // Whichever name the platform has for itself, it is reached at the address that this browser knows.
            to.set_host(self.server.host_str())?;
            let _ = to.set_port(self.server.port());
            answer = self.send(Request::get(to.as_str()), String::new()).await?;
        }
        Err("the browser is sent around in circles".into())
    }

    async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: String,
    ) -> Result<Response<String>, Failure> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header(header::COOKIE, cookies.join("; ")).body(Full::from(body))?;
        let (head, body) = self.client.request(request).await?.into_parts();
        for cookie in head.headers.get_all(header::SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = Limited::new(body, PAGE_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(head, String::from_utf8_lossy(&body).into_owned()))
    }
}

impl Place {
    /// The form of the page that is sent to a path, with whatever query.
    fn form(&self, path: &str) -> Result<Form, Failure> {
        let Self::Page(page) = self else { return Err("the browser was sent back too early".into()) };
        form(page, path).ok_or_else(|| format!("the page “{}” has no form for {path}", heading(page)).into())
    }
}

/// Where a client that knows single sign-on sends the browser.
fn sso() -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("redirectUrl", CLIENT).finish();
    format!("{SSO}?{query}")
}

/// A form of a page.
struct Form {
    action: String,
    hidden: Vec<(String, String)>,
}

/// What a page calls itself.
fn heading(page: &str) -> &str {
    page.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next()).unwrap_or_default()
}

/// The form of a page that is sent to a path.
fn form(page: &str, path: &str) -> Option<Form> {
    let forms = page.split("<form").skip(1).filter_map(|rest| rest.split("</form>").next());
    forms.filter_map(|form| Some((attribute(form, "action")?, form))).find_map(|(action, form)| {
        (action.split('?').next() == Some(path)).then(|| {
            let hidden = form.split("<input").skip(1).filter(|input| input.contains("type=\"hidden\""));
            let hidden =
                hidden.filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)));
            Form { action: action.clone(), hidden: hidden.collect() }
        })
    })
}

/// The value of an attribute of the first tag in a text.
fn attribute(text: &str, name: &str) -> Option<String> {
    let tag = text.split('>').next()?;
    let value = tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
    Some(value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_found_by_where_it_is_sent() {
        let page = r#"<form method="post" action="/a?x=1&amp;y=2"><input type="hidden" name="next" value="/?q=&quot;">
            <input id="n" name="name" type="text" value="Z"></form><form action="/b"></form>"#;
        let form = form(page, "/a").expect("it is there");
        assert_eq!(form.action, "/a?x=1&y=2");
        assert_eq!(form.hidden, [("next".to_owned(), "/?q=\"".to_owned())]);
        assert!(super::form(page, "/b").is_some() && super::form(page, "/c").is_none());
    }
}
