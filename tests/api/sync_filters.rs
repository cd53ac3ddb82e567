//! Filters of sync: what they leave out, what they must not leave out, and that nobody is woken for what they
//! leave out.

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, RoomVersionId,
    serde::Base64,
    signatures::{PublicKeyMap, PublicKeySet, Verified, verify_event},
};
use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, bodies, each, encoded, list, text};

/// The ids of events by type and state key.
type State = BTreeMap<(String, String), String>;

async fn sync(client: &Client, filter: &Value, more: &str) -> Value {
    let filter = encoded(&filter.to_string());
    client.get(&format!("/v3/sync?filter={filter}{more}")).await.ok()
}

/// The names of the state in an answer, each by the parameter that asks for it.
const SHAPES: [(&str, &str); 3] = [
    ("", "state"),
    ("&use_state_after=true", "state_after"),
    ("&org.matrix.msc4222.use_state_after=true", "org.matrix.msc4222.state_after"),
];

/// Takes the state of a room from an answer, as a client does.
fn take_state(state: &mut State, room: &Value, name: &str) {
    let timeline = if name == "state" { list(&room["timeline"]["events"]) } else { &[] };
    for event in list(&room[name]["events"]).iter().chain(timeline) {
        if let Some(state_key) = event["state_key"].as_str() {
            state.insert((text(&event["type"]), state_key.to_owned()), text(&event["event_id"]));
        }
    }
}

async fn state_of(client: &Client, room: &str) -> State {
    let mut state = State::new();
    let events = client.get(&format!("/v3/rooms/{room}/state")).await.ok();
    take_state(&mut state, &json!({ "state": { "events": events } }), "state");
    state
}

/// Filters of the timeline that leave out events of the state.
fn dropping_filters(room: &str, ben: &Client) -> Vec<Value> {
    vec![
        json!({ "types": ["m.room.message"] }),
        json!({ "types": [] }),
        json!({ "not_types": ["m.room.*"] }),
        json!({ "not_types": ["m.room.topic", "m.room.create"] }),
        json!({ "rooms": [] }),
        json!({ "not_rooms": [room] }),
        json!({ "senders": [ben.user_id] }),
        json!({ "not_senders": [ben.user_id] }),
        json!({ "contains_url": true }),
        json!({ "limit": 0 }),
        json!({ "limit": 1, "types": ["m.room.message", "m.room.name"] }),
        json!({}),
    ]
}

#[tokio::test]
async fn state_is_whole_whatever_the_filter_of_the_timeline_drops() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let words = json!({ "preset": "public_chat", "name": "Quay", "topic": "Ships" });
    let room = anna.create_room(words).await;
    ben.join(&room).await.ok();
    ben.say(&room, "hello").await;

    for timeline in dropping_filters(&room, &ben) {
        for (more, name) in SHAPES {
            let filter = json!({ "room": { "timeline": timeline } });
            let case = format!("{timeline}, {name}");
            let first = sync(&anna, &filter, more).await;
            let mut state = State::new();
            take_state(&mut state, &first["rooms"]["join"][&room], name);
            assert_eq!(state, state_of(&anna, &room).await, "first: {case}");

            ben.say(&room, "before").await;
            anna.set_state(&room, "m.room.topic", json!({ "topic": case })).await.ok();
            let displayname = json!({ "displayname": case });
            ben.put(&format!("/v3/profile/{}/displayname", ben.user_id), displayname).await.ok();
            ben.say(&room, "between").await;
            anna.set_state(&room, "m.room.name", json!({ "name": case })).await.ok();
            anna.say(&room, "after").await;
            let since = format!("{more}&since={}", text(&first["next_batch"]));
            let later = sync(&anna, &filter, &since).await;
            take_state(&mut state, &later["rooms"]["join"][&room], name);
            assert_eq!(state, state_of(&anna, &room).await, "later: {case}");
        }
    }
}

