//! People with several devices: how a new one gets what was said, how a lost one is replaced, and how one is
//! removed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use linkspan_tests::{
    PASSWORD,
    Platform::{Instagram, Messenger, Whatsapp},
    Server,
    http1::{Client, Request},
};

use crate::{
    driver::Library::{self, Js, Nio, Rust, Sliding},
    person::Person,
};

const WHO_AM_I: &str = "/_matrix/client/v3/account/whoami";

/// Everybody says something, and every device of everybody reads it.
fn talk(devices: &[&Person], room: &str) -> Vec<(String, &'static str)> {
    let mut said = Vec::new();
    for speaker in devices {
        let text = speaker.says(room, "Here I am");
        for reader in devices {
            reader.reads_text(room, &text, speaker, "Here I am");
        }
        said.push((text, "Here I am"));
    }
    said
}

/// The recovery key, which the person would write down.
fn recovery_key(person: &Person) -> String {
    let made = person.does("enable_recovery", json!({}));
    made["key"].as_str().expect("a key can be written down").to_owned()
}

/// Three people talk, each gets another device in another way, and all six read everything.
pub(crate) fn second_devices(server: &Server) {
    let anna = Person::with_encryption(server, Instagram, Sliding, "Anna");
    let ben = Person::with_encryption(server, Messenger, Js, "Ben");
    let chloe = Person::with_encryption(server, Whatsapp, Nio, "Chloe");
    anna.gets_identity();
    ben.gets_identity();
    let room = anna.gathers(json!({ "name": "Two each" }), &[&ben, &chloe]);
    let mut said = talk(&[&anna, &ben, &chloe], &room);

    // She gets it by what she wrote down.
    let key = recovery_key(&anna);
    anna.does("backed_up", json!({}));
    let annas = anna.on_another_device(server, Library::in_browser());
    annas.does("recover", json!({ "key": key }));
    annas.has_whole_identity();
    annas.reads_back(&room, &said);

    // He compares emoji on both of his devices, and the secrets follow.
    recovery_key(&ben);
    ben.does("backed_up", json!({}));
    let bens = ben.on_another_device(server, Rust);
    ben.knows_device(&bens);
    bens.gets_identity_from(&ben);
    bens.reads_back(&room, &said);

    // The keys come in a file.
    let folder = tempfile::tempdir().expect("a folder");
    let file = json!({ "path": folder.path().join("keys"), "passphrase": PASSWORD });
    chloe.does("export_keys", file.clone());
    let chloes = chloe.on_another_device(server, Nio);
    chloes.does("import_keys", file);
    chloes.reads_back(&room, &said);

    let all = [&anna, &ben, &chloe, &annas, &bens, &chloes];
    for person in all {
        person.knows_room(&room, &all);
    }
    said.extend(talk(&all, &room));
    for person in all {
        person.has_read_everything();
        person.reads_back(&room, &said);
    }
}

/// One device is gone, and another library on a new one reads everything from the backup. Then it goes the
/// other way.
pub(crate) fn lost_devices(server: &Server) {
    let anna = Person::with_encryption(server, Whatsapp, Rust, "Anna");
    let ben = Person::with_encryption(server, Instagram, Js, "Ben");
    let chloe = Person::with_encryption(server, Messenger, Nio, "Chloe");
    for (library, person) in [(Js, anna), (Sliding, ben)] {
        person.gets_identity();
        let key = recovery_key(&person);
        let room = chloe.gathers(json!({ "direct": true }), &[&person]);
        let said = talk(&[&person, &chloe], &room);
        person.does("backed_up", json!({}));
        let version = person.does("backup", json!({}));
        assert!(version["version"].is_string(), "{version}");

        person.does("logout", json!({}));
        chloe.forgets_device(&person);
        let new = person.on_another_device(server, library);
        let closed = new.remembers(&room);
        let is_closed = |(event, _): &(String, &str)| {
            closed.iter().any(|one| one["event_id"] == event.as_str() && one["type"] == "m.room.encrypted")
        };
        assert!(said.iter().all(is_closed), "{} needs no key: {closed:?}", new.name);
        new.does("recover", json!({ "key": key }));
        new.reads_back(&room, &said);
        new.has_whole_identity();
        assert_eq!(new.does("backup", json!({})), version);

        // The new device goes on, and so does the backup.
        chloe.knows_device(&new);
        new.knows_room(&room, &[&new, &chloe]);
        talk(&[&new, &chloe], &room);
        new.does("backed_up", json!({}));
    }
}

