//! People log in by OAuth 2.0 in the ways of the libraries: on two platforms, by a code and with a code that
//! another device shows. They talk with encryption, their tokens change, and tokens are worth nothing on
//! another platform.

use linkspan_tests::{
    PASSWORD,
    Platform::{self, Instagram, Messenger},
    Server,
    http1::{Answer, Client, Request},
};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::{
    browser::Browser,
    driver::{
        Driver,
        Library::{self, Js, Rust},
    },
    encrypted::{nothing_is_in_clear, talk_alone},
    person::Person,
};

/// The address to which the browser is sent back: a client on the same machine.
const REDIRECT: &str = "http://127.0.0.1/callback";
const WHO_AM_I: &str = "/_matrix/client/v3/account/whoami";
const TOKEN: &str = "/_linkspan/oauth2/token";

/// Runs all parts of the test.
pub(crate) fn all(server: &Server) {
    let people = [(Instagram, Rust, "Anna"), (Messenger, Js, "Ben")];
    let [anna, ben] = people.map(|(platform, library, name)| {
        sign_up(server, platform, name);
        by_code(server, platform, library, name)
    });
    anna.gets_identity();
    ben.gets_identity();
    let room = talk_alone(&anna, &ben);
    for (person, elsewhere) in [(&anna, Messenger), (&ben, Instagram)] {
        is_among_devices(person);
        tokens_are_of_one_platform(server, person, elsewhere);
        tokens_change(server, person);
    }
    // They go on with the new tokens, and after a restart of the client.
    anna.does("reload", json!({}));
    for (number, speaker) in [&anna, &ben, &anna].into_iter().enumerate() {
        let body = format!("Still here {number}");
        let text = speaker.says(&room, &body);
        for reader in [&anna, &ben] {
            reader.reads_text(&room, &text, speaker, &body);
        }
    }
    codes_are_of_one_platform(server);

    // A device without a browser joins in, and everybody who follows her devices encrypts for it.
    let tablet = by_device_grant(server, &ben);
    for person in [&anna, &ben] {
        person.finds_device(&tablet);
    }
    tablet.knows_room(&room, &[&anna, &ben, &tablet]);
    let text = anna.says(&room, "To all of you");
    for reader in [&ben, &tablet] {
        reader.reads_text(&room, &text, &anna, "To all of you");
    }
    let current = tokens(&ben)["access"].as_str().expect("a token").to_owned();
    nothing_is_in_clear(server, (Messenger, &current), &room);

    logging_out_revokes(server, &tablet);
    logging_out_revokes(server, &anna);
    ben.forgets_device(&anna);
    let answer = server.get(Messenger, WHO_AM_I, Some(&current));
    assert_eq!(answer.status, 200, "{}", answer.text());
    ben.says(&room, "Alone");
}

fn sign_up(server: &Server, platform: Platform, name: &str) {
    let words = json!({
        "username": name.to_lowercase(), "password": PASSWORD, "auth": { "type": "m.login.dummy" },
        "inhibit_login": true,
    });
    let request = Request::new("POST", "/_matrix/client/v3/register").json(words.to_string());
    let answer = ask(server, platform, &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn ask(server: &Server, platform: Platform, request: &Request) -> Answer {
    let host = &server.addresses()[platform as usize];
    Client::new(host).ask(host, request).expect("an answer")
}

/// Logs in with a new device, which encrypts. The library asks, and the person allows it in a browser.
fn by_code(server: &Server, platform: Platform, library: Library, name: &str) -> Person {
    let driver = Driver::start(library, name);
    let folder = tempfile::tempdir().expect("a folder");
    let words = json!({
        "server": server.url(platform), "redirect": REDIRECT, "encrypted": true, "store": folder.path(),
    });
    let asked = driver.command("oauth_begin", words).expect("it begins");
    let url = asked["url"].as_str().expect("a page");
    let back =
        Browser::new(server, platform).allow(url, &name.to_lowercase()).expect("the browser is sent back");
    assert!(back.starts_with(REDIRECT), "{back}");
    let session = driver.command("oauth_finish", json!({ "url": back })).expect("it finishes");
    Person::listening((platform, library, name), driver, folder, &session)
}

/// Logs in with a device that shows a code, which the person finds in a browser.
fn by_device_grant(server: &Server, person: &Person) -> Person {
    let driver = Driver::start(Js, &person.name);
    let folder = tempfile::tempdir().expect("a folder");
    let words = json!({ "server": server.url(person.platform), "redirect": REDIRECT, "encrypted": true });
    let asked = driver.command("oauth_device_begin", words).expect("it begins");
    let url = asked["url"].as_str().expect("a page");
    assert!(url.contains(asked["code"].as_str().expect("a code")), "{asked}");
    Browser::new(server, person.platform).allow(url, &person.name.to_lowercase());
    let session = driver.command("oauth_device_finish", json!({})).expect("it finishes");
    Person::listening((person.platform, Js, &person.name), driver, folder, &session)
}

fn tokens(person: &Person) -> Value {
    person.does("oauth_tokens", json!({}))
}

fn is_among_devices(person: &Person) {
    let devices = person.does("devices", json!({}));
    let ids: Vec<_> = devices.as_array().into_iter().flatten().map(|one| one["device"].as_str()).collect();
    assert_eq!(ids, [Some(person.device.as_str())], "{devices}");
}

/// Asks for tokens, as a client does.
fn token_request(server: &Server, platform: Platform, values: &[(&str, &str)]) -> Answer {
    post_form(server, platform, TOKEN, values)
}

fn post_form(server: &Server, platform: Platform, path: &str, values: &[(&str, &str)]) -> Answer {
    let mut request = Request::new("POST", path).header("Content-Type", "application/x-www-form-urlencoded");
    request.body = form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish().into_bytes();
    ask(server, platform, &request)
}

fn is_refused(answer: &Answer, error: &str) {
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(error)), "{}", answer.text());
}

