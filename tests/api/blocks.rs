//! Blocks: one list, which clients and the server's own endpoints change, and what it keeps from whom.

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, list, text};

const BLOCKS: &str = "/_linkspan/client/v1/blocks";

async fn block(who: &Client, whom: &Client) {
    who.put(&format!("{BLOCKS}/{}", whom.user_id), json!({})).await.ok();
}

async fn unblock(who: &Client, whom: &Client) {
    who.delete(&format!("{BLOCKS}/{}", whom.user_id)).await.ok();
}

async fn blocked(who: &Client) -> Value {
    who.get(BLOCKS).await.ok()["blocked"].clone()
}

#[tokio::test]
async fn the_list_is_the_one_that_clients_keep() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let path = format!("/v3/user/{}/account_data/m.ignored_user_list", anna.user_id);
    assert_eq!(blocked(&anna).await, json!([]));
    let mut of_client = json!({ "ignored_users": { "@carl:messenger.localhost": {} }, "org.example": 1 });
    anna.put(&path, of_client.clone()).await.ok();
    let since = anna.get("/v3/sync").await.ok()["next_batch"].clone();
    block(&anna, &bert).await;
    of_client["ignored_users"][&bert.user_id] = json!({});
    assert_eq!(anna.get(&path).await.ok(), of_client);
    assert_eq!(blocked(&anna).await, json!([bert.user_id, "@carl:messenger.localhost"]));
    let news = anna.get(&format!("/v3/sync?since={}", since.as_str().expect("a token"))).await.ok();
    assert_eq!(news["account_data"]["events"][0]["content"], of_client, "her other devices learn it");
    unblock(&anna, &bert).await;
    unblock(&anna, &bert).await;
    assert_eq!(blocked(&anna).await, json!(["@carl:messenger.localhost"]));
    anna.put(&format!("{BLOCKS}/{}", anna.user_id), json!({})).await.fails(400, "M_INVALID_PARAM");
    anna.put(&format!("{BLOCKS}/anna"), json!({})).await.fails(400, "M_INVALID_PARAM");
    assert_eq!(blocked(&bert).await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_blocks_at_once_none_is_lost() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let names: Vec<_> = (10..40).map(|number| format!("@user{number}:{MESSENGER}")).collect();
    let paths: Vec<_> = names.iter().map(|name| format!("{BLOCKS}/{name}")).collect();
    join_all(paths.iter().map(|path| anna.put(path, json!({}))))
        .await
        .into_iter()
        .for_each(|answer| drop(answer.ok()));
    assert_eq!(blocked(&anna).await, json!(names));
    join_all(paths.iter().skip(1).map(|path| anna.delete(path))).await;
    assert_eq!(blocked(&anna).await, json!(names[..1]));
}

/// Anna and bert, who talk to each other alone and in a group with carl.
struct Scene {
    network: Network,
    anna: Client,
    bert: Client,
    carl: Client,
    chat: String,
    group: String,
}

impl Scene {
    async fn open(platform: &'static str) -> Self {
        let network = Network::open().await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let bert = network.register(platform, "bert").await;
        let carl = network.register(platform, "carl").await;
        let chat = anna.create_room(json!({ "is_direct": true, "invite": [bert.user_id] })).await;
        bert.join(&chat).await.ok();
        let group = carl.create_room(json!({ "preset": "public_chat" })).await;
        for who in [&anna, &bert] {
            who.join(&group).await.ok();
        }
        Self { network, anna, bert, carl, chat, group }
    }
}

/// What a sync tells of somebody, that is new since the last time.
struct Watch<'a> {
    reader: &'a Client,
    of: &'a Client,
    since: String,
}

impl<'a> Watch<'a> {
    async fn begin(reader: &'a Client, of: &'a Client) -> Self {
        let since = text(&reader.get("/v3/sync?set_presence=offline").await.ok()["next_batch"]);
        Self { reader, of, since }
    }

    /// What is new: presence, and who reads and types in a room, each if it is somebody's business.
    async fn news(&mut self, room: &str) -> Vec<&'static str> {
        let path = format!("/v3/sync?set_presence=offline&since={}", self.since);
        let sync = self.reader.get(&path).await.ok();
        self.since = text(&sync["next_batch"]);
        let mut news = Vec::new();
        let of = self.of.user_id.as_str();
        if list(&sync["presence"]["events"]).iter().any(|event| event["sender"] == of) {
            news.push("presence");
        }
        let joined = &sync["rooms"]["join"][room];
        for event in list(&joined["ephemeral"]["events"]) {
            let content = event["content"].to_string();
            if content.contains(of) {
                news.push(if event["type"] == "m.typing" { "typing" } else { "receipt" });
            }
        }
        let names = list(&joined["timeline"]["events"]).iter();
        if names.clone().any(|event| event["type"] == "m.room.member" && event["sender"] == of) {
            news.push("profile");
        }
        news.sort_unstable();
        news
    }
}

/// Reads, types, is online and has another name, all of which others could see.
async fn show_up(who: &Client, room: &str, event: &str, name: &str) {
    let state = json!({ "presence": "online", "status_msg": name });
    who.put(&format!("/v3/presence/{}/status", who.user_id), state).await.ok();
    who.post(&format!("/v3/rooms/{room}/receipt/m.read/{event}"), json!({})).await.ok();
    let typing = format!("/v3/rooms/{room}/typing/{}", who.user_id);
    // No oftener than a room is told at once.
    who.put(&typing, json!({ "typing": false })).await.ok();
    who.put(&format!("/v3/profile/{}/displayname", who.user_id), json!({ "displayname": name })).await.ok();
    who.put(&typing, json!({ "typing": true, "timeout": 60_000 })).await.ok();
}

