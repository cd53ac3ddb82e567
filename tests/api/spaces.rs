//! Spaces, and what rooms show about themselves.

use serde_json::json;

use crate::network::{INSTAGRAM, MESSENGER, Network, each, encoded, list, text};

#[tokio::test]
async fn a_space_shows_what_one_may_see() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let space = json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } });
    let space = anna.create_room(space).await;
    let open = anna.create_room(json!({ "preset": "public_chat", "name": "Open" })).await;
    let closed = anna.create_room(json!({ "name": "Closed" })).await;
    for (child, order) in [(&open, "a"), (&closed, "b")] {
        let content = json!({ "via": [INSTAGRAM], "order": order, "suggested": child == &open });
        anna.put(&format!("/v3/rooms/{space}/state/m.space.child/{child}"), content).await.ok();
    }
    let hierarchy = format!("/v1/rooms/{space}/hierarchy");

    let all = anna.get(&hierarchy).await.ok();
    assert_eq!(each(&all["rooms"], "room_id"), [space.clone(), open.clone(), closed.clone()]);
    assert_eq!(each(&all["rooms"][0]["children_state"], "state_key"), [open.clone(), closed.clone()]);
    let some = bert.get(&hierarchy).await.ok();
    assert_eq!(each(&some["rooms"], "room_id"), [space.clone(), open.clone()]);
    let first = anna.get(&format!("{hierarchy}?limit=1")).await.ok();
    let rest = anna.get(&format!("{hierarchy}?from={}", encoded(&text(&first["next_batch"])))).await.ok();
    assert_eq!(each(&rest["rooms"], "room_id"), [open.clone(), closed.clone()]);
    let suggested = anna.get(&format!("{hierarchy}?suggested_only=true")).await.ok();
    assert_eq!(each(&suggested["rooms"], "room_id"), [space.clone(), open.clone()]);
    let flat = anna.get(&format!("{hierarchy}?max_depth=0")).await.ok();
    assert_eq!(list(&flat["rooms"]).len(), 1);

    let summary = bert.get(&format!("/v1/room_summary/{open}")).await.ok();
    assert_eq!(
        (text(&summary["name"]), text(&summary["membership"])),
        ("Open".to_owned(), "leave".to_owned())
    );
    bert.get(&format!("/v1/room_summary/{closed}")).await.fails(404, "M_NOT_FOUND");
    bert.join(&open).await.ok();
    let mutual = bert.get(&format!("/v1/mutual_rooms?user_id={}", anna.user_id)).await.ok();
    assert_eq!((&mutual["joined"], mutual["count"].as_u64()), (&json!([open]), Some(1)));
}

/// A page of a space belongs to one walk through it.
/// <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy>
#[tokio::test]
async fn a_page_of_a_space_is_a_page_of_just_this_walk() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let space = json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } });
    let (space, other) = (anna.create_room(space.clone()).await, anna.create_room(space).await);
    for parent in [&space, &other] {
        for _ in 0..2 {
            let child = anna.create_room(json!({ "preset": "public_chat" })).await;
            let content = json!({ "via": [INSTAGRAM], "suggested": true });
            anna.put(&format!("/v3/rooms/{parent}/state/m.space.child/{child}"), content).await.ok();
        }
    }
    let path = format!("/v1/rooms/{space}/hierarchy?limit=1");
    let first = anna.get(&format!("{path}&max_depth=1")).await.ok();
    let from = encoded(&text(&first["next_batch"]));
    for (query, ok) in [
        (format!("{path}&max_depth=1&from={from}"), true),
        (format!("{path}&limit=2&max_depth=1&from={from}"), true),
        (format!("{path}&from={from}"), false),
        (format!("{path}&max_depth=2&from={from}"), false),
        (format!("{path}&max_depth=1&suggested_only=true&from={from}"), false),
        (format!("/v1/rooms/{other}/hierarchy?max_depth=1&from={from}"), false),
    ] {
        let answer = anna.get(&query.replacen("limit=1&limit=2", "limit=2", 1)).await;
        match ok {
            true => drop(answer.ok()),
            false => answer.fails(400, "M_INVALID_PARAM"),
        }
    }
}

/// A topic is plain text wherever rooms are listed.
/// <https://spec.matrix.org/v1.19/client-server-api/#mroomtopic>
#[tokio::test]
async fn a_topic_is_plain_text_wherever_rooms_are_listed() {
    let network = Network::open().await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "bert").await);
    let room = json!({
        "preset": "public_chat",
        "visibility": "public",
        "topic": "tea & cake",
        "initial_state": [{ "type": "m.room.topic", "content": { "topic": "overwritten" } }],
    });
    let room = anna.create_room(room).await;
    let state = format!("/v3/rooms/{room}/state/m.room.topic");
    let made = json!({
        "topic": "tea & cake",
        "m.topic": { "m.text": [{ "body": "tea & cake", "mimetype": "text/plain" }] },
    });
    assert_eq!(anna.get(&state).await.ok(), made);

    let html = json!({ "body": "<b>tea</b>", "mimetype": "text/html" });
    let of = |texts: serde_json::Value| json!({ "topic": "old", "m.topic": { "m.text": texts } });
    for (content, shown) in [
        (made, json!("tea & cake")),
        (of(json!([html, { "body": "tea" }])), json!("tea")),
        (of(json!([html])), json!("old")),
        (json!({ "topic": "" }), json!(null)),
    ] {
        anna.put(&state, content).await.ok();
        let lists = format!("/v3/publicRooms?server={INSTAGRAM}");
        assert_eq!(bert.get(&lists).await.ok()["chunk"][0]["topic"], shown);
        assert_eq!(bert.get(&format!("/v1/room_summary/{room}")).await.ok()["topic"], shown);
        let hierarchy = bert.get(&format!("/v1/rooms/{room}/hierarchy")).await.ok();
        assert_eq!(hierarchy["rooms"][0]["topic"], shown);
    }
}
