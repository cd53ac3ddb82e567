//! Profiles, and what their changes mean in rooms.

use http::Method;
use serde_json::{Value, json};

use crate::network::{INSTAGRAM, MESSENGER, Network};

#[tokio::test]
async fn whoever_asks_for_very_many_names_is_slowed() {
    let network = Network::with_limits("other = 0.001\nother_burst = 3").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let paths =
        [format!("/v3/profile/{}", anna.user_id), format!("/v3/profile/{}/displayname", anna.user_id)];
    for path in &paths {
        let ask = async |address: u8, token: Option<&str>| {
            let address = [10, 0, 0, address];
            network.call_from(address, MESSENGER, token, Method::GET, path, Value::Null).await
        };
        let (here, there) = if path == &paths[0] { (1, 2) } else { (3, 4) };
        for _ in 0..3 {
            assert_ne!(ask(here, None).await.status, 429);
        }
        ask(here, None).await.fails(429, "M_LIMIT_EXCEEDED");
        assert_ne!(ask(there, None).await.status, 429, "somebody else");
        if path == &paths[0] {
            // Whoever has logged in counts as themselves, wherever they are.
            for address in 5..8 {
                assert_ne!(ask(address, Some(&ben.token)).await.status, 429);
            }
            ask(8, Some(&ben.token)).await.fails(429, "M_LIMIT_EXCEEDED");
        }
    }
}

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
