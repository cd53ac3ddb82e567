//! Lazy loading of members. A client is told of everybody whom it needs to show a timeline.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, bodies, encoded, list, text};

/// The name under which each message is shown by a client that goes through the state and then the timeline.
fn shown_names(state: &Value, timeline: &Value) -> Vec<(String, Option<String>)> {
    let mut names = BTreeMap::new();
    let mut shown = Vec::new();
    for event in list(state).iter().chain(list(timeline)) {
        if event["type"] == "m.room.member" {
            names.insert(text(&event["state_key"]), text(&event["content"]["displayname"]));
        } else if event["type"] == "m.room.message" {
            shown.push((text(&event["content"]["body"]), names.get(&text(&event["sender"])).cloned()));
        }
    }
    shown
}

fn named(shown: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    shown.iter().map(|(body, name)| ((*body).to_owned(), Some((*name).to_owned()))).collect()
}

async fn rename(client: &Client, name: &str) {
    let body = json!({ "displayname": name });
    client.put(&format!("/v3/profile/{}/displayname", client.user_id), body).await.ok();
}

/// A room in which ben speaks, is renamed and speaks again, carl speaks and leaves, and dora speaks and is kicked.
async fn busy_room(anna: &Client, others: [&Client; 3], since: &mut String, filter: &str) -> String {
    let [ben, carl, dora] = others;
    // A room with a name has nobody else told of as naming it.
    let room = anna.create_room(json!({ "preset": "public_chat", "name": "Quay" })).await;
    for (other, name) in [(ben, "Ben"), (carl, "Carl"), (dora, "Dora")] {
        rename(other, name).await;
        other.join(&room).await.ok();
    }
    for number in 0..8 {
        anna.say(&room, &format!("fill {number}")).await;
    }
    *since = text(&anna.get(&format!("/v3/sync?filter={filter}")).await.ok()["next_batch"]);
    ben.say(&room, "as ben").await;
    rename(ben, "Benjamin").await;
    ben.say(&room, "as benjamin").await;
    carl.say(&room, "as carl").await;
    carl.leave(&room).await.ok();
    dora.say(&room, "as dora").await;
    anna.post(&format!("/v3/rooms/{room}/kick"), json!({ "user_id": dora.user_id })).await.ok();
    room
}

#[tokio::test]
async fn who_speaks_and_then_is_renamed_or_leaves_is_told_of() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let dora = network.register(INSTAGRAM, "dora").await;
    let filter = encoded(&json!({ "room": { "state": { "lazy_load_members": true } } }).to_string());
    let mut since = String::new();
    let room = busy_room(&anna, [&ben, &carl, &dora], &mut since, &filter).await;
    let all =
        named(&[("as ben", "Ben"), ("as benjamin", "Benjamin"), ("as carl", "Carl"), ("as dora", "Dora")]);

    let phone = anna.another_device().await;
    let short = json!({ "lazy_load_members": true });
    let short = json!({ "room": { "state": short, "timeline": { "limit": 7 } } }).to_string();
    let short = encoded(&short);
    for (client, query) in
        [(&phone, format!("filter={short}")), (&anna, format!("filter={filter}&since={since}"))]
    {
        let answer = client.get(&format!("/v3/sync?{query}")).await.ok();
        let joined = &answer["rooms"]["join"][&room];
        let shown = shown_names(&joined["state"]["events"], &joined["timeline"]["events"]);
        assert_eq!(shown, all, "{query}");
        assert_eq!(joined["timeline"]["limited"] == true, query.contains("limit"), "{query}");
    }

    // A client that takes no state from the timeline learns how it is at the end.
    let other = anna.another_device().await;
    let answer = other.get(&format!("/v3/sync?use_state_after=true&filter={short}")).await.ok();
    let members = list(&answer["rooms"]["join"][&room]["state_after"]["events"]).iter();
    let membership = |of: &Client| {
        let mut own = members.clone().filter(|event| event["state_key"] == of.user_id.as_str());
        own.next().map(|event| text(&event["content"]["membership"]))
    };
    assert_eq!(
        [&ben, &carl, &dora].map(membership),
        ["join", "leave", "leave"].map(|text| Some(text.to_owned()))
    );
}

#[tokio::test]
async fn who_speaks_is_told_of_though_the_filter_drops_memberships() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    let filter = json!({ "room": {
        "state": { "lazy_load_members": true },
        "timeline": { "types": ["m.room.message"], "limit": 20 },
    } });
    let filter = encoded(&filter.to_string());
    let since = text(&anna.get(&format!("/v3/sync?filter={filter}")).await.ok()["next_batch"]);
    anna.say(&room, "first").await;
    rename(&ben, "Ben").await;
    ben.join(&room).await.ok();
    ben.say(&room, "as ben").await;

    let phone = anna.another_device().await;
    for (client, since) in [(&anna, format!("&since={since}")), (&phone, String::new())] {
        let answer = client.get(&format!("/v3/sync?filter={filter}{since}")).await.ok();
        let joined = &answer["rooms"]["join"][&room];
        assert_eq!(bodies(&joined["timeline"]["events"]), ["first", "as ben"]);
        let shown = shown_names(&joined["state"]["events"], &joined["timeline"]["events"]);
        assert_eq!(shown[1..], named(&[("as ben", "Ben")]), "{since}");
    }
}

#[tokio::test]
async fn a_page_of_history_has_those_who_speak_in_it_as_they_were_called() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let dora = network.register(INSTAGRAM, "dora").await;
    let mut since = String::new();
    let room = busy_room(&anna, [&ben, &carl, &dora], &mut since, "%7B%7D").await;
    let lazy = encoded(&json!({ "lazy_load_members": true }).to_string());
    let all =
        named(&[("as ben", "Ben"), ("as benjamin", "Benjamin"), ("as carl", "Carl"), ("as dora", "Dora")]);

    let path = format!("/v3/rooms/{room}/messages?dir=f&limit=10&from={since}&filter={lazy}");
    let page = anna.get(&path).await.ok();
    assert_eq!(shown_names(&page["state"], &page["chunk"]), all);

    // Nothing in such a page says who has left since.
    let lazy = json!({ "lazy_load_members": true, "types": ["m.room.message"] }).to_string();
    for dir in ["b&limit=4", "f&limit=10"] {
        let from = if dir.starts_with('f') { format!("&from={since}") } else { String::new() };
        let path = format!("/v3/rooms/{room}/messages?dir={dir}{from}&filter={}", encoded(&lazy));
        let page = anna.get(&path).await.ok();
        let membership = |of: &Client| {
            let own = list(&page["state"]).iter().find(|event| event["state_key"] == of.user_id.as_str());
            own.map(|event| text(&event["content"]["membership"]))
        };
        let joined = || Some("join".to_owned());
        assert_eq!([&ben, &carl, &dora].map(membership), [joined(), joined(), joined()], "{dir}: {page}");
    }
}
