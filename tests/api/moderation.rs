//! Accounts that administrators lock and suspend.

use http::Method;
use serde_json::{Value, json};

use crate::{
    network::{Client, INSTAGRAM, MESSENGER, Network, PASSWORD, each, text},
    oauth_browser::{Browser, authorise},
};

const ACCOUNT: &str = "/_linkspan/account";
const LOG_IN: &str = "/_linkspan/log-in";

fn path(what: &str, user: &Client) -> String {
    format!("/v1/admin/{what}/{}", user.user_id)
}

async fn suspend(admin: &Client, user: &Client, suspended: bool) {
    let path = path("suspend", user);
    admin.put(&path, json!({ "suspended": suspended })).await.ok();
    assert_eq!(admin.get(&path).await.ok(), json!({ "suspended": suspended }));
}

#[tokio::test]
async fn a_locked_account_can_only_log_out() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let phone = anna.another_device().await;
    anna.get("/v3/account/whoami").await.ok();

    admin.put(&path("lock", &anna), json!({ "locked": true })).await.ok();
    assert_eq!(admin.get(&path("lock", &anna)).await.ok(), json!({ "locked": true }));
    for path in ["/v3/account/whoami", "/v3/sync?timeout=0", "/v3/joined_rooms", "/v3/devices"] {
        let answer = anna.get(path).await;
        assert_eq!(answer.json["soft_logout"], true, "{path}");
        answer.fails(401, "M_USER_LOCKED");
    }
    anna.try_log_in().await.fails(401, "M_USER_LOCKED");
    // Who does not know the password does not learn it.
    let identifier = json!({ "type": "m.id.user", "user": anna.user_id });
    let wrong = json!({ "type": "m.login.password", "identifier": identifier, "password": "another horse" });
    network.call(INSTAGRAM, None, Method::POST, "/v3/login", Some(wrong)).await.fails(403, "M_FORBIDDEN");

    admin.put(&path("lock", &anna), json!({ "locked": false })).await.ok();
    anna.get("/v3/account/whoami").await.ok();
    admin.put(&path("lock", &anna), json!({ "locked": true })).await.ok();
    phone.post("/v3/logout", json!({})).await.ok();
    phone.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    anna.post("/v3/logout/all", json!({})).await.ok();
    anna.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_locked_account_does_nothing_on_the_pages_either() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    browser.log_in(INSTAGRAM, LOG_IN, "anna").await;
    let client = browser.register_client(INSTAGRAM).await;
    let code = browser.allow(INSTAGRAM, &authorise(&client, "PHONE", &[]), "anna").await;
    let account = browser.get(INSTAGRAM, ACCOUNT).await;
    assert_eq!(account.status, 200);
    let lock = async |locked: bool| {
        admin.put(&path("lock", &anna), json!({ "locked": locked })).await.ok();
    };

    lock(true).await;
    assert_eq!(browser.get(INSTAGRAM, ACCOUNT).await.status, 303);
    let device_id = anna.device_id.as_str();
    let new_password =
        [("password", PASSWORD), ("new_password", "another one"), ("new_password2", "another one")];
    for (page, values) in [
        ("profile", &[("name", "Anna again")][..]),
        ("password", &new_password),
        ("device", &[("device_id", device_id)]),
        ("deactivate", &[("password", PASSWORD)]),
        ("reset-encryption", &[]),
    ] {
        let answer = browser.fill(INSTAGRAM, &account, &format!("{ACCOUNT}/{page}"), values).await;
        assert!(answer.status == 303 && answer.location.starts_with(LOG_IN), "{page}: {answer:?}");
    }
    let user_id = anna.user_id.as_str().try_into().expect("a user id");
    let purpose = linkspan_accounts::Purpose::of_user(&user_id, "replace the cross-signing keys");
    let (proof, now_ts) = (linkspan_accounts::Proof::Approval { url: "" }, linkspan_wire::now_ts());
    let instagram = network.platform(INSTAGRAM);
    let proved = network.app.accounts.prove_user(&purpose, proof, Network::attempt(&instagram, None), now_ts);
    assert!(proved.await.is_err(), "none was given");
    assert_eq!(browser.redeem(INSTAGRAM, &client, &code).await.status, 401);
    let mut other = Browser::new(&network);
    for (password, why) in [(PASSWORD, "locked"), ("a wrong one", "Wrong username or password")] {
        let page = other.get(INSTAGRAM, LOG_IN).await;
        let page = other.fill(INSTAGRAM, &page, LOG_IN, &[("user", "anna"), ("password", password)]).await;
        assert!(page.status == 422 && page.text.contains(why), "{}", page.text);
    }

    // Nothing has changed, and people who had logged in go on.
    lock(false).await;
    anna.get("/v3/account/whoami").await.ok();
    anna.try_log_in().await.ok();
    let page = browser.get(INSTAGRAM, ACCOUNT).await;
    assert!(page.status == 200 && !page.text.contains("Anna again"), "{}", page.text);

    lock(true).await;
    browser.fill(INSTAGRAM, &account, "/_linkspan/log-out", &[]).await;
    lock(false).await;
    assert_eq!(browser.get(INSTAGRAM, ACCOUNT).await.status, 303, "logging out works all the same");
}

