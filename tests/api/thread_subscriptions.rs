//! Subscriptions to threads: who may subscribe, what that does to notifications, and how other devices hear
//! of it.

use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, text};

const EXTENSION: &str = "io.element.msc4308.thread_subscriptions";
const NOT_IN_THREAD: &str = "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD";
const CONFLICT: &str = "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION";

fn path(room: &str, root: &str) -> String {
    format!("/unstable/io.element.msc4306/rooms/{room}/thread/{root}/subscription")
}

impl Client {
    async fn subscribe(&self, room: &str, root: &str, cause: Option<&str>) -> Answer {
        let body = cause.map_or(json!({}), |cause| json!({ "automatic": cause }));
        self.put(&path(room, root), body).await
    }

    async fn subscription(&self, room: &str, root: &str) -> Option<bool> {
        let answer = self.get(&path(room, root)).await;
        if answer.status == 404 {
            answer.fails(404, "M_NOT_FOUND");
            return None;
        }
        answer.ok()["automatic"].as_bool()
    }

    async fn unsubscribe(&self, room: &str, root: &str) {
        self.delete(&path(room, root)).await.ok();
    }

    async fn reply(&self, room: &str, root: &str, words: &str) -> String {
        let relation = json!({ "rel_type": "m.thread", "event_id": root });
        let content = json!({ "msgtype": "m.text", "body": words, "m.relates_to": relation });
        self.send(room, "m.room.message", content).await
    }

    /// How many unread events of a room notify, threads included.
    async fn unread(&self, room: &str) -> u64 {
        let answer = self.get("/v3/sync").await.ok();
        let count = &answer["rooms"]["join"][room]["unread_notifications"]["notification_count"];
        count.as_u64().expect("a count")
    }
}

/// A device that syncs with the extension.
struct Device<'a> {
    client: &'a Client,
    pos: Option<String>,
}

impl<'a> Device<'a> {
    fn new(client: &'a Client) -> Self {
        Self { client, pos: None }
    }

    async fn ask(&self, limit: u64, timeout_ms: u64) -> Value {
        let pos = self.pos.as_ref().map(|pos| format!("&pos={pos}")).unwrap_or_default();
        let path = format!("/unstable/org.matrix.simplified_msc3575/sync?timeout={timeout_ms}{pos}");
        let body =
            json!({ "conn_id": "threads", "extensions": { EXTENSION: { "enabled": true, "limit": limit } } });
        self.client.post(&path, body).await.ok()
    }

    /// The changes of subscriptions that it is told.
    async fn hears(&mut self, limit: u64) -> Value {
        let answer = self.ask(limit, 0).await;
        self.pos = Some(text(&answer["pos"]));
        answer["extensions"][EXTENSION].clone()
    }
}

/// A room of two users with this many roots of threads, each with a reply by ben.
async fn threads(anna: &Client, ben: &Client, count: usize) -> (String, Vec<(String, String)>) {
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    let mut threads = Vec::new();
    for number in 0..count {
        let root = anna.say(&room, &format!("root {number}")).await;
        let reply = ben.reply(&room, &root, "reply").await;
        threads.push((root, reply));
    }
    (room, threads)
}

#[tokio::test]
async fn a_subscription_is_made_read_and_ended() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (room, threads) = threads(&anna, &ben, 2).await;
    let (root, reply) = &threads[0];
    assert_eq!(anna.subscription(&room, root).await, None);
    anna.subscribe(&room, root, Some(reply)).await.ok();
    assert_eq!(anna.subscription(&room, root).await, Some(true));
    anna.subscribe(&room, root, None).await.ok();
    assert_eq!(anna.subscription(&room, root).await, Some(false));
    anna.subscribe(&room, root, Some(reply)).await.ok();
    assert_eq!(anna.subscription(&room, root).await, Some(false), "what the user did stays");
    assert_eq!(ben.subscription(&room, root).await, None, "others have their own");
    assert_eq!(anna.subscription(&room, &threads[1].0).await, None);
    for _ in 0..2 {
        anna.unsubscribe(&room, root).await;
        assert_eq!(anna.subscription(&room, root).await, None);
    }
    // A thread without a reply is subscribed to together with the first.
    let early = anna.say(&room, "nobody has replied").await;
    anna.subscribe(&room, &early, None).await.ok();
    assert_eq!(anna.subscription(&room, &early).await, Some(false));
}

