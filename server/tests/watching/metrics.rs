//! Every metric that is served, and whether it says what has happened.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use super::{
    HANGS, PASSWORD, Watched, ask, body_of,
    exposition::{Family, parse},
    value,
};

pub(super) const ONE: &str = "one.localhost";
pub(super) const TWO: &str = "two.localhost";

/// All labels that there are. None of them may name a user, a room or a device.
const LABELS: [&str; 15] = [
    "cache", "from", "kind", "le", "outcome", "platform", "reason", "route", "state", "status", "table",
    "to", "version", "what", "work",
];

/// How many uploads of one user run at a time, and how many wait.
const UPLOADS_RUNNING: usize = 8;
const UPLOADS_WAITING: usize = 32;

/// Two platforms with people. The mails of the first go to `smtp`; the second is strict.
pub(super) fn config(smtp: &str) -> String {
    format!(
        r#"
data = "data"
[listen]
http = "127.0.0.1:0"
metrics = "127.0.0.1:0"
[[platform]]
name = "one"
server_name = "{ONE}"
registration = "open"
rate_limits = false
verify = false
[platform.email]
smtp = "smtp://{smtp}"
from = "one@one.localhost"
[[platform]]
name = "two"
server_name = "{TWO}"
registration = "open"
verify = false
limits = {{ message = 0.001, message_burst = 2 }}
"#
    )
}

/// Takes mails by SMTP (RFC 5321), but for the first, which it refuses for ever. Returns where it listens.
pub(super) fn mail_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            if number == 0 {
                let _ = stream.write_all(b"554 no\r\n");
                continue;
            }
            let _ = stream.write_all(b"220 here\r\n");
            let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            let mut is_mail = false;
            while let Some(Ok(line)) = lines.next() {
                let answer: &[u8] = match line.as_str() {
                    "." => {
                        is_mail = false;
                        b"250 taken\r\n"
                    }
                    _ if is_mail => b"",
                    "DATA" => {
                        is_mail = true;
                        b"354 go on\r\n"
                    }
                    _ => b"250 yes\r\n",
                };
                let _ = stream.write_all(answer);
            }
        }
    });
    address
}

/// Somebody with a token.
pub(super) struct Person<'a> {
    server: &'a Watched,
    host: &'static str,
    token: String,
}

impl<'a> Person<'a> {
    pub(super) fn register(server: &'a Watched, host: &'static str, name: &str) -> Self {
        let body = json!({ "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
        let registered = server.post(host, "/_matrix/client/v3/register", &body);
        let token = registered["access_token"].as_str().unwrap_or_else(|| panic!("no token: {registered}"));
        Self { server, host, token: token.to_owned() }
    }

    fn head(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }

    pub(super) fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        body_of(&ask(&self.server.address, self.host, method, path, &self.head(), &body.to_string()))
    }

    pub(super) fn send(&self, room_id: &str, txn_id: &str) -> Value {
        let path = format!("/_matrix/client/v3/rooms/{room_id}/send/m.room.message/{txn_id}");
        self.ask("PUT", &path, &json!({ "msgtype": "m.text", "body": "said-in-private" }))
    }

    /// Sends the head of a request, and the first half of its body.
    fn send_half(&self, method: &str, path: &str, bytes: usize) -> TcpStream {
        let mut stream = TcpStream::connect(&self.server.address).expect("somebody listens");
        let (host, head) = (self.host, self.head());
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{head}Content-Length: {bytes}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("it is sent");
        // What is refused may be closed meanwhile.
        let _ = stream.write_all(&vec![b' '; bytes / 2]);
        stream
    }
}

/// Asks for the metrics until a sample has a value.
fn wait_for(server: &Watched, sample: &str, expected: f64) {
    let begun = Instant::now();
    loop {
        let metrics = server.metrics();
        if value(&metrics, sample) == Some(expected) {
            return;
        }
        assert!(begun.elapsed() < HANGS, "{sample} is not {expected}: {metrics}");
    }
}

fn families(server: &Watched) -> (String, std::collections::BTreeMap<String, Family>) {
    let metrics = server.metrics();
    let (_, body) = metrics.split_once("\r\n\r\n").expect("a head");
    (body.to_owned(), parse(body))
}

#[test]
fn what_happened_is_told_with_the_right_numbers() {
    let server = Watched::start_as(&config(&mail_server()), |_, command| command);
    let anna = Person::register(&server, ONE, "anna");
    let bea = Person::register(&server, TWO, "bea");
    let room = anna.ask("POST", "/_matrix/client/v3/createRoom", &json!({ "preset": "public_chat" }));
    let room_id = room["room_id"].as_str().unwrap_or_else(|| panic!("no room: {room}")).to_owned();
    // Who is alone sends to nobody.
    anna.send(&room_id, "0");
    let joined = bea.ask("POST", &format!("/_matrix/client/v3/join/{room_id}"), &json!({}));
    assert_eq!(joined["room_id"], room_id.as_str(), "{joined}");
    for txn_id in ["1", "2", "3"] {
        assert!(anna.send(&room_id, txn_id)["event_id"].is_string());
    }
    assert!(bea.send(&room_id, "1")["event_id"].is_string());

    // A sync that waits.
    let first = anna.ask("GET", "/_matrix/client/v3/sync", &json!({}));
    let since = first["next_batch"].as_str().expect("a token");
    let path = format!("/_matrix/client/v3/sync?timeout=60000&since={since}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| anna.ask("GET", &path, &json!({})));
        wait_for(&server, "linkspan_syncs_waiting{platform=\"one.localhost\"}", 1.0);
        // It is also what a pusher is told of, at an address that nothing may be sent to.
        let pusher = json!({
            "app_id": "app", "pushkey": "key", "kind": "http", "lang": "en",
            "app_display_name": "app", "device_display_name": "phone",
            "data": { "url": "https://127.0.0.1:9/_matrix/push/v1/notify" },
        });
        assert_eq!(anna.ask("POST", "/_matrix/client/v3/pushers/set", &pusher), json!({}));
        assert!(bea.send(&room_id, "2")["event_id"].is_string());
        let news = waiting.join().expect("an answer");
        assert!(news["rooms"]["join"][&room_id].is_object(), "{news}");
    });
    wait_for(&server, "linkspan_syncs_waiting{platform=\"one.localhost\"}", 0.0);
    wait_for(&server, "linkspan_pushes_total{platform=\"one.localhost\",outcome=\"failed\"}", 1.0);
    wait_for(&server, "linkspan_pushers_waiting{platform=\"one.localhost\"}", 0.0);
    assert_eq!(bea.send(&room_id, "3")["errcode"], "M_LIMIT_EXCEEDED");
    let other =
        anna.ask("PUT", &format!("/_matrix/client/v3/rooms/{room_id}/send/org.example/4"), &json!({}));
    assert!(other["event_id"].is_string(), "{other}");

