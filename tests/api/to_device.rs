//! Messages to devices.

use linkspan_storage::catalogue::{ToDevice, ToDeviceBodies, ToDeviceBodyUses};
use serde_json::{Map, Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, list, text};

async fn waiting(network: &Network, client: &Client) -> Vec<Value> {
    let user_id = client.user_id.as_str().try_into().expect("a user id");
    let now = network.app.inbox.now().position;
    let waiting = network.app.inbox.to_device(&user_id, &client.device_id.as_str().into(), now).await;
    let (messages, _) = waiting.expect("the queue is read");
    messages.iter().map(|message| serde_json::from_str(&message.json).expect("a message is JSON")).collect()
}

#[tokio::test]
async fn messages_reach_devices_of_other_platforms_once() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let tablet = bert.another_device().await;
    let to = |device: &str, body: &str| {
        let mut devices = json!({});
        devices[device] = json!({ "body": body });
        let mut users = json!({});
        users[&bert.user_id] = devices;
        json!({ "messages": users })
    };

    let path = |txn: usize| format!("/v3/sendToDevice/org.example.hello/{txn}");
    anna.put(&path(1), to("*", "to all")).await.ok();
    anna.put(&path(1), to("*", "to all")).await.ok();
    anna.put(&path(2), to(&tablet.device_id, "to one")).await.ok();
    anna.put(&path(3), to("NOSUCHDEVICE", "to none")).await.ok();
    let to_all = json!({
        "content": { "body": "to all" }, "sender": anna.user_id, "type": "org.example.hello",
    });
    assert_eq!(waiting(&network, &bert).await, std::slice::from_ref(&to_all));
    let of_tablet = waiting(&network, &tablet).await;
    assert_eq!((of_tablet.len(), &of_tablet[0]), (2, &to_all));
    anna.put(&path(4), to("*", &"x".repeat(65_536))).await.fails(413, "M_TOO_LARGE");
}

/// Sends as much in one message as a message may have, to all devices of these people.
async fn try_flood(from: &Client, to: &[&Client], event_type: &str) -> Answer {
    let content = json!({ "body": "x".repeat(60_000) });
    let messages: Map<_, _> =
        to.iter().map(|one| (one.user_id.clone(), json!({ "*": content.clone() }))).collect();
    let path = format!("/v3/sendToDevice/{event_type}/{}", from.next_transaction());
    from.put(&path, json!({ "messages": messages })).await
}

#[tokio::test]
async fn a_long_message_to_many_devices_is_stored_once() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let others = [anna.another_device().await, anna.another_device().await];
    try_flood(&anna, &[&anna], "org.example.hello").await.ok();
    let stored = async || {
        let (rows, uses) = (network.rows::<ToDevice>().await, network.rows::<ToDeviceBodyUses>().await);
        (rows, network.rows::<ToDeviceBodies>().await, uses)
    };
    assert_eq!(stored().await, (3, 1, 1));
    let received = async |device: &Client| {
        let sync = device.get("/v3/sync").await.ok();
        let events = list(&sync["to_device"]["events"]);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["content"]["body"].as_str().map(str::len), Some(60_000));
        device.get(&format!("/v3/sync?since={}", text(&sync["next_batch"]))).await.ok();
    };
    received(&anna).await;
    received(&others[0]).await;
    assert_eq!(stored().await, (1, 1, 1));
    // What waits for a device that is gone is gone with it.
    others[1].post("/v3/logout", json!({})).await.ok();
    assert_eq!(stored().await, (0, 0, 0));
}

#[tokio::test]
async fn a_stranger_fills_only_a_share_of_a_queue() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(MESSENGER, "carl").await;
    let kind = "org.example.hello";
    // A stranger's share is a mebibyte.
    for _ in 0..17 {
        try_flood(&bert, &[&anna], kind).await.ok();
    }
    assert_eq!(network.rows::<ToDevice>().await, 17);
    // After that his oldest messages give way to his newest, an eighth of them at a time.
    let first = "org.example.first";
    try_flood(&bert, &[&anna], "org.example.newest").await.ok();
    assert_eq!(network.rows::<ToDevice>().await, 15);
    // It is in nobody's way: neither in that of others, nor in that of what he sends to others.
    try_flood(&carl, &[&anna], first).await.ok();
    try_flood(&bert, &[&anna, &carl], kind).await.ok();
    for _ in 0..20 {
        try_flood(&bert, &[&anna], kind).await.ok();
    }
    let of_anna = waiting(&network, &anna).await;
    assert_eq!(
        (of_anna[0]["type"].as_str(), of_anna[0]["sender"].as_str()),
        (Some(first), Some(&*carl.user_id))
    );
    assert!((15..=18).contains(&of_anna.len()), "{}", of_anna.len());
    assert_eq!(waiting(&network, &carl).await.len(), 1);
    while network.rows::<ToDevice>().await < 19 {
        try_flood(&bert, &[&anna], kind).await.ok();
    }

    // Who is in a common room has a larger one.
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    try_flood(&bert, &[&anna], kind).await.ok();
    assert_eq!(network.rows::<ToDevice>().await, 20);

    // After a restart it is counted anew.
    bert.leave(&room).await.ok();
    let again = network.reopen().await;
    let (anna, bert) = (anna.on(&again), bert.on(&again));
    try_flood(&bert, &[&anna], kind).await.fails(429, "M_LIMIT_EXCEEDED");
    let sync = anna.get("/v3/sync").await.ok();
    anna.get(&format!("/v3/sync?since={}", text(&sync["next_batch"]))).await.ok();
    try_flood(&bert, &[&anna], kind).await.ok();
}

#[tokio::test]
async fn large_messages_come_in_pages() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for _ in 0..40 {
        try_flood(&anna, &[&anna], "org.example.hello").await.ok();
    }
    let (mut path, mut pages) = ("/v3/sync".to_owned(), Vec::new());
    while pages.iter().sum::<usize>() < 40 {
        let sync = anna.get(&path).await.ok();
        pages.push(list(&sync["to_device"]["events"]).len());
        path = format!("/v3/sync?since={}", text(&sync["next_batch"]));
    }
    assert_eq!(pages, [17, 17, 6]);
}

#[tokio::test]
async fn what_would_never_be_handed_over_is_not_stored() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let sends = async |event_type: &str| {
        let before = network.rows::<ToDevice>().await;
        try_flood(&bert, &[&anna], event_type).await.ok();
        network.rows::<ToDevice>().await - before
    };
    let sets = async |what: &str, content: Value| {
        anna.put(&format!("/v3/user/{}/account_data/{what}", anna.user_id), content).await.ok();
    };
    let (hello, keys) = ("org.example.hello", "m.room.encrypted");
    assert_eq!((sends(hello).await, sends(keys).await), (1, 1));
    sets("m.ignored_user_list", json!({ "ignored_users": { &bert.user_id: {} } })).await;
    assert_eq!((sends(hello).await, sends(keys).await), (0, 0));
    // The keys are for what is said in the room, which she can read once she ignores him no longer.
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    assert_eq!((sends(hello).await, sends(keys).await), (0, 1));
    sets("m.ignored_user_list", json!({ "ignored_users": {} })).await;

    // Who cannot even invite her has nothing to say to her devices, unless they are in a room.
    sets("m.invite_permission_config", json!({ "default_action": "block" })).await;
    assert_eq!((sends(hello).await, sends(keys).await), (1, 1));
    bert.leave(&room).await.ok();
    assert_eq!((sends(hello).await, sends(keys).await), (0, 0));
}
