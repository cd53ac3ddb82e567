//! What the built-in client's syncs tell of rooms, and telling it as the drivers of libraries do.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::device::Device;
use crate::heard::Heard;

/// How many events that stay closed are tried again when keys come. Older ones are given up.
const CLOSED: usize = 100;

/// The rooms as the syncs describe them.
pub(super) struct Rooms {
    user: String,
    device: Arc<Mutex<Device>>,
    states: BTreeMap<String, Value>,
    /// The events that could not be opened yet, and their rooms.
    closed: Vec<(String, Value)>,
}

fn list<'a>(parent: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    parent[key]["events"].as_array().into_iter().flatten()
}

impl Rooms {
    pub(super) fn new(user: String, device: Arc<Mutex<Device>>) -> Self {
        let (states, closed) = Default::default();
        Self { user, device, states, closed }
    }

    /// Takes in a sync's answer, and tells of it.
    pub(super) fn take_in(&mut self, answer: &Value, heard: &watch::Sender<Heard>) {
        let mut lines = self.take_keys(answer);
        for event in list(answer, "account_data") {
            let (kind, content) = (&event["type"], &event["content"]);
            lines.push(json!({ "event": "account_data", "type": kind, "content": content }));
        }
        for (section, membership) in [("join", "join"), ("invite", "invite"), ("leave", "leave")] {
            for (room, update) in answer["rooms"][section].as_object().into_iter().flatten() {
                let new = || json!({ "members": {}, "typing": [], "encrypted": false });
                let state = self.states.entry(room.clone()).or_insert_with(new);
                state["membership"] = json!(membership);
                let events = list(update, "invite_state").chain(list(update, "state"));
                for event in events.chain(list(update, "timeline")) {
                    take_state(state, event, &self.user);
                }
                let mut device = self.device.lock();
                for event in list(update, "timeline") {
                    let line = open(&mut device, ("timeline", room), event);
                    if !line["encryption"]["undecryptable"].is_null() {
                        self.closed.push((room.clone(), event.clone()));
                    }
                    lines.push(line);
                }
                for event in list(update, "ephemeral") {
                    match event["type"].as_str() {
                        Some("m.typing") => state["typing"] = event["content"]["user_ids"].clone(),
                        Some("m.receipt") => lines.extend(receipts(room, &event["content"])),
                        _ => {}
                    }
                }
                lines.push(json!({ "event": "room", "room": room, "state": state }));
            }
        }
        self.closed.drain(..self.closed.len().saturating_sub(CLOSED));
        // At once: who sees an event also sees the names that came with it.
        heard.send_modify(|heard| lines.into_iter().for_each(|line| heard.hear(line)));
    }

    /// Takes in the keys that came, and tells of the events that they open.
    fn take_keys(&mut self, answer: &Value) -> Vec<Value> {
        let mut device = self.device.lock();
        let taken = list(answer, "to_device").filter(|event| device.receive(event)).count();
        let mut lines = Vec::new();
        if taken > 0 {
            self.closed.retain(|(room, event)| {
                let line = open(&mut device, ("decrypted", room), event);
                let opened = line["encryption"]["undecryptable"].is_null();
                lines.extend(opened.then_some(line));
                !opened
            });
        }
        lines
    }
}

/// What is told of an event of a timeline.
fn open(device: &mut Device, (kind, room): (&str, &str), event: &Value) -> Value {
    let session = &event["content"]["session_id"];
    let mut line = json!({ "event": kind, "room": room, "item": event });
    // Without a session, it was redacted.
    if event["type"] != "m.room.encrypted" || session.is_null() {
        return line;
    }
    line["encryption"]["session"] = session.clone();
    match device.open(room, event) {
        Ok(item) => line["item"] = item,
        Err(why) => line["encryption"]["undecryptable"] = json!(why),
    }
    line
}

fn take_state(state: &mut Value, event: &Value, user: &str) {
    let content = &event["content"];
    match (event["type"].as_str(), event["state_key"].as_str()) {
        (Some("m.room.name"), Some("")) => state["name"] = content["name"].clone(),
        (Some("m.room.encryption"), Some("")) => state["encrypted"] = json!(!content["algorithm"].is_null()),
        (Some("m.room.member"), Some(whose)) => {
            let (membership, name) = (&content["membership"], &content["displayname"]);
            state["members"][whose] = json!({ "membership": membership, "name": name });
            if whose == user && *membership == "invite" {
                state["inviter"] = event["sender"].clone();
            }
        }
        _ => {}
    }
}

fn receipts(room: &str, content: &Value) -> Vec<Value> {
    let mut lines = Vec::new();
    for (id, kinds) in content.as_object().into_iter().flatten() {
        for (kind, users) in kinds.as_object().into_iter().flatten() {
            for user in users.as_object().into_iter().flat_map(|users| users.keys()) {
                lines.push(json!({ "event": "receipt", "room": room, "id": id, "user": user, "kind": kind }));
            }
        }
    }
    lines
}