#[tokio::test]
async fn who_has_unsubscribed_is_not_subscribed_again_for_what_was_said_before() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (room, threads) = threads(&anna, &ben, 2).await;
    let (root, first) = &threads[0];
    let second = ben.reply(&room, root, "second").await;
    anna.subscribe(&room, root, Some(first)).await.ok();
    anna.unsubscribe(&room, root).await;
    for cause in [first, &second] {
        anna.subscribe(&room, root, Some(cause)).await.fails(409, CONFLICT);
        assert_eq!(anna.subscription(&room, root).await, None);
    }
    let third = ben.reply(&room, root, "third").await;
    anna.subscribe(&room, root, Some(&third)).await.ok();
    assert_eq!(anna.subscription(&room, root).await, Some(true));
    anna.unsubscribe(&room, root).await;
    anna.subscribe(&room, root, Some(&third)).await.fails(409, CONFLICT);
    anna.subscribe(&room, root, None).await.ok();
    assert_eq!(anna.subscription(&room, root).await, Some(false), "the user may change their mind");

    // A user without a subscription can refuse it beforehand, and no client changes that.
    let (root, reply) = &threads[1];
    anna.unsubscribe(&room, root).await;
    anna.subscribe(&room, root, Some(reply)).await.fails(409, CONFLICT);
    let after = network.reopen().await;
    anna.on(&after).subscribe(&room, root, Some(reply)).await.fails(409, CONFLICT);
}

async fn edit_of(client: &Client, room: &str, event: &str) -> String {
    let relation = json!({ "rel_type": "m.replace", "event_id": event });
    let content = json!({ "body": "* new", "m.new_content": { "body": "new" }, "m.relates_to": relation });
    client.send(room, "m.room.message", content).await
}

/// A client may have been told of a mention by the edit that added it.
#[tokio::test]
async fn an_edit_of_a_reply_can_be_the_cause() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (room, threads) = threads(&anna, &ben, 1).await;
    let (root, reply) = &threads[0];
    anna.unsubscribe(&room, root).await;
    let edit = edit_of(&ben, &room, reply).await;
    anna.subscribe(&room, root, Some(&edit)).await.ok();
    assert_eq!(anna.subscription(&room, root).await, Some(true));
}

