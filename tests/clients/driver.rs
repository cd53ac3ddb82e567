//! A client library in a process of its own.
//!
//! The drivers read one command per line and write one reply or event per line, as tests/clients/PROTOCOL.md says.
//! What an event says is waited for; there are no pauses anywhere.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use linkspan_tests::built;

/// How long anything may take: many times what a browser needs on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// How often a driver is asked for what it does not tell by itself.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How many of the events before a failure are told.
const TOLD: usize = 12;
/// How much is told of each event, in characters.
const TOLD_OF_EACH: usize = 600;

/// A client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// matrix-js-sdk in Node.
    Js,
    /// matrix-js-sdk in Chromium.
    Chromium,
    /// matrix-nio.
    Nio,
    /// matrix-sdk.
    Rust,
    /// matrix-sdk with matrix-sdk-ui, over sliding sync.
    Sliding,
}

impl Library {
    /// matrix-js-sdk in Chromium, or in Node if the environment says that there is no Chromium.
    pub(crate) fn in_browser() -> Self {
        if std::env::var("CHROMIUM").is_ok_and(|browser| browser == "none") {
            Self::Js
        } else {
            Self::Chromium
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Js => node("js/driver.mjs"),
            Self::Chromium => node("js/chromium.mjs"),
            Self::Nio => {
                let mut command = Command::new(target().join("venv/bin/python"));
                command.arg(root().join("python/driver.py"));
                command
            }
            Self::Rust | Self::Sliding => Command::new(built("linkspan-rust-client")),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn target() -> PathBuf {
    built("linkspan").ancestors().nth(2).expect("it is in target/PROFILE").to_owned()
}

/// A command that runs a script in Node; its path is from `tests`.
pub(crate) fn node(script: &str) -> Command {
    let own = target().join("node/node_modules/.bin/node");
    let mut command = Command::new(if own.exists() { own } else { PathBuf::from("node") });
    command.arg(root().join(script));
    command
}

/// Why the server refused a command.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The server's `errcode`. It is empty if the library itself gave up.
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Everything that was heard so far.
#[derive(Default)]
pub(crate) struct Heard {
    replies: BTreeMap<u64, Value>,
    /// All events except those of rooms, in order.
    pub(crate) events: Vec<Value>,
    /// How many of these events had come when the rooms were described.
    pub(crate) synced: usize,
    /// The latest description of each room.
    pub(crate) rooms: BTreeMap<String, Value>,
    /// Why the driver has ended or cannot go on.
    over: Option<String>,
}

/// A running driver.
pub(crate) struct Driver {
    /// The person whose driver it is, for messages.
    name: String,
    program: Child,
    /// The way to send commands, or None once the driver is to end.
    commands: RefCell<Option<ChildStdin>>,
    last_id: Cell<u64>,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().expect("nobody panics while holding it")
}

fn hear(heard: &mut Heard, line: &str) {
    let Ok(mut said) = serde_json::from_str::<Value>(line) else {
        heard.over = Some(format!("it said {line:?}"));
        return;
    };
    if let Some(id) = said["id"].as_u64().filter(|_| said["event"].is_null()) {
        heard.replies.insert(id, said);
    } else if said["event"] == "room" {
        let room = said["room"].as_str().unwrap_or_default().to_owned();
        heard.rooms.insert(room, said["state"].take());
    } else if said["event"] == "synced" {
        heard.synced = heard.events.len();
    } else if said["event"] == "sync_failed" {
        heard.over = Some(format!("its sync failed: {}", said["message"]));
    } else {
        heard.events.push(said);
    }
}

impl Driver {
    /// Starts a library for somebody.
    pub(crate) fn start(library: Library, name: &str) -> Self {
        Self::run(library.command(), format!("{name} ({library:?})"))
    }

    /// Starts Chromium for somebody who visits pages.
    pub(crate) fn start_browser(name: &str) -> Self {
        Self::run(node("js/pages.mjs"), format!("{name} (pages)"))
    }

    fn run(mut command: Command, name: String) -> Self {
        let mut program = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not run ({error}): run `make test`"));
        let lines = BufReader::new(program.stdout.take().expect("it is piped")).lines();
        let heard = Arc::new((Mutex::new(Heard::default()), Condvar::new()));
        let hearing = heard.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                hear(&mut lock(&hearing.0), &line);
                hearing.1.notify_all();
            }
            lock(&hearing.0).over.get_or_insert_with(|| "it ended".to_owned());
            hearing.1.notify_all();
        });
        let commands = program.stdin.take();
        Self { name, program, commands: RefCell::new(commands), last_id: Cell::new(0), heard }
    }

