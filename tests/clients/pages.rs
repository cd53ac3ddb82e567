//! People on the pages of a platform, in Chromium. A test by plain HTTP does not notice what a browser
//! blocks.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use linkspan_tests::{
    PASSWORD,
    Platform::{self, Instagram, Messenger},
    Server,
    http1::{Client, Request},
};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{driver::Driver, mailbox::Mailbox};

/// Runs all parts of the test. On messenger everybody has to confirm an address; on instagram it is optional.
pub(crate) fn all() {
    let mailbox = Mailbox::open();
    let more = format!("rate_limits = false\nverify = true\n{}", mailbox.settings());
    let server = Server::start_with(&more, &[]);
    an_address_is_confirmed(&server, &mailbox);
    somebody_new_logs_in_to_an_app(&server, &mailbox);
    somebody_forgot_the_password(&server, &mailbox);
    an_address_is_added_and_removed(&server, &mailbox);
    the_way_is_lost_and_found(&server);
}

/// A tab of a browser.
pub(crate) struct Tab {
    driver: Driver,
}

/// What a person sees.
pub(crate) struct Page {
    pub(crate) url: String,
    text: String,
}

impl Tab {
    pub(crate) fn new(name: &str) -> Self {
        Self { driver: Driver::start_browser(name) }
    }

    #[track_caller]
    fn does(&self, what: &str, words: Value) -> Page {
        let seen = self.driver.command(what, words).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        let text = |key: &str| seen[key].as_str().unwrap_or_default().to_owned();
        Page { url: text("url"), text: text("text") }
    }

    #[track_caller]
    pub(crate) fn opens(&self, url: &str) -> Page {
        self.does("open", json!({ "url": url }))
    }

    /// Answers in the place of an app of the person, at whose address nothing listens.
    pub(crate) fn stands_in(&self, url: &str, text: &str) {
        self.does("stand_in", json!({ "url": url, "text": text }));
    }

    /// Types into the fields of a form, by their names.
    #[track_caller]
    pub(crate) fn fills_in(&self, values: Value) {
        self.does("fill", json!({ "values": values }));
    }

    /// Clicks on a link or a button, and waits for the page that it leads to.
    #[track_caller]
    pub(crate) fn presses(&self, text: &str) -> Page {
        self.does("press", json!({ "text": text }))
    }
}

impl Page {
    #[track_caller]
    pub(crate) fn says(&self, expected: &str) {
        assert!(self.text.contains(expected), "{expected:?} is not on {}:\n{}", self.url, self.text);
    }
}

/// The address at which all platforms are served, with the name of one.
fn site(server: &Server, platform: Platform) -> String {
    let (_, port) = server.address().rsplit_once(':').expect("an address has a port");
    format!("http://{}:{port}", platform.server_name())
}

/// Asks for a mail to confirm an address, as a client does.
fn asks_for_mail(server: &Server, platform: Platform, address: &str) {
    let words = json!({ "client_secret": "monkeys", "email": address, "send_attempt": 1 });
    let request =
        Request::new("POST", "/_matrix/client/v3/register/email/requestToken").json(words.to_string());
    let host = site(server, platform);
    let host = host.trim_start_matches("http://");
    let answer = Client::new(server.address()).ask(host, &request).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Somebody signs up with a client, and opens the link in the mail.
fn an_address_is_confirmed(server: &Server, mailbox: &Mailbox) {
    asks_for_mail(server, Messenger, "anna@example.org");
    let tab = Tab::new("Anna");
    tab.opens(mailbox.next().link()).says("anna@example.org");
    tab.presses("Confirm").says("Your email address is confirmed");
}

/// Starts a web app to which browsers come back, and returns its address. It listens until the tests end.
fn web_app() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("it listens");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 17\r\n\
                          Connection: close\r\n\r\n<p>Welcome back.\n";
            let mut request = [0; 16 << 10];
            let _ = connection.read(&mut request).and_then(|_| connection.write_all(answer.as_bytes()));
        }
    });
    format!("http://127.0.0.1:{}/callback", address.port())
}

