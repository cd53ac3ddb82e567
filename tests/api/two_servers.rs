//! Two sets of services over one engine, which share nothing else: each learns what the other does by the stream of
//! commits alone.

use linkspan_storage::Memory;
use serde_json::json;

use crate::{
    links::{link, unlink},
    network::{Client, INSTAGRAM, MESSENGER, Network, PATIENCE},
};

/// The two, and what each of them has in memory after these people have used both: anna and bert in a room.
struct Twins {
    one: Network,
    other: Network,
    /// On the one.
    anna: Client,
    /// On the other.
    bert: Client,
    room: String,
}

impl Twins {
    async fn open() -> Self {
        let memory = Memory::new().expect("a store in memory opens");
        let (one, other) = (Network::over_memory(&memory).await, Network::over_memory(&memory).await);
        let anna = one.register(INSTAGRAM, "anna").await;
        let bert = other.register(MESSENGER, "bert").await;
        let room = anna.create_room(json!({ "preset": "public_chat" })).await;
        bert.join(&room).await.ok();
        Self { one, other, anna, bert, room }
    }

    async fn send(&self, client: &Client, text: &str) -> String {
        client.send(&self.room, "m.room.message", json!({ "msgtype": "m.text", "body": text })).await
    }

    /// How many unread events of the room notify a client.
    async fn unread(&self, client: &Client) -> u64 {
        let news = client.get("/v3/sync").await.ok();
        let count = &news["rooms"]["join"][&self.room]["unread_notifications"]["notification_count"];
        count.as_u64().expect("a count")
    }
}

/// What must come long before a sync would answer by itself.
async fn soon<T>(coming: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, coming).await.expect("somebody is woken")
}

