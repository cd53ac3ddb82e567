//! A browser that visits the pages of a platform, and a client that logs in through it.

use std::collections::HashMap;

use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use crate::network::{Network, text};

/// The password of everybody who registers in these tests.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// The text with which a client proves that a code is its own.
pub(crate) const VERIFIER: &str = "a-verifier-that-has-at-least-forty-three-characters";
/// The address to which the client's browser is sent back.
pub(crate) const CALLBACK: &str = "https://app.example.org/callback?from=here";
pub(crate) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What the browser got.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) policy: String,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The value of a hidden field.
    pub(crate) fn hidden(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let rest = self.text.split(&start).nth(1).unwrap_or_default();
        rest.split('"').next().unwrap_or_default().replace("&amp;", "&")
    }

    /// The error of the RFCs in a JSON answer.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, error: &str) {
        assert_eq!((self.status, text(&self.json()["error"])), (status, error.to_owned()), "{}", self.text);
    }

    /// The values with which a client was sent back, in the query or the fragment.
    pub(crate) fn answer(&self) -> HashMap<String, String> {
        let uri = Url::parse(&self.location).unwrap_or_else(|_| panic!("sent to {:?}", self.location));
        let values = uri.fragment().or(uri.query()).unwrap_or_default().to_owned();
        form_urlencoded::parse(values.as_bytes()).into_owned().collect()
    }
}

/// A browser with a cookie for each platform.
#[derive(Clone)]
pub(crate) struct Browser {
    network: Network,
    pub(crate) cookies: HashMap<String, String>,
}

impl Browser {
    pub(crate) fn new(network: &Network) -> Self {
        Self { network: network.clone(), cookies: HashMap::new() }
    }

    async fn send(&mut self, platform: &str, request: http::request::Builder, body: String) -> Page {
        let mut request = request.header(header::HOST, platform);
        if let Some(cookie) = self.cookies.get(platform) {
            request = request.header(header::COOKIE, cookie);
        }
        let request = request.body(Body::from(body)).expect("the request is well formed");
        let answer = self.network.api.answer(request).await;
        let value = |name: header::HeaderName| {
            let value = answer.headers().get(name).map(|value| value.to_str().expect("a header is text"));
            value.unwrap_or_default().to_owned()
        };
        let (status, location) = (answer.status().as_u16(), value(header::LOCATION));
        let (policy, cookie) = (value(header::CONTENT_SECURITY_POLICY), value(header::SET_COOKIE));
        if !cookie.is_empty() {
            for wanted in ["Path=/", "HttpOnly", "SameSite=Lax"] {
                assert!(cookie.contains(wanted), "{cookie}");
            }
            let pair = cookie.split(';').next().unwrap_or_default();
            self.cookies.insert(platform.to_owned(), pair.to_owned());
        }
        let body = answer.into_body().collect().await.expect("the body arrives").to_bytes();
        Page { status, location, policy, text: String::from_utf8_lossy(&body).into_owned() }
    }

    pub(crate) async fn get(&mut self, platform: &str, path: &str) -> Page {
        let request = Request::get(format!("http://{platform}{path}"));
        self.send(platform, request, String::new()).await
    }

    pub(crate) async fn post(&mut self, platform: &str, path: &str, values: &[(&str, &str)]) -> Page {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish();
        let request = Request::post(format!("http://{platform}{path}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(platform, request, form).await
    }

    pub(crate) async fn post_json(&mut self, platform: &str, path: &str, body: &Value) -> Page {
        let request = Request::post(format!("http://{platform}{path}"));
        self.send(platform, request, body.to_string()).await
    }

    /// Fills in the form of a page with its hidden fields and `values`.
    pub(crate) async fn fill(
        &mut self,
        platform: &str,
        page: &Page,
        path: &str,
        values: &[(&str, &str)],
    ) -> Page {
        let (csrf, next) = (page.hidden("csrf"), page.hidden("next"));
        let hidden = [("csrf", csrf.as_str()), ("next", next.as_str())];
        let values: Vec<_> = hidden.into_iter().chain(values.iter().copied()).collect();
        self.post(platform, path, &values).await
    }

    /// Logs in on the page that asks for it. Returns where that leads.
    pub(crate) async fn log_in(&mut self, platform: &str, path: &str, user: &str) -> String {
        let page = self.get(platform, path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let values = [("user", user), ("password", PASSWORD)];
        let page = self.fill(platform, &page, "/_linkspan/log-in", &values).await;
        assert_eq!(page.status, 303, "{}", page.text);
        page.location
    }

    /// Registers a client in the way of a web client.
    pub(crate) async fn register_client(&mut self, platform: &str) -> String {
        let metadata = json!({
            "client_name": "A <b>client</b>", "client_uri": "https://example.org/", "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token", DEVICE_GRANT, "implicit"],
            "token_endpoint_auth_method": "none", "application_type": "web",
        });
        let page = self.post_json(platform, "/_linkspan/oauth2/registration", &metadata).await;
        assert_eq!(page.status, 201, "{}", page.text);
        text(&page.json()["client_id"])
    }

    /// Has the user allow what a page asks. Returns the code.
    pub(crate) async fn allow(&mut self, platform: &str, path: &str, user: &str) -> String {
        let page = self.get(platform, path).await;
        let path = match page.status {
            303 => self.log_in(platform, &page.location, user).await,
            _ => path.to_owned(),
        };
        let page = self.get(platform, &path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let csrf = page.hidden("csrf");
        let page = self.post(platform, &path, &[("csrf", &csrf), ("answer", "allow")]).await;
        assert_eq!(page.status, 303, "{}", page.text);
        page.answer().remove("code").expect("there is a code")
    }

    pub(crate) async fn token(&mut self, platform: &str, values: &[(&str, &str)]) -> Page {
        self.post(platform, "/_linkspan/oauth2/token", values).await
    }

    /// Exchanges a code as it should be.
    pub(crate) async fn redeem(&mut self, platform: &str, client: &str, code: &str) -> Page {
        self.token(platform, &code_values(client, code)).await
    }

    pub(crate) async fn refresh(&mut self, platform: &str, client: &str, token: &str) -> Page {
        let values = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        self.token(platform, &values).await
    }

    /// Logs in a client of a user. Returns its tokens.
    pub(crate) async fn session(&mut self, platform: &str, user: &str, device: &str) -> (String, Value) {
        let client = self.register_client(platform).await;
        let code = self.allow(platform, &authorise(&client, device, &[]), user).await;
        let page = self.redeem(platform, &client, &code).await;
        assert_eq!(page.status, 200, "{}", page.text);
        (client, page.json())
    }
}

/// The values with which a code is exchanged.
pub(crate) fn code_values<'a>(client: &'a str, code: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

/// The address of the page that asks whether a client may log in. `changes` replaces values, or leaves them
/// out where they are empty.
pub(crate) fn authorise(client: &str, device: &str, changes: &[(&str, &str)]) -> String {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let scope = format!("urn:matrix:client:api:* urn:matrix:client:device:{device}");
    let mut values = vec![
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("response_mode", "fragment"),
        ("scope", &scope),
        ("state", "a state & more"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for change in changes {
        values.retain(|(name, _)| *name != change.0);
        values.push(*change);
    }
    values.retain(|(_, value)| !value.is_empty());
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish();
    format!("/_linkspan/oauth2/authorize?{query}")
}
