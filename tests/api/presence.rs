//! Presence, between platforms that show it and one that does not.

use std::time::Duration;

use serde_json::json;

use crate::network::{INSTAGRAM, MESSENGER, Network, WHATSAPP};

#[tokio::test]
async fn presence_is_shown_to_those_who_share_a_room() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let status = |user: &str| format!("/v3/presence/{user}/status");
    let online = json!({ "presence": "online", "status_msg": "On deck" });

    anna.put(&status(&anna.user_id), online.clone()).await.ok();
    carl.put(&status(&carl.user_id), online.clone()).await.ok();
    bert.put(&status(&anna.user_id), online).await.fails(403, "M_FORBIDDEN");
    bert.get(&status(&anna.user_id)).await.fails(403, "M_FORBIDDEN");

    let long = json!({ "presence": "online", "status_msg": "x".repeat(1_025) });
    anna.put(&status(&anna.user_id), long).await.fails(413, "M_TOO_LARGE");

    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    carl.join(&room).await.ok();
    let seen = bert.get(&status(&anna.user_id)).await.ok();
    assert_eq!((&seen["presence"], &seen["status_msg"]), (&json!("online"), &json!("On deck")));
    assert_eq!(seen["currently_active"], true);
    for (who, whom) in [(&bert, &carl), (&carl, &anna), (&carl, &carl)] {
        let seen = who.get(&status(&whom.user_id)).await.ok();
        assert_eq!(seen, json!({ "presence": "offline" }), "one of the platforms shows no presence");
    }
}

#[tokio::test]
async fn who_has_gone_quiet_is_shown_as_away() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let status = format!("/v3/presence/{}/status", anna.user_id);
    let presence = async || bert.get(&status).await.ok()["presence"].clone();
    let since = bert.get("/v3/sync").await.ok()["next_batch"].clone();
    for _ in 0..2 {
        anna.get("/v3/sync").await.ok();
        assert_eq!(presence().await, "online");
        network.app.rooms.expire_presence(linkspan_rooms::QUIET).await.expect("it expires");
        assert_eq!(presence().await, "online", "she was here just now");
        network.app.rooms.expire_presence(Duration::ZERO).await.expect("it expires");
        assert_eq!(presence().await, "offline");
    }
    let told = bert.get(&format!("/v3/sync?since={}", since.as_str().expect("a token"))).await.ok();
    let events = crate::network::list(&told["presence"]["events"]);
    let of_anna: Vec<_> = events.iter().filter(|event| event["sender"] == anna.user_id.as_str()).collect();
    assert_eq!(of_anna.len(), 1, "{told}");
    assert_eq!(of_anna[0]["content"]["presence"], "offline");
}
