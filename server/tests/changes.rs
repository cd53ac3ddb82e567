//! Changes to a server that runs: its configuration is read again, and platforms come and change, while people go on.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const CONFIG: &str = "# ours
data = \"data\"
[listen]
http = \"127.0.0.1:0\"
[[platform]]
name = \"one\" # the first
server_name = \"one.localhost\"
registration = \"open\"
verify = false
";

/// A server whose configuration changes.
struct Changing {
    folder: TempDir,
    server: Child,
    /// What it says of where it listens.
    lines: Box<dyn Iterator<Item = String>>,
    /// Where all platforms are.
    address: String,
}

impl Changing {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("linkspan.toml"), CONFIG).expect("the configuration is written");
        let (server, lines, address) = serve(&folder);
        Self { folder, server, lines, address }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("linkspan.toml")
    }

    fn configured(&self) -> String {
        fs::read_to_string(self.config()).expect("the configuration is there")
    }

    fn configure(&self, text: &str) {
        fs::write(self.config(), text).expect("the configuration is written");
    }

    fn run(&self, words: &[&str]) -> Output {
        command(&self.folder, words).output().expect("the program runs")
    }

    /// Runs a command that has to do what it is asked for, and returns what it says.
    fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that has to fail, and returns what it says.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }

    fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert!(self.server.wait().expect("it ends").success());
    }

    fn restart(&mut self) {
        self.stop();
        (self.server, self.lines, self.address) = serve(&self.folder);
    }

    fn ask(&self, host: &str, method: &str, path: &str, token: &str, body: &Value) -> String {
        ask(&self.address, host, method, path, token, body)
    }

    /// Registers somebody; returns the access token.
    fn register(&self, host: &str, name: &str) -> String {
        let body =
            json!({ "username": name, "password": "a long password", "auth": { "type": "m.login.dummy" } });
        let answer = self.ask(host, "POST", "/_matrix/client/v3/register", "", &body);
        let json = answer.split("\r\n\r\n").nth(1).expect("a body");
        let answer: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("{answer}"));
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn command(folder: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linkspan"));
    command.args(words).arg("--config").arg(folder.path().join("linkspan.toml"));
    command
}

fn serve(folder: &TempDir) -> (Child, Box<dyn Iterator<Item = String>>, String) {
    let mut command = command(folder, &["serve"]);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program runs");
    let lines = BufReader::new(server.stdout.take().expect("it is piped")).lines();
    let mut lines = lines.map(|line| line.expect("a line of text"));
    let address = address_in(&lines.next().expect("it says where it listens"));
    (server, Box::new(lines), address)
}

fn address_in(line: &str) -> String {
    let rest = line.strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}"));
    rest.split(' ').next().unwrap_or_default().to_owned()
}

fn ask(address: &str, host: &str, method: &str, path: &str, token: &str, body: &Value) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    say(&mut stream, host, method, path, token, body);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer of text");
    answer
}

fn say(stream: &mut TcpStream, host: &str, method: &str, path: &str, token: &str, body: &Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let authorization =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is sent");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An address that nobody has at the moment.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").to_string()
}

const ABOUT: &str = "/_linkspan/about";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

#[test]
fn a_reload_applies_what_can_change_and_says_what_cannot() {
    let server = Changing::start();
    let about = || server.ask("one.localhost", "GET", ABOUT, "", &Value::Null);
    assert!(about().contains("<h1>One</h1>"));
    assert_eq!(server.done(&["reload"]), "nothing has changed\n");

    let changed =
        format!("{CONFIG}display_name = \"Harbour\"\nidentity = \"handle\"\n[platform.limits]\njoin = 2.0\n");
    server.configure(&changed);
    let check = server.done(&["check"]);
    assert!(check.contains("a reload would apply: one.localhost: `display_name`"), "{check}");
    assert!(about().contains("<h1>One</h1>"), "a check changes nothing");
    assert_eq!(
        server.done(&["reload"]),
        "applied: one.localhost: `display_name`\napplied: one.localhost: `limits.join`\n\
         after a restart: one.localhost: `identity`\n"
    );
    assert!(about().contains("<h1>Harbour</h1>"));

    server.configure(&changed.replace("Harbour", "Wharf"));
    server.signal(Signal::HUP);
    // The next reload waits for the one before it. What waits for a restart is told each time.
    assert!(server.done(&["reload"]).contains("after a restart: one.localhost: `identity`\n"));
    while !about().contains("<h1>Wharf</h1>") {
        std::thread::yield_now();
    }
}