#[tokio::test]
async fn neither_sees_what_the_other_is_doing() {
    for platform in [INSTAGRAM, MESSENGER] {
        let scene = Scene::open(platform).await;
        let Scene { anna, bert, carl, chat, group, .. } = &scene;
        let event = carl.say(group, "words").await;
        let words = bert.say(chat, "words").await;
        for (reader, of) in [(anna, bert), (bert, anna)] {
            let mut watch = Watch::begin(reader, of).await;
            show_up(of, chat, &words, "before").await;
            assert_eq!(watch.news(chat).await, ["presence", "profile", "receipt", "typing"]);
        }
        block(anna, bert).await;
        // Somebody who is invited is not there yet, nor somebody whom there is not.
        bert.post(&format!("/v3/rooms/{chat}/invite"), json!({ "user_id": format!("@nobody:{MESSENGER}") }))
            .await
            .ok();
        let words = bert.say(chat, "more words").await;
        for (reader, of, sees) in [(anna, bert, vec!["profile"]), (bert, anna, vec![])] {
            let mut watch = Watch::begin(reader, of).await;
            show_up(of, chat, &words, "blocked").await;
            assert_eq!(watch.news(chat).await, sees, "{} of {}", reader.user_id, of.user_id);
            let status = reader.get(&format!("/v3/presence/{}/status", of.user_id)).await.ok();
            assert_eq!(status, json!({ "presence": "offline" }));
        }
        // In a group the one who is blocked goes on seeing what all see, and the other one hears nothing of
        // them.
        let mut watch = Watch::begin(bert, anna).await;
        show_up(anna, group, &event, "in the group").await;
        assert_eq!(watch.news(group).await, ["profile", "receipt", "typing"]);
        let mut watch = Watch::begin(anna, bert).await;
        show_up(bert, group, &event, "in the group, too").await;
        assert_eq!(watch.news(group).await, ["profile"]);
        let mut watch = Watch::begin(carl, anna).await;
        let more = carl.say(group, "more").await;
        show_up(anna, group, &more, "for carl").await;
        assert_eq!(
            watch.news(group).await,
            ["presence", "profile", "receipt", "typing"],
            "carl is not concerned"
        );

        unblock(anna, bert).await;
        let words = bert.say(chat, "the last words").await;
        let mut watch = Watch::begin(bert, anna).await;
        show_up(anna, chat, &words, "after").await;
        assert_eq!(watch.news(chat).await, ["presence", "profile", "receipt", "typing"]);
    }
}

/// The blocker's own devices see how far they have read, as before.
#[tokio::test]
async fn what_is_read_alone_with_somebody_blocked_is_read() {
    let scene = Scene::open(MESSENGER).await;
    let Scene { anna, bert, chat, .. } = &scene;
    let words = bert.say(chat, "words").await;
    block(anna, bert).await;
    anna.post(&format!("/v3/rooms/{chat}/receipt/m.read/{words}"), json!({})).await.ok();
    unblock(anna, bert).await;
    let joined = anna.get("/v3/sync").await.ok()["rooms"]["join"][chat].clone();
    assert_eq!(joined["unread_notifications"]["notification_count"], 0);
    let seen = bert.get("/v3/sync").await.ok()["rooms"]["join"][chat]["ephemeral"].to_string();
    assert!(!seen.contains(&anna.user_id), "{seen}");
}

#[tokio::test]
async fn the_blocked_reach_nobody() {
    for platform in [INSTAGRAM, MESSENGER] {
        let scene = Scene::open(platform).await;
        let Scene { anna, bert, chat, group, .. } = &scene;
        block(anna, bert).await;
        // He was her contact.
        let create = json!({ "is_direct": true, "invite": [anna.user_id] });
        let again = bert.create_room(create).await;
        let member = format!("/v3/rooms/{again}/state/m.room.member/{}", anna.user_id);
        assert_eq!(bert.get(&member).await.ok()["membership"], "invite");
        let since = text(&anna.get("/v3/sync").await.ok()["next_batch"]);
        for room in [chat, group] {
            bert.say(room, "words").await;
            bert.send(room, "m.call.invite", json!({ "call_id": "1" })).await;
        }
        let sync = anna.get(&format!("/v3/sync?since={since}")).await.ok();
        assert_eq!(sync.get("rooms"), None, "{sync}");
        let sync = anna.get("/v3/sync").await.ok();
        assert!(sync["rooms"]["invite"].is_null(), "{sync}");
        assert_eq!(scene.network.app.rooms.audit().await.expect("it is read"), [""; 0]);
    }
}

#[tokio::test]
async fn devices_take_keys_of_the_blocked_and_nothing_else() {
    let scene = Scene::open(MESSENGER).await;
    let Scene { anna, bert, .. } = &scene;
    block(anna, bert).await;
    let sealed = json!({
        "algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "k", "ciphertext": {},
    });
    let types = ["m.call.invite", "m.key.verification.request", "m.room.encrypted", "org.example.hello"];
    for event_type in types {
        let content = if event_type == "m.room.encrypted" { sealed.clone() } else { json!({ "a": 1 }) };
        let messages: Map<_, _> = [(anna.user_id.clone(), json!({ "*": content }))].into_iter().collect();
        let path = format!("/v3/sendToDevice/{event_type}/{}", bert.next_transaction());
        bert.put(&path, json!({ "messages": messages })).await.ok();
    }
    let sync = anna.get("/v3/sync").await.ok();
    let came = list(&sync["to_device"]["events"]).iter().map(|event| text(&event["type"]));
    assert_eq!(came.collect::<Vec<_>>(), ["m.room.encrypted"]);
}
