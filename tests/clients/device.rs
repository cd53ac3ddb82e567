//! A person's device that encrypts: what it can read, and whose devices it knows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use linkspan_tests::{Platform, Server};

use crate::{driver::Library, person::Person};

/// More than any room of these tests has.
const WHOLE_ROOM: usize = 100;

impl Person {
    /// Signs up with a device that encrypts, and starts to listen.
    pub(crate) fn with_encryption(server: &Server, platform: Platform, library: Library, name: &str) -> Self {
        Self::encrypting(server, platform, library, (name, "register"))
    }

    /// Logs in on another device that encrypts, with any library.
    pub(crate) fn on_another_device(&self, server: &Server, library: Library) -> Self {
        Self::encrypting(server, self.platform, library, (&self.name, "login"))
    }

    fn encrypting(server: &Server, platform: Platform, library: Library, who: (&str, &str)) -> Self {
        let device_name = format!("{}'s {library:?}", who.0);
        Self::begin(server, platform, library, who, json!({ "encrypted": true, "device_name": device_name }))
    }

    /// Begins an encrypted chat with others, who join it.
    pub(crate) fn gathers(&self, words: Value, others: &[&Self]) -> String {
        let mut words = words;
        words["encrypted"] = json!(true);
        words["invite"] = others.iter().map(|other| other.id.as_str()).collect();
        let room = self.creates_room(words);
        for other in others {
            other.comes(&room);
        }
        let all: Vec<_> = others.iter().copied().chain([self]).collect();
        for person in &all {
            person.knows_room(&room, &all);
        }
        room
    }

    /// Comes into a room by an invitation. Whoever is a contact of the inviter is there without accepting it.
    pub(crate) fn comes(&self, room: &str) {
        let is_there = self.driver.wait(&format!("{room} to be there"), |heard| {
            let membership = heard.rooms.get(room)?["membership"].as_str()?;
            matches!(membership, "invite" | "join").then_some(membership == "join")
        });
        if !is_there {
            self.joins(room);
        }
    }

    /// Waits until the library knows that the room is encrypted, and who is in it. With sliding sync, members
    /// are known of rooms that are open.
    pub(crate) fn knows_room(&self, room: &str, all: &[&Self]) {
        if self.library == Library::Sliding {
            self.opens_room(room);
        }
        let members: serde_json::Map<_, _> =
            all.iter().map(|member| (member.id.clone(), json!({ "membership": "join" }))).collect();
        self.finds(room, &json!({ "membership": "join", "encrypted": true, "members": members }));
        for member in all {
            self.knows_device(member);
        }
    }

    /// Waits until the library would encrypt for this device too. A library that does not follow the person's devices
    /// yet asks for them when it has something to encrypt.
    pub(crate) fn knows_device(&self, of: &Self) {
        self.follows_devices(of, |devices| {
            devices.is_none_or(|devices| devices.contains(of.device.as_str()))
        });
    }

    /// Waits until the library knows the device.
    pub(crate) fn finds_device(&self, of: &Self) {
        self.follows_devices(of, |devices| {
            devices.is_some_and(|devices| devices.contains(of.device.as_str()))
        });
    }

    /// Waits until the library, which knew the device, would not encrypt for it any more.
    pub(crate) fn forgets_device(&self, of: &Self) {
        self.follows_devices(of, |devices| {
            devices.is_some_and(|devices| !devices.contains(of.device.as_str()))
        });
    }

    fn follows_devices(&self, of: &Self, are_right: impl Fn(Option<BTreeSet<&str>>) -> bool) {
        self.driver.wait(&format!("{}'s devices, with {} or without", of.name, of.device), |heard| {
            let mut told = heard.events.iter().rev();
            let latest = told.find(|said| said["event"] == "devices" && said["user"] == of.id.as_str());
            let devices = latest.map(|latest| {
                let devices = latest["devices"].as_array().into_iter().flatten();
                devices.filter_map(Value::as_str).collect()
            });
            are_right(devices).then_some(())
        });
    }

