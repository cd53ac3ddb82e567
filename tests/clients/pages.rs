//! People on the pages of a platform, in Chromium: what it blocks, a test by plain HTTP does not notice.

use linkspan_tests::{
    Platform::{self, Messenger},
    Server,
    http1::{Client, Request},
};
use serde_json::{Value, json};

use crate::{driver::Driver, mailbox::Mailbox};

/// Everything.
pub(crate) fn all() {
    let mailbox = Mailbox::open();
    let server = Server::start_with(&format!("rate_limits = false\n{}", mailbox.settings()), &[]);
    an_address_is_confirmed(&server, &mailbox);
}

/// A tab of a browser.
struct Tab {
    driver: Driver,
}

/// What a person sees.
struct Page {
    url: String,
    text: String,
}

impl Tab {
    fn new(name: &str) -> Self {
        Self { driver: Driver::start_browser(name) }
    }

    #[track_caller]
    fn does(&self, what: &str, words: Value) -> Page {
        let seen = self.driver.command(what, words).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        let text = |key: &str| seen[key].as_str().unwrap_or_default().to_owned();
        Page { url: text("url"), text: text("text") }
    }

    #[track_caller]
    fn opens(&self, url: &str) -> Page {
        self.does("open", json!({ "url": url }))
    }

    /// Clicks on a link or a button, and waits for where that leads.
    #[track_caller]
    fn presses(&self, text: &str) -> Page {
        self.does("press", json!({ "text": text }))
    }
}

impl Page {
    #[track_caller]
    fn says(&self, expected: &str) {
        assert!(self.text.contains(expected), "{expected:?} is not on {}:\n{}", self.url, self.text);
    }
}

/// Where all platforms are served, by the name of one.
fn site(server: &Server, platform: Platform) -> String {
    let (_, port) = server.address().rsplit_once(':').expect("an address has a port");
    format!("http://{}:{port}", platform.server_name())
}

/// A client asks for a mail to confirm an address.
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
    tab.presses("Yes, confirm").says("is confirmed");
}
