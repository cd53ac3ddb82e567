//! Events that wait. They are sent in time, restarted, cancelled or sent early, and what may not be sent is
//! not.

use http::Method;
use linkspan_storage::{Range, WriteSet, catalogue::Timeline};
use linkspan_tests::{Server, household::Town};
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::network::{Answer, Client, INSTAGRAM, MESSENGER, Network, PATIENCE, each, list, text};

const BELOW: &str = "/unstable/org.matrix.msc4140";
const HOUR: u64 = 3_600_000;

/// Schedules a message, and returns its id.
async fn later(user: &Client, room: &str, delay_ms: u64, body: &str) -> String {
    let content = json!({ "msgtype": "m.text", "body": body });
    let path = format!("{BELOW}/rooms/{room}/delayed_event/m.room.message/{}", user.next_transaction());
    let answer = user.put(&path, json!({ "delay": delay_ms, "content": content })).await;
    text(&answer.ok()["delay_id"])
}

async fn act(network: &Network, platform: &str, delay_id: &str, action: &str) -> Answer {
    let path = format!("{BELOW}/delayed_events/{delay_id}/{action}");
    network.call(platform, None, Method::POST, &path, Some(json!({}))).await
}

async fn about(user: &Client, delay_id: &str) -> Value {
    user.get(&format!("{BELOW}/delayed_events/{delay_id}")).await.ok()
}

async fn listed(user: &Client, query: &str) -> Vec<String> {
    each(&user.get(&format!("{BELOW}/delayed_events{query}")).await.ok()["delayed_events"], "delay_id")
}

/// Waits until an event has ended, and returns what is known of it.
async fn ended(user: &Client, delay_id: &str) -> Value {
    let ends = async {
        loop {
            let about = about(user, delay_id).await;
            if about.get("origin_server_ts").is_some() {
                return about;
            }
            // Otherwise nothing else would run on this thread.
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ends).await.expect("it ends")
}

#[tokio::test]
async fn an_event_is_sent_when_its_time_has_come() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let delay_id = later(&anna, &room, 300, "late").await;
    let waiting = about(&anna, &delay_id).await;
    assert_eq!((&waiting["delay"], &waiting["type"]), (&json!(300), &json!("m.room.message")));
    assert!(waiting.get("event_id").is_none() && !bert.heard(&room).await.contains(&"late".to_owned()));

    let ended = ended(&anna, &delay_id).await;
    let path = format!("/v3/rooms/{room}/event/{}", text(&ended["event_id"]));
    let event = anna.get(&path).await.ok();
    let running_since = ended["running_since"].as_u64().expect("a time");
    assert!(event["origin_server_ts"].as_u64().expect("a time") >= running_since + 300, "{event} {ended}");
    assert_eq!(event["unsigned"]["org.matrix.msc4140.delay_id"], *delay_id);
    assert!(bert.get(&path).await.ok()["unsigned"].get("org.matrix.msc4140.delay_id").is_none());
    assert_eq!(bert.heard(&room).await, ["late"]);
}

#[tokio::test]
async fn a_state_event_waits_by_the_parameter_of_its_path() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let state = format!("/v3/rooms/{room}/state/org.matrix.msc3401.call.member/_{}_DEVICE", anna.user_id);
    anna.put(&state, json!({ "application": "m.call" })).await.ok();
    let hang_up = anna.put(&format!("{state}?org.matrix.msc4140.delay={HOUR}"), json!({})).await.ok();
    let hang_up = text(&hang_up["delay_id"]);
    assert_eq!(anna.get(&state).await.ok()["application"], "m.call");
    act(&network, INSTAGRAM, &hang_up, "send").await.ok();
    assert_eq!(anna.get(&state).await.ok(), json!({}));
    act(&network, INSTAGRAM, &hang_up, "send").await.ok();
    act(&network, INSTAGRAM, &hang_up, "cancel").await.fails(409, "M_UNKNOWN");
    act(&network, INSTAGRAM, &hang_up, "restart").await.fails(409, "M_UNKNOWN");

    // State that is so already makes no new event, and counts as sent all the same.
    let again = anna.put(&format!("{state}?org.matrix.msc4140.delay=1"), json!({})).await.ok();
    assert!(ended(&anna, &text(&again["delay_id"])).await["event_id"].is_string());
}

