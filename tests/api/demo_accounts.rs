//! Demo accounts, which anybody may use: nobody takes one from its operator, and visitors do not end each other's visits.

use http::Method;
use linkspan_accounts::NewDevice;
use linkspan_wire::now_ts;
use ruma::{OwnedUserId, ServerName};
use serde_json::{Value, json};

use crate::{
    email::{self, confirm, email_auth, password_auth},
    network::{Client, INSTAGRAM, Network, PASSWORD, each, list},
    web_app::{DEMO_SESSION, PLATFORM},
};

/// One is known by an address, and another by a handle.
const DEMO: &str = "identity = 'handle'\nemail = { smtp = 'smtp://localhost', from = 'robot@example.org' }\n\
     [[demo_account]]\nuser = 'ben@example.org'\n[[demo_account]]\nuser = 'anna'";
const ADDRESS: &str = "ben@example.org";
const HANDLE: &str = "/_linkspan/client/v1/handle";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn id_of(who: &Client) -> OwnedUserId {
    who.user_id.as_str().try_into().expect("a user id")
}

async fn visit(network: &Network, whose: &Client) -> Client {
    let body = Some(json!({ "user_id": whose.user_id }));
    let begun = network.call(INSTAGRAM, None, Method::POST, DEMO_SESSION, body).await.ok();
    network.client(INSTAGRAM, &begun)
}

async fn listed(network: &Network) -> Vec<String> {
    let platform = network.call(INSTAGRAM, None, Method::GET, PLATFORM, None).await.ok();
    each(&platform["demo_accounts"], "user_id")
}

#[tokio::test]
async fn nobody_takes_a_demo_account_from_its_operator() {
    let network = Network::with_settings_of(INSTAGRAM, DEMO).await;
    let ben = email::register(&network, "ben", ADDRESS).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let other = network.register(INSTAGRAM, "carl").await;
    let visitor = visit(&network, &ben).await;

    let id = json!({ "medium": "email", "address": ADDRESS });
    visitor.post("/v3/account/3pid/delete", id).await.fails(403, "M_FORBIDDEN");
    for whose in [&ben, &anna] {
        let visitor = visit(&network, whose).await;
        visitor.put(HANDLE, json!({ "handle": "somebody.else" })).await.fails(403, "M_FORBIDDEN");
    }
    let code = other.post("/_linkspan/client/v1/links/code", json!({})).await.ok()["code"].clone();
    let enter = "/_linkspan/client/v1/links/enter";
    visitor.post(enter, json!({ "code": code })).await.fails(403, "M_FORBIDDEN");
    visitor.post("/_linkspan/client/v1/links/code", json!({})).await.fails(403, "M_FORBIDDEN");
    // What asks for the password is refused before it is asked for, and with it.
    for auth in [Value::Null, password_auth(&ben)] {
        let sid = json!({ "sid": "sid", "client_secret": "monkeys", "auth": auth });
        visitor.post("/v3/account/3pid/add", sid).await.fails(403, "M_FORBIDDEN");
        visitor.post("/v3/account/deactivate", json!({ "auth": auth })).await.fails(403, "M_FORBIDDEN");
        let password = json!({ "new_password": "another battery staple", "auth": auth });
        visitor.post("/v3/account/password", password).await.fails(403, "M_FORBIDDEN");
    }
    let number = network.mails.count();
    let sid = email::ask(&network, "account/password", ADDRESS).await;
    confirm(&network, number).await;
    let asked = email::post(&network, INSTAGRAM, "/v3/account/password", json!({ "new_password": PASSWORD }));
    let session = asked.await.json["session"].clone();
    let password = json!({ "new_password": "another battery staple", "auth": email_auth(&sid, &session) });
    email::post(&network, INSTAGRAM, "/v3/account/password", password).await.fails(403, "M_FORBIDDEN");
    for (who, can) in [(&visitor, false), (&other, true)] {
        let capabilities = who.get("/v3/capabilities").await.ok()["capabilities"].clone();
        for name in ["m.3pid_changes", "m.change_password"] {
            assert_eq!(capabilities[name]["enabled"], can, "{name}");
        }
    }
    // Everybody else does all this.
    other.put(HANDLE, json!({ "handle": "somebody.else" })).await.ok();
    ben.another_device().await;
    assert_eq!(listed(&network).await, [ben.user_id.as_str(), anna.user_id.as_str()]);
}