    /// Does something, and waits until it is done or refused.
    pub(crate) fn command(&self, name: &str, mut words: Value) -> Result<Value, Refusal> {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        words["id"] = json!(id);
        words["do"] = json!(name);
        let mut commands = self.commands.borrow_mut();
        let commands = commands.as_mut().expect("it is there until the driver is dropped");
        writeln!(commands, "{words}").unwrap_or_else(|error| panic!("{} is gone: {error}", self.name));
        let mut reply = self.wait(&format!("an answer to {words}"), |heard| heard.replies.remove(&id));
        match &reply["error"] {
            Value::Null => Ok(reply["ok"].take()),
            error => {
                let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
                Err(Refusal { code: text("code"), message: text("message") })
            }
        }
    }

    /// Waits until `find` finds what it looks for in what was heard.
    pub(crate) fn wait<T>(&self, what: &str, mut find: impl FnMut(&mut Heard) -> Option<T>) -> T {
        let give_up = Instant::now() + PATIENCE;
        let (heard, news) = &*self.heard;
        let mut heard = lock(heard);
        loop {
            if let Some(found) = find(&mut heard) {
                return found;
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.over.is_some() {
                let why = heard.over.clone().unwrap_or_else(|| "too long".to_owned());
                let before = heard.events.iter().rev().take(TOLD).rev().map(|event| {
                    let event: String = event.to_string().chars().take(TOLD_OF_EACH).collect();
                    format!("  {event}\n")
                });
                let before: String = before.collect();
                let rooms = heard.rooms.iter().map(|(room, state)| format!("  {room}: {state}\n"));
                let rooms: String = rooms.collect();
                drop(heard);
                panic!("{} waited for {what}: {why}\nbefore that:\n{before}rooms:\n{rooms}", self.name);
            }
            heard = news.wait_timeout(heard, left).expect("nobody panics while holding it").0;
        }
    }

    /// Waits until the session has ended. Returns why, as the library says.
    pub(crate) fn wait_for_the_end(&self) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(why) = self.look(|heard| heard.over.clone()) {
                return why;
            }
            assert!(Instant::now() < give_up, "{} goes on", self.name);
            self.wait_for_news();
        }
    }

    /// Asks again and again, whenever something was heard and at times between, until all is well. `is_wrong`
    /// says what is not.
    pub(crate) fn wait_until(&self, what: &str, is_wrong: impl FnMut() -> Option<String>) {
        if let Some(wrong) = self.wrong_after(PATIENCE, is_wrong) {
            panic!("{} waited for {what}: {wrong}", self.name);
        }
    }

    /// Does the same for this long. Returns what is wrong even then.
    pub(crate) fn wrong_after(
        &self,
        patience: Duration,
        mut is_wrong: impl FnMut() -> Option<String>,
    ) -> Option<String> {
        let give_up = Instant::now() + patience;
        loop {
            let wrong = is_wrong()?;
            if Instant::now() >= give_up {
                return Some(wrong);
            }
            self.wait_for_news();
        }
    }

    fn wait_for_news(&self) {
        let (heard, news) = &*self.heard;
        drop(news.wait_timeout(lock(heard), ASK_AGAIN).expect("nobody panics while holding it"));
    }

    /// Looks at what was heard until now.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&lock(&self.heard.0))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
