//! What is told of an event together with it: threads, edits, references and its redaction. It is no more
//! than the reader may see.
//! <https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events>

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, each, encoded, list, text};

fn related(body: &str, rel_type: &str, parent: &str) -> Value {
    let relates_to = json!({ "rel_type": rel_type, "event_id": parent });
    json!({ "msgtype": "m.text", "body": body, "m.relates_to": relates_to })
}

fn edit(body: &str, parent: &str) -> Value {
    let mut content = related(body, "m.replace", parent);
    content["m.new_content"] = json!({ "msgtype": "m.text", "body": body });
    content
}

/// A public room of this version that the first user makes, with both in it.
async fn room_of_both(creator: &Client, other: &Client, version: &str) -> String {
    let room = creator.create_room(json!({ "preset": "public_chat", "room_version": version })).await;
    other.join(&room).await.ok();
    room
}

async fn reply(who: &Client, room: &str, root: &str, body: &str) -> String {
    who.send(room, "m.room.message", related(body, "m.thread", root)).await
}

/// What is bundled with an event for somebody.
async fn bundle(who: &Client, room: &str, event: &str) -> Value {
    let event = who.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
    event["unsigned"]["m.relations"].clone()
}

/// The count of replies, the text of the newest one, and whether the reader takes part.
async fn thread(who: &Client, room: &str, root: &str) -> (u64, String, bool) {
    let bundle = bundle(who, room, root).await;
    let thread = &bundle["m.thread"];
    (
        thread["count"].as_u64().unwrap_or(0),
        text(&thread["latest_event"]["content"]["body"]),
        thread["current_user_participated"] == true,
    )
}

/// Everything that a room shows to somebody, by every endpoint that has events.
async fn everything_shown(who: &Client, room: &str, events: &[String]) -> Vec<(String, String)> {
    let mut paths = vec![
        format!("/v3/rooms/{room}/messages?dir=b&limit=100"),
        format!("/v3/rooms/{room}/messages?dir=f&limit=100"),
        format!("/v1/rooms/{room}/threads"),
        format!("/v3/rooms/{room}/initialSync"),
    ];
    for event in events {
        paths.push(format!("/v3/rooms/{room}/event/{event}"));
        paths.push(format!("/v3/rooms/{room}/context/{event}?limit=100"));
        paths.push(format!("/v1/rooms/{room}/relations/{event}?recurse=true"));
    }
    let filter = json!({ "room": { "include_leave": true, "timeline": { "limit": 100 } } });
    paths.push(format!("/v3/sync?filter={}", encoded(&filter.to_string())));
    let mut shown = Vec::new();
    for path in paths {
        let answer = who.get(&path).await.ok();
        shown.push((path, answer.to_string()));
    }
    let subscription = json!({ "timeline_limit": 100, "required_state": [["*", "*"]] });
    let words = json!({ "room_subscriptions": { room: subscription } });
    let sliding = who.post("/unstable/org.matrix.simplified_msc3575/sync", words).await.ok();
    assert!(!list(&sliding["rooms"][room]["timeline"]).is_empty(), "{sliding}");
    shown.push(("sliding sync".to_owned(), sliding.to_string()));
    shown
}

