//! Receipts, read markers, typing.

use linkspan_rooms::ReceiptKind;
use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, encoded, list, text};

#[tokio::test]
async fn what_was_read_is_noted() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let first = anna.say(&room, "one").await;
    let second = anna.say(&room, "two").await;
    let receipt = |kind: &str, event: &str| format!("/v3/rooms/{room}/receipt/{kind}/{event}");

    bert.post(&receipt("m.read", &second), json!({ "thread_id": "main" })).await.ok();
    bert.post(&receipt("m.read", &first), json!({ "thread_id": "main" })).await.ok();
    bert.post(&receipt("m.read.private", &first), json!({})).await.ok();
    bert.post(&receipt("m.read", &first), json!({ "thread_id": "" })).await.fails(400, "M_INVALID_PARAM");
    bert.post(&receipt("m.seen", &first), json!({})).await.fails(400, "M_INVALID_PARAM");
    let in_thread = json!({ "thread_id": "main" });
    bert.post(&receipt("m.fully_read", &first), in_thread).await.fails(400, "M_INVALID_PARAM");

    let user_id = bert.user_id.as_str().try_into().expect("a user id");
    let room_id = room.as_str().try_into().expect("a room id");
    let noted = network.app.rooms.own_receipts(&user_id, &room_id).await.expect("receipts are read");
    let mut noted: Vec<_> = noted
        .iter()
        .map(|receipt| {
            (receipt.kind == ReceiptKind::Public, receipt.thread.as_str(), receipt.event_id.as_str())
        })
        .collect();
    noted.sort_unstable();
    assert_eq!(noted, [(false, "", first.as_str()), (true, "main", second.as_str())]);

    let markers = json!({ "m.fully_read": second, "m.read": second });
    bert.post(&format!("/v3/rooms/{room}/read_markers"), markers).await.ok();
    bert.post(&receipt("m.fully_read", &first), json!({})).await.ok();
    let marker = format!("/v3/user/{}/rooms/{room}/account_data/m.fully_read", bert.user_id);
    assert_eq!(bert.get(&marker).await.ok(), json!({ "event_id": second }), "it does not go back");
    anna.get(&marker).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn after_a_restart_a_sync_tells_what_is_new_and_nothing_else() {
    let network = Network::open().await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "bert").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let words = anna.say(&room, "before").await;
    let read = |kind: &str| format!("/v3/rooms/{room}/receipt/{kind}/{words}");
    bert.post(&read("m.read"), json!({})).await.ok();
    let since = async |of: &Client| {
        let sync = of.get("/v3/sync?timeout=0").await.ok();
        sync["next_batch"].as_str().expect("a token").to_owned()
    };
    let (annas, berts) = (since(&anna).await, since(&bert).await);
    // Otherwise the server knew that nothing was committed since.
    network.register(MESSENGER, "ben").await;
    network.flush().await;

    let after = network.reopen().await;
    let (anna, bert) = (anna.on(&after), bert.on(&after));
    let news = async |of: &Client, since: &str| {
        let sync = of.get(&format!("/v3/sync?timeout=0&since={since}")).await.ok();
        (sync["rooms"]["join"].clone(), sync["next_batch"].as_str().expect("a token").to_owned())
    };
    let (told, annas) = news(&anna, &annas).await;
    assert!(told.as_object().is_none_or(|rooms| rooms.is_empty()), "it was all told before: {told}");
    // One of the two has synced since then, and the other has not.
    anna.say(&room, "after").await;
    bert.post(&read("m.read.private"), json!({})).await.ok();
    for (of, since) in [(&anna, &annas), (&bert, &berts)] {
        let (told, _) = news(of, since).await;
        let events = told[&room]["timeline"]["events"].as_array().expect("events");
        assert_eq!(events.len(), 1, "{told}");
        assert_eq!(events[0]["content"]["body"], "after");
        let receipts = told[&room]["ephemeral"]["events"].as_array().map_or(0, Vec::len);
        assert_eq!(
            receipts,
            usize::from(of.user_id == bert.user_id),
            "a private receipt is for its user: {told}"
        );
    }
}