#[tokio::test]
async fn what_is_no_thread_of_the_user_is_refused() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let cleo = network.register(WHATSAPP, "cleo").await;
    let (room, threads) = threads(&anna, &ben, 2).await;
    let (root, reply) = &threads[0];
    let other = anna.create_room(json!({ "preset": "public_chat" })).await;
    let elsewhere = anna.say(&other, "elsewhere").await;
    let state = anna.get(&format!("/v3/rooms/{room}/messages?dir=f&limit=1")).await.ok();
    let state = text(&state["chunk"][0]["event_id"]);
    // The cause is nothing, in another room, itself a reply, or state.
    for root in ["$nothing", &elsewhere, reply, &state] {
        let path = path(&room, root);
        anna.put(&path, json!({})).await.fails(404, "M_NOT_FOUND");
        anna.get(&path).await.fails(404, "M_NOT_FOUND");
        anna.delete(&path).await.fails(404, "M_NOT_FOUND");
    }
    // A root is in the main timeline, and so is what is related to it.
    let edit = edit_of(&anna, &room, root).await;
    for cause in ["$nothing", &elsewhere, &threads[1].0, &threads[1].1, &state, root, &edit] {
        anna.subscribe(&room, root, Some(cause)).await.fails(400, NOT_IN_THREAD);
    }
    // A user who is not in the room learns nothing of it.
    for room in [room.as_str(), "!nowhere"] {
        let path = path(room, root);
        cleo.put(&path, json!({})).await.fails(404, "M_NOT_FOUND");
        cleo.get(&path).await.fails(404, "M_NOT_FOUND");
        cleo.delete(&path).await.fails(404, "M_NOT_FOUND");
    }
    // A user who has left keeps what there was, and subscribes to nothing more.
    ben.subscribe(&room, root, None).await.ok();
    ben.leave(&room).await.ok();
    assert_eq!(ben.subscription(&room, root).await, Some(false));
    ben.subscribe(&room, &threads[1].0, None).await.fails(404, "M_NOT_FOUND");
    ben.unsubscribe(&room, root).await;

    let path = path(&room, root);
    for (body, code) in [
        (json!({ "automatic": true }), "M_BAD_JSON"),
        (json!({ "automatic": "reply" }), "M_BAD_JSON"),
        (json!([]), "M_BAD_JSON"),
    ] {
        anna.put(&path, body).await.fails(400, code);
    }
    assert_eq!(anna.subscription(&room, root).await, None, "nothing of this did anything");
}

#[tokio::test]
async fn other_devices_hear_of_it_by_sliding_sync() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (room, threads) = threads(&anna, &ben, 3).await;
    let [one, two, three] = [0, 1, 2].map(|number| threads[number].0.clone());
    let tablet = anna.another_device().await;
    let mut device = Device::new(&tablet);
    assert_eq!(device.hears(100).await, Value::Null);
    anna.subscribe(&room, &one, None).await.ok();
    anna.subscribe(&room, &two, Some(&threads[1].1)).await.ok();
    let heard = device.hears(100).await;
    assert_eq!(heard["subscribed"][&room][&one]["automatic"], false);
    assert_eq!(heard["subscribed"][&room][&two]["automatic"], true);
    assert_eq!((&heard["unsubscribed"], &heard["prev_batch"]), (&Value::Null, &Value::Null));
    let before = heard["subscribed"][&room][&one]["bump_stamp"].as_u64().expect("a number");
    assert_eq!(device.hears(100).await, Value::Null, "nothing is told twice");

    // It wakes clients that wait. Of several changes the last one is told.
    let (answer, ()) = tokio::join!(device.ask(100, 60_000), async {
        anna.unsubscribe(&room, &one).await;
    });
    let after = &answer["extensions"][EXTENSION]["unsubscribed"][&room][&one]["bump_stamp"];
    assert!(after.as_u64().expect("a number") > before);
    anna.subscribe(&room, &one, None).await.ok();
    anna.unsubscribe(&room, &one).await;
    network.flush().await;
    let after = network.reopen().await;
    let (tablet, anna, ben) = (tablet.on(&after), anna.on(&after), ben.on(&after));
    device.client = &tablet;
    let heard = device.hears(100).await;
    assert!(heard["unsubscribed"][&room][&one].is_object() && heard["subscribed"] == Value::Null, "{heard}");

    // A device that begins hears all there is, another user nothing of it.
    anna.subscribe(&room, &three, None).await.ok();
    let mut fresh = Device::new(&anna);
    let heard = fresh.hears(100).await;
    assert!(heard["subscribed"][&room][&two].is_object() && heard["subscribed"][&room][&three].is_object());
    assert!(heard["unsubscribed"][&room][&one].is_object(), "{heard}");
    assert_eq!(Device::new(&ben).hears(100).await, Value::Null);

    // The specified shape has the extension too.
    let body = json!({ "extensions": { EXTENSION: { "enabled": true } } });
    let answer = tablet.post("/v4/sync", body).await.ok();
    assert!(answer["extensions"][EXTENSION]["subscribed"][&room][&two].is_object(), "{answer}");
}