#[tokio::test]
async fn the_state_of_a_room_that_was_left_is_whole_too() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat", "name": "Quay" })).await;
    for timeline in dropping_filters(&room, &anna) {
        for (more, name) in SHAPES {
            let filter = json!({ "room": { "timeline": timeline, "include_leave": true } });
            let case = format!("{timeline}, {name}");
            ben.join(&room).await.ok();
            let joined = sync(&ben, &filter, more).await;
            let mut state = State::new();
            take_state(&mut state, &joined["rooms"]["join"][&room], name);
            anna.set_state(&room, "m.room.topic", json!({ "topic": case })).await.ok();
            ben.leave(&room).await.ok();
            let truth = state_of(&ben, &room).await;
            let since = format!("{more}&since={}", text(&joined["next_batch"]));
            take_state(&mut state, &sync(&ben, &filter, &since).await["rooms"]["leave"][&room], name);
            assert_eq!(state, truth, "later: {case}");
            let mut state = State::new();
            take_state(&mut state, &sync(&ben, &filter, more).await["rooms"]["leave"][&room], name);
            assert_eq!(state, truth, "first: {case}");
        }
    }
}

#[tokio::test]
async fn a_timeline_has_no_more_events_than_its_limit_in_joined_and_left_rooms() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let joined = anna.create_room(json!({ "preset": "public_chat" })).await;
    let left = anna.create_room(json!({ "preset": "public_chat" })).await;
    let banned = anna.create_room(json!({ "preset": "public_chat" })).await;
    for room in [&joined, &left, &banned] {
        ben.join(room).await.ok();
        ben.say(room, "hello").await;
    }
    ben.leave(&left).await.ok();
    ben.leave(&banned).await.ok();
    anna.post(&format!("/v3/rooms/{banned}/ban"), json!({ "user_id": ben.user_id })).await.ok();
    let declined = anna.create_room(json!({ "invite": [ben.user_id] })).await;
    ben.leave(&declined).await.ok();

    for limit in 0..3 {
        for (more, name) in SHAPES {
            let filter = json!({ "room": { "include_leave": true, "timeline": { "limit": limit } } });
            let rooms = sync(&ben, &filter, more).await["rooms"].clone();
            for (kind, room) in [("join", &joined), ("leave", &left), ("leave", &banned)] {
                let room = &rooms[kind][room];
                assert_eq!(list(&room["timeline"]["events"]).len(), limit, "{kind} {limit} {name}: {room}");
                assert_eq!(room["timeline"]["limited"], true, "{kind} {limit} {name}");
            }
            for (room, membership) in [(&left, "leave"), (&banned, "ban"), (&declined, "leave")] {
                let mut state = State::new();
                take_state(&mut state, &rooms["leave"][room], name);
                let own = state.get(&("m.room.member".to_owned(), ben.user_id.clone()));
                let events =
                    [&rooms["leave"][room][name]["events"], &rooms["leave"][room]["timeline"]["events"]];
                let mut events = events.into_iter().flat_map(list);
                let own = events.find(|event| Some(&text(&event["event_id"])) == own);
                let own = own.map(|event| text(&event["content"]["membership"]));
                assert_eq!(own.as_deref(), Some(membership), "{limit} {name}");
            }
        }
    }
}

#[tokio::test]
async fn account_data_is_filtered() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let user = anna.user_id.clone();
    for kind in ["com.example.one", "com.example.two", "org.other"] {
        for within in [String::new(), format!("/rooms/{room}")] {
            anna.put(&format!("/v3/user/{user}{within}/account_data/{kind}"), json!({ "some": 1 }))
                .await
                .ok();
        }
    }
    let all = ["com.example.one", "com.example.two", "m.push_rules", "org.other"].as_slice();
    let cases = [
        (json!({}), all),
        (json!({ "types": ["com.example.one"] }), &all[..1]),
        (json!({ "types": ["com.example.*"] }), &all[..2]),
        (json!({ "types": ["*"] }), all),
        (json!({ "types": [] }), &[]),
        (json!({ "not_types": ["com.example.*"] }), &all[2..]),
        (json!({ "not_types": ["m.push_rules", "org.*"] }), &all[..2]),
        (json!({ "not_types": ["*"] }), &[]),
        (json!({ "senders": [user] }), all),
        (json!({ "senders": ["@ben:messenger.localhost"] }), &[]),
        (json!({ "senders": [] }), &[]),
        (json!({ "not_senders": [user] }), &[]),
    ];
    for (filter, wanted) in cases {
        let answer = sync(&anna, &json!({ "account_data": filter }), "").await;
        let mut kinds = each(&answer["account_data"]["events"], "type");
        kinds.sort();
        assert_eq!(kinds, wanted, "{filter}");
        let answer = sync(&anna, &json!({ "room": { "account_data": filter } }), "").await;
        let mut kinds = each(&answer["rooms"]["join"][&room]["account_data"]["events"], "type");
        kinds.sort();
        let wanted: Vec<_> = wanted.iter().filter(|kind| **kind != "m.push_rules").collect();
        assert_eq!(kinds.iter().collect::<Vec<_>>(), wanted, "of the room: {filter}");
    }
    for filter in [json!({ "rooms": [] }), json!({ "not_rooms": [room] })] {
        let answer = sync(&anna, &json!({ "room": { "account_data": filter } }), "").await;
        assert!(list(&answer["rooms"]["join"][&room]["account_data"]["events"]).is_empty(), "{filter}");
    }
}

