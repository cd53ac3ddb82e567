//! What administrators of a platform see of how it is used: of other platforms, only how much goes between them.

use linkspan_operators::{Condition, Latency, Sample};
use serde_json::json;

use crate::network::{INSTAGRAM, MESSENGER, Network, WHATSAPP, encoded};

const API: &str = "/_linkspan/admin/v1";

#[tokio::test]
async fn each_platform_has_samples_of_its_own() {
    let network = Network::open().await;
    let (admin, other) =
        (network.administrator(INSTAGRAM, "admin").await, network.administrator(MESSENGER, "carl").await);
    let watched = network.app.operators.watched().clone();
    let empty = admin.get(&format!("{API}/statistics")).await.ok();
    assert_eq!((&empty["ts"], &empty["send_ms"]["p50"]), (&json!([]), &json!([])));
    let platform = INSTAGRAM.try_into().expect("a server name");
    let quick = Latency { p50_ms: 1.5, p99_ms: 8.0 };
    let sample = Sample { ts: 1_000, messages_per_second: 2.5, send: Some(quick), ..Sample::default() };
    watched.note(&platform, sample);
    watched.note(&platform, Sample { ts: 2_000, syncs_waiting: 3, ..Sample::default() });
    let all = admin.get(&format!("{API}/statistics")).await.ok();
    assert_eq!(all["ts"], json!([1_000, 2_000]));
    assert_eq!(all["messages_per_second"], json!([2.5, 0.0]));
    assert_eq!(all["syncs_waiting"], json!([0, 3]));
    assert_eq!(all["send_ms"], json!({ "p50": [1.5, null], "p99": [8.0, null] }));
    let newer = admin.get(&format!("{API}/statistics?after_ts=1000")).await.ok();
    assert_eq!(newer["ts"], json!([2_000]));
    let elsewhere = other.get(&format!("{API}/statistics")).await.ok();
    assert_eq!(elsewhere["ts"], json!([]));
    admin.get(&format!("{API}/statistics?after_ts=now")).await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn health_says_what_is_wrong_by_short_names() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let before = admin.get(&format!("{API}/health")).await.ok();
    assert_eq!(
        (&before["live"], &before["ready"], &before["reasons"]),
        (&json!(true), &json!(true), &json!([]))
    );
    let full = Condition { ts: 2_000, live: true, reasons: vec!["writes_stop"], ..Condition::default() };
    network.app.operators.watched().note_condition(full);
    let health = admin.get(&format!("{API}/health")).await.ok();
    assert_eq!((&health["live"], &health["ready"]), (&json!(true), &json!(false)));
    assert_eq!((&health["reasons"], &health["ts"]), (&json!(["writes_stop"]), &json!(2_000)));
    assert_eq!(health["mails"], json!({ "sent": 0, "failed": 0 }));
}

#[tokio::test]
async fn limits_are_those_of_the_platform() {
    let network = Network::with_settings_of(INSTAGRAM, "limits.joined_rooms = 7").await;
    for (platform, rooms) in [(INSTAGRAM, 7), (MESSENGER, 10_000)] {
        let admin = network.administrator(platform, "admin").await;
        let limits = admin.get(&format!("{API}/limits")).await.ok();
        assert_eq!(limits["limits"]["joined_rooms"], json!(rooms));
    }
}

#[tokio::test]
async fn conversations_count_what_goes_between_the_own_platform_and_another() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(MESSENGER, "ben").await);
    let cleo = network.register(WHATSAPP, "cleo").await;
    let say = async |who: &crate::network::Client, room: &str, number: usize| {
        let path = format!("/v3/rooms/{}/send/m.room.message/m{number}", encoded(room));
        who.put(&path, json!({ "msgtype": "m.text", "body": "Hello" })).await.ok();
    };
    let chat = async |one: &crate::network::Client, other: &crate::network::Client| {
        let request = json!({ "preset": "trusted_private_chat", "invite": [other.user_id] });
        let made = one.post("/v3/createRoom", request).await.ok();
        let room = made["room_id"].as_str().expect("a room").to_owned();
        other.join(&room).await.ok();
        room
    };
    let room = chat(&anna, &ben).await;
    say(&anna, &room, 1).await;
    say(&ben, &room, 2).await;
    say(&ben, &room, 3).await;
    // What two others say to each other is nothing to this platform.
    let elsewhere = chat(&ben, &cleo).await;
    say(&ben, &elsewhere, 4).await;

    let told = admin.get(&format!("{API}/conversations")).await.ok();
    let told = told["conversations"].as_array().expect("the others");
    let mut counts: Vec<_> = told
        .iter()
        .map(|other| {
            (other["server_name"].as_str().expect("a name"), other["sent"].clone(), other["received"].clone())
        })
        .collect();
    counts.sort_by_key(|count| count.0);
    assert_eq!(counts, [(MESSENGER, json!(1), json!(2)), (WHATSAPP, json!(0), json!(0))]);
}

#[tokio::test]
async fn somebody_is_found_by_what_they_are_known_by_on_their_own_platform() {
    let network = Network::with_settings_of(INSTAGRAM, "identity = \"handle\"").await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    anna.put("/_linkspan/client/v1/handle", json!({ "handle": "anna.berg" })).await.ok();
    let find = async |name: &str| {
        let found = admin.get(&format!("{API}/find_user?name={}", encoded(name))).await.ok();
        found["user"]["user_id"].as_str().map(str::to_owned)
    };
    for name in ["anna.berg", "@anna.berg", &anna.user_id] {
        assert_eq!(find(name).await.as_ref(), Some(&anna.user_id), "{name}");
    }
    for name in ["ben", &ben.user_id, "nobody", "", "a b"] {
        assert_eq!(find(name).await, None, "{name}");
    }
    admin.get(&format!("{API}/find_user")).await.fails(400, "M_INVALID_PARAM");
}
