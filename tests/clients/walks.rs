//! The walks of docs/guides with client libraries: people of the three kinds of platform sign up on the pages in
//! Chromium, find somebody of another platform, write, and are accepted.
//!
//! matrix-sdk and matrix-js-sdk begin the log-in, and the person's browser ends it.

use linkspan_tests::{
    PASSWORD,
    Platform::{self, Instagram, Messenger, Whatsapp},
    Server,
    http1::{Client, Request},
};
use serde_json::{Value, json};

use crate::{
    driver::{
        Driver,
        Library::{self, Js, Rust},
        node,
    },
    mailbox::{Mailbox, Phones},
    matching::output,
    pages::Tab,
    person::Person,
};

/// The address to which browsers are sent back: a client on the same machine.
const APP: &str = "http://127.0.0.1/callback";
const NUMBER: &str = "+491713920011";
const ADDRESS: &str = "gerd@example.org";

/// The server, and what it sends to people.
struct Town {
    server: Server,
    mailbox: Mailbox,
    phones: Phones,
}

/// Runs all walks.
pub(crate) fn all() {
    let (mailbox, phones) = (Mailbox::open(), Phones::open());
    let more = ["rate_limits = false", "verify = true", &mailbox.settings(), &phones.settings()].join("\n");
    let town = Town { server: Server::start_with(&more, &[]), mailbox, phones };
    let hilde = town.arrives((Instagram, Js, "Hilde"), Town::takes_a_handle);
    let gerd = town.arrives((Messenger, Rust, "Gerd"), Town::proves_an_address);
    let cleo = town.arrives((Whatsapp, Js, "Cleo"), Town::proves_a_number);
    let ida = Person::sign_up(&town.server, Instagram, Js, "Ida");
    assert_eq!(
        (hilde.id.as_str(), gerd.id.as_str()),
        ("@hilde:instagram.localhost", "@gerd:messenger.localhost")
    );
    assert!(!cleo.id.contains("cleo") && !cleo.id.contains(&NUMBER[3..]), "{}", cleo.id);

    // By name, by handle, and by what stands in an address book.
    let found = finds_in_directory(&hilde, "Gerd Vogel");
    assert_eq!(found, gerd.id);
    writes_and_is_accepted(&hilde, &gerd);
    let found = finds_in_directory(&gerd, "@ida");
    assert_eq!(found, ida.id);
    writes_and_is_accepted(&gerd, &ida);
    town.lets_be_found(&gerd);
    assert_eq!(town.finds_in_address_book(&cleo), gerd.id);
    writes_and_is_accepted(&cleo, &gerd);
}

impl Town {
    /// Somebody new begins to log in with a client, and signs up in the browser. The library does the rest.
    fn arrives(&self, who: (Platform, Library, &str), signs_up: fn(&Self, &Tab)) -> Person {
        let (platform, library, name) = who;
        let driver = Driver::start(library, name);
        let folder = tempfile::tempdir().expect("a folder");
        let words = json!({
            "server": self.server.url(platform), "redirect": APP, "encrypted": false, "store": folder.path(),
        });
        let asked = driver.command("oauth_begin", words).expect("it begins");
        let tab = Tab::new(name);
        tab.stands_in(APP, "Welcome back.");
        tab.opens(asked["url"].as_str().expect("a page"));
        signs_up(self, &tab);
        let back = tab.presses("Allow");
        back.says("Welcome back.");
        let session = driver.command("oauth_finish", json!({ "url": back.url })).expect("it finishes");
        Person::with_any_id(who, driver, folder, &session)
    }

    fn takes_a_handle(&self, tab: &Tab) {
        tab.presses("Create an account").says("Handle");
        tab.fills_in(json!({
            "name": "Hilde Brandt", "user": "hilde", "new_password": PASSWORD, "new_password2": PASSWORD,
        }));
        tab.presses("Create account").says("@hilde:instagram.localhost");
    }

    fn proves_an_address(&self, tab: &Tab) {
        tab.presses("Create an account").says("Email address");
        tab.fills_in(json!({ "email": ADDRESS }));
        tab.presses("Continue").says("Check your email");
        tab.fills_in(json!({ "code": self.mailbox.next().code() }));
        tab.presses("Continue").says("You've confirmed gerd@example.org");
        tab.fills_in(json!({
            "name": "Gerd Vogel", "user": "gerd", "new_password": PASSWORD, "new_password2": PASSWORD,
        }));
        tab.presses("Create account").says("@gerd:messenger.localhost");
    }

    fn proves_a_number(&self, tab: &Tab) {
        tab.fills_in(json!({ "phone": NUMBER }));
        tab.presses("Continue").says("Enter the code");
        tab.fills_in(json!({ "code": self.phones.next_code(NUMBER) }));
        tab.presses("Continue").says("What's your name?");
        tab.fills_in(json!({ "name": "Cleo Lind" }));
        tab.presses("Create account").says(":whatsapp.localhost");
    }

    fn lets_be_found(&self, person: &Person) {
        let choice = json!({ "email": "everyone" }).to_string();
        let request = Request::new("PUT", "/_linkspan/client/v1/discovery").by(Some(&person.token));
        let host = &self.server.addresses()[person.platform as usize];
        let answer = Client::new(host).ask(host, &request.json(choice)).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Whom the library for address books finds; nobody but one person is there.
    fn finds_in_address_book(&self, person: &Person) -> String {
        let mut command = node("../libs/matching-js/test/find.mjs");
        command.args([&self.server.url(person.platform), &person.token, ADDRESS, "+491713920033"]);
        let found: Value = serde_json::from_slice(&output(command)).expect("it prints JSON");
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
        found[0]["userId"].as_str().expect("a user id").to_owned()
    }
}

/// The one whom the user directory finds.
fn finds_in_directory(person: &Person, term: &str) -> String {
    let found = person.does("find_people", json!({ "term": term }));
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    found[0]["user"].as_str().expect("a user id").to_owned()
}

/// Somebody writes to a stranger of another platform, who sees an invitation, accepts it and answers.
fn writes_and_is_accepted(writer: &Person, stranger: &Person) {
    let room = writer.creates_room(json!({ "direct": true, "invite": [stranger.id] }));
    writer.finds(&room, &json!({ "membership": "join" }));
    let question = writer.says(&room, "Is this your umbrella?");
    stranger.finds(&room, &json!({ "membership": "invite", "inviter": writer.id }));
    assert!(!stranger.has_seen(&room, &question), "clients show what was said once it is accepted");
    stranger.joins(&room);
    stranger.sees_text(&room, &question, &writer.id, "Is this your umbrella?");
    let answer = stranger.says(&room, "It is!");
    writer.sees_text(&room, &answer, &stranger.id, "It is!");
}
