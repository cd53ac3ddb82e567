//! Reading what happened: pages, context, relations, threads and redactions, and events by time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::network::{INSTAGRAM, MESSENGER, Network, WHATSAPP, bodies, each, encoded, list, text};

#[tokio::test]
async fn history_is_read_in_pages() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    for number in 0..10 {
        anna.say(&room, &format!("wave {number}")).await;
    }
    bert.send(&room, "m.sticker", json!({ "body": "gull", "url": "mxc://messenger.localhost/gull" })).await;

    let filter = encoded(&json!({ "types": ["m.room.mess*"], "lazy_load_members": true }).to_string());
    let path = format!("/v3/rooms/{room}/messages?dir=b&limit=4&filter={filter}");
    let first = bert.get(&path).await.ok();
    assert_eq!(bodies(&first["chunk"]), ["wave 9", "wave 8", "wave 7", "wave 6"]);
    assert_eq!(each(&first["state"], "state_key"), [anna.user_id.as_str()]);
    let second = bert.get(&format!("{path}&from={}", text(&first["end"]))).await.ok();
    assert_eq!(bodies(&second["chunk"]), ["wave 5", "wave 4", "wave 3", "wave 2"]);
    let third = bert.get(&format!("{path}&from={}", text(&second["end"]))).await.ok();
    assert_eq!(bodies(&third["chunk"]), ["wave 1", "wave 0"]);
    let forwards = bert.get(&format!("/v3/rooms/{room}/messages?dir=f&limit=1000")).await.ok();
    assert_eq!(bodies(&forwards["chunk"]).len(), 10);

    let with_url = encoded(&json!({ "contains_url": true }).to_string());
    let page = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&filter={with_url}")).await.ok();
    assert_eq!(each(&page["chunk"], "type"), ["m.sticker"]);
    let not_by_anna = encoded(&json!({ "not_senders": [anna.user_id] }).to_string());
    let page = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&filter={not_by_anna}")).await.ok();
    assert_eq!(each(&page["chunk"], "type"), ["m.sticker", "m.room.member"]);
    let elsewhere = encoded(&json!({ "not_rooms": [room] }).to_string());
    let page = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&filter={elsewhere}")).await.ok();
    assert_eq!(list(&page["chunk"]).len(), 0);
    anna.get(&format!("/v3/rooms/{room}/messages?dir=b&from=nonsense")).await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn an_event_is_read_with_its_surroundings() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let mut events = Vec::new();
    for number in 0..5 {
        events.push(anna.say(&room, &format!("wave {number}")).await);
    }
    let context = anna.get(&format!("/v3/rooms/{room}/context/{}?limit=2", events[2])).await.ok();
    assert_eq!(bodies(&context["events_before"]), ["wave 1"]);
    assert_eq!(context["event"]["content"]["body"], "wave 2");
    assert_eq!(bodies(&context["events_after"]), ["wave 3"]);
    assert!(each(&context["state"], "type").contains(&"m.room.create".to_owned()));
    let before = format!("/v3/rooms/{room}/messages?dir=b&limit=1&from={}", text(&context["start"]));
    assert_eq!(bodies(&anna.get(&before).await.ok()["chunk"]), ["wave 0"]);
    let after = format!("/v3/rooms/{room}/messages?dir=f&limit=1&from={}", text(&context["end"]));
    assert_eq!(bodies(&anna.get(&after).await.ok()["chunk"]), ["wave 4"]);

    let event = anna.get(&format!("/v3/rooms/{room}/event/{}", events[3])).await.ok();
    let ts = event["origin_server_ts"].as_u64().expect("an event has a time");
    let near =
        anna.get(&format!("/v1/rooms/{room}/timestamp_to_event?dir=b&ts={}", ts + 1_000_000)).await.ok();
    assert_eq!(text(&near["event_id"]), events[4]);
    let none = format!("/v1/rooms/{room}/timestamp_to_event?dir=f&ts={}", ts + 1_000_000);
    anna.get(&none).await.fails(404, "M_NOT_FOUND");

    let snapshot = anna.get(&format!("/v3/rooms/{room}/initialSync")).await.ok();
    assert_eq!(bodies(&snapshot["messages"]["chunk"]).last().map(String::as_str), Some("wave 4"));
}

