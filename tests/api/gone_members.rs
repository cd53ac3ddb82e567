//! What people read who have left a room, who have forgotten it, or who were never in it.

use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, each, encoded, list, text};

/// Every request that reads a room, for an event in it.
fn readers(room: &str, event: &str) -> Vec<String> {
    let mut paths = vec![
        format!("/v3/rooms/{room}/event/{event}"),
        format!("/v3/rooms/{room}/context/{event}?limit=100"),
        format!("/v1/rooms/{room}/relations/{event}"),
        format!("/v1/rooms/{room}/relations/{event}/m.thread"),
        format!("/v1/rooms/{room}/relations/{event}/m.thread/m.room.message"),
        format!("/v1/rooms/{room}/timestamp_to_event?ts=0&dir=f"),
    ];
    for tail in ["messages?dir=b&limit=100", "messages?dir=f&limit=100", "state", "state/m.room.create"] {
        paths.push(format!("/v3/rooms/{room}/{tail}"));
    }
    for tail in ["members", "joined_members", "aliases", "initialSync"] {
        paths.push(format!("/v3/rooms/{room}/{tail}"));
    }
    paths.push(format!("/v1/rooms/{room}/threads"));
    paths.push(format!("/v1/rooms/{room}/hierarchy"));
    paths
}

/// An answer without what changes with time and what is the reader's own.
fn settled(answer: Answer) -> (u16, Value) {
    fn settle(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("age");
                fields.values_mut().for_each(settle);
            }
            Value::Array(values) => {
                values.sort_by_cached_key(|value| text(&value["event_id"]));
                values.iter_mut().for_each(settle);
            }
            _ => {}
        }
    }
    let mut json = answer.json;
    settle(&mut json);
    (answer.status.as_u16(), json)
}

async fn put_out(anna: &Client, room: &str, who: &Client, way: &str) {
    if way == "leave" {
        who.leave(room).await.ok();
    } else {
        anna.post(&format!("/v3/rooms/{room}/{way}"), json!({ "user_id": who.user_id })).await.ok();
    }
}

async fn show_to_everybody(anna: &Client, room: &str) {
    let visibility = json!({ "history_visibility": "world_readable" });
    anna.set_state(room, "m.room.history_visibility", visibility).await.ok();
}

async fn forget(who: &Client, room: &str) {
    who.post(&format!("/v3/rooms/{room}/forget"), json!({})).await.ok();
}

/// A forgotten room answers like one that the user never joined.
/// <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidforget>
#[tokio::test]
async fn a_forgotten_room_answers_as_one_never_joined() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for platform in [INSTAGRAM, MESSENGER] {
        let stranger = network.register(platform, "stranger").await;
        for (way, is_open) in ["leave", "kick", "ban"].into_iter().flat_map(|way| [(way, false), (way, true)])
        {
            let ben = network.register(platform, &format!("ben-{way}-{is_open}")).await;
            let room = anna.create_room(json!({ "invite": [ben.user_id] })).await;
            ben.join(&room).await.ok();
            let event = anna.say(&room, "of that time").await;
            ben.say(&room, "said by ben").await;
            let relates_to = json!({ "rel_type": "m.thread", "event_id": event });
            let reply = json!({ "msgtype": "m.text", "body": "a reply", "m.relates_to": relates_to });
            anna.send(&room, "m.room.message", reply).await;
            put_out(&anna, &room, &ben, way).await;
            if is_open {
                show_to_everybody(&anna, &room).await;
            }
            anna.say(&room, "later").await;
            let before = ben.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
            assert_eq!(before["content"]["body"], "of that time");
            forget(&ben, &room).await;
            let again = network.reopen().await;
            for path in readers(&room, &event) {
                let expected = settled(stranger.get(&path).await);
                assert_eq!(settled(ben.get(&path).await), expected, "{platform}, {way}, {is_open}: {path}");
                let after_restart = settled(ben.on(&again).get(&path).await);
                assert_eq!(after_restart, expected, "{platform}, {way}, {is_open}: {path}");
            }
            if is_open {
                assert_eq!(ben.heard(&room).await, ["later"]);
            }
            let report = format!("/v3/rooms/{room}/report/{event}");
            ben.post(&report, json!({ "reason": "?" })).await.fails(404, "M_NOT_FOUND");
            let subscription =
                format!("/unstable/io.element.msc4306/rooms/{room}/thread/{event}/subscription");
            ben.get(&subscription).await.fails(404, "M_NOT_FOUND");
            let filter = json!({ "room": { "include_leave": true } });
            let sync = ben.get(&format!("/v3/sync?filter={}", encoded(&filter.to_string()))).await.ok();
            assert_eq!(sync["rooms"]["leave"][&room], Value::Null);
            let words =
                json!({ "room_subscriptions": { &room: { "timeline_limit": 9, "required_state": [] } } });
            let sliding = ben.post("/unstable/org.matrix.simplified_msc3575/sync", words).await.ok();
            assert_eq!(sliding["rooms"][&room], Value::Null, "{sliding}");
        }
    }
}

