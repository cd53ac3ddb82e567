//! Key backups, at `/room_keys`.

use serde_json::{Value, json};

use crate::network::{Client, INSTAGRAM, Network, WHATSAPP, text};

const ROOM: &str = "!room:instagram.localhost";

pub(crate) fn key(first_message_index: u64, is_verified: bool, data: &str) -> Value {
    json!({
        "first_message_index": first_message_index, "forwarded_count": 0, "is_verified": is_verified,
        "session_data": { "ciphertext": data },
    })
}

pub(crate) async fn begin(client: &Client) -> String {
    let body = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {
        "public_key": "abcdefg", "signatures": {},
    } });
    text(&client.post("/v3/room_keys/version", body).await.ok()["version"])
}

#[tokio::test]
async fn keys_are_kept_replaced_by_better_ones_and_removed() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    anna.get("/v3/room_keys/version").await.fails(404, "M_NOT_FOUND");
    let version = begin(&anna).await;
    let session = |id: &str| format!("/v3/room_keys/keys/{ROOM}/{id}?version={version}");
    let first = anna.put(&session("one"), key(5, false, "first")).await.ok();
    assert_eq!(first["count"], 1);
    // A worse key is not taken, and changes nothing; a better one is.
    assert_eq!(anna.put(&session("one"), key(6, false, "worse")).await.ok(), first);
    assert_eq!(anna.get(&session("one")).await.ok()["session_data"]["ciphertext"], "first");
    let better = anna.put(&session("one"), key(9, true, "verified")).await.ok();
    assert_ne!(better["etag"], first["etag"]);
    assert_eq!(anna.get(&session("one")).await.ok()["session_data"]["ciphertext"], "verified");

    let sessions = json!({ "two": key(0, true, "2"), "three": key(0, true, "3") });
    let of_room = format!("/v3/room_keys/keys/{ROOM}?version={version}");
    assert_eq!(anna.put(&of_room, json!({ "sessions": sessions })).await.ok()["count"], 3);
    let all = format!("/v3/room_keys/keys?version={version}");
    let rooms = json!({ "rooms": { "!other:x.localhost": { "sessions": { "four": key(1, true, "4") } } } });
    let state = anna.put(&all, rooms).await.ok();
    assert_eq!(state["count"], 4);
    let info = anna.get("/v3/room_keys/version").await.ok();
    assert_eq!((&info["count"], &info["etag"]), (&state["count"], &state["etag"]));
    let stored = anna.get(&all).await.ok();
    assert_eq!(stored["rooms"][ROOM]["sessions"]["two"], key(0, true, "2"));
    assert_eq!(anna.get(&of_room).await.ok()["sessions"].as_object().expect("sessions").len(), 3);

    assert_eq!(anna.delete(&session("two")).await.ok()["count"], 3);
    anna.get(&session("two")).await.fails(404, "M_NOT_FOUND");
    assert_eq!(anna.delete(&of_room).await.ok()["count"], 1);
    assert_eq!(anna.delete(&all).await.ok()["count"], 0);
    assert_eq!(anna.get(&all).await.ok()["rooms"], json!({}));
}

#[tokio::test]
async fn only_the_newest_version_is_written_to() {
    let network = Network::open().await;
    let (anna, ben) = (network.register(INSTAGRAM, "anna").await, network.register(WHATSAPP, "ben").await);
    let (old, new) = (begin(&anna).await, begin(&anna).await);
    assert_ne!(old, new);
    let path = |version: &str| format!("/v3/room_keys/keys/{ROOM}/one?version={version}");
    let refused = anna.put(&path(&old), key(0, true, "")).await;
    assert_eq!(refused.json["current_version"], new);
    refused.fails(403, "M_WRONG_ROOM_KEYS_VERSION");
    anna.put(&path(&new), key(0, true, "")).await.ok();
    ben.get(&path(&new)).await.fails(404, "M_NOT_FOUND");

    let version = format!("/v3/room_keys/version/{new}");
    let mut data = anna.get(&version).await.ok();
    data["auth_data"]["public_key"] = "changed".into();
    anna.put(&version, data.clone()).await.ok();
    assert_eq!(anna.get(&version).await.ok()["auth_data"]["public_key"], "changed");
    data["algorithm"] = "org.example".into();
    anna.put(&version, data).await.fails(400, "M_INVALID_PARAM");

    anna.delete(&version).await.ok();
    anna.get(&version).await.fails(404, "M_NOT_FOUND");
    anna.get(&path(&new)).await.fails(404, "M_NOT_FOUND");
    assert_eq!(anna.get("/v3/room_keys/version").await.ok()["version"], old, "the one before is the newest");
    let next = begin(&anna).await;
    assert!(next != old && next != new, "a number is not used twice");
}
