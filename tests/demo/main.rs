//! The demo as its reader meets it: what each person saw on each platform, and what stays afterwards.
//!
//! The people of these tests use the client that is built in; `tests/clients` has those with libraries.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use linkspan_tests::built;

/// The configuration that the demo writes.
const CONFIG: &str = include_str!("../../demo/src/linkspan.toml");

fn demo(words: &[&str]) -> Command {
    let mut command = Command::new(built("linkspan-demo"));
    command.arg("--linkspan").arg(built("linkspan")).args(words);
    command.stdin(Stdio::null()).env_remove("LINKSPAN_LOG");
    command
}

fn once(data: &Path) -> String {
    let data = data.to_str().expect("a path of text");
    let Output { status, stdout, stderr } =
        demo(&["--once", "--ports-from", "0", "--data", data]).output().expect("the program runs");
    let printed = String::from_utf8(stdout).expect("it is text");
    assert!(status.success(), "{printed}\n{}", String::from_utf8_lossy(&stderr));
    printed
}

/// What stands in one of the three columns of a step.
fn column(printed: &str, title: &str, column: usize) -> String {
    let mut lines = printed.lines().skip_while(|line| !line.contains(title));
    assert!(lines.next().is_some(), "there is no step {title:?}:\n{printed}");
    let lines = lines.take_while(|line| line.contains('│'));
    let texts = lines.map(|line| line.split('│').nth(column + 1).unwrap_or_default().trim());
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

const APPS: [&str; 3] = ["Instagram-style", "Messenger-style", "WhatsApp-style"];

#[test]
fn everybody_sees_it_on_their_own_platform() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = once(folder.path());

    let chat = |title| [0, 1, 2].map(|at| column(&printed, title, at));
    let [anna, ben, others] = chat("Anna writes to Ben");
    assert_eq!(anna, "Instagram-style", "who writes is not shown it again");
    assert!(ben.starts_with("Messenger-style Ben A message request from Anna Berg"), "{ben}");
    assert_eq!(others, "WhatsApp-style nobody is in this chat");
    let [anna, ben, _] = chat("Ben reads it before he answers");
    assert_eq!(anna, "Instagram-style Anna: nothing");
    assert!(ben.starts_with("Messenger-style Ben Anna Berg Hi Ben!"), "{ben}");
    let [anna, ben, _] = chat("Ben accepts");
    assert!(anna.contains("2 people are here: Anna Berg Ben Adler"), "{anna}");
    assert!(ben.starts_with("Messenger-style Ben Anna Berg Hi Ben!"), "{ben}");
    assert!(chat("Ben starts to type")[0].contains("Ben Adler is typing"));
    assert!(chat("Anna reads it")[1].contains("✓ read by Anna Berg"));
    assert!(chat("Ben sends a picture")[0].contains("480 × 320, 13.5 kB thumbnail 320 × 213"));
    let [max, dana, _] = chat("Dana reads it, and blocks him");
    assert_eq!(max, "Instagram-style Max: nothing");
    assert!(dana.contains("Max Bargain Congratulations!") && dana.ends_with("blocked"), "{dana}");
    let [max, dana, _] = chat("Max writes again");
    assert_eq!(
        (max.as_str(), dana.as_str()),
        ("Instagram-style Max It was sent. Nobody answers.", "Messenger-style Dana: nothing",)
    );
    assert_eq!(
        chat("Cleo's phone looks through her address book")[2],
        "WhatsApp-style Cleo Emil +491713920022 whatsapp.localhost Ben ben@example.org messenger.localhost \
         Aunt Ida +491713920033 not here"
    );
    assert!(chat("Dana looks for “@marco”")[1].contains("Marco Rossi @marco :instagram.localhost"));

    for (at, app) in APPS.into_iter().enumerate() {
        let sees = |title: &str, what: &str| {
            let column = column(&printed, title, at);
            assert!(column.starts_with(app) && column.contains(what), "{title}: {column}");
        };
        sees("Dana makes a group", "An invitation from Dana Novak to “Saturday at the harbour”");
        sees("All five accept", "6 people are here:");
        sees("All five accept", "🔒 encrypted");
        sees("Dana writes", "🔒 Dana Novak Saturday at ten, at the old linkspan?");
        sees("What the server has", "m.room.encrypted Awg");
        sees("Marco says it with his own client", "🔒 Marco Rossi I bring my camera.");
        sees("Cleo starts to type", "Cleo Lind is typing …");
        sees("Cleo sends a picture", "🔒 Cleo Lind picture: linkspan.png 480 × 320");
        sees("Emil replies to it", "🔒 Emil Roth to “linkspan.png” That is it!");
        sees("Marco reacts", "Marco Rossi 👍 to “That is it!");
        sees("Dana edits her message", "🔒 Dana Novak, edited Saturday at eleven");
        sees("Dana edits her message", "was: Saturday at ten");
        sees("Anna reads everything", "✓ read by Anna Berg “Saturday at eleven");
        let answer = if at == 0 { "you are @anna :instagram.localhost" } else { "refused M_UNKNOWN_TOKEN" };
        sees("Anna's access token", answer);
        sees("What the others received", ": nothing");
    }
    let tried = chat("Marco tries a client that cannot encrypt");
    assert!(tried[0].contains("refused M_FORBIDDEN"), "{tried:?}");
    assert!(tried[0].contains("whatsapp.localhost requires end-to-end encryption"), "{tried:?}");
    assert!(tried[1].ends_with("Ben: nothing Dana: nothing"), "{tried:?}");
    assert!(!chat("Marco reacts")[1].contains('🔒') && !ben.contains('🔒'), "these are in clear");
    // Five messages of the group, each to five people.
    assert!(printed.contains("59 deliveries, 25 of them encrypted"), "{printed}");
    assert!(printed.lines().all(|line| line.chars().count() <= 80), "{printed}");
    assert!(!printed.contains('\u{1b}'), "no colours where nobody sees them");

    let again = once(folder.path());
    assert!(again.contains("Anna and Ben go on in the chat they have."), "{again}");
    assert!(column(&again, "Anna writes to Ben", 1).contains("Hi Ben!"), "he has accepted her: {again}");
    assert!(again.contains("Max, whom Dana has blocked, does not try again."), "{again}");
    assert!(again.contains("All six go on in “Saturday at the harbour”."), "{again}");
    assert!(column(&again, "Dana edits her message", 2).contains("🔒 Dana Novak, edited Saturday at eleven"));
    assert!(again.contains("25 of them encrypted"), "{again}");
}

