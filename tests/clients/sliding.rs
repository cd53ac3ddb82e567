//! People with matrix-sdk-ui over sliding sync. The list of rooms and the timelines are right, and go on
//! after the server was killed and started again. This is done by two people, and by a group with people of
//! other libraries.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use linkspan_tests::{
    Platform::{Instagram, Messenger, Whatsapp},
    Server,
};

use crate::{
    conversation::draw,
    driver::Library::{Js, Nio, Sliding},
    encrypted::{sign_up, talk_about_everything},
    person::Person,
};

/// How many events are asked for at a time when looking back. It is more than the rooms have.
const PAGE: u32 = 50;

/// Runs all parts of the test with two people.
pub(crate) fn all(server: &mut Server) {
    let anna = Person::with_encryption(server, Messenger, Sliding, "Anna");
    let ben = Person::with_encryption(server, Whatsapp, Sliding, "Ben");
    let rooms = ["One", "Two", "Three"].map(|name| begin(&ben, &anna, name));
    see_what_is_new(&anna, &ben, &rooms);
    let both = [&anna, &ben];
    talk(both, &rooms[0]);
    read_and_count(&anna, &ben, &rooms);
    restart(server, both, &rooms[0]);
    read_and_count(&anna, &ben, &rooms);
    for person in both {
        nothing_is_lost(server, person, &rooms[0]);
    }
}

/// A group with people of other libraries goes on over a restart of the server, and so do backups of its keys.
pub(crate) fn group(server: &mut Server) {
    let clients = [(Messenger, Sliding), (Instagram, Js), (Messenger, Nio), (Whatsapp, Sliding)];
    let people = sign_up(server, clients);
    let people: Vec<_> = people.iter().collect();
    let (anna, dan) = (people[0], people[3]);
    anna.gets_identity();
    let key = anna.does("enable_recovery", json!({}))["key"].take();
    let room = anna.gathers(json!({ "name": "Ferry" }), &people[1..]);
    talk_about_everything(server, &people, &room);
    anna.does("backed_up", json!({}));

    server.stay();
    server.kill();
    for person in [anna, dan] {
        person.is_offline();
    }
    server.restart();
    talk_about_everything(server, &people, &room);

    anna.does("backed_up", json!({}));
    let annas = anna.on_another_device(server, Sliding);
    annas.does("recover", json!({ "key": key }));
    annas.has_whole_identity();
    let all: Vec<_> = people.iter().copied().chain([&annas]).collect();
    for person in &all {
        person.knows_room(&room, &all);
    }
    talk_about_everything(server, &all, &room);
    for person in [anna, dan, &annas] {
        nothing_is_lost(server, person, &room);
    }
}

impl Person {
    /// Waits until the list of rooms is as expected: the ids, and what is asked of each, in order.
    fn lists(&self, expected: &[Value]) {
        self.driver.wait(&format!("the list of rooms to be {expected:?}"), |heard| {
            let latest = heard.events.iter().rev().find(|said| said["event"] == "list")?;
            let rooms = latest["rooms"].as_array()?;
            let part = |room: &Value, part: &Value| {
                part.as_object().is_some_and(|part| part.iter().all(|(key, part)| room[key] == *part))
            };
            let same = rooms.len() == expected.len() && rooms.iter().zip(expected).all(|(a, b)| part(a, b));
            same.then_some(())
        });
    }

    /// Waits until the timeline of an open room is as expected.
    fn shows<T>(&self, room: &str, what: &str, find: impl Fn(&[Value]) -> Option<T>) -> T {
        self.driver.wait(&format!("{what} in the timeline of {room}"), |heard| {
            let mut told = heard.events.iter().rev();
            let latest = told.find(|said| said["event"] == "items" && said["room"] == room)?;
            find(latest["items"].as_array()?)
        })
    }

    /// Waits until one item of a timeline is as expected.
    pub(crate) fn shows_item(&self, room: &str, event: &str, expected: &Value) {
        self.shows(room, &format!("{event} to be {expected}"), |items| {
            let item = items.iter().find(|item| item["id"] == event)?;
            expected.as_object()?.iter().all(|(key, part)| item[key] == *part).then_some(())
        });
    }

