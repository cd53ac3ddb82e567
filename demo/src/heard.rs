//! What a person's client has told of, and reading it. Nothing here knows what anybody sent.
//!
//! A client tells in lines of JSON, whichever it is; they are described in tests/clients/PROTOCOL.md.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use tokio::sync::watch;

/// One thing that a client told.
pub(crate) struct Said {
    /// The time at which it reached this program.
    pub(crate) at: Instant,
    pub(crate) line: Value,
}

/// Everything that a client has told. It grows for as long as the conversation is.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) said: Vec<Said>,
    /// The latest description of each room.
    pub(crate) rooms: BTreeMap<String, Value>,
    /// The answers to commands that nobody has taken yet, by the id of the command.
    pub(crate) replies: BTreeMap<u64, Value>,
    /// Why the client tells nothing any more.
    pub(crate) over: Option<String>,
}

/// Why something was waited for in vain.
#[derive(Debug)]
pub(crate) enum Vain {
    /// It took too long.
    Late,
    /// The client has ended, for this reason.
    Over(String),
}

impl Heard {
    /// Takes in a line that the client has written.
    pub(crate) fn hear(&mut self, line: Value) {
        match line["event"].as_str() {
            None => {
                if let Some(id) = line["id"].as_u64() {
                    self.replies.insert(id, line);
                }
                return;
            }
            Some("sync_failed") => self.over = Some(format!("its sync failed: {}", line["message"])),
            Some("room") => {
                let room = line["room"].as_str().unwrap_or_default().to_owned();
                self.rooms.insert(room, line["state"].clone());
            }
            Some(_) => {}
        }
        self.said.push(Said { at: Instant::now(), line });
    }

    /// The line that told of an event of a timeline. If one line told of it encrypted and another decrypted,
    /// this is the decrypted one.
    fn told(&self, room: &str, id: &str) -> Option<&Value> {
        let lines = self.said.iter().map(|said| &said.line);
        let mut lines = lines.filter(|line| line["room"] == room && line["item"]["event_id"] == id);
        let first = lines.next()?;
        Some(lines.find(|line| is_readable(line)).filter(|_| !is_readable(first)).unwrap_or(first))
    }

    /// An event of a timeline, as the client told of it.
    pub(crate) fn item(&self, room: &str, id: &str) -> Option<&Value> {
        self.told(room, id).map(|line| &line["item"])
    }

    /// Whether an event came encrypted, and was decrypted.
    pub(crate) fn has_opened(&self, room: &str, id: &str) -> bool {
        self.told(room, id).is_some_and(|line| is_readable(line) && !line["encryption"].is_null())
    }

    /// Whether a message of a room came in clear after the first `from` things that were told.
    pub(crate) fn was_told_in_clear(&self, room: &str, from: usize) -> bool {
        let mut lines = self.said.iter().skip(from).map(|said| &said.line);
        lines.any(|line| {
            let message = line["item"]["type"] == "m.room.message";
            line["room"] == room && message && line["encryption"].is_null()
        })
    }

    /// An event that came encrypted after the first `from` things that were told, and is not decrypted yet.
    pub(crate) fn closed(&self, from: usize) -> Option<String> {
        let new =
            || self.said.iter().skip(from).map(|said| &said.line).filter(|line| !line["item"].is_null());
        let opened = |closed: &Value| {
            new().any(|line| line["item"]["event_id"] == closed["item"]["event_id"] && is_readable(line))
        };
        let closed = new().find(|line| !is_readable(line) && !opened(line))?;
        closed["item"]["event_id"].as_str().map(ToOwned::to_owned)
    }

    /// The devices of somebody for which this person's client would encrypt; None if it does not follow them
    /// yet.
    pub(crate) fn devices(&self, user: &str) -> Option<&Vec<Value>> {
        let lines = self.said.iter().rev().map(|said| &said.line);
        let mut lines = lines.filter(|line| line["event"] == "devices" && line["user"] == user);
        lines.next()?["devices"].as_array()
    }

    /// What this person's client calls somebody in a room; the user id if it knows no name.
    pub(crate) fn name_of(&self, room: &str, user: &str) -> String {
        let name = self.rooms.get(room).and_then(|state| state["members"][user]["name"].as_str());
        name.unwrap_or(user).to_owned()
    }

    /// What this person is in a room, such as `join` or `invite`.
    pub(crate) fn membership(&self, room: &str) -> Option<&str> {
        self.rooms.get(room)?["membership"].as_str()
    }

    /// Whether the client ever told of a room.
    pub(crate) fn knows(&self, room: &str) -> bool {
        self.said.iter().any(|said| said.line["room"] == room)
    }

    /// The person's own data of a kind, as they are now.
    pub(crate) fn account_data(&self, kind: &str) -> Map<String, Value> {
        let all = self.said.iter().rev().map(|said| &said.line);
        let found = all.into_iter().find(|line| line["event"] == "account_data" && line["type"] == kind);
        found.and_then(|line| line["content"].as_object()).cloned().unwrap_or_default()
    }
}

/// Whether what a line tells of can be read: it came in clear, or was decrypted.
pub(crate) fn is_readable(line: &Value) -> bool {
    line["encryption"]["undecryptable"].is_null()
}

/// Waits until `find` finds what it looks for in what was heard.
pub(crate) async fn wait<T>(
    heard: &watch::Sender<Heard>,
    patience: Duration,
    mut find: impl FnMut(&Heard) -> Option<T>,
) -> Result<T, Vain> {
    let mut found = None;
    let mut news = heard.subscribe();
    let looking = news.wait_for(|heard| {
        found = find(heard);
        found.is_some() || heard.over.is_some()
    });
    // The sender is borrowed here, so the channel stays open.
    let _ = tokio::time::timeout(patience, looking).await.map(drop);
    drop(news);
    found.ok_or_else(|| heard.borrow().over.clone().map_or(Vain::Late, Vain::Over))
}