#[tokio::test]
async fn a_restart_puts_it_off_and_a_cancel_for_ever() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let [first, second] = [later(&anna, &room, HOUR, "1").await, later(&anna, &room, 2 * HOUR, "2").await];
    let before = about(&anna, &first).await["running_since"].as_u64().expect("a time");
    // The old form has the action in the body.
    let path = format!("{BELOW}/delayed_events/{first}");
    anna.post(&path, json!({ "action": "restart" })).await.ok();
    assert!(about(&anna, &first).await["running_since"].as_u64().expect("a time") >= before);
    assert_eq!(listed(&anna, "").await, [first.clone(), second.clone()]);

    act(&network, INSTAGRAM, &first, "cancel").await.ok();
    act(&network, INSTAGRAM, &first, "cancel").await.ok();
    act(&network, INSTAGRAM, &first, "send").await.fails(409, "M_UNKNOWN");
    assert_eq!(listed(&anna, "?status=scheduled").await, std::slice::from_ref(&second));
    assert_eq!(listed(&anna, "?dir=b&since_ts=end").await, [second.clone(), first.clone()]);
    assert_eq!(listed(&anna, "?dir=b&since_ts=end&outcome=cancel&reason=action").await, [first]);
    assert_eq!(listed(&anna, "?since_ts=0&outcome=send").await, Vec::<String>::new());
    assert_eq!(
        listed(&anna, &format!("?status=scheduled&type=m.room.message&room_id={room}")).await,
        [second]
    );
}

#[tokio::test]
async fn what_may_not_be_sent_fails_when_it_is_due() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let delay_id = later(&bert, &room, HOUR, "too late").await;
    let soon = later(&bert, &room, 400, "too late").await;
    bert.leave(&room).await.ok();
    act(&network, MESSENGER, &delay_id, "send").await.fails(403, "M_FORBIDDEN");
    assert!(about(&bert, &delay_id).await.get("origin_server_ts").is_none(), "it waits on");
    let ended = ended(&bert, &soon).await;
    assert_eq!(ended["error"]["errcode"], "M_FORBIDDEN");
    act(&network, MESSENGER, &soon, "cancel").await.ok();
    assert_eq!(listed(&bert, "?since_ts=0&outcome=error&reason=delay").await, [soon]);
    bert.join(&room).await.ok();
    act(&network, MESSENGER, &delay_id, "send").await.ok();
    assert_eq!(anna.heard(&room).await, ["too late"]);
}

#[tokio::test]
async fn a_redaction_can_wait_and_a_transaction_counts_once() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let said = anna.say(&room, "this will go").await;
    let path = format!("/v3/rooms/{room}/send/m.room.redaction/tx?org.matrix.msc4140.delay={HOUR}");
    let first = anna.put(&path, json!({ "redacts": said })).await.ok();
    assert_eq!(anna.put(&path, json!({ "redacts": said })).await.ok(), first);
    let phone = anna.another_device().await;
    assert_ne!(phone.put(&path, json!({ "redacts": said })).await.ok(), first, "another device's is another");
    act(&network, INSTAGRAM, &text(&first["delay_id"]), "send").await.ok();
    assert_eq!(anna.get(&format!("/v3/rooms/{room}/event/{said}")).await.ok()["content"], json!({}));
}

#[tokio::test]
async fn a_transaction_counts_within_the_path_by_which_an_event_is_delayed() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let [room, other] = [anna.create_room(json!({})).await, anna.create_room(json!({})).await];
    let by_send = async |room: &str, kind: &str| {
        let path = format!("/v3/rooms/{room}/send/{kind}/tx?org.matrix.msc4140.delay={HOUR}");
        anna.put(&path, json!({})).await
    };
    let by_delay = async |room: &str, kind: &str| {
        let path = format!("{BELOW}/rooms/{room}/delayed_event/{kind}/tx");
        anna.put(&path, json!({ "delay": HOUR, "content": {} })).await
    };
    let mut made = Vec::new();
    for _ in 0..2 {
        for (room, kind) in [(&room, "org.example.a"), (&room, "org.example.b"), (&other, "org.example.a")] {
            made.push(text(&by_send(room, kind).await.ok()["delay_id"]));
            made.push(text(&by_delay(room, kind).await.ok()["delay_id"]));
        }
    }
    assert_eq!(made[..6], made[6..], "the same path again");
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 6, "six paths");
    // Sending something at once is another request than sending it later.
    let sent = anna.put(&format!("/v3/rooms/{room}/send/org.example.a/tx"), json!({})).await.ok();
    assert!(sent["event_id"].is_string(), "{sent}");
}

