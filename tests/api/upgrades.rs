//! Upgrades of rooms: what goes along, who keeps which power, and that one that is refused leaves nothing behind.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, list, text};

#[tokio::test]
async fn an_upgrade_takes_the_alias_along() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let old = anna
        .create_room(json!({
            "preset": "public_chat", "room_version": "10", "room_alias_name": "quay", "name": "Quay",
        }))
        .await;
    bert.join(&old).await.ok();

    let upgrade = format!("/v3/rooms/{old}/upgrade");
    bert.post(&upgrade, json!({ "new_version": "12" })).await.fails(403, "M_FORBIDDEN");
    anna.post(&upgrade, json!({ "new_version": "99" })).await.fails(400, "M_UNSUPPORTED_ROOM_VERSION");
    let new = text(&anna.post(&upgrade, json!({ "new_version": "12" })).await.ok()["replacement_room"]);

    let tombstone = bert.get(&format!("/v3/rooms/{old}/state/m.room.tombstone")).await.ok();
    assert_eq!(text(&tombstone["replacement_room"]), new);
    let create = anna.get(&format!("/v3/rooms/{new}/state/m.room.create")).await.ok();
    assert_eq!(text(&create["predecessor"]["room_id"]), old);
    assert_eq!(anna.get(&format!("/v3/rooms/{new}/state/m.room.name")).await.ok()["name"], "Quay");
    let joined = bert.join("#quay:instagram.localhost").await.ok();
    assert_eq!(text(&joined["room_id"]), new);
    bert.say_fails(&old).await;
}

/// Upgrades a room; the new one, as everybody has joined it.
async fn upgrade(by: &Client, room: &str, words: Value, followers: &[&Client]) -> String {
    let new = text(&by.post(&format!("/v3/rooms/{room}/upgrade"), words).await.ok()["replacement_room"]);
    for follower in followers {
        follower.join(&new).await.ok();
    }
    new
}

async fn state(of: &Client, room: &str, event_type: &str) -> Value {
    of.get(&format!("/v3/rooms/{room}/state/{event_type}")).await.ok()
}

#[tokio::test]
async fn creators_keep_their_power_over_all_versions() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(MESSENGER, "carl").await;
    let dora = network.register(INSTAGRAM, "dora").await;
    let twelve = anna
        .create_room(json!({
            "preset": "public_chat", "room_version": "12",
            "creation_content": { "additional_creators": [bert.user_id] },
            "power_level_content_override": { "users": { &carl.user_id: 50, &dora.user_id: 120 } },
        }))
        .await;
    for follower in [&bert, &carl, &dora] {
        follower.join(&twelve).await.ok();
    }
    let of_dora = json!({ "user_id": dora.user_id, "reason": "shouting" });
    anna.post(&format!("/v3/rooms/{twelve}/ban"), of_dora).await.ok();

    // Creators get a level where they need one; bans stay, and who is banned keeps none.
    let eleven = upgrade(&bert, &twelve, json!({ "new_version": "11" }), &[&anna, &carl]).await;
    let levels = state(&anna, &eleven, "m.room.power_levels").await;
    let expected = json!({ &anna.user_id: 150, &bert.user_id: 150, &carl.user_id: 50 });
    assert_eq!(levels["users"], expected);
    let create = state(&anna, &eleven, "m.room.create").await;
    assert_eq!((&create["room_version"], &create["additional_creators"]), (&json!("11"), &Value::Null));
    dora.join(&eleven).await.fails(403, "M_FORBIDDEN");
    carl.post(&format!("/v3/rooms/{eleven}/upgrade"), json!({ "new_version": "12" }))
        .await
        .fails(403, "M_FORBIDDEN");
    anna.set_state(&eleven, "m.room.server_acl", json!({ "allow": ["*"] })).await.ok();

    // And have none where they need none, those whom the upgrade adds included.
    let words = json!({ "new_version": "12", "additional_creators": [carl.user_id] });
    let again = upgrade(&anna, &eleven, words, &[&bert, &carl]).await;
    let levels = state(&anna, &again, "m.room.power_levels").await;
    assert_eq!(levels["users"], json!({ &bert.user_id: 150 }));
    assert_eq!(levels["events"]["m.room.tombstone"], 150);
    assert_eq!(state(&anna, &again, "m.room.create").await["additional_creators"], json!([carl.user_id]));
    carl.set_state(&again, "m.room.server_acl", json!({ "allow": ["*"] })).await.ok();

    // From one version that privileges creators to the same: those that the upgrade does not name are none.
    let words = json!({ "new_version": "12", "additional_creators": [bert.user_id] });
    let last = upgrade(&carl, &again, words, &[&anna, &bert]).await;
    assert_eq!(state(&anna, &last, "m.room.power_levels").await["users"], json!({}));
    bert.set_state(&last, "m.room.name", json!({ "name": "Last" })).await.ok();
    anna.set_state(&last, "m.room.name", json!({ "name": "Mine" })).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_refused_upgrade_leaves_nothing_behind() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    // Bert may put a tombstone; in the new room, he could not set what the old one has.
    for (version, to) in [("11", "10"), ("12", "11")] {
        let room = anna
            .create_room(json!({
                "preset": "public_chat", "room_version": version, "room_alias_name": format!("quay{version}"),
                "power_level_content_override": {
                    "users": match version { "12" => json!({}), _ => json!({ &anna.user_id: 100 }) },
                    "events": { "m.room.tombstone": 0, "m.room.topic": 100 },
                },
                "topic": "Ships",
            }))
            .await;
        bert.join(&room).await.ok();
        let before = bert.get("/v3/joined_rooms").await.ok();
        let words = json!({ "new_version": to });
        bert.post(&format!("/v3/rooms/{room}/upgrade"), words.clone()).await.fails(403, "M_FORBIDDEN");
        assert_eq!(bert.get("/v3/joined_rooms").await.ok(), before);
        anna.get(&format!("/v3/rooms/{room}/state/m.room.tombstone")).await.fails(404, "M_NOT_FOUND");
        let alias = format!("/v3/directory/room/%23quay{version}:{INSTAGRAM}");
        assert_eq!(text(&bert.get(&alias).await.ok()["room_id"]), room);

        // The room goes on, and who has the power can still upgrade it.
        bert.say(&room, "Hello").await;
        let new = upgrade(&anna, &room, words, &[]).await;
        assert_eq!(text(&bert.get(&alias).await.ok()["room_id"]), new);
        let canonical = state(&anna, &new, "m.room.canonical_alias").await;
        assert_eq!(canonical["alias"], format!("#quay{version}:{INSTAGRAM}"));
        assert_eq!(state(&anna, &room, "m.room.canonical_alias").await, json!({}));
        let chunk = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=3")).await.ok();
        let kinds: Vec<_> = list(&chunk["chunk"]).iter().map(|event| text(&event["type"])).collect();
        assert_eq!(kinds, ["m.room.power_levels", "m.room.canonical_alias", "m.room.tombstone"]);
    }
}
