//! Presence, between platforms that show it and one that does not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP, list, text};

/// Makes a sync that does not wait. Returns the token, and the presence of the people that it tells of.
async fn sync(client: &Client, since: Option<&str>, state: &str) -> (String, Vec<(String, String)>) {
    let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
    let sync = client.get(&format!("/v3/sync?set_presence={state}{since}")).await.ok();
    let told = list(&sync["presence"]["events"]).iter();
    let told = told.map(|event| (text(&event["sender"]), text(&event["content"]["presence"]))).collect();
    (text(&sync["next_batch"]), told)
}

async fn shown(seen_by: &Client, of: &Client) -> Value {
    seen_by.get(&format!("/v3/presence/{}/status", of.user_id)).await.ok()["presence"].clone()
}

async fn set(client: &Client, state: &str) {
    client.put(&format!("/v3/presence/{}/status", client.user_id), json!({ "presence": state })).await.ok();
}

#[tokio::test]
async fn presence_is_shown_to_those_who_share_a_room() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let carl = network.register(WHATSAPP, "carl").await;
    let status = |user: &str| format!("/v3/presence/{user}/status");
    let online = json!({ "presence": "online", "status_msg": "On deck" });

    anna.put(&status(&anna.user_id), online.clone()).await.ok();
    carl.put(&status(&carl.user_id), online.clone()).await.ok();
    bert.put(&status(&anna.user_id), online).await.fails(403, "M_FORBIDDEN");
    bert.get(&status(&anna.user_id)).await.fails(403, "M_FORBIDDEN");

    let long = json!({ "presence": "online", "status_msg": "x".repeat(1_025) });
    anna.put(&status(&anna.user_id), long).await.fails(413, "M_TOO_LARGE");

    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    carl.join(&room).await.ok();
    let seen = bert.get(&status(&anna.user_id)).await.ok();
    assert_eq!((&seen["presence"], &seen["status_msg"]), (&json!("online"), &json!("On deck")));
    assert_eq!(seen["currently_active"], true);
    for (who, whom) in [(&bert, &carl), (&carl, &anna), (&carl, &carl)] {
        let seen = who.get(&status(&whom.user_id)).await.ok();
        assert_eq!(seen, json!({ "presence": "offline" }), "one of the platforms shows no presence");
    }
}

#[tokio::test]
async fn who_has_gone_quiet_is_shown_as_away() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let status = format!("/v3/presence/{}/status", anna.user_id);
    let presence = async || bert.get(&status).await.ok()["presence"].clone();
    let since = bert.get("/v3/sync").await.ok()["next_batch"].clone();
    for _ in 0..2 {
        anna.get("/v3/sync").await.ok();
        assert_eq!(presence().await, "online");
        network.app.rooms.expire_presence(linkspan_rooms::QUIET).await.expect("it expires");
        assert_eq!(presence().await, "online", "she was here just now");
        network.app.rooms.expire_presence(Duration::ZERO).await.expect("it expires");
        assert_eq!(presence().await, "offline");
    }
    let told = bert.get(&format!("/v3/sync?since={}", since.as_str().expect("a token"))).await.ok();
    let events = crate::network::list(&told["presence"]["events"]);
    let of_anna: Vec<_> = events.iter().filter(|event| event["sender"] == anna.user_id.as_str()).collect();
    assert_eq!(of_anna.len(), 1, "{told}");
    assert_eq!(of_anna[0]["content"]["presence"], "offline");
}

#[tokio::test]
async fn devices_in_different_states_do_not_take_turns() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let phone = anna.another_device().await;
    for platform in [MESSENGER, INSTAGRAM] {
        let bert = network.register(platform, "bert").await;
        let room = anna.create_room(json!({ "preset": "public_chat" })).await;
        bert.join(&room).await.ok();
        let (mut laptops, _) = sync(&anna, None, "online").await;
        let (mut phones, _) = sync(&phone, None, "unavailable").await;
        let (mut berts, _) = sync(&bert, None, "online").await;
        // Each learns of those who came after it.
        (laptops, _) = sync(&anna, Some(&laptops), "online").await;
        (phones, _) = sync(&phone, Some(&phones), "unavailable").await;
        for _ in 0..3 {
            let told;
            (laptops, told) = sync(&anna, Some(&laptops), "online").await;
            assert_eq!(told, []);
            let told;
            (phones, told) = sync(&phone, Some(&phones), "unavailable").await;
            assert_eq!(told, []);
            let told;
            (berts, told) = sync(&bert, Some(&berts), "online").await;
            assert_eq!(told, [], "nothing has changed");
            assert_eq!(shown(&bert, &anna).await, "online");
        }
    }
}

