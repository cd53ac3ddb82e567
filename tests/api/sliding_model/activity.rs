//! What people do at random. It does not matter if the rules refuse it.

use std::collections::BTreeSet;

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, Network, list, text};

/// The people, and what they made.
pub(super) struct World {
    pub(super) people: Vec<Client>,
    pub(super) rooms: Vec<String>,
    spaces: BTreeSet<String>,
    /// Everybody who has ever ignored somebody, and whom.
    ignored: BTreeSet<(String, String)>,
    /// The events of all rooms.
    events: Vec<(String, String)>,
    actions: u64,
}

impl World {
    pub(super) fn new(people: Vec<Client>) -> Self {
        Self {
            people,
            rooms: Vec::new(),
            spaces: BTreeSet::new(),
            ignored: BTreeSet::new(),
            events: Vec::new(),
            actions: 0,
        }
    }

    /// Lets everybody talk to another server from now on.
    pub(super) fn moves_to(&mut self, network: &Network) {
        self.people = self.people.iter().map(|person| person.on(network)).collect();
    }

    pub(super) fn is_space(&self, room: &str) -> bool {
        self.spaces.contains(room)
    }

    /// The people whom somebody has ever ignored.
    pub(super) fn ignored(&self, who: &str) -> BTreeSet<String> {
        let own = self.ignored.iter().filter(|(user, _)| user == who);
        own.map(|(_, other)| other.clone()).collect()
    }

    fn person(&self, rng: &mut StdRng) -> Client {
        self.people.choose(rng).expect("there are people").clone()
    }

    /// Has somebody do something. Returns what it was, for those who look for a fault.
    pub(super) async fn act(&mut self, rng: &mut StdRng) -> String {
        self.actions += 1;
        let who = self.person(rng);
        let Some(room) = self.rooms.choose(rng).cloned() else { return self.create(rng, &who).await };
        let (what, answer) = match rng.random_range(0..100) {
            0..10 => return self.create(rng, &who).await,
            10..40 => return self.say(rng, &who, &room).await,
            40..62 => self.change_membership(rng, &who, &room).await,
            62..70 => self.redact(rng, &who).await,
            70..82 => self.change_state(rng, &who, &room).await,
            _ => self.beside(rng, &who, &room).await,
        };
        assert!(!answer.status.is_server_error(), "{what}: {}", answer.json);
        format!("{} {what} in {room}: {}", who.user_id, answer.status)
    }

    async fn create(&mut self, rng: &mut StdRng, who: &Client) -> String {
        let preset = ["public_chat", "public_chat", "private_chat"].choose(rng).expect("there are some");
        let mut body = json!({ "preset": preset });
        if rng.random_bool(0.5) {
            body["name"] = format!("room {}", self.actions).into();
        }
        let kind = rng.random_range(0..6);
        let is_space = kind == 0;
        match kind {
            0 => body["creation_content"] = json!({ "type": "m.space" }),
            1 => {
                let visibility = ["joined", "invited"].choose(rng).expect("there are some");
                let content = json!({ "history_visibility": visibility });
                body["initial_state"] =
                    json!([{ "type": "m.room.history_visibility", "state_key": "", "content": content }]);
            }
            _ => {}
        }
        let invited: Vec<_> =
            self.people.iter().filter(|other| other.user_id != who.user_id && rng.random_bool(0.3)).collect();
        body["invite"] = json!(invited.iter().map(|other| &other.user_id).collect::<Vec<_>>());
        let room = who.create_room(body).await;
        self.rooms.push(room.clone());
        if is_space {
            self.spaces.insert(room.clone());
        }
        // Somebody is there, so that there is something to see.
        self.person(rng).join(&room).await;
        format!("{} creates {room}", who.user_id)
    }

    async fn say(&mut self, rng: &mut StdRng, who: &Client, room: &str) -> String {
        let mut said = 0;
        for _ in 0..*[1, 1, 1, 2, 7].choose(rng).expect("there are some") {
            let content = json!({ "msgtype": "m.text", "body": format!("words {}.{said}", self.actions) });
            let answer = who.try_send(room, "m.room.message", content).await;
            if answer.status.is_success() {
                self.events.push((room.to_owned(), text(&answer.json["event_id"])));
                said += 1;
            }
        }
        format!("{} says {said} in {room}", who.user_id)
    }

    async fn change_membership(&self, rng: &mut StdRng, who: &Client, room: &str) -> (String, Answer) {
        let other = self.person(rng);
        let of_other = json!({ "user_id": other.user_id });
        let verb = match rng.random_range(0..20) {
            0..7 => return ("joins".to_owned(), who.join(room).await),
            7..10 => return ("leaves".to_owned(), who.leave(room).await),
            10 | 11 => "forget",
            12..16 => "invite",
            16 | 17 => "kick",
            18 => "ban",
            _ => "unban",
        };
        let body = if verb == "forget" { json!({}) } else { of_other };
        let answer = who.post(&format!("/v3/rooms/{room}/{verb}"), body).await;
        (format!("{verb}s {}", other.user_id), answer)
    }

