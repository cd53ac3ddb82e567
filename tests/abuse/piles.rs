//! What one person piles up has an end, and whoever takes something away can go on.

use linkspan_tests::{
    INSTAGRAM, Server,
    household::{Person, Town},
    http1::Answer,
};
use serde_json::{Value, json};

use crate::{LONG, long_text, request};

/// More than anybody may have of anything that is tried here.
const VERY_MANY: usize = 1_200;

/// Does something with rising numbers until it is refused. Returns how often it was done, and the refusal.
#[track_caller]
fn pile_up(mut add: impl FnMut(usize) -> Answer) -> (usize, Answer) {
    for number in 0..VERY_MANY {
        let answer = add(number);
        if answer.status != 200 {
            return (number, answer);
        }
    }
    panic!("nothing is refused");
}

#[track_caller]
fn is_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.errcode().as_str()), (status, code), "{}", answer.text());
}

/// A server whose people may have two large entries of what is counted in bytes.
fn server() -> Server {
    let limits = "[platform.limits]\nkey_backup_bytes = 140000\naccount_data_bytes = 140000";
    Server::start_with(&format!("rate_limits = false\n{limits}"), &[])
}

fn try_it(town: &Town, who: &Person, method: &str, path: &str, body: &Value) -> Answer {
    town.ask(who.platform, &request(method, path, Some(who)).json(body.to_string()))
}

#[test]
fn key_backups_have_an_end() {
    let mut server = server();
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let version = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {} });
    let (versions, refused) = pile_up(|_| try_it(&town, &anna, "POST", "/v3/room_keys/version", &version));
    is_refused(&refused, 403, "M_FORBIDDEN");
    assert_eq!(versions, 20);
    let key = json!({
        "first_message_index": 0, "forwarded_count": 0, "is_verified": true,
        "session_data": { "ciphertext": long_text() },
    });
    let path =
        |number: usize| format!("/v3/room_keys/keys/!room:{INSTAGRAM}/session{number}?version={versions}");
    let (keys, refused) = pile_up(|number| try_it(&town, &anna, "PUT", &path(number), &key));
    is_refused(&refused, 403, "M_FORBIDDEN");
    assert_eq!(keys, 2);
    town.does(&anna, "DELETE", &path(0), &json!({}));
    town.does(&anna, "PUT", &path(2), &key);
    server.check_health();
}

#[test]
fn account_data_and_filters_have_an_end() {
    let mut server = server();
    let town = Town::strangers(&server);
    let (anna, ben) =
        (town.register(INSTAGRAM, "anna", "a phone"), town.register(INSTAGRAM, "ben", "a phone"));
    let entry =
        |who: &Person, number: usize| format!("/v3/user/{}/account_data/org.example.{number}", who.user_id);
    let large = json!({ "text": long_text() });
    let (entries, refused) = pile_up(|number| try_it(&town, &anna, "PUT", &entry(&anna, number), &large));
    is_refused(&refused, 403, "M_FORBIDDEN");
    assert_eq!(entries, 2, "by bytes");
    let small = json!({ "a": 1 });
    let (entries, refused) = pile_up(|number| try_it(&town, &ben, "PUT", &entry(&ben, number), &small));
    is_refused(&refused, 403, "M_FORBIDDEN");
    assert!((900..=1_000).contains(&entries), "by number: {entries}");

    let filters = format!("/v3/user/{}/filter", anna.user_id);
    let filter = |number: usize| json!({ "org.example": format!("{number} {}", long_text()) });
    let (count, refused) = pile_up(|number| try_it(&town, &anna, "POST", &filters, &filter(number)));
    is_refused(&refused, 403, "M_FORBIDDEN");
    assert_eq!(count, (1 << 20) / LONG);
    server.check_health();
}

#[test]
fn pushers_and_profiles_have_an_end() {
    let mut server = server();
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let pusher = |number: usize| {
        json!({
            "pushkey": format!("key {number}"), "kind": "http", "app_id": "org.example", "lang": "en",
            "app_display_name": "Example", "device_display_name": "phone",
            "data": { "url": "https://push.example.org/_matrix/push/v1/notify" },
        })
    };
    let (pushers, refused) =
        pile_up(|number| try_it(&town, &anna, "POST", "/v3/pushers/set", &pusher(number)));
    assert!((400..404).contains(&refused.status), "{}", refused.text());
    assert_eq!(pushers, 100);

    let field = |number: usize| format!("/v3/profile/{}/org.example.field{number}", anna.user_id);
    let value = |number: usize| json!({ format!("org.example.field{number}"): "a".repeat(2_000) });
    let (fields, refused) = pile_up(|number| try_it(&town, &anna, "PUT", &field(number), &value(number)));
    is_refused(&refused, 400, "M_PROFILE_TOO_LARGE");
    assert!((28..=32).contains(&fields), "64 KiB in all: {fields}");
    town.does(&anna, "DELETE", &field(0), &json!({}));
    server.check_health();
}