#[tokio::test]
async fn delayed_events_are_their_users_and_their_platforms() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(INSTAGRAM, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let delay_id = later(&anna, &room, HOUR, "?").await;
    act(&network, MESSENGER, &delay_id, "cancel").await.fails(404, "M_NOT_FOUND");
    bert.get(&format!("{BELOW}/delayed_events/{delay_id}")).await.fails(404, "M_NOT_FOUND");
    assert_eq!(listed(&bert, "?since_ts=0").await, Vec::<String>::new());
    act(&network, INSTAGRAM, &delay_id, "restart").await.ok();
}

#[tokio::test]
async fn a_user_has_only_so_many_and_none_waits_too_long() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let capabilities = anna.get("/v3/capabilities").await.ok();
    let limits = &capabilities["capabilities"]["m.delayed_events"];
    let (max_delay, most) = (limits["max_delay_ms"].as_u64(), limits["max_scheduled"].as_u64());
    let (max_delay, most) = (max_delay.expect("a limit"), most.expect("a limit"));
    for _ in 0..most {
        later(&anna, &room, HOUR, "?").await;
    }
    let path = format!("/v3/rooms/{room}/send/a/last?org.matrix.msc4140.delay");
    let refused = anna.put(&format!("{path}={HOUR}"), json!({})).await;
    assert!(refused.json["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{}", refused.json);
    refused.fails(429, "M_LIMIT_EXCEEDED");
    let all = listed(&anna, "?since_ts=0").await;
    act(&network, INSTAGRAM, &all[0], "cancel").await.ok();
    let too_long = anna.put(&format!("{path}={}", max_delay + 1), json!({})).await;
    assert_eq!(too_long.json["org.matrix.msc4140.max_delay"], max_delay);
    too_long.fails(400, "ORG.MATRIX.MSC4140_MAX_DELAY_EXCEEDED");
    anna.put(&format!("{path}={max_delay}"), json!({})).await.ok();
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    for delay in ["0", "-1", "soon", "", "1.5", "99999999999999999999999"] {
        for what in ["send/a/1", "state/a", "state/a/b"] {
            let path = format!("/v3/rooms/{room}/{what}?org.matrix.msc4140.delay={delay}");
            anna.put(&path, json!({})).await.fails(400, "M_INVALID_PARAM");
        }
    }
    let path = format!("{BELOW}/rooms/{room}/delayed_event/a/1");
    for (body, code) in [
        (json!({}), "M_MISSING_PARAM"),
        (json!({ "delay": 1 }), "M_MISSING_PARAM"),
        (json!({ "content": {} }), "M_MISSING_PARAM"),
        (json!({ "delay": "1", "content": {} }), "M_BAD_JSON"),
        (json!({ "delay": 1, "content": [] }), "M_BAD_JSON"),
        (json!({ "delay": 1, "content": { "a": 1.5 } }), "M_BAD_JSON"),
        (json!({ "delay": 1, "content": {}, "state_key": 7 }), "M_BAD_JSON"),
        (json!({ "delay": 0, "content": {} }), "M_INVALID_PARAM"),
    ] {
        anna.put(&path, body).await.fails(400, code);
    }
    // Only messages carry uploads.
    let attached = format!("org.matrix.msc3911.attach_media=mxc://{INSTAGRAM}/upload");
    let state = format!("/v3/rooms/{room}/state/a?org.matrix.msc4140.delay=60000&{attached}");
    anna.put(&state, json!({})).await.fails(400, "M_INVALID_PARAM");
    let state = json!({ "delay": 60_000, "content": {}, "state_key": "" });
    anna.put(&format!("{path}?{attached}"), state).await.fails(400, "M_INVALID_PARAM");
    let elsewhere = format!("{BELOW}/rooms/!nowhere:{INSTAGRAM}/delayed_event/a/1");
    anna.put(&elsewhere, json!({ "delay": 1, "content": {} })).await.fails(403, "M_FORBIDDEN");
    for query in ["dir=x", "order_by=x", "since_ts=x", "status=x", "outcome=x", "reason=x", "room_id=x"] {
        anna.get(&format!("{BELOW}/delayed_events?{query}")).await.fails(400, "M_INVALID_PARAM");
    }
    let delay_id = later(&anna, &room, HOUR, "?").await;
    act(&network, INSTAGRAM, &delay_id, "ponder").await.fails(400, "M_INVALID_PARAM");
    act(&network, INSTAGRAM, "unknown", "send").await.fails(404, "M_NOT_FOUND");
    let known = format!("{BELOW}/delayed_events/{delay_id}");
    anna.post(&known, json!({})).await.fails(400, "M_MISSING_PARAM");
    anna.post(&known, json!({ "action": "ponder" })).await.fails(400, "M_INVALID_PARAM");
    assert_eq!(list(&anna.get(&format!("{BELOW}/delayed_events")).await.ok()["delayed_events"]).len(), 1);
}