    /// Opens an event, as soon as it can be read. Returns the event, and the id of its session if it came
    /// encrypted.
    pub(crate) fn opens(&self, room: &str, event: &str) -> (Option<String>, Value) {
        self.driver.wait(&format!("{event} in {room}, readable"), |heard| {
            let mut told = heard.events.iter();
            let said = told.find(|said| {
                ["timeline", "decrypted"].iter().any(|kind| said["event"] == *kind)
                    && said["item"]["event_id"] == event
                    && said["room"] == room
                    && said["encryption"]["undecryptable"].is_null()
            })?;
            let session = said["encryption"]["session"].as_str().map(ToOwned::to_owned);
            Some((session, said["item"].clone()))
        })
    }

    /// Opens an event that came encrypted. Returns the id of its session, and the event.
    pub(crate) fn reads_secret(&self, room: &str, event: &str) -> (String, Value) {
        let (session, item) = self.opens(room, event);
        (session.unwrap_or_else(|| panic!("{} got it in clear: {item}", self.name)), item)
    }

    /// The ids of all encrypted events of a room that were seen, in their order, repetitions included.
    pub(crate) fn secrets_seen(&self, room: &str) -> Vec<String> {
        self.driver.look(|heard| {
            let items =
                heard.events.iter().filter(|said| said["event"] == "timeline" && said["room"] == room);
            let secret = items.filter(|said| !said["encryption"].is_null());
            secret.filter_map(|said| said["item"]["event_id"].as_str()).map(ToOwned::to_owned).collect()
        })
    }

    /// Reads a text from somebody that came encrypted. Returns the id of its session, and the event.
    pub(crate) fn reads_text(&self, room: &str, event: &str, who: &Self, body: &str) -> (String, Value) {
        let (session, item) = self.reads_secret(room, event);
        assert_eq!(item["type"], "m.room.message", "{}: {item}", self.name);
        assert_eq!(item["sender"], who.id, "{}: {item}", self.name);
        assert_eq!(item["content"]["body"], body, "{}: {item}", self.name);
        (session, item)
    }

    /// Waits until everything that came has been decrypted.
    pub(crate) fn has_read_everything(&self) {
        self.driver.wait("every event to be decrypted", |heard| {
            let id = |said: &Value| said["item"]["event_id"].clone();
            let all = || heard.events.iter().filter(|said| !said["item"].is_null());
            let mut unread = all().filter(|said| !said["encryption"]["undecryptable"].is_null());
            let read = |one: &Value| {
                all().any(|said| said["encryption"]["undecryptable"].is_null() && id(said) == id(one))
            };
            unread.all(read).then_some(())
        });
    }

    /// The events of a room that the library finds when it looks back, the oldest first. They are decrypted
    /// as far as it can.
    pub(crate) fn remembers(&self, room: &str) -> Vec<Value> {
        let mut all = self.looks_back(room, WHOLE_ROOM);
        all.reverse();
        all
    }

    /// Waits until the library can read these events when it looks back.
    pub(crate) fn reads_back(&self, room: &str, events: &[(String, &str)]) {
        self.driver.wait_until("what was said before", || {
            let all = self.remembers(room);
            let is_closed = |(event, body): &&(String, &str)| {
                let found = all.iter().find(|one| one["event_id"] == event.as_str());
                found.is_none_or(|found| found["content"]["body"] != *body)
            };
            let (event, _) = events.iter().find(is_closed)?;
            let found = all.iter().find(|one| one["event_id"] == event.as_str());
            Some(format!("{event} is {found:?}"))
        });
    }

    /// Sends an encrypted picture.
    pub(crate) fn sends_picture(&self, room: &str, name: &str, data: &str) -> String {
        let words = json!({
            "room": room, "data": data, "mimetype": "image/png", "name": name, "width": 80, "height": 60,
        });
        self.sends("send_picture", words)
    }
}