#[tokio::test]
async fn presence_is_filtered() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let mut others = Vec::new();
    for (platform, name) in [(MESSENGER, "ben"), (INSTAGRAM, "carl")] {
        let other = network.register(platform, name).await;
        other.join(&room).await.ok();
        let status = format!("/v3/presence/{}/status", other.user_id);
        other.put(&status, json!({ "presence": "online", "status_msg": name })).await.ok();
        others.push(other.user_id);
    }
    let (ben, carl) = (others[0].as_str(), others[1].as_str());
    let of_others = |answer: Value| {
        let mut senders = each(&answer["presence"]["events"], "sender");
        senders.retain(|sender| *sender != anna.user_id);
        senders.sort();
        senders
    };
    for (filter, wanted) in [
        (json!({}), vec![ben, carl]),
        (json!({ "types": ["m.presence"] }), vec![ben, carl]),
        (json!({ "types": ["m.*"] }), vec![ben, carl]),
        (json!({ "types": [] }), vec![]),
        (json!({ "types": ["m.room.message"] }), vec![]),
        (json!({ "not_types": ["m.presence"] }), vec![]),
        (json!({ "not_types": ["*"] }), vec![]),
        (json!({ "senders": [ben] }), vec![ben]),
        (json!({ "not_senders": [ben] }), vec![carl]),
        (json!({ "senders": [ben, carl], "not_senders": [ben] }), vec![carl]),
        (json!({ "limit": 0 }), vec![]),
    ] {
        let mut wanted = wanted;
        wanted.sort_unstable();
        assert_eq!(of_others(sync(&anna, &json!({ "presence": filter }), "").await), wanted, "{filter}");
    }
    let two = json!({ "presence": { "senders": [ben, carl], "limit": 1 } });
    assert_eq!(of_others(sync(&anna, &two, "").await).len(), 1);
}

#[tokio::test]
async fn what_is_beside_the_history_of_a_room_is_filtered() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let event = anna.say(&room, "hello").await;
    ben.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    let typing = json!({ "typing": true, "timeout": 60_000 });
    ben.put(&format!("/v3/rooms/{room}/typing/{}", ben.user_id), typing).await.ok();

    for (filter, wanted) in [
        (json!({}), vec!["m.receipt", "m.typing"]),
        (json!({ "types": ["m.typing"] }), vec!["m.typing"]),
        (json!({ "types": [] }), vec![]),
        (json!({ "not_types": ["m.receipt"] }), vec!["m.typing"]),
        (json!({ "not_types": ["m.*"] }), vec![]),
        (json!({ "rooms": [room] }), vec!["m.receipt", "m.typing"]),
        (json!({ "rooms": ["!other:messenger.localhost"] }), vec![]),
        (json!({ "rooms": [] }), vec![]),
        (json!({ "not_rooms": [room] }), vec![]),
        (json!({ "types": ["m.receipt"], "senders": [ben.user_id] }), vec!["m.receipt"]),
        (json!({ "types": ["m.receipt"], "not_senders": [ben.user_id] }), vec![]),
    ] {
        let answer = sync(&anna, &json!({ "room": { "ephemeral": filter } }), "").await;
        let mut kinds = each(&answer["rooms"]["join"][&room]["ephemeral"]["events"], "type");
        kinds.sort();
        assert_eq!(kinds, wanted, "{filter}");
    }
}

