//! How long connections of sliding sync are kept.

use std::{collections::BTreeMap, time::Duration};

use linkspan_accounts::hash_token;
use linkspan_storage::{
    Faults, Memory,
    catalogue::{SlidingConnections, SlidingRooms},
};
use linkspan_sync::{Extensions, SlidingRequest};
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, bodies, text};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

async fn ask(client: &Client, conn_id: &str, pos: Option<&Value>) -> Answer {
    let wanted = json!({ "ranges": [[0, 9]], "timeline_limit": 5, "required_state": [] });
    let body = json!({ "conn_id": conn_id, "lists": { "all": wanted } });
    let pos = pos.map(|pos| format!("?pos={}", text(pos))).unwrap_or_default();
    client.post(&format!("/unstable/org.matrix.simplified_msc3575/sync{pos}"), body).await
}

/// The number of connections, and the number of rooms on them.
async fn kept(network: &Network) -> (usize, usize) {
    (network.rows::<SlidingConnections>().await, network.rows::<SlidingRooms>().await)
}

/// Two people who share a room in which something was said.
async fn two(network: &Network) -> (Client, Client, String) {
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    anna.say(&room, "hello").await;
    (anna, ben, room)
}

#[tokio::test]
async fn connections_that_nobody_uses_are_forgotten() {
    let network = Network::open().await;
    let (anna, ben, room) = two(&network).await;
    let pos = ask(&ben, "old", None).await.ok()["pos"].clone();
    assert_eq!(kept(&network).await, (1, 1));
    assert_eq!(network.app.sync.forget_connections(now_ts() - DAY_MS).await.expect("it works"), 0);
    ask(&ben, "old", Some(&pos)).await.ok();

    // The time is later than everything up to here. Then somebody comes.
    let before_ts = now_ts() + 1;
    while now_ts() < before_ts {
        tokio::task::yield_now().await;
    }
    let other = ask(&anna, "new", None).await.ok()["pos"].clone();
    assert_eq!(kept(&network).await, (2, 2));
    assert_eq!(network.app.sync.forget_connections(before_ts).await.expect("it works"), 1);
    assert_eq!(kept(&network).await, (1, 1));
    ask(&anna, "new", Some(&other)).await.ok();
    ask(&ben, "old", Some(&pos)).await.fails(400, "M_UNKNOWN_POS");
    let after = network.reopen().await;
    ask(&ben.on(&after), "old", Some(&pos)).await.fails(400, "M_UNKNOWN_POS");
    assert_eq!(kept(&network).await, (1, 1), "what is refused leaves nothing");

    let answer = ask(&ben.on(&after), "old", None).await.ok();
    let told = &answer["rooms"][&room];
    assert_eq!((&told["initial"], bodies(&told["timeline"])), (&json!(true), vec!["hello".to_owned()]));
    ask(&ben.on(&after), "old", Some(&answer["pos"])).await.ok();
}

#[tokio::test]
async fn a_use_keeps_a_connection() {
    let network = Network::open().await;
    let (_, ben, _) = two(&network).await;
    let began_ts = now_ts();
    let answer = ask(&ben, "old", None).await.ok();
    let request = SlidingRequest {
        user_id: ben.user_id.as_str().try_into().expect("a user id"),
        device_id: ben.device_id.as_str().into(),
        token_hash: hash_token(&ben.token),
        conn_id: "old".to_owned(),
        pos: Some(text(&answer["pos"]).parse().expect("a token")),
        timeout: Duration::ZERO,
        lists: BTreeMap::new(),
        subscriptions: BTreeMap::new(),
        extensions: Extensions::default(),
    };
    network.app.sync.sliding_sync(&request, || began_ts + 29 * DAY_MS).await.expect("it answers");
    network.flush().await;
    let after = network.reopen().await;
    for (days, forgotten) in [(1, 0), (28, 0), (30, 1)] {
        let found = after.app.sync.forget_connections(began_ts + days * DAY_MS).await;
        assert_eq!(found.expect("it works"), forgotten, "{days} days");
    }
    assert_eq!(kept(&after).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_out_is_on_disk_before_the_answer() {
    let memory = Memory::with_faults(Faults::default()).expect("memory opens");
    let network = Network::over_memory(&memory).await;
    let (anna, ben, room) = two(&network).await;
    let pos = ask(&ben, "a", None).await.ok()["pos"].clone();
    // It is in no list any more, and has news.
    let request = json!({ "conn_id": "a" });
    let path = format!("/unstable/org.matrix.simplified_msc3575/sync?pos={}", text(&pos));
    anna.say(&room, "missed").await;
    network.flush().await;

    let held = memory.hold_disk().expect("there is a disk");
    let asking = ben.clone();
    let answer = tokio::spawn(async move { asking.post(&path, request).await });
    let held = tokio::task::spawn_blocking(move || {
        held.wait_for_write();
        held
    });
    let held = held.await.expect("a write waits");
    for _ in 0..50 {
        anna.get("/v3/account/whoami").await.ok();
        assert!(!answer.is_finished(), "a crash would lose what the client was told");
    }
    drop(held);
    let pos = answer.await.expect("nobody ends it").ok()["pos"].clone();

    let memory = memory.reopen().expect("memory opens");
    let after = Network::over_memory(&memory).await;
    let answer = ask(&ben.on(&after), "a", Some(&pos)).await.ok();
    assert_eq!(bodies(&answer["rooms"][&room]["timeline"]), ["missed"]);
}

#[tokio::test]
async fn connections_go_with_their_device() {
    let network = Network::open().await;
    let (anna, ben, room) = two(&network).await;
    let phone = ben.another_device().await;
    for conn_id in ["a", "b"] {
        ask(&phone, conn_id, None).await.ok();
    }
    let pos = ask(&ben, "a", None).await.ok()["pos"].clone();
    assert_eq!(kept(&network).await, (3, 3));
    phone.post("/v3/logout", json!({})).await.ok();
    assert_eq!(kept(&network).await, (1, 1));
    anna.say(&room, "still there?").await;
    let answer = ask(&ben, "a", Some(&pos)).await.ok();
    assert_eq!(bodies(&answer["rooms"][&room]["timeline"]), ["still there?"]);

    let auth = json!({
        "type": "m.login.password", "password": crate::network::PASSWORD,
        "identifier": { "type": "m.id.user", "user": ben.user_id },
    });
    let tablet = ben.another_device().await;
    ask(&tablet, "a", None).await.ok();
    let path = format!("/v3/devices/{}", tablet.device_id);
    let body = json!({ "devices": [tablet.device_id], "auth": auth });
    assert_eq!(ben.get(&path).await.ok()["device_id"], json!(tablet.device_id));
    ben.post("/v3/delete_devices", body).await.ok();
    assert_eq!(kept(&network).await, (1, 1));
}
