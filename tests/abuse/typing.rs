//! Somebody who says all the time that they type.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use linkspan_tests::{INSTAGRAM, Platform, Server, household::Town, http1::Client};
use serde_json::json;

use crate::{is_limited, open_room, request};

/// How long somebody types, and how often at least.
const TYPING: Duration = Duration::from_secs(4);
const TIMES: usize = 80;
/// How many changes are told at once, before they are told together.
const AT_ONCE: u64 = 10;
/// How many syncs of one reader tell of typing in a second. Rooms are told once.
const EACH_SECOND: u64 = 2;

#[test]
fn who_types_all_the_time_wakes_others_now_and_then() {
    let limits = "typing = 100000.0\ntyping_burst = 100000\nread = 1000000.0\nread_burst = 100000000";
    let mut server = Server::start_with(&format!("[platform.limits]\n{limits}"), &[]);
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let bert = town.register(INSTAGRAM, "bert", "a phone");
    let room = open_room(&town, &anna);
    town.does(&bert, "POST", &format!("/v3/join/{room}"), &json!({}));

    let started = Instant::now();
    let is_over = AtomicBool::new(false);
    let address = server.addresses()[Platform::Instagram as usize].clone();
    let (told, typed, ended) = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut client, mut since, mut told) = (Client::new(&address), String::new(), 0_u64);
            while !is_over.load(Ordering::Relaxed) {
                let path = format!("/v3/sync?timeout=200{since}");
                let synced =
                    client.ask(INSTAGRAM, &request("GET", &path, Some(&bert))).expect("an answer").json();
                let ephemeral = synced["rooms"]["join"][&room]["ephemeral"]["events"].as_array().cloned();
                let is_typing = |event: &serde_json::Value| event["type"] == "m.typing";
                told += u64::from(ephemeral.unwrap_or_default().iter().any(is_typing));
                since = format!("&since={}", synced["next_batch"].as_str().expect("a token"));
            }
            told
        });
        let (mut typed, path) = (0, format!("/v3/rooms/{room}/typing/{}", anna.user_id));
        while started.elapsed() < TYPING || typed < TIMES {
            town.does(&anna, "PUT", &path, &json!({ "typing": typed % 2 == 0, "timeout": 30_000 }));
            typed += 1;
        }
        let ended = started.elapsed();
        is_over.store(true, Ordering::Relaxed);
        (reading.join().expect("it reads"), typed, ended)
    });
    println!("{told} syncs told of {typed} changes in {ended:.1?}");
    let most = AT_ONCE + EACH_SECOND * (ended.as_secs() + 1);
    assert!((1..=most).contains(&told), "{told} syncs told of {typed} changes, and {most} may");
    server.check_health();
}

#[test]
fn typing_has_a_rate() {
    let mut server = Server::start_with("[platform.limits]\ntyping = 0.001\ntyping_burst = 20", &[]);
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let room = open_room(&town, &anna);
    let path = format!("/v3/rooms/{room}/typing/{}", anna.user_id);
    for number in 0..60 {
        let body = json!({ "typing": number % 2 == 0, "timeout": 30_000 }).to_string();
        let answer = town.ask(INSTAGRAM, &request("PUT", &path, Some(&anna)).json(body));
        match number < 20 {
            true => assert_eq!(answer.status, 200, "{}", answer.text()),
            false => is_limited(&answer),
        }
    }
    server.check_health();
}
