//! People whom somebody ignores are not heard of, not counted and not notified of, between platforms as on
//! one.
//! <https://spec.matrix.org/v1.19/client-server-api/#ignoring-users>

use serde_json::{Value, json};

use crate::{
    network::{Client, INSTAGRAM, MESSENGER, Network, bodies, each, encoded, list},
    receipts::{Told, told},
};

async fn ignore(who: &Client, ignored: &[&Client]) {
    let users: serde_json::Map<_, _> =
        ignored.iter().map(|one| (one.user_id.clone(), Value::Object(serde_json::Map::new()))).collect();
    let path = format!("/v3/user/{}/account_data/m.ignored_user_list", who.user_id);
    who.put(&path, json!({ "ignored_users": users })).await.ok();
}

async fn sliding(who: &Client) -> Value {
    let list = json!({ "ranges": [[0, 9]], "timeline_limit": 10, "required_state": [] });
    let words = json!({ "lists": { "all": list } });
    who.post("/unstable/org.matrix.simplified_msc3575/sync", words).await.ok()
}

#[tokio::test]
async fn the_ignored_are_not_heard_of() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for platform in [MESSENGER, INSTAGRAM] {
        let bert = network.register(platform, "bert").await;
        let carl = network.register(platform, "carl").await;
        let room = carl.create_room(json!({ "invite": [anna.user_id, bert.user_id] })).await;
        anna.join(&room).await.ok();
        bert.join(&room).await.ok();
        ignore(&anna, &[&bert]).await;
        let mention = |body: &str| json!({ "msgtype": "m.text", "body": body, "m.mentions": { "user_ids": [anna.user_id] } });
        let since = anna.get("/v3/sync").await.ok()["next_batch"].clone();
        bert.send(&room, "m.room.message", mention("Anna!")).await;
        let heard = carl.send(&room, "m.room.message", mention("Anna?")).await;
        bert.send(&room, "m.room.message", mention("Anna!!")).await;
        let uninvited = bert.create_room(json!({ "invite": [anna.user_id] })).await;

        let since = since.as_str().expect("a token");
        for query in ["", &format!("?since={since}")] {
            let sync = anna.get(&format!("/v3/sync{query}")).await.ok();
            let joined = &sync["rooms"]["join"][&room];
            assert_eq!(bodies(&joined["timeline"]["events"]), ["Anna?"]);
            let counts = json!({ "notification_count": 1, "highlight_count": 1 });
            assert_eq!(joined["unread_notifications"], counts);
            assert_eq!(sync["rooms"]["invite"][&uninvited], Value::Null);
        }
        let sliding = sliding(&anna).await;
        let seen = &sliding["rooms"][&room];
        assert_eq!(bodies(&seen["timeline"]), ["Anna?"]);
        assert_eq!((&seen["notification_count"], &seen["highlight_count"]), (&json!(1), &json!(1)));
        assert_eq!(sliding["rooms"][&uninvited], Value::Null, "{sliding}");
        let notifications = anna.get("/v3/notifications").await.ok();
        let notified: Vec<_> = list(&notifications["notifications"])
            .iter()
            .filter(|one| one["room_id"] == room.as_str() || one["room_id"] == uninvited.as_str())
            .map(|one| one["event"].clone())
            .collect();
        assert_eq!(each(&json!(notified), "event_id"), [heard]);
        carl.leave(&room).await.ok();
    }
}

/// A room with threads of Anna, of Bert, whom she ignores, and of Carl.
struct Threads {
    room: String,
    root: String,
    good: String,
    /// The root of a thread in which only Bert replied.
    lonely: String,
    /// What Bert said: messages, replies and a reference.
    by_bert: Vec<String>,
    of_bert: String,
}

