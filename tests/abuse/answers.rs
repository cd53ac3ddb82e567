//! Answers that are large, that nobody takes, or that are asked for again and again.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use linkspan_tests::{INSTAGRAM, MESSENGER, Platform, Server, household::Town, http1::Connection};
use serde_json::json;

use crate::{MIB, ask, begin, crowd, fill_state, is_limited, open_room, request, say_at_length};

/// How many connections do not take their answer.
const CONNECTIONS: usize = 70;
/// How many events one asks for. Unbounded, all answers together would have 2.5 GB.
const EVENTS: usize = 600;
/// How many entries the state of the room has. Unbounded, all answers together would have 800 MB.
const ENTRIES: usize = 200;
/// How much more memory the server may take meanwhile, in bytes.
const MOST_MEMORY: u64 = 512 * MIB;
/// The greatest answer to who asks for a page of history, in bytes: a page ends after a MiB, and the last event.
const MOST_PAGE: usize = 1_300_000;
/// How many connections ask again and again.
const LOOPS: usize = 10;

#[test]
fn answers_that_nobody_takes_are_few_in_memory() {
    let _crowd = crowd();
    let mut server = Server::start_with("[platform.limits]\nmessage = 100000.0\nmessage_burst = 100000", &[]);
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let dora = town.register(MESSENGER, "dora", "a phone");
    let room = open_room(&town, &anna);
    say_at_length(&town, &anna, &room, EVENTS);
    fill_state(&town, &anna, &room, ENTRIES);

    for path in [format!("/v3/rooms/{room}/messages?dir=b&limit=1000"), format!("/v3/rooms/{room}/state")] {
        let (before, _) = server.memory_bytes();
        let asked = request("GET", &path, Some(&anna));
        let open = |_| begin(&server, Platform::Instagram, &asked);
        let mut untaken: Vec<Connection> = (0..CONNECTIONS).map(open).collect();
        untaken.iter_mut().for_each(Connection::wait_for_bytes);
        // Somebody on another platform is served.
        town.does(&dora, "GET", "/v3/sync", &json!({}));
        let own = open_room(&town, &dora);
        say_at_length(&town, &dora, &own, 1);
        let (_, most) = server.memory_bytes();
        let more = most.saturating_sub(before);
        assert!(more < MOST_MEMORY, "{path}: {} MiB more", more / MIB);

        // Each has an answer: one of a bounded size, or that there are too many that were not taken.
        let mut taken = 0;
        for connection in &mut untaken {
            let answer = connection.answer().expect("it is answered");
            if answer.status != 200 {
                is_limited(&answer);
                continue;
            }
            taken += 1;
            assert!(path.ends_with("/state") || answer.body.len() < MOST_PAGE, "{} bytes", answer.body.len());
        }
        assert!(taken > 0, "nobody is answered");
        println!("{path}: {} MiB more, {taken} of {CONNECTIONS} are answered", more / MIB);
    }
    server.check_health();
}

#[test]
fn who_asks_for_much_again_and_again_has_used_up_what_there_is() {
    // This is enough for some answers, of which each costs some thousand units.
    let limits = "message = 100000.0\nmessage_burst = 100000\nread = 10.0\nread_burst = 50000";
    let mut server = Server::start_with(&format!("[platform.limits]\n{limits}"), &[]);
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let bert = town.register(INSTAGRAM, "bert", "a phone");
    let carl = town.register(INSTAGRAM, "carl", "a phone");
    let room = open_room(&town, &anna);
    fill_state(&town, &anna, &room, 60);
    say_at_length(&town, &anna, &room, 30);
    town.does(&bert, "POST", &format!("/v3/join/{room}"), &json!({}));

    let page = format!("/v3/rooms/{room}/messages?dir=b&limit=1000");
    for (who, path) in [(&anna, "/v3/sync?full_state=true"), (&bert, page.as_str())] {
        let asked = request("GET", path, Some(who));
        let answered = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..LOOPS {
                scope.spawn(|| {
                    // Others may take what is left between two tries, so that this ends with a refusal for all.
                    loop {
                        let answer = ask(&server, Platform::Instagram, &asked);
                        if answer.status != 200 {
                            is_limited(&answer);
                            break;
                        }
                        assert!(answered.fetch_add(1, Ordering::Relaxed) < 100, "nobody is refused: {path}");
                    }
                });
            }
        });
        let answered = answered.into_inner();
        assert!(answered > 0, "{path}: nobody is answered");
        println!("{path}: {answered} answers before there was nothing left");
        // Writing is not reading, and others have their own.
        say_at_length(&town, who, &room, 1);
        town.does(&carl, "GET", "/v3/sync", &json!({}));
        town.does(who, "POST", "/v3/logout", &json!({}));
    }
    server.check_health();
}
