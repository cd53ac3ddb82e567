//! Accounts that are erased. People who join later are given what these said without its content; people who
//! were there keep it.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate>

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, PASSWORD, WHATSAPP, each, encoded, list, text};

/// A text that only people who were there may read.
const SECRET: &str = "SECRET";

async fn deactivate(who: &Client, erase: bool) {
    let identifier = json!({ "type": "m.id.user", "user": who.user_id });
    let auth = json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD });
    who.post("/v3/account/deactivate", json!({ "auth": auth, "erase": erase })).await.ok();
}

fn related(body: &str, rel_type: &str, parent: &str) -> Value {
    let relates_to = json!({ "rel_type": rel_type, "event_id": parent });
    let new_content = json!({ "msgtype": "m.text", "body": body });
    json!({ "msgtype": "m.text", "body": body, "m.relates_to": relates_to, "m.new_content": new_content })
}

/// A room in which Anna and Bert have said something.
struct Scene {
    room: String,
    /// What Anna said: a message with an edit, a reply in Bert's thread, a reference and a reaction.
    said: String,
    reply: String,
    reference: String,
    reaction: String,
    /// What Bert said.
    root: String,
    redacted: String,
}

impl Scene {
    async fn set(anna: &Client, bert: &Client, version: &str) -> Self {
        let name = format!("{SECRET} name");
        anna.put(&format!("/v3/profile/{}/displayname", anna.user_id), json!({ "displayname": name }))
            .await
            .ok();
        let words = json!({ "preset": "public_chat", "room_version": version, "topic": "By Anna" });
        let room = anna.create_room(words).await;
        bert.join(&room).await.ok();
        let said = anna.say(&room, &format!("{SECRET} quay")).await;
        anna.send(&room, "m.room.message", related(&format!("{SECRET} pier"), "m.replace", &said)).await;
        let root = bert.say(&room, "root").await;
        bert.send(&room, "m.room.message", related("by bert", "m.thread", &root)).await;
        let reply = anna.send(&room, "m.room.message", related(SECRET, "m.thread", &root)).await;
        let reference = anna.send(&room, "m.room.message", related(SECRET, "m.reference", &root)).await;
        let key = json!({ "rel_type": "m.annotation", "event_id": root, "key": SECRET });
        let reaction = anna.send(&room, "m.reaction", json!({ "m.relates_to": key })).await;
        let redacted = bert.say(&room, "slip").await;
        let redaction = format!("/v3/rooms/{room}/redact/{redacted}/{}", anna.next_transaction());
        anna.put(&redaction, json!({ "reason": SECRET })).await.ok();
        Self { room, said, reply, reference, reaction, root, redacted }
    }

    fn by_anna(&self) -> [&String; 4] {
        [&self.said, &self.reply, &self.reference, &self.reaction]
    }

    /// Every endpoint's answer to somebody.
    async fn shown(&self, who: &Client) -> Vec<(String, Value)> {
        let room = &self.room;
        let timeline = json!({ "room": { "include_leave": true, "timeline": { "limit": 100 } } });
        let short = json!({ "room": { "include_leave": true, "timeline": { "limit": 1 } } });
        let lazy = json!({ "lazy_load_members": true });
        let mut paths = vec![
            format!("/v3/rooms/{room}/messages?dir=b&limit=100&filter={}", encoded(&lazy.to_string())),
            format!("/v3/rooms/{room}/state"),
            format!("/v3/rooms/{room}/members"),
            format!("/v3/rooms/{room}/initialSync"),
            format!("/v1/rooms/{room}/threads"),
            format!("/v3/sync?filter={}", encoded(&timeline.to_string())),
            format!("/v3/sync?filter={}", encoded(&short.to_string())),
        ];
        for event in self.by_anna().into_iter().chain([&self.root, &self.redacted]) {
            paths.push(format!("/v3/rooms/{room}/event/{event}"));
            paths.push(format!("/v3/rooms/{room}/context/{event}?limit=100"));
            paths.push(format!("/v1/rooms/{room}/relations/{event}?recurse=true"));
        }
        let mut shown = Vec::new();
        for path in paths {
            let answer = who.get(&path).await.ok();
            shown.push((path, answer));
        }
        let wanted = json!({ "timeline_limit": 100, "required_state": [["*", "*"]] });
        let words = json!({ "room_subscriptions": { room: wanted } });
        let sliding = who.post("/unstable/org.matrix.simplified_msc3575/sync", words).await.ok();
        shown.push(("sliding sync".to_owned(), sliding));
        shown
    }

