//! Messages that disappear when the timer of their chat is up: for everybody, on all platforms, in every way of reading,
//! and from the store.

use std::{cell::Cell, sync::Arc};

use http::Method;
use linkspan_storage::{
    Faults, Memory, News, Range, Table, WriteSet,
    catalogue::{
        DelayedEvents, DisappearingKey, DisappearingMessages, ExpiringMedia, Media, MediaUsage, Relations,
        RoomEventKey, RoomHeads, SearchChunks, Threads, Timeline, UserMedia,
    },
    records::ThreadRecord,
};
use linkspan_tests::sealed;
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::export::export;
use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, each, encoded, text};

const TIMER: &str = "com.beeper.disappearing_timer";
const GONE_AT: &str = "org.linkspan.disappears_ts";
const HOUR: u64 = 3_600_000;
const MINUTE: u64 = 60_000;
/// A text that nobody may read once it has disappeared.
const SECRET: &str = "SECRET";

thread_local! {
    /// How far the clock of this test's server is ahead of the machine's. Everything of a test runs on its thread.
    static AHEAD_MS: Cell<u64> = const { Cell::new(0) };
}

fn clock() -> u64 {
    now_ts() + AHEAD_MS.get()
}

/// Lets time pass.
fn pass(ms: u64) {
    AHEAD_MS.set(AHEAD_MS.get() + ms);
}

fn after_send(timer_ms: u64) -> Value {
    json!({ "type": "after_send", "timer": timer_ms })
}

fn related(body: &str, rel_type: &str, parent: &str) -> Value {
    let relates_to = json!({ "rel_type": rel_type, "event_id": parent });
    let new_content = json!({ "msgtype": "m.text", "body": body });
    json!({ "msgtype": "m.text", "body": body, "m.relates_to": relates_to, "m.new_content": new_content })
}

/// A direct chat between two platforms.
struct Scene {
    memory: Arc<Memory>,
    network: Network,
    anna: Client,
    bert: Client,
    room: String,
}

impl Scene {
    async fn open() -> Self {
        Self::with(json!({})).await
    }

    /// `more`: further fields of the request that makes the chat.
    async fn with(more: Value) -> Self {
        AHEAD_MS.set(0);
        let memory = Memory::with_faults(Faults::default()).expect("memory opens");
        let network = Network::over_memory_at(&memory, clock).await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let bert = network.register(MESSENGER, "bert").await;
        let mut wanted = json!({ "is_direct": true, "invite": [bert.user_id] });
        let fields = wanted.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        let room = anna.create_room(wanted).await;
        bert.join(&room).await.ok();
        Self { memory, network, anna, bert, room }
    }

    /// The same over what is on the disk of another store.
    async fn over(&self, memory: &Arc<Memory>) -> Self {
        let network = Network::over_memory_at(memory, clock).await;
        let (anna, bert) = (self.anna.on(&network), self.bert.on(&network));
        Self { memory: memory.clone(), network, anna, bert, room: self.room.clone() }
    }

    async fn set_timer(&self, by: &Client, content: Value) -> Answer {
        by.set_state(&self.room, TIMER, content).await
    }

    async fn event(&self, reader: &Client, event_id: &str) -> Value {
        reader.get(&format!("/v3/rooms/{}/event/{event_id}", self.room)).await.ok()
    }

    async fn is_gone(&self, event_id: &str) -> bool {
        let event = self.event(&self.bert, event_id).await;
        let is_empty = event["content"] == json!({});
        assert_eq!(is_empty, event["unsigned"]["redacted_because"]["type"] == TIMER, "{event}");
        assert!(!is_empty || event["unsigned"].get(GONE_AT).is_none(), "{event}");
        is_empty
    }

    /// Erases what is due from the store, as the sweeps do.
    async fn sweep(&self) {
        self.network.app.rooms.erase_disappeared(clock()).await.expect("messages are erased");
        // Media stay a minute longer.
        self.network.app.media.remove_expired(clock() + MINUTE).await.expect("media are removed");
    }

    async fn rows<T: Table>(&self) -> usize {
        self.network.rows::<T>().await
    }

    /// Whether the store has a text anywhere.
    async fn has_stored(&self, text: &str) -> bool {
        self.network.flush().await;
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        self.memory.rows().into_iter().any(|(_, (key, value))| has(&key) || has(&value))
    }