#[tokio::test]
async fn each_sees_the_others_log_out() {
    let Twins { one, other, anna, .. } = &Twins::open().await;
    let phone = anna.another_device().await;
    for server in [one, other] {
        phone.on(server).get("/v3/account/whoami").await.ok();
    }
    let waiting = phone.on(other);
    let since = waiting.get("/v3/sync").await.ok()["next_batch"].clone();
    let path = format!("/v3/sync?timeout=60000&since={}", since.as_str().expect("a token"));
    let (answer, _) = tokio::join!(soon(waiting.get(&path)), phone.post("/v3/logout", json!({})));
    answer.fails(401, "M_UNKNOWN_TOKEN");
    waiting.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn each_sees_the_others_push_rules() {
    let twins = Twins::open().await;
    let Twins { other, anna, bert, room, .. } = &twins;
    twins.send(bert, "one").await;
    assert_eq!((twins.unread(anna).await, twins.unread(&anna.on(other)).await), (1, 1));
    let rule = format!("/v3/pushrules/global/room/{room}");
    anna.put(&rule, json!({ "actions": [] })).await.ok();
    twins.send(bert, "two").await;
    assert_eq!((twins.unread(anna).await, twins.unread(&anna.on(other)).await), (1, 1), "two is silent");
    anna.on(other).delete(&rule).await.ok();
    twins.send(bert, "three").await;
    assert_eq!((twins.unread(anna).await, twins.unread(&anna.on(other)).await), (2, 2));
}

#[tokio::test]
async fn each_sees_the_others_contacts_and_choices() {
    let twins = Twins::open().await;
    let Twins { other, anna, .. } = &twins;
    let carl = other.register(MESSENGER, "carl").await;
    let invite = async || {
        let room = carl.create_room(json!({ "invite": [anna.user_id] })).await;
        let path = format!("/v3/rooms/{room}/state/m.room.member/{}", anna.user_id);
        carl.get(&path).await.ok()["membership"].clone()
    };
    assert_eq!(invite().await, "invite", "the other has in memory that she does not know him");
    anna.create_room(json!({ "is_direct": true, "invite": [carl.user_id] })).await;
    assert_eq!(invite().await, "join");
    anna.put("/_linkspan/client/v1/reach", json!({ "rules": [{ "reach": "request" }] })).await.ok();
    assert_eq!(invite().await, "invite");
}

#[tokio::test]
async fn each_sees_the_others_links() {
    let Twins { one, other, anna, bert, .. } = &Twins::open().await;
    let carl = other.register(MESSENGER, "carl").await;
    let chat = anna.create_room(json!({ "is_direct": true, "invite": [carl.user_id] })).await;
    carl.join(&chat).await.ok();
    anna.put(&format!("/_linkspan/client/v1/blocks/{}", bert.user_id), json!({})).await.ok();
    carl.say(&chat, "heard").await;
    carl.on(one).say(&chat, "heard, too").await;
    // Both have in memory that nothing is linked with carl's account.
    link(&bert.on(one), &carl.on(one)).await;
    carl.say(&chat, "unheard").await;
    carl.on(one).say(&chat, "unheard").await;
    assert_eq!(anna.heard(&chat).await, ["heard, too", "heard"]);
    unlink(bert, &carl).await.ok();
    carl.on(one).say(&chat, "heard again").await;
    assert_eq!(anna.heard(&chat).await, ["heard again", "heard, too", "heard"]);
}

#[tokio::test]
async fn each_sees_the_others_members() {
    let twins = Twins::open().await;
    let Twins { other, anna, bert, room, .. } = &twins;
    let carl = other.register(INSTAGRAM, "carl").await;
    let since = carl.get("/v3/sync").await.ok()["next_batch"].clone();
    twins.send(anna, "carl is not here").await;
    carl.join(room).await.ok();
    let sent = twins.send(anna, "carl is here").await;
    let path = format!("/v3/sync?since={}", since.as_str().expect("a token"));
    let news = carl.get(&path).await.ok();
    assert_eq!(
        news["rooms"]["join"][room]["timeline"]["events"].as_array().expect("events").last().expect("one")["event_id"],
        sent
    );
    carl.leave(room).await.ok();
    let since = carl.get("/v3/sync").await.ok()["next_batch"].clone();
    twins.send(anna, "carl has left").await;
    twins.send(bert, "carl has left").await;
    let path = format!("/v3/sync?since={}", since.as_str().expect("a token"));
    assert_eq!(carl.get(&path).await.ok().get("rooms"), None);
}

#[tokio::test]
async fn each_sees_the_others_redactions() {
    let twins = Twins::open().await;
    let Twins { other, anna, bert, room, .. } = &twins;
    let sent = twins.send(anna, "a slip").await;
    let path = format!("/v3/rooms/{room}/event/{sent}");
    for client in [anna, bert] {
        assert_eq!(client.get(&path).await.ok()["content"]["body"], "a slip");
    }
    anna.on(other).put(&format!("/v3/rooms/{room}/redact/{sent}/1"), json!({})).await.ok();
    for client in [anna, bert] {
        assert_eq!(client.get(&path).await.ok()["content"], json!({}));
    }
}

#[tokio::test]
async fn each_wakes_for_the_others_messages() {
    let twins = Twins::open().await;
    let Twins { anna, bert, room, .. } = &twins;
    let since = anna.get("/v3/sync").await.ok()["next_batch"].clone();
    let path = format!("/v3/sync?timeout=60000&since={}", since.as_str().expect("a token"));
    let (news, sent) = tokio::join!(soon(anna.get(&path)), twins.send(bert, "hello"));
    let timeline = &news.ok()["rooms"]["join"][room]["timeline"]["events"];
    assert_eq!(timeline[0]["event_id"], sent);
}

/// Both write to one room: whoever loses is asked anew, and nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_may_write_to_one_room() {
    const EACH: usize = 30;
    let twins = Twins::open().await;
    let Twins { anna, bert, room, .. } = &twins;
    let many = async |client: &Client| {
        let mut sent = Vec::new();
        for number in 0..EACH {
            sent.push(twins.send(client, &number.to_string()).await);
        }
        sent
    };
    let (of_anna, of_bert) = tokio::join!(many(anna), many(bert));
    let page = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=100")).await.ok();
    let chunk = page["chunk"].as_array().expect("events").iter().rev();
    let messages = chunk.filter(|event| event["type"] == "m.room.message");
    let stored: Vec<_> = messages.map(|event| event["event_id"].as_str().expect("an id")).collect();
    assert_eq!(stored.len(), 2 * EACH);
    for sent in [of_anna, of_bert] {
        let in_order: Vec<_> = stored.iter().filter(|id| sent.iter().any(|sent| sent == **id)).collect();
        assert!(in_order.into_iter().eq(sent.iter()), "each sender's messages are there once, in order");
    }
}
