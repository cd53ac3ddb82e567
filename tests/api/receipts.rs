//! Receipts, read markers, typing.

use linkspan_rooms::ReceiptKind;
use serde_json::json;

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, encoded};

#[tokio::test]
async fn what_was_read_is_noted() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let first = anna.say(&room, "one").await;
    let second = anna.say(&room, "two").await;
    let receipt = |kind: &str, event: &str| format!("/v3/rooms/{room}/receipt/{kind}/{event}");

    bert.post(&receipt("m.read", &second), json!({ "thread_id": "main" })).await.ok();
    bert.post(&receipt("m.read", &first), json!({ "thread_id": "main" })).await.ok();
    bert.post(&receipt("m.read.private", &first), json!({})).await.ok();
    bert.post(&receipt("m.read", &first), json!({ "thread_id": "" })).await.fails(400, "M_INVALID_PARAM");
    bert.post(&receipt("m.seen", &first), json!({})).await.fails(400, "M_INVALID_PARAM");
    let in_thread = json!({ "thread_id": "main" });
    bert.post(&receipt("m.fully_read", &first), in_thread).await.fails(400, "M_INVALID_PARAM");

    let user_id = bert.user_id.as_str().try_into().expect("a user id");
    let room_id = room.as_str().try_into().expect("a room id");
    let noted = network.app.rooms.own_receipts(&user_id, &room_id).await.expect("receipts are read");
    let mut noted: Vec<_> = noted
        .iter()
        .map(|receipt| {
            (receipt.kind == ReceiptKind::Public, receipt.thread.as_str(), receipt.event_id.as_str())
        })
        .collect();
    noted.sort_unstable();
    assert_eq!(noted, [(false, "", first.as_str()), (true, "main", second.as_str())]);

    let markers = json!({ "m.fully_read": second, "m.read": second });
    bert.post(&format!("/v3/rooms/{room}/read_markers"), markers).await.ok();
    bert.post(&receipt("m.fully_read", &first), json!({})).await.ok();
    let marker = format!("/v3/user/{}/rooms/{room}/account_data/m.fully_read", bert.user_id);
    assert_eq!(bert.get(&marker).await.ok(), json!({ "event_id": second }), "it does not go back");
    anna.get(&marker).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn after_a_restart_a_sync_tells_what_is_new_and_nothing_else() {
    let network = Network::open().await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "bert").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let words = anna.say(&room, "before").await;
    let read = |kind: &str| format!("/v3/rooms/{room}/receipt/{kind}/{words}");
    bert.post(&read("m.read"), json!({})).await.ok();
    let since = async |of: &Client| {
        let sync = of.get("/v3/sync?timeout=0").await.ok();
        sync["next_batch"].as_str().expect("a token").to_owned()
    };
    let (annas, berts) = (since(&anna).await, since(&bert).await);
    // Else the server knew that nothing was committed since.
    network.register(MESSENGER, "ben").await;
    network.flush().await;

    let after = network.reopen().await;
    let (anna, bert) = (anna.on(&after), bert.on(&after));
    let news = async |of: &Client, since: &str| {
        let sync = of.get(&format!("/v3/sync?timeout=0&since={since}")).await.ok();
        (sync["rooms"]["join"].clone(), sync["next_batch"].as_str().expect("a token").to_owned())
    };
    let (told, annas) = news(&anna, &annas).await;
    assert!(told.as_object().is_none_or(|rooms| rooms.is_empty()), "it was all told before: {told}");
    // Of the one who has synced since, and of the one who has not.
    anna.say(&room, "after").await;
    bert.post(&read("m.read.private"), json!({})).await.ok();
    for (of, since) in [(&anna, &annas), (&bert, &berts)] {
        let (told, _) = news(of, since).await;
        let events = told[&room]["timeline"]["events"].as_array().expect("events");
        assert_eq!(events.len(), 1, "{told}");
        assert_eq!(events[0]["content"]["body"], "after");
        let receipts = told[&room]["ephemeral"]["events"].as_array().map_or(0, Vec::len);
        assert_eq!(
            receipts,
            usize::from(of.user_id == bert.user_id),
            "a private receipt is for its user: {told}"
        );
    }
}