#[tokio::test]
async fn a_user_is_as_present_as_the_best_device() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let phone = anna.another_device().await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let (mut since, _) = sync(&bert, None, "offline").await;
    for (device, state, told) in [
        (&phone, "unavailable", Some("unavailable")),
        (&anna, "online", Some("online")),
        (&phone, "offline", None),
        (&phone, "unavailable", None),
        (&anna, "offline", Some("unavailable")),
        (&phone, "offline", Some("offline")),
    ] {
        set(device, state).await;
        let events;
        (since, events) = sync(&bert, Some(&since), "offline").await;
        let told: Vec<_> = told.iter().map(|state| (anna.user_id.clone(), (*state).to_owned())).collect();
        assert_eq!(events, told, "{state}");
    }
}

#[tokio::test]
async fn a_sync_that_says_offline_changes_nothing() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let (since, _) = sync(&bert, None, "offline").await;
    sync(&anna, None, "offline").await;
    assert_eq!(shown(&bert, &anna).await, "offline", "she is not marked as online");
    let (since, told) = sync(&bert, Some(&since), "offline").await;
    assert_eq!(told, []);
    set(&anna, "online").await;
    sync(&anna, None, "offline").await;
    let body = json!({ "lists": {} });
    anna.post("/unstable/org.matrix.simplified_msc3575/sync?set_presence=offline", body).await.ok();
    assert_eq!(shown(&bert, &anna).await, "online", "she is not marked as offline");
    let (_, told) = sync(&bert, Some(&since), "offline").await;
    assert_eq!(told, [(anna.user_id.clone(), "online".to_owned())]);
}

#[tokio::test]
async fn a_presence_that_there_is_not_is_refused() {
    let network = Network::open().await;
    for platform in [INSTAGRAM, WHATSAPP] {
        let client = network.register(platform, "anna").await;
        let asleep = json!({ "presence": "asleep" });
        let answers = [
            client.put(&format!("/v3/presence/{}/status", client.user_id), asleep).await,
            client.get("/v3/sync?set_presence=asleep").await,
            client.post("/unstable/org.matrix.simplified_msc3575/sync?set_presence=asleep", json!({})).await,
            client.post("/v4/sync", json!({ "set_presence": "asleep" })).await,
        ];
        for answer in answers {
            answer.fails(400, "M_INVALID_PARAM");
        }
    }
}

#[tokio::test]
async fn who_comes_to_share_a_room_is_told_of_presence() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    set(&anna, "online").await;
    for platform in [MESSENGER, INSTAGRAM] {
        let bert = network.register(platform, "bert").await;
        set(&bert, "unavailable").await;
        let (annas, _) = sync(&anna, None, "offline").await;
        let (berts, _) = sync(&bert, None, "offline").await;
        let room = anna.create_room(json!({ "invite": [bert.user_id] })).await;
        let (annas, told) = sync(&anna, Some(&annas), "offline").await;
        assert!(told.iter().all(|(user_id, _)| *user_id != bert.user_id), "he is not there yet");
        let (berts, told) = sync(&bert, Some(&berts), "offline").await;
        assert_eq!(told, []);
        bert.join(&room).await.ok();
        let (_, told) = sync(&anna, Some(&annas), "offline").await;
        assert_eq!(told, [(bert.user_id.clone(), "unavailable".to_owned())]);
        let (_, told) = sync(&bert, Some(&berts), "offline").await;
        assert!(told.contains(&(anna.user_id.clone(), "online".to_owned())), "{told:?}");
    }
}

#[tokio::test]
async fn who_was_away_for_long_is_told_of_presence() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    bert.join(&room).await.ok();
    let (annas, _) = sync(&anna, None, "offline").await;
    network.flush().await;
    let after = network.reopen().await;
    set(&bert.on(&after), "online").await;
    let (_, told) = sync(&anna.on(&after), Some(&annas), "offline").await;
    assert_eq!(told, [(bert.user_id.clone(), "online".to_owned())]);
}