    /// How many messages somebody finds by words in them.
    async fn found(&self, who: &Client, words: &str) -> usize {
        let context = json!({ "before_limit": 20, "after_limit": 20, "include_profile": true });
        let criteria = json!({ "search_term": words, "event_context": context, "include_state": true });
        let search = json!({ "search_categories": { "room_events": criteria } });
        let found = who.post("/v3/search", search).await.ok();
        let results = list(&found["search_categories"]["room_events"]["results"]).len();
        if !words.contains(SECRET) {
            assert_eq!(results, 1, "{found}");
            return usize::from(found.to_string().contains(SECRET));
        }
        results
    }

    async fn check_whole(&self, who: &Client) {
        let room = &self.room;
        let event = who.get(&format!("/v3/rooms/{room}/event/{}", self.said)).await.ok();
        assert_eq!(event["content"]["body"], "SECRET quay");
        let edit = &event["unsigned"]["m.relations"]["m.replace"];
        assert_eq!(edit["content"]["body"], "SECRET pier");
        let root = who.get(&format!("/v3/rooms/{room}/event/{}", self.root)).await.ok();
        let bundle = &root["unsigned"]["m.relations"];
        assert_eq!(bundle["m.thread"]["count"], 2);
        assert_eq!(bundle["m.thread"]["latest_event"]["event_id"], self.reply.as_str());
        assert_eq!(each(&bundle["m.reference"]["chunk"], "event_id"), [self.reference.as_str()]);
        let redacted = who.get(&format!("/v3/rooms/{room}/event/{}", self.redacted)).await.ok();
        assert_eq!(redacted["unsigned"]["redacted_because"]["content"]["reason"], SECRET);
        let heard = who.heard(room).await;
        assert!(heard.contains(&"SECRET quay".to_owned()), "{heard:?}");
    }

    async fn check_erased(&self, who: &Client) {
        let room = &self.room;
        for (path, answer) in self.shown(who).await {
            assert!(!answer.to_string().contains(SECRET), "{path}: {answer}");
        }
        for event in self.by_anna() {
            let event = who.get(&format!("/v3/rooms/{room}/event/{event}")).await.ok();
            assert_eq!((&event["content"], &event["unsigned"]["m.relations"]), (&json!({}), &Value::Null));
        }
        let root = who.get(&format!("/v3/rooms/{room}/event/{}", self.root)).await.ok();
        let bundle = &root["unsigned"]["m.relations"];
        assert_eq!(bundle["m.thread"]["count"], 1);
        assert_eq!(bundle["m.thread"]["latest_event"]["content"]["body"], "by bert");
        assert_eq!(bundle["m.reference"], Value::Null);
        let redacted = who.get(&format!("/v3/rooms/{room}/event/{}", self.redacted)).await.ok();
        assert_eq!(redacted["unsigned"]["redacted_because"]["type"], "m.room.redaction");
        // The room goes on as it was.
        let topic = who.get(&format!("/v3/rooms/{room}/state/m.room.topic")).await.ok();
        assert_eq!(topic["topic"], "By Anna");
    }
}