impl Threads {
    async fn spin(anna: &Client, bert: &Client, carl: &Client) -> Self {
        let related = |body: &str, rel_type: &str, parent: &str| {
            let relates_to = json!({ "rel_type": rel_type, "event_id": parent });
            json!({ "msgtype": "m.text", "body": body, "m.relates_to": relates_to })
        };
        let room = anna.create_room(json!({ "preset": "public_chat" })).await;
        bert.join(&room).await.ok();
        carl.join(&room).await.ok();
        let root = anna.say(&room, "good root").await;
        let lonely = anna.say(&room, "lonely root").await;
        let of_bert = bert.say(&room, "nasty root").await;
        let message = "m.room.message";
        let good = carl.send(&room, message, related("good", "m.thread", &root)).await;
        carl.send(&room, message, related("good answer", "m.thread", &of_bert)).await;
        let by_bert = vec![
            bert.send(&room, message, related("nasty", "m.thread", &root)).await,
            bert.send(&room, message, related("nasty", "m.thread", &lonely)).await,
            bert.send(&room, message, related("nasty", "m.reference", &root)).await,
            bert.say(&room, "nasty").await,
        ];
        bert.put(
            &format!("/v3/rooms/{room}/state/m.room.member/{}", bert.user_id),
            json!({ "membership": "join", "displayname": "Bert" }),
        )
        .await
        .ok();
        Self { room, root, good, lonely, by_bert, of_bert }
    }

    fn paths(&self) -> Vec<String> {
        let room = &self.room;
        let mut paths = vec![
            format!("/v3/rooms/{room}/messages?dir=b&limit=100"),
            format!("/v3/rooms/{room}/messages?dir=f&limit=100"),
            format!("/v3/rooms/{room}/initialSync"),
            format!("/v1/rooms/{room}/threads"),
            "/v3/sync".to_owned(),
        ];
        for event in [&self.root, &self.lonely] {
            paths.push(format!("/v3/rooms/{room}/event/{event}"));
            paths.push(format!("/v3/rooms/{room}/context/{event}?limit=100"));
            paths.push(format!("/v1/rooms/{room}/relations/{event}"));
            paths.push(format!("/v1/rooms/{room}/relations/{event}/m.thread"));
        }
        paths
    }

    async fn search(&self, who: &Client, words: &str) -> Value {
        let context = json!({ "before_limit": 20, "after_limit": 20 });
        let criteria = json!({ "search_term": words, "event_context": context });
        let search = json!({ "search_categories": { "room_events": criteria } });
        who.post("/v3/search", search).await.ok()["search_categories"]["room_events"].clone()
    }
}

#[tokio::test]
async fn the_ignored_come_through_by_no_endpoint() {
    let network = Network::open().await;
    for platform in [MESSENGER, INSTAGRAM] {
        let anna = network.register(INSTAGRAM, &format!("anna-{platform}")).await;
        let bert = network.register(platform, &format!("bert-{platform}")).await;
        let carl = network.register(platform, &format!("carl-{platform}")).await;
        let threads = Threads::spin(&anna, &bert, &carl).await;
        let room = &threads.room;
        let thread = async || {
            let event = anna.get(&format!("/v3/rooms/{room}/event/{}", threads.root)).await.ok();
            let bundle = &event["unsigned"]["m.relations"];
            let thread = &bundle["m.thread"];
            assert_eq!(bundle["m.reference"].is_null(), thread["count"] == 1, "{bundle}");
            (thread["count"].as_u64(), each(&json!([thread["latest_event"]]), "event_id").remove(0))
        };
        assert_eq!(thread().await, (Some(2), threads.by_bert[0].clone()));
        // Somebody who ignores themselves by mistake still hears themselves.
        ignore(&anna, &[&bert, &anna]).await;
        assert_eq!(thread().await, (Some(1), threads.good.clone()));
        for path in threads.paths() {
            let answer = anna.get(&path).await.ok();
            let answer = answer.to_string();
            assert!(!answer.contains("nasty"), "{path}: {answer}");
            for event in &threads.by_bert {
                assert!(!answer.contains(event.as_str()), "{path} names {event}: {answer}");
            }
        }
        let roots = anna.get(&format!("/v1/rooms/{room}/threads")).await.ok();
        assert_eq!(each(&roots["chunk"], "event_id"), [threads.root.as_str()]);
        let lonely = anna.get(&format!("/v3/rooms/{room}/event/{}", threads.lonely)).await.ok();
        assert_eq!(lonely["unsigned"]["m.relations"], Value::Null);
        for path in ["event", "context"] {
            let path = format!("/v3/rooms/{room}/{path}/{}", threads.by_bert[0]);
            anna.get(&path).await.fails(404, "M_NOT_FOUND");
        }
        // What Carl says in Bert's thread is still found.
        let replies = anna.get(&format!("/v1/rooms/{room}/relations/{}", threads.of_bert)).await.ok();
        assert_eq!(bodies(&replies["chunk"]), ["good answer"]);
        assert!(list(&threads.search(&anna, "nasty").await["results"]).is_empty());
        let found = threads.search(&anna, "good").await;
        assert_eq!(list(&found["results"]).len(), 3);
        assert!(!found.to_string().contains("nasty"), "{found}");
        let filter = json!({ "related_by_senders": [bert.user_id] }).to_string();
        let path = format!("/v3/rooms/{room}/messages?dir=b&filter={}", encoded(&filter));
        assert!(list(&anna.get(&path).await.ok()["chunk"]).is_empty());
        let seen = sliding(&anna).await["rooms"][room].to_string();
        assert!(!seen.contains("nasty"), "{seen}");
        // State is told, and what ignored users said can be reported.
        let history = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=100")).await.ok();
        let of_bert = list(&history["chunk"]).iter().filter(|event| event["sender"] == bert.user_id.as_str());
        assert_eq!(of_bert.count(), 2, "his joining and his name: {history}");
        let report = format!("/v3/rooms/{room}/report/{}", threads.by_bert[0]);
        anna.post(&report, json!({ "reason": "nasty" })).await.ok();
        // Nobody else is concerned, and a list that has changed holds at once.
        assert!(carl.heard(room).await.contains(&"nasty".to_owned()));
        ignore(&anna, &[]).await;
        assert_eq!(thread().await, (Some(2), threads.by_bert[0].clone()));
        assert!(anna.heard(room).await.contains(&"nasty".to_owned()));
        let again = anna.on(&network.reopen().await);
        ignore(&again, &[&carl]).await;
        assert!(!again.heard(room).await.contains(&"good".to_owned()));
    }
}