    /// Waits until the timeline shows that somebody has read as far as this event.
    pub(crate) fn shows_reader(&self, room: &str, event: &str, reader: &Self) {
        self.shows(room, &format!("a receipt of {}", reader.name), |items| {
            let item = items.iter().find(|item| item["id"] == event)?;
            item["read_by"].as_array()?.contains(&json!(reader.id)).then_some(())
        });
    }

    fn is_offline(&self) {
        self.driver.wait("to be offline", |heard| {
            let mut told = heard.events.iter().rev();
            (told.find(|said| said["event"] == "service")?["state"] == "offline").then_some(())
        });
    }

    /// Opens the room, with everything in it.
    pub(crate) fn opens_room(&self, room: &str) {
        self.does("open_room", json!({ "room": room }));
        while self.does("paginate", json!({ "room": room, "count": PAGE })) != true {}
    }

    fn is_running_again(&self) {
        self.driver.wait("to be offline and then running", |heard| {
            let states: Vec<_> = heard
                .events
                .iter()
                .filter(|said| said["event"] == "service")
                .filter_map(|said| said["state"].as_str())
                .collect();
            let offline = states.iter().rposition(|state| *state == "offline")?;
            states[offline..].contains(&"running").then_some(())
        });
    }
}

fn begin(host: &Person, guest: &Person, name: &str) -> String {
    let words = json!({ "name": name, "encrypted": true, "invite": [guest.id] });
    let room = host.creates_room(words);
    let listed = |person: &Person, membership: &str| {
        person.driver.wait(&format!("{name} to be {membership}"), |heard| {
            let latest = heard.events.iter().rev().find(|said| said["event"] == "list")?;
            let mut rooms = latest["rooms"].as_array()?.iter();
            let found = rooms.find(|found| found["room"] == room.as_str())?;
            (found["membership"] == membership && found["name"] == name).then_some(())
        });
    };
    listed(guest, "invited");
    guest.joins(&room);
    listed(guest, "joined");
    listed(host, "joined");
    room
}

/// A line of the list.
fn line(room: &str, latest: &str, notifications: u64) -> Value {
    json!({ "room": room, "latest": latest, "notifications": notifications, "encrypted": true })
}

fn see_what_is_new(anna: &Person, ben: &Person, [one, two, three]: &[String; 3]) {
    for (room, body) in [(one, "First"), (three, "Third"), (two, "Second")] {
        ben.says(room, body);
        ben.driver.wait(body, |heard| {
            let latest = heard.events.iter().rev().find(|said| said["event"] == "list")?;
            (latest["rooms"][0]["latest"] == body).then_some(())
        });
    }
    anna.lists(&[line(two, "Second", 1), line(three, "Third", 1), line(one, "First", 1)]);
    ben.lists(&[line(two, "Second", 0), line(three, "Third", 0), line(one, "First", 0)]);
    let again = ben.says(one, "First again");
    anna.lists(&[line(one, "First again", 2), line(two, "Second", 1), line(three, "Third", 1)]);
    for person in [anna, ben] {
        person.opens_room(one);
        person.shows_item(one, &again, &json!({ "kind": "text", "body": "First again", "sender": ben.id }));
    }
}