    /// The answers of all endpoints that give out events.
    async fn readings(&self, reader: &Client, since: &str, events: &[&String]) -> Vec<(String, Value)> {
        let room = &self.room;
        let filter = json!({ "room": { "timeline": { "limit": 100 } } }).to_string();
        let as_servers =
            json!({ "event_format": "federation", "room": { "timeline": { "limit": 100 } } }).to_string();
        let mut paths = vec![
            format!("/v3/rooms/{room}/messages?dir=b&limit=100"),
            format!("/v3/rooms/{room}/messages?dir=f&limit=100"),
            format!("/v3/rooms/{room}/initialSync"),
            format!("/v1/rooms/{room}/threads"),
            format!("/v3/sync?filter={}", encoded(&filter)),
            format!("/v3/sync?filter={}", encoded(&as_servers)),
            format!("/v3/sync?filter={}&since={since}", encoded(&filter)),
            "/v3/notifications?limit=100".to_owned(),
        ];
        for event in events {
            paths.push(format!("/v3/rooms/{room}/event/{event}"));
            paths.push(format!("/v3/rooms/{room}/context/{event}?limit=100"));
            paths.push(format!("/v1/rooms/{room}/relations/{event}?recurse=true"));
        }
        let mut readings = Vec::new();
        for path in paths {
            let answer = reader.get(&path).await.ok();
            readings.push((path, answer));
        }
        let wanted = json!({ "timeline_limit": 100, "required_state": [] });
        let words = json!({ "room_subscriptions": { room: wanted } });
        let sliding = reader.post("/unstable/org.matrix.simplified_msc3575/sync", words).await.ok();
        readings.push(("sliding sync".to_owned(), sliding));
        let context = json!({ "before_limit": 100, "after_limit": 100 });
        for words in [SECRET, "keep"] {
            let criteria = json!({ "search_term": words, "event_context": context });
            let search = json!({ "search_categories": { "room_events": criteria } });
            let mut found = reader.post("/v3/search", search).await.ok();
            // What was searched for stands in the answer.
            found["search_categories"]["room_events"]["highlights"].take();
            readings.push((format!("search for {words}"), found));
        }
        readings
    }
}

#[tokio::test]
async fn both_of_a_direct_chat_set_its_timer_and_both_see_it() {
    for preset in ["private_chat", "trusted_private_chat"] {
        for version in ["10", "12"] {
            let scene = Scene::with(json!({ "preset": preset, "room_version": version })).await;
            let path = format!("/v3/rooms/{}/state/{TIMER}", scene.room);
            let since = text(&scene.anna.get("/v3/sync").await.ok()["next_batch"]);
            scene.set_timer(&scene.bert, after_send(HOUR)).await.ok();
            assert_eq!(scene.anna.get(&path).await.ok(), after_send(HOUR), "{preset} {version}");
            let news = scene.anna.get(&format!("/v3/sync?since={since}")).await.ok();
            let timeline = &news["rooms"]["join"][&scene.room]["timeline"]["events"];
            assert_eq!(each(timeline, "type"), [TIMER], "{preset} {version}");
            scene.set_timer(&scene.anna, json!({})).await.ok();
            assert_eq!(scene.bert.get(&path).await.ok(), json!({}), "{preset} {version}");
            // Nothing else is open to both by that.
            if preset == "private_chat" {
                let name = scene.bert.set_state(&scene.room, "m.room.name", json!({ "name": "B" })).await;
                name.fails(403, "M_FORBIDDEN");
            }
        }
    }
}

#[tokio::test]
async fn whoever_names_themselves_too_makes_no_group_of_a_direct_chat() {
    let Scene { anna, bert, .. } = &Scene::open().await;
    let both = [&anna.user_id, &bert.user_id];
    let room = anna.create_room(json!({ "is_direct": true, "invite": both })).await;
    bert.join(&room).await.ok();
    bert.set_state(&room, TIMER, after_send(HOUR)).await.ok();
}

#[tokio::test]
async fn in_a_group_the_timer_is_its_admins() {
    let scene = Scene::open().await;
    let carl = scene.network.register(WHATSAPP, "carl").await;
    let members = [&scene.bert.user_id, &carl.user_id];
    for is_direct in [false, true] {
        let group = json!({ "preset": "private_chat", "is_direct": is_direct, "invite": members });
        let room = scene.anna.create_room(group).await;
        scene.bert.join(&room).await.ok();
        scene.bert.set_state(&room, TIMER, after_send(HOUR)).await.fails(403, "M_FORBIDDEN");
        scene.anna.set_state(&room, TIMER, after_send(HOUR)).await.ok();
    }
}

#[tokio::test]
async fn a_timer_that_is_none_is_refused() {
    let scene = Scene::open().await;
    scene.set_timer(&scene.anna, after_send(5_000)).await.ok();
    for wrong in [
        after_send(4_999),
        after_send(31_536_000_001),
        json!({ "type": "after_read", "timer": HOUR }),
        json!({ "type": "after_send", "timer": "3600000" }),
        json!({ "timer": HOUR }),
    ] {
        scene.set_timer(&scene.anna, wrong.clone()).await.fails(400, "M_BAD_JSON");
        let first = json!([{ "type": TIMER, "state_key": "", "content": wrong }]);
        let made = scene.anna.post("/v3/createRoom", json!({ "initial_state": first })).await;
        made.fails(400, "M_INVALID_ROOM_STATE");
    }
    let path = format!("/v3/rooms/{}/state/{TIMER}", scene.room);
    assert_eq!(scene.anna.get(&path).await.ok(), after_send(5_000));
    // With another state key it is no timer.
    scene.anna.put(&format!("{path}/other"), json!({ "type": "after_read" })).await.ok();
}

