//! Chats with people of other platforms, together with the user's others or apart from them.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP};

/// The rooms of two lists: chats on one platform, and chats across platforms.
async fn apart(who: &Client) -> [Vec<String>; 2] {
    let mut rooms = [Vec::new(), Vec::new()];
    for (at, rooms) in rooms.iter_mut().enumerate() {
        let filters = json!({ "org.linkspan.is_cross_platform": at == 1 });
        let list = json!({ "timeline_limit": 1, "required_state": [], "filters": filters });
        let body = json!({ "conn_id": at.to_string(), "lists": { "some": list } });
        let answer = who.post("/v4/sync", body).await.ok();
        rooms.extend(
            answer["rooms"].as_object().into_iter().flatten().map(|(room, _): (_, &Value)| room.clone()),
        );
        rooms.sort();
    }
    rooms
}

#[tokio::test]
async fn chats_across_platforms_are_listed_apart() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let marco = network.register(INSTAGRAM, "marco").await;
    let ben = network.register(MESSENGER, "ben").await;
    let cleo = network.register(WHATSAPP, "cleo").await;
    let alone = anna.create_room(json!({})).await;
    let with_marco = anna.create_room(json!({ "is_direct": true, "invite": [marco.user_id] })).await;
    let with_ben = anna.create_room(json!({ "is_direct": true, "invite": [ben.user_id] })).await;
    let of_cleo = cleo.create_room(json!({ "invite": [anna.user_id] })).await;
    let group = anna.create_room(json!({ "preset": "public_chat" })).await;
    marco.join(&group).await.ok();
    let sorted = |rooms: &[&String]| {
        let mut rooms: Vec<_> = rooms.iter().map(|room| (*room).clone()).collect();
        rooms.sort();
        rooms
    };
    assert_eq!(apart(&anna).await, [sorted(&[&alone, &with_marco, &group]), sorted(&[&with_ben, &of_cleo])]);
    cleo.join(&group).await.ok();
    assert_eq!(apart(&anna).await, [sorted(&[&alone, &with_marco]), sorted(&[&with_ben, &of_cleo, &group])]);
    assert_eq!(apart(&ben).await, [vec![], vec![with_ben]]);
    assert_eq!(apart(&marco).await, [vec![with_marco], vec![group]]);
}
