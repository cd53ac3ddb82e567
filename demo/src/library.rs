//! Finds client libraries, starts each in a process of its own, and speaks with them.
//!
//! A driver reads one command a line and writes one reply or event a line; see tests/clients/PROTOCOL.md.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    heard::{Heard, Vain, wait},
    person::Refusal,
};

/// How long a library may take to do something.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first release of Node that matrix-js-sdk runs on.
const NODE: u32 = 22;

/// Who speaks Matrix for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// This person uses matrix-js-sdk.
    Js,
    /// This person uses matrix-nio.
    Nio,
    /// This person uses the client of the demo itself.
    BuiltIn,
}

impl Library {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Js => "matrix-js-sdk",
            Self::Nio => "matrix-nio",
            Self::BuiltIn => "built-in client",
        }
    }
}

/// The libraries that are there.
#[derive(Debug, Default)]
pub(crate) struct Libraries {
    /// The program that runs the driver of matrix-js-sdk, and the driver; `nio` is the same for matrix-nio.
    js: Option<(PathBuf, PathBuf)>,
    nio: Option<(PathBuf, PathBuf)>,
    /// What is missing, in words for people.
    pub(crate) missing: Vec<String>,
}

impl Libraries {
    /// Looks in the folder with the drivers, and where `make` puts what they need.
    pub(crate) fn find(folder: &Path) -> Self {
        // The working folder of the drivers is this one, too, but what is found must not depend on that.
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let target = folder.parent().unwrap_or(&folder).join("target");
        let mut missing = Vec::new();
        let (js, nio) = (folder.join("js/driver.mjs"), folder.join("python/driver.py"));
        let nodes = [
            folder.join("js/node_modules/.bin/node"),
            target.join("node/node_modules/.bin/node"),
            PathBuf::from("node"),
        ];
        let node = nodes.into_iter().find(|node| version(node).is_some_and(|version| version >= NODE));
        let installed = js.exists() && folder.join("js/node_modules/matrix-js-sdk").exists();
        let js = node.filter(|_| installed).map(|node| (node, js));
        if js.is_none() {
            missing
                .push(format!("matrix-js-sdk: Node {NODE} or later and `npm ci` in {}/js", folder.display()));
        }
        let pythons = [target.join("venv/bin/python"), PathBuf::from("python3")];
        let nio =
            pythons.into_iter().find(|python| nio.exists() && has_nio(python)).map(|python| (python, nio));
        if nio.is_none() {
            missing.push("matrix-nio: Python 3 with the packages matrix-nio and vodozemac".to_owned());
        }
        Self { js, nio, missing }
    }

    /// Starts a library, which logs to this file. The answer is None if the library is not there.
    pub(crate) fn start(
        &self,
        library: Library,
        log: File,
        heard: Arc<watch::Sender<Heard>>,
    ) -> Option<Driver> {
        let (program, driver) = match library {
            Library::Js => self.js.as_ref()?,
            Library::Nio => self.nio.as_ref()?,
            Library::BuiltIn => return None,
        };
        // A group of its own: Ctrl-C is this program's to handle.
        let mut command = Command::new(program);
        command.arg(driver).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        Driver::start(command, heard).inspect_err(|error| tracing::warn!(%error, "{}", library.name())).ok()
    }
}

/// The major version of Node, or None if it does not run.
fn version(node: &Path) -> Option<u32> {
    let output = Command::new(node).arg("--version").stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn has_nio(python: &Path) -> bool {
    let mut command = Command::new(python);
    // Importing it would take seconds.
    let look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('nio') is None \
                or importlib.util.find_spec('vodozemac') is None)";
    command.args(["-c", look]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A driver that runs.
pub(crate) struct Driver {
    program: Child,
    commands: Option<mpsc::Sender<String>>,
    last_id: u64,
    heard: Arc<watch::Sender<Heard>>,
}

impl Driver {
    fn start(mut command: Command, heard: Arc<watch::Sender<Heard>>) -> std::io::Result<Self> {
        let mut program = command.spawn()?;
        let (output, mut input) =
            (program.stdout.take().expect("it is piped"), program.stdin.take().expect("it is piped"));
        let (commands, queue) = mpsc::channel::<String>();
        // Pipes block, so each has a thread.
        thread::spawn(move || {
            while let Ok(line) = queue.recv() {
                if writeln!(input, "{line}").is_err() {
                    return;
                }
            }
        });
        let hearing = heard.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A line that is no JSON is a library that writes where it should not.
                let Ok(line) = serde_json::from_str(&line) else { continue };
                hearing.send_modify(|heard| heard.hear(line));
            }
            hearing.send_modify(|heard| {
                heard.over.get_or_insert_with(|| "it ended".to_owned());
            });
        });
        Ok(Self { program, commands: Some(commands), last_id: 0, heard })
    }

    /// Has the library do what a command says, and returns its answer.
    pub(crate) async fn command(&mut self, name: &str, words: &Value) -> Result<Value, Refusal> {
        self.last_id += 1;
        let id = self.last_id;
        let mut words = words.clone();
        (words["id"], words["do"]) = (json!(id), json!(name));
        if let Some(commands) = &self.commands {
            // If the driver is gone, the wait says so.
            let _ = commands.send(words.to_string());
        }
        let answered =
            wait(&self.heard, PATIENCE, |heard| heard.replies.contains_key(&id).then_some(())).await;
        match answered {
            Err(Vain::Over(why)) => return Err(Refusal::own(why)),
            Err(Vain::Late) => return Err(Refusal::own("it does not answer")),
            Ok(()) => {}
        }
        let mut reply = Value::Null;
        self.heard.send_if_modified(|heard| {
            reply = heard.replies.remove(&id).unwrap_or_default();
            false
        });
        match &reply["error"] {
            Value::Null => Ok(reply["ok"].take()),
            error => {
                let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
                Err(Refusal { code: text("code"), message: text("message") })
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