#[test]
fn a_mistake_changes_nothing_and_all_are_told() {
    let server = Changing::start();
    let wrong = format!("{CONFIG}display_name = \"Harbour\"\npresense = true\nlisten = \"8101\"\n[loq]\n");
    server.configure(&wrong);
    let told = server.refused(&["reload"]);
    for sentence in [
        "line 11: there is no setting `presense`; did you mean `presence`?",
        "line 12: `listen`: an address is written with a port",
        "line 13: there is no setting `loq`; did you mean `log`?",
    ] {
        assert!(told.contains(sentence), "{sentence}: {told}");
    }
    assert!(server.ask("one.localhost", "GET", ABOUT, "", &Value::Null).contains("<h1>One</h1>"));
    server.signal(Signal::HUP);
    server.configure(CONFIG);
    assert!(server.ask("one.localhost", "GET", WHOAMI, "", &Value::Null).starts_with("HTTP/1.1 401"));
}

#[test]
fn a_platform_comes_while_people_of_another_chat_on() {
    let mut server = Changing::start();
    let anna = server.register("one.localhost", "anna");
    // Anna waits for news all the time.
    let sync = "/_matrix/client/v3/sync?timeout=0";
    let first = server.ask("one.localhost", "GET", sync, &anna, &Value::Null);
    let since =
        first.split("\"next_batch\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let mut waiting = TcpStream::connect(&server.address).expect("somebody listens");
    let wait = format!("/_matrix/client/v3/sync?timeout=30000&since={since}");
    say(&mut waiting, "one.localhost", "GET", &wait, &anna, &Value::Null);

    let told = server.done(&[
        "platform",
        "add",
        "two",
        "two.localhost",
        "--listen",
        "127.0.0.1:0",
        "--registration",
        "open",
    ]);
    assert!(told.contains("applied: two.localhost is a new platform"), "{told}");
    let own = address_in(&server.lines.next().expect("it says where it listens"));
    assert!(server.configured().starts_with(CONFIG), "what was there stays");
    server.done(&["platform", "set", "two", "verify", "false", "display_name", "The other"]);
    let ben = server.register("two.localhost", "ben");
    assert!(ask(&own, "anything", "GET", WHOAMI, &ben, &Value::Null).contains("@ben:two.localhost"));
    assert!(server.ask("one.localhost", "GET", WHOAMI, &ben, &Value::Null).starts_with("HTTP/1.1 401"));

    // Ben invites Anna, who hears of it on the connection that she has had all along.
    let room = json!({ "preset": "trusted_private_chat", "invite": ["@anna:one.localhost"] });
    let made = server.ask("two.localhost", "POST", "/_matrix/client/v3/createRoom", &ben, &room);
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let mut news = String::new();
    waiting.read_to_string(&mut news).expect("an answer of text");
    assert!(news.contains("@ben:two.localhost"), "{news}");

    let listed: Value = serde_json::from_str(&server.done(&["platform", "list", "--json"])).expect("JSON");
    assert_eq!(listed["platforms"][1]["state"], "served", "{listed}");
    server.restart();
    assert!(server.ask("two.localhost", "GET", WHOAMI, &ben, &Value::Null).contains("@ben:two.localhost"));
    assert!(server.refused(&["platform", "add", "two", "due.localhost"]).contains("is left as it was"));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().map(|address| (address.to_string(), taken)).expect("it has an address");
    let refused = server.refused(&["platform", "add", "three", "three.localhost", "--listen", &taken.0]);
    assert!(refused.contains("is taken by another program"), "{refused}");
    assert!(!server.configured().contains("three"), "it is taken back");
}

#[test]
fn listeners_are_opened_and_closed() {
    let server = Changing::start();
    let (first, second) = (free_address(), free_address());
    let told = server.done(&["platform", "set", "one", "listen", &first]);
    assert!(told.contains(&format!("listening on http://{first} for one.localhost")), "{told}");
    assert!(ask(&first, "anything", "GET", WHOAMI, "", &Value::Null).starts_with("HTTP/1.1 401"));
    let told = server.done(&["platform", "set", "one", "listen", &second]);
    assert!(told.contains(&format!("not listening on http://{first} for one.localhost any more")), "{told}");
    assert!(TcpStream::connect(&first).is_err());
    // The address goes on to another platform.
    let both = server.configured().replace(&format!("listen = \"{second}\"\n"), "");
    let other = "[[platform]]\nname = \"two\"\nserver_name = \"two.localhost\"\n";
    server.configure(&format!("{both}\n{other}listen = \"{second}\"\n"));
    server.done(&["reload"]);
    assert!(ask(&second, "anything", "GET", ABOUT, "", &Value::Null).contains("<h1>Two</h1>"));
}

#[test]
fn a_fenced_platform_reads_on_and_takes_nothing_new() {
    let mut server = Changing::start();
    let anna = server.register("one.localhost", "anna");
    server.done(&["platform", "add", "two", "two.localhost", "--registration", "open"]);
    server.done(&["platform", "set", "two", "verify", "false"]);
    let told = server.done(&["platform", "fence", "one"]);
    assert!(told.contains("applied: one.localhost: `fenced`"), "{told}");
    let name = json!({ "displayname": "Anna" });
    let path = "/_matrix/client/v3/profile/@anna:one.localhost/displayname";
    for again in [false, true] {
        if again {
            server.restart();
        }
        let refused = server.ask("one.localhost", "PUT", path, &anna, &name);
        assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("ORG.LINKSPAN.FENCED"), "{refused}");
        assert!(refused.to_lowercase().contains("retry-after: 10"), "{refused}");
        assert!(server.ask("one.localhost", "GET", WHOAMI, &anna, &Value::Null).starts_with("HTTP/1.1 200"));
        let query = json!({ "device_keys": {} });
        let keys = server.ask("one.localhost", "POST", "/_matrix/client/v3/keys/query", &anna, &query);
        assert!(keys.starts_with("HTTP/1.1 200"), "{keys}");
        server.register("two.localhost", if again { "ben" } else { "carl" });
    }
    assert!(server.done(&["platform", "list"]).contains("\tfenced\t"));
    server.done(&["platform", "unfence", "one"]);
    assert!(server.ask("one.localhost", "PUT", path, &anna, &name).starts_with("HTTP/1.1 200"));
    assert!(!server.configured().contains("fenced"));
}

