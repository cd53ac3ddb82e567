//! Transaction ids: the same request has its effect once. Requests are the same by user, device and path.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, each, encoded, list, text};

/// Sends an event under a transaction id, and returns the event's id.
async fn send(by: &Client, room: &str, event_type: &str, txn_id: &str) -> String {
    let path = format!("/v3/rooms/{room}/send/{event_type}/{}", encoded(txn_id));
    text(&by.put(&path, json!({ "msgtype": "m.text", "body": "Ahoy" })).await.ok()["event_id"])
}

/// Redacts an event under a transaction id, and returns the id of the redaction.
async fn redact(by: &Client, room: &str, event: &str, txn_id: &str) -> String {
    let path = format!("/v3/rooms/{room}/redact/{}/{}", encoded(event), encoded(txn_id));
    text(&by.put(&path, json!({})).await.ok()["event_id"])
}

async fn event(of: &Client, room: &str, event: &str) -> Value {
    of.get(&format!("/v3/rooms/{room}/event/{}", encoded(event))).await.ok()
}

#[tokio::test]
async fn a_transaction_id_counts_within_its_path() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let phone = anna.another_device().await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let other = anna.create_room(json!({})).await;
    bert.join(&room).await.ok();

    // Every path, user and device has ids of its own, whichever of them uses an id first.
    for txn_id in ["1", "mine/ü?#1", "redact", "/"] {
        let first = anna.say(&room, "first").await;
        let second = anna.say(&room, "second").await;
        let mut made = vec![
            redact(&anna, &room, &first, txn_id).await,
            send(&anna, &room, "m.room.message", txn_id).await,
            redact(&anna, &room, &second, txn_id).await,
            send(&anna, &room, "org.example.kind", txn_id).await,
            send(&anna, &room, &encoded("m.room.message/1"), txn_id).await,
            send(&anna, &other, "m.room.message", txn_id).await,
            send(&phone, &room, "m.room.message", txn_id).await,
            send(&bert, &room, "m.room.message", txn_id).await,
        ];
        for target in [&first, &second] {
            assert_eq!(event(&bert, &room, target).await["content"], json!({}), "{txn_id}");
        }
        let again = [
            redact(&anna, &room, &first, txn_id).await,
            send(&anna, &room, "m.room.message", txn_id).await,
            redact(&anna, &room, &second, txn_id).await,
            send(&anna, &room, "org.example.kind", txn_id).await,
        ];
        assert_eq!(again, made[..4], "the same path again: {txn_id}");
        made.sort();
        made.dedup();
        assert_eq!(made.len(), 8, "eight requests make eight events: {txn_id}");
    }
}

#[tokio::test]
async fn a_transaction_id_is_known_after_a_restart_and_a_new_login() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let target = anna.say(&room, "this will go").await;
    let sent = send(&anna, &room, "m.room.message", "tx").await;
    let redaction = redact(&anna, &room, &target, "tx").await;

    let restarted = network.reopen().await;
    let anna = anna.on(&restarted).device(&anna.device_id).await;
    assert_eq!(send(&anna, &room, "m.room.message", "tx").await, sent);
    assert_eq!(redact(&anna, &room, &target, "tx").await, redaction);
    let kind = send(&anna, &room, "org.example.kind", "tx").await;
    assert!(kind != sent && kind != redaction);
    // Whichever endpoint made the event, its device is told the id, and no other device is.
    let phone = anna.another_device().await;
    for event_id in [&sent, &redaction, &kind] {
        assert_eq!(event(&anna, &room, event_id).await["unsigned"]["transaction_id"], "tx");
        assert!(event(&phone, &room, event_id).await["unsigned"].get("transaction_id").is_none());
    }
}

#[tokio::test]
async fn a_transaction_id_of_messages_to_devices_counts_within_their_type() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    for kind in ["org.example.one", "org.example.two", "org.example.one", "org.example.one/7"] {
        let path = format!("/v3/sendToDevice/{}/7", encoded(kind));
        anna.put(&path, json!({ "messages": { &bert.user_id: { "*": {} } } })).await.ok();
    }
    let sync = bert.get("/v3/sync").await.ok();
    assert_eq!(list(&sync["to_device"]["events"]).len(), 3);
    let kinds = ["org.example.one", "org.example.two", "org.example.one/7"];
    assert_eq!(each(&sync["to_device"]["events"], "type"), kinds);
}
