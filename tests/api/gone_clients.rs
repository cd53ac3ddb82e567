//! Clients that go away before they are answered. What they asked for is done to its end all the same.

use std::time::Instant;

use linkspan_storage::{Faults, Memory};
use serde_json::json;

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, PATIENCE, text};

/// Asks until the answer is as it should be.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come");
        tokio::task::yield_now().await;
    }
}

async fn name_in(room: &str, of: &Client, seen_by: &Client) -> String {
    let path = format!("/v3/rooms/{room}/state/m.room.member/{}", of.user_id);
    text(&seen_by.get(&path).await.ok()["displayname"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_begun_is_finished_though_nobody_waits() {
    let memory = Memory::with_faults(Faults::default()).expect("memory opens");
    let network = Network::over_memory(&memory).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let mut rooms = Vec::new();
    for _ in 0..5 {
        let room = bert.create_room(json!({ "invite": [anna.user_id] })).await;
        anna.join(&room).await.ok();
        rooms.push(room);
    }
    network.flush().await;

    // It has begun, and cannot be done, when the client goes.
    let held = memory.hold_disk().expect("there is a disk");
    let asking = anna.clone();
    let request = tokio::spawn(async move {
        let path = format!("/v3/profile/{}/displayname", asking.user_id);
        asking.put(&path, json!({ "displayname": "Wharf" })).await
    });
    let held = tokio::task::spawn_blocking(move || {
        held.wait_for_write();
        held
    });
    let held = held.await.expect("a write waits");
    request.abort();
    assert!(request.await.expect_err("it was cut off").is_cancelled());
    drop(held);

    for room in &rooms {
        until("the name", async || name_in(room, &anna, &bert).await == "Wharf").await;
    }
}