#[tokio::test]
async fn who_has_left_a_room_that_shows_itself_reads_it_as_strangers_do() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(INSTAGRAM, "ben").await;
    let cora = network.register(MESSENGER, "cora").await;
    let dan = network.register(WHATSAPP, "dan").await;
    let stranger = network.register(MESSENGER, "stranger").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let gone = [(&ben, "leave"), (&cora, "kick"), (&dan, "ban")];
    for (who, _) in gone {
        who.join(&room).await.ok();
    }
    anna.say(&room, "among us").await;
    show_to_everybody(&anna, &room).await;
    let event = anna.say(&room, "to everybody").await;
    for (who, way) in gone {
        put_out(&anna, &room, who, way).await;
    }
    anna.set_state(&room, "m.room.topic", json!({ "topic": "Later" })).await.ok();
    let relates_to = json!({ "rel_type": "m.thread", "event_id": event });
    let reply = json!({ "msgtype": "m.text", "body": "a later reply", "m.relates_to": relates_to });
    let reply = anna.send(&room, "m.room.message", reply).await;
    let newcomer = network.register(WHATSAPP, "newcomer").await;
    newcomer.join(&room).await.ok();
    for (who, way) in gone {
        for path in readers(&room, &event) {
            let answer = who.get(&path).await;
            assert_eq!(answer.status, 200, "{way}: {path}: {}", answer.json);
        }
        assert_eq!(who.heard(&room).await, ["a later reply", "to everybody", "among us"], "{way}");
        assert_eq!(stranger.heard(&room).await, ["a later reply", "to everybody"]);
        for path in ["state", "members", "joined_members"] {
            let path = format!("/v3/rooms/{room}/{path}");
            assert_eq!(settled(who.get(&path).await), settled(stranger.get(&path).await), "{way}: {path}");
        }
        let topic = who.get(&format!("/v3/rooms/{room}/state/m.room.topic")).await.ok();
        assert_eq!(topic["topic"], "Later");
        let threads = who.get(&format!("/v1/rooms/{room}/threads")).await.ok();
        let latest = &threads["chunk"][0]["unsigned"]["m.relations"]["m.thread"]["latest_event"];
        assert_eq!(latest["event_id"], reply.as_str(), "{way}");
    }
    // Once the room is closed, each sees what it saw of its own time.
    let closed = json!({ "history_visibility": "shared" });
    anna.set_state(&room, "m.room.history_visibility", closed).await.ok();
    for (who, way) in gone {
        assert_eq!(who.heard(&room).await, ["to everybody", "among us"], "{way}");
        who.get(&format!("/v3/rooms/{room}/event/{reply}")).await.fails(404, "M_NOT_FOUND");
    }
    stranger.get(&format!("/v3/rooms/{room}/messages?dir=b")).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn strangers_are_told_who_is_in_a_room_that_shows_itself() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let path = format!("/v3/rooms/{room}/joined_members");
    for platform in [INSTAGRAM, MESSENGER] {
        let stranger = network.register(platform, "stranger").await;
        stranger.get(&path).await.fails(403, "M_FORBIDDEN");
        show_to_everybody(&anna, &room).await;
        let joined = stranger.get(&path).await.ok();
        assert_eq!(joined, anna.get(&path).await.ok());
        assert_eq!(joined["joined"].as_object().map(serde_json::Map::len), Some(2));
        let visibility = json!({ "history_visibility": "shared" });
        anna.set_state(&room, "m.room.history_visibility", visibility).await.ok();
        stranger.get(&path).await.fails(403, "M_FORBIDDEN");
    }
    ben.leave(&room).await.ok();
    ben.get(&path).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn before_a_room_began_nobody_was_in_it() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let before_it_was = text(&anna.get("/v3/sync").await.ok()["next_batch"]);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let history = anna.get(&format!("/v3/rooms/{room}/messages?dir=f&limit=1")).await.ok();
    let (start, created) = (text(&history["start"]), text(&history["end"]));
    let alone = text(&anna.get("/v3/sync").await.ok()["next_batch"]);
    ben.join(&room).await.ok();
    let members = async |who: &Client, at: &str| {
        let found = who.get(&format!("/v3/rooms/{room}/members?at={at}")).await.ok();
        each(&found["chunk"], "state_key")
    };
    for who in [&anna, &ben] {
        for at in [&before_it_was, &start, &created] {
            assert_eq!(members(who, at).await, Vec::<String>::new(), "{at}");
        }
        assert_eq!(members(who, &alone).await, [anna.user_id.as_str()]);
        let now = text(&who.get("/v3/sync").await.ok()["next_batch"]);
        assert_eq!(members(who, &now).await.len(), 2);
    }
    ben.leave(&room).await.ok();
    assert_eq!(members(&ben, &before_it_was).await, Vec::<String>::new());
    assert_eq!(members(&ben, &alone).await, [anna.user_id.as_str()]);
    let late = network.register(MESSENGER, "late").await;
    late.join(&room).await.ok();
    let now = text(&late.get("/v3/sync").await.ok()["next_batch"]);
    assert!(!members(&ben, &now).await.contains(&late.user_id));
    assert!(!list(&ben.get(&format!("/v3/rooms/{room}/members")).await.ok()["chunk"]).is_empty());
}