#[tokio::test]
async fn typing_is_shown() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({})).await;
    let typing = |user: &str| format!("/v3/rooms/{room}/typing/{user}");
    let room_id = room.as_str().try_into().expect("a room id");

    anna.put(&typing(&anna.user_id), json!({ "typing": true })).await.ok();
    let reader: ruma::OwnedUserId = anna.user_id.as_str().try_into().expect("a user id");
    assert_eq!(network.app.inbox.typing(&room_id, &reader), [anna.user_id.as_str()]);
    anna.put(&typing(&anna.user_id), json!({ "typing": false })).await.ok();
    assert!(network.app.inbox.typing(&room_id, &reader).is_empty());
    anna.put(&typing(&bert.user_id), json!({ "typing": true })).await.fails(403, "M_FORBIDDEN");
    bert.put(&typing(&bert.user_id), json!({ "typing": true })).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_says_all_the_time_that_they_type_is_limited() {
    let network = Network::with_limits("typing_burst = 3").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let typing = format!("/v3/rooms/{room}/typing/{}", anna.user_id);
    for number in 0..3 {
        anna.put(&typing, json!({ "typing": number % 2 == 0 })).await.ok();
    }
    anna.put(&typing, json!({ "typing": false })).await.fails(429, "M_LIMIT_EXCEEDED");
    anna.say(&room, "Hello").await;
}

#[tokio::test]
async fn null_means_nothing() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let event = anna.say(&room, "one").await;

    // This is how matrix-nio says it of a receipt outside threads.
    let receipt = format!("/v3/rooms/{room}/receipt/m.read/{event}");
    anna.post(&receipt, json!({ "thread_id": null })).await.ok();
    anna.post(&receipt, json!({ "thread_id": 5 })).await.fails(400, "M_BAD_JSON");

    // What people send is theirs, null included.
    let send = format!("/v3/rooms/{room}/send/org.example/1");
    let sent = anna.put(&send, json!({ "nothing": null })).await.ok();
    let sent = sent["event_id"].as_str().expect("an event id").to_owned();
    let read = anna.get(&format!("/v3/rooms/{room}/event/{sent}")).await.ok();
    assert_eq!(read["content"], json!({ "nothing": null }));
}

/// A receipt of a thread clears what is related to its replies.
/// <https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts>
#[tokio::test]
async fn a_receipt_of_a_thread_clears_what_hangs_on_its_replies() {
    let network = Network::open().await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "bert").await);
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let related = async |rel_type: &str, event: &str| {
        let relation = json!({ "rel_type": rel_type, "event_id": event });
        let mentions = json!({ "user_ids": [bert.user_id] });
        let content = json!({ "body": "x", "m.mentions": mentions, "m.relates_to": relation });
        anna.send(&room, "m.room.message", content).await
    };
    let root = anna.say(&room, "root").await;
    let reply = related("m.thread", &root).await;
    let receipt = |event: &str| format!("/v3/rooms/{room}/receipt/m.read/{event}");
    bert.post(&receipt(&reply), json!({ "thread_id": "main" })).await.fails(400, "M_INVALID_PARAM");
    bert.post(&receipt(&root), json!({ "thread_id": "main" })).await.ok();
    bert.post(&receipt(&reply), json!({ "thread_id": root })).await.ok();
    let edit = related("m.replace", &reply).await;
    let reference = related("m.reference", &edit).await;

    let filter = encoded(r#"{"room":{"timeline":{"unread_thread_notifications":true}}}"#);
    let counts = async |of: &Client| {
        let sync = of.get(&format!("/v3/sync?timeout=0&filter={filter}")).await.ok();
        let told = &sync["rooms"]["join"][&room];
        let main = told["unread_notifications"]["notification_count"].as_u64();
        let thread = told["unread_thread_notifications"][&root]["notification_count"].as_u64();
        let sliding = json!({ "lists": {}, "room_subscriptions":
            { &room: { "timeline_limit": 1, "required_state": [] } } });
        let sliding = of.post("/unstable/org.matrix.simplified_msc3575/sync?timeout=0", sliding).await.ok();
        (main, thread, sliding["rooms"][&room]["notification_count"].as_u64())
    };
    assert_eq!(counts(&bert).await, (Some(0), Some(2), Some(2)));
    let after = network.reopen().await;
    assert_eq!(counts(&bert.on(&after)).await, (Some(0), Some(2), Some(2)), "after a restart");
    bert.post(&receipt(&reference), json!({ "thread_id": root })).await.ok();
    assert_eq!(counts(&bert).await, (Some(0), None, Some(0)));
}

/// The contents of `m.typing` and `m.receipt` of a room, by a sync and by a sliding sync.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) typing: [Value; 2],
    pub(crate) receipts: [Value; 2],
    /// The room in the answer of the sync.
    pub(crate) room: Value,
    since: String,
    connection: (String, String),
}

