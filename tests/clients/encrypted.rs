//! Six people talk with encryption on. They do so in pairs, so that each library meets each, and all
//! together.

use std::thread;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use linkspan_tests::{
    Platform::{self, Instagram, Whatsapp},
    Server,
    http1::{Client, Request},
};

use crate::{
    conversation::draw,
    driver::Library::{self, Js, Nio, Sliding},
    person::Person,
    sliding::nothing_is_lost,
};

const NAMES: [&str; 6] = ["Anna", "Ben", "Chloe", "Dan", "Edda", "Fritz"];
/// Which two people have a direct chat, the one who begins it first. Each library meets each other one in
/// both directions, and each pair of platforms occurs.
const PAIRS: [(usize, usize); 8] = [(0, 1), (1, 2), (2, 5), (5, 4), (4, 3), (3, 0), (2, 4), (3, 5)];

/// Runs all parts of the test, with people who each have this library on this platform.
pub(crate) fn all(server: &Server, clients: [(Platform, Library); 6]) {
    let people = sign_up(server, clients);
    let people: Vec<_> = people.iter().collect();
    for (a, b) in PAIRS {
        talk_alone(people[a], people[b]);
    }
    let room = people[0].gathers(json!({ "name": "Ferry" }), &people[1..]);
    talk_about_everything(server, &people, &room);
    for person in people.iter().filter(|person| person.library == Sliding) {
        nothing_is_lost(server, person, &room);
    }
    for person in &people {
        person.has_read_everything();
        assert_eq!(person.secrets_seen(&room), people[0].secrets_seen(&room), "{}", person.name);
    }
    nothing_is_in_clear(server, (people[0].platform, &people[0].token), &room);
    who_cannot_encrypt_is_refused(server, &people);
}

/// Where a platform requires encryption, a client without it may come in and read what is there, but not say
/// anything.
fn who_cannot_encrypt_is_refused(server: &Server, people: &[&Person]) {
    let strict = people.iter().find(|person| person.platform == Whatsapp).expect("somebody is there");
    // matrix-sdk always encrypts.
    for (library, name) in [(Nio, "Gina"), (Js, "Hugo")] {
        let guest = Person::sign_up(server, Instagram, library, name);
        // The server encrypts the room, although nobody asked for it.
        let room = guest.creates_room(json!({ "invite": [strict.id] }));
        strict.comes(&room);
        strict.finds(&room, &json!({ "membership": "join", "encrypted": true }));
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/1");
        let words = json!({ "msgtype": "m.text", "body": "In the clear" }).to_string();
        let request = Request::new("PUT", path).by(Some(&guest.token)).json(words);
        let answer = Client::new(server.address()).ask(Instagram.server_name(), &request).expect("an answer");
        assert_eq!((answer.status, answer.errcode().as_str()), (403, "M_FORBIDDEN"), "{}", answer.text());
        assert_eq!(answer.json()["org.linkspan.rule"], "encryption_required");
        let words = json!({ "room": room, "body": "In the clear", "mentions": [] });
        let refusal = guest.tries("send_text", words).expect_err("it is readable");
        eprintln!("{library:?}: {refusal:?}");
    }
}

/// Everybody sends texts, pictures, replies, reactions, edits and receipts to everybody.
pub(crate) fn talk_about_everything(server: &Server, people: &[&Person], room: &str) {
    everybody_speaks(people, room);
    show_pictures(server, people, room);
    answer_each_other(people, room);
    read(people, room);
}

/// Starts their clients at the same time.
pub(crate) fn sign_up<const N: usize>(server: &Server, clients: [(Platform, Library); N]) -> Vec<Person> {
    thread::scope(|scope| {
        let starting = clients.iter().zip(NAMES).map(|(&(platform, library), name)| {
            scope.spawn(move || Person::with_encryption(server, platform, library, name))
        });
        let starting: Vec<_> = starting.collect();
        starting.into_iter().map(|one| one.join().expect("they sign up")).collect()
    })
}

/// Both say something in a direct chat that the first one begins. Returns the chat.
pub(crate) fn talk_alone(a: &Person, b: &Person) -> String {
    let room = a.gathers(json!({ "direct": true }), &[b]);
    for (one, other) in [(a, b), (b, a)] {
        let body = format!("{} to {}", one.name, other.name);
        let text = one.says(&room, &body);
        for reader in [other, one] {
            reader.reads_text(&room, &text, one, &body);
        }
    }
    room
}

