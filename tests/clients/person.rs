//! Somebody with an account and a client, in the words of a conversation.
//!
//! What a person does is a verb here; what a person sees is waited for and checked. Nothing here depends on
//! the library that the person uses, except for what a library cannot do.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use serde_json::{Value, json};

use linkspan_tests::{PASSWORD, Platform, Server};
use tempfile::TempDir;

use crate::driver::{Driver, Library, Refusal};

/// A person and their client.
pub(crate) struct Person {
    /// The person's name. In lower case it is the localpart of the user id.
    pub(crate) name: String,
    pub(crate) platform: Platform,
    pub(crate) library: Library,
    /// The user id.
    pub(crate) id: String,
    /// The access token.
    pub(crate) token: String,
    /// The id of the device.
    pub(crate) device: String,
    pub(crate) driver: Driver,
    /// The folder that is the disk of the device.
    #[expect(dead_code, reason = "it goes with the person")]
    folder: TempDir,
    /// How many of the events that were heard end with the last one that was seen.
    seen: Cell<usize>,
    /// The same for each person's membership of each room.
    memberships: RefCell<BTreeMap<(String, String), usize>>,
}

/// The part of a picture's message that tells about the picture.
pub(crate) struct Picture {
    pub(crate) mxc: String,
    pub(crate) name: &'static str,
    pub(crate) mimetype: &'static str,
    pub(crate) size: usize,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Whether `whole` has everything that `part` has. A null stands for what must not be there.
fn includes(whole: &Value, part: &Value) -> bool {
    match part {
        Value::Object(part) => part.iter().all(|(key, part)| includes(&whole[key.as_str()], part)),
        part => whole == part,
    }
}

impl Person {
    /// Signs up, and starts to listen.
    pub(crate) fn sign_up(server: &Server, platform: Platform, library: Library, name: &str) -> Self {
        Self::begin(server, platform, library, (name, "register"), json!({}))
    }

    /// Logs in on another device, with any library.
    pub(crate) fn also_on(&self, server: &Server, library: Library) -> Self {
        Self::begin(server, self.platform, library, (&self.name, "login"), json!({}))
    }

    /// Begins a session, by `register` or `login` with some more words, and starts to listen.
    pub(crate) fn begin(
        server: &Server,
        platform: Platform,
        library: Library,
        (name, how): (&str, &str),
        more: Value,
    ) -> Self {
        let driver = Driver::start(library, name);
        let username = name.to_lowercase();
        let folder = tempfile::tempdir().expect("a folder");
        let mut words = json!({ "server": server.url(platform), "username": username, "password": PASSWORD });
        if more["encrypted"] == true {
            words["store"] = json!(folder.path());
        }
        if library == Library::Sliding {
            words["sync"] = json!("sliding");
        }
        for (key, value) in more.as_object().expect("words are an object") {
            words[key] = value.clone();
        }
        let session =
            driver.command(how, words).unwrap_or_else(|refusal| panic!("{name} {how}: {refusal:?}"));
        Self::listening((platform, library, name), driver, folder, &session)
    }

    /// Starts to listen with a session that has begun, of somebody whose user id is made of the name.
    pub(crate) fn listening(
        (platform, library, name): (Platform, Library, &str),
        driver: Driver,
        folder: TempDir,
        session: &Value,
    ) -> Self {
        assert_eq!(session["user"], format!("@{}:{}", name.to_lowercase(), platform.server_name()));
        Self::with_any_id((platform, library, name), driver, folder, session)
    }

    /// The same, whatever the user id is.
    pub(crate) fn with_any_id(
        (platform, library, name): (Platform, Library, &str),
        driver: Driver,
        folder: TempDir,
        session: &Value,
    ) -> Self {
        let text = |key: &str| session[key].as_str().expect("a session says who and how").to_owned();
        let (id, token, device) = (text("user"), text("token"), text("device"));
        let (seen, memberships) = Default::default();
        let name = name.to_owned();
        let person = Self { name, platform, library, id, token, device, driver, folder, seen, memberships };
        person.does("start", json!({}));
        person
    }

    /// Does something that has to work.
    pub(crate) fn does(&self, name: &str, words: Value) -> Value {
        let told = words.to_string();
        self.tries(name, words)
            .unwrap_or_else(|refusal| panic!("{} could not {name} {told}: {refusal:?}", self.name))
    }

    /// Does something that may not work.
    pub(crate) fn tries(&self, name: &str, words: Value) -> Result<Value, Refusal> {
        self.driver.command(name, words)
    }

    /// Does something that the server has to refuse with this code.
    pub(crate) fn is_refused(&self, code: &str, name: &str, words: Value) {
        match self.tries(name, words) {
            Ok(answer) => panic!("{} could {name}: {answer}", self.name),
            Err(refusal) => assert_eq!(refusal.code, code, "{} {name}: {}", self.name, refusal.message),
        }
    }

    pub(crate) fn sends(&self, name: &str, words: Value) -> String {
        self.does(name, words).as_str().expect("what is sent has an id").to_owned()
    }

