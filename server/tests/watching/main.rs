//! What the program tells whoever watches it: health, metrics, the log, and systemd.

mod deployed;
mod exposition;
mod metrics;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const CONFIG: &str = r#"
data = "data"
[log]
format = "json"
level = "debug"
[listen]
http = "127.0.0.1:0"
metrics = "127.0.0.1:0"
[[platform]]
name = "one"
server_name = "one.localhost"
registration = "open"
verify = false
[[platform]]
name = "two"
server_name = "two.localhost"
"#;

/// How long it may take until something is told, before the test fails.
const HANGS: Duration = Duration::from_secs(60);

const PASSWORD: &str = "correct horse battery staple";

/// A server that is being watched.
struct Watched {
    folder: TempDir,
    server: Child,
    /// Where all platforms are.
    address: String,
    /// Where metrics are.
    metrics: String,
}

impl Watched {
    fn start() -> Self {
        Self::start_as(CONFIG, |_, command| command)
    }

    /// Starts it with a configuration, and with what `prepare` adds to the command, which is told the folder.
    fn start_as(configured: &str, prepare: impl FnOnce(&TempDir, Command) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("linkspan.toml");
        fs::write(&config, configured).expect("the configuration is written");
        let log = File::create(folder.path().join("log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_linkspan"));
        command.args(["serve", "--config"]).arg(&config).env_remove("LINKSPAN_LOG");
        command.stdout(Stdio::piped()).stderr(log);
        let mut server = prepare(&folder, command).spawn().expect("the program runs");
        let mut lines = BufReader::new(server.stdout.take().expect("it is piped")).lines();
        let mut address = || {
            let line = lines.next().expect("it listens").expect("a line of text");
            let rest = line.strip_prefix("listening on http://").expect("it says where it listens");
            rest.split(' ').next().expect("the address comes first").to_owned()
        };
        let (address, metrics) = (address(), address());
        Self { folder, server, address, metrics }
    }

    fn get(&self, host: &str, path: &str) -> String {
        ask(&self.address, host, "GET", path, "", "")
    }

    fn post(&self, host: &str, path: &str, body: &Value) -> Value {
        body_of(&ask(&self.address, host, "POST", path, "", &body.to_string()))
    }

    fn metrics(&self) -> String {
        ask(&self.metrics, "watcher", "GET", "/metrics", "", "")
    }

    fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }

    /// Ends the server, and returns what it has logged.
    fn log(mut self) -> String {
        self.terminate();
        assert!(self.server.wait().expect("it ends").success());
        fs::read_to_string(self.folder.path().join("log")).expect("a log of text")
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn ask(address: &str, host: &str, method: &str, path: &str, more: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer of text");
    answer
}

fn body_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).expect("JSON")
}

/// The value of a sample, by all that stands before it.
fn value(metrics: &str, sample: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn health_is_told_whatever_the_host_and_on_every_listener() {
    let server = Watched::start();
    for address in [&server.address, &server.metrics] {
        for which in ["", "/live", "/ready"] {
            let answer = ask(address, "nobody.example", "GET", &format!("/_linkspan/health{which}"), "", "");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{which}: {answer}");
        }
    }
    let config = server.folder.path().join("linkspan.toml");
    let health = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_linkspan"));
        command.args(["health", "--config"]).arg(&config).output().expect("the program runs")
    };
    let configured = fs::read_to_string(&config).expect("it is there");
    let asked = configured.replace("metrics = \"127.0.0.1:0\"", &format!("metrics = \"{}\"", server.metrics));
    fs::write(&config, asked).expect("it is written");
    let said = health();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.contains("\"ready\":true"), "{said:?}");
    fs::write(&config, configured).expect("it is written");
    assert!(!health().status.success(), "nobody listens at port 0");
    let health = body_of(&server.get("nobody.example", "/_linkspan/health"));
    assert_eq!(health, json!({ "live": true, "ready": true, "reasons": [] }));
    assert!(server.get("nobody.example", "/_matrix/client/versions").starts_with("HTTP/1.1 404 "));
    assert!(server.get("one.localhost", "/metrics").starts_with("HTTP/1.1 404 "), "they are for operators");
}

#[test]
fn a_server_that_stops_is_not_ready() {
    let server = Watched::start();
    // A request that has not come to its end keeps the server from ending at once.
    let mut half = TcpStream::connect(&server.address).expect("somebody listens");
    let head = "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 9\r\n\r\n{";
    half.write_all(head.as_bytes()).expect("it is sent");
    let under_way = "linkspan_requests_under_way{platform=\"one.localhost\",route=\"log_in\"}";
    while value(&server.metrics(), under_way) != Some(1.0) {}
    server.terminate();
    let health = loop {
        let answer = ask(&server.metrics, "watcher", "GET", "/_linkspan/health/ready", "", "");
        if answer.starts_with("HTTP/1.1 503 ") {
            break body_of(&answer);
        }
    };
    assert_eq!(health, json!({ "ready": false, "reasons": ["the server is stopping"] }));
}

