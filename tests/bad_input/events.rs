//! Events that no room takes, and transactions that are sent again.

use linkspan_tests::{
    household::{Person, full_path},
    http1::{Answer, Request},
};
use serde_json::json;

use crate::{Spoiler, short};

/// The greatest event, in bytes.
/// <https://spec.matrix.org/v1.19/client-server-api/#size-limits>
const EVENT_BYTES: usize = 65_536;

impl Spoiler {
    fn send(&self, who: &Person, room: &str, txn_id: &str, content: &[u8]) -> Answer {
        let target = full_path(&format!("/v3/rooms/{room}/send/m.room.message/{txn_id}"));
        self.town.ask(who.platform, &Request::new("PUT", target).by(Some(&who.token)).json(content))
    }
}

#[test]
fn events_are_canonical_json_of_a_greatest_size() {
    let mut spoiler = Spoiler::start();
    let (anna, room) = (spoiler.household.anna.clone(), spoiler.household.room.clone());
    let message = |body: &str| format!(r#"{{"msgtype": "m.text", "body": {body}}}"#).into_bytes();
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let long = format!("{:?}", "x".repeat(EVENT_BYTES));
    let cases: [(&str, u16, &str); 14] = [
        ("1.5", 400, "M_BAD_JSON"),
        ("1e400", 400, ""),
        ("1e3", 400, "M_BAD_JSON"),
        ("9007199254740992", 400, "M_BAD_JSON"),
        ("-9007199254740992", 400, "M_BAD_JSON"),
        ("9223372036854775808", 400, "M_BAD_JSON"),
        ("18446744073709551616", 400, "M_BAD_JSON"),
        (r#""\ud800""#, 400, ""),
        (r#""\ud800\u0041""#, 400, ""),
        (&long, 413, "M_TOO_LARGE"),
        (&deep, 400, ""),
        ("9007199254740991", 200, ""),
        (r#""a \u0000 b""#, 200, ""),
        (r#""\ud83d\udea2""#, 200, ""),
    ];
    for (body, status, errcode) in cases {
        let txn_id = spoiler.town.fresh().to_string();
        let answer = spoiler.send(&anna, &room, &txn_id, &message(body));
        spoiler.judge(&short(body.as_bytes()), &answer, |answer| {
            answer.status == status && (errcode.is_empty() || answer.errcode() == errcode)
        });
        let target = full_path(&format!("/v3/rooms/{room}/state/org.example.state/{txn_id}"));
        let request = Request::new("PUT", target).by(Some(&anna.token)).json(message(body));
        let answer = spoiler.town.ask(anna.platform, &request);
        spoiler
            .judge(&format!("state {}", short(body.as_bytes())), &answer, |answer| answer.status == status);
    }
    // Types and state keys count, too, and have a limit of their own.
    let (just, over) = ("x".repeat(255), "x".repeat(256));
    for (event_type, state_key, status) in [(&just, &just, 200), (&over, &just, 413), (&just, &over, 413)] {
        let target = full_path(&format!("/v3/rooms/{room}/state/{event_type}/{state_key}"));
        let answer =
            spoiler.town.ask(anna.platform, &Request::new("PUT", target).by(Some(&anna.token)).json("{}"));
        spoiler.judge("a long type or key", &answer, |answer| answer.status == status);
    }
    spoiler.finish();
}

#[test]
fn a_transaction_happens_once_for_its_device_and_room() {
    let mut spoiler = Spoiler::start();
    let (anna, room) = (spoiler.household.anna.clone(), spoiler.household.room.clone());
    let name = anna.user_id.trim_start_matches('@').split(':').next().expect("a name").to_owned();
    let tablet = spoiler.town.log_in(anna.platform, &name);
    let created = spoiler.town.does(&anna, "POST", "/v3/createRoom", &json!({}));
    let other_room = created["room_id"].as_str().expect("a room").to_owned();
    let content = br#"{"msgtype": "m.text", "body": "hello"}"#;
    let first = spoiler.send(&anna, &room, "again", content);
    let event_id = |answer: &Answer| answer.json()["event_id"].as_str().map(str::to_owned);
    assert!(event_id(&first).is_some(), "{}", first.text());
    let again = spoiler.send(&anna, &room, "again", content);
    assert_eq!(event_id(&again), event_id(&first), "the same event");
    for (what, other) in [
        ("another room", spoiler.send(&anna, &other_room, "again", content)),
        ("another device", spoiler.send(&tablet, &room, "again", content)),
        ("another id", spoiler.send(&anna, &room, "again%2e", content)),
    ] {
        spoiler.judge(what, &other, |other| other.status == 200 && event_id(other) != event_id(&first));
    }
    spoiler.finish();
}

#[test]
fn patterns_cost_what_they_may_cost() {
    let mut spoiler = Spoiler::start();
    let (anna, room) = (spoiler.household.anna.clone(), spoiler.household.room.clone());
    let dora = spoiler.town.dora.clone();
    for (number, pattern) in
        ["*a".repeat(120), "a*".repeat(120), "?*".repeat(120), "(a+)+$".to_owned()].iter().enumerate()
    {
        let rule = json!({ "actions": ["notify"], "pattern": pattern });
        let target = full_path(&format!("/v3/pushrules/global/content/stars{number}"));
        let request = Request::new("PUT", target).by(Some(&anna.token)).json(rule.to_string());
        let answer = spoiler.town.ask(anna.platform, &request);
        spoiler.judge(pattern, &answer, |_| true);
    }
    let long = json!({ "msgtype": "m.text", "body": "a".repeat(50_000) }).to_string();
    let answer = spoiler.send(&dora, &room, "stars", long.as_bytes());
    spoiler.judge("a message for them", &answer, |answer| answer.status == 200);
    for term in
        ["*", ".*", "(a+)+$", "%", "_", "\\", "\u{0}", "'; --", &"a ".repeat(5_000), &"a".repeat(50_000)]
    {
        let body = json!({ "search_categories": { "room_events": { "search_term": term } } });
        let search = Request::new("POST", full_path("/v3/search")).by(Some(&anna.token));
        let answer = spoiler.town.ask(anna.platform, &search.json(body.to_string()));
        spoiler.judge(&format!("search {}", short(term.as_bytes())), &answer, |_| true);
        let people = Request::new("POST", full_path("/v3/user_directory/search")).by(Some(&anna.token));
        let answer =
            spoiler.town.ask(anna.platform, &people.json(json!({ "search_term": term }).to_string()));
        spoiler.judge(&format!("people {}", short(term.as_bytes())), &answer, |answer| answer.status == 200);
    }
    let sync = Request::new("GET", full_path("/v3/sync?timeout=0")).by(Some(&anna.token));
    let answer = spoiler.town.ask(anna.platform, &sync);
    spoiler.judge("sync", &answer, |answer| answer.status == 200);
    spoiler.finish();
}