fn everybody_speaks(people: &[&Person], room: &str) {
    for speaker in people {
        let body = format!("{} speaks", speaker.name);
        let text = speaker.says(room, &body);
        for reader in people {
            reader.reads_text(room, &text, speaker, &body);
        }
    }
}

fn show_pictures(server: &Server, people: &[&Person], room: &str) {
    let clear = draw(80, 60);
    let data = BASE64_STANDARD.encode(&clear);
    // There is one person with each library.
    for artist in &people[..3] {
        let picture = artist.sends_picture(room, "quay.png", &data);
        for viewer in people {
            let (_, item) = viewer.reads_secret(room, &picture);
            let content = &item["content"];
            assert_eq!((&content["msgtype"], &content["url"]), (&json!("m.image"), &Value::Null), "{item}");
            let seen = viewer.does("download_encrypted", json!({ "file": content["file"] }));
            assert!(seen["data"] == data, "{} got another picture of {}", viewer.name, artist.name);
            if viewer.library == Sliding {
                viewer.shows_item(room, &picture, &json!({ "kind": "picture", "body": "quay.png" }));
            }
        }
        let (_, item) = artist.reads_secret(room, &picture);
        let mxc = item["content"]["file"]["url"].as_str().expect("a file has a URI");
        let place = mxc.strip_prefix("mxc://").expect("of media");
        let path = format!("/_matrix/client/v1/media/download/{place}");
        let stored = server.get(artist.platform, &path, Some(&artist.token));
        assert_eq!((stored.status, stored.body.len()), (200, clear.len()));
        assert!(stored.body != clear, "the server has the picture of {} in clear", artist.name);
    }
}

fn answer_each_other(people: &[&Person], room: &str) {
    for (number, asking) in people.iter().enumerate() {
        let answering = people[(number + 1) % people.len()];
        let question = asking.says(room, "Ready?");
        answering.reads_text(room, &question, asking, "Ready?");

        let reply = answering.replies(room, &question, "Soon");
        for reader in people {
            let (_, item) = reader.reads_text(room, &reply, answering, "Soon");
            let relation = &item["content"]["m.relates_to"];
            assert_eq!(relation["m.in_reply_to"]["event_id"], question.as_str(), "{}: {item}", reader.name);
        }

        let reaction = asking.reacts(room, &reply, "👍");
        let edit = answering.edits(room, &reply, "Now");
        for reader in people {
            // These libraries send reactions in the clear, because the server has to know what they relate
            // to.
            let (_, item) = reader.opens(room, &reaction);
            let relation = json!({ "rel_type": "m.annotation", "event_id": reply, "key": "👍" });
            assert_eq!(item["content"]["m.relates_to"], relation, "{}: {item}", reader.name);

            let (_, item) = reader.reads_secret(room, &edit);
            assert_eq!(item["content"]["m.new_content"]["body"], "Now", "{}: {item}", reader.name);
            let relation = &item["content"]["m.relates_to"];
            assert_eq!(
                (&relation["rel_type"], &relation["event_id"]),
                (&json!("m.replace"), &json!(reply)),
                "{}: {item}",
                reader.name,
            );
            if reader.library == Sliding {
                let whole = json!({
                    "body": "Now", "edited": true, "reply_to": question, "reactions": { "👍": [asking.id] },
                });
                reader.shows_item(room, &reply, &whole);
            }
        }
    }
}

fn read(people: &[&Person], room: &str) {
    let last = people[0].says(room, "All aboard");
    for reader in &people[1..] {
        reader.reads_text(room, &last, people[0], "All aboard");
        reader.reads(room, &last, None);
    }
    for person in people {
        for reader in &people[1..] {
            person.sees_receipt(room, &reader.id, &last, "m.read", None);
            if person.library == Sliding && person.id != reader.id {
                person.shows_reader(room, &last, reader);
            }
        }
    }
}

/// What the server has of a room tells nothing of what is said there.
pub(crate) fn nothing_is_in_clear(server: &Server, (platform, token): (Platform, &str), room: &str) {
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=200");
    let stored = server.get(platform, &path, Some(token));
    assert_eq!(stored.status, 200, "{}", stored.text());
    let stored = stored.json();
    let events = stored["chunk"].as_array().expect("a page has events");
    let of_type = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert_eq!((of_type("m.room.message"), of_type("m.room.encrypted") > 0), (0, true));
    assert!(events.iter().all(|event| event["content"]["body"].is_null()), "{stored}");
}
