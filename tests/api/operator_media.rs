//! What operators see of uploads, and do with them.

use http::{Method, StatusCode};
use serde_json::json;

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, each, text};

const API: &str = "/_linkspan/admin/v1/media";

/// Uploads something; gives its address, and its id.
async fn upload(client: &Client) -> (String, String) {
    let uri =
        text(&client.post("/_matrix/media/v3/upload", json!({ "a": "file" })).await.ok()["content_uri"]);
    let media_id = uri.rsplit('/').next().expect("an id").to_owned();
    (uri, media_id)
}

async fn download(client: &Client, uri: &str) -> StatusCode {
    let path = format!("/v1/media/download/{}", uri.trim_start_matches("mxc://"));
    client.call_raw(Method::GET, &path, "").await.0
}

#[tokio::test]
async fn an_operator_sees_and_removes_uploads_of_the_own_people_only() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let carl = network.administrator(MESSENGER, "carl").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let (uri, media_id) = upload(&anna).await;
    let (kept, kept_id) = upload(&anna).await;

    let usage = admin.get(&format!("{API}/usage")).await.ok();
    assert_eq!((&usage["count"], &usage["users"][0]["count"]), (&json!(2), &json!(2)), "{usage}");
    assert_eq!(usage["users"][0]["user_id"], anna.user_id);
    let listed = admin.get(&format!("{API}?user_id=anna")).await.ok();
    let mut ids = each(&listed["media"], "media_id");
    ids.sort();
    let mut expected = [media_id.clone(), kept_id.clone()];
    expected.sort();
    assert_eq!(ids, expected);
    let first = admin.get(&format!("{API}?limit=1")).await.ok();
    let rest = admin.get(&format!("{API}?limit=1&from={}", text(&first["next_batch"]))).await.ok();
    assert_ne!(each(&first["media"], "uri"), each(&rest["media"], "uri"));
    assert_eq!(each(&admin.get(&format!("{API}?before_ts=1")).await.ok()["media"], "uri"), [""; 0]);

    assert_eq!(carl.get(&format!("{API}/usage")).await.ok()["count"], 0);
    assert_eq!(each(&carl.get(API).await.ok()["media"], "uri"), [""; 0]);
    let path = format!("{API}/{media_id}");
    carl.get(&path).await.fails(404, "M_NOT_FOUND");
    carl.delete(&path).await.fails(404, "M_NOT_FOUND");
    let body = json!({ "user_id": anna.user_id });
    carl.post(&format!("{API}/remove"), body).await.fails(400, "M_INVALID_PARAM");

    admin.put(&format!("{API}/{kept_id}/protected"), json!({ "protected": true })).await.ok();
    admin.delete(&format!("{API}/{kept_id}")).await.fails(403, "M_FORBIDDEN");
    let removed = admin.post(&format!("{API}/remove"), json!({ "user_id": "anna" })).await.ok();
    assert_eq!(removed, json!({ "changed": 1, "next_batch": null }));
    assert_eq!(download(&anna, &uri).await, 404);
    assert_eq!(download(&anna, &kept).await, 200);
    assert_eq!(admin.get(&format!("{API}/{kept_id}")).await.ok()["protected"], true);
    admin.post(&format!("{API}/remove"), json!({})).await.fails(400, "M_INVALID_PARAM");
    admin.put(&format!("{API}/{kept_id}/protected"), json!({ "protected": false })).await.ok();
    admin.delete(&format!("{API}/{kept_id}")).await.ok();
    admin.get(&format!("{API}/{kept_id}")).await.fails(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn what_is_in_quarantine_is_given_to_nobody_and_kept() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let (uri, media_id) = upload(&anna).await;
    assert_eq!(download(&ben, &uri).await, 200);
    let path = format!("{API}/{media_id}/quarantined");
    admin.put(&path, json!({ "quarantined": true })).await.ok();
    for client in [&anna, &ben] {
        assert_eq!(download(client, &uri).await, 404);
        let thumbnail =
            format!("/v1/media/thumbnail/{}?width=32&height=32", uri.trim_start_matches("mxc://"));
        client.get(&thumbnail).await.fails(404, "M_NOT_FOUND");
    }
    let listed = admin.get(&format!("{API}?quarantined=true")).await.ok();
    assert_eq!(each(&listed["media"], "media_id"), [media_id.as_str()]);
    admin.put(&path, json!({ "quarantined": false })).await.ok();
    assert_eq!(download(&ben, &uri).await, 200);
}

#[tokio::test]
async fn uploads_of_a_room_are_those_that_their_owners_sent() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let carl = network.administrator(MESSENGER, "carl").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let fritz = network.register(INSTAGRAM, "fritz").await;
    let ben = network.register(MESSENGER, "ben").await;
    let room = anna.create_room(json!({ "preset": "public_chat" })).await;
    fritz.join(&room).await.ok();
    ben.join(&room).await.ok();
    let (of_anna, _) = upload(&anna).await;
    let (of_fritz, _) = upload(&fritz).await;
    let (of_ben, _) = upload(&ben).await;
    let send = async |client: &Client, uri: &str| {
        client.send(&room, "m.room.message", json!({ "msgtype": "m.file", "body": "file", "url": uri })).await
    };
    send(&anna, &of_anna).await;
    send(&ben, &of_ben).await;
    // Nobody gets rid of an upload of somebody else by naming it.
    send(&anna, &of_fritz).await;
    let own = anna.create_room(json!({})).await;
    carl.post(&format!("{API}/quarantine"), json!({ "room_id": own })).await.fails(404, "M_NOT_FOUND");
    let done = admin.post(&format!("{API}/quarantine"), json!({ "room_id": room })).await.ok();
    assert_eq!(done, json!({ "changed": 1, "next_batch": null }));
    assert_eq!(download(&ben, &of_anna).await, 404);
    assert_eq!(download(&ben, &of_fritz).await, 200);
    assert_eq!(download(&ben, &of_ben).await, 200);
    // What is in quarantine can still be removed.
    let done = admin.post(&format!("{API}/remove"), json!({ "room_id": room })).await.ok();
    assert_eq!(done, json!({ "changed": 1, "next_batch": null }));
}