/// The client waits on when something happens that its filter leaves out, and is answered with what it wants.
#[tokio::test]
async fn nobody_is_woken_by_what_the_filter_drops() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let other = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    ben.join(&other).await.ok();
    let event = ben.say(&room, "hello").await;
    let quiet = json!({
        "presence": { "not_types": ["*"] },
        "account_data": { "not_types": ["*"] },
        "room": {
            "not_rooms": [other],
            "timeline": { "types": ["m.room.message"] },
            "state": { "types": [] },
            "ephemeral": { "types": [] },
            "account_data": { "types": [] },
        },
    });
    let since = |answer: &Value| format!("&since={}", text(&answer["next_batch"]));
    let mut seen = since(&sync(&anna, &json!({}), "").await);
    let before = since(&sync(&anna, &quiet, "").await);

    let noise = async {
        let ben_is = |path: &str| format!("/v3/{path}/{}", ben.user_id);
        let status = json!({ "presence": "unavailable" });
        ben.put(&format!("{}/status", ben_is("presence")), status).await.ok();
        let typing = json!({ "typing": true, "timeout": 60_000 });
        ben.put(&ben_is(&format!("rooms/{room}/typing")), typing).await.ok();
        ben.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
        ben.send(&room, "org.example.other", json!({})).await;
        anna.set_state(&room, "m.room.topic", json!({ "topic": "noise" })).await.ok();
        let user = &anna.user_id;
        anna.put(&format!("/v3/user/{user}/account_data/org.example"), json!({ "n": 1 })).await.ok();
        let own = format!("/v3/user/{user}/rooms/{room}/account_data/org.example");
        anna.put(&own, json!({ "n": 1 })).await.ok();
        ben.say(&other, "elsewhere").await;
        // A client that wants everything has been woken, so the other one would be by now.
        while !seen.is_empty() {
            let answer = sync(&anna, &json!({}), &format!("{seen}&timeout=60000")).await;
            let is_last = bodies(&answer["rooms"]["join"][&other]["timeline"]["events"]) == ["elsewhere"];
            seen = if is_last { String::new() } else { since(&answer) };
        }
        let unheard = sync(&anna, &quiet, &before).await;
        assert_eq!((&unheard["rooms"], &unheard["presence"]), (&Value::Null, &Value::Null), "{unheard}");
        assert_eq!(unheard["account_data"], Value::Null);
        ben.say(&room, "wanted").await;
    };
    let waiting = format!("{before}&timeout=60000");
    let (answer, ()) = tokio::join!(sync(&anna, &quiet, &waiting), noise);
    assert_eq!(bodies(&answer["rooms"]["join"][&room]["timeline"]["events"]), ["wanted"], "{answer}");

    // The user's own receipt is told as a count, though the client wants no receipts.
    let own = format!("/v3/rooms/{room}/receipt/m.read/{event}");
    let elsewhere = anna.another_device().await;
    elsewhere.post(&own, json!({})).await.ok();
    let counted = sync(&anna, &quiet, &since(&answer)).await;
    let counts = &counted["rooms"]["join"][&room]["unread_notifications"];
    assert_eq!(counts["notification_count"], 1, "only what came after it is unread: {counted}");
}

#[tokio::test]
async fn events_have_the_fields_that_are_asked_for() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({ "name": "Quay" })).await;
    let content = json!({ "body": "b", "msgtype": "m.text", "org.example.x": { "y": 1, "z": 2 } });
    anna.send(&room, "m.room.message", content.clone()).await;
    let timeline = json!({ "limit": 1 });
    let state = json!({ "types": ["m.room.name"] });
    for (fields, event, name) in [
        (json!(["content.body"]), json!({ "content": { "body": "b" } }), json!({})),
        (
            json!(["type", "state_key"]),
            json!({ "type": "m.room.message" }),
            json!({ "type": "m.room.name", "state_key": "" }),
        ),
        (
            json!(["content.org\\.example\\.x.y"]),
            json!({ "content": { "org.example.x": { "y": 1 } } }),
            json!({}),
        ),
        (json!(["content"]), json!({ "content": content }), json!({ "content": { "name": "Quay" } })),
    ] {
        let filter = json!({ "event_fields": fields, "room": { "timeline": timeline, "state": state } });
        let joined = sync(&anna, &filter, "").await["rooms"]["join"][&room].clone();
        assert_eq!(joined["timeline"]["events"], json!([event]), "{fields}");
        assert_eq!(joined["state"]["events"], json!([name]), "{fields}");
    }
    let all = sync(&anna, &json!({ "event_fields": [] }), "").await["rooms"]["join"][&room].clone();
    assert!(each(&all["timeline"]["events"], "event_id").iter().all(|id| id.starts_with('$')), "{all}");
}