#[test]
fn without_the_rule_it_says_so_and_with_it_again_the_group_is_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let lax = CONFIG.replace(r#""required""#, r#""optional""#);
    assert_ne!(lax, CONFIG);
    let path = folder.path().join("linkspan.toml");
    std::fs::write(&path, lax).expect("it is written");
    let printed = once(folder.path());
    assert!(printed.contains("No platform requires encryption"), "{printed}");
    assert!(!printed.contains('🔒') && !printed.contains("cannot encrypt"), "{printed}");
    assert!(printed.contains("59 deliveries, 0 of them encrypted"), "{printed}");

    std::fs::write(&path, CONFIG).expect("it is written");
    let printed = once(folder.path());
    assert!(column(&printed, "All five accept", 0).contains("🔒 encrypted"), "{printed}");
    assert!(printed.contains("25 of them encrypted"), "{printed}");
}

#[test]
fn afterwards_it_serves_until_it_is_stopped_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = demo(&["--ports-from", "0"]);
    let mut program =
        command.env("TMPDIR", folder.path()).stdout(Stdio::piped()).spawn().expect("the program runs");
    let output = BufReader::new(program.stdout.take().expect("it is piped"));
    let mut lines = output.lines().map(|line| line.expect("a line of text"));
    let told: Vec<_> = lines.by_ref().take_while(|line| !line.contains("Ctrl-C")).collect();

    let password =
        told.iter().find_map(|line| line.trim().strip_prefix("password")).expect("a password").trim();
    let [anna, ben] = [("Instagram-style", "anna"), ("Messenger-style", "ben")].map(|(app, user)| {
        let login = told.iter().rfind(|line| line.contains(app)).expect("it says where to log in");
        let words: Vec<_> = login.split_whitespace().collect();
        let [_, address, ..] = words[..] else { panic!("an address: {login}") };
        assert!(login.to_lowercase().contains(user), "{login}");
        LoggedIn::new(address, user, password)
    });
    let rooms = anna.direct_chats_with(&ben);
    assert_eq!(rooms.as_array().map(Vec::len), Some(1), "{rooms}");
    assert_eq!(ben.direct_chats_with(&anna), rooms, "both have the chat under direct messages");
    a_code_is_shown_in_the_outbox(&told);
    anybody_goes_on_as_one_of_them(&told);

    let pid = i32::try_from(program.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::INT).expect("it runs");
    assert!(program.wait().expect("it ends").success());
    let left = folder.path().read_dir().expect("the folder is there").count();
    assert_eq!(left, 0, "what it kept for the time being is gone");
}