#[test]
fn a_platform_gets_a_new_signing_key() {
    let mut server = Changing::start();
    let keys = |server: &Changing| -> Vec<Value> {
        let told = server.done(&["keys", "list", "--platform", "one", "--json"]);
        let told: Value = serde_json::from_str(&told).expect("JSON");
        told["keys"].as_array().expect("a list").clone()
    };
    let before = keys(&server);
    assert!(before.len() == 1 && before[0]["expired_ts"].is_null(), "{before:?}");
    let rotated = server.done(&["keys", "rotate", "--platform", "one.localhost"]);
    assert!(rotated.starts_with("ed25519:") && rotated.contains("signs"), "{rotated}");
    let after = keys(&server);
    assert_eq!((after.len(), &after[0]["key_id"]), (2, &before[0]["key_id"]));
    assert!(after[0]["expired_ts"].is_u64() && after[1]["expired_ts"].is_null(), "{after:?}");
    server.stop();
    assert_eq!(keys(&server), after, "it is the same in the store");
}

#[test]
fn the_encryption_rule_changes_in_rooms_that_are_in_use() {
    let server = Changing::start();
    let anna = server.register("one.localhost", "anna");
    let made = server.ask("one.localhost", "POST", "/_matrix/client/v3/createRoom", &anna, &json!({}));
    let room = made.split("\"room_id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a room");
    let send = |txn: &str| {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        let message = json!({ "msgtype": "m.text", "body": "in the clear" });
        server.ask("one.localhost", "PUT", &path, &anna, &message)
    };
    assert!(send("1").starts_with("HTTP/1.1 200"));
    server.done(&["platform", "set", "one", "encryption", "required"]);
    let refused = send("2");
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("requires end-to-end"), "{refused}");
    server.done(&["platform", "unset", "one", "encryption"]);
    assert!(send("3").starts_with("HTTP/1.1 200"));
    server.done(&["platform", "set", "one", "encryption", "required"]);
    assert!(send("4").starts_with("HTTP/1.1 403"));
}

#[test]
fn shells_and_the_manual_know_all_commands() {
    let told = |words: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_linkspan")).args(words).output().expect("the program runs");
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = told(&["completions", shell]);
        assert!(script.contains("unfence") && script.contains("reload"), "{shell}");
    }
    assert!(told(&["man"]).contains("Serve all platforms of a configuration"));
    let folder = tempfile::tempdir().expect("a folder");
    told(&["man", "--folder", folder.path().to_str().expect("text")]);
    let page = fs::read_to_string(folder.path().join("linkspan-platform-fence.1")).expect("there is a page");
    assert!(page.contains("Reading goes on"), "{page}");
}