#[test]
fn metrics_count_each_platforms_requests() {
    let server = Watched::start();
    for (host, path) in [
        ("one.localhost", "/_matrix/client/v3/login"),
        ("one.localhost", "/_matrix/client/v3/login"),
        ("two.localhost", "/_matrix/client/v3/login"),
        ("two.localhost", "/_matrix/client/v3/sync"),
    ] {
        server.get(host, path);
    }
    let registered = json!({ "username": "anna", "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    assert!(
        server.post("one.localhost", "/_matrix/client/v3/register", &registered)["access_token"].is_string()
    );
    let metrics = server.metrics();
    assert!(metrics.contains("\r\ncontent-type: text/plain; version=0.0.4"), "{metrics}");
    let requests = |platform, route, status| {
        let labels = format!("platform=\"{platform}\",route=\"{route}\",status=\"{status}\"");
        value(&metrics, &format!("linkspan_requests_total{{{labels}}}"))
    };
    assert_eq!(requests("one.localhost", "log_in", "2xx"), Some(3.0), "{metrics}");
    assert_eq!(requests("two.localhost", "log_in", "2xx"), Some(1.0), "{metrics}");
    assert_eq!(requests("two.localhost", "sync", "4xx"), Some(1.0), "{metrics}");
    assert_eq!(requests("one.localhost", "sync", "4xx"), None, "{metrics}");
    let took = "linkspan_request_duration_seconds_count{platform=\"one.localhost\",route=\"log_in\"}";
    assert_eq!(value(&metrics, took), Some(3.0), "{metrics}");
    assert_eq!(value(&metrics, "linkspan_ready"), Some(1.0), "{metrics}");
    let commits = value(&metrics, "linkspan_commits_total");
    assert!(commits.is_some_and(|commits| commits > 0.0), "{metrics}");
    assert_eq!(commits, value(&metrics, "linkspan_commit_group_size_sum"), "{metrics}");
    assert!(value(&metrics, "linkspan_rows_written_total{table=\"accounts\"}") >= Some(1.0), "{metrics}");
    let (_, body) = metrics.split_once("\r\n\r\n").expect("a head");
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (sample, value) = line.rsplit_once(' ').expect("a sample and its value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = sample.split('{').next().unwrap_or_default();
        assert!(name.starts_with("linkspan_") || name.starts_with("process_"), "{line}");
        assert!(!line.contains("anna"), "{line}");
    }
}

#[test]
fn the_log_tells_of_requests_but_not_what_is_in_them() {
    let server = Watched::start();
    let registered = json!({ "username": "anna", "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    let anna = server.post("one.localhost", "/_matrix/client/v3/register", &registered);
    let token = anna["access_token"].as_str().expect("a token").to_owned();
    let wrong = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "typed-here" },
        "password": "not-the-password",
    });
    assert_eq!(server.post("one.localhost", "/_matrix/client/v3/login", &wrong)["errcode"], "M_FORBIDDEN");
    let by_anna = format!("Authorization: Bearer {token}\r\n");
    let room = ask(&server.address, "one.localhost", "POST", "/_matrix/client/v3/createRoom", &by_anna, "{}");
    let room_id = body_of(&room)["room_id"].as_str().expect("a room").to_owned();
    let path = format!("/_matrix/client/v3/rooms/{room_id}/send/m.room.message/txn");
    let message = r#"{"msgtype": "m.text", "body": "said-in-private"}"#;
    assert!(
        body_of(&ask(&server.address, "one.localhost", "PUT", &path, &by_anna, message))["event_id"]
            .is_string()
    );
    let by_query = format!("/_matrix/client/v3/account/whoami?access_token={token}");
    server.get("one.localhost", &by_query);
    let log = server.log();
    for secret in [&token, PASSWORD, "not-the-password", "typed-here", "said-in-private", "anna", &room_id] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let sent = lines.iter().find(|line| {
        line["route"]
            .as_str()
            .is_some_and(|route| route.ends_with("/rooms/{room_id}/send/{event_type}/{txn_id}"))
    });
    let sent = sent.expect("a line for each request");
    assert_eq!(json!([sent["platform"], sent["method"]]), json!(["one.localhost", "PUT"]));
    assert!(sent["status"] == 200 && sent["ms"].is_u64() && sent["request"].is_string(), "{sent}");
    let failed: Vec<_> = lines.iter().filter(|line| line["target"] == "linkspan::log_in").collect();
    let [failed] = failed[..] else { panic!("one log-in failed: {failed:?}") };
    assert_eq!(json!([failed["level"], failed["platform"]]), json!(["INFO", "one.localhost"]));
    assert_eq!(failed["address"], "127.0.0.1");
}

#[test]
fn systemd_is_told_of_the_start_a_reload_the_beat_and_the_end() {
    let mut systemd = None;
    let server = Watched::start_as(CONFIG, |folder, mut command| {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(HANGS)).expect("it can be set");
        systemd = Some(socket);
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "1000000").env_remove("WATCHDOG_PID");
        command
    });
    let systemd = systemd.expect("it was made");
    let hear = || {
        let mut bytes = [0; 64];
        let length = systemd.recv(&mut bytes).expect("it is told");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    while hear() != "READY=1" {}
    while hear() != "WATCHDOG=1" {}
    server.signal(Signal::HUP);
    while !hear().starts_with("RELOADING=1\nMONOTONIC_USEC=") {}
    while hear() != "READY=1" {}
    server.terminate();
    while hear() != "STOPPING=1" {}
}
