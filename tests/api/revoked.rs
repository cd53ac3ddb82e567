//! Sessions that end while a client waits. It is told so at once, and learns nothing more.
//! <https://spec.matrix.org/v1.19/client-server-api/#client-authentication>

use std::convert::Infallible;

use axum::body::Body;
use futures_util::stream;
use http::Method;
use serde_json::{Value, json};

use crate::{
    network::{Answer, Client, INSTAGRAM, MESSENGER, Network, PASSWORD, PATIENCE, text},
    oauth_browser::Browser,
};

const UNSTABLE: &str = "/unstable/org.matrix.simplified_msc3575/sync";
const DEVICE: &str = "/_linkspan/account/device";
const PASSWORD_PAGE: &str = "/_linkspan/account/password";
/// How long clients wait. It is so long that nobody is answered because the time is up.
const LONG_MS: u64 = 300_000;

/// Anna and Bert, who writes to her. One of her devices waits for news while another does something.
struct Scene {
    network: Network,
    anna: Client,
    waiting: Client,
    bert: Client,
    room: String,
}

fn auth(user: &Client) -> Value {
    let identifier = json!({ "type": "m.id.user", "user": user.user_id });
    json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD })
}

impl Scene {
    async fn open() -> Self {
        let network = Network::open().await;
        let anna = network.register(INSTAGRAM, "anna").await;
        let bert = network.register(MESSENGER, "bert").await;
        let room = bert.create_room(json!({ "preset": "public_chat" })).await;
        anna.join(&room).await.ok();
        let waiting = anna.device("WAITING").await;
        Self { network, anna, waiting, bert, room }
    }