/// A client takes an event for redacted if it has `redacted_because`. The reason is left out if the user
/// ignores its sender.
#[tokio::test]
async fn what_the_ignored_redacted_is_told_without_their_reason() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for platform in [MESSENGER, INSTAGRAM] {
        let bert = network.register(platform, "bert").await;
        for version in ["6", "12"] {
            let words = json!({ "preset": "public_chat", "room_version": version });
            let room = bert.create_room(words).await;
            anna.join(&room).await.ok();
            let event = anna.say(&room, "slip").await;
            let path = format!("/v3/rooms/{room}/redact/{event}/{}", bert.next_transaction());
            bert.put(&path, json!({ "reason": "nasty" })).await.ok();
            ignore(&anna, &[&bert]).await;
            let event = anna.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
            let because = &event["unsigned"]["redacted_because"];
            assert_eq!(because["type"], "m.room.redaction");
            assert_eq!(because["content"]["reason"], Value::Null);
        }
    }
}

#[tokio::test]
async fn the_ignored_are_not_seen_typing_or_reading() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for platform in [MESSENGER, INSTAGRAM] {
        let bert = network.register(platform, "bert").await;
        let carl = network.register(platform, "carl").await;
        let room = carl.create_room(json!({ "preset": "public_chat" })).await;
        anna.join(&room).await.ok();
        bert.join(&room).await.ok();
        let words = carl.say(&room, "words").await;
        ignore(&anna, &[&bert]).await;
        let act = async |who: &Client, types: bool| {
            let typing = format!("/v3/rooms/{room}/typing/{}", who.user_id);
            who.put(&typing, json!({ "typing": types })).await.ok();
            who.post(&format!("/v3/rooms/{room}/receipt/m.read/{words}"), json!({})).await.ok();
        };
        let is_nothing = |told: &Told| {
            let of_sliding = [&told.typing[1], &told.receipts[1]];
            told.room.is_null() && of_sliding.iter().all(|content| content.is_null())
        };
        let before = told(&anna, &room, None).await;
        act(&bert, true).await;
        let before = told(&anna, &room, Some(&before)).await;
        assert!(is_nothing(&before), "there is nothing to wake anybody for");
        act(&carl, true).await;
        let news = told(&anna, &room, Some(&before)).await;
        for told in [&news, &told(&anna, &room, None).await] {
            for (typing, receipts) in told.typing.iter().zip(&told.receipts) {
                assert_eq!(*typing, json!({ "user_ids": [carl.user_id] }));
                let readers = receipts[&words]["m.read"].as_object().expect("receipts");
                assert_eq!(readers.keys().collect::<Vec<_>>(), [&carl.user_id]);
            }
        }
        act(&bert, false).await;
        assert!(is_nothing(&told(&anna, &room, Some(&news)).await), "nor when he stops");
    }
}