#[tokio::test]
async fn nobody_reads_a_message_after_its_time_in_any_way() {
    let scene = Scene::open().await;
    let Scene { anna, bert, room, .. } = &scene;
    let kept = anna.say(room, "keep: before the timer").await;
    anna.set_state(room, "m.room.topic", json!({ "topic": "topic of the chat" })).await.ok();
    let since = text(&bert.get("/v3/sync").await.ok()["next_batch"]);
    scene.set_timer(bert, after_send(HOUR)).await.ok();

    let said = anna.say(room, &format!("{SECRET} at the quay")).await;
    anna.send(room, "m.room.message", related(&format!("{SECRET} at the pier"), "m.replace", &said)).await;
    let key = json!({ "rel_type": "m.annotation", "event_id": said, "key": SECRET });
    bert.send(room, "m.reaction", json!({ "m.relates_to": key })).await;
    let reply = json!({ "m.in_reply_to": { "event_id": said } });
    let quoting = json!({ "msgtype": "m.text", "body": format!("> {SECRET}"), "m.relates_to": reply });
    bert.send(room, "m.room.message", quoting).await;
    let threaded = bert.send(room, "m.room.message", related(SECRET, "m.thread", &kept)).await;
    bert.send(room, "m.room.message", related(SECRET, "m.thread", &kept)).await;
    bert.send(room, "m.room.message", related(SECRET, "m.reference", &kept)).await;
    let events = [&kept, &said, &threaded];

    pass(HOUR - 60_000);
    for reader in [anna, bert] {
        for (path, answer) in scene.readings(reader, &since, &events).await {
            let has_none = path.contains(&format!("relations/{threaded}")) || path.contains("notifications");
            assert!(has_none || answer.to_string().contains(SECRET), "{path}: {answer}");
        }
    }
    let event = scene.event(bert, &said).await;
    let sent_ts = event["origin_server_ts"].as_u64().expect("a time");
    assert_eq!(event["unsigned"][GONE_AT], sent_ts + HOUR);
    assert!(scene.event(bert, &kept).await["unsigned"].get(GONE_AT).is_none());
    scene.sweep().await;
    assert!(!scene.is_gone(&said).await, "it was erased before its time");

    pass(60_001);
    for swept in [false, true] {
        if swept {
            scene.sweep().await;
        }
        for reader in [anna, bert] {
            for (path, answer) in scene.readings(reader, &since, &events).await {
                assert!(!answer.to_string().contains(SECRET), "{path}, swept: {swept}: {answer}");
            }
        }
        assert!(scene.is_gone(&said).await && scene.is_gone(&threaded).await);
        let root = scene.event(bert, &kept).await;
        assert_eq!(root["content"]["body"], "keep: before the timer");
        assert!(root["unsigned"].get("m.relations").is_none(), "swept: {swept}: {root}");
        let threads = anna.get(&format!("/v1/rooms/{room}/threads")).await.ok();
        assert_eq!(threads["chunk"], json!([]), "swept: {swept}");
        let topic = bert.get(&format!("/v3/rooms/{room}/state/m.room.topic")).await.ok();
        assert_eq!(topic["topic"], "topic of the chat");
        assert_eq!(scene.has_stored(SECRET).await, !swept);
    }
    assert_eq!(scene.rows::<DisappearingMessages>().await, 0);
    assert_eq!(scene.rows::<Relations>().await, 0);
    assert_eq!(scene.network.app.rooms.audit().await.expect("it is read"), Vec::<String>::new());
    // The graph of the room goes on.
    scene.set_timer(anna, json!({})).await.ok();
    let later = anna.say(room, "keep: after the timer").await;
    pass(2 * HOUR);
    scene.sweep().await;
    assert!(!scene.is_gone(&later).await);
}

#[tokio::test]
async fn a_message_keeps_the_timer_under_which_it_was_sent() {
    let scene = Scene::open().await;
    let Scene { anna, room, .. } = &scene;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    let short = anna.say(room, "an hour").await;
    scene.set_timer(anna, after_send(3 * HOUR)).await.ok();
    let long = anna.say(room, "three hours").await;
    scene.set_timer(anna, json!({})).await.ok();
    let kept = anna.say(room, "for good").await;
    pass(HOUR + 1);
    scene.sweep().await;
    assert_eq!([scene.is_gone(&short).await, scene.is_gone(&long).await], [true, false]);
    pass(2 * HOUR);
    scene.sweep().await;
    assert_eq!([scene.is_gone(&long).await, scene.is_gone(&kept).await], [true, false]);
}

#[tokio::test]
async fn a_timer_that_is_redacted_is_off_and_still_says_why_messages_are_gone() {
    let scene = Scene::open().await;
    let Scene { anna, bert, room, .. } = &scene;
    let timer = text(&scene.set_timer(anna, after_send(HOUR)).await.ok()["event_id"]);
    let said = bert.say(room, "an hour").await;
    let redact = format!("/v3/rooms/{room}/redact/{timer}/{}", anna.next_transaction());
    anna.put(&redact, json!({})).await.ok();
    let kept = bert.say(room, "for good").await;
    pass(HOUR + 1);
    for swept in [false, true] {
        if swept {
            scene.sweep().await;
        }
        assert_eq!([scene.is_gone(&said).await, scene.is_gone(&kept).await], [true, false]);
        let because = scene.event(bert, &said).await["unsigned"]["redacted_because"].clone();
        assert_eq!(
            (text(&because["event_id"]), text(&because["sender"])),
            (timer.clone(), anna.user_id.clone())
        );
    }
}

