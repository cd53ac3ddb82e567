//! Searching messages.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, bodies, each, list, text};

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
    let next = format!("?next_batch={}", text(&first["next_batch"]));
    let second = search(&anna, paged, &next).await;
    assert_eq!(found(&second), ["The lamp of the tower is lit"]);
    assert!(second["next_batch"].is_null());
    let by_name = json!({ "search_term": "lighthouse", "keys": ["content.name"] });
    assert_eq!(search(&anna, by_name, "").await["count"].as_u64(), Some(1));
}
