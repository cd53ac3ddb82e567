//! Chats with people of other platforms, together with the user's others or apart from them.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, bodies, encoded};

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

/// The bodies of what a sync with a filter tells of a room that the user is in; None: it does not tell of the room.
async fn told(
    who: &Client,
    room: &str,
    is_cross_platform: bool,
    since: &Value,
) -> (Option<Vec<String>>, Value) {
    let filter = json!({ "room": { "org.linkspan.is_cross_platform": is_cross_platform } }).to_string();
    let since = since.as_str().map(|since| format!("&since={since}")).unwrap_or_default();
    let sync = who.get(&format!("/v3/sync?filter={}{since}", encoded(&filter))).await.ok();
    let joined = sync["rooms"]["join"].get(room);
    (joined.map(|joined| bodies(&joined["timeline"]["events"])), sync["next_batch"].clone())
}

#[tokio::test]
async fn a_sync_tells_of_the_one_or_the_other() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    anna.say(&room, "alone").await;
    let (own, since_own) = told(&anna, &room, false, &Value::Null).await;
    assert_eq!(own, Some(vec!["alone".to_owned()]));
    let (across, since_across) = told(&anna, &room, true, &Value::Null).await;
    assert_eq!(across, None);
    ben.join(&room).await.ok();
    ben.say(&room, "together").await;
    assert_eq!(told(&anna, &room, false, &since_own).await.0, None);
    let (across, since_across) = told(&anna, &room, true, &since_across).await;
    assert_eq!(across, Some(vec!["alone".to_owned(), "together".to_owned()]), "as a room that is new");
    ben.say(&room, "again").await;
    assert_eq!(told(&anna, &room, true, &since_across).await.0, Some(vec!["again".to_owned()]));
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
