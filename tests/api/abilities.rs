//! What people cannot see is known before it is sent: what a platform's app does not have, and what none of a person's
//! own apps shows.

use linkspan_domain::ContentKind::{Location, Poll, Sticker};
use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, WHATSAPP};

const ABILITIES: &str = "/_linkspan/client/v1/abilities";
/// What the specification does not have.
const UNSPECIFIED: [&str; 3] = ["disappearing", "poll", "voice"];

/// WhatsApp's app has no polls and no stickers.
async fn open() -> Network {
    Network::changed(|one| {
        if one.server_name == WHATSAPP {
            one.without = [Poll, Sticker].into();
        }
    })
    .await
}

async fn not_shown(asker: &Client, room: &str) -> Value {
    asker.get(&format!("/_linkspan/client/v1/rooms/{room}/abilities")).await.ok()["not_shown"].clone()
}

fn kinds(not_shown: &Value) -> Vec<&str> {
    not_shown.as_object().expect("an object").keys().map(String::as_str).collect()
}

async fn declare(client: &Client, shows: &[&str]) {
    client.put(ABILITIES, json!({ "shows": shows })).await.ok();
}

/// A chat of two that was accepted, so that each has the other as a contact.
async fn chat(one: &Client, other: &Client) -> String {
    let room = one.create_room(json!({ "is_direct": true, "invite": [other.user_id] })).await;
    other.post(&format!("/_linkspan/client/v1/requests/{room}/accept"), json!({})).await.ok();
    room
}

#[tokio::test]
async fn a_platform_says_what_its_app_does_not_have() {
    let network = Network::changed(|one| one.without = [Location].into()).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let platform = anna.get("/_linkspan/client/v1/platform").await.ok();
    assert_eq!(platform["without"], json!(["location"]));
    assert_eq!(platform["upload_bytes"], json!(50 << 20));
    assert_eq!(platform["url_previews"], json!(false));
}

#[tokio::test]
async fn who_is_of_a_platform_without_polls_is_counted_and_named() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let cleo = network.register(WHATSAPP, "cleo").await;
    // Somebody who is only invited is who is written to.
    let room = anna.create_room(json!({ "is_direct": true, "invite": [cleo.user_id] })).await;
    let answer = not_shown(&anna, &room).await;
    let expected = json!({
        "count": 1, "platforms": { WHATSAPP: 1 },
        "users": [{ "user_id": cleo.user_id, "because": "platform" }],
    });
    assert_eq!(answer, json!({ "poll": expected, "sticker": expected }));

    // The one who writes knows the own app.
    cleo.post(&format!("/_linkspan/client/v1/requests/{room}/accept"), json!({})).await.ok();
    assert_eq!(kinds(&not_shown(&cleo, &room).await), UNSPECIFIED);
}

#[tokio::test]
async fn what_one_of_somebodys_apps_shows_is_seen() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = chat(&anna, &ben).await;
    assert_eq!(kinds(&not_shown(&anna, &room).await), UNSPECIFIED, "of his app nothing is known");

    declare(&ben, &["poll", "image"]).await;
    let answer = not_shown(&anna, &room).await;
    assert!(answer["location"].is_object() && answer["poll"].is_null(), "{answer}");
    let expected = json!({
        "count": 1, "platforms": {}, "users": [{ "user_id": ben.user_id, "because": "app" }],
    });
    assert_eq!(answer["voice"], expected);

    // He sees a location where his other app shows it.
    let tablet = ben.another_device().await;
    declare(&tablet, &["location", "voice", "hologram"]).await;
    let answer = not_shown(&anna, &room).await;
    let seen = ["image", "location", "poll", "voice"].map(|kind| answer[kind].is_null());
    assert_eq!(seen, [true; 4], "{answer}");

    // What an app has said goes with its device, and with its session.
    tablet.post("/v3/logout", json!({})).await.ok();
    assert!(not_shown(&anna, &room).await["location"].is_object());
    ben.device(&ben.device_id).await;
    assert_eq!(kinds(&not_shown(&anna, &room).await), UNSPECIFIED);
}

#[tokio::test]
async fn of_somebody_with_very_many_devices_nothing_is_known() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = chat(&anna, &ben).await;
    for _ in 1..20 {
        ben.another_device().await;
    }
    assert_eq!(kinds(&not_shown(&anna, &room).await), UNSPECIFIED, "twenty are looked at");
    ben.another_device().await;
    assert_eq!(not_shown(&anna, &room).await, json!({}));
}

#[tokio::test]
async fn they_are_asked_for_as_rarely_as_searches() {
    let network = Network::with_limits("search = 0.001\nsearch_burst = 2").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let room = anna.create_room(json!({})).await;
    for _ in 0..2 {
        not_shown(&anna, &room).await;
    }
    let path = format!("/_linkspan/client/v1/rooms/{room}/abilities");
    anna.get(&path).await.fails(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn strangers_learn_nothing_of_somebodys_apps() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    declare(&ben, &["poll"]).await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    assert_eq!(not_shown(&anna, &room).await, json!({}));

    let direct = chat(&anna, &ben).await;
    assert!(not_shown(&anna, &room).await["image"].is_object());
    // Whoever is blocked is told no more than a stranger.
    ben.put(&format!("/_linkspan/client/v1/blocks/{}", anna.user_id), json!({})).await.ok();
    assert_eq!(not_shown(&anna, &room).await, json!({}));
    assert_eq!(not_shown(&anna, &direct).await, json!({}));
}

#[tokio::test]
async fn in_big_rooms_platforms_are_counted_and_no_apps() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    chat(&anna, &ben).await;
    declare(&ben, &[]).await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    ben.join(&room).await.ok();
    for number in 0..49 {
        network.register(WHATSAPP, &format!("guest{number:02}")).await.join(&room).await.ok();
    }
    let answer = not_shown(&anna, &room).await;
    assert_eq!(kinds(&answer), ["poll", "sticker"], "there are 51 people");
    assert_eq!((&answer["poll"]["count"], &answer["poll"]["platforms"][WHATSAPP]), (&json!(49), &json!(49)));
    assert_eq!(answer["poll"]["users"].as_array().expect("a list").len(), 20);

    let last = network.register(MESSENGER, "last").await;
    last.get(&format!("/_linkspan/client/v1/rooms/{room}/abilities")).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn an_app_names_a_list_of_kinds() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let answer = anna.put(ABILITIES, json!({ "shows": ["poll", "hologram", "poll"] })).await.ok();
    assert_eq!(answer, json!({ "shows": ["poll"] }));
    anna.put(ABILITIES, json!({})).await.fails(400, "M_MISSING_PARAM");
    anna.put(ABILITIES, json!({ "shows": "poll" })).await.fails(400, "M_BAD_JSON");
    anna.put(ABILITIES, json!({ "shows": vec!["poll"; 101] })).await.fails(400, "M_INVALID_PARAM");
}