#[tokio::test]
async fn who_joins_later_is_given_what_the_erased_said_without_its_content() {
    let network = Network::open().await;
    for (platform, version) in [(INSTAGRAM, "6"), (MESSENGER, "12")] {
        let anna = network.register(platform, "anna").await;
        let bert = network.register(MESSENGER, &format!("bert{version}")).await;
        let scene = Scene::set(&anna, &bert, version).await;
        let room = &scene.room;
        // Some people came before the erasure, and some of these are away while it happens.
        let cora = network.register(WHATSAPP, &format!("cora{version}")).await;
        let dan = network.register(INSTAGRAM, &format!("dan{version}")).await;
        let emil = network.register(INSTAGRAM, &format!("emil{version}")).await;
        for who in [&cora, &dan, &emil] {
            who.join(room).await.ok();
        }
        dan.leave(room).await.ok();
        emil.leave(room).await.ok();
        deactivate(&anna, true).await;
        let later = [
            network.register(INSTAGRAM, &format!("fay{version}")).await,
            network.register(MESSENGER, &format!("gil{version}")).await,
        ];
        for who in later.iter().chain([&dan]) {
            who.join(room).await.ok();
        }
        for network in [network.clone(), network.reopen().await] {
            for who in [&bert, &cora, &dan, &emil] {
                scene.check_whole(&who.on(&network)).await;
            }
            for who in &later {
                scene.check_erased(&who.on(&network)).await;
            }
        }
        for who in [&bert, &cora, &dan] {
            assert_eq!(scene.found(who, "SECRET quay").await, 1);
        }
        for who in &later {
            assert_eq!(scene.found(who, "SECRET quay").await, 0);
            assert_eq!(scene.found(who, "root").await, 0, "nothing of it is around another message");
        }
    }
}

#[tokio::test]
async fn strangers_are_given_it_without_content_too() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let scene = Scene::set(&anna, &bert, "12").await;
    let visibility = json!({ "history_visibility": "world_readable" });
    anna.set_state(&scene.room, "m.room.history_visibility", visibility).await.ok();
    let event = anna.say(&scene.room, SECRET).await;
    let stranger = network.register(WHATSAPP, "stranger").await;
    assert_eq!(stranger.heard(&scene.room).await, [SECRET]);
    deactivate(&anna, true).await;
    let event = stranger.get(&format!("/v3/rooms/{}/event/{event}", scene.room)).await.ok();
    assert_eq!(event["content"], json!({}));
}

#[tokio::test]
async fn an_account_that_is_not_erased_leaves_what_it_said() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let scene = Scene::set(&anna, &bert, "12").await;
    deactivate(&anna, false).await;
    let later = network.register(INSTAGRAM, "later").await;
    later.join(&scene.room).await.ok();
    scene.check_whole(&later).await;
    // An operator may have the account erased afterwards.
    let user_id = anna.user_id.as_str().try_into().expect("a user id");
    network.app.accounts.begin_deactivation(&user_id, None, true).await.expect("begun");
    scene.check_whole(&later).await;
    let last = network.register(MESSENGER, "last").await;
    last.join(&scene.room).await.ok();
    let event = last.get(&format!("/v3/rooms/{}/event/{}", scene.room, scene.said)).await.ok();
    assert_eq!(text(&event["content"]["body"]), "");
}

#[tokio::test]
async fn nobody_is_given_the_name_of_the_erased_any_more() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let profile = format!("/v3/profile/{}/displayname", anna.user_id);
    anna.put(&profile, json!({ "displayname": SECRET })).await.ok();
    let room = bert.create_room(json!({ "preset": "private_chat" })).await;
    bert.invite(&room, &anna).await.ok();
    anna.join(&room).await.ok();
    let since = bert.get("/v3/sync").await.ok()["next_batch"].clone();
    deactivate(&anna, true).await;

    let member = format!("/v3/rooms/{room}/state/m.room.member/{}?format=event", anna.user_id);
    for (who, network) in [(&bert, network.clone()), (&bert, network.reopen().await)] {
        let who = who.on(&network);
        let left = who.get(&member).await.ok();
        assert_eq!(left["content"], json!({ "membership": "leave" }));
        for path in [
            "/v3/sync".to_owned(),
            format!("/v3/sync?since={}", text(&since)),
            format!("/v3/rooms/{room}/messages?dir=b&limit=100"),
            format!("/v3/rooms/{room}/members"),
            format!("/v3/rooms/{room}/state"),
            format!("/v3/rooms/{room}/event/{}", text(&left["event_id"])),
        ] {
            let answer = who.get(&path).await.ok();
            assert!(!answer.to_string().contains(SECRET), "{path}: {answer}");
        }
        let said = who.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=100")).await.ok();
        let invited = list(&said["chunk"]).iter().find(|event| event["content"]["membership"] == "invite");
        assert!(invited.is_some(), "what happened is told: {said}");
    }
}