/// Fails unless another server would accept the event.
fn check_exchanged(network: &Network, event: &Value, version: &RoomVersionId) {
    let mut keys = PublicKeyMap::new();
    for platform in network.app.platforms.iter() {
        let key = &platform.signing_key;
        let name = format!("ed25519:{}", key.version());
        let of_platform = PublicKeySet::from([(name, Base64::new(key.public_key().to_vec()))]);
        keys.insert(platform.server_name().to_string(), of_platform);
    }
    let mut pdu: CanonicalJsonObject = serde_json::from_value(event.clone()).expect("canonical JSON");
    assert!(pdu.remove("event_id").is_some(), "{event}");
    let rules = version.rules().expect("a version that is known");
    // What was redacted keeps the hash of the content that it had.
    let is_redacted = event["unsigned"]["redacted_because"].is_object();
    let expected = if is_redacted { Verified::Signatures } else { Verified::All };
    assert_eq!(verify_event(&keys, &pdu, &rules).expect("signed"), expected, "{event}");
    let hash = ruma::signatures::reference_hash(&pdu, &rules).expect("hashed");
    assert_eq!(text(&event["event_id"]), format!("${hash}"));
    assert!(event["depth"].is_u64() && event["auth_events"].is_array() && event["prev_events"].is_array());
    assert!(event["unsigned"]["age"].is_u64(), "{event}");
}

#[tokio::test]
async fn events_are_given_in_the_format_of_servers() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(WHATSAPP, "ben").await;
    for version in [RoomVersionId::V6, RoomVersionId::V10, RoomVersionId::V11, RoomVersionId::V12] {
        let words = json!({ "preset": "public_chat", "room_version": version, "topic": "Ships" });
        let room = anna.create_room(words).await;
        ben.join(&room).await.ok();
        let slip = ben.say(&room, "a slip").await;
        let event = ben.say(&room, "hello").await;
        anna.put(&format!("/v3/rooms/{room}/redact/{slip}/{version}"), json!({})).await.ok();
        let mut seen = Vec::new();
        for limit in [3, 100] {
            let timeline = json!({ "limit": limit });
            let filter = json!({ "event_format": "federation", "room": { "timeline": timeline } });
            for (more, name) in SHAPES {
                let joined = sync(&anna, &filter, more).await["rooms"]["join"][&room].clone();
                seen.extend(
                    list(&joined["timeline"]["events"]).iter().chain(list(&joined[name]["events"])).cloned(),
                );
            }
        }
        let filter = json!({ "event_format": "federation", "lazy_load_members": true }).to_string();
        let filter = encoded(&filter);
        let path = format!("/v3/rooms/{room}/messages?dir=b&limit=100&filter={filter}");
        let page = anna.get(&path).await.ok();
        seen.extend(list(&page["chunk"]).iter().chain(list(&page["state"])).cloned());
        let context = anna.get(&format!("/v3/rooms/{room}/context/{event}?filter={filter}")).await.ok();
        for part in ["events_before", "events_after", "state"] {
            seen.extend(list(&context[part]).iter().cloned());
        }
        seen.push(context["event"].clone());
        seen.iter().for_each(|event| check_exchanged(&network, event, &version));
        let redacted = seen.iter().find(|event| event["event_id"] == slip.as_str()).expect("it is there");
        assert_eq!(redacted["content"], json!({}));
        assert!(redacted["unsigned"]["redacted_because"].is_object(), "{redacted}");
    }
    let plain = sync(&anna, &json!({ "event_format": "client" }), "").await.to_string();
    assert!(!plain.contains("auth_events"), "{plain}");
}

#[tokio::test]
async fn what_a_platform_that_is_gone_has_sent_is_given_without_its_signature() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(WHATSAPP, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let (of_anna, of_ben) = (anna.say(&room, "hello").await, ben.say(&room, "goodbye").await);
    let anna = anna.on(&network.reopen_without(WHATSAPP).await);
    let synced = sync(&anna, &json!({ "event_format": "federation" }), "").await;
    let events = list(&synced["rooms"]["join"][&room]["timeline"]["events"]);
    let found = |id: &str| events.iter().find(|event| event["event_id"] == id).expect("it is there");
    assert!(found(&of_anna)["signatures"][INSTAGRAM].is_object());
    assert_eq!(found(&of_ben)["signatures"], json!({}));
    assert!(found(&of_ben)["hashes"]["sha256"].is_string());
}