    // Mails, of which the first is refused.
    for (number, sent) in [("1", "failed"), ("2", "sent")] {
        let asked = json!({
            "client_secret": format!("secret{number}"), "email": format!("typed{number}@example.org"), "send_attempt": 1,
        });
        server.post(ONE, "/_matrix/client/v3/register/email/requestToken", &asked);
        wait_for(&server, &format!("linkspan_mails_total{{platform=\"{ONE}\",outcome=\"{sent}\"}}"), 1.0);
    }

    // An upload that is whole, and more halves than may run or wait.
    let head = format!("{}Content-Type: text/plain\r\n", anna.head());
    let upload = ask(&server.address, ONE, "POST", "/_matrix/media/v3/upload", &head, "seven b");
    assert!(body_of(&upload)["content_uri"].is_string(), "{upload}");
    wait_for(&server, "linkspan_connections{platform=\"any\"}", 0.0);
    let uploads = |what: &str| format!("linkspan_work_{what}{{work=\"uploads\",platform=\"{ONE}\"}}");
    let half = || anna.send_half("POST", "/_matrix/media/v3/upload", 1_000);
    let mut halves: Vec<_> = (0..UPLOADS_RUNNING).map(|_| half()).collect();
    wait_for(&server, &uploads("running"), UPLOADS_RUNNING as f64);
    halves.extend((0..UPLOADS_WAITING).map(|_| half()));
    wait_for(&server, &uploads("waiting"), UPLOADS_WAITING as f64);
    halves.push(half());
    wait_for(&server, &uploads("refused_total"), 1.0);
    drop(halves);
    wait_for(&server, &uploads("running"), 0.0);
    wait_for(&server, &uploads("waiting"), 0.0);

    // A body of which a half has come.
    let held = format!("linkspan_bodies_held_bytes{{platform=\"{ONE}\"}}");
    let body =
        anna.send_half("PUT", &format!("/_matrix/client/v3/rooms/{room_id}/send/m.room.message/5"), 60_000);
    wait_for(&server, &held, 30_000.0);
    drop(body);
    wait_for(&server, &held, 0.0);
    wait_for(&server, "linkspan_connections{platform=\"any\"}", 0.0);
    let silent = TcpStream::connect(&server.address).expect("somebody listens");
    wait_for(&server, "linkspan_connections{platform=\"any\"}", 1.0);
    drop(silent);

    // What is counted now and then.
    for (sample, expected) in [
        ("linkspan_accounts{platform=\"one.localhost\",state=\"in_use\"}", 1.0),
        ("linkspan_accounts{platform=\"two.localhost\",state=\"in_use\"}", 1.0),
        ("linkspan_devices{platform=\"one.localhost\"}", 1.0),
        ("linkspan_rooms{platform=\"one.localhost\"}", 1.0),
        ("linkspan_rooms{platform=\"two.localhost\"}", 0.0),
        ("linkspan_media_files{platform=\"one.localhost\"}", 1.0),
        ("linkspan_media_bytes{platform=\"one.localhost\"}", 7.0),
    ] {
        wait_for(&server, sample, expected);
    }

