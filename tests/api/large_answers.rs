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
    // It is made while it is sent, and what that takes counts.
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

/// The body of an answer, piece by piece.
async fn pieces(client: &Client, path: &str) -> Vec<axum::body::Bytes> {
    let answer = client.begin_call(Method::GET, path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    let mut pieces = Vec::new();
    while let Some(piece) =
        std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
    {
        pieces.push(piece.expect("it goes on").into_data().expect("data"));
    }
    pieces
}

/// A sync that comes in pieces.
async fn large_sync(client: &Client, path: &str) -> Value {
    let pieces = pieces(client, path).await;
    assert!(pieces.len() > 20, "it is made while it is sent");
    assert!(pieces.iter().all(|piece| piece.len() <= 64 << 10));
    serde_json::from_slice(&pieces.concat()).expect("JSON")
}

fn large_entries(room: &Value) -> Vec<String> {
    let state = room["state"]["events"].as_array().expect("a list");
    let timeline = room["timeline"]["events"].as_array().expect("a list");
    let large = state.iter().chain(timeline).filter(|event| event["type"] == "org.example.large");
    let mut keys: Vec<_> = large.map(|event| text(&event["state_key"])).collect();
    keys.sort_unstable_by_key(|key| key.parse::<usize>().expect("a number"));
    keys
}

#[tokio::test]
async fn a_large_sync_comes_in_pieces_and_tells_everything_once() {
    const ENTRIES: usize = 40;
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let all: Vec<_> = (0..ENTRIES).map(|entry| entry.to_string()).collect();
    let mut large = Vec::new();
    for _ in 0..3 {
        large.push(large_state(&anna, ENTRIES).await);
    }
    let mut small = Vec::new();
    for _ in 0..20 {
        small.push(anna.create_room(json!({})).await);
    }
    let before = text(&bert.get("/v3/sync").await.ok()["next_batch"]);
    for room in large.iter().chain(&small[..10]) {
        anna.post(&format!("/v3/rooms/{room}/invite"), json!({ "user_id": bert.user_id })).await.ok();
    }
    let waits = anna.create_room(json!({ "invite": [bert.user_id] })).await;
    for room in large.iter().chain(&small[..10]) {
        bert.join(room).await.ok();
    }
    bert.leave(&large[0]).await.ok();
    bert.leave(&small[0]).await.ok();

    // A first sync, and one from a token of before.
    let first = large_sync(&anna, "/v3/sync").await;
    let joined = first["rooms"]["join"].as_object().expect("rooms");
    assert_eq!(joined.len(), large.len() + small.len() + 1);
    for room in &large {
        assert_eq!(large_entries(&joined[room]), all);
        assert!(joined[room]["timeline"]["prev_batch"].is_string() && joined[room]["summary"].is_object());
    }
    assert!(first["account_data"]["events"].is_array() && first["device_one_time_keys_count"].is_object());

    let news = large_sync(&bert, &format!("/v3/sync?since={before}")).await;
    let rooms = &news["rooms"];
    assert_eq!(rooms["join"].as_object().map(serde_json::Map::len), Some(large.len() + 10 - 2));
    assert_eq!(large_entries(&rooms["join"][&large[1]]), all);
    assert_eq!(rooms["leave"].as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(large_entries(&rooms["leave"][&large[0]]), all);
    let left = &rooms["leave"][&large[0]];
    let told = ["state", "timeline"].into_iter().flat_map(|part| crate::network::list(&left[part]["events"]));
    let is_end = |event: &&Value| {
        event["state_key"] == bert.user_id.as_str() && event["content"]["membership"] == "leave"
    };
    assert_eq!(told.filter(is_end).count(), 1, "the end is told once");
    assert!(rooms["invite"][&waits].is_object());

    // What comes after the token is told by the next.
    anna.say(&large[2], "and on").await;
    let since = text(&news["next_batch"]);
    let next = bert.get(&format!("/v3/sync?since={since}")).await.ok();
    let told = next["rooms"]["join"].as_object().expect("rooms");
    assert_eq!(told.keys().collect::<Vec<_>>(), [&large[2]]);

    // Members who are sent when they are needed are sent again if they came with such an answer: nothing says that
    // it has arrived.
    let filter = r#"{"room":{"state":{"lazy_load_members":true}}}"#;
    let filter = format!("filter={}", crate::network::encoded(filter));
    let lazy = large_sync(&bert, &format!("/v3/sync?{filter}")).await;
    assert_eq!(large_entries(&lazy["rooms"]["join"][&large[2]]), all);
    anna.say(&large[2], "once more").await;
    let since = text(&lazy["next_batch"]);
    let next = bert.get(&format!("/v3/sync?{filter}&since={since}")).await.ok();
    let state = next["rooms"]["join"][&large[2]]["state"]["events"].as_array().expect("a list");
    assert!(state.iter().any(|event| event["state_key"] == anna.user_id.as_str()), "{state:?}");
}

#[tokio::test]
async fn a_session_that_ends_is_told_no_more_of_a_large_sync() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for _ in 0..3 {
        large_state(&anna, 40).await;
    }
    let mut body = anna.begin_call(Method::GET, "/v3/sync").await.into_body();
    let mut next =
        async || std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await;
    next().await.expect("it begins").expect("it begins");
    anna.post("/v3/logout", json!({})).await.ok();
    let broken_off = loop {
        match next().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broken_off);
}

#[tokio::test]
async fn a_sliding_answer_has_a_size_and_the_next_tells_the_other_rooms() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut rooms = Vec::new();
    for _ in 0..6 {
        rooms.push(large_state(&anna, 60).await);
    }
    let body = json!({ "lists": { "all": {
        "ranges": [[0, 99]], "timeline_limit": 1, "required_state": [["*", "*"]],
    } } });
    let path = "/unstable/org.matrix.simplified_msc3575/sync";
    let (mut pos, mut told, mut answers) = (String::new(), std::collections::BTreeMap::new(), 0);
    loop {
        let answer = anna.post(&format!("{path}?timeout=0{pos}"), body.clone()).await.ok();
        pos = format!("&pos={}", text(&answer["pos"]));
        assert!(answer.to_string().len() < 14 << 20);
        assert_eq!(answer["lists"]["all"]["count"], 6);
        let of_answer = answer["rooms"].as_object().cloned().unwrap_or_default();
        if of_answer.is_empty() {
            break;
        }
        answers += 1;
        for (room, news) in of_answer {
            let state = news["required_state"].as_array().expect("a list");
            let large = state.iter().filter(|event| event["type"] == "org.example.large").count();
            assert_eq!((large, news["initial"].as_bool()), (60, Some(true)));
            assert!(told.insert(room, ()).is_none(), "it is told once");
        }
    }
    assert_eq!((told.len(), answers), (6, 2));

    // Rooms with news are told by a later answer, too.
    for room in &rooms {
        for entry in 0..60 {
            let state = format!("/v3/rooms/{room}/state/org.example.large/{entry}");
            anna.put(&state, json!({ "text": format!("b{}", long_text()) })).await.ok();
        }
    }
    let (mut changed, mut answers) = (std::collections::BTreeMap::new(), 0);
    loop {
        let answer = anna.post(&format!("{path}?timeout=0{pos}"), body.clone()).await.ok();
        pos = format!("&pos={}", text(&answer["pos"]));
        let of_answer = answer["rooms"].as_object().cloned().unwrap_or_default();
        if of_answer.is_empty() {
            break;
        }
        answers += 1;
        for (room, news) in of_answer {
            assert_ne!(news["initial"].as_bool(), Some(true));
            *changed.entry(room).or_insert(0) += news["required_state"].as_array().expect("a list").len();
        }
    }
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), {
        let mut all: Vec<_> = rooms.iter().map(|room| (room.clone(), 60)).collect();
        all.sort();
        all
    });
    assert!(answers > 1);
}