/// The roots in an answer, and the token with which the client asks for the rest.
fn page(answer: &Value, room: &str, next: &str) -> (Vec<String>, Option<String>) {
    let roots = ["subscribed", "unsubscribed"].map(|kind| answer[kind][room].as_object());
    let roots = roots.into_iter().flatten().flat_map(|roots| roots.keys().cloned()).collect();
    (roots, answer[next].as_str().map(str::to_owned))
}

#[tokio::test]
async fn what_a_sync_leaves_out_is_paged_through() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (room, threads) = threads(&anna, &ben, 7).await;
    let roots: Vec<_> = threads.iter().map(|(root, _)| root.clone()).collect();
    anna.subscribe(&room, &roots[0], None).await.ok();
    let mut device = Device::new(&anna);
    device.hears(100).await;
    let since = device.pos.clone().expect("a token");
    for root in &roots[1..6] {
        anna.subscribe(&room, root, None).await.ok();
    }
    anna.unsubscribe(&room, &roots[6]).await;
    let (mut found, mut from) = page(&device.hears(2).await, &room, "prev_batch");
    let mut expected = roots[5..].to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "the newest come first");

    // A change that comes meanwhile is told by the next sync, and not lost.
    anna.unsubscribe(&room, &roots[1]).await;
    let list = "/unstable/io.element.msc4308/thread_subscriptions?dir=b";
    let mut pages = 0;
    while let Some(token) = from {
        let path = format!("{list}&limit=2&from={token}&to={since}");
        let (more, next) = page(&anna.get(&path).await.ok(), &room, "end");
        assert!(more.len() <= 2);
        found.extend(more);
        (from, pages) = (next, pages + 1);
    }
    assert_eq!(pages, 2);
    found.sort();
    let mut expected = roots[2..].to_vec();
    expected.sort();
    assert_eq!(found, expected, "nothing from before the last sync, nothing twice");
    assert_eq!(page(&device.hears(2).await, &room, "prev_batch"), (vec![roots[1].clone()], None));

    // Without tokens, everything is told.
    let (mut all, end) = page(&anna.get(list).await.ok(), &room, "end");
    all.sort();
    expected = roots.clone();
    expected.sort();
    assert_eq!((all, end), (expected, None));
    assert_eq!(ben.get(list).await.ok(), json!({}));
    for (query, code) in [
        ("", "M_MISSING_PARAM"),
        ("?dir=f", "M_INVALID_PARAM"),
        ("?dir=b&limit=0", "M_INVALID_PARAM"),
        ("?dir=b&limit=-1", "M_INVALID_PARAM"),
        ("?dir=b&from=made-up", "M_INVALID_PARAM"),
        ("?dir=b&to=s1", "M_INVALID_PARAM"),
    ] {
        let path = format!("/unstable/io.element.msc4308/thread_subscriptions{query}");
        anna.get(&path).await.fails(400, code);
    }
}