    let (metrics, families) = families(&server);
    for (sample, expected) in [
        ("linkspan_events_sent_total{platform=\"one.localhost\",kind=\"message\"}", 4.0),
        ("linkspan_events_sent_total{platform=\"two.localhost\",kind=\"message\"}", 2.0),
        ("linkspan_events_sent_total{platform=\"two.localhost\",kind=\"state\"}", 1.0),
        ("linkspan_events_sent_total{platform=\"one.localhost\",kind=\"other\"}", 1.0),
        ("linkspan_messages_between_platforms_total{from=\"one.localhost\",to=\"two.localhost\"}", 3.0),
        ("linkspan_messages_between_platforms_total{from=\"two.localhost\",to=\"one.localhost\"}", 2.0),
        ("linkspan_rooms_created_total{platform=\"one.localhost\"}", 1.0),
        ("linkspan_sync_work_seconds_count{platform=\"one.localhost\"}", 2.0),
        ("linkspan_refusals_total{platform=\"two.localhost\",reason=\"message\"}", 1.0),
        ("linkspan_work_running{work=\"hashing\",platform=\"two.localhost\"}", 0.0),
        ("linkspan_requests_turned_away_total{platform=\"one.localhost\"}", 0.0),
        ("linkspan_connections_refused_total{platform=\"any\"}", 0.0),
        ("linkspan_connections_ended_total{platform=\"any\",reason=\"half_open_gave_way\"}", 0.0),
        ("linkspan_commits_waiting", 0.0),
        ("linkspan_commits_waiting_bytes", 0.0),
        ("linkspan_platform_commits_waiting{platform=\"one.localhost\"}", 0.0),
        ("linkspan_commits_refused_total{reason=\"busy\"}", 0.0),
        ("linkspan_bodies_limit_bytes", 268_435_456.0),
        ("linkspan_answers_limit_bytes", 268_435_456.0),
        ("linkspan_memory_entries{what=\"live_rooms\"}", 1.0),
        ("linkspan_sms_total{platform=\"one.localhost\",outcome=\"sent\"}", 0.0),
    ] {
        assert_eq!(value(&metrics, sample), Some(expected), "{sample}: {metrics}");
    }
    let commits = value(&metrics, "linkspan_commits_total");
    assert!(commits > Some(5.0), "{metrics}");
    assert_eq!(value(&metrics, "linkspan_commit_wait_seconds_count"), commits, "{metrics}");
    let synced = value(&metrics, "linkspan_sync_work_seconds_sum{platform=\"one.localhost\"}");
    assert!(synced.is_some_and(|seconds| seconds > 0.0), "{metrics}");
    for positive in
        ["linkspan_disk_reserve_bytes", "linkspan_connections_limit", "process_start_time_seconds"]
    {
        assert!(value(&metrics, positive) > Some(0.0), "{positive}: {metrics}");
    }

    let labels: BTreeSet<_> =
        families.values().flat_map(|family| &family.samples).flat_map(|(_, of, _)| of.keys()).collect();
    for label in labels {
        assert!(LABELS.contains(&label.as_str()), "{label}");
    }
    let secrets = ["anna", "bea", "said-in-private", "typed1", "secret1", PASSWORD, &anna.token, &bea.token];
    for secret in secrets.into_iter().chain([room_id.as_str(), since]) {
        assert!(!metrics.contains(secret), "{secret}: {metrics}");
    }
}

#[test]
fn what_is_told_is_what_the_guide_lists() {
    let server = Watched::start();
    let (_, families) = families(&server);
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/watch-it.md");
    let guide = fs::read_to_string(guide).expect("the guide is there");
    let (_, metrics) = guide.split_once("\n## Metrics\n").expect("it has a part about metrics");
    let metrics = metrics.split("\n## ").next().unwrap_or_default();
    let rows = metrics.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    // Several names may share a row: they are what stands in every other place.
    let listed = rows.flat_map(|names| names.split('`').step_by(2));
    let mut told: BTreeSet<_> = families.keys().map(String::as_str).collect();
    for name in listed {
        assert!(told.remove(name), "{name} is listed, perhaps twice, but not told");
    }
    assert!(told.is_empty(), "{told:?} are told, but not listed");
    // Queries and rules name what there is.
    let parts = metrics.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for name in parts.filter(|part| part.starts_with("linkspan_") || part.starts_with("process_")) {
        let stems = ["", "_bucket", "_sum", "_count"].iter().filter_map(|end| name.strip_suffix(end));
        assert!(stems.into_iter().any(|stem| families.contains_key(stem)), "{name} is not told");
    }
}
