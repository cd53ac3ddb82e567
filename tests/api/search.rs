//! Searching messages.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, bodies, each, encoded, list, text};

async fn search(client: &Client, criteria: Value, next_batch: &str) -> Value {
    let body = json!({ "search_categories": { "room_events": criteria } });
    let answer = client.post(&format!("/v3/search{next_batch}"), body).await.ok();
    answer["search_categories"]["room_events"].clone()
}

fn found(results: &Value) -> Vec<String> {
    bodies(&list(&results["results"]).iter().map(|result| result["result"].clone()).collect())
}

#[tokio::test]
async fn messages_are_searched_in_ones_own_rooms() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat", "name": "Lighthouse" })).await;
    let other = anna.create_room(json!({})).await;
    bert.join(&room).await.ok();
    anna.say(&room, "before").await;
    anna.say(&room, "The lamp of the tower is lit").await;
    bert.say(&room, "Lamp!").await;
    anna.say(&other, "a lamp elsewhere").await;

    let term = json!({ "search_term": "lamp", "order_by": "recent" });
    assert_eq!(found(&search(&anna, term.clone(), "").await).len(), 3);
    let of_bert = search(&bert, term, "").await;
    assert_eq!(found(&of_bert), ["Lamp!", "The lamp of the tower is lit"]);
    assert_eq!((of_bert["count"].as_u64(), &of_bert["highlights"]), (Some(2), &json!(["lamp"])));

    let criteria = json!({
        "search_term": "lamp tower",
        "event_context": { "before_limit": 1, "after_limit": 1, "include_profile": true },
        "include_state": true,
        "groupings": { "group_by": [{ "key": "room_id" }, { "key": "sender" }] },
    });
    let results = search(&anna, criteria, "").await;
    let context = &results["results"][0]["context"];
    assert_eq!(
        (bodies(&context["events_before"]), bodies(&context["events_after"])),
        (vec!["before".to_owned()], vec!["Lamp!".to_owned()])
    );
    assert!(context["profile_info"][&bert.user_id].is_object());
    assert!(each(&results["state"][&room], "type").contains(&"m.room.name".to_owned()));
    let event_id = &results["results"][0]["result"]["event_id"];
    assert_eq!(&results["groups"]["room_id"][&room]["results"][0], event_id);
    assert_eq!(&results["groups"]["sender"][&anna.user_id]["results"][0], event_id);

    let paged =
        json!({ "search_term": "lamp", "order_by": "rank", "filter": { "limit": 1, "rooms": [room] } });
    let first = search(&anna, paged.clone(), "").await;
    assert_eq!(found(&first), ["Lamp!"]);
    let next = next_of(&first);
    let second = search(&anna, paged, &next).await;
    assert_eq!(found(&second), ["The lamp of the tower is lit"]);
    assert!(second["next_batch"].is_null());
    let by_name = json!({ "search_term": "lighthouse", "keys": ["content.name"] });
    assert_eq!(search(&anna, by_name, "").await["count"].as_u64(), Some(1));
}

fn next_of(page: &Value) -> String {
    format!("?next_batch={}", encoded(&text(&page["next_batch"])))
}

/// One word is in more messages of a room than are collected for a page, and all of these are older than
/// those of the others.
#[tokio::test]
async fn many_matches_of_one_room_hide_no_newer_ones() {
    let network = Network::open().await;
    let (anna, bert) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "bert").await);
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(anna.create_room(json!({ "preset": "public_chat" })).await);
        bert.join(rooms.last().expect("a room")).await.ok();
    }
    anna.say(&rooms[0], "oldest lamp").await;
    anna.say(&rooms[2], "oldest lamp").await;
    // Whichever room comes first, the others have older and newer matches.
    for number in 0..520 {
        anna.say(&rooms[1], &format!("lamp number {number}")).await;
    }
    bert.say(&rooms[0], "new lamp of the first room").await;
    bert.say(&rooms[2], "new lamp").await;

    for order in ["recent", "rank"] {
        let criteria = json!({ "search_term": "lamp", "order_by": order, "filter": { "limit": 100 } });
        let mut page = search(&bert, criteria.clone(), "").await;
        let first = found(&page);
        match order {
            "recent" => assert_eq!(first[..2], ["new lamp", "new lamp of the first room"]),
            _ => assert_eq!(first[0], "new lamp", "it has the fewest other words"),
        }
        let mut all = ids(&page);
        while page["next_batch"].is_string() {
            page = search(&bert, criteria.clone(), &next_of(&page)).await;
            all.extend(ids(&page));
            assert!(page["count"].as_u64() <= Some(524), "{}", page["count"]);
        }
        assert_eq!(page["count"], 524, "{order}");
        assert_eq!(all.len(), 524, "every match has its page: {order}");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 524, "and no more than one: {order}");
    }
}

fn ids(page: &Value) -> Vec<String> {
    list(&page["results"]).iter().map(|result| text(&result["result"]["event_id"])).collect()
}

#[tokio::test]
async fn pages_of_a_search_stay_where_they_are() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let rooms = [anna.create_room(json!({})).await, anna.create_room(json!({})).await];
    let mut said = Vec::new();
    for words in ["lamp", "lamp two", "lamp two three", "lamp two three four"] {
        said.push(anna.say(&rooms[said.len() % 2], words).await);
    }
    for (order, expected) in [
        ("recent", ["lamp two three four", "lamp two three", "lamp two", "lamp"]),
        ("rank", ["lamp", "lamp two", "lamp two three", "lamp two three four"]),
    ] {
        let criteria = json!({ "search_term": "lamp", "order_by": order, "filter": { "limit": 1 } });
        let mut page = search(&anna, criteria.clone(), "").await;
        let mut all = found(&page);
        while page["next_batch"].is_string() {
            // Events that come meanwhile stand before all pages, or belong to a later search.
            let more = anna.say(&rooms[0], "lamp").await;
            page = search(&anna, criteria.clone(), &next_of(&page)).await;
            all.extend(found(&page));
            let redact = format!("/v3/rooms/{}/redact/{more}/{}", rooms[0], anna.next_transaction());
            anna.put(&redact, json!({})).await.ok();
        }
        assert_eq!(all, expected, "{order}");

        // If something on a page is taken back, the other pages do not move either.
        let first = search(&anna, criteria.clone(), "").await;
        let gone = anna.say(&rooms[1], "lamp two three four five six").await;
        let second = search(&anna, criteria.clone(), &next_of(&first)).await;
        assert_eq!(found(&second), expected[1..2], "{order}");
        let redact = format!("/v3/rooms/{}/redact/{gone}/{}", rooms[1], anna.next_transaction());
        anna.put(&redact, json!({})).await.ok();
        let after = network.reopen().await;
        let second = search(&anna.on(&after), criteria, &next_of(&first)).await;
        assert_eq!(found(&second), expected[1..2], "{order}, after a restart");
    }
}

#[tokio::test]
async fn topics_are_searched_in_their_plain_text() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({ "topic": "lanterns" })).await;
    let by_topic = |word: &str| json!({ "search_term": word, "keys": ["content.topic"] });
    assert_eq!(search(&anna, by_topic("lanterns"), "").await["count"], 1);
    let texts = json!([{ "body": "<b>bold</b>", "mimetype": "text/html" }, { "body": "plain" }]);
    let topic = json!({ "topic": "old", "m.topic": { "m.text": texts } });
    anna.set_state(&room, "m.room.topic", topic).await.ok();
    for (word, count) in [("plain", 1), ("old", 1), ("bold", 0)] {
        assert_eq!(search(&anna, by_topic(word), "").await["count"], count, "{word}");
    }
}
