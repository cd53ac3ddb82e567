//! Very many devices of one person, and messages that wait for them.

use linkspan_tests::{
    INSTAGRAM, MESSENGER, Server,
    household::{Person, Town},
};
use rand::{RngExt, distr::Alphanumeric};
use serde_json::{Value, json};

use crate::{LONG, MIB, request};

/// How often somebody logs in.
const LOG_INS: usize = 230;
/// How many devices a person has at most.
const DEVICES: usize = 200;
/// How many messages go to all of them. Copies for each device would have 600 MB.
const MESSAGES: usize = 50;
/// How much more memory, and how much more of the disk, they may take, in bytes.
const MOST: u64 = 128 * MIB;
/// How many such messages of a stranger wait for a device: a MiB of them.
const OF_A_STRANGER: usize = (1 << 20) / LONG;

/// A text that the store cannot keep in less than three quarters of its length.
fn noise() -> String {
    rand::rng().sample_iter(Alphanumeric).take(LONG).map(char::from).collect()
}

fn try_send(town: &Town, from: &Person, to: &Person) -> linkspan_tests::http1::Answer {
    let body = json!({ "messages": { &to.user_id: { "*": { "body": noise() } } } });
    let path = format!("/v3/sendToDevice/org.example.hello/{}", town.fresh());
    town.ask(from.platform, &request("PUT", &path, Some(from)).json(body.to_string()))
}

/// How many messages of a sender wait for a device, which takes them all.
fn received(town: &Town, who: &Person, from: &Person) -> usize {
    let (mut path, mut count) = ("/v3/sync".to_owned(), 0);
    loop {
        let synced = town.does(who, "GET", &path, &json!({}));
        let events = synced["to_device"]["events"].as_array().cloned().unwrap_or_default();
        if events.is_empty() {
            return count;
        }
        assert!(events.iter().map(Value::to_string).map(|event| event.len()).sum::<usize>() < 2 << 20);
        count += events.iter().filter(|event| event["sender"] == *from.user_id).count();
        path = format!("/v3/sync?since={}", synced["next_batch"].as_str().expect("a token"));
    }
}

#[test]
fn messages_to_very_many_devices_take_little() {
    let mut server = Server::start();
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "the first");
    let mut devices: Vec<_> = (0..LOG_INS).map(|_| town.log_in(INSTAGRAM, "anna")).collect();
    let newest = devices.pop().expect("there are many");
    let listed = town.does(&newest, "GET", "/v3/devices", &json!({}));
    assert_eq!(listed["devices"].as_array().map(Vec::len), Some(DEVICES));
    let gone = town.ask(INSTAGRAM, &request("GET", "/v3/account/whoami", Some(&anna)));
    assert_eq!((gone.status, gone.errcode().as_str()), (401, "M_UNKNOWN_TOKEN"), "the oldest has given way");

    let ((before, _), stored_before) = (server.memory_bytes(), server.stored_bytes());
    for _ in 0..MESSAGES {
        let answer = try_send(&town, &newest, &newest);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let (_, most) = server.memory_bytes();
    let (more, stored) = (most.saturating_sub(before), server.stored_bytes().saturating_sub(stored_before));
    println!("{} MiB more memory, {} MiB more of the disk", more / MIB, stored / MIB);
    assert!(more < MOST && stored < MOST, "{} MiB of memory, {} MiB of the disk", more / MIB, stored / MIB);
    // Each device has them all, in pages.
    for device in [&newest, devices.last().expect("there are many")] {
        assert_eq!(received(&town, device, &newest), MESSAGES);
    }
    server.check_health();
}

#[test]
fn a_stranger_fills_a_share_of_a_queue_and_who_is_ignored_nothing() {
    let mut server = Server::start();
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let bert = town.register(MESSENGER, "bert", "a phone");
    let carl = town.register(MESSENGER, "carl", "a phone");
    // Carl is in nobody's way, and nobody in his.
    assert_eq!(try_send(&town, &carl, &anna).status, 200);
    for _ in 0..10 * OF_A_STRANGER {
        assert_eq!(try_send(&town, &bert, &anna).status, 200);
    }
    let waits = received(&town, &anna, &bert);
    assert!((OF_A_STRANGER / 2..=OF_A_STRANGER).contains(&waits), "{waits} messages of his wait");

    let path = format!("/v3/user/{}/account_data/m.ignored_user_list", anna.user_id);
    town.does(&anna, "PUT", &path, &json!({ "ignored_users": { &bert.user_id: {} } }));
    let stored_before = server.stored_bytes();
    for _ in 0..20 * OF_A_STRANGER {
        assert_eq!(try_send(&town, &bert, &anna).status, 200, "the sender learns nothing of it");
    }
    let stored = server.stored_bytes().saturating_sub(stored_before);
    assert!(stored < 4 * MIB, "{stored} bytes of what nobody reads");
    assert_eq!(received(&town, &anna, &bert), 0);
    assert_eq!(try_send(&town, &carl, &anna).status, 200);
    assert_eq!(received(&town, &anna, &carl), 1);
    server.check_health();
}
