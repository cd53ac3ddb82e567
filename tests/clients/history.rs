//! People who come late can read as much as the room allows.

use serde_json::json;

use linkspan_tests::{
    Platform::{Instagram, Messenger, Whatsapp},
    Server,
};

use crate::{
    driver::Library::{Js, Nio, Rust, Sliding},
    person::Person,
};

/// Runs all parts of the test.
pub(crate) fn all(server: &Server) {
    let anna = Person::with_encryption(server, Whatsapp, Rust, "Anna");
    let ben = Person::with_encryption(server, Instagram, Js, "Ben");
    let chloe = Person::with_encryption(server, Messenger, Js, "Chloe");
    let dan = Person::with_encryption(server, Messenger, Nio, "Dan");
    let edda = Person::with_encryption(server, Instagram, Sliding, "Edda");
    // The keys of what was said before are given only to signed devices.
    for person in [&anna, &ben, &chloe, &edda] {
        person.gets_identity();
    }
    for visibility in ["shared", "invited", "joined"] {
        for (host, guest) in [(&anna, &chloe), (&ben, &edda), (&anna, &dan)] {
            come_late(host, if host.id == anna.id { &ben } else { &anna }, guest, visibility);
        }
    }
}

/// A case: a room that somebody joins late.
struct Line<'a> {
    who: &'a Person,
    event: String,
    body: &'static str,
}

fn say<'a>(room: &str, who: &'a Person, body: &'static str) -> Line<'a> {
    Line { who, event: who.says(room, body), body }
}

fn come_late(host: &Person, other: &Person, guest: &Person, visibility: &str) {
    let words = json!({ "name": visibility, "history_visibility": visibility });
    let room = host.gathers(words, &[other]);
    let early = [say(&room, host, "Early"), say(&room, other, "Early too")];
    for line in &early {
        for reader in [host, other] {
            reader.reads_text(&room, &line.event, line.who, line.body);
        }
    }

    host.invites(&room, guest);
    for person in [host, other] {
        person.finds(&room, &json!({ "members": { &guest.id: { "membership": "invite" } } }));
        person.knows_device(guest);
    }
    let invited = [say(&room, host, "You are invited"), say(&room, other, "Come")];
    for line in &invited {
        for reader in [host, other] {
            reader.reads_text(&room, &line.event, line.who, line.body);
        }
    }

    guest.comes(&room);
    for person in [host, other, guest] {
        person.knows_room(&room, &[host, other, guest]);
    }
    let late = [say(&room, host, "Welcome"), say(&room, guest, "Thanks"), say(&room, other, "Hello")];
    for line in &late {
        for reader in [host, other, guest] {
            reader.reads_text(&room, &line.event, line.who, line.body);
        }
    }

    // matrix-nio does not take the keys of earlier messages from the person who invites.
    let takes_keys = guest.knows_identities();
    let readable = |lines: &[Line<'_>]| lines.iter().map(|line| (line.event.clone(), line.body)).collect();
    let mut expected: Vec<(String, &str)> = readable(&late);
    if visibility != "joined" {
        expected.append(&mut readable(&invited));
    }
    if visibility == "shared" && takes_keys {
        expected.append(&mut readable(&early));
    }
    guest.reads_back(&room, &expected);

    let all = guest.remembers(&room);
    let find = |line: &Line<'_>| all.iter().find(|one| one["event_id"] == line.event.as_str());
    let is_hidden = |line: &Line<'_>| find(line).is_none();
    let is_closed = |line: &Line<'_>| find(line).is_some_and(|one| one["type"] == "m.room.encrypted");
    assert_eq!(early.iter().all(is_hidden), visibility != "shared", "{visibility}: {all:?}");
    assert_eq!(invited.iter().all(is_hidden), visibility == "joined", "{visibility}: {all:?}");
    if visibility == "shared" && !takes_keys {
        assert!(early.iter().all(is_closed), "{} could decrypt: {all:?}", guest.name);
    }
}