#[tokio::test]
async fn a_redacted_message_is_gone() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(WHATSAPP, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let slip = bert.say(&room, "a slip of the tongue").await;
    let event = anna.say(&room, "mine").await;

    let redact = |event: &str| format!("/v3/rooms/{room}/redact/{event}/1");
    bert.put(&redact(&event), json!({})).await.fails(403, "M_FORBIDDEN");
    let redaction = bert.put(&redact(&slip), json!({ "reason": "oops" })).await.ok();
    let again = bert.put(&redact(&slip), json!({ "reason": "oops" })).await.ok();
    assert_eq!(redaction, again, "a repeated transaction makes no second event");

    let gone = anna.get(&format!("/v3/rooms/{room}/event/{slip}")).await.ok();
    assert_eq!(gone["content"], json!({}));
    assert_eq!(gone["unsigned"]["redacted_because"]["content"]["reason"], "oops");
    assert_eq!(gone["unsigned"]["redacted_because"]["event_id"], redaction["event_id"]);
}

#[tokio::test]
async fn relations_and_threads_are_found() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let root = anna.say(&room, "Where is the ferry?").await;
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": root, "key": "⛴" } });
    let reaction_id = bert.send(&room, "m.reaction", reaction.clone()).await;
    bert.try_send(&room, "m.reaction", reaction).await.fails(400, "M_DUPLICATE_ANNOTATION");
    let edit = json!({
        "msgtype": "m.text", "body": "* Where is the boat?",
        "m.new_content": { "msgtype": "m.text", "body": "Where is the boat?" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": root },
    });
    let edit_id = anna.send(&room, "m.room.message", edit).await;
    let reply = json!({
        "msgtype": "m.text", "body": "At sea",
        "m.relates_to": { "rel_type": "m.thread", "event_id": root },
    });
    let reply_id = bert.send(&room, "m.room.message", reply).await;

    let relations = format!("/v1/rooms/{room}/relations/{root}");
    let all = anna.get(&relations).await.ok();
    assert_eq!(each(&all["chunk"], "event_id"), [reply_id.clone(), edit_id.clone(), reaction_id.clone()]);
    let page = anna.get(&format!("{relations}?limit=2")).await.ok();
    let rest = anna.get(&format!("{relations}?from={}", text(&page["next_batch"]))).await.ok();
    assert_eq!(each(&rest["chunk"], "event_id"), [reaction_id.as_str()]);
    let oldest = anna.get(&format!("{relations}?dir=f&limit=1")).await.ok();
    assert_eq!(each(&oldest["chunk"], "event_id"), [reaction_id.as_str()]);
    let replies = anna.get(&format!("{relations}/m.thread/m.room.message")).await.ok();
    assert_eq!(each(&replies["chunk"], "event_id"), [reply_id.as_str()]);
    let edits = anna.get(&format!("{relations}/m.replace")).await.ok();
    assert_eq!(each(&edits["chunk"], "event_id"), [edit_id]);

    let on_reply =
        json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": reply_id, "key": "👍" } });
    let deep = anna.send(&room, "m.reaction", on_reply).await;
    let recursed = anna.get(&format!("{relations}?recurse=true")).await.ok();
    assert!(each(&recursed["chunk"], "event_id").contains(&deep) && recursed["recursion_depth"].is_u64());

    let threads = bert.get(&format!("/v1/rooms/{room}/threads")).await.ok();
    let thread = &threads["chunk"][0];
    assert_eq!(text(&thread["event_id"]), root);
    let bundle = &thread["unsigned"]["m.relations"]["m.thread"];
    assert_eq!(
        (bundle["count"].as_u64(), bundle["current_user_participated"].as_bool()),
        (Some(1), Some(true))
    );
    let carl = network.register(WHATSAPP, "carl").await;
    carl.join(&room).await.ok();
    let none = carl.get(&format!("/v1/rooms/{room}/threads?include=participated")).await.ok();
    assert_eq!(list(&none["chunk"]).len(), 0);
}

