//! What somebody does who wants to harm others, over HTTP: the program keeps its bounds, says so, and serves everybody
//! else meanwhile. Bounds are of memory, of what is stored, and of how often something is done, and never of time.
//!
//! Attackers who come from many networks name them in `X-Forwarded-For`, as a proxy on this machine does.

mod addresses;
mod answers;
mod crowds;
mod devices;
mod piles;
mod shares;
mod typing;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use linkspan_tests::{
    Platform, Server,
    household::{Person, Town, full_path},
    http1::{Answer, Connection, PATIENCE, Request},
};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
/// A text that nearly fills an event, in bytes.
const LONG: usize = 60_000;

/// Who holds it has hundreds of connections. There is one at a time, because a test has not more files than the system
/// allows it.
static CROWD: Mutex<()> = Mutex::new(());

fn crowd() -> MutexGuard<'static, ()> {
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn long_text() -> String {
    "a".repeat(LONG)
}

/// A request to the client-server API.
fn request(method: &str, path: &str, who: Option<&Person>) -> Request {
    Request::new(method, full_path(path)).by(who.map(|person| person.token.as_str()))
}

/// A connection to a platform's own port, and a request on it that was not answered yet.
fn begin(server: &Server, platform: Platform, request: &Request) -> Connection {
    let mut connection = Connection::open(&server.addresses()[platform as usize]);
    connection.send(&request.to_bytes(platform.server_name()));
    connection
}

/// Asks a platform on a new connection.
#[track_caller]
fn ask(server: &Server, platform: Platform, request: &Request) -> Answer {
    begin(server, platform, request).answer().expect("it is answered")
}

/// A new public room.
fn open_room(town: &Town, owner: &Person) -> String {
    let room = town.does(owner, "POST", "/v3/createRoom", &json!({ "preset": "public_chat" }));
    room["room_id"].as_str().expect("a room").to_owned()
}

/// Says something long so often.
fn say_at_length(town: &Town, who: &Person, room: &str, times: usize) {
    let content = json!({ "msgtype": "m.text", "body": long_text() });
    for _ in 0..times {
        let path = format!("/v3/rooms/{room}/send/m.room.message/{}", town.fresh());
        town.does(who, "PUT", &path, &content);
    }
}

/// Sets so many entries of a room's state that are nearly as large as an event can be.
fn fill_state(town: &Town, who: &Person, room: &str, entries: usize) {
    for entry in 0..entries {
        let path = format!("/v3/rooms/{room}/state/org.example.large/{entry}");
        town.does(who, "PUT", &path, &json!({ "text": long_text() }));
    }
}

#[track_caller]
fn is_limited(answer: &Answer) {
    assert_eq!((answer.status, answer.errcode().as_str()), (429, "M_LIMIT_EXCEEDED"), "{}", answer.text());
    let wait_ms = answer.json().get("retry_after_ms").and_then(Value::as_u64).expect("it says when");
    let wait_s: u64 = answer.header("retry-after").expect("it says when").parse().expect("seconds");
    assert!(wait_ms > 0 && wait_s * 1000 >= wait_ms, "{wait_s} s, {wait_ms} ms");
}

/// Waits until something holds. It fails if that does not come to be.
#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what} does not come to be");
        std::thread::sleep(Duration::from_millis(10));
    }
}
