//! Profiles, and what their changes mean in rooms.

use serde_json::json;

use crate::network::{INSTAGRAM, MESSENGER, Network};

#[tokio::test]
async fn a_new_name_is_seen_in_rooms() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let profile = format!("/v3/profile/{}", anna.user_id);
    let member = format!("/v3/rooms/{room}/state/m.room.member/{}", anna.user_id);

    anna.put(&format!("{profile}/displayname"), json!({ "displayname": "Anna K." })).await.ok();
    assert_eq!(bert.get(&profile).await.ok(), json!({ "displayname": "Anna K." }));
    assert_eq!(bert.get(&member).await.ok()["displayname"], "Anna K.");
    bert.put(&format!("{profile}/displayname"), json!({ "displayname": "Me" }))
        .await
        .fails(403, "M_FORBIDDEN");

    anna.put(&format!("{profile}/displayname"), json!({ "displayname": null })).await.ok();
    assert!(bert.get(&member).await.ok()["displayname"].is_null());
    anna.put(&format!("{profile}/org.example.ship"), json!({ "org.example.ship": ["Vega"] })).await.ok();
    assert_eq!(bert.get(&profile).await.ok(), json!({ "org.example.ship": ["Vega"] }));
    anna.put(&format!("{profile}/org.example.ship"), json!({})).await.fails(400, "M_MISSING_PARAM");
    anna.delete(&format!("{profile}/org.example.ship")).await.ok();
    assert_eq!(bert.get(&profile).await.ok(), json!({}));
    anna.put(&format!("{profile}/avatar_url"), json!({ "avatar_url": "http://x" }))
        .await
        .fails(400, "M_INVALID_PARAM");
}
