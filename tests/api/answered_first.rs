//! Writers are answered first: what a request did is told to its user's own devices once its answer is out.
//!
//! The program runs on its own, and both connections are read in plain bytes: when the first byte of a sync's
//! answer has come, the answer to the write has to be there.

use std::cell::Cell;

use linkspan_tests::{
    MESSENGER, Server,
    household::{Person, Town},
    http1::{Connection, Request},
    olm::OlmDevice,
};
use serde_json::{Value, json};

/// How often each way of writing is tried.
const ROUNDS: usize = 20;

/// A way of writing: a method, a path below `/_matrix/client`, and a body.
type Write = (&'static str, String, Value);

/// Anna, who writes with one connection and waits with others.
struct Scene {
    server: Server,
    town: Town,
    anna: Person,
    bert: Person,
    room: String,
    numbers: Cell<usize>,
}

impl Scene {
    fn open() -> Self {
        let server = Server::start_with("rate_limits = false\npresence = true", &[]);
        let town = Town::strangers(&server);
        let anna = town.register(MESSENGER, "anna", "a phone");
        let bert = town.register(MESSENGER, "bert", "a phone");
        let create = json!({ "preset": "public_chat" });
        let room = town.does(&anna, "POST", "/v3/createRoom", &create)["room_id"].clone();
        let room = room.as_str().expect("a room id").to_owned();
        town.does(&bert, "POST", &format!("/v3/join/{room}"), &json!({}));
        Self { server, town, anna, bert, room, numbers: Cell::new(0) }
    }

    fn number(&self) -> usize {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    fn say(&self, who: &Person) -> String {
        let path = format!("/v3/rooms/{}/send/m.room.message/{}", self.room, self.number());
        let event = self.town.does(who, "PUT", &path, &json!({ "msgtype": "m.text", "body": "words" }));
        event["event_id"].as_str().expect("an event id").to_owned()
    }

    /// One write of each kind.
    fn writes(&self, round: usize, device: &Person) -> Vec<Write> {
        let (room, user, number) = (&self.room, &self.anna.user_id, self.number());
        let of_bert =
            self.town.does(&self.bert, "POST", "/v3/createRoom", &json!({ "preset": "public_chat" }));
        let other = of_bert["room_id"].as_str().expect("a room id").to_owned();
        let words = json!({ "msgtype": "m.text", "body": number.to_string() });
        let last = self.say(&self.bert);
        let to_device = json!({ "messages": { user: { "*": { "number": number } } } });
        let keys = OlmDevice::of(user, &device.device_id).device_keys();
        vec![
            ("PUT", format!("/v3/rooms/{room}/send/m.room.message/{number}"), words),
            ("PUT", format!("/v3/rooms/{room}/redact/{last}/r{number}"), json!({})),
            ("PUT", format!("/v3/rooms/{room}/state/m.room.topic"), json!({ "topic": number.to_string() })),
            ("POST", format!("/v3/join/{other}"), json!({})),
            ("POST", format!("/v3/rooms/{other}/leave"), json!({})),
            ("POST", "/v3/createRoom".to_owned(), json!({})),
            ("POST", format!("/v3/rooms/{room}/receipt/m.read/{last}"), json!({})),
            ("POST", format!("/v3/rooms/{room}/read_markers"), json!({ "m.fully_read": last })),
            (
                "PUT",
                format!("/v3/rooms/{room}/typing/{user}"),
                json!({ "typing": round.is_multiple_of(2), "timeout": 120_000 }),
            ),
            ("PUT", format!("/v3/user/{user}/account_data/org.example"), json!({ "number": number })),
            ("PUT", format!("/v3/user/{user}/rooms/{room}/tags/u.{number}"), json!({})),
            ("PUT", format!("/v3/sendToDevice/org.example/{number}"), to_device),
            ("POST", "/v3/keys/upload".to_owned(), json!({ "device_keys": keys })),
            ("PUT", format!("/v3/profile/{user}/displayname"), json!({ "displayname": number.to_string() })),
            (
                "PUT",
                format!("/v3/presence/{user}/status"),
                json!({ "presence": "online", "status_msg": number.to_string() }),
            ),
        ]
    }

    /// A connection on which Anna is answered at once, and which is known to be served.
    fn connect(&self) -> Connection {
        let mut connection = Connection::open(self.server.address());
        self.ask(&mut connection, &self.anna, "GET", "/v3/account/whoami", &json!({}));
        connection.answer().expect("it answers");
        connection
    }

    fn ask(&self, connection: &mut Connection, by: &Person, method: &str, path: &str, body: &Value) {
        let request = Request::new(method, format!("/_matrix/client{path}")).by(Some(&by.token));
        let request = if method == "GET" { request } else { request.json(body.to_string()) };
        connection.send(&request.to_bytes(MESSENGER));
    }
}

/// A way to wait for news.
struct Waiting {
    /// The request from a token on, or with None the first one.
    ask: fn(Option<&Value>) -> Write,
    /// Whether the waiting client is told what is written at a path.
    tells: fn(&str) -> bool,
}

const PLAIN: Waiting = Waiting {
    ask: |last| {
        let since = last.map(|last| format!("&since={}", last["next_batch"].as_str().expect("a token")));
        let path = format!("/v3/sync?set_presence=offline{}", since.unwrap_or_default());
        ("GET", path, Value::Null)
    },
    tells: |_| true,
};

const SLIDING: Waiting = Waiting {
    ask: |last| {
        let pos = last.map(|last| format!("&pos={}", last["pos"].as_str().expect("a token")));
        let pos = pos.unwrap_or_default();
        let path = format!("/unstable/org.matrix.simplified_msc3575/sync?set_presence=offline{pos}");
        let on = json!({ "enabled": true });
        let mut body = json!({
            "lists": { "all": { "ranges": [[0, 99]], "timeline_limit": 1, "required_state": [["*", "*"]] } },
            "extensions": { "to_device": on, "e2ee": on, "account_data": on, "receipts": on, "typing": on },
        });
        if let Some(last) = last {
            body["extensions"]["to_device"]["since"] = last["extensions"]["to_device"]["next_batch"].clone();
        }
        ("POST", path, body)
    },
    tells: |path| !path.contains("/presence/"),
};

/// Whether an answer has no events.
fn is_quiet(answer: &Value) -> bool {
    match answer {
        Value::Array(events) => events.is_empty(),
        Value::Object(parts) => parts.values().all(is_quiet),
        _ => true,
    }
}

impl Scene {
    /// Asks until there is nothing left to be told. Returns the last answer.
    fn settle(&self, sync: &mut Connection, waiting: &Waiting, last: Option<Value>) -> Value {
        let (method, path, body) = (waiting.ask)(last.as_ref());
        self.ask(sync, &self.anna, method, &format!("{path}&timeout=0"), &body);
        let answer = sync.answer().expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        if last.is_some() && is_quiet(&answer) { answer } else { self.settle(sync, waiting, Some(answer)) }
    }
}

/// Has a sync wait while everything is written, and asserts that each write was answered before the sync.
fn writer_is_first(waiting: &Waiting) {
    let scene = Scene::open();
    let (mut writer, mut sync) = (scene.connect(), scene.connect());
    let mut last = None;
    let mut late = Vec::new();
    for round in 0..ROUNDS {
        // A device is given its keys only once.
        let device = scene.town.log_in(MESSENGER, "anna");
        for (method, path, body) in scene.writes(round, &device) {
            if !(waiting.tells)(&path) {
                continue;
            }
            let settled = scene.settle(&mut sync, waiting, last.take());
            let (sync_method, sync_path, sync_body) = (waiting.ask)(Some(&settled));
            let sync_path = format!("{sync_path}&timeout=60000");
            scene.ask(&mut sync, &scene.anna, sync_method, &sync_path, &sync_body);
            scene.ask(&mut writer, &device, method, &path, &body);
            sync.wait_for_bytes();
            if !writer.has_bytes() {
                late.push(format!("{method} {path}"));
            }
            let written = writer.answer().expect("it answers");
            assert_eq!(written.status, 200, "{method} {path}: {}", written.text());
            last = Some(sync.answer().expect("it answers").json());
        }
    }
    assert_eq!(late, Vec::<String>::new(), "a sync told of them first");
}

#[test]
fn a_sync_tells_after_the_answer_to_the_write() {
    writer_is_first(&PLAIN);
}

#[test]
fn a_sliding_sync_tells_after_the_answer_to_the_write() {
    writer_is_first(&SLIDING);
}