#[tokio::test]
async fn who_has_gone_is_told_nothing_of_what_came_after() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ways = ["left", "kick", "ban"];
    let versions = ["6", "10", "12"];
    for (platform, (way, version)) in [INSTAGRAM, MESSENGER]
        .into_iter()
        .flat_map(|one| ways.into_iter().zip(versions).map(move |w| (one, w)))
    {
        let ben = network.register(platform, &format!("ben-{way}")).await;
        let words = json!({ "room_version": version, "invite": [ben.user_id] });
        let room = anna.create_room(words).await;
        ben.join(&room).await.ok();
        let root = anna.say(&room, "root").await;
        let early = reply(&anna, &room, &root, "early").await;
        let later_root = anna.say(&room, "later a root").await;
        let edited = anna.say(&room, "later edited").await;
        let referred = anna.say(&room, "later referred to").await;
        let redacted = anna.say(&room, "later redacted").await;
        let on_edit = anna.say(&room, "reply that is later edited").await;
        match way {
            "left" => ben.leave(&room).await.ok(),
            way => {
                let words = json!({ "user_id": ben.user_id });
                anna.post(&format!("/v3/rooms/{room}/{way}"), words).await.ok()
            }
        };
        let mut after = vec![
            reply(&anna, &room, &root, "SECRET").await,
            reply(&anna, &room, &later_root, "SECRET").await,
            anna.send(&room, "m.room.message", edit("SECRET", &edited)).await,
            anna.send(&room, "m.room.message", edit("SECRET", &early)).await,
            anna.send(&room, "m.room.message", edit("SECRET", &on_edit)).await,
            anna.send(&room, "m.room.message", related("SECRET", "m.reference", &referred)).await,
        ];
        let path = format!("/v3/rooms/{room}/redact/{redacted}/{}", anna.next_transaction());
        after.push(text(&anna.put(&path, json!({ "reason": "SECRET" })).await.ok()["event_id"]));

        assert_eq!(thread(&anna, &room, &root).await, (2, "SECRET".to_owned(), true));
        assert_eq!(thread(&ben, &room, &root).await, (1, "early".to_owned(), false), "{platform} {way}");
        assert_eq!(bundle(&ben, &room, &later_root).await, Value::Null);
        let threads = ben.get(&format!("/v1/rooms/{room}/threads")).await.ok();
        assert_eq!(each(&threads["chunk"], "event_id"), [root.as_str()]);
        let events = [root, early, later_root.clone(), edited, referred, redacted];
        for (path, answer) in everything_shown(&ben, &room, &events).await {
            assert!(!answer.contains("SECRET"), "{platform}, {way}: {path} says {answer}");
            for event in &after {
                assert!(
                    !answer.contains(event.as_str()),
                    "{platform}, {way}: {path} names {event}: {answer}"
                );
            }
        }
        let filter = encoded(&json!({ "related_by_rel_types": ["m.thread"] }).to_string());
        let found = ben.get(&format!("/v3/rooms/{room}/messages?dir=b&filter={filter}")).await.ok();
        assert!(!each(&found["chunk"], "event_id").contains(&later_root), "{found}");
    }
}

/// Where members see only what came while they were there, somebody who comes back does not see what came in
/// between.
#[tokio::test]
async fn who_comes_back_is_not_told_of_the_time_away() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for platform in [INSTAGRAM, MESSENGER] {
        let ben = network.register(platform, "ben").await;
        let visibility =
            json!({ "type": "m.room.history_visibility", "content": { "history_visibility": "joined" } });
        let words = json!({ "preset": "public_chat", "initial_state": [visibility] });
        let room = anna.create_room(words).await;
        ben.join(&room).await.ok();
        let root = anna.say(&room, "root").await;
        let other = anna.say(&room, "the root of a thread of that time").await;
        reply(&anna, &room, &root, "early").await;
        ben.leave(&room).await.ok();
        reply(&anna, &room, &root, "SECRET").await;
        reply(&anna, &room, &other, "SECRET").await;
        anna.send(&room, "m.room.message", edit("SECRET", &root)).await;
        anna.send(&room, "m.room.message", related("SECRET", "m.reference", &root)).await;
        ben.join(&room).await.ok();
        assert_eq!(thread(&ben, &room, &root).await, (1, "early".to_owned(), false));
        for (path, answer) in everything_shown(&ben, &room, &[root.clone(), other]).await {
            assert!(!answer.contains("SECRET"), "{path} says {answer}");
        }
        let late = reply(&ben, &room, &root, "late").await;
        assert_eq!(thread(&ben, &room, &root).await, (2, "late".to_owned(), true));
        assert_eq!(thread(&anna, &room, &root).await, (3, "late".to_owned(), true));
        let redaction = format!("/v3/rooms/{room}/redact/{late}/{}", ben.next_transaction());
        ben.put(&redaction, json!({})).await.ok();
        assert_eq!(thread(&ben, &room, &root).await, (1, "early".to_owned(), false));
    }
}

#[tokio::test]
async fn who_has_taken_back_the_only_reply_takes_no_part() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    for version in ["6", "11", "12"] {
        let room = room_of_both(&anna, &ben, version).await;
        let root = anna.say(&room, "root").await;
        reply(&anna, &room, &root, "hers").await;
        let first = reply(&ben, &room, &root, "first").await;
        let second = reply(&ben, &room, &root, "second").await;
        let redact = async |event: &str| {
            let path = format!("/v3/rooms/{room}/redact/{event}/{}", ben.next_transaction());
            ben.put(&path, json!({})).await.ok();
        };
        let participated = format!("/v1/rooms/{room}/threads?include=participated");
        redact(&second).await;
        assert_eq!(thread(&ben, &room, &root).await, (2, "first".to_owned(), true));
        assert_eq!(each(&ben.get(&participated).await.ok()["chunk"], "event_id"), [root.as_str()]);
        redact(&first).await;
        assert_eq!(thread(&ben, &room, &root).await, (1, "hers".to_owned(), false));
        assert!(list(&ben.get(&participated).await.ok()["chunk"]).is_empty());
        reply(&ben, &room, &root, "again").await;
        assert_eq!(thread(&ben, &room, &root).await, (2, "again".to_owned(), true));
    }
}

