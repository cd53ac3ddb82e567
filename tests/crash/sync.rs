//! A syncing client. It remembers what it was told, each thing once, over all kills.
//!
//! An answer counts once it is worked through; until then the client asks again with the old token.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use http::Method;
use linkspan_tests::{Body, Lost};
use serde_json::Value;

use crate::journal::World;

/// How many events of a room one answer has. They are few, so that the client has gaps to close.
pub(crate) const TIMELINE_LIMIT: usize = 8;

/// The state of a room, as event ids by type and state key.
pub(crate) type State = BTreeMap<(String, String), String>;

/// What a client was told of a room.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The timeline, from where the client came to know the room.
    pub(crate) timeline: Vec<String>,
    pub(crate) state: State,
    /// The event of each user's newest receipt.
    pub(crate) receipts: HashMap<String, String>,
    pub(crate) unread: u64,
    known: HashSet<String>,
}

/// A syncing client.
#[derive(Debug)]
pub(crate) struct SyncClient {
    pub(crate) person: usize,
    /// Whether the client syncs only now and then.
    pub(crate) sleeps: bool,
    /// Whether it has to know what is new.
    pub(crate) is_awake: bool,
    filter: String,
    since: Option<String>,
    pub(crate) rooms: HashMap<String, Room>,
    pub(crate) invites: HashSet<String>,
    pub(crate) to_device: Vec<String>,
    /// Account data by room. None stands for global account data.
    pub(crate) notes: HashMap<Option<String>, u64>,
}

impl SyncClient {
    pub(crate) fn new(person: usize, sleeps: bool, filter: String) -> Self {
        Self {
            person,
            sleeps,
            is_awake: true,
            filter,
            since: None,
            rooms: HashMap::new(),
            invites: HashSet::new(),
            to_device: Vec::new(),
            notes: HashMap::new(),
        }
    }

    /// Syncs until the server is gone.
    pub(crate) async fn run(mut self, world: Arc<World>) -> Self {
        while !self.sleeps && self.step(&world, 1_000).await.is_ok() {}
        self
    }

    /// Syncs until there is nothing new, while nobody else does anything. A client that sleeps does nothing.
    pub(crate) async fn catch_up(&mut self, world: &World) {
        while self.is_awake && self.step(world, 0).await.expect("the server runs") {}
    }

    /// Syncs once. Returns whether that told anything.
    async fn step(&mut self, world: &World, timeout_ms: u64) -> Result<bool, Lost> {
        let mut path = format!("/_matrix/client/v3/sync?timeout={timeout_ms}&filter={}", self.filter);
        if let Some(since) = &self.since {
            path += &format!("&since={since}");
        }
        let answer = world.call(self.person, Method::GET, &path, Body::Empty).await?;
        let mut gaps = HashMap::new();
        for (room_id, joined) in object(&answer["rooms"]["join"]) {
            if let Some(room) = self.rooms.get(room_id)
                && joined["timeline"]["limited"] == true
            {
                let from = joined["timeline"]["prev_batch"].as_str().expect("a token");
                gaps.insert(room_id, self.close_gap(world, room_id, room, from).await?);
            }
        }
        // From here on nothing can fail, so that an answer counts as a whole.
        let mut news = false;
        for (room_id, joined) in object(&answer["rooms"]["join"]) {
            news = true;
            let room = self.rooms.entry(room_id.clone()).or_default();
            let missed = gaps.remove(room_id).unwrap_or_default();
            room.take(&world.people[self.person].user_id, room_id, &missed, joined);
            note(&mut self.notes, Some(room_id), &joined["account_data"]);
        }
        for (room_id, _) in object(&answer["rooms"]["invite"]) {
            news = true;
            self.invites.insert(room_id.clone());
        }
        for message in list(&answer["to_device"]["events"]) {
            news = true;
            let id = message["content"]["test.id"].as_str().expect("only the test sends to devices");
            self.to_device.push(id.to_owned());
        }
        news |= note(&mut self.notes, None, &answer["account_data"]);
        self.since = Some(answer["next_batch"].as_str().expect("a token").to_owned());
        Ok(news)
    }

    /// Fetches the events between what the client knows of a room and a place in its timeline, the oldest
    /// first.
    async fn close_gap(
        &self,
        world: &World,
        room_id: &str,
        room: &Room,
        from: &str,
    ) -> Result<Vec<Value>, Lost> {
        let mut missed = Vec::new();
        let mut from = from.to_owned();
        loop {
            let path = format!("/_matrix/client/v3/rooms/{room_id}/messages?dir=b&limit=50&from={from}");
            let page = world.call(self.person, Method::GET, &path, Body::Empty).await?;
            for event in list(&page["chunk"]) {
                if room.known.contains(event["event_id"].as_str().expect("an event id")) {
                    missed.reverse();
                    return Ok(missed);
                }
                missed.push(event.clone());
            }
            from = page["end"].as_str().expect("the room begins with what the client knows").to_owned();
        }
    }
}

impl Room {
    fn take(&mut self, user_id: &str, room_id: &str, missed: &[Value], joined: &Value) {
        let timeline = list(&joined["timeline"]["events"]);
        for event in missed.iter().chain(timeline) {
            let event_id = event["event_id"].as_str().expect("an event id");
            assert!(
                self.known.insert(event_id.to_owned()),
                "{user_id} was told twice of {event_id} in {room_id}"
            );
            self.timeline.push(event_id.to_owned());
        }
        for event in missed.iter().chain(list(&joined["state"]["events"])).chain(timeline) {
            if let Some(state_key) = event["state_key"].as_str() {
                let event_type = event["type"].as_str().expect("a type").to_owned();
                let event_id = event["event_id"].as_str().expect("an event id").to_owned();
                self.state.insert((event_type, state_key.to_owned()), event_id);
            }
        }
        for event in list(&joined["ephemeral"]["events"]).iter().filter(|event| event["type"] == "m.receipt")
        {
            for (event_id, kinds) in object(&event["content"]) {
                for (reader, _) in object(&kinds["m.read"]) {
                    self.receipts.insert(reader.clone(), event_id.clone());
                }
            }
        }
        if let Some(unread) = joined["unread_notifications"]["notification_count"].as_u64() {
            self.unread = unread;
        }
    }
}

/// Takes over the test's account data. Returns whether there was any.
fn note(notes: &mut HashMap<Option<String>, u64>, room_id: Option<&String>, account_data: &Value) -> bool {
    let mut news = false;
    for event in list(&account_data["events"]).iter().filter(|event| event["type"] == "test.note") {
        news = true;
        notes.insert(room_id.cloned(), event["content"]["n"].as_u64().expect("a number"));
    }
    news
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