    // Doing

    pub(crate) fn creates_room(&self, words: Value) -> String {
        let mut all = json!({
            "name": null, "topic": null, "invite": [], "direct": false, "public": false, "space": false, "alias": null,
        });
        for (key, value) in words.as_object().expect("a room is described by an object") {
            all[key] = value.clone();
        }
        self.sends("create_room", all)
    }

    pub(crate) fn joins(&self, room: &str) -> String {
        self.sends("join", json!({ "room": room }))
    }

    pub(crate) fn leaves(&self, room: &str) {
        self.does("leave", json!({ "room": room }));
    }

    pub(crate) fn invites(&self, room: &str, who: &Self) {
        self.does("invite", json!({ "room": room, "user": who.id }));
    }

    pub(crate) fn says(&self, room: &str, body: &str) -> String {
        self.sends("send_text", json!({ "room": room, "body": body, "mentions": [] }))
    }

    pub(crate) fn says_to(&self, room: &str, whom: &Self, body: &str) -> String {
        self.sends("send_text", json!({ "room": room, "body": body, "mentions": [whom.id] }))
    }

    pub(crate) fn replies(&self, room: &str, event: &str, body: &str) -> String {
        self.sends("reply", json!({ "room": room, "event": event, "body": body }))
    }

    /// Replies in the thread of `root`, after its message `latest`.
    pub(crate) fn replies_in_thread(&self, room: &str, root: &str, latest: &str, body: &str) -> String {
        self.sends("reply_in_thread", json!({ "room": room, "root": root, "latest": latest, "body": body }))
    }

    pub(crate) fn reacts(&self, room: &str, event: &str, key: &str) -> String {
        self.sends("react", json!({ "room": room, "event": event, "key": key }))
    }

    pub(crate) fn edits(&self, room: &str, event: &str, body: &str) -> String {
        self.sends("edit", json!({ "room": room, "event": event, "body": body }))
    }

    pub(crate) fn redacts(&self, room: &str, event: &str, reason: &str) -> String {
        self.sends("redact", json!({ "room": room, "event": event, "reason": reason }))
    }

    pub(crate) fn shows_picture(&self, room: &str, picture: &Picture) -> String {
        let Picture { mxc, name, mimetype, size, width, height } = picture;
        let words = json!({
            "room": room, "mxc": mxc, "name": name, "mimetype": mimetype, "size": size, "width": width,
            "height": height,
        });
        self.sends("send_image", words)
    }

    pub(crate) fn sets_state(&self, room: &str, kind: &str, state_key: &str, content: Value) -> String {
        let words = json!({ "room": room, "type": kind, "state_key": state_key, "content": content });
        self.sends("set_state", words)
    }

    pub(crate) fn types(&self, room: &str) {
        self.does("typing", json!({ "room": room, "on": true }));
    }

    pub(crate) fn stops_typing(&self, room: &str) {
        self.does("typing", json!({ "room": room, "on": false }));
    }

    /// Reads as far as `event`, and lets everybody know. `thread` is None, `main`, or the thread's root.
    pub(crate) fn reads(&self, room: &str, event: &str, thread: Option<&str>) {
        self.does("receipt", json!({ "room": room, "event": event, "private": false, "thread": thread }));
    }

    /// Reads as far as `event`, and keeps it private.
    pub(crate) fn reads_in_private(&self, room: &str, event: &str) {
        self.does("receipt", json!({ "room": room, "event": event, "private": true, "thread": null }));
    }

    // Seeing

    /// Waits for an event, after all that this person was asked about before. Returns the event.
    pub(crate) fn sees(&self, room: &str, event: &str) -> Value {
        let found = self.driver.wait(&format!("the event {event} in {room}"), |heard| {
            let mut all = heard.events.iter().enumerate();
            let (at, found) = all.find(|(_, said)| is_event(said, room, event))?;
            Some((at + 1, found["item"].clone()))
        });
        let (at, item) = found;
        assert!(at >= self.seen.get(), "{} saw {event} too early: {item}", self.name);
        self.seen.set(at);
        item
    }

    /// Waits for a text from somebody.
    pub(crate) fn sees_text(&self, room: &str, event: &str, who: &str, body: &str) -> Value {
        let item = self.sees(room, event);
        assert_eq!(item["type"], "m.room.message", "{}: {item}", self.name);
        assert_eq!(item["sender"], who, "{}: {item}", self.name);
        assert_eq!(item["content"]["body"], body, "{}: {item}", self.name);
        item
    }

    /// Waits for an event that relates to another.
    pub(crate) fn sees_relation(&self, room: &str, event: &str, kind: &str, to: &str) -> Value {
        let item = self.sees(room, event);
        let relation = &item["content"]["m.relates_to"];
        assert_eq!(relation["rel_type"], kind, "{}: {item}", self.name);
        assert_eq!(relation["event_id"], to, "{}: {item}", self.name);
        item
    }