/// What relates to another event is no root of a thread.
/// <https://spec.matrix.org/v1.19/client-server-api/#validation-of-mthread-relationships>
#[tokio::test]
async fn what_relates_to_another_event_roots_no_thread() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    for version in ["6", "12"] {
        let room = room_of_both(&anna, &ben, version).await;
        let root = anna.say(&room, "root").await;
        let reaction =
            json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": root, "key": "⛴" } });
        let children = [
            reply(&anna, &room, &root, "a reply").await,
            anna.send(&room, "m.room.message", edit("an edit", &root)).await,
            anna.send(&room, "m.room.message", related("a reference", "m.reference", &root)).await,
            anna.send(&room, "m.reaction", reaction).await,
        ];
        for child in &children {
            for who in [&anna, &ben] {
                let nested = related("nested", "m.thread", child);
                who.try_send(&room, "m.room.message", nested).await.fails(400, "M_UNKNOWN");
            }
        }
        // A rich reply has no `rel_type`.
        let mut answer = json!({ "msgtype": "m.text", "body": "an answer" });
        answer["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": root } });
        let answer = ben.send(&room, "m.room.message", answer).await;
        reply(&anna, &room, &answer, "in a thread of its own").await;
        assert_eq!(thread(&ben, &room, &answer).await, (1, "in a thread of its own".to_owned(), true));
        let threads = ben.get(&format!("/v1/rooms/{room}/threads")).await.ok();
        assert_eq!(each(&threads["chunk"], "event_id"), [answer, root]);
    }
}

/// Only valid edits are bundled.
/// <https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events>
#[tokio::test]
async fn only_valid_edits_are_bundled() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    for version in ["6", "12"] {
        let room = room_of_both(&anna, &ben, version).await;
        let event = anna.say(&room, "before").await;
        let first = anna.send(&room, "m.room.message", edit("after", &event)).await;
        // These are without `m.new_content`, by somebody else, and of another type.
        anna.send(&room, "m.room.message", related("no content", "m.replace", &event)).await;
        ben.send(&room, "m.room.message", edit("by ben", &event)).await;
        anna.send(&room, "org.example.other", edit("other type", &event)).await;
        // This is an edit of the edit.
        anna.send(&room, "m.room.message", edit("after that", &first)).await;
        for who in [&anna, &ben] {
            let told = bundle(who, &room, &event).await;
            assert_eq!(told["m.replace"]["event_id"], first.as_str(), "{told}");
            assert_eq!(bundle(who, &room, &first).await, Value::Null);
        }

        // What is encrypted has its new content inside.
        let ciphertext =
            json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "session_id": "s" });
        let sealed = anna.send(&room, "m.room.encrypted", ciphertext.clone()).await;
        let mut content = ciphertext;
        content["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": sealed });
        let sealed_edit = anna.send(&room, "m.room.encrypted", content).await;
        assert_eq!(bundle(&ben, &room, &sealed).await["m.replace"]["event_id"], sealed_edit.as_str());
    }
}

/// What relates to a redacted event stays, except for its edits.
/// <https://spec.matrix.org/v1.19/client-server-api/#server-side-aggregation-of-mreplace-relationships>
#[tokio::test]
async fn a_redacted_root_keeps_its_thread() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let root = anna.say(&room, "root").await;
    reply(&ben, &room, &root, "a reply").await;
    anna.send(&room, "m.room.message", edit("edited", &root)).await;
    let redaction = format!("/v3/rooms/{room}/redact/{root}/{}", anna.next_transaction());
    anna.put(&redaction, json!({ "reason": "why not" })).await.ok();
    assert_eq!(thread(&ben, &room, &root).await, (1, "a reply".to_owned(), true));
    assert_eq!(bundle(&ben, &room, &root).await["m.replace"], Value::Null);
}
