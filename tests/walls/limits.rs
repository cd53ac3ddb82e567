//! Rate limits: each platform has its own, and says when to come back.

use linkspan_tests::{
    INSTAGRAM, MESSENGER, Server,
    household::{Person, Town, full_path},
    http1::{Answer, Request},
};
use serde_json::{Value, json};

/// How many messages, and how many attempts to log in, fit before waiting begins.
const BURST: usize = 3;

#[test]
fn limits_are_each_platforms_own() {
    let limits = format!(
        "[platform.limits]\nmessage = 0.01\nmessage_burst = {BURST}\nlogin = 0.01\nlogin_burst = {BURST}"
    );
    let mut server = Server::start_with(&limits, &[]);
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let ben = town.register(INSTAGRAM, "ben", "a phone");
    let dora = town.register(MESSENGER, "dora", "a phone");
    let preset = json!({ "preset": "public_chat" });
    let room = town.does(&anna, "POST", "/v3/createRoom", &preset)["room_id"].clone();
    let room = room.as_str().expect("a room");
    for person in [&ben, &dora] {
        town.does(person, "POST", &format!("/v3/join/{room}"), &json!({}));
    }

    let say = |who: &Person| {
        let target = full_path(&format!("/v3/rooms/{room}/send/m.room.message/{}", town.fresh()));
        let request = Request::new("PUT", target).by(Some(&who.token));
        town.ask(who.platform, &request.json(json!({ "msgtype": "m.text", "body": "hello" }).to_string()))
    };
    (0..BURST).for_each(|_| assert_eq!(say(&anna).status, 200));
    check_limited(&say(&anna));
    assert_eq!((say(&ben).status, say(&dora).status), (200, 200), "others have their own limits");

    // Guesses at passwords are counted by address and by account, on each platform by itself.
    let guess = |platform: &str| {
        let identifier = json!({ "type": "m.id.user", "user": "anna" });
        let body = json!({ "type": "m.login.password", "identifier": identifier, "password": "a guess" });
        town.ask(platform, &Request::new("POST", full_path("/v3/login")).json(body.to_string()))
    };
    (0..BURST).for_each(|_| assert_eq!(guess(INSTAGRAM).errcode(), "M_FORBIDDEN"));
    check_limited(&guess(INSTAGRAM));
    assert_eq!(guess(MESSENGER).errcode(), "M_FORBIDDEN", "another platform counts for itself");
    server.check_health();
}

#[track_caller]
fn check_limited(answer: &Answer) {
    assert_eq!((answer.status, answer.errcode().as_str()), (429, "M_LIMIT_EXCEEDED"), "{}", answer.text());
    let wait_ms = answer.json().get("retry_after_ms").and_then(Value::as_u64).expect("it says when");
    let wait_s: u64 = answer.header("retry-after").expect("it says when").parse().expect("seconds");
    assert!(wait_ms > 0 && wait_s * 1000 >= wait_ms, "{wait_s} s, {wait_ms} ms");
}