#[tokio::test]
async fn typing_is_shown() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({})).await;
    let typing = |user: &str| format!("/v3/rooms/{room}/typing/{user}");
    let room_id = room.as_str().try_into().expect("a room id");

    anna.put(&typing(&anna.user_id), json!({ "typing": true })).await.ok();
    assert_eq!(network.app.inbox.typing(&room_id), [anna.user_id.as_str()]);
    anna.put(&typing(&anna.user_id), json!({ "typing": false })).await.ok();
    assert!(network.app.inbox.typing(&room_id).is_empty());
    anna.put(&typing(&bert.user_id), json!({ "typing": true })).await.fails(403, "M_FORBIDDEN");
    bert.put(&typing(&bert.user_id), json!({ "typing": true })).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn null_means_nothing() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let event = anna.say(&room, "one").await;

    // As matrix-nio says it of a receipt outside threads.
    let receipt = format!("/v3/rooms/{room}/receipt/m.read/{event}");
    anna.post(&receipt, json!({ "thread_id": null })).await.ok();
    anna.post(&receipt, json!({ "thread_id": 5 })).await.fails(400, "M_BAD_JSON");

    // What people send is theirs, null included.
    let send = format!("/v3/rooms/{room}/send/org.example/1");
    let sent = anna.put(&send, json!({ "nothing": null })).await.ok();
    let sent = sent["event_id"].as_str().expect("an event id").to_owned();
    let read = anna.get(&format!("/v3/rooms/{room}/event/{sent}")).await.ok();
    assert_eq!(read["content"], json!({ "nothing": null }));
}

/// <https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts>
#[tokio::test]
async fn a_receipt_of_a_thread_clears_what_hangs_on_its_replies() {
    let network = Network::open().await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "bert").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let related = async |rel_type: &str, event: &str| {
        let relation = json!({ "rel_type": rel_type, "event_id": event });
        let mentions = json!({ "user_ids": [bert.user_id] });
        let content = json!({ "body": "x", "m.mentions": mentions, "m.relates_to": relation });
        anna.send(&room, "m.room.message", content).await
    };
    let root = anna.say(&room, "root").await;
    let reply = related("m.thread", &root).await;
    let receipt = |event: &str| format!("/v3/rooms/{room}/receipt/m.read/{event}");
    bert.post(&receipt(&root), json!({ "thread_id": "main" })).await.ok();
    bert.post(&receipt(&reply), json!({ "thread_id": root })).await.ok();
    let edit = related("m.replace", &reply).await;
    let reference = related("m.reference", &edit).await;

    let filter = encoded(r#"{"room":{"timeline":{"unread_thread_notifications":true}}}"#);
    let counts = async |of: &Client| {
        let sync = of.get(&format!("/v3/sync?timeout=0&filter={filter}")).await.ok();
        let told = &sync["rooms"]["join"][&room];
        let main = told["unread_notifications"]["notification_count"].as_u64();
        let thread = told["unread_thread_notifications"][&root]["notification_count"].as_u64();
        let sliding = json!({ "lists": {}, "room_subscriptions":
            { &room: { "timeline_limit": 1, "required_state": [] } } });
        let sliding = of.post("/unstable/org.matrix.simplified_msc3575/sync?timeout=0", sliding).await.ok();
        (main, thread, sliding["rooms"][&room]["notification_count"].as_u64())
    };
    assert_eq!(counts(&bert).await, (Some(0), Some(2), Some(2)));
    let after = network.reopen().await;
    assert_eq!(counts(&bert.on(&after)).await, (Some(0), Some(2), Some(2)), "after a restart");
    bert.post(&receipt(&reference), json!({ "thread_id": root })).await.ok();
    assert_eq!(counts(&bert).await, (Some(0), None, Some(0)));
}
