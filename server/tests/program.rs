//! The program as its operator meets it: started, spoken to, stopped.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const CONFIG: &str = r#"
data = "data"
[listen]
http = "127.0.0.1:0"
[[platform]]
name = "one"
server_name = "one.localhost"
[[platform]]
name = "two"
server_name = "two.localhost"
listen = "127.0.0.1:0"
"#;

/// A folder with a configuration, and a server if it was started.
struct Program {
    folder: TempDir,
    server: Option<Child>,
}

impl Program {
    fn with_config(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("linkspan.toml"), text).expect("the configuration is written");
        Self { folder, server: None }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("linkspan.toml")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_linkspan"));
        command.args(words).arg("--config").arg(self.config());
        command
    }

    fn run(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        // A command that fails early may not read it.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("the program ends")
    }

    /// Starts the server, and returns the addresses where it says that it listens.
    fn serve(&mut self) -> Vec<String> {
        let mut command = self.command(&["serve"]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program runs");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        self.server = Some(child);
        let listening = lines.take(2).map(|line| line.expect("a line of text"));
        listening
            .map(|line| {
                let rest = line.strip_prefix("listening on http://").expect("it says where it listens");
                rest.split(' ').next().expect("the address comes first").to_owned()
            })
            .collect()
    }

    /// Asks the server to stop, and returns whether it ended well.
    fn stop(&mut self) -> bool {
        let mut server = self.server.take().expect("it was started");
        let pid = i32::try_from(server.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("it runs");
        server.wait().expect("it ends").success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn get(address: &str, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer of text");
    answer
}

fn register(address: &str, name: &str, auth: &str) -> String {
    let body = format!(r#"{{"username": "{name}", "password": "a long password", "auth": {auth}}}"#);
    post_register(address, "", &body)
}

fn post_register(address: &str, query: &str, body: &str) -> String {
    send("POST", address, &format!("/_matrix/client/v3/register{query}"), "", body)
}

/// Sends a request to the second platform; the token is empty if there is none.
fn send(method: &str, address: &str, path: &str, token: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let authorization = match token {
        "" => String::new(),
        token => format!("\r\nAuthorization: Bearer {token}"),
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: two.localhost\r\nConnection: close{authorization}");
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer of text");
    answer
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn platforms_are_told_apart_by_host_and_by_port() {
    let mut program = Program::with_config(CONFIG);
    let addresses = program.serve();
    let [all, two] = &addresses[..] else { panic!("two listeners: {addresses:?}") };
    const VERSIONS: &str = "/_matrix/client/versions";
    assert!(get(all, "one.localhost", VERSIONS).starts_with("HTTP/1.1 200 "));
    assert!(get(all, "elsewhere.example", VERSIONS).starts_with("HTTP/1.1 404 "));
    assert!(get(two, "elsewhere.example", VERSIONS).starts_with("HTTP/1.1 200 "));
    assert!(get(all, "one.localhost:8008", "/_linkspan/about").contains("<h1>One</h1>"));
    assert!(get(two, "one.localhost", "/_linkspan/about").contains("<h1>Two</h1>"));
    assert!(program.stop());
}

#[test]
fn connections_that_ask_nothing_do_not_hold_up_the_end() {
    let mut program = Program::with_config(CONFIG);
    let addresses = program.serve();
    let mut silent = TcpStream::connect(&addresses[0]).expect("somebody listens");
    let mut half = TcpStream::connect(&addresses[0]).expect("somebody listens");
    half.write_all(b"GET / HTTP/1.1\r\nHo").expect("it is sent");
    // Connections are accepted in order: when this is answered, the others have been.
    get(&addresses[0], "one.localhost", "/");
    assert!(program.stop());
    let mut rest = Vec::new();
    // Closed or reset, but over.
    let _ = silent.read_to_end(&mut rest);
    assert_eq!(rest, b"");
}

#[test]
fn it_serves_until_its_input_ends_if_it_is_told_so() {
    let program = Program::with_config(CONFIG);
    let mut command = program.command(&["serve", "--stop-with-stdin"]);
    let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program runs");
    let mut lines = BufReader::new(server.stdout.take().expect("it is piped")).lines();
    let line = lines.next().expect("it says where it listens").expect("a line of text");
    let address = line.split(['/', ' ']).nth(4).expect("an address");
    assert!(get(address, "one.localhost", "/").starts_with("HTTP/1.1 200 "), "the input is open");
    drop(server.stdin.take());
    assert!(server.wait().expect("it ends").success());
}

#[test]
fn accounts_are_made_and_changed_whether_the_server_runs_or_not() {
    let mut program = Program::with_config(CONFIG);
    for runs in [false, true] {
        if runs {
            program.serve();
        }
        let ben = if runs { "bert" } else { "ben" };
        let user_id = format!("@{ben}:two.localhost");
        let made = program.run(&["user", "create", "two", ben, "--admin"], "a long password\n");
        assert_eq!(text(&made.stdout), format!("{user_id}\n"), "{}", text(&made.stderr));
        let again = program.run(&["user", "create", "two", ben], "a long password\n");
        assert!(!again.status.success());
        assert!(text(&again.stderr).contains("taken"), "{}", text(&again.stderr));
        assert_eq!(text(&program.run(&["user", "list", "one"], "").stdout), "");
        let line = |program: &Program| {
            let listed = text(&program.run(&["user", "list", "two"], "").stdout);
            let line = listed.lines().find(|line| line.starts_with(&user_id));
            line.expect("the account is listed").to_owned()
        };
        assert_eq!(line(&program), format!("{user_id}\tadmin"));
        for (words, rest) in [
            (&["remove-admin"][..], ""),
            (&["lock"], "\tlocked"),
            (&["unlock"], ""),
            (&["suspend"], "\tsuspended"),
            (&["unsuspend"], ""),
            (&["make-admin"], "\tadmin"),
            (&["disable"], "\tdisabled"),
        ] {
            let words: Vec<&str> = [&["user"], words, &["two", ben]].concat();
            let done = program.run(&words, "");
            assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
            assert_eq!(line(&program), format!("{user_id}{rest}"), "{words:?}");
        }
        let unknown = program.run(&["user", "lock", "one", ben], "");
        assert!(text(&unknown.stderr).contains("account not found"), "{}", text(&unknown.stderr));
    }
    assert!(program.stop());
}

#[test]
fn a_forgotten_password_is_replaced_while_the_server_runs() {
    let config = format!("{CONFIG}registration = \"open\"\nverify = false\n");
    let mut program = Program::with_config(&config);
    let address = program.serve().remove(1);
    let token = token_of(&address, "anna");
    let devices = program.run(&["user", "devices", "two", "anna"], "");
    assert!(
        text(&devices.stdout).contains("seen less than a minute ago\t127.0.0.1\n"),
        "{}",
        text(&devices.stdout)
    );
    let log_in = |password: &str| {
        let body = format!(
            r#"{{"type": "m.login.password", "password": "{password}", "identifier": {{"type": "m.id.user", "user": "anna"}}}}"#
        );
        send("POST", &address, "/_matrix/client/v3/login", "", &body)
    };
    let done = program.run(&["user", "password", "two", "anna"], "another long one\n");
    assert_eq!(
        text(&done.stdout),
        "anna has another password, 1 device logged out\n",
        "{}",
        text(&done.stderr)
    );
    let whoami = send("GET", &address, "/_matrix/client/v3/account/whoami", &token, "");
    assert!(whoami.starts_with("HTTP/1.1 401"), "{whoami}");
    assert!(log_in("a long password").starts_with("HTTP/1.1 403"));
    assert!(log_in("another long one").starts_with("HTTP/1.1 200"));
    assert!(text(&program.run(&["user", "log-out", "two", "anna"], "").stdout).contains("1 device"));
    assert_eq!(text(&program.run(&["user", "devices", "two", "anna"], "").stdout), "");
    let shown = text(&program.run(&["user", "show", "two", "anna", "--json"], "").stdout);
    assert!(shown.contains("\"user_id\": \"@anna:two.localhost\""), "{shown}");
    assert!(program.stop());
}

#[test]
fn people_register_with_the_tokens_that_an_operator_makes() {
    let mut program = Program::with_config(&format!("{CONFIG}registration = \"token\"\n"));
    assert!(text(&program.run(&["check"], "").stdout).contains("linkspan token create two"));
    let made = program.run(&["token", "create", "two", "welcome", "--uses", "1", "--valid-for", "7d"], "");
    assert_eq!(text(&made.stdout), "welcome\n", "{}", text(&made.stderr));
    let random = text(&program.run(&["token", "create", "two"], "").stdout);
    assert_eq!(random.trim().len(), 16, "{random}");
    assert!(!program.run(&["token", "create", "two", "welcome"], "").status.success(), "it exists");
    assert!(!program.run(&["token", "create", "two", "--valid-for", "soon"], "").status.success());
    let check = text(&program.run(&["check"], "").stdout);
    assert!(!check.contains("linkspan token create"), "{check}");

    let address = program.serve().remove(1);
    let auth = |token: &str| format!(r#"{{"type": "m.login.registration_token", "token": "{token}"}}"#);
    let dummy = register(&address, "dora", r#"{"type": "m.login.dummy"}"#);
    assert!(dummy.starts_with("HTTP/1.1 401") && dummy.contains("m.login.registration_token"), "{dummy}");
    assert!(register(&address, "dora", &auth("made-up")).starts_with("HTTP/1.1 401"));
    let dora = register(&address, "dora", &auth("welcome"));
    assert!(dora.starts_with("HTTP/1.1 200") && dora.contains("@dora:two.localhost"), "{dora}");
    assert!(register(&address, "emil", &auth("welcome")).starts_with("HTTP/1.1 401"), "it is used up");
    assert!(program.stop());

    let listed = text(&program.run(&["token", "list", "two"], "").stdout);
    assert!(listed.contains("welcome\tused 1 of 1 use\texpires in 6 days\n"), "{listed}");
    assert!(listed.contains(&format!("{}\tused 0\tno expiry\n", random.trim())), "{listed}");
    assert_eq!(text(&program.run(&["token", "list", "one"], "").stdout), "");
    assert!(program.run(&["token", "delete", "two", random.trim()], "").status.success());
    assert!(!program.run(&["token", "delete", "two", random.trim()], "").status.success(), "it is gone");
}

#[test]
fn an_operator_sees_who_is_a_guest() {
    let mut program = Program::with_config(&format!("{CONFIG}guests = true\n"));
    let address = program.serve().remove(1);
    let guest = post_register(&address, "?kind=guest", "{}");
    assert!(guest.starts_with("HTTP/1.1 200"), "{guest}");
    assert!(program.stop());
    let listed = text(&program.run(&["user", "list", "two"], "").stdout);
    let user_id = listed.trim_end().strip_suffix("\tguest").expect("it says so");
    assert!(guest.contains(&format!("\"{user_id}\"")), "{listed} {guest}");
}

/// Registers somebody; returns the access token.
#[test]
fn people_are_told_and_rooms_deleted_whether_the_server_runs_or_not() {
    let mut program = Program::with_config(CONFIG);
    program.run(&["user", "create", "two", "ben"], "a long password\n");
    for runs in [false, true] {
        if runs {
            program.serve();
        }
        let run = |words: &[&str]| {
            let done = program.run(words, "");
            assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
            text(&done.stdout)
        };
        let told = run(&["notice", "send", "two", "ben", "--message", "We move"]);
        let room = told.trim_end().strip_prefix("it is told in ").expect("it names the room").to_owned();
        let listed = run(&["room", "list", "two", "--by", "members"]);
        assert!(
            listed.starts_with(&format!("{room}\t2 members\t")) && listed.contains("Two notices"),
            "{listed}"
        );
        assert_eq!(run(&["room", "list", "one"]), "");
        assert!(run(&["room", "show", "two", &room]).contains("joined_members\t2\n"), "{room}");
        assert!(run(&["room", "members", "two", &room]).contains("@ben:two.localhost\tjoin\n"));
        assert_eq!(run(&["user", "rooms", "two", "ben"]), format!("{room}\n"));
        run(&["room", "block", "two", &room]);
        assert_eq!(run(&["room", "blocked", "two"]), format!("{room}\n"));
        run(&["room", "unblock", "two", &room]);
        let deleted = run(&["room", "delete", "two", &room, "--message", "It is over"]);
        assert!(deleted.ends_with("\tdone\t2 members removed, removed from the store\n"), "{deleted}");
        assert_eq!(run(&["room", "list", "two"]), "");
        assert!(run(&["room", "deletions", "two"]).contains(&deleted));
        let gone = program.run(&["room", "show", "two", &room], "");
        assert!(text(&gone.stderr).contains("nobody of this platform"), "{}", text(&gone.stderr));
        let everybody = run(&["notice", "send", "two", "--everybody", "--message", "We have moved"]);
        assert_eq!(everybody, "1 account told, 0 accounts could not be\n");
        assert_eq!(run(&["media", "usage", "two"]), "all\t0 uploads\t0 bytes\n");
        assert_eq!(run(&["media", "list", "two"]), "");
        assert_eq!(run(&["media", "remove", "two", "--user", "ben"]), "0 uploads removed\n");
        let room = run(&["user", "rooms", "two", "ben"]);
        run(&["room", "delete", "two", room.trim_end()]);
    }
    let erased = program.run(&["user", "erase", "two", "ben"], "");
    assert_eq!(text(&erased.stdout), "ben is erased, 0 devices logged out\n", "{}", text(&erased.stderr));
    assert!(program.stop());
}

fn token_of(address: &str, name: &str) -> String {
    let answer = register(address, name, r#"{"type": "m.login.dummy"}"#);
    let rest = answer.split("\"access_token\":\"").nth(1).unwrap_or_else(|| panic!("no token in {answer}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn an_operator_sees_a_handle_that_was_changed() {
    let config = format!("{CONFIG}registration = \"open\"\nverify = false\nidentity = \"handle\"\n");
    let mut program = Program::with_config(&config);
    let address = program.serve().remove(1);
    token_of(&address, "anna");
    let token = token_of(&address, "ben");
    let path = "/_linkspan/client/v1/handle";
    let changed = send("PUT", &address, path, &token, r#"{"handle": "willow"}"#);
    assert!(changed.starts_with("HTTP/1.1 200"), "{changed}");
    assert!(program.stop());
    let listed = text(&program.run(&["user", "list", "two"], "").stdout);
    assert_eq!(listed, "@anna:two.localhost\n@ben:two.localhost\t@willow\n");
    let refused = program.run(&["user", "create", "two", "wi11ow"], "a long password\n");
    assert!(text(&refused.stderr).contains("looks too much like"), "{}", text(&refused.stderr));
}

#[test]
fn an_operator_reads_reports_and_closes_them() {
    let config = format!("{CONFIG}registration = \"open\"\nverify = false\n");
    let mut program = Program::with_config(&config);
    let address = program.serve().remove(1);
    let token = token_of(&address, "anna");
    token_of(&address, "ben");
    let report = r#"{"kind": "person", "user_id": "@ben:two.localhost", "reason": "rude\n\u001b[2J"}"#;
    for _ in 0..2 {
        let reported = send("POST", &address, "/_linkspan/client/v1/reports", &token, report);
        assert!(reported.starts_with("HTTP/1.1 200"), "{reported}");
    }
    let listed = text(&program.run(&["report", "list", "two"], "").stdout);
    assert_eq!(listed.lines().count(), 2, "while it runs: {listed}");
    assert!(program.stop());

    let listed = text(&program.run(&["report", "list", "two"], "").stdout);
    let (first, second) = listed.trim_end().split_once('\n').expect("two lines");
    let numbers = [first, second].map(|line| line.split('\t').next().expect("a number"));
    let rest = "\topen\tless than a minute ago\tperson @ben:two.localhost\t\"rude\\n\\u001b[2J\"";
    assert_eq!([first, second], numbers.map(|number| format!("{number}{rest}")));
    assert_eq!(text(&program.run(&["report", "list", "one"], "").stdout), "");

    let shown = text(&program.run(&["report", "show", "two", numbers[0]], "").stdout);
    assert!(shown.contains("reporter  @anna:two.localhost\n"), "{shown}");
    let json = text(&program.run(&["report", "show", "two", numbers[0], "--json"], "").stdout);
    assert!(json.contains("\"user_id\": \"@ben:two.localhost\""), "{json}");
    let words = ["report", "close", "two", numbers[0], "--note", "warned"];
    assert!(program.run(&words, "").status.success());
    let unknown = program.run(&["report", "close", "one", numbers[0]], "");
    assert!(text(&unknown.stderr).contains("no such report"), "{}", text(&unknown.stderr));

    assert_eq!(text(&program.run(&["report", "list", "two"], "").stdout), format!("{second}\n"));
    let all = text(&program.run(&["report", "list", "two", "--all"], "").stdout);
    assert!(
        all.starts_with(&format!("{}\tclosed\t", numbers[0])) && all.ends_with(&format!("{second}\n")),
        "{all}"
    );
    let lines = text(&program.run(&["report", "list", "two", "--all", "--json"], "").stdout);
    assert!(lines.lines().count() == 2 && lines.contains(r#""note":"warned""#), "{lines}");
}

#[test]
fn an_operator_sees_links_of_the_own_platform() {
    let open = "registration = \"open\"\nverify = false\n";
    let own_port = format!("server_name = \"one.localhost\"\nlisten = \"127.0.0.1:0\"\n{open}");
    let config = CONFIG.replace("server_name = \"one.localhost\"\n", &own_port);
    let config = config.replace("[listen]\nhttp = \"127.0.0.1:0\"\n", "");
    let mut program = Program::with_config(&format!("{config}{open}"));
    let [one, two] = &program.serve()[..] else { panic!("two listeners") };
    let (anna, ben) = (token_of(one, "anna"), token_of(two, "ben"));
    let call = |address: &str, token: &str, path: &str, body: &str| {
        let answer = send("POST", address, &format!("/_linkspan/client/v1/links/{path}"), token, body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answer
    };
    let answer = call(one, &anna, "code", "{}");
    let code = answer.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a code");
    call(two, &ben, "enter", &format!(r#"{{"code": "{code}"}}"#));
    call(one, &anna, "confirm", r#"{"user_id": "@ben:two.localhost"}"#);
    assert!(program.stop());

    let listed = |platform: &str| text(&program.run(&["link", "list", platform], "").stdout);
    assert_eq!(listed("one"), "@anna:one.localhost\ttwo.localhost\n");
    assert_eq!(listed("two"), "@ben:two.localhost\tone.localhost\n");
    let json = text(&program.run(&["link", "list", "two", "--json"], "").stdout);
    assert!(json.contains("\"platform\":\"one.localhost\"") && !json.contains("anna"), "{json}");
}

#[test]
fn a_platform_with_accounts_is_not_lost_by_mistake() {
    let mut program = Program::with_config(CONFIG);
    assert!(program.run(&["user", "create", "two", "ben"], "a long password\n").status.success());
    program.serve();
    let check = program.run(&["check"], "");
    assert!(check.status.success(), "{}", text(&check.stderr));
    let lost = CONFIG.replace("two.localhost", "due.localhost");
    fs::write(program.config(), &lost).expect("the configuration is written");
    for command in ["check", "reload"] {
        let refused = program.run(&[command], "");
        assert_eq!(refused.status.code(), Some(1), "{command}");
        assert!(text(&refused.stderr).contains("accounts of two.localhost"), "{}", text(&refused.stderr));
    }
    fs::write(program.config(), CONFIG).expect("the configuration is written");
    assert!(program.stop());

    // Platform one has no accounts: its name may still change.
    let renamed = CONFIG.replace("one.localhost", "uno.localhost");
    fs::write(program.config(), &renamed).expect("the configuration is written");
    assert!(program.run(&["check"], "").status.success());
    let lost = renamed.replace("two.localhost", "due.localhost");
    fs::write(program.config(), &lost).expect("the configuration is written");
    let check = program.run(&["check"], "");
    assert_eq!(check.status.code(), Some(1));
    assert!(text(&check.stdout).contains("accounts of two.localhost"), "{}", text(&check.stdout));
    for words in [&["serve"][..], &["user", "create", "two", "carl"], &["token", "create", "two"]] {
        let refused = program.run(words, "a long password\n");
        assert!(!refused.status.success());
        assert!(text(&refused.stderr).contains("accounts of two.localhost"), "{}", text(&refused.stderr));
    }

    let meant = format!("retired = [\"two.localhost\"]\n{lost}");
    fs::write(program.config(), &meant).expect("the configuration is written");
    assert!(program.run(&["check"], "").status.success());
    program.serve();
    assert!(program.stop());
    // What is in the store has not changed: it can be put back.
    fs::write(program.config(), CONFIG).expect("the configuration is written");
    assert_eq!(text(&program.run(&["user", "list", "two"], "").stdout), "@ben:two.localhost\n");
}

#[test]
fn a_store_is_audited_while_the_server_is_stopped_only() {
    let mut program = Program::with_config(CONFIG);
    program.serve();
    let refused = program.run(&["audit"], "");
    assert!(text(&refused.stderr).contains("stop it first"), "{}", text(&refused.stderr));
    assert!(program.stop());
    let audit = program.run(&["audit"], "");
    assert!(audit.status.success());
    assert_eq!(text(&audit.stdout), "all tables agree\n", "{}", text(&audit.stderr));
}

#[test]
fn a_configuration_is_judged_and_a_bad_one_not_served() {
    let good = Program::with_config(CONFIG).run(&["check"], "");
    assert!(good.status.success());
    assert!(text(&good.stdout).starts_with("configuration is good: 2 platforms"), "{}", text(&good.stdout));

    let program = Program::with_config(&CONFIG.replace("two.localhost", "one.localhost"));
    let bad = program.run(&["check"], "");
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        text(&bad.stdout).contains("error, line 10: two platforms have the server_name"),
        "{}",
        text(&bad.stdout)
    );
    assert!(!program.run(&["serve"], "").status.success());
}

const OPEN: &str = "registration = \"open\"\nverify = false\n";

/// The path of an account's data of a type.
fn account_data(name: &str, event_type: &str) -> String {
    format!("/_matrix/client/v3/user/@{name}:two.localhost/account_data/{event_type}")
}

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_backup_is_made_of_a_server_that_runs_and_of_one_that_is_stopped() {
    let mut program = Program::with_config(&format!("{CONFIG}{OPEN}"));
    let address = program.serve().remove(1);
    let token = token_of(&address, "anna");
    let uploaded = send("POST", &address, "/_matrix/media/v3/upload", &token, "a picture");
    assert!(uploaded.starts_with("HTTP/1.1 200"), "{uploaded}");
    let uri =
        uploaded.split("mxc://").nth(1).and_then(|rest| rest.split('"').next()).expect("a URI").to_owned();
    assert_eq!(mode(&program.folder.path().join("data/control.sock")), 0o600);

    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup");
    let backup_path = backup.to_str().expect("a path of text");
    let run = |program: &Program, words: &[&str]| {
        let output = program.run(&[words, &[backup_path]].concat(), "");
        (output.status.success(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    let (made, told) = run(&program, &["backup"]);
    assert!(made && told.contains("1 upload"), "{told}");
    for path in files_below(&backup) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert_eq!(mode(&backup), 0o700);
    token_of(&address, "ben");
    assert!(program.stop());
    assert!(!program.folder.path().join("data/control.sock").exists());

    let mut restored = Program::with_config(&format!("{CONFIG}{OPEN}"));
    assert!(run(&restored, &["restore", "--verify"]).0);
    let (is_restored, told) = run(&restored, &["restore"]);
    assert!(is_restored, "{told}");
    assert!(restored.run(&["audit"], "").status.success());
    assert_eq!(text(&restored.run(&["user", "list", "two"], "").stdout), "@anna:two.localhost\n");
    let (again, told) = run(&restored, &["restore"]);
    assert!(!again && told.contains("is not empty"), "{told}");
    let restored_address = restored.serve().remove(1);
    let path = format!("/_matrix/client/v1/media/download/{uri}");
    let content = send("GET", &restored_address, &path, &token, "");
    assert!(content.ends_with("a picture"), "{content}");
    assert!(restored.stop());

    // The program makes it by itself now, and writes only what is new.
    let before = files_below(&backup);
    let (made, told) = run(&program, &["backup"]);
    assert!(made && told.contains("of which"), "{told}");
    let after = files_below(&backup);
    assert!(before.iter().filter(|path| after.contains(path)).count() >= 4);
    let mut second = Program::with_config(&format!("{CONFIG}{OPEN}"));
    assert!(run(&second, &["restore"]).0);
    let listed = text(&second.run(&["user", "list", "two"], "").stdout);
    assert_eq!(listed, "@anna:two.localhost\n@ben:two.localhost\n");
    second.serve();
    assert!(second.stop());
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let program = Program::with_config(CONFIG);
    assert!(program.run(&["user", "create", "two", "ben"], "a long password\n").status.success());
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().to_str().expect("a path of text");
    assert!(program.run(&["backup", backup], "").status.success());
    let other = Program::with_config(CONFIG);
    assert!(other.run(&["restore", "--verify", backup], "").status.success());
    for path in files_below(&folder.path().join("rows")) {
        let whole = fs::read(&path).expect("it is read");
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        for content in [Some(&damaged[..]), Some(&whole[..whole.len() - 1]), None] {
            match content {
                Some(content) => fs::write(&path, content).expect("it is written"),
                None => fs::remove_file(&path).expect("it is removed"),
            }
            for words in [&["restore", "--verify", backup][..], &["restore", backup]] {
                assert!(!other.run(words, "").status.success(), "{}", path.display());
            }
        }
        fs::write(&path, whole).expect("it is written");
    }
    assert!(!other.folder.path().join("data").exists(), "nothing was written");
    assert!(other.run(&["restore", backup], "").status.success());
    // What is neither empty nor a backup is left alone.
    let home = other.folder.path().to_str().expect("a path of text");
    assert!(!other.run(&["backup", home], "").status.success());
}

/// docs/guides/back-up.md: what is named is deleted and backed up again.
#[test]
fn a_damaged_backup_is_mended_as_the_guide_says() {
    let mut program = Program::with_config(&format!("{CONFIG}{OPEN}"));
    let address = program.serve().remove(1);
    let token = token_of(&address, "anna");
    let uploaded = send("POST", &address, "/_matrix/media/v3/upload", &token, "a picture");
    assert!(uploaded.starts_with("HTTP/1.1 200"), "{uploaded}");
    assert!(program.stop());
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup");
    let backup_path = backup.to_str().expect("a path of text");
    let run = |words: &[&str]| {
        let output = program.run(&[words, &[backup_path]].concat(), "");
        (output.status.success(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    let verify = || run(&["restore", "--verify"]);
    assert!(run(&["backup"]).0 && verify().0);

    let damage = |path: &Path| {
        let mut content = fs::read(path).expect("it is read");
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(path, content).expect("it is written");
    };
    let rows = files_below(&backup.join("rows"));
    let media = files_below(&backup.join("media"));
    let damaged = [&rows[0], &rows[1], &media[0]];
    damaged.into_iter().for_each(|path| damage(path));
    assert!(run(&["backup"]).0 && !verify().0, "a backup believes what is there");
    let (_, told) = verify();
    for path in damaged {
        assert!(told.contains(&format!("{} is damaged", path.display())), "{told}");
        fs::remove_file(path).expect("it is removed");
    }
    assert!(run(&["backup"]).0);
    let (is_whole, told) = verify();
    assert!(is_whole, "{told}");

    damage(&backup.join("index"));
    let (is_whole, told) = verify();
    assert!(!is_whole && told.contains("the index of the backup is damaged"), "{told}");
    fs::remove_file(backup.join("index")).expect("it is removed");
    assert!(run(&["backup"]).0 && verify().0);
}

/// A small file system, which goes with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, said aloud, where it may not be mounted.
    fn mount(at: PathBuf, mib: u32) -> Option<Self> {
        fs::create_dir(&at).expect("a folder");
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(at));
        }
        println!("SKIPPED: a small file system cannot be mounted here");
        None
    }

    /// Takes all room but so many bytes.
    fn fill(&self, but_bytes: u64) {
        let found = rustix::fs::statvfs(&self.0).expect("it is measured");
        let bytes = (found.f_bavail * found.f_frsize).saturating_sub(but_bytes);
        fs::write(self.ballast(), vec![1; usize::try_from(bytes).expect("it is small")])
            .expect("it is written");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Puts a value until the answer is one of `status`; returns the last value that was accepted.
fn put_until(address: &str, path: &str, token: &str, length: usize, status: &str) -> usize {
    let mut accepted = 0;
    for number in 1.. {
        let body = format!(r#"{{"number": {number}, "text": "{}"}}"#, "x".repeat(length));
        let answer = send("PUT", address, path, token, &body);
        if answer.starts_with(status) {
            break;
        }
        if answer.starts_with("HTTP/1.1 200") {
            accepted = number;
        }
    }
    accepted
}

const MIB: u64 = 1 << 20;

#[test]
fn a_server_whose_disk_was_full_goes_on_by_itself() {
    let config = format!("storage.reserve_bytes = 33554432\n{CONFIG}{OPEN}rate_limits = false\n");
    let mut program = Program::with_config(&config);
    let Some(disk) = SmallDisk::mount(program.folder.path().join("data"), 128) else { return };
    let address = program.serve().remove(1);
    let (anna, ben) = (token_of(&address, "anna"), token_of(&address, "ben"));
    let note = account_data("anna", "note");
    disk.fill(12 * MIB);
    put_until(&address, &note, &anna, 1, "HTTP/1.1 507");
    let upload = || send("POST", &address, "/_matrix/media/v3/upload", &anna, "a picture");
    assert!(upload().starts_with("HTTP/1.1 507"));
    let read = send("GET", &address, "/_matrix/client/v3/sync", &anna, "");
    assert!(read.starts_with("HTTP/1.1 200"), "{read}");
    let logged_out = send("POST", &address, "/_matrix/client/v3/logout", &ben, "{}");
    assert!(logged_out.starts_with("HTTP/1.1 200"), "{logged_out}");

    fs::remove_file(disk.ballast()).expect("it is there");
    put_until(&address, &note, &anna, 1, "HTTP/1.1 200");
    while !upload().starts_with("HTTP/1.1 200") {}
    assert!(program.stop());
    assert!(program.run(&["audit"], "").status.success());
}

#[test]
fn a_server_whose_store_has_failed_ends_and_loses_nothing() {
    let config = format!("storage.reserve_bytes = 0\n{CONFIG}{OPEN}rate_limits = false\n");
    let mut program = Program::with_config(&config);
    let Some(disk) = SmallDisk::mount(program.folder.path().join("data"), 128) else { return };
    let address = program.serve().remove(1);
    let token = token_of(&address, "anna");
    let path = account_data("anna", "note");
    disk.fill(MIB);
    let accepted = put_until(&address, &path, &token, 50_000, "HTTP/1.1 500");
    let mut server = program.server.take().expect("it was started");
    assert_eq!(server.wait().expect("it ends").code(), Some(74));

    fs::remove_file(disk.ballast()).expect("it is there");
    let address = program.serve().remove(1);
    let answer = send("GET", &address, &path, &token, "");
    let found = answer.split("\"number\":").nth(1).unwrap_or_default().trim_start();
    let found: usize = found.split([',', ' ']).next().unwrap_or_default().parse().unwrap_or_default();
    // The one that failed may be there as well.
    assert!((accepted..=accepted + 1).contains(&found), "{accepted} was accepted, {found} is there");
    assert!(program.stop());
    assert!(program.run(&["audit"], "").status.success());
}