    /// Waits for a change of somebody's membership, after those that were seen before. Returns the event.
    pub(crate) fn sees_membership(&self, room: &str, who: &str, membership: &str, by: &str) -> Value {
        let what = format!("{who} to be {membership} in {room} by {by}");
        let mut memberships = self.memberships.borrow_mut();
        let after = memberships.entry((room.to_owned(), who.to_owned())).or_default();
        self.driver.wait(&what, |heard| {
            let mut later = heard.events.iter().enumerate().skip(*after);
            let (at, said) = later.find(|(_, said)| {
                let item = &said["item"];
                said["event"] == "timeline"
                    && said["room"] == room
                    && item["type"] == "m.room.member"
                    && item["state_key"] == who
                    && item["sender"] == by
                    && item["content"]["membership"] == membership
            })?;
            *after = at + 1;
            Some(said["item"].clone())
        })
    }

    /// Waits until the library's description of the room has this, with all that was seen before. What is not
    /// asked about may be anything.
    pub(crate) fn finds(&self, room: &str, expected: &Value) {
        self.driver.wait(&format!("{room} to be {expected}"), |heard| {
            let is_current = heard.synced >= self.seen.get();
            heard.rooms.get(room).filter(|state| is_current && includes(state, expected)).map(drop)
        });
    }

    /// Waits for the counts of unread events.
    pub(crate) fn has_unread(&self, room: &str, notifications: u64, highlights: u64) {
        self.finds(room, &json!({ "notifications": notifications, "highlights": highlights }));
    }

    /// Waits for a receipt.
    pub(crate) fn sees_receipt(&self, room: &str, who: &str, event: &str, kind: &str, thread: Option<&str>) {
        let what = format!("a receipt {kind} of {who} in {thread:?} at {event}");
        self.driver.wait(&what, |heard| {
            let mut receipts = heard.events.iter().filter(|said| said["event"] == "receipt");
            receipts
                .any(|said| {
                    said["room"] == room
                        && said["user"] == who
                        && said["id"] == event
                        && said["kind"] == kind
                        && said["thread"].as_str() == thread
                })
                .then_some(())
        });
    }

    /// Whether any receipt of this kind by somebody was seen until now.
    pub(crate) fn has_seen_receipt_of(&self, who: &str, kind: &str) -> bool {
        self.driver.look(|heard| {
            let mut receipts = heard.events.iter().filter(|said| said["event"] == "receipt");
            receipts.any(|said| said["user"] == who && said["kind"] == kind)
        })
    }

    /// Whether an event was seen until now.
    pub(crate) fn has_seen(&self, room: &str, event: &str) -> bool {
        self.driver.look(|heard| heard.events.iter().any(|said| is_event(said, room, event)))
    }

    /// How many events of a room's timeline were seen, including those that came again.
    pub(crate) fn timeline_length(&self, room: &str) -> usize {
        let is_item = |said: &&Value| said["event"] == "timeline" && said["room"] == room;
        self.driver.look(|heard| heard.events.iter().filter(is_item).count())
    }

    /// The ids of all messages of a room that were seen, in their order.
    pub(crate) fn messages_seen(&self, room: &str) -> Vec<String> {
        self.driver.look(|heard| {
            let items =
                heard.events.iter().filter(|said| said["event"] == "timeline" && said["room"] == room);
            let messages = items.filter(|said| said["item"]["type"] == "m.room.message");
            messages.filter_map(|said| said["item"]["event_id"].as_str()).map(ToOwned::to_owned).collect()
        })
    }

    /// Waits for account data.
    pub(crate) fn sees_account_data(&self, kind: &str, content: &Value) {
        self.driver.wait(&format!("account data {kind}: {content}"), |heard| {
            let mut all = heard.events.iter().filter(|said| said["event"] == "account_data");
            all.any(|said| said["type"] == kind && said["content"] == *content).then_some(())
        });
    }

    /// Finds somebody in the directory, who has this name now.
    pub(crate) fn finds_person(&self, term: &str, who: &Self, name: &str) {
        let found = self.does("find_people", json!({ "term": term }));
        let found = found.as_array().expect("people are a list");
        let one = found.iter().find(|one| one["user"] == who.id.as_str());
        let one = one.unwrap_or_else(|| panic!("{} did not find {}: {found:?}", self.name, who.id));
        assert_eq!(one["name"], name);
    }

    /// All events of a room that `/messages` gives, by pages, the newest first.
    pub(crate) fn looks_back(&self, room: &str, page: usize) -> Vec<Value> {
        let (mut all, mut start) = (Vec::new(), Value::Null);
        loop {
            let words = json!({ "room": room, "start": start, "limit": page });
            let mut answer = self.does("messages", words);
            let Value::Array(events) = answer["events"].take() else { panic!("a page is a list: {answer}") };
            assert!(events.len() <= page, "a page of {} where {page} were asked for", events.len());
            all.extend(events);
            start = answer["end"].take();
            if start.is_null() {
                return all;
            }
        }
    }
}

fn is_event(said: &Value, room: &str, event: &str) -> bool {
    said["event"] == "timeline" && said["room"] == room && said["item"]["event_id"] == event
}