/// How many times something is done until it is refused for some time.
async fn refused_after(mut ask: impl AsyncFnMut() -> StatusCode) -> usize {
    for times in 1..2_000 {
        match ask().await {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return times,
            other => panic!("{other}"),
        }
    }
    panic!("nobody is refused");
}

#[tokio::test]
async fn downloads_searches_and_lists_of_rooms_count_as_reading() {
    let network = Network::with_limits(
        "read = 0.01\nread_burst = 3000\nsearch = 1000\nsearch_burst = 1000\nmessage_burst = 1000",
    )
    .await;
    let people = ["anna", "bert", "carl"];
    let mut clients = Vec::new();
    for name in people {
        clients.push(network.register(INSTAGRAM, name).await);
    }
    let [anna, bert, carl] = clients.as_slice() else { unreachable!("there are three") };
    let upload = anna.call_raw(Method::POST, "/_matrix/media/v3/upload", vec![7_u8; 1 << 20]).await;
    let uri: Value = serde_json::from_slice(&upload.1).expect("JSON");
    let media = text(&uri["content_uri"]).replace("mxc://", "/v1/media/download/");
    let room =
        anna.create_room(json!({ "preset": "public_chat", "visibility": "public", "name": "harbour" })).await;
    say_at_length(anna, &room, 30).await;
    bert.join(&room).await.ok();

    let downloads = refused_after(async || carl.call_raw(Method::GET, &media, "").await.0).await;
    assert!((3..5).contains(&downloads), "a mebibyte is a third of what there is: {downloads}");
    let search = json!({ "search_categories": { "room_events": { "search_term": "aaa harbour" } } });
    refused_after(async || bert.post("/v3/search", search.clone()).await.status).await;
    let lists = refused_after(async || anna.post("/v3/publicRooms", json!({})).await.status).await;
    assert!(lists < 300, "{lists}");
}