/// The page on which an app that has just registered asks to be allowed.
fn asked_by_app(server: &Server, platform: Platform, app: &str) -> String {
    let words = json!({
        "client_name": "Harbour Chat", "client_uri": "https://harbour.example/", "application_type": "native",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
    });
    let request = Request::new("POST", "/_linkspan/oauth2/registration").json(words.to_string());
    let host = site(server, platform);
    let host = host.trim_start_matches("http://");
    let answer = Client::new(server.address()).ask(host, &request).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let client: Value = serde_json::from_str(&answer.text()).expect("it is JSON");
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", client["client_id"].as_str().expect("an id"))
        .append_pair("redirect_uri", app)
        .append_pair("response_type", "code")
        .append_pair("scope", "urn:matrix:client:api:* urn:matrix:client:device:HARBOUR123")
        .append_pair("state", "here")
        .append_pair("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
        .append_pair("code_challenge_method", "S256")
        .finish();
    format!("{}/_linkspan/oauth2/authorize?{query}", site(server, platform))
}

/// Somebody without an account comes from an app, makes one by mail, and is led back to the app.
fn somebody_new_logs_in_to_an_app(server: &Server, mailbox: &Mailbox) {
    let app = web_app();
    let tab = Tab::new("Dora");
    let page = tab.opens(&asked_by_app(server, Messenger, &app));
    page.says("Log in to Messenger");
    page.says("to continue to Harbour Chat (harbour.example)");
    tab.presses("Create an account").says("to continue to Harbour Chat");
    tab.fills_in(json!({ "email": "dora@example.org" }));
    tab.presses("Continue").says("Check your email");
    tab.opens(mailbox.next().link()).says("You've confirmed dora@example.org");
    tab.fills_in(json!({ "user": "dora", "new_password": PASSWORD, "new_password2": PASSWORD }));
    let consent = tab.presses("Create account");
    consent.says("Allow Harbour Chat to use your Messenger account?");
    consent.says("@dora:messenger.localhost");
    let back = tab.presses("Allow");
    back.says("Welcome back.");
    assert!(back.url.starts_with(&format!("{app}?code=")), "{}", back.url);
}

/// Dora forgot her password, and logs in with another.
fn somebody_forgot_the_password(server: &Server, mailbox: &Mailbox) {
    const NEW: &str = "a lamp and a rope";
    let tab = Tab::new("Dora again");
    let log_in = format!("{}/_linkspan/log-in", site(server, Messenger));
    tab.opens(&log_in);
    tab.presses("Forgot password?").says("We'll send you what you need");
    tab.fills_in(json!({ "email": "dora@example.org" }));
    tab.presses("Continue").says("Check your email");
    let link = mailbox.next().link().to_owned();
    tab.opens(&link).says("dora@example.org");
    tab.fills_in(json!({ "new_password": NEW, "new_password2": "something else" }));
    tab.presses("Save and log in").says("The two passwords don't match.");
    tab.fills_in(json!({ "new_password": NEW, "new_password2": NEW }));
    tab.presses("Save and log in").says("@dora:messenger.localhost");
    tab.opens(&link).says("This link doesn't work any more");

    let tab = Tab::new("Dora elsewhere");
    tab.opens(&log_in);
    tab.fills_in(json!({ "user": "dora@example.org", "password": PASSWORD }));
    tab.presses("Log in").says("Wrong username or password.");
    tab.fills_in(json!({ "password": NEW }));
    tab.presses("Log in").says("Your account");
}

/// Somebody signs up without an address, adds one later, and removes it.
fn an_address_is_added_and_removed(server: &Server, mailbox: &Mailbox) {
    let tab = Tab::new("Emil");
    tab.opens(&format!("{}/_linkspan/register", site(server, Instagram)));
    tab.fills_in(json!({ "user": "emil", "new_password": PASSWORD, "new_password2": PASSWORD }));
    tab.presses("Create account").says("Your account");
    tab.presses("Add an email address");
    tab.fills_in(json!({ "email": "emil@example.org" }));
    tab.presses("Continue").says("Check your email");
    tab.opens(mailbox.next().link()).says("@emil:instagram.localhost");
    let account = tab.presses("Add address");
    account.says("The email address has been added.");
    account.says("emil@example.org");
    let account = tab.presses("Remove");
    account.says("The email address has been removed.");
    assert!(!account.text.contains("emil@example.org"), "{}", account.text);
}

/// Somebody mistypes an address, and finds the account page from there.
fn the_way_is_lost_and_found(server: &Server) {
    let tab = Tab::new("Fay");
    tab.opens(&format!("{}/_linkspan/acount", site(server, Messenger))).says("Page not found");
    tab.presses("Your account").says("Log in to Messenger");
    tab.opens(&format!("{}/_linkspan/account/reset-encryption", site(server, Messenger)))
        .says("Log in to Messenger");
}