/// Threads fall silent only for users who have ever subscribed to one: see
/// docs/decisions/0009-thread-subscriptions.md.
#[tokio::test]
async fn threads_fall_silent_only_for_who_has_ever_subscribed() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (room, threads) = threads(&anna, &ben, 2).await;
    let (followed, other) = (&threads[0].0, &threads[1].0);
    let mention = |relation: Value| json!({ "body": "you", "m.mentions": { "user_ids": [anna.user_id] }, "m.relates_to": relation });
    assert_eq!(anna.unread(&room).await, 2, "who knows nothing of subscriptions hears everything");
    let rules = async || anna.get("/v3/pushrules/").await.ok()["global"]["postcontent"].clone();
    assert_eq!(rules().await, Value::Null);
    let since = text(&anna.get("/v3/sync").await.ok()["next_batch"]);
    anna.subscribe(&room, followed, None).await.ok();

    // The rules come with the first subscription, and clients are told.
    let news = anna.get(&format!("/v3/sync?since={since}")).await.ok();
    let told = &news["account_data"]["events"][0];
    assert_eq!(told["type"], "m.push_rules", "{news}");
    let told = &told["content"]["global"]["postcontent"];
    assert_eq!(told, &rules().await);
    assert_eq!(told[0]["rule_id"], ".io.element.msc4306.rule.unsubscribed_thread");
    assert_eq!(told[1]["rule_id"], ".io.element.msc4306.rule.subscribed_thread");
    assert_eq!(told[1]["conditions"][0]["kind"], "io.element.msc4306.thread_subscription");

    ben.reply(&room, other, "silence").await;
    assert_eq!(anna.unread(&room).await, 2);
    let thread = json!({ "rel_type": "m.thread", "event_id": other });
    ben.send(&room, "m.room.message", mention(thread)).await;
    assert_eq!(anna.unread(&room).await, 3, "a mention is heard everywhere");
    // The setting of a room does not matter to threads that the user follows.
    let mute = format!("/v3/pushrules/global/room/{room}");
    anna.put(&mute, json!({ "actions": [] })).await.ok();
    ben.reply(&room, followed, "news").await;
    assert_eq!(anna.unread(&room).await, 4);
    ben.say(&room, "aside").await;
    assert_eq!(anna.unread(&room).await, 4);
    anna.unsubscribe(&room, followed).await;
    ben.reply(&room, followed, "no news").await;
    assert_eq!(anna.unread(&room).await, 4);

    // Nobody else's threads have changed.
    anna.reply(&room, followed, "hello").await;
    assert_eq!(ben.unread(&room).await, 1);
    assert_eq!(anna.unread(&room).await, 2, "her reply has read that thread");
    let after = network.reopen().await;
    assert_eq!(anna.on(&after).get("/v3/pushrules/").await.ok()["global"]["postcontent"], rules().await);
}

#[tokio::test]
async fn the_rules_of_threads_can_be_switched_and_none_added() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (room, threads) = threads(&anna, &ben, 2).await;
    let rule =
        "/v3/pushrules/global/io.element.msc4306.postcontent/.io.element.msc4306.rule.unsubscribed_thread";
    anna.get(rule).await.fails(404, "M_NOT_FOUND");
    anna.subscribe(&room, &threads[0].0, None).await.ok();
    assert_eq!(anna.get(rule).await.ok()["enabled"], true);
    let heard = anna.unread(&room).await;
    anna.put(&format!("{rule}/enabled"), json!({ "enabled": false })).await.ok();
    assert_eq!(anna.get(rule).await.ok()["enabled"], false);
    ben.reply(&room, &threads[1].0, "heard again").await;
    assert_eq!(anna.unread(&room).await, heard + 1);
    let after = network.reopen().await;
    assert_eq!(anna.on(&after).get(rule).await.ok()["enabled"], false, "it stays so");

    anna.delete(rule).await.fails(400, "M_INVALID_PARAM");
    let body = json!({ "actions": ["notify"], "conditions": [] });
    for id in ["mine", ".mine"] {
        let path = format!("/v3/pushrules/global/io.element.msc4306.postcontent/{id}");
        anna.put(&path, body.clone()).await.fails(400, "M_INVALID_PARAM");
    }
}

/// The server cannot see whom an encrypted message mentions. So that nothing is missed, the client is asked.
#[tokio::test]
async fn encrypted_threads_are_left_to_the_client() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let (room, threads) = threads(&anna, &ben, 2).await;
    anna.subscribe(&room, &threads[0].0, None).await.ok();
    let heard = anna.unread(&room).await;
    let relation = json!({ "rel_type": "m.thread", "event_id": threads[1].0 });
    let sealed = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "m.relates_to": relation });
    ben.send(&room, "m.room.encrypted", sealed).await;
    assert_eq!(anna.unread(&room).await, heard + 1);
}
