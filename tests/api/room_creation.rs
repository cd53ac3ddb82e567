//! Creating rooms, and setting state whose form has rules. If something can never be allowed, the request is
//! at fault, and the answer says so.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, text};

/// Contents of power levels that no version allows, whoever sends them.
fn malformed_levels() -> Vec<Value> {
    vec![
        json!({ "users_default": "high" }),
        json!({ "ban": [50] }),
        json!({ "users": { "nobody": 50 } }),
        json!({ "users": { "@anna:instagram.localhost": {} } }),
        json!({ "users": ["@anna:instagram.localhost"] }),
        json!({ "events": { "m.room.name": "much" } }),
        json!({ "notifications": 50 }),
    ]
}

/// Asserts that a creator's level is refused, in words that name the creator.
#[track_caller]
fn refuses_level(answer: crate::network::Answer, code: &str, creator: &Client) {
    let words = text(&answer.json["error"]);
    assert!(words.contains(&creator.user_id) && words.contains("creator"), "{words}");
    answer.fails(400, code);
}

#[tokio::test]
async fn creators_have_no_level_in_version_12() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let create = async |mut words: Value| {
        words["room_version"] = "12".into();
        anna.post("/v3/createRoom", words).await
    };
    let of = |user: &Client| json!({ "users": { &user.user_id: 100 } });
    let initial = |content: Value| json!([{ "type": "m.room.power_levels", "content": content }]);
    let named = json!({ "additional_creators": [bert.user_id] });
    let before = anna.get("/v3/joined_rooms").await.ok();
    let code = "M_INVALID_ROOM_STATE";
    refuses_level(create(json!({ "power_level_content_override": of(&anna) })).await, code, &anna);
    refuses_level(create(json!({ "initial_state": initial(of(&anna)) })).await, code, &anna);
    let words = json!({ "power_level_content_override": of(&bert), "creation_content": named });
    refuses_level(create(words).await, code, &bert);
    let words = json!({
        "preset": "trusted_private_chat", "invite": [bert.user_id], "power_level_content_override": of(&bert),
    });
    refuses_level(create(words).await, code, &bert);
    assert_eq!(anna.get("/v3/joined_rooms").await.ok(), before);

    let room =
        text(&create(json!({ "creation_content": named, "preset": "public_chat" })).await.ok()["room_id"]);
    bert.join(&room).await.ok();
    for (by, of_whom) in [(&anna, &anna), (&anna, &bert), (&bert, &anna)] {
        let set = by.set_state(&room, "m.room.power_levels", of(of_whom)).await;
        refuses_level(set, "M_BAD_JSON", of_whom);
    }
    // In the versions before that, creators have a level.
    let words = json!({ "room_version": "11", "power_level_content_override": of(&anna) });
    anna.post("/v3/createRoom", words).await.ok();
}

#[tokio::test]
async fn malformed_creators_are_refused() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    for creators in
        [json!(["anna"]), json!(["@anna"]), json!([5]), json!("@b:b.example"), json!({}), json!([null])]
    {
        for preset in ["private_chat", "trusted_private_chat"] {
            let words = json!({
                "room_version": "12", "preset": preset, "creation_content": { "additional_creators": creators },
            });
            let refused = anna.post("/v3/createRoom", words).await;
            assert!(text(&refused.json["error"]).contains("additional_creators"), "{}", refused.json);
            refused.fails(400, "M_INVALID_ROOM_STATE");
        }
        let words = json!({ "new_version": "12", "additional_creators": creators });
        let upgrade = anna.post(&format!("/v3/rooms/{room}/upgrade"), words).await;
        assert_eq!(upgrade.status, 400, "{creators}: {}", upgrade.json);
    }
    // Nothing could ever be sent into such a room.
    let closed = json!({ "creation_content": { "m.federate": "no" } });
    anna.post("/v3/createRoom", closed).await.fails(400, "M_INVALID_ROOM_STATE");
    // In versions without such creators the field means nothing.
    let words = json!({ "room_version": "11", "creation_content": { "additional_creators": 5 } });
    anna.post("/v3/createRoom", words).await.ok();
}