fn talk([anna, ben]: [&Person; 2], room: &str) {
    let both = [anna, ben];
    let all_show = |event: &str, expected: Value| {
        for person in both {
            person.shows_item(room, event, &expected);
        }
    };
    for (speaker, listener) in [(anna, ben), (ben, anna)] {
        let text = speaker.says(room, "Hello");
        all_show(&text, json!({ "kind": "text", "body": "Hello", "sender": speaker.id }));
        listener.reads(room, &text, None);
        speaker.shows_reader(room, &text, listener);
        listener.reacts(room, &text, "👍");
        all_show(&text, json!({ "reactions": { "👍": [listener.id] } }));
        let reply = listener.replies(room, &text, "Hi");
        all_show(&reply, json!({ "kind": "text", "body": "Hi", "reply_to": text }));
        listener.edits(room, &reply, "Hi there");
        all_show(&reply, json!({ "body": "Hi there", "edited": true, "reply_to": text }));

        let data = BASE64_STANDARD.encode(draw(80, 60));
        let picture = speaker.sends_picture(room, "quay.png", &data);
        all_show(&picture, json!({ "kind": "picture", "body": "quay.png" }));
        let file = listener.shows(room, "the picture", |items| {
            let item = items.iter().find(|item| item["id"] == picture.as_str())?;
            Some(item["file"].clone())
        });
        let seen = listener.does("download_encrypted", json!({ "file": file }));
        assert!(seen["data"] == data, "{} got another picture", listener.name);
    }
}

fn read_and_count(anna: &Person, ben: &Person, [one, two, three]: &[String; 3]) {
    let order =
        |unread: u64| [line(one, "Read this", unread), line(two, "Second", 1), line(three, "Third", 1)];
    let last = ben.says(one, "Read this");
    anna.shows_item(one, &last, &json!({ "body": "Read this" }));
    anna.reads(one, &last, None);
    anna.lists(&order(0));
    let last = ben.says(one, "Read this");
    anna.lists(&order(1));
    anna.reads(one, &last, None);
    anna.lists(&order(0));
}

fn restart(server: &mut Server, [anna, ben]: [&Person; 2], room: &str) {
    server.stay();
    server.kill();
    for person in [anna, ben] {
        let body = format!("{} without a server", person.name);
        person.does("queue_text", json!({ "room": room, "body": body }));
        person.shows(room, &body, |items| {
            items.iter().find(|item| item["body"] == body && item["id"].is_null()).map(drop)
        });
        person.is_offline();
    }
    server.restart();
    for person in [anna, ben] {
        person.is_running_again();
        for other in [anna, ben] {
            let body = format!("{} without a server", other.name);
            person.shows(room, &body, |items| {
                items.iter().find(|item| item["body"] == body && item["id"].is_string()).map(drop)
            });
        }
    }
    for (speaker, listener) in [(anna, ben), (ben, anna)] {
        let text = speaker.says(room, "Still there?");
        for person in [speaker, listener] {
            person.shows_item(room, &text, &json!({ "body": "Still there?", "sender": speaker.id }));
        }
    }
}

/// The timeline has each message of the room once, in the server's order and decrypted, and no error was shown.
pub(crate) fn nothing_is_lost(server: &Server, person: &Person, room: &str) {
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=200");
    let stored = server.get(person.platform, &path, Some(&person.token)).json();
    let messages = stored["chunk"].as_array().expect("a page has events").iter();
    // Edits are shown in the messages that they edit.
    let messages = messages.filter(|event| event["type"] == "m.room.encrypted");
    let messages = messages.filter(|event| event["content"]["m.relates_to"]["rel_type"] != "m.replace");
    let messages: Vec<_> = messages.map(|event| event["event_id"].clone()).collect();
    person.shows(room, "all messages", |items| {
        let shown = items.iter().filter(|item| item["kind"] == "text" || item["kind"] == "picture");
        (shown.map(|item| item["id"].clone()).collect::<Vec<_>>() == messages).then_some(())
    });
    person.driver.look(|heard| {
        let bad = heard.events.iter().filter(|said| {
            said["event"] == "service" && (said["state"] == "error" || said["state"] == "terminated")
        });
        assert_eq!(bad.collect::<Vec<_>>(), Vec::<&Value>::new(), "{}", person.name);
        let latest = heard.events.iter().rev().find(|said| said["event"] == "items" && said["room"] == room);
        let items = latest.and_then(|said| said["items"].as_array()).into_iter().flatten();
        let closed: Vec<_> = items.filter(|item| item["kind"] == "undecryptable").collect();
        assert_eq!(closed, Vec::<&Value>::new(), "{}", person.name);
    });
}
