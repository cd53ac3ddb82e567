//! Address books, matched with the library in JavaScript: its own tests, and against a real server.

use std::process::Command;

use linkspan_tests::{
    INSTAGRAM, PASSWORD, Platform, Server, WHATSAPP,
    household::{Person, Town},
    http1::Request,
};
use serde_json::{Value, json};

use crate::{driver::node, mailbox::Mailbox};

const DISCOVERY: &str = "/_linkspan/client/v1/discovery";

#[test]
fn the_library_in_javascript_passes_its_own_tests() {
    output(node("../libs/matching-js/test/book.test.js"));
}

#[test]
fn the_library_in_javascript_finds_people() {
    let mailbox = Mailbox::open();
    let server =
        Server::start_with(&format!("rate_limits = false\nverify = false\n{}", mailbox.settings()), &[]);
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let cleo = register(&town, &mailbox, "cleo", "cleo@example.org");
    let emil = register(&town, &mailbox, "emil", "emil@example.org");
    for (person, audience) in [(&cleo, "everyone"), (&emil, "nobody")] {
        town.does(person, "PUT", DISCOVERY, &json!({ "email": audience }));
    }
    let mut command = node("../libs/matching-js/test/find.mjs");
    command.args([&server.url(Platform::Instagram), &anna.token]);
    command.args(["Cleo@example.org", "emil@example.org", "+4930123456"]);
    let found: Value = serde_json::from_slice(&output(command)).expect("it prints JSON");
    let cleo = json!({ "address": "email:cleo@example.org", "userId": format!("@cleo:{WHATSAPP}") });
    assert_eq!(found, json!([cleo]));
}

/// Registers somebody, and gives them an e-mail address.
fn register(town: &Town, mailbox: &Mailbox, name: &str, address: &str) -> Person {
    let person = town.register(WHATSAPP, name, "a phone");
    let request = json!({ "client_secret": "monkeys", "email": address, "send_attempt": 1 });
    let asked = town.does(&person, "POST", "/v3/account/3pid/email/requestToken", &request);
    let mail = mailbox.next();
    let path = mail.link().splitn(4, '/').nth(3).expect("a path");
    let confirmed = town.ask(WHATSAPP, &Request::new("POST", format!("/{path}")));
    assert_eq!(confirmed.status, 200, "{}", confirmed.text());
    let identifier = json!({ "type": "m.id.user", "user": person.user_id });
    let auth = json!({ "type": "m.login.password", "password": PASSWORD, "identifier": identifier });
    let add = json!({ "sid": asked["sid"], "client_secret": "monkeys", "auth": auth });
    town.does(&person, "POST", "/v3/account/3pid/add", &add);
    person
}

/// What a program prints, which must end well.
pub(crate) fn output(mut command: Command) -> Vec<u8> {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    output.stdout
}