/// Each platform's address lists the people that one can be there, and lets a new device of theirs read what was said.
fn anybody_goes_on_as_one_of_them(told: &[String]) {
    let mut names = Vec::new();
    for app in APPS {
        let line = told.iter().rfind(|line| line.contains(app)).expect("it is named");
        let address = line.split_whitespace().find(|word| word.starts_with("http")).expect("an address");
        let own = |path: &str, body: &str| {
            let method = if body.is_empty() { "GET" } else { "POST" };
            json_of(&answer(connected(address, method, &format!("/_linkspan/client/v1/{path}"), "", body)))
        };
        let platform = own("platform", "");
        assert!(
            line.contains(platform["name"].as_str().expect("a name")) && platform["label"] == app,
            "{platform}"
        );
        for account in platform["demo_accounts"].as_array().expect("there are some") {
            names.push(account["name"].as_str().expect("a name").to_owned());
            let session = own("demo_session", &json!({ "user_id": account["user_id"] }).to_string());
            let token = session["access_token"].as_str().unwrap_or_else(|| panic!("{session}"));
            let key = session["recovery_key"].as_str().expect("it opens what was said");
            assert!(told.iter().any(|line| line.contains(key)), "other clients are told the same: {key}");
            let backup = ask(address, "GET", "/room_keys/version", token, "");
            assert_eq!(
                backup["count"], 4,
                "the keys of everybody who has said something are there: {backup}"
            );
        }
    }
    assert_eq!(names, ["Anna Berg", "Marco Rossi", "Ben Adler", "Dana Novak", "Cleo Lind", "Emil Roth"]);
}

