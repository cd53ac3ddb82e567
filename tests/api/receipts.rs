//! Receipts, read markers, typing.

use linkspan_rooms::ReceiptKind;
use serde_json::json;

use crate::network::{INSTAGRAM, MESSENGER, Network};

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