#[test]
fn a_delayed_event_survives_a_crash() {
    let mut server = Server::start();
    let town = Town::strangers(&server);
    let anna = town.register(INSTAGRAM, "anna", "a phone");
    let room = text(&town.does(&anna, "POST", "/v3/createRoom", &json!({}))["room_id"]);
    let path = format!("{BELOW}/rooms/{room}/delayed_event/org.example.later/1");
    let body = json!({ "delay": 1500, "content": { "after": "a crash" } });
    let delay_id = text(&town.does(&anna, "PUT", &path, &body)["delay_id"]);
    server.kill();
    server.restart();
    let town = Town::strangers(&server);
    let mut since = text(&town.does(&anna, "GET", "/v3/sync?timeout=0", &json!({}))["next_batch"]);
    loop {
        let about = town.does(&anna, "GET", &format!("{BELOW}/delayed_events/{delay_id}"), &json!({}));
        if let Some(event_id) = about.get("event_id") {
            let event = format!("/v3/rooms/{room}/event/{}", text(event_id));
            assert_eq!(town.does(&anna, "GET", &event, &json!({}))["content"]["after"], "a crash");
            return;
        }
        assert!(about.get("origin_server_ts").is_none(), "it failed: {about}");
        let sync = format!("/v3/sync?timeout=2000&since={since}");
        since = text(&town.does(&anna, "GET", &sync, &json!({}))["next_batch"]);
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_sent_keeps_no_other() {
    fn much_later() -> u64 {
        now_ts() + 2 * HOUR
    }

    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let (damaged, room) = (anna.create_room(json!({})).await, bert.create_room(json!({})).await);
    later(&anna, &damaged, HOUR, "never").await;
    later(&bert, &room, HOUR, "late").await;
    network.flush().await;
    let rows = network.store.range(Range::<Timeline>::all()).await.expect("it is read");
    let mut writes = WriteSet::new();
    for (key, mut event) in rows.into_iter().filter(|(key, _)| key.room_id == *damaged) {
        event.value.pdu = "{".to_owned();
        writes.put::<Timeline>(&key, &event);
    }
    network.store.commit(writes).await.expect("it is written");
    // Memory has nothing of it.
    let network = network.reopen().await;
    let bert = bert.on(&network);
    let mut commits = network.store.follow();
    let sending = tokio::spawn(network.app.rooms.clone().send_delayed_events(much_later));
    let sent = async {
        while bert.heard(&room).await.is_empty() {
            commits.next().await.expect("the store is open");
        }
    };
    tokio::time::timeout(PATIENCE, sent).await.expect("it is sent");
    assert_eq!(bert.heard(&room).await, ["late"]);
    sending.abort();
}