#[tokio::test]
async fn a_suspended_account_reads_and_leaves() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let bert = network.register(MESSENGER, "bert").await;
    let room = bert.create_room(json!({ "preset": "public_chat" })).await;
    let other = bert.create_room(json!({ "preset": "public_chat" })).await;
    anna.join(&room).await.ok();
    let said = anna.say(&room, "noise").await;
    let of_bert = bert.say(&room, "peace").await;
    suspend(&admin, &anna, true).await;

    const REFUSED: (u16, &str) = (403, "M_USER_SUSPENDED");
    let refused = |answer: crate::network::Answer| answer.fails(REFUSED.0, REFUSED.1);
    refused(anna.try_send(&room, "m.room.message", json!({ "msgtype": "m.text", "body": "?" })).await);
    refused(anna.set_state(&room, "m.room.topic", json!({ "topic": "?" })).await);
    refused(anna.join(&other).await);
    refused(anna.post(&format!("/v3/knock/{other}"), json!({})).await);
    refused(anna.post("/v3/createRoom", json!({})).await);
    refused(anna.invite(&room, &bert).await);
    let profile = format!("/v3/profile/{}/displayname", anna.user_id);
    refused(anna.put(&profile, json!({ "displayname": "Anna" })).await);
    refused(anna.put(&format!("/v3/rooms/{room}/redact/{of_bert}/1"), json!({})).await);

    let heard = anna.get(&format!("/v3/rooms/{room}/messages?dir=b&limit=5")).await.ok();
    assert!(each(&heard["chunk"], "event_id").contains(&of_bert));
    anna.another_device().await.get("/v3/sync?timeout=0").await.ok();
    anna.put(&format!("/v3/rooms/{room}/redact/{said}/2"), json!({})).await.ok();
    bert.post(&format!("/v3/rooms/{other}/invite"), json!({ "user_id": anna.user_id })).await.ok();
    anna.leave(&other).await.ok();
    anna.leave(&room).await.ok();

    suspend(&admin, &anna, false).await;
    anna.join(&other).await.ok();
    anna.say(&other, "back").await;
}

#[tokio::test]
async fn only_administrators_of_the_platform_restrict() {
    let network = Network::open().await;
    let admin = network.administrator(INSTAGRAM, "admin").await;
    let second = network.administrator(INSTAGRAM, "second").await;
    let abroad = network.administrator(MESSENGER, "abroad").await;
    let anna = network.register(INSTAGRAM, "anna").await;
    for (what, field) in [("lock", "locked"), ("suspend", "suspended")] {
        let body: Value = json!({ field: true });
        for (who, user, status, code) in [
            (&anna, &anna, 403, "M_FORBIDDEN"),
            (&admin, &admin, 403, "M_FORBIDDEN"),
            (&admin, &second, 403, "M_FORBIDDEN"),
            (&abroad, &anna, 400, "M_INVALID_PARAM"),
        ] {
            who.put(&path(what, user), body.clone()).await.fails(status, code);
        }
        let nobody = format!("/v1/admin/{what}/@nobody:{INSTAGRAM}");
        admin.put(&nobody, body.clone()).await.fails(404, "M_NOT_FOUND");
        admin.get(&nobody).await.fails(404, "M_NOT_FOUND");
        for wrong in [json!({}), json!({ field: "yes" }), json!({ field: null })] {
            let answer = admin.put(&path(what, &anna), wrong).await;
            assert_eq!(answer.status, 400, "{}", answer.json);
        }
        assert_eq!(admin.get(&path(what, &anna)).await.ok(), json!({ field: false }));
    }
    let capabilities = admin.get("/v3/capabilities").await.ok();
    let moderation = &capabilities["capabilities"]["m.account_moderation"];
    assert_eq!(*moderation, json!({ "lock": true, "suspend": true }));
    assert_eq!(text(&admin.get("/v3/account/whoami").await.ok()["user_id"]), admin.user_id);
}
