//! A browser that closes the database under the library. The person's driver reloads, and nothing is lost or
//! done twice.

use serde_json::json;

use linkspan_tests::{
    Platform::{Messenger, Whatsapp},
    Server,
};

use crate::{
    driver::Library::{Chromium, Rust},
    person::Person,
};

/// Runs all parts of the test.
pub(crate) fn all(server: &Server) {
    let anna = Person::with_encryption(server, Messenger, Chromium, "Anna");
    let ben = Person::with_encryption(server, Whatsapp, Rust, "Ben");
    let both = [&anna, &ben];
    let room = anna.gathers(json!({ "name": "Harbour" }), &[&ben]);
    talk(both, &room);

    anna.does("close_databases", json!({}));
    talk(both, &room);

    // It closes before anything was done, so it is done again, once.
    let other = anna.gathers(json!({ "name": "Quay" }), &[&ben]);
    anna.does("close_databases", json!({ "at": "/sendToDevice/m.room.encrypted/" }));
    let text = anna.says(&other, "Once");
    for person in both {
        person.reads_text(&other, &text, &anna, "Once");
    }

    // It closes after it was done. The page does not know that, so the driver says so and leaves it alone.
    anna.does("close_databases", json!({ "at": "/send/m.room.encrypted/", "after": true }));
    let words = json!({ "room": other, "body": "Perhaps", "mentions": [] });
    let refusal = anna.tries("send_text", words).expect_err("the page never heard the answer");
    assert!(refusal.message.contains("send_text may be done, or not"), "{refusal:?}");
    talk(both, &other);
    let bodies = |person: &Person| -> Vec<String> {
        let all = person.remembers(&other);
        all.iter().filter_map(|event| event["content"]["body"].as_str().map(ToOwned::to_owned)).collect()
    };
    for person in both {
        assert_eq!(bodies(person), ["Once", "Perhaps", "Anna here", "Ben here"], "{}", person.name);
        person.has_read_everything();
    }
    for room in [&room, &other] {
        assert_eq!(anna.secrets_seen(room), ben.secrets_seen(room), "each once, in the same order");
    }
    let reloads =
        anna.driver.look(|heard| heard.events.iter().filter(|said| said["event"] == "reloaded").count());
    assert!(reloads >= 3, "the databases were closed three times");
}

fn talk([anna, ben]: [&Person; 2], room: &str) {
    for speaker in [anna, ben] {
        let body = format!("{} here", speaker.name);
        let text = speaker.says(room, &body);
        for reader in [anna, ben] {
            reader.reads_text(room, &text, speaker, &body);
        }
    }
}