/// Somebody new asks for a code at the platform with phone numbers, and reads it on the page of the outbox.
fn a_code_is_shown_in_the_outbox(told: &[String]) {
    const NUMBER: &str = "+491713920044";
    let address = |name: &str| {
        let line = told.iter().rfind(|line| line.contains(name)).expect("it is named");
        line.split_whitespace().find(|word| word.starts_with("http")).expect("an address").to_owned()
    };
    let (whatsapp, outbox) = (address("WhatsApp-style"), address("outbox  "));
    let words = json!({ "client_secret": "s", "country": "DE", "phone_number": NUMBER, "send_attempt": 1 });
    // It begins with what there is, and tells of what comes.
    let mut news = BufReader::new(connected(&outbox, "GET", "/news", "", "")).lines().map_while(Result::ok);
    let mut next = || news.find(|line| line.starts_with("data:")).expect("it is told");
    let before = next();
    let session = ask(&whatsapp, "POST", "/register/msisdn/requestToken", "", &words.to_string());
    assert_ne!(next(), before, "the page learns that it is old");
    let page = answer(connected(&outbox, "GET", "/", "", ""));
    let card = page.split("<article").find(|card| card.contains(NUMBER)).expect("it is shown");
    let code =
        card.split("<p class=\"code\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a code");
    let words = json!({ "sid": session["sid"], "client_secret": "s", "token": code }).to_string();
    let submitted = answer(connected(&whatsapp, "POST", "/_linkspan/client/v1/submit_code", "", &words));
    assert!(submitted.ends_with(r#"{"success":true}"#), "{submitted}");
    let forged =
        answer(connected(&outbox, "POST", "/sms", "", r#"{"id":"1","platform":"p","to":"t","text":"x"}"#));
    assert!(forged.starts_with("HTTP/1.1 401 "), "only the server sends SMS: {forged}");
}

#[test]
fn its_server_ends_also_when_the_demo_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = demo(&["--ports-from", "0"]);
    command.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = command.spawn().expect("the program runs");
    let mut lines = BufReader::new(program.stdout.take().expect("it is piped")).lines();
    let chats = lines.any(|line| line.expect("a line of text").contains("Six people"));
    assert!(chats, "the server has answered");
    program.kill().expect("it runs");
    // The server has the same standard error, so this pipe ends when both have ended.
    let mut errors = program.stderr.take().expect("it is piped");
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(errors.read_to_end(&mut Vec::new())));
    let ended = told.recv_timeout(Duration::from_secs(60)).expect("the server has ended");
    ended.expect("the pipe can be read");
    program.wait().expect("it has ended");
}

#[test]
fn nothing_is_wrong_with_its_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("linkspan.toml");
    std::fs::write(&path, CONFIG).expect("it is written");
    let checked = Command::new(built("linkspan")).arg("check").arg("--config").arg(path).output();
    let said = String::from_utf8(checked.expect("the program runs").stdout).expect("it is text");
    // That anybody can use the accounts of the demo is what they are for.
    let mut others =
        said.lines().filter(|line| !line.contains("`demo_account` is for trying a platform out"));
    assert!(
        others.next().is_some_and(|line| line.starts_with("configuration is good: 3 platforms")),
        "{said}"
    );
    assert_eq!(others.next(), None, "{said}");
}

/// A client of somebody who chatted in the demo.
struct LoggedIn {
    address: String,
    user_id: String,
    token: String,
}

impl LoggedIn {
    fn new(address: &str, user: &str, password: &str) -> Self {
        let identifier = json!({ "type": "m.id.user", "user": user });
        let body = json!({ "type": "m.login.password", "identifier": identifier, "password": password });
        let session = ask(address, "POST", "/login", "", &body.to_string());
        let text = |key: &str| session[key].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        Self { address: address.to_owned(), user_id: text("user_id"), token: text("access_token") }
    }

    /// The rooms that this person's clients show as direct messages with another.
    fn direct_chats_with(&self, other: &Self) -> Value {
        let path = format!("/user/{}/account_data/m.direct", self.user_id);
        ask(&self.address, "GET", &path, &self.token, "")[&other.user_id].clone()
    }
}

/// Asks the client-server API of a platform, and returns the answer, which has to be a good one.
fn ask(address: &str, method: &str, path: &str, token: &str, body: &str) -> Value {
    let answer = answer(connected(address, method, &format!("/_matrix/client/v3{path}"), token, body));
    json_of(&answer)
}

/// The JSON of an answer, which has to be a good one.
fn json_of(answer: &str) -> Value {
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (_, json) = answer.split_once("\r\n\r\n").expect("an answer has a body");
    serde_json::from_str(json).unwrap_or_else(|_| panic!("no JSON: {answer}"))
}

/// A connection over which something was asked.
fn connected(address: &str, method: &str, path: &str, token: &str, body: &str) -> TcpStream {
    let host = &address["http://".len()..];
    let mut stream = TcpStream::connect(host).expect("it listens");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("it is sent");
    stream
}

/// All of an answer, its head included.
fn answer(mut connection: TcpStream) -> String {
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer of text");
    answer
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it listens").port().to_string();
    let output = demo(&["--once", "--ports-from", &port]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("port {port} is taken")) && said.contains("--ports-from"), "{said}");
}