    async fn redact(&self, rng: &mut StdRng, who: &Client) -> (String, Answer) {
        let Some((room, event)) = self.events.choose(rng) else {
            return self.marks_direct(who, vec![]).await;
        };
        let txn_id = who.next_transaction();
        let path = format!("/v3/rooms/{room}/redact/{event}/{txn_id}");
        (format!("redacts {event} of {room}"), who.put(&path, json!({})).await)
    }

    async fn change_state(&self, rng: &mut StdRng, who: &Client, room: &str) -> (String, Answer) {
        let number = self.actions;
        let (event_type, content) = match rng.random_range(0..7) {
            0 => ("m.room.name".to_owned(), json!({ "name": format!("name {number}") })),
            1 => ("m.room.name".to_owned(), json!({})),
            2 | 3 => ("m.room.topic".to_owned(), json!({ "topic": format!("topic {number}") })),
            4 => ("m.room.avatar".to_owned(), json!({ "url": format!("mxc://{INSTAGRAM}/a{number}") })),
            5 => {
                let child = self.rooms.choose(rng).expect("there is one");
                let via = if rng.random_bool(0.7) { json!({ "via": [INSTAGRAM] }) } else { json!({}) };
                (format!("m.space.child/{child}"), via)
            }
            _ => {
                let content = json!({ "membership": "join", "displayname": format!("D{number}") });
                (format!("m.room.member/{}", who.user_id), content)
            }
        };
        // Nobody comes into a room by this.
        let joined = who.get("/v3/joined_rooms").await.ok();
        if !list(&joined["joined_rooms"]).iter().any(|joined| joined == room) {
            return self.marks_direct(who, vec![room]).await;
        }
        (format!("sets {event_type} {content}"), who.set_state(room, &event_type, content).await)
    }

    async fn marks_direct(&self, who: &Client, rooms: Vec<&str>) -> (String, Answer) {
        let path = format!("/v3/user/{}/account_data/m.direct", who.user_id);
        let other = &self.people[0].user_id;
        (format!("marks {rooms:?} direct"), who.put(&path, json!({ other: rooms })).await)
    }

    async fn beside(&mut self, rng: &mut StdRng, who: &Client, room: &str) -> (String, Answer) {
        let me = &who.user_id;
        match rng.random_range(0..20) {
            0..9 => {
                let Some((room, event)) = self.events.choose(rng) else {
                    return self.marks_direct(who, vec![]).await;
                };
                let kind = ["m.read", "m.read", "m.read.private"].choose(rng).expect("there are some");
                let path = format!("/v3/rooms/{room}/receipt/{kind}/{event}");
                (format!("reads {event} ({kind}) of {room}"), who.post(&path, json!({})).await)
            }
            9..12 => {
                let body = json!({ "typing": rng.random_bool(0.6), "timeout": 100_000 });
                (format!("types {body}"), who.put(&format!("/v3/rooms/{room}/typing/{me}"), body).await)
            }
            12..15 => {
                let path = format!("/v3/user/{me}/rooms/{room}/tags/m.favourite");
                match rng.random_bool(0.6) {
                    true => ("tags".to_owned(), who.put(&path, json!({})).await),
                    false => ("untags".to_owned(), who.delete(&path).await),
                }
            }
            15 | 16 => {
                let path = format!("/v3/user/{me}/account_data/org.example.{}", rng.random_range(0..2));
                ("keeps data".to_owned(), who.put(&path, json!({ "n": self.actions })).await)
            }
            17 => {
                let path = format!("/v3/user/{me}/rooms/{room}/account_data/org.example");
                ("keeps data of a room".to_owned(), who.put(&path, json!({ "n": self.actions })).await)
            }
            18 => {
                let path = format!("/v3/profile/{me}/displayname");
                let body = json!({ "displayname": format!("P{}", self.actions) });
                ("is called otherwise".to_owned(), who.put(&path, body).await)
            }
            _ if rng.random_bool(0.3) => {
                let other = self.person(rng);
                let content: Value = match other.user_id == *me {
                    true => json!({ "ignored_users": {} }),
                    false => json!({ "ignored_users": { &other.user_id: {} } }),
                };
                self.ignored.insert((me.clone(), other.user_id.clone()));
                let path = format!("/v3/user/{me}/account_data/m.ignored_user_list");
                (format!("ignores {content}"), who.put(&path, content).await)
            }
            _ => self.marks_direct(who, vec![room]).await,
        }
    }
}