/// What is said while somebody has no device is read by their next one, from the dehydrated device that they left.
pub(crate) fn dehydrated_devices(server: &Server) {
    let mut anna = Person::with_encryption(server, Instagram, Js, "Anna");
    let ben = Person::with_encryption(server, Whatsapp, Rust, "Ben");
    anna.gets_identity();
    let key = recovery_key(&anna);
    let room = ben.gathers(json!({ "direct": true }), &[&anna]);
    for body in ["Are you there?", "And now?"] {
        ben.finds_device(&anna);
        anna.does("dehydrate", json!({}));
        anna.does("logout", json!({}));
        ben.forgets_device(&anna);
        let missed = [(ben.says(&room, body), body)];

        anna = anna.on_another_device(server, Js);
        anna.does("recover", json!({ "key": key }));
        let closed = anna.remembers(&room);
        let is_closed =
            |event: &Value| event["event_id"] == missed[0].0 && event["type"] == "m.room.encrypted";
        assert!(closed.iter().any(is_closed), "no key is needed, or nothing is there: {closed:?}");
        anna.does("dehydrate", json!({}));
        anna.reads_back(&room, &missed);
    }
}

/// A device that is removed is out at once, nobody encrypts for it any more, and nothing waits for it.
pub(crate) fn removed_devices(server: &Server) {
    let anna = Person::with_encryption(server, Messenger, Rust, "Anna");
    let ben = Person::with_encryption(server, Whatsapp, Js, "Ben");
    let chloe = Person::with_encryption(server, Instagram, Nio, "Chloe");
    anna.gets_identity();
    let room = ben.gathers(json!({ "name": "Lost and found" }), &[&anna, &chloe]);
    let phone = anna.on_another_device(server, Sliding);
    let all = [&anna, &ben, &chloe, &phone];
    for person in all {
        person.knows_room(&room, &all);
    }
    // Each person says something that all read. Returns the ids of the sessions.
    let sessions = |speakers: &[&Person], readers: &[&Person]| -> Vec<String> {
        let each = speakers.iter().map(|speaker| {
            let text = speaker.says(&room, "Hello");
            let ids: BTreeSet<_> =
                readers.iter().map(|reader| reader.reads_text(&room, &text, speaker, "Hello").0).collect();
            assert_eq!(ids.len(), 1, "{ids:?}");
            ids
        });
        each.flatten().collect()
    };
    let left = [&anna, &ben, &chloe];
    let before = sessions(&left, &all);

    let devices = anna.does("devices", json!({}));
    let named = |device: &Person| {
        devices.as_array().into_iter().flatten().any(|one| {
            let name = format!("Anna's {:?}", device.library);
            one["device"] == device.device.as_str() && one["name"] == name
        })
    };
    assert!(named(&anna) && named(&phone), "{devices}");
    let words = json!({ "device": phone.device, "password": "wrong" });
    assert!(anna.tries("delete_device", words).is_err(), "any password will do");
    anna.does("delete_device", json!({ "device": phone.device, "password": PASSWORD }));
    let why = phone.driver.wait_for_the_end();
    assert!(why.contains("M_UNKNOWN_TOKEN"), "{why}");
    assert_eq!(server.get(phone.platform, WHO_AM_I, Some(&phone.token)).status, 401);
    for person in left {
        person.forgets_device(&phone);
    }
    let after = sessions(&left, &left);
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before, after, "the removed device has the key of what is said now");
    }
    nothing_waits_for(server, &phone);
    for person in left {
        person.has_read_everything();
    }
}

/// Somebody who gets the same device id again finds no message to it, and no keys of it.
fn nothing_waits_for(server: &Server, device: &Person) {
    let host = device.platform.server_name();
    let mut client = Client::new(server.address());
    let mut ask = |request: &Request| {
        let answer = client.ask(host, request).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let identifier = json!({ "type": "m.id.user", "user": device.id });
    let words = json!({
        "type": "m.login.password", "identifier": identifier, "password": PASSWORD, "device_id": device.device,
    });
    let session = ask(&Request::new("POST", "/_matrix/client/v3/login").json(words.to_string()));
    let token = session["access_token"].as_str();
    let sync = ask(&Request::new("GET", "/_matrix/client/v3/sync").by(token));
    let to_device = sync["to_device"]["events"].as_array().map_or(0, Vec::len);
    assert_eq!(to_device, 0, "{}", sync["to_device"]);
    let words = json!({ "device_keys": { &device.id: [device.device] } });
    let query = Request::new("POST", "/_matrix/client/v3/keys/query").by(token).json(words.to_string());
    assert_eq!(ask(&query)["device_keys"][&device.id][&device.device], Value::Null);
}