/// The state of a room after an answer of sync: the state before the timeline, and what the timeline changes.
fn state_after(room: &Value) -> BTreeMap<(String, String), Value> {
    let events = list(&room["state"]["events"]).iter().chain(list(&room["timeline"]["events"]));
    let state = events.filter_map(|event| {
        let state_key = event["state_key"].as_str()?.to_owned();
        Some(((text(&event["type"]), state_key), event["content"].clone()))
    });
    state.collect()
}

/// State from a past that is hidden has to reach people who join. Without `m.room.encryption` a client would
/// go on in the clear.
#[tokio::test]
async fn state_is_told_from_a_past_that_is_not_shown() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let cora = network.register(WHATSAPP, "cora").await;
    let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    let filter = encoded(&json!({ "room": { "timeline": { "limit": 100 } } }).to_string());
    for visibility in ["invited", "joined"] {
        let initial_state = json!([
            { "type": "m.room.history_visibility", "content": { "history_visibility": visibility } },
            { "type": "m.room.encryption", "content": encryption },
        ]);
        let words = json!({ "preset": "public_chat", "initial_state": initial_state });
        let room = anna.create_room(words).await;
        cora.join(&room).await.ok();
        anna.set_state(&room, "m.room.topic", json!({ "topic": "Old" })).await.ok();
        anna.say(&room, "before bert").await;
        anna.set_state(&room, "m.room.topic", json!({ "topic": "New" })).await.ok();
        let since = text(&bert.get("/v3/sync").await.ok()["next_batch"]);
        bert.join(&room).await.ok();

        for since in [String::new(), format!("&since={since}")] {
            let synced = bert.get(&format!("/v3/sync?filter={filter}{since}")).await.ok();
            let joined = &synced["rooms"]["join"][&room];
            assert!(bodies(&joined["timeline"]["events"]).is_empty(), "{visibility}: {joined}");
            let state = state_after(joined);
            let content = |kind: &str, key: &str| state.get(&(kind.to_owned(), key.to_owned()));
            assert_eq!(content("m.room.encryption", ""), Some(&encryption), "{visibility}");
            assert_eq!(content("m.room.topic", ""), Some(&json!({ "topic": "New" })), "{visibility}");
            assert!(content("m.room.member", cora.user_id.as_str()).is_some(), "{visibility}");
            assert!(content("m.room.history_visibility", "").is_some(), "{visibility}");
        }
    }
}

/// Clients look for the target in one place or the other, whatever version the room has.
#[tokio::test]
async fn redactions_name_what_they_redact_in_both_places() {
    let network = Network::open().await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "bert").await);
    for version in ["6", "9", "10", "11", "12"] {
        let room = anna.create_room(json!({ "preset": "public_chat", "room_version": version })).await;
        bert.join(&room).await.ok();
        let said = anna.say(&room, "regret").await;
        let redact = format!("/v3/rooms/{room}/redact/{said}/{}", anna.next_transaction());
        let redaction = text(&anna.put(&redact, json!({ "reason": "typo" })).await.ok()["event_id"]);
        let content = json!({ "redacts": said, "reason": "typo" });
        let event = |id: &str| format!("/v3/rooms/{room}/event/{id}");
        let alone = bert.get(&event(&redaction)).await.ok();
        let because = bert.get(&event(&said)).await.ok()["unsigned"]["redacted_because"].clone();
        let sync = bert.get("/v3/sync").await.ok()["rooms"]["join"][&room]["timeline"]["events"].clone();
        let synced = list(&sync).last().expect("an event").clone();
        for told in [alone, because, synced] {
            assert_eq!((&told["redacts"], &told["content"]), (&json!(said), &content), "version {version}");
        }
    }
}
