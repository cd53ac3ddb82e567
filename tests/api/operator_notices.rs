//! Notices from those who run a platform to its people.

use http::Method;
use linkspan_wire::now_ts;
use serde_json::json;

use crate::network::{Client, INSTAGRAM, MESSENGER, Network, text};

const API: &str = "/_linkspan/admin/v1/server_notices";

/// The rooms with notices that a user is in.
async fn notice_rooms(client: &Client) -> Vec<String> {
    let mut found = Vec::new();
    for room in client.get("/v3/joined_rooms").await.ok()["joined_rooms"].as_array().expect("a list") {
        let room = text(room);
        let tags = client.get(&format!("/v3/user/{}/rooms/{room}/tags", client.user_id)).await.ok();
        if tags["tags"].get("m.server_notice").is_some() {
            found.push(room);
        }
    }
    found
}

#[tokio::test]
async fn a_user_is_told_in_a_room_that_comes_from_the_platform() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    // Whoever lets nobody reach them is told all the same.
    let rules = json!({ "rules": [{ "reach": "refused" }] });
    anna.put("/_linkspan/client/v1/reach", rules).await.ok();
    let notice = json!({ "user_id": "anna", "body": "Mind the step" });
    let told = admin.post(API, notice.clone()).await.ok();
    let room = text(&told["room_id"]);
    assert_eq!(notice_rooms(&anna).await, [room.as_str()]);
    assert_eq!(anna.heard(&room).await, ["Mind the step"]);
    anna.say_fails(&room).await;
    admin.post(API, notice.clone()).await.ok();
    assert_eq!(anna.heard(&room).await.len(), 2);
    // Whoever has left is told in another.
    anna.leave(&room).await.ok();
    let content = json!({ "msgtype": "m.text", "body": "Again" });
    let again = admin.post(API, json!({ "user_id": "anna", "content": content })).await.ok();
    assert_ne!(text(&again["room_id"]), room);

    admin.post(API, json!({ "user_id": ben.user_id, "body": "Ahoy" })).await.fails(400, "M_INVALID_PARAM");
    admin.post(API, json!({ "user_id": "nobody", "body": "Ahoy" })).await.fails(404, "M_NOT_FOUND");
    admin.post(API, json!({ "user_id": "anna" })).await.fails(400, "M_INVALID_PARAM");
    admin.post(API, json!({ "body": "Ahoy" })).await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn everybody_of_the_platform_is_told() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let task = admin.post(API, json!({ "everybody": true, "body": "We move" })).await.ok();
    network.app.rooms.finish_notices(now_ts).await.expect("all are told");
    let task = admin.get(&format!("{API}/{}", text(&task["id"]))).await.ok();
    assert_eq!((&task["sent"], &task["failed"]), (&json!(2), &json!(0)), "{task}");
    let rooms = notice_rooms(&anna).await;
    assert_eq!(anna.heard(&rooms[0]).await, ["We move"]);
    assert_eq!(notice_rooms(&admin).await.len(), 1);
    assert_eq!(notice_rooms(&ben).await, [""; 0]);
    // No other platform's operator hears of it.
    let carl = network.administrator(MESSENGER, "carl").await;
    carl.get(&format!("{API}/{}", text(&task["id"]))).await.fails(404, "M_NOT_FOUND");
    let nobody = network.call(INSTAGRAM, None, Method::POST, API, Some(json!({}))).await;
    nobody.fails(401, "M_MISSING_TOKEN");
}