#[tokio::test]
async fn whoever_has_the_address_later_is_no_demo_account() {
    let network = Network::with_settings_of(INSTAGRAM, DEMO).await;
    let ben = email::register(&network, "ben", ADDRESS).await;
    // The start finds who is there, and nobody has asked before.
    let network = network.reopen().await;
    network.app.deactivate(&id_of(&ben), None, false, now_ts()).await.expect("the operator does it");
    let later = email::register(&network, "later", ADDRESS).await;
    for network in [network.clone(), network.reopen().await] {
        assert!(listed(&network).await.is_empty());
        let body = Some(json!({ "user_id": later.user_id }));
        let begun = network.call(INSTAGRAM, None, Method::POST, DEMO_SESSION, body).await;
        begun.fails(403, "M_FORBIDDEN");
    }
    let id = json!({ "medium": "email", "address": ADDRESS });
    later.post("/v3/account/3pid/delete", id).await.ok();
}

#[tokio::test]
async fn visitors_come_and_go() {
    let network = Network::with_settings_of(INSTAGRAM, DEMO).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let platform: &ServerName = INSTAGRAM.try_into().expect("a server name");
    let platform = network.app.platforms.get(platform).expect("it is hosted");
    let begin = async |ts: u64| {
        let device = NewDevice::default();
        let begun = network.app.accounts.begin_demo_session(&platform, &id_of(&anna), device, ts).await;
        let begun = begun.expect("it begins");
        let removed: Vec<_> = begun.removed.iter().map(|removed| removed.device_id.clone()).collect();
        network.app.forget_devices(begun.removed).await.expect("forgotten");
        (begun.session.device_id, removed)
    };
    let first_ts = now_ts() - 3 * DAY_MS;
    let (first, removed) = begin(first_ts).await;
    assert!(removed.is_empty());
    let (second, removed) = begin(first_ts + DAY_MS - 1).await;
    assert!(removed.is_empty(), "the first was seen within a day");
    assert_eq!(begin(first_ts + DAY_MS).await.1, [first]);
    let mut all_removed = Vec::new();
    for number in 0..60 {
        all_removed.extend(begin(first_ts + DAY_MS + 1 + number).await.1);
    }
    assert_eq!((all_removed.len(), &all_removed[0]), (12, &second), "those seen longest ago go");
    let devices = anna.get("/v3/devices").await.ok();
    assert_eq!(list(&devices["devices"]).len(), 51, "50 visitors, and whoever has logged in");
    // Who is refused takes nobody's place.
    let refused = NewDevice { display_name: Some("x".repeat(10_000)), ..NewDevice::default() };
    let much_later = first_ts + 3 * DAY_MS;
    let begun = network.app.accounts.begin_demo_session(&platform, &id_of(&anna), refused, much_later).await;
    assert!(begun.is_err());
    assert_eq!(list(&anna.get("/v3/devices").await.ok()["devices"]).len(), 51);
}

#[tokio::test]
async fn a_visitor_ends_one_visit_and_the_operator_all() {
    let network = Network::with_settings_of(INSTAGRAM, DEMO).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let (one, other) = (visit(&network, &anna).await, visit(&network, &anna).await);
    let shown = |who: &Client| format!("/v3/devices/{}", who.device_id);
    assert!(one.get(&shown(&other)).await.ok()["last_seen_ip"].is_null(), "nobody learns who visits");
    assert!(anna.get(&shown(&anna)).await.ok()["last_seen_ip"].is_string());

    one.post("/v3/logout/all", json!({})).await.ok();
    one.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    other.get("/v3/account/whoami").await.ok();
    anna.post("/v3/logout/all", json!({})).await.ok();
    for ended in [&other, &anna] {
        ended.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    }
}
