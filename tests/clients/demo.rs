//! The demo with client libraries: they read what others encrypt, and leave keys with which another device
//! reads it.

use std::{
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use linkspan_tests::{Platform::Instagram, built};

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

/// The demo runs twice on the same data, and then somebody reads both conversations with another client.
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
    let told = second.tells("Instagram-style  http://");
    let server = format!("http://{}", told.split_whitespace().next().expect("the address comes first"));
    let password = second.tells("password");
    assert_eq!(second.tells("Anna's key"), key, "the backup is gone on with");
    let anna = log_in(&server, &password);
    anna.driver.wait_until("the conversation's devices to log out", || {
        let devices = anna.does("devices", json!({}));
        (devices.as_array().is_none_or(|all| all.len() != 1)).then(|| devices.to_string())
    });
    anna.does("recover", json!({ "key": key }));
    let room = anna.driver.look(|heard| {
        let mut rooms = heard.rooms.iter();
        rooms.find(|(_, state)| state["name"] == GROUP).map(|(room, _)| room.clone())
    });
    reads_both(&anna, &room.expect("Anna is in the group"));
}

fn log_in(server: &str, password: &str) -> Person {
    let driver = Driver::start(Library::Js, "Anna");
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let words = json!({
        "server": server, "username": "anna", "password": password, "encrypted": true, "store": folder.path(),
    });
    let session = driver.command("login", words).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    Person::listening((Instagram, Library::Js, "Anna"), driver, folder, &session)
}

fn reads_both(anna: &Person, room: &str) {
    let all = anna.remembers(room);
    let closed: Vec<_> = all.iter().filter(|event| event["type"] == "m.room.encrypted").collect();
    assert!(closed.is_empty(), "{closed:?}");
    let is_edit = |event: &Value| event["content"]["m.relates_to"]["rel_type"] == "m.replace";
    let messages = all.iter().filter(|event| event["type"] == "m.room.message" && !is_edit(event));
    let bodies: Vec<_> = messages.filter_map(|event| event["content"]["body"].as_str()).collect();
    assert_eq!(bodies, [SAID, SAID].concat());
}