fn refresh(server: &Server, platform: Platform, tokens: &Value) -> Answer {
    let text = |key: &str| tokens[key].as_str().expect("a text");
    let values =
        [("grant_type", "refresh_token"), ("client_id", text("client")), ("refresh_token", text("refresh"))];
    token_request(server, platform, &values)
}

fn tokens_are_of_one_platform(server: &Server, person: &Person, elsewhere: Platform) {
    let held = tokens(person);
    let access = held["access"].as_str();
    assert_eq!(server.get(person.platform, WHO_AM_I, access).json()["user_id"], person.id.as_str());
    let answer = server.get(elsewhere, WHO_AM_I, access);
    assert_eq!((answer.status, answer.errcode().as_str()), (401, "M_UNKNOWN_TOKEN"));
    let answer = refresh(server, elsewhere, &held);
    // The other platform does not know the client, unless one of its kind registered there.
    assert!(matches!(answer.status, 400 | 401), "{}", answer.text());
    assert!(answer.json()["access_token"].is_null(), "{}", answer.text());
    assert_eq!(server.get(person.platform, WHO_AM_I, access).status, 200, "it is still good at home");
}

/// The library refreshes. It has new tokens, and those of before are worth nothing.
fn tokens_change(server: &Server, person: &Person) {
    let before = tokens(person);
    let after = person.does("oauth_refresh", json!({}));
    assert!(before["access"] != after["access"] && before["refresh"] != after["refresh"]);
    let answer = server.get(person.platform, WHO_AM_I, after["access"].as_str());
    assert_eq!(answer.json()["device_id"], person.device.as_str(), "{}", answer.text());
    let answer = server.get(person.platform, WHO_AM_I, before["access"].as_str());
    assert_eq!((answer.status, answer.errcode().as_str()), (401, "M_UNKNOWN_TOKEN"));
}

/// A code that one platform's page gave is no code on another, where the client has the same name and id.
fn codes_are_of_one_platform(server: &Server) {
    let driver = Driver::start(Rust, "Anna");
    let begin = |platform| {
        let words = json!({ "server": server.url(platform), "redirect": REDIRECT });
        driver.command("oauth_begin", words).expect("it begins")["url"].as_str().expect("a page").to_owned()
    };
    begin(Messenger);
    let url = begin(Instagram);
    let back = Browser::new(server, Instagram).allow(&url, "anna").expect("the browser is sent back");
    let value = |url: &str, wanted: &str| {
        let url = Url::parse(url).expect("an address");
        let found = url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
        found.expect("it is there")
    };
    let (client, code) = (value(&url, "client_id"), value(&back, "code"));
    let verifier = "a-verifier-that-has-at-least-forty-three-characters";
    let values = [
        ("grant_type", "authorization_code"),
        ("client_id", client.as_str()),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", verifier),
    ];
    is_refused(&token_request(server, Messenger, &values), "invalid_grant");
    let session = driver.command("oauth_finish", json!({ "url": back })).expect("it is still good at home");
    assert_eq!(session["user"], format!("@anna:{}", Instagram.server_name()));
}

fn revoke(server: &Server, platform: Platform, tokens: &Value) {
    let text = |key: &str| tokens[key].as_str().expect("a text");
    let values = [("token", text("access")), ("client_id", text("client"))];
    let answer = post_form(server, platform, "/_linkspan/oauth2/revocation", &values);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn logging_out_revokes(server: &Server, person: &Person) {
    let held = tokens(person);
    if person.library == Rust {
        // The library does it only over TLS.
        revoke(server, person.platform, &held);
    } else {
        person.does("logout", json!({}));
    }
    let answer = server.get(person.platform, WHO_AM_I, held["access"].as_str());
    assert_eq!((answer.status, answer.errcode().as_str()), (401, "M_UNKNOWN_TOKEN"));
    is_refused(&refresh(server, person.platform, &held), "invalid_grant");
}
