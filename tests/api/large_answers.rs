//! Large answers: pages have a size in bytes, what is not bounded is sent piece by piece, and answers that their client
//! does not take leave no memory for more of them.

use axum::body::HttpBody;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, text};

/// A text that nearly fills an event.
fn long_text() -> String {
    "a".repeat(60_000)
}

async fn say_at_length(client: &Client, room: &str, times: usize) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..times {
        let content = json!({ "msgtype": "m.text", "body": long_text() });
        said.push(client.send(room, "m.room.message", content).await);
    }
    said
}

/// A room with so many entries of its state that each fill an event.
async fn large_state(client: &Client, entries: usize) -> String {
    let room = client.create_room(json!({})).await;
    for entry in 0..entries {
        let path = format!("/v3/rooms/{room}/state/org.example.large/{entry}");
        client.put(&path, json!({ "text": long_text() })).await.ok();
    }
    room
}

fn ids(events: &Value) -> Vec<String> {
    events.as_array().expect("a list").iter().map(|event| text(&event["event_id"])).collect()
}

#[tokio::test]
async fn a_page_of_long_messages_ends_early_and_the_next_goes_on() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let mut said = say_at_length(&anna, &room, 40).await;
    said.reverse();
    let (mut heard, mut from) = (Vec::new(), String::new());
    loop {
        let path = format!("/v3/rooms/{room}/messages?dir=b&limit=1000{from}");
        let (status, page) = anna.call_raw(Method::GET, &path, "").await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.len() < 1_300_000, "{} bytes", page.len());
        let page: Value = serde_json::from_slice(&page).expect("JSON");
        heard.extend(ids(&page["chunk"]));
        let Some(end) = page["end"].as_str() else { break };
        from = format!("&from={end}");
    }
    heard.retain(|event| said.contains(event));
    assert_eq!(heard, said);
}

#[tokio::test]
async fn a_page_of_long_relations_ends_early_and_the_next_goes_on() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let root = anna.say(&room, "a root").await;
    let mut replies = Vec::new();
    for _ in 0..25 {
        let content = json!({ "msgtype": "m.text", "body": long_text(),
            "m.relates_to": { "rel_type": "m.thread", "event_id": root } });
        replies.push(anna.send(&room, "m.room.message", content).await);
    }
    let (mut found, mut from, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/v1/rooms/{room}/relations/{root}?dir=f&limit=100{from}");
        let page = anna.get(&path).await.ok();
        found.extend(ids(&page["chunk"]));
        pages += 1;
        let Some(next) = page["next_batch"].as_str() else { break };
        from = format!("&from={next}");
    }
    assert_eq!(found, replies);
    assert_eq!(pages, 2);
}

#[tokio::test]
async fn the_timeline_of_a_sync_has_a_size_and_the_rest_is_paged() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    let said = say_at_length(&anna, &room, 10).await;
    let filter = r#"{"room":{"timeline":{"limit":100}}}"#;
    let synced = anna.get(&format!("/v3/sync?filter={}", crate::network::encoded(filter))).await.ok();
    let timeline = &synced["rooms"]["join"][&room]["timeline"];
    assert_eq!(timeline["limited"], true);
    let shown = ids(&timeline["events"]);
    assert!((1..10).contains(&shown.len()), "{} events", shown.len());
    assert_eq!(shown, said[10 - shown.len()..]);
    let from = text(&timeline["prev_batch"]);
    let before = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=100&from={from}")).await.ok();
    let mut before = ids(&before["chunk"]);
    before.retain(|event| said.contains(event));
    before.reverse();
    assert_eq!(before, said[..10 - shown.len()]);
}

#[tokio::test]
async fn a_large_state_comes_in_pieces_and_whole() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = large_state(&anna, 20).await;
    let path = format!("/v3/rooms/{room}/state");
    let mut body = anna.begin_call(Method::GET, &path).await.into_body();
    assert_eq!(body.size_hint().exact(), None, "it is not made at once");
    let mut whole = Vec::new();
    while let Some(piece) =
        std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
    {
        let piece = piece.expect("it goes on").into_data().expect("data");
        assert!(piece.len() < 200_000, "{} bytes", piece.len());
        whole.extend_from_slice(&piece);
    }
    let state: Vec<Value> = serde_json::from_slice(&whole).expect("a list");
    let large = state.iter().filter(|event| event["type"] == "org.example.large");
    assert_eq!(large.count(), 20);
    assert!(state.iter().any(|event| event["type"] == "m.room.create"));
}

#[tokio::test]
async fn who_takes_no_answers_is_given_no_more() {
    let network = Network::with_limits("").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    // The whole state in a sync is made at once, and is more than what may be held for one person.
    let room = large_state(&anna, 90).await;
    let other = anna.create_room(json!({})).await;
    let whole = "/v3/sync?full_state=true";
    let mut untaken = Vec::new();
    let refused = loop {
        let answer = anna.begin_call(Method::GET, whole).await;
        if answer.status() != StatusCode::OK {
            break answer;
        }
        untaken.push(answer);
        assert!(untaken.len() < 10, "nobody is refused");
    };
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    // Others are answered, and what changes something is done.
    bert.get("/v3/sync").await.ok();
    anna.say(&other, "still here").await;
    untaken.clear();
    let synced = anna.get(whole).await.ok();
    assert!(synced["rooms"]["join"][&room].is_object());
}

#[tokio::test]
async fn who_reads_much_waits_and_may_still_write_and_log_out() {
    let network = Network::with_limits("read = 0.01\nread_burst = 300").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(INSTAGRAM, "bert").await;
    let room = anna.create_room(json!({})).await;
    let path = format!("/v3/rooms/{room}/messages?dir=b&limit=100");
    let mut times = 0;
    while anna.get(&path).await.status == StatusCode::OK {
        times += 1;
        assert!(times < 100, "nobody is refused");
    }
    assert!(times > 0);
    anna.get(&path).await.fails(429, "M_LIMIT_EXCEEDED");
    anna.get("/v3/sync").await.fails(429, "M_LIMIT_EXCEEDED");
    anna.say(&room, "still here").await;
    bert.get("/v3/sync").await.ok();
    anna.post("/v3/logout", json!({})).await.ok();
}
