//! The demo with client libraries: they read what others encrypt, and leave keys with which another device
//! reads it.

use std::{
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use linkspan_tests::{
    Platform::{self, Instagram, Messenger},
    built,
};

use crate::{
    driver::{Driver, Library},
    person::Person,
};

const GROUP: &str = "Saturday at the harbour";
/// What everybody says in the group, in the order of the conversation.
const SAID: [&str; 4] = [
    "Saturday at ten, at the old linkspan?",
    "I bring my camera.",
    "linkspan.png",
    "That is it! I bring the coffee.",
];

/// A demo that runs, and what it has printed.
struct Demo {
    program: Child,
    lines: Lines<BufReader<ChildStdout>>,
    printed: Vec<String>,
}

impl Demo {
    fn start(data: &Path, words: &[&str]) -> Self {
        let mut command = Command::new(built("linkspan-demo"));
        command.arg("--linkspan").arg(built("linkspan"));
        command.args(["--ports-from", "0", "--clients", env!("CARGO_MANIFEST_DIR"), "--data"]);
        command.arg(data).args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut program = command.spawn().expect("the program runs");
        let lines = BufReader::new(program.stdout.take().expect("it is piped")).lines();
        Self { program, lines, printed: Vec::new() }
    }

    /// Reads on until a line begins so, and returns the rest of the line.
    fn tells(&mut self, beginning: &str) -> String {
        for line in self.lines.by_ref() {
            self.printed.push(line.expect("a line of text"));
            let line = self.printed.last().expect("there is one").trim();
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
        }
        panic!("it ended and did not tell {beginning:?}:\n{}", self.printed.join("\n"));
    }

    fn ends_well(mut self) {
        self.printed.extend(self.lines.by_ref().map_while(Result::ok));
        let ended = self.program.wait().expect("it ends");
        assert!(ended.success(), "{}", self.printed.join("\n"));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// The demo runs twice on the same data, and then people read both conversations with another client: what was kept for
/// them came from matrix-js-sdk, matrix-nio and the demo's own client.
pub(crate) fn twice() {
    let data = tempfile::tempdir().expect("a folder");
    let mut first = Demo::start(data.path(), &["--once"]);
    assert!(first.tells("Anna Berg").ends_with("matrix-js-sdk"));
    assert!(first.tells("Ben Adler").ends_with("matrix-nio"));
    assert!(first.tells("Cleo Lind").ends_with("matrix-js-sdk"));
    let key = first.tells("Anna's key");
    first.ends_well();

    let mut second = Demo::start(data.path(), &[]);
    second.tells("All six go on in");
    let password = second.tells("password");
    assert_eq!(second.tells("Anna's key"), key, "the backup is gone on with");
    let [marcos_key, bens_key] = ["Marco's key", "Ben's key"].map(|name| second.tells(name));
    let [glimbry, parlune] = ["Glimbry", "Parlune"].map(|name| {
        let told = second.tells(name);
        told.split_whitespace().next().expect("the address comes first").to_owned()
    });
    let anna = log_in((Instagram, "Anna"), &glimbry, &password);
    anna.driver.wait_until("the conversation's devices to log out", || {
        let devices = anna.does("devices", json!({}));
        (devices.as_array().is_none_or(|all| all.len() != 1)).then(|| devices.to_string())
    });
    reads_both(&anna, &key);
    reads_both(&log_in((Instagram, "Marco"), &glimbry, &password), &marcos_key);
    reads_both(&log_in((Messenger, "Ben"), &parlune, &password), &bens_key);
}

fn log_in((platform, name): (Platform, &'static str), server: &str, password: &str) -> Person {
    let driver = Driver::start(Library::Js, name);
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let words = json!({
        "server": server, "username": name.to_lowercase(), "password": password, "encrypted": true, "store": folder.path(),
    });
    let session = driver.command("login", words).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    Person::listening((platform, Library::Js, name), driver, folder, &session)
}

/// A new device restores the backup by the recovery key, and trusts itself.
fn reads_both(person: &Person, key: &str) {
    person.does("recover", json!({ "key": key }));
    assert_eq!(person.does("cross_signing", json!({})), json!({ "private": true, "signed": true }));
    let room = person.driver.look(|heard| {
        let mut rooms = heard.rooms.iter();
        rooms.find(|(_, state)| state["name"] == GROUP).map(|(room, _)| room.clone())
    });
    let all = person.remembers(&room.expect("everybody is in the group"));
    let closed: Vec<_> = all.iter().filter(|event| event["type"] == "m.room.encrypted").collect();
    assert!(closed.is_empty(), "{closed:?}");
    let is_edit = |event: &Value| event["content"]["m.relates_to"]["rel_type"] == "m.replace";
    let messages = all.iter().filter(|event| event["type"] == "m.room.message" && !is_edit(event));
    let bodies: Vec<_> = messages.filter_map(|event| event["content"]["body"].as_str()).collect();
    assert_eq!(bodies, [SAID, SAID].concat());
}
