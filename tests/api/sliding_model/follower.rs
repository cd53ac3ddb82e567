//! A client that follows a connection, and what it has put together from the answers.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::wants::{Shape, Wants};
use crate::network::{Answer, Client, list, text};

/// The most answers in a row that may bring something although nobody does anything.
const MAX_UNQUIET: usize = 5;

/// An event of a timeline: its id, its sender, and whether it is state.
pub(super) type Entry = (String, String, bool);
/// What was read, by user and kind.
pub(super) type Receipts = BTreeMap<(String, String), String>;

/// A room as the client has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    pub(super) membership: String,
    pub(super) timeline: Vec<Entry>,
    /// The ids of events by type and state key.
    pub(super) state: BTreeMap<(String, String), String>,
    /// Fields of the answers that hold until they are told anew.
    pub(super) fields: BTreeMap<&'static str, Value>,
    pub(super) receipts: Receipts,
    pub(super) account_data: BTreeMap<String, Value>,
    pub(super) typing: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Follower {
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) wants: Wants,
    /// Whether members are told as they are needed.
    lazy: bool,
    pos: Option<String>,
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) counts: BTreeMap<String, Value>,
    pub(super) account_data: BTreeMap<String, Value>,
}

/// Fields of a room that are simply told anew.
const FIELDS: [&str; 7] =
    ["name", "avatar", "heroes", "joined_count", "invited_count", "notification_count", "highlight_count"];

impl Follower {
    pub(super) fn new(name: &str, shape: Shape, lazy: bool) -> Self {
        Self {
            name: name.to_owned(),
            shape,
            wants: Wants::default(),
            lazy,
            pos: None,
            rooms: BTreeMap::new(),
            counts: BTreeMap::new(),
            account_data: BTreeMap::new(),
        }
    }

    /// Changes what the client asks for.
    pub(super) fn change_wants(&mut self, rng: &mut StdRng, me: &str, rooms: &[String]) {
        self.wants.change(rng, me, self.lazy, rooms);
    }

    /// Asks for an answer that the client does not get.
    pub(super) async fn ask(&self, client: &Client) -> Answer {
        let mut body = self.wants.on_wire(self.shape, &client.user_id);
        body["conn_id"] = json!(self.name);
        match self.shape {
            Shape::Stable => {
                self.pos.iter().for_each(|pos| body["pos"] = json!(pos));
                client.post("/v4/sync", body).await
            }
            Shape::Unstable => {
                let pos = self.pos.iter().map(|pos| format!("?pos={pos}")).collect::<String>();
                client.post(&format!("/unstable/org.matrix.simplified_msc3575/sync{pos}"), body).await
            }
        }
    }

    /// Takes the next answer. Returns whether it brings something. A connection that the server does not know
    /// begins anew.
    pub(super) async fn next(&mut self, client: &Client) -> bool {
        let mut answer = self.ask(client).await;
        if answer.json["errcode"] == "M_UNKNOWN_POS" {
            *self = Self { wants: self.wants.clone(), ..Self::new(&self.name, self.shape, self.lazy) };
            answer = self.ask(client).await;
        }
        let answer = answer.ok();
        self.pos = Some(text(&answer["pos"]));
        self.take(&answer, &client.user_id);
        let extensions = &answer["extensions"];
        let nothing = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
        !(nothing(&answer["rooms"])
            && list(&extensions["account_data"]["global"]).is_empty()
            && nothing(&extensions["account_data"]["rooms"])
            && nothing(&extensions["receipts"]["rooms"])
            && nothing(&extensions["typing"]["rooms"]))
    }

    /// Asks until there is nothing new.
    pub(super) async fn catch_up(&mut self, client: &Client) {
        for _ in 0..MAX_UNQUIET {
            if !self.next(client).await {
                return;
            }
        }
        panic!("{}: it is never quiet", self.name);
    }

    /// Notes that the server has forgotten who types.
    pub(super) fn forget_typing(&mut self) {
        self.rooms.values_mut().for_each(|room| room.typing.clear());
    }

    fn take(&mut self, answer: &Value, me: &str) {
        self.counts =
            entries(&answer["lists"]).map(|(name, told)| (name.clone(), told["count"].clone())).collect();
        for (room_id, news) in entries(&answer["rooms"]) {
            self.rooms.entry(room_id.clone()).or_default().take(news, me);
        }
        let extensions = &answer["extensions"];
        for event in list(&extensions["account_data"]["global"]) {
            self.account_data.insert(text(&event["type"]), event["content"].clone());
        }
        for (room_id, events) in entries(&extensions["account_data"]["rooms"]) {
            self.rooms.entry(room_id.clone()).or_default().take_account_data(events);
        }
        for (room_id, event) in entries(&extensions["receipts"]["rooms"]) {
            self.rooms.entry(room_id.clone()).or_default().receipts.extend(receipts(event));
        }
        for (room_id, event) in entries(&extensions["typing"]["rooms"]) {
            self.rooms.entry(room_id.clone()).or_default().typing = typing(event);
        }
    }
}

impl Room {
    /// Takes in news of the room. What the client had of it is forgotten if everything is told anew.
    fn take(&mut self, news: &Value, me: &str) {
        if news["initial"] == true {
            *self = Self { membership: "join".to_owned(), ..Self::default() };
        }
        let expanded = news["expanded_timeline"] == true || news["unstable_expanded_timeline"] == true;
        if expanded || news["limited"] == true {
            self.timeline.clear();
        }
        let events = list(&news["timeline"]);
        self.timeline.extend(events.iter().map(entry));
        for event in list(&news["required_state"]) {
            let key = (text(&event["type"]), text(&event["state_key"]));
            self.state.insert(key, text(&event["event_id"]));
        }
        for field in FIELDS {
            if let Some(value) = news.get(field) {
                self.fields.insert(field, value.clone());
            }
        }
        self.take_membership(news, events, me);
    }

    /// Takes in the membership. The unstable shape does not have it, so it is seen from everything else.
    fn take_membership(&mut self, news: &Value, events: &[Value], me: &str) {
        let own = |event: &&Value| event["type"] == "m.room.member" && event["state_key"] == me;
        if let Some(membership) = news["membership"].as_str() {
            self.membership = membership.to_owned();
        } else if news["invite_state"].is_array() {
            self.membership = "invite".to_owned();
        } else if let Some(event) = events.iter().rfind(own) {
            self.membership = text(&event["content"]["membership"]);
        }
    }

    pub(super) fn take_account_data(&mut self, events: &Value) {
        for event in list(events) {
            self.account_data.insert(text(&event["type"]), event["content"].clone());
        }
    }
}

pub(super) fn entry(event: &Value) -> Entry {
    (text(&event["event_id"]), text(&event["sender"]), event["state_key"].is_string())
}

pub(super) fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

pub(super) fn receipts(event: &Value) -> Receipts {
    let mut receipts = Receipts::new();
    for (event_id, kinds) in entries(&event["content"]) {
        for (kind, users) in entries(kinds) {
            for (user, _) in entries(users) {
                receipts.insert((user.clone(), kind.clone()), event_id.clone());
            }
        }
    }
    receipts
}

pub(super) fn typing(event: &Value) -> Vec<String> {
    let mut users: Vec<_> = list(&event["content"]["user_ids"]).iter().map(text).collect();
    users.sort();
    users
}
