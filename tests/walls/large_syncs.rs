//! A sync that tells very much is made while it is sent: what the program holds of it does not grow with it.

use linkspan_tests::{
    INSTAGRAM,
    household::{Person, Town, full_path},
    http1::Request,
};
use serde_json::json;

/// The rooms, and how many entries of the state of each nearly fill an event.
const ROOMS: usize = 4;
const ENTRIES: usize = 450;
const ENTRY_BYTES: usize = 60_000;

/// What the program may take for such a sync: some pieces of it, what is kept of the rows, and what the allocator keeps. To be
/// made at once, it takes twice its size.
const MOST_BYTES: usize = 64 << 20;

#[test]
fn a_sync_of_very_much_state_takes_little_memory() {
    let mut server = Town::server();
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let text = "x".repeat(ENTRY_BYTES);
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        let room = town.does(&anna, "POST", "/v3/createRoom", &json!({}))["room_id"].clone();
        let room = room.as_str().expect("a room").to_owned();
        for entry in 0..ENTRIES {
            let path = format!("/v3/rooms/{room}/state/org.example.large/{entry}");
            town.does(&anna, "PUT", &path, &json!({ "text": text }));
        }
        rooms.push(room);
    }
    let anew = town.log_in(INSTAGRAM, "anna");
    // What is kept in memory of rows and events is there from here on.
    check(&town, &anew, "/v3/sync?timeout=0", &rooms);
    let before = server.begin_peak_of_memory();
    let since = check(&town, &anew, "/v3/sync?timeout=0", &rooms);
    check(&town, &anew, &format!("/v3/sync?full_state=true&since={since}"), &rooms);
    // The kernel counts in steps for each thread, so the peak of what did not grow can be a little under what was before.
    let grown = server.peak_of_memory().saturating_sub(before);
    let bytes = ROOMS * ENTRIES * ENTRY_BYTES;
    println!("{grown} more bytes of memory for a sync of {bytes}");
    assert!(grown < MOST_BYTES, "{grown} for {bytes}");
    server.check_health();
}

/// Syncs, and checks that all is told. Returns the token.
fn check(town: &Town, person: &Person, path: &str, rooms: &[String]) -> String {
    let answer = town.ask(person.platform, &Request::new("GET", full_path(path)).by(Some(&person.token)));
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    for room in rooms {
        let state = &answer["rooms"]["join"][room]["state"]["events"];
        let timeline = &answer["rooms"]["join"][room]["timeline"]["events"];
        let all = [state, timeline].into_iter().flat_map(|events| events.as_array().expect("events"));
        let large = all.filter(|event| event["type"] == "org.example.large").count();
        assert_eq!(large, ENTRIES);
    }
    answer["next_batch"].as_str().expect("a token").to_owned()
}
