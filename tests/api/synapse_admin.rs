//! What tools that know Synapse's admin API get: the operations of the operator API by other paths.

use http::Method;
use serde_json::{Value, json};

use crate::network::{INSTAGRAM, MESSENGER, Network, PATIENCE, each, list, text};

const API: &str = "/_synapse/admin";

#[tokio::test]
async fn accounts_are_listed_made_and_changed() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let version = admin.get(&format!("{API}/v1/server_version")).await.ok();
    assert!(text(&version["server_version"]).starts_with("Linkspan "), "{version}");
    let users = admin.get(&format!("{API}/v2/users?from=0&limit=1")).await.ok();
    assert_eq!((&users["total"], &users["next_token"]), (&json!(2), &json!("1")), "{users}");
    let users = admin.get(&format!("{API}/v3/users?from=1&limit=10")).await.ok();
    assert_eq!(each(&users["users"], "name"), [anna.user_id.as_str()]);
    let found = admin.get(&format!("{API}/v2/users?name=ANN")).await.ok();
    assert_eq!(found["total"], 1);

    let path = format!("{API}/v2/users/@cleo:instagram.localhost");
    admin.put(&path, json!({})).await.fails(400, "M_INVALID_PARAM");
    let made = admin.put(&path, json!({ "password": "a good password", "displayname": "Cleo" })).await.ok();
    assert_eq!((&made["displayname"], &made["admin"]), (&json!("Cleo"), &json!(false)), "{made}");
    assert_eq!(admin.put(&path, json!({ "admin": true })).await.ok()["admin"], true);
    assert_eq!(admin.put(&path, json!({ "deactivated": true })).await.ok()["deactivated"], true);
    admin.put(&path, json!({ "deactivated": false })).await.fails(403, "M_FORBIDDEN");

    let devices = admin.get(&format!("{API}/v2/users/{}/devices", anna.user_id)).await.ok();
    assert_eq!(each(&devices["devices"], "device_id"), [anna.device_id.as_str()]);
    let whois = admin.get(&format!("{API}/v1/whois/{}", anna.user_id)).await.ok();
    assert!(whois["devices"].get(&anna.device_id).is_some(), "{whois}");
    let gone = json!({ "devices": [anna.device_id] });
    admin.post(&format!("{API}/v2/users/{}/delete_devices", anna.user_id), gone).await.ok();
    anna.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    admin.get(&format!("{API}/v2/users/{}", ben.user_id)).await.fails(400, "M_INVALID_PARAM");
    let erased = admin.post(&format!("{API}/v1/deactivate/{}", anna.user_id), json!({ "erase": true })).await;
    assert_eq!(erased.ok()["id_server_unbind_result"], "success");
}

#[tokio::test]
async fn rooms_and_uploads_are_listed_and_removed() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat", "name": "The Quay" })).await;
    ben.join(&room).await.ok();
    let rooms = admin.get(&format!("{API}/v1/rooms?order_by=joined_members&from=0&limit=10")).await.ok();
    assert_eq!(rooms["total_rooms"], 1);
    let listed = &rooms["rooms"][0];
    assert_eq!(
        (&listed["joined_members"], &listed["joined_local_members"]),
        (&json!(2), &json!(1)),
        "{rooms}"
    );
    let members = admin.get(&format!("{API}/v1/rooms/{room}/members")).await.ok();
    assert_eq!(members, json!({ "total": 1, "members": [anna.user_id] }));
    let block = format!("{API}/v1/rooms/{room}/block");
    admin.put(&block, json!({ "block": true })).await.ok();
    assert_eq!(admin.get(&block).await.ok()["block"], true);

    let uri = text(&anna.post("/_matrix/media/v3/upload", json!({ "a": "file" })).await.ok()["content_uri"]);
    let place = uri.trim_start_matches("mxc://");
    let uploads = admin.get(&format!("{API}/v1/users/{}/media", anna.user_id)).await.ok();
    assert_eq!(uploads["total"], 1);
    admin.post(&format!("{API}/v1/media/quarantine/{place}"), json!({})).await.ok();
    anna.get(&format!("/v1/media/download/{place}")).await.fails(404, "M_NOT_FOUND");
    admin.post(&format!("{API}/v1/media/unquarantine/{place}"), json!({})).await.ok();
    assert_eq!(admin.delete(&format!("{API}/v1/media/{place}")).await.ok()["total"], 1);

    let path = format!("{API}/v2/rooms/{room}");
    let message = Some(json!({ "message": "Gone" }));
    let begun = network.call(INSTAGRAM, Some(&admin.token), Method::DELETE, &path, message);
    let id = text(&begun.await.ok()["delete_id"]);
    let ended = async {
        loop {
            let status = admin.get(&format!("{API}/v2/rooms/delete_status/{id}")).await.ok();
            if status["status"] == "complete" {
                return;
            }
            assert_ne!(status["status"], "failed", "{status}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    let statuses = admin.get(&format!("{API}/v2/rooms/{room}/delete_status")).await.ok();
    assert_eq!(list(&statuses["results"]).len(), 1);
    admin.get(&format!("{API}/v1/rooms/{room}")).await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn tokens_reports_and_notices_have_their_paths() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let tokens = format!("{API}/v1/registration_tokens");
    admin.post(&format!("{tokens}/new"), json!({ "token": "welcome", "uses_allowed": 3 })).await.ok();
    let listed = admin.get(&format!("{tokens}?valid=true")).await.ok();
    assert_eq!(each(&listed["registration_tokens"], "token"), ["welcome"]);
    admin.delete(&format!("{tokens}/welcome")).await.ok();

    let room = anna.create_room(json!({})).await;
    let event = anna.say(&room, "Ahoy").await;
    anna.post(&format!("/v3/rooms/{room}/report/{event}"), json!({ "reason": "loud" })).await.ok();
    let reports = admin.get(&format!("{API}/v1/event_reports")).await.ok();
    assert_eq!((&reports["total"], &reports["event_reports"][0]["event_id"]), (&json!(1), &json!(event)));
    let number = &reports["event_reports"][0]["id"];
    assert_eq!(admin.get(&format!("{API}/v1/event_reports/{number}")).await.ok()["reason"], "loud");

    let notice =
        json!({ "user_id": anna.user_id, "content": { "msgtype": "m.text", "body": "Mind the step" } });
    let told = admin.post(&format!("{API}/v1/send_server_notice"), notice).await.ok();
    assert_ne!(told["event_id"], Value::Null);
}
