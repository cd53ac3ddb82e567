//! People who take no invitations get none.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network};

async fn configure(user: &Client, content: Value) {
    let path = format!("/v3/user/{}/account_data/m.invite_permission_config", user.user_id);
    user.put(&path, content).await.ok();
}

async fn sees_invitation(user: &Client, room: &str) -> bool {
    user.get("/v3/sync?timeout=0").await.ok()["rooms"]["invite"].get(room).is_some()
}

#[tokio::test]
async fn every_way_to_invite_is_blocked() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({})).await;
    let earlier = anna.create_room(json!({ "invite": [bert.user_id] })).await;
    assert!(sees_invitation(&bert, &earlier).await);

    configure(&bert, json!({ "default_action": "block" })).await;
    assert!(!sees_invitation(&bert, &earlier).await, "also what came before is not shown");
    anna.invite(&room, &bert).await.fails(403, "M_INVITE_BLOCKED");
    let create = json!({ "invite": [bert.user_id] });
    anna.post("/v3/createRoom", create).await.fails(403, "M_INVITE_BLOCKED");
    let state = format!("/v3/rooms/{room}/state/m.room.member/{}", bert.user_id);
    anna.put(&state, json!({ "membership": "invite" })).await.fails(403, "M_INVITE_BLOCKED");
    anna.get(&state).await.fails(404, "M_NOT_FOUND");

    configure(&bert, json!({})).await;
    assert!(sees_invitation(&bert, &earlier).await);
    anna.invite(&room, &bert).await.ok();
    assert!(sees_invitation(&bert, &room).await);
}

#[tokio::test]
async fn what_is_not_understood_blocks_nobody() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    for content in [
        json!({ "default_action": "org.example.ponder" }),
        json!({ "default_action": ["block"] }),
        json!({ "default_action": null }),
        json!({ "block_all": "true" }),
    ] {
        configure(&bert, content).await;
        let room = anna.create_room(json!({})).await;
        anna.invite(&room, &bert).await.ok();
    }
}