/// What somebody is told now, since `before` or from the start.
pub(crate) async fn told(of: &Client, room: &str, before: Option<&Told>) -> Told {
    let since = before.map(|before| format!("?since={}", before.since)).unwrap_or_default();
    let sync = of.get(&format!("/v3/sync{since}")).await.ok();
    let joined = sync["rooms"]["join"][room].clone();
    let event = |event_type: &str| {
        let events = list(&joined["ephemeral"]["events"]);
        let event = events.iter().find(|event| event["type"] == event_type);
        event.map_or(Value::Null, |event| event["content"].clone())
    };
    let connection = before.map(|before| before.connection.clone());
    let (conn_id, pos) = connection.unwrap_or_else(|| (format!("c{}", of.next_transaction()), String::new()));
    let query = if pos.is_empty() { pos } else { format!("?pos={pos}") };
    let on = json!({ "enabled": true });
    let all = json!({ "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] });
    let body = json!({
        "conn_id": conn_id, "lists": { "all": all }, "extensions": { "typing": on, "receipts": on },
    });
    let sliding = of.post(&format!("/unstable/org.matrix.simplified_msc3575/sync{query}"), body).await.ok();
    let extension = |name: &str| sliding["extensions"][name]["rooms"][room]["content"].clone();
    Told {
        typing: [event("m.typing"), extension("typing")],
        receipts: [event("m.receipt"), extension("receipts")],
        room: joined,
        since: text(&sync["next_batch"]),
        connection: (conn_id, text(&sliding["pos"])),
    }
}

#[tokio::test]
async fn who_the_access_list_denies_is_seen_on_the_own_platform_only() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    ben.join(&room).await.ok();
    let first = anna.say(&room, "one").await;
    let second = anna.say(&room, "two").await;
    let acl = async |deny: &[&str]| {
        anna.set_state(&room, "m.room.server_acl", json!({ "allow": ["*"], "deny": deny })).await.ok();
    };
    let act = async |who: &Client, event: &str| {
        let typing = format!("/v3/rooms/{room}/typing/{}", who.user_id);
        who.put(&typing, json!({ "typing": true })).await.ok();
        who.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    };
    acl(&[MESSENGER]).await;
    let (annas, bens) = (told(&anna, &room, None).await, told(&ben, &room, None).await);
    act(&bert, &first).await;
    for before in [Some(&bens), None] {
        let told = told(&ben, &room, before).await;
        for (typing, receipts) in told.typing.iter().zip(&told.receipts) {
            assert_eq!(*typing, json!({ "user_ids": [bert.user_id] }));
            assert_ne!(receipts[&first]["m.read"][&bert.user_id], Value::Null);
        }
    }
    for before in [Some(&annas), None] {
        let told = told(&anna, &room, before).await;
        let all = told.typing.iter().chain(&told.receipts);
        assert!(!all.into_iter().any(|content| content.to_string().contains(&bert.user_id)));
    }
    // The list denies what comes from a platform, not what goes there.
    act(&anna, &second).await;
    let bens_news = told(&ben, &room, Some(&bens)).await;
    assert_ne!(bens_news.receipts[0][&second]["m.read"][&anna.user_id], Value::Null);
    assert!(bens_news.typing[0].to_string().contains(&anna.user_id));

    acl(&[]).await;
    let annas = told(&anna, &room, Some(&annas)).await;
    act(&bert, &second).await;
    for before in [Some(&annas), None] {
        let told = told(&anna, &room, before).await;
        for receipts in &told.receipts {
            assert_ne!(receipts[&second]["m.read"][&bert.user_id], Value::Null);
        }
    }
}

/// A receipt of the whole room takes the place of one in a thread.
/// <https://github.com/matrix-org/matrix-spec-proposals/pull/4102>
#[tokio::test]
async fn a_receipt_of_the_whole_room_stands_for_that_of_a_thread() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let bodies = [json!({}), json!({ "thread_id": "main" })];
    for order in [[0, 1], [1, 0]] {
        let event = anna.say(&room, "words").await;
        let before = told(&anna, &room, None).await;
        for index in order {
            let path = format!("/v3/rooms/{room}/receipt/m.read/{event}");
            bert.post(&path, bodies[index].clone()).await.ok();
        }
        for since in [Some(&before), None] {
            for receipts in told(&anna, &room, since).await.receipts {
                let receipt = receipts[&event]["m.read"][&bert.user_id].as_object().expect("a receipt");
                assert!(!receipt.contains_key("thread_id"), "{order:?}: {receipt:?}");
            }
        }
    }
}