#[tokio::test]
async fn what_the_rules_can_never_allow_is_a_bad_request() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let cleo = network.register(MESSENGER, "cleo").await;
    for version in ["6", "9", "10", "11", "12"] {
        let room = anna.create_room(json!({ "room_version": version, "preset": "public_chat" })).await;
        bert.join(&room).await.ok();
        for content in malformed_levels() {
            let words = json!({ "room_version": version, "power_level_content_override": content });
            anna.post("/v3/createRoom", words).await.fails(400, "M_INVALID_ROOM_STATE");
            let initial = json!([{ "type": "m.room.power_levels", "content": content }]);
            let words = json!({ "room_version": version, "initial_state": initial });
            anna.post("/v3/createRoom", words).await.fails(400, "M_INVALID_ROOM_STATE");
            for who in [&anna, &bert] {
                who.set_state(&room, "m.room.power_levels", content.clone()).await.fails(400, "M_BAD_JSON");
            }
        }
        anna.set_state(&room, "m.room.create", json!({})).await.fails(400, "M_BAD_JSON");
        anna.try_send(&room, "m.room.create", json!({})).await.fails(400, "M_BAD_JSON");
        anna.try_send(&room, "m.room.member", json!({ "membership": "join" })).await.fails(400, "M_BAD_JSON");
        let of_anna = format!("/v3/rooms/{room}/state/m.room.member/{}", anna.user_id);
        let malformed = json!({ "membership": "invite", "third_party_invite": { "signed": 5 } });
        for content in [json!({ "membership": "guest" }), json!({ "membership": 5 }), malformed] {
            anna.put(&of_anna, content).await.fails(400, "M_BAD_JSON");
        }
        if version == "6" {
            // There is no such membership yet, but asking for it is not malformed.
            anna.put(&of_anna, json!({ "membership": "knock" })).await.fails(400, "M_BAD_JSON");
            cleo.post(&format!("/v3/knock/{room}"), json!({})).await.fails(403, "M_FORBIDDEN");
        }

        // Whether somebody else may do it depends on who asks.
        bert.set_state(&room, "m.room.name", json!({ "name": "Mine" })).await.fails(403, "M_FORBIDDEN");
        bert.set_state(&room, "m.room.power_levels", json!({ "ban": 0 })).await.fails(403, "M_FORBIDDEN");
        let of_bert = format!("/v3/rooms/{room}/state/org.example.place/{}", bert.user_id);
        anna.put(&of_bert, json!({})).await.fails(403, "M_FORBIDDEN");
    }
    // In the versions before 10, texts that hold numbers are numbers.
    for (version, status) in [("9", 200), ("10", 400)] {
        let levels = json!({ "users_default": "5" });
        let words = json!({ "room_version": version, "power_level_content_override": levels });
        assert_eq!(anna.post("/v3/createRoom", words).await.status, status, "{version}");
    }
}

#[tokio::test]
async fn a_room_whose_creator_could_not_make_it_is_refused() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let before = anna.get("/v3/joined_rooms").await.ok();
    let weak = json!({ "users": { &anna.user_id: 0 } });
    for words in [
        json!({ "name": "Quay" }),
        json!({ "topic": "Ships" }),
        json!({ "room_alias_name": "quay" }),
        json!({ "initial_state": [{ "type": "org.example.berth", "content": {} }] }),
    ] {
        let mut words = words;
        words["room_version"] = "11".into();
        words["power_level_content_override"] = weak.clone();
        anna.post("/v3/createRoom", words).await.fails(400, "M_INVALID_ROOM_STATE");
    }
    let denied = json!({ "deny": ["instagram.localhost"], "allow": ["*"] });
    let place = |key: &str| json!([{ "type": "org.example.berth", "state_key": key, "content": {} }]);
    for words in [
        json!({ "initial_state": [{ "type": "m.room.server_acl", "content": denied }], "name": "Quay" }),
        json!({ "initial_state": [{ "type": "m.room.server_acl", "content": denied }], "invite": [bert.user_id] }),
        json!({ "initial_state": place(&bert.user_id) }),
        json!({
            "room_version": "11", "invite": [bert.user_id],
            "power_level_content_override": { "users": { &anna.user_id: 100 }, "invite": 101 },
        }),
    ] {
        anna.post("/v3/createRoom", words).await.fails(400, "M_INVALID_ROOM_STATE");
    }
    assert_eq!(anna.get("/v3/joined_rooms").await.ok(), before);
    let synced = bert.get("/v3/sync?timeout=0").await.ok();
    assert!(synced["rooms"]["invite"].as_object().is_none_or(serde_json::Map::is_empty), "{synced}");
    // It is not the room's fault if the creator may not invite somebody.
    let closed = json!({ "creation_content": { "m.federate": false }, "invite": [bert.user_id] });
    anna.post("/v3/createRoom", closed).await.fails(403, "M_FORBIDDEN");
    anna.get("/v3/directory/room/%23quay:instagram.localhost").await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_version_that_is_none_is_not_supported() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let versions = [
        json!("99"),
        json!(""),
        json!("eleven\n"),
        json!("1"),
        json!("x".repeat(300)),
        json!(12),
        json!(1.5),
    ];
    for version in versions.into_iter().chain([json!(true), json!([]), json!(["12"]), json!({})]) {
        let create = anna.post("/v3/createRoom", json!({ "room_version": version })).await;
        create.fails(400, "M_UNSUPPORTED_ROOM_VERSION");
        let upgrade =
            anna.post(&format!("/v3/rooms/{room}/upgrade"), json!({ "new_version": version })).await;
        upgrade.fails(400, "M_UNSUPPORTED_ROOM_VERSION");
    }
    anna.post("/v3/createRoom", json!({ "room_version": null })).await.ok();
    anna.post(&format!("/v3/rooms/{room}/upgrade"), json!({})).await.fails(400, "M_MISSING_PARAM");
}
