//! Talking in rooms.

use serde_json::json;

use crate::network::{INSTAGRAM, MESSENGER, Network, WHATSAPP, each, list, text};

#[tokio::test]
async fn people_of_three_platforms_talk_in_one_room() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(WHATSAPP, "carl").await;

    let room = anna.create_room(json!({ "name": "Ferry", "invite": [bert.user_id] })).await;
    bert.say_fails(&room).await;
    bert.join(&room).await.ok();
    carl.join(&room).await.fails(403, "M_FORBIDDEN");
    bert.invite(&room, &carl).await.ok();
    carl.join(&room).await.ok();

    anna.say(&room, "All aboard?").await;
    bert.say(&room, "Aye").await;
    let event_id = carl.say(&room, "Here").await;
    for client in [&anna, &bert, &carl] {
        assert_eq!(client.heard(&room).await, ["Here", "Aye", "All aboard?"]);
    }

    let event = anna.get(&format!("/v3/rooms/{room}/event/{event_id}")).await.ok();
    assert_eq!((text(&event["sender"]), text(&event["room_id"])), (carl.user_id.clone(), room.clone()));
    assert!(event["unsigned"]["age"].is_u64());

    let members = anna.get(&format!("/v3/rooms/{room}/members?membership=join")).await.ok();
    assert_eq!(list(&members["chunk"]).len(), 3);
    let joined = anna.get(&format!("/v3/rooms/{room}/joined_members")).await.ok();
    assert!(joined["joined"][&bert.user_id].is_object());
    assert_eq!(anna.get("/v3/joined_rooms").await.ok(), json!({ "joined_rooms": [room] }));

    carl.leave(&room).await.ok();
    anna.say(&room, "Carl has gone").await;
    assert_eq!(carl.heard(&room).await, ["Here", "Aye", "All aboard?"]);
    carl.say_fails(&room).await;
}

#[tokio::test]
async fn state_is_read_and_set() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat", "topic": "Tides" })).await;
    bert.join(&room).await.ok();

    let state = bert.get(&format!("/v3/rooms/{room}/state")).await.ok();
    assert!(each(&state, "type").contains(&"m.room.topic".to_owned()));
    let topic = format!("/v3/rooms/{room}/state/m.room.topic");
    assert_eq!(bert.get(&topic).await.ok()["topic"], "Tides");
    assert_eq!(bert.get(&format!("{topic}/")).await.ok()["topic"], "Tides");
    let event = bert.get(&format!("{topic}?format=event")).await.ok();
    assert_eq!((text(&event["sender"]), event["state_key"].as_str()), (anna.user_id.clone(), Some("")));

    bert.put(&topic, json!({ "topic": "Storms" })).await.fails(403, "M_FORBIDDEN");
    anna.put(&format!("{topic}/"), json!({ "topic": "Storms" })).await.ok();
    assert_eq!(bert.get(&topic).await.ok()["topic"], "Storms");
    let keyed = format!("/v3/rooms/{room}/state/org.example.berth/7");
    anna.put(&keyed, json!({ "ship": "Vega" })).await.ok();
    assert_eq!(bert.get(&keyed).await.ok()["ship"], "Vega");
    bert.get(&format!("/v3/rooms/{room}/state/org.example.berth/8")).await.fails(404, "M_NOT_FOUND");
    anna.put(&topic, json!([])).await.fails(400, "M_BAD_JSON");
}