#[tokio::test]
async fn its_senders_archive_has_nothing_of_it() {
    let scene = Scene::open().await;
    scene.set_timer(&scene.anna, after_send(HOUR)).await.ok();
    scene.anna.say(&scene.room, SECRET).await;
    let picture = upload(&scene.anna).await;
    let image = json!({ "msgtype": "m.image", "body": "a picture", "url": picture });
    scene.anna.send(&scene.room, "m.room.message", image).await;
    let archive = export(&scene.network, &scene.anna).await;
    assert!(archive.has(SECRET) && archive.has(&picture) && archive.has(CONTENT));
    // It is still in the store.
    pass(HOUR + 1);
    assert_eq!(scene.rows::<UserMedia>().await, 1);
    let archive = export(&scene.network, &scene.anna).await;
    assert!(!archive.has(SECRET) && !archive.has(&picture) && !archive.has(CONTENT));
    scene.sweep().await;
    assert_eq!(scene.rows::<UserMedia>().await, 0);
}

#[tokio::test]
async fn who_came_later_learns_what_has_disappeared_and_no_more() {
    let scene = Scene::with(json!({ "initial_state": [
        { "type": "m.room.history_visibility", "state_key": "", "content": { "history_visibility": "joined" } },
    ] }))
    .await;
    let Scene { anna, room, .. } = &scene;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    let before = anna.say(room, SECRET).await;
    let carl = scene.network.register(WHATSAPP, "carl").await;
    anna.invite(room, &carl).await.ok();
    carl.join(room).await.ok();
    let after = anna.say(room, SECRET).await;
    pass(HOUR + 1);
    let path = |event: &str| format!("/v3/rooms/{room}/event/{event}");
    let event = carl.get(&path(&after)).await.ok();
    assert_eq!(
        (&event["content"], &event["unsigned"]["redacted_because"]["type"]),
        (&json!({}), &json!(TIMER))
    );
    carl.get(&path(&before)).await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_preview_of_a_request_shows_nothing_that_has_disappeared() {
    let scene = Scene::open().await;
    let timer = json!([{ "type": TIMER, "state_key": "", "content": after_send(HOUR) }]);
    let wanted = json!({ "is_direct": true, "invite": [scene.bert.user_id], "initial_state": timer });
    let carl = scene.network.register(WHATSAPP, "carl").await;
    let room = carl.create_room(wanted).await;
    carl.say(&room, SECRET).await;
    let path = format!("/_linkspan/client/v1/requests/{}/preview", encoded(&room));
    assert!(scene.bert.get(&path).await.ok().to_string().contains(SECRET));
    pass(HOUR + 1);
    assert!(!scene.bert.get(&path).await.ok().to_string().contains(SECRET));
}

#[tokio::test]
async fn edits_and_reactions_go_with_their_message() {
    let scene = Scene::open().await;
    let Scene { anna, bert, room, .. } = &scene;
    let kept = anna.say(room, "for good").await;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    let said = anna.say(room, "an hour").await;
    let heart =
        |to: &str| json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": to, "key": "❤️" } });
    let of_kept = anna.send(room, "m.room.message", related("better", "m.replace", &kept)).await;
    let heart_of_kept = bert.send(room, "m.reaction", heart(&kept)).await;
    // An edit of somebody else's message changes nothing, and has its own time.
    let of_others = bert.send(room, "m.room.message", related("wrong", "m.replace", &kept)).await;
    // So has what is no reaction, and no edit either.
    let beside = bert.send(room, "m.room.message", related(SECRET, "m.annotation", &kept)).await;
    let note = anna.send(room, "org.example.note", related(SECRET, "m.replace", &kept)).await;
    scene.set_timer(anna, json!({})).await.ok();
    let of_said = anna.send(room, "m.room.message", related("late", "m.replace", &said)).await;
    let heart_of_said = bert.send(room, "m.reaction", heart(&said)).await;
    let redaction = format!("/v3/rooms/{room}/redact/{heart_of_said}/{}", bert.next_transaction());
    let redaction = text(&bert.put(&redaction, json!({ "reason": "oops" })).await.ok()["event_id"]);
    pass(HOUR + 1);
    for swept in [false, true] {
        if swept {
            scene.sweep().await;
        }
        for event in [&said, &of_said, &of_others, &beside, &note] {
            assert!(scene.is_gone(event).await, "swept: {swept}: {event}");
        }
        for event in [&kept, &of_kept, &heart_of_kept, &redaction] {
            assert!(!scene.is_gone(event).await, "swept: {swept}: {event}");
        }
    }
    // Whoever edits it afterwards brings nothing back.
    let too_late = anna.send(room, "m.room.message", related("too late", "m.replace", &said)).await;
    assert!(scene.is_gone(&too_late).await);
    let edited = scene.event(bert, &kept).await;
    assert_eq!(edited["unsigned"]["m.relations"]["m.replace"]["content"]["body"], "better");
    // What somebody has deleted stays deleted, by whom it was.
    let deleted = scene.event(bert, &heart_of_said).await;
    assert_eq!(deleted["unsigned"]["redacted_because"]["type"], "m.room.redaction");
}

#[tokio::test]
async fn encrypted_messages_disappear_on_all_platforms_with_the_media_that_they_carry() {
    let encrypted = json!([{ "type": "m.room.encryption", "state_key": "",
        "content": { "algorithm": "m.megolm.v1.aes-sha2" } }]);
    let scene = Scene::with(json!({ "initial_state": encrypted })).await;
    let Scene { anna, bert, room, .. } = &scene;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    let (picture, thumbnail, other) = (upload(anna).await, upload(anna).await, upload(anna).await);
    let named = format!("{}&{}", attach(&picture), attach(&thumbnail));
    let path = format!("/v3/rooms/{room}/send/m.room.encrypted/1?{named}");
    let said = text(&anna.put(&path, sealed::to_room()).await.ok()["event_id"]);
    assert_eq!(scene.rows::<ExpiringMedia>().await, 2);
    pass(HOUR - 60_000);
    scene.sweep().await;
    assert!(!scene.is_gone(&said).await && has(bert, &picture).await);
    pass(60_001);
    assert!(scene.is_gone(&said).await);
    scene.sweep().await;
    assert!(scene.is_gone(&said).await);
    for gone in [&picture, &thumbnail] {
        for reader in [anna, bert] {
            assert!(!has(reader, gone).await);
        }
    }
    assert!(has(bert, &other).await, "nothing carried it");
    assert_eq!([scene.rows::<ExpiringMedia>().await, scene.rows::<Media>().await], [0, 1]);
    assert!(!scene.has_stored(&sealed::megolm()).await);
    let usage =
        linkspan_storage::catalogue::UserKey { user_id: anna.user_id.as_str().try_into().expect("an id") };
    let used = scene.network.store.get::<MediaUsage>(&usage).await.expect("it is read");
    // What is small counts for a block of the disk.
    assert_eq!(used, Some(4_096), "the rest is given back");
}

/// The content of uploads.
const CONTENT: &str = r#"{"a":"picture"}"#;

async fn upload(client: &Client) -> String {
    let content = serde_json::from_str(CONTENT).expect("JSON");
    text(&client.post("/_matrix/media/v3/upload", content).await.ok()["content_uri"])
}

fn attach(uri: &str) -> String {
    format!("org.matrix.msc3911.attach_media={}", encoded(uri))
}

async fn has(client: &Client, uri: &str) -> bool {
    let place = uri.trim_start_matches("mxc://");
    let (status, body) = client.call_raw(Method::GET, &format!("/v1/media/download/{place}"), "").await;
    match status.as_u16() {
        200 => true,
        404 => {
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(body["errcode"], "M_NOT_FOUND");
            false
        }
        status => panic!("{status}"),
    }
}

/// A message sent an hour and a minute ago, under a timer of an hour: as a request an hour ago would have made it.
async fn send_long_ago(scene: &Scene, content: Value, attached: &[&String]) -> String {
    let user_id = scene.anna.user_id.as_str().try_into().expect("a user id");
    let device_id = scene.anna.device_id.as_str().into();
    let room_id = scene.room.as_str().try_into().expect("a room id");
    let attached = attached.iter().map(|uri| uri.as_str().into()).collect();
    let (content, txn_id) = (content.to_string(), format!("long-ago-{}", scene.anna.next_transaction()));
    let long_ago = now_ts() - HOUR - 60_000;
    let rooms = &scene.network.app.rooms;
    let kind = "m.room.message";
    let sent =
        rooms.send_message(&user_id, &device_id, &room_id, kind, &content, attached, &txn_id, long_ago);
    sent.await.expect("it is sent").to_string()
}

#[tokio::test]
async fn media_are_not_given_out_after_their_time_before_the_sweep_either() {
    let scene = Scene::open().await;
    scene.set_timer(&scene.anna, after_send(HOUR)).await.ok();
    let (picture, small) = (upload(&scene.anna).await, upload(&scene.anna).await);
    let content = json!({
        "msgtype": "m.image", "body": SECRET, "url": picture, "info": { "thumbnail_file": { "url": small } },
    });
    let said = send_long_ago(&scene, content, &[]).await;
    assert!(scene.is_gone(&said).await);
    for uri in [&picture, &small] {
        assert!(!has(&scene.bert, uri).await);
        let thumbnail =
            format!("/v1/media/thumbnail/{}?width=32&height=32", uri.trim_start_matches("mxc://"));
        scene.bert.get(&thumbnail).await.fails(404, "M_NOT_FOUND");
    }
    // What has gone cannot be kept by naming it again.
    let path = format!("/v3/rooms/{}/send/m.room.message/1?{}", scene.room, attach(&picture));
    scene.anna.put(&path, json!({ "msgtype": "m.text", "body": "?" })).await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn media_stay_for_as_long_as_a_message_carries_them() {
    let scene = Scene::open().await;
    let Scene { anna, bert, room, .. } = &scene;
    let [longer, kept, sticker, others] =
        [upload(anna).await, upload(anna).await, upload(anna).await, upload(bert).await];
    let image = |uri: &str| json!({ "msgtype": "m.image", "body": "a picture", "url": uri });
    // A message that stays carries this one.
    let path = format!("/v3/rooms/{room}/send/m.room.message/1?{}", attach(&kept));
    anna.put(&path, image(&kept)).await.ok();
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    for uri in [&longer, &kept, &others] {
        anna.send(room, "m.room.message", image(uri)).await;
    }
    anna.send(room, "m.sticker", json!({ "body": "a sticker", "url": sticker, "info": {} })).await;
    scene.set_timer(anna, after_send(2 * HOUR)).await.ok();
    anna.send(room, "m.room.message", image(&longer)).await;
    pass(HOUR + 1);
    scene.sweep().await;
    assert!(has(bert, &longer).await, "a later message carries it");
    pass(HOUR);
    scene.sweep().await;
    assert!(!has(bert, &longer).await);
    for uri in [&kept, &sticker, &others] {
        assert!(has(bert, uri).await, "{uri}");
    }
    assert_eq!(scene.rows::<ExpiringMedia>().await, 0);
}

#[tokio::test]
async fn only_own_uploads_can_be_attached_and_only_so_many() {
    let scene = Scene::open().await;
    let Scene { anna, bert, room, .. } = &scene;
    let (own, others) = (upload(anna).await, upload(bert).await);
    let words = json!({ "msgtype": "m.text", "body": "?" });
    let nothing = "mxc://instagram.localhost/nothing".to_owned();
    let sent = async |named: String| {
        let path = format!("/v3/rooms/{room}/send/m.room.message/{}?{named}", anna.next_transaction());
        anna.put(&path, words.clone()).await
    };
    for wrong in [&others, &nothing, &"no uri".to_owned()] {
        sent(format!("{}&{}", attach(&own), attach(wrong))).await.fails(400, "M_INVALID_PARAM");
    }
    sent(vec![attach(&own); 33].join("&")).await.fails(400, "M_INVALID_PARAM");
    sent(vec![attach(&own); 32].join("&")).await.ok();
    assert_eq!(anna.heard(room).await, ["?"]);
}

#[tokio::test]
async fn an_upload_that_comes_after_its_message_goes_with_it() {
    let scene = Scene::open().await;
    let Scene { anna, bert, room, .. } = &scene;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    let uri = text(&anna.post("/_matrix/media/v1/create", json!({})).await.ok()["content_uri"]);
    anna.send(room, "m.room.message", json!({ "msgtype": "m.image", "body": "a picture", "url": uri })).await;
    let place = format!("/_matrix/media/v3/upload/{}", uri.trim_start_matches("mxc://"));
    anna.put(&place, json!({ "a": "picture" })).await.ok();
    assert!(has(bert, &uri).await);
    pass(HOUR + 1);
    scene.sweep().await;
    assert!(!has(bert, &uri).await);
}

#[tokio::test]
async fn who_is_connected_is_told_nothing_when_messages_are_erased() {
    let scene = Scene::open().await;
    let Scene { anna, bert, room, .. } = &scene;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    anna.say(room, SECRET).await;
    let since = text(&bert.get("/v3/sync").await.ok()["next_batch"]);
    pass(HOUR + 1);
    // Commits are told after they are answered: those of before may still be on their way.
    scene.network.flush().await;
    let mut commits = scene.network.store.follow();
    scene.sweep().await;
    scene.network.flush().await;
    // Those who watch a big room are woken by its head.
    let heads = std::iter::from_fn(|| commits.try_next()).map(|news| match news {
        News::Commits(group) => group.iter().map(|it| it.keys_put::<RoomHeads>().count()).sum::<usize>(),
        News::Missed => panic!("there were few"),
    });
    assert_eq!(heads.sum::<usize>(), 0);
    let news = bert.get(&format!("/v3/sync?since={since}")).await.ok();
    assert!(news.get("rooms").is_none_or(|rooms| rooms["join"].get(room).is_none()), "{news}");
}

#[tokio::test]
async fn what_cannot_be_erased_keeps_nothing_else() {
    let scene = Scene::open().await;
    let Scene { network, anna, bert, room, .. } = &scene;
    let other = bert.create_room(json!({})).await;
    for (who, room) in [(anna, room), (bert, &other)] {
        who.set_state(room, TIMER, after_send(HOUR)).await.ok();
    }
    for number in 1..=3 {
        anna.say(room, &format!("{SECRET}-{number}")).await;
    }
    bert.say(&other, &format!("{SECRET}-other")).await;
    network.flush().await;
    let mut writes = WriteSet::new();
    // There is no such state. The room is one that was deleted.
    let rows = network.store.range(Range::<Timeline>::all()).await.expect("it is read");
    let second = rows.into_iter().find(|(_, event)| event.value.pdu.contains(&format!("{SECRET}-2")));
    let (key, mut damaged) = second.expect("it was said");
    damaged.value.state_before = u64::MAX;
    writes.put::<Timeline>(&key, &damaged);
    let nowhere = "!nowhere:instagram.localhost".try_into().expect("a room id");
    let nowhere = DisappearingKey { disappears_ts: 1, room_id: nowhere, seq: 1 };
    writes.put::<DisappearingMessages>(&nowhere, &());
    network.store.commit(writes).await.expect("it is written");
    pass(HOUR + 1);
    scene.sweep().await;
    for (said, is_left) in [("1", false), ("2", true), ("3", false), ("other", false)] {
        assert_eq!(scene.has_stored(&format!("{SECRET}-{said}")).await, is_left, "{said}");
    }
    let left = network.store.keys(Range::<DisappearingMessages>::all()).await.expect("it is read");
    assert_eq!(left.iter().map(|key| key.seq).collect::<Vec<_>>(), [key.seq]);
}

async fn stored_thread(network: &Network, room: &str, root: &str) -> ThreadRecord {
    let event_id = root.try_into().expect("an event id");
    let key = RoomEventKey { room_id: room.try_into().expect("a room id"), event_id };
    network.flush().await;
    network.store.get::<Threads>(&key).await.expect("it is read").expect("a thread")
}

#[tokio::test]
async fn a_thread_goes_on_with_the_replies_that_are_left() {
    let scene = Scene::open().await;
    let Scene { network, anna, room, .. } = &scene;
    let root = anna.say(room, "for good").await;
    let mut ends = Vec::new();
    for hours in [1, 3, 2] {
        scene.set_timer(anna, after_send(hours * HOUR)).await.ok();
        let reply = anna.send(room, "m.room.message", related("a reply", "m.thread", &root)).await;
        ends.push((scene.event(anna, &reply).await["unsigned"][GONE_AT].as_u64(), reply));
    }
    let [(_, _), (last, _), (middle, to_redact)] = <[_; 3]>::try_from(ends).expect("three replies");
    assert!(middle.is_some() && middle < last);
    let thread = async || {
        let thread = stored_thread(network, room, &root).await;
        (thread.count, thread.disappears_ts)
    };
    pass(HOUR + 1);
    scene.sweep().await;
    assert_eq!(thread().await, (2, middle));
    let redact = format!("/v3/rooms/{room}/redact/{to_redact}/{}", anna.next_transaction());
    anna.put(&redact, json!({})).await.ok();
    assert_eq!(thread().await, (1, last));
    pass(2 * HOUR);
    scene.sweep().await;
    assert_eq!(thread().await, (0, None));
}

#[tokio::test]
async fn a_thread_of_which_more_goes_than_at_a_time_ends_with_what_is_left() {
    let scene = Scene::open().await;
    let Scene { network, anna, room, .. } = &scene;
    let root = anna.say(room, "for good").await;
    let mut ends = Vec::new();
    for (hours, count) in [(3, 1), (1, 300), (2, 1)] {
        scene.set_timer(anna, after_send(hours * HOUR)).await.ok();
        for _ in 0..count {
            let reply = anna.send(room, "m.room.message", related("a reply", "m.thread", &root)).await;
            ends.push(scene.event(anna, &reply).await["unsigned"][GONE_AT].as_u64());
        }
    }
    pass(HOUR + MINUTE);
    scene.sweep().await;
    let thread = stored_thread(network, room, &root).await;
    assert_eq!((thread.count, thread.disappears_ts), (2, *ends.last().expect("there are some")));
    assert!(thread.disappears_ts.is_some());
}

#[tokio::test]
async fn what_has_disappeared_is_unread_no_more() {
    let scene = Scene::open().await;
    let Scene { anna, room, .. } = &scene;
    let unread = async |scene: &Scene| {
        let news = scene.bert.on(&scene.network).get("/v3/sync").await.ok();
        news["rooms"]["join"][room]["unread_notifications"]["notification_count"].as_u64()
    };
    anna.say(room, "for good").await;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    // More than are remembered one by one.
    for number in 0..300 {
        anna.say(room, &format!("wave {number}")).await;
    }
    assert_eq!(unread(&scene).await, Some(301));
    scene.network.flush().await;
    let restarted = scene.over(&scene.memory).await;
    assert_eq!(unread(&restarted).await, Some(301));
    // The others are counted anew every five minutes.
    pass(HOUR + 6 * MINUTE);
    for scene in [&scene, &restarted] {
        assert_eq!(unread(scene).await, Some(1));
    }
}

#[tokio::test]
async fn what_was_sent_later_or_searched_leaves_no_copy() {
    let scene = Scene::open().await;
    let Scene { anna, bert, room, .. } = &scene;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    let picture = upload(anna).await;
    let below = "/unstable/org.matrix.msc4140";
    let path = format!("{below}/rooms/{room}/delayed_event/m.room.message/1?{}", attach(&picture));
    let later =
        json!({ "delay": HOUR, "content": { "msgtype": "m.text", "body": format!("{SECRET} later") } });
    let delay_id = text(&anna.put(&path, later).await.ok()["delay_id"]);
    anna.post(&format!("{below}/delayed_events/{delay_id}/send"), json!({})).await.ok();
    assert_eq!(bert.heard(room).await, [format!("{SECRET} later")]);
    let about = anna.get(&format!("{below}/delayed_events/{delay_id}")).await.ok();
    assert_eq!(about["content"], json!({}));
    assert_eq!((scene.rows::<DelayedEvents>().await, scene.rows::<ExpiringMedia>().await), (1, 1));
    // So many that a search notes the words of a whole part of the room.
    for number in 0..260 {
        anna.say(room, &format!("wave {number}")).await;
    }
    let search = |words: &str| {
        let criteria = json!({ "search_term": words });
        json!({ "search_categories": { "room_events": criteria } })
    };
    let found = bert.post("/v3/search", search(SECRET)).await.ok();
    assert_eq!(found["search_categories"]["room_events"]["count"], 1);
    assert_eq!(scene.rows::<SearchChunks>().await, 0);
    pass(HOUR + 1);
    scene.sweep().await;
    let found = bert.post("/v3/search", search("wave")).await.ok();
    assert_eq!(found["search_categories"]["room_events"]["count"], 0);
    assert_eq!(scene.rows::<SearchChunks>().await, 1);
    assert!(!scene.has_stored(SECRET).await && !has(bert, &picture).await);
}

#[tokio::test]
async fn a_report_keeps_what_was_disclosed_in_it() {
    let scene = Scene::open().await;
    let Scene { anna, bert, room, .. } = &scene;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    let said = anna.say(room, SECRET).await;
    let late = anna.say(room, "LATE").await;
    bert.post(&format!("/v3/rooms/{room}/report/{said}"), json!({ "reason": "rude" })).await.ok();
    pass(HOUR + 1);
    bert.post(&format!("/v3/rooms/{room}/report/{late}"), json!({ "reason": "rude" })).await.ok();
    scene.sweep().await;
    assert!(scene.has_stored(SECRET).await);
    assert!(!scene.has_stored("LATE").await, "nobody could read it any more");
}

#[tokio::test]
async fn an_upgrade_takes_the_timer_along() {
    let scene = Scene::with(json!({ "preset": "private_chat", "room_version": "10" })).await;
    let Scene { anna, bert, room, .. } = &scene;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    let upgrade = json!({ "new_version": "12" });
    let new = anna.post(&format!("/v3/rooms/{room}/upgrade"), upgrade).await.ok();
    let new = text(&new["replacement_room"]);
    assert_eq!(anna.get(&format!("/v3/rooms/{new}/state/{TIMER}")).await.ok(), after_send(HOUR));
    anna.invite(&new, bert).await.ok();
    bert.join(&new).await.ok();
    bert.set_state(&new, TIMER, json!({})).await.ok();
}

#[tokio::test]
async fn a_sweep_that_is_killed_is_finished_after_the_restart() {
    let scene = Scene::open().await;
    let Scene { anna, room, .. } = &scene;
    let kept = anna.say(room, "for good").await;
    scene.set_timer(anna, after_send(HOUR)).await.ok();
    // Several steps for messages, and several for media.
    for number in 0..130 {
        anna.send(room, "m.room.message", related(&format!("{SECRET} {number}"), "m.thread", &kept)).await;
    }
    for _ in 0..3 {
        let content = json!({ "msgtype": "m.image", "body": SECRET, "url": upload(anna).await });
        anna.send(room, "m.room.message", content).await;
    }
    scene.network.flush().await;
    pass(HOUR + 1);
    let (mut killed, mut in_between) = (0, 0);
    for nth in 1..100 {
        let image = scene.memory.image().expect("an image");
        let at = scene.over(&image).await.network.newest_commit().await + nth;
        let faults = Faults { seed: nth, crash_at: Some(at), ..Faults::default() };
        let failing = image.reopen_with(faults).expect("it opens");
        let sweeping = scene.over(&failing).await;
        let erased = sweeping.network.app.rooms.erase_disappeared(clock()).await;
        let removed = sweeping.network.app.media.remove_expired(clock() + MINUTE).await;
        let again = scene.over(&failing.reopen().expect("it opens")).await;
        let left = again.rows::<DisappearingMessages>().await + again.rows::<ExpiringMedia>().await;
        in_between += usize::from(left > 0 && left < 136);
        assert_eq!(again.network.app.rooms.audit().await.expect("it is read"), Vec::<String>::new());
        let all = again.anna.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=200")).await.ok();
        assert!(!all.to_string().contains(SECRET), "it is hidden whatever the sweep has done");
        let root = again.event(&again.anna, &kept).await;
        assert_eq!(root["content"]["body"], "for good");
        again.sweep().await;
        assert!(!again.has_stored(SECRET).await);
        assert_eq!(again.network.app.rooms.audit().await.expect("it is read"), Vec::<String>::new());
        assert_eq!([again.rows::<DisappearingMessages>().await, again.rows::<Media>().await], [0, 0]);
        if erased.is_ok() && removed.is_ok() {
            assert!(killed > 3 && in_between > 2, "it was killed {killed} times, {in_between} in between");
            return;
        }
        killed += 1;
    }
    panic!("it takes more commits");
}

#[tokio::test]
async fn a_room_without_a_timer_has_no_rows_of_it() {
    let scene = Scene::open().await;
    scene.anna.say(&scene.room, "for good").await;
    let picture = upload(&scene.anna).await;
    let image = json!({ "msgtype": "m.image", "body": "a picture", "url": picture });
    scene.anna.send(&scene.room, "m.room.message", image).await;
    let rows = [scene.rows::<DisappearingMessages>().await, scene.rows::<ExpiringMedia>().await];
    assert_eq!((rows, scene.rows::<Timeline>().await > 0), ([0, 0], true));
}