    /// Has the device wait in each way there is while `meanwhile` happens. Returns the answers.
    async fn while_waiting(&self, meanwhile: impl Future<Output = ()>) -> Vec<Answer> {
        let device = &self.waiting;
        let since = text(&device.get("/v3/sync").await.ok()["next_batch"]);
        let lists = json!({ "all": { "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] } });
        let pos = device.post(UNSTABLE, json!({ "lists": lists })).await.ok()["pos"].clone();
        let lists = json!({ "all": { "range": [0, 9], "timeline_limit": 1, "required_state": [] } });
        let stable =
            |pos: &Value| json!({ "conn_id": "stable", "lists": lists, "pos": pos, "timeout": LONG_MS });
        let stable_pos = device.post("/v4/sync", stable(&Value::Null)).await.ok()["pos"].clone();
        let pos = text(&pos);
        let (plain, unstable) = (
            format!("/v3/sync?since={since}&timeout={LONG_MS}"),
            format!("{UNSTABLE}?pos={pos}&timeout={LONG_MS}"),
        );
        let meanwhile = async {
            // They wait by then. If not, they are refused all the same.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            meanwhile.await;
        };
        let words =
            json!({ "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] } } });
        let all = async {
            tokio::join!(
                device.get(&plain),
                device.post(&unstable, words),
                device.post("/v4/sync", stable(&stable_pos)),
                meanwhile,
            )
        };
        let (plain, unstable, stable, ()) =
            tokio::time::timeout(PATIENCE, all).await.expect("whoever waits is woken");
        vec![plain, unstable, stable]
    }

    /// Asserts that everybody who waits is refused once `revoke` has happened, and is not told what is said
    /// after it.
    async fn ends(&self, soft_logout: bool, revoke: impl Future<Output = ()>) {
        let revoke = async {
            revoke.await;
            self.bert.say(&self.room, "after").await;
        };
        for answer in self.while_waiting(revoke).await {
            assert_eq!(
                answer.json["soft_logout"].as_bool().unwrap_or_default(),
                soft_logout,
                "{}",
                answer.json
            );
            answer.fails(401, "M_UNKNOWN_TOKEN");
        }
    }
}

#[tokio::test]
async fn logging_out_ends_what_waits() {
    let scene = Scene::open().await;
    scene.ends(false, async { drop(scene.waiting.post("/v3/logout", json!({})).await.ok()) }).await;
    let scene = Scene::open().await;
    scene.ends(false, async { drop(scene.anna.post("/v3/logout/all", json!({})).await.ok()) }).await;
}

#[tokio::test]
async fn whoever_waits_is_woken_though_there_is_no_news() {
    let scene = Scene::open().await;
    let log_out = async { drop(scene.waiting.post("/v3/logout", json!({})).await.ok()) };
    for answer in scene.while_waiting(log_out).await {
        answer.fails(401, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn deleting_a_device_ends_what_waits() {
    let auth = |scene: &Scene| json!({ "auth": auth(&scene.anna), "devices": ["WAITING"] });
    let scene = Scene::open().await;
    scene.ends(false, async { drop(scene.anna.post("/v3/delete_devices", auth(&scene)).await.ok()) }).await;
    let scene = Scene::open().await;
    let delete = async {
        let body = auth(&scene);
        let path = "/v3/devices/WAITING";
        let token = Some(scene.anna.token.as_str());
        scene.network.call(INSTAGRAM, token, http::Method::DELETE, path, Some(body)).await.ok();
    };
    scene.ends(false, delete).await;
    let scene = Scene::open().await;
    let mut browser = Browser::new(&scene.network);
    browser.log_in(INSTAGRAM, "/_linkspan/log-in", "anna").await;
    let end = "/_linkspan/account?action=org.matrix.session_end&device_id=WAITING";
    let page = browser.get(INSTAGRAM, end).await;
    let fill = async {
        assert_eq!(browser.fill(INSTAGRAM, &page, DEVICE, &[("device_id", "WAITING")]).await.status, 303);
    };
    scene.ends(false, fill).await;
}

#[tokio::test]
async fn a_new_password_ends_what_waits() {
    let scene = Scene::open().await;
    let change = |log_out: bool| {
        let auth = auth(&scene.anna);
        json!({ "auth": auth, "new_password": PASSWORD, "logout_devices": log_out })
    };
    scene.ends(false, async { drop(scene.anna.post("/v3/account/password", change(true)).await.ok()) }).await;
    let scene = Scene::open().await;
    let mut browser = Browser::new(&scene.network);
    browser.log_in(INSTAGRAM, "/_linkspan/log-in", "anna").await;
    let page = browser.get(INSTAGRAM, PASSWORD_PAGE).await;
    let new = "another password";
    let values = [("password", PASSWORD), ("new_password", new), ("new_password2", new), ("log_out", "yes")];
    let fill = async {
        assert_eq!(browser.fill(INSTAGRAM, &page, PASSWORD_PAGE, &values).await.status, 303);
    };
    scene.ends(false, fill).await;
}

#[tokio::test]
async fn deactivation_ends_what_waits() {
    let scene = Scene::open().await;
    let body = json!({ "auth": auth(&scene.anna) });
    scene.ends(false, async { drop(scene.anna.post("/v3/account/deactivate", body).await.ok()) }).await;
}

#[tokio::test]
async fn whoever_waits_with_tokens_that_were_replaced_keeps_the_device() {
    let mut scene = Scene::open().await;
    scene.ends(true, async { drop(scene.anna.device("WAITING").await) }).await;

    let body = json!({ "type": "m.login.password", "refresh_token": true, "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": scene.anna.user_id } });
    let session = scene.network.call(INSTAGRAM, None, http::Method::POST, "/v3/login", Some(body)).await.ok();
    scene.waiting = scene.network.client(INSTAGRAM, &session);
    let refresh = async {
        let body = json!({ "refresh_token": session["refresh_token"] });
        let path = "/v3/refresh";
        let tokens = scene.network.call(INSTAGRAM, None, http::Method::POST, path, Some(body)).await.ok();
        // The old token goes when the new one is used.
        let token = text(&tokens["access_token"]);
        let whoami =
            scene.network.call(INSTAGRAM, Some(&token), http::Method::GET, "/v3/account/whoami", None);
        whoami.await.ok();
    };
    scene.ends(true, refresh).await;
}

#[tokio::test]
async fn locking_ends_what_waits_and_suspending_does_not() {
    let scene = Scene::open().await;
    let admin = scene.network.administrator(INSTAGRAM, "admin").await;
    let path = |what: &str| format!("/v1/admin/{what}/{}", scene.anna.user_id);
    let suspend = async {
        admin.put(&path("suspend"), json!({ "suspended": true })).await.ok();
        scene.bert.say(&scene.room, "after").await;
    };
    for answer in scene.while_waiting(suspend).await {
        assert!(answer.ok()["rooms"].to_string().contains("after"));
    }
    let lock = async {
        admin.put(&path("lock"), json!({ "locked": true })).await.ok();
        scene.bert.say(&scene.room, "after").await;
    };
    for answer in scene.while_waiting(lock).await {
        answer.fails(401, "M_USER_LOCKED");
    }
}

#[tokio::test]
async fn media_that_come_after_the_session_are_not_handed_out() {
    let scene = Scene::open().await;
    let created = scene.bert.post("/_matrix/media/v1/create", json!({})).await.ok();
    let place = text(&created["content_uri"]).replace("mxc://", "");
    let download = format!("/v1/media/download/{place}?timeout_ms=20000");
    let upload = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        scene.waiting.post("/v3/logout", json!({})).await.ok();
        scene.bert.put(&format!("/_matrix/media/v3/upload/{place}"), json!({ "late": true })).await.ok();
    };
    let (answer, ()) = tokio::join!(scene.waiting.get(&download), upload);
    answer.fails(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_body_that_comes_after_the_session_is_not_taken() {
    let scene = Scene::open().await;
    let path = format!("/v3/rooms/{}/send/m.room.message/late", scene.room);
    refuses_late_body(&scene, &path, json!({ "body": "late" })).await;
    assert!(!scene.bert.heard(&scene.room).await.contains(&"late".to_owned()));

    // An endpoint that ruma has no type for.
    let scene = Scene::open().await;
    let path = format!("/v3/profile/{}/displayname", scene.anna.user_id);
    refuses_late_body(&scene, &path, json!({ "displayname": "late" })).await;
    let profile = scene.bert.get(&format!("/v3/profile/{}", scene.anna.user_id)).await.ok();
    assert_ne!(profile["displayname"], "late");
}

/// Logs a device out while the body of its request is on its way.
async fn refuses_late_body(scene: &Scene, path: &str, body: Value) {
    let app = scene.network.app.clone();
    let (user_id, device_id) = (scene.anna.user_id.clone(), scene.waiting.device_id.clone());
    // Whoever reads it finds that the device was logged out before.
    let late = Body::from_stream(stream::once(async move {
        let user_id = user_id.as_str().try_into().expect("a user id");
        app.accounts.log_out(&user_id, &device_id.as_str().into()).await.expect("logged out");
        Ok::<_, Infallible>(body.to_string())
    }));
    let token = Some(scene.waiting.token.as_str());
    let answer = scene.network.call_with(INSTAGRAM, token, Method::PUT, path, late).await;
    answer.fails(401, "M_UNKNOWN_TOKEN");
}
