//! The operator API, as it is called over the network: by administrators of a platform, by other people, and by nobody.

use http::Method;
use linkspan_wire::{Access, EndpointInfo};
use serde_json::json;

use crate::network::{INSTAGRAM, MESSENGER, Network, PASSWORD, each, text};

const API: &str = "/_linkspan/admin/v1";

/// The endpoints, with a user of Instagram where a path names one.
fn endpoints() -> Vec<(EndpointInfo, String)> {
    let named = |path: &str| {
        let path = path.replace("{user_id}", "anna").replace("{number}", "1").replace("{id}", "none");
        let path = path.replace("{room_id}", "!nowhere:instagram.localhost").replace("{media_id}", "nothing");
        let path = path.replace("{delete_id}", "none").replace("{server_name}", INSTAGRAM);
        path.replace("{token}", "welcome").replace("{device_id}", "PHONE")
    };
    let tables = [linkspan_admin_api::endpoints(), linkspan_admin_api::synapse_endpoints()];
    let endpoints = tables.into_iter().flatten().map(|endpoint| endpoint.info);
    endpoints.map(|info| (info, named(info.path))).collect()
}

#[tokio::test]
async fn only_administrators_of_the_platform_are_answered() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let carl = network.administrator(MESSENGER, "carl").await;
    for (info, path) in endpoints() {
        assert_eq!(info.access, Access::Operator, "{path}");
        let method: Method = info.method.parse().expect("a method");
        let call = async |token: Option<&str>| {
            network.call(INSTAGRAM, token, method.clone(), &path, Some(json!({}))).await
        };
        call(None).await.fails(401, "M_MISSING_TOKEN");
        call(Some(&anna.token)).await.fails(403, "M_FORBIDDEN");
        // An administrator elsewhere is nobody here.
        call(Some(&carl.token)).await.fails(401, "M_UNKNOWN_TOKEN");
    }
    let path = format!("{API}/backup");
    let admin = network.administrator(INSTAGRAM, "admin").await;
    admin.post(&path, json!({ "folder": "/tmp/backup" })).await.fails(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn administrators_see_their_own_platform_only() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    network.register(INSTAGRAM, "anna").await;
    let ben = network.register(MESSENGER, "ben").await;
    let users = admin.get(&format!("{API}/users")).await.ok();
    assert_eq!(each(&users["users"], "user_id"), ["@admin:instagram.localhost", "@anna:instagram.localhost"]);
    let first = admin.get(&format!("{API}/users?limit=1")).await.ok();
    assert_eq!(each(&first["users"], "user_id"), ["@admin:instagram.localhost"]);
    let rest = admin.get(&format!("{API}/users?limit=1&from={}", text(&first["next_batch"]))).await.ok();
    assert_eq!(each(&rest["users"], "user_id"), ["@anna:instagram.localhost"]);
    admin.get(&format!("{API}/users/{}", ben.user_id)).await.fails(400, "M_INVALID_PARAM");
    let lock = format!("{API}/users/{}/locked", ben.user_id);
    admin.put(&lock, json!({ "locked": true })).await.fails(400, "M_INVALID_PARAM");
    ben.get("/v3/account/whoami").await.ok();
    admin.get(&format!("{API}/users/nobody")).await.fails(404, "M_NOT_FOUND");
    admin.get(&format!("{API}/users?limit=many")).await.fails(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn what_operators_do_is_written_down() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let locked = format!("{API}/users/anna/locked");
    admin.put(&locked, json!({ "locked": true })).await.ok();
    anna.get("/v3/account/whoami").await.fails(401, "M_USER_LOCKED");
    admin.put(&locked, json!({ "locked": "maybe" })).await.fails(400, "M_BAD_JSON");
    admin.get(&format!("{API}/users/anna")).await.ok();
    let token = format!("{API}/registration_tokens");
    admin.post(&token, json!({ "token": "welcome", "uses_allowed": 1 })).await.ok();
    admin.delete(&format!("{token}/welcome")).await.ok();
    admin.delete(&format!("{token}/welcome")).await.fails(404, "M_NOT_FOUND");

    let actions = admin.get(&format!("{API}/actions")).await.ok();
    let actions = actions["actions"].as_array().expect("actions");
    let told: Vec<_> = actions
        .iter()
        .map(|action| {
            let subjects = action["subjects"].as_array().expect("subjects");
            let subject = subjects.first().map_or("", |subject| subject.as_str().expect("a text"));
            (
                action["action"].as_str().expect("a name"),
                subject,
                action["status"].as_u64().expect("a status"),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("delete_registration_token", "welcome", 404),
            ("delete_registration_token", "welcome", 200),
            ("create_registration_token", "", 200),
            ("set_user_locked", "anna", 400),
            ("set_user_locked", "anna", 200),
        ]
    );
    assert!(actions.iter().all(|action| action["operator"] == "@admin:instagram.localhost"));
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_and_nobody_loses_the_last_administrator() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    anna.another_device().await;
    let path = format!("{API}/users/{}", anna.user_id);
    let devices = admin.get(&format!("{path}/devices")).await.ok();
    assert_eq!(devices["devices"].as_array().expect("devices").len(), 2);
    let set = admin.put(&format!("{path}/password"), json!({ "password": "a brand new one" })).await.ok();
    assert_eq!(set, json!({ "logged_out": 2 }));
    anna.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    anna.try_log_in().await.fails(403, "M_FORBIDDEN");
    admin.put(&format!("{path}/password"), json!({ "password": PASSWORD })).await.ok();
    let phone = anna.another_device().await;
    admin.delete(&format!("{path}/devices/{}", phone.device_id)).await.ok();
    phone.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    admin.delete(&format!("{path}/devices/{}", phone.device_id)).await.fails(404, "M_NOT_FOUND");

    let own = format!("{API}/users/admin");
    admin.put(&format!("{own}/admin"), json!({ "admin": false })).await.fails(403, "M_FORBIDDEN");
    admin.put(&format!("{own}/locked"), json!({ "locked": true })).await.fails(403, "M_FORBIDDEN");
    admin.post(&format!("{own}/deactivate"), json!({})).await.fails(403, "M_FORBIDDEN");
    admin.put(&format!("{path}/admin"), json!({ "admin": true })).await.ok();
    let anna = anna.another_device().await;
    anna.put(&format!("{own}/admin"), json!({ "admin": false })).await.ok();
    admin.get(&format!("{API}/users")).await.fails(403, "M_FORBIDDEN");
}
