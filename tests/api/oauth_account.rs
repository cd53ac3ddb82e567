//! The account's page, what sessions of OAuth 2.0 do there instead of in the client, and login tokens.

use http::Method;
use linkspan_accounts::{AccountsError, Proof, Purpose};
use ruma::{
    OwnedUserId,
    api::client::uiaa::{AuthData, FallbackAcknowledgement},
};
use serde_json::{Value, json};

use crate::{
    network::{INSTAGRAM, MESSENGER, Network, encoded, text},
    oauth_browser::{Browser, PASSWORD},
    olm::Identity,
};

const ACCOUNT: &str = "/_linkspan/account";

#[tokio::test]
async fn sessions_are_seen_and_ended() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    let (client, tokens) = browser.session(INSTAGRAM, "anna", "PHONE").await;
    let list = browser.get(INSTAGRAM, &format!("{ACCOUNT}?action=org.matrix.devices_list")).await.text;
    assert!(list.contains("PHONE") && list.contains(&anna.device_id), "{list}");
    let page =
        browser.get(INSTAGRAM, &format!("{ACCOUNT}?action=org.matrix.session_end&device_id=PHONE")).await;
    assert!(page.text.contains("Web app (A &lt;b&gt;client&lt;/b&gt;, example.org)"), "{}", page.text);
    let page = browser.fill(INSTAGRAM, &page, "/_linkspan/account/device", &[("device_id", "PHONE")]).await;
    assert_eq!(page.status, 303);
    browser.refresh(INSTAGRAM, &client, &text(&tokens["refresh_token"])).await.refused(400, "invalid_grant");
    let page =
        browser.get(INSTAGRAM, &format!("{ACCOUNT}?action=org.matrix.device_view&device_id=PHONE")).await;
    assert!(page.text.contains("Session not found"));
    anna.get("/v3/account/whoami").await.ok();
}

#[tokio::test]
async fn name_and_password_are_changed() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    browser.log_in(INSTAGRAM, "/_linkspan/log-in", "anna").await;
    let page = browser.get(INSTAGRAM, ACCOUNT).await;
    browser.fill(INSTAGRAM, &page, "/_linkspan/account/profile", &[("name", "Anna <3")]).await;
    assert!(browser.get(INSTAGRAM, ACCOUNT).await.text.contains("Anna &lt;3"));
    assert_eq!(anna.get(&format!("/v3/profile/{}", anna.user_id)).await.ok()["displayname"], "Anna <3");

    let path = "/_linkspan/account/password";
    let mut elsewhere = Browser::new(&network);
    elsewhere.log_in(INSTAGRAM, "/_linkspan/log-in", "anna").await;
    let page = browser.get(INSTAGRAM, path).await;
    let values = |old: &'static str, new: &'static str, again: &'static str| {
        [("password", old), ("new_password", new), ("new_password2", again), ("log_out", "yes")]
    };
    for bad in [
        values("wrong", "another password", "another password"),
        values(PASSWORD, "another password", "yet another"),
        values(PASSWORD, "short", "short"),
    ] {
        assert_eq!(browser.fill(INSTAGRAM, &page, path, &bad).await.status, 422);
    }
    let good = values(PASSWORD, "another password", "another password");
    assert_eq!(browser.fill(INSTAGRAM, &page, path, &good).await.status, 303);
    assert_eq!(browser.get(INSTAGRAM, ACCOUNT).await.status, 200, "this browser has proved itself");
    assert_eq!(elsewhere.get(INSTAGRAM, ACCOUNT).await.status, 303, "others have not");
    anna.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn an_account_is_deactivated_by_its_password() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    browser.log_in(INSTAGRAM, "/_linkspan/log-in", "anna").await;
    let page = browser.get(INSTAGRAM, &format!("{ACCOUNT}?action=org.matrix.account_deactivate")).await;
    let path = "/_linkspan/account/deactivate";
    assert_eq!(browser.fill(INSTAGRAM, &page, path, &[("password", "wrong")]).await.status, 422);
    anna.get("/v3/account/whoami").await.ok();
    assert_eq!(browser.fill(INSTAGRAM, &page, path, &[("password", PASSWORD)]).await.status, 200);
    anna.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    assert_eq!(browser.get(INSTAGRAM, ACCOUNT).await.status, 303);
}

#[tokio::test]
async fn sessions_of_oauth_prove_nothing_by_password() {
    let network = Network::open().await;
    network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    let (_, tokens) = browser.session(INSTAGRAM, "anna", "PHONE").await;
    let token = text(&tokens["access_token"]);
    let auth = json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": "anna" },
    });
    for (method, path, body) in [
        (Method::DELETE, "/v3/devices/PHONE", json!({ "auth": auth })),
        (Method::POST, "/v3/delete_devices", json!({ "auth": auth, "devices": ["PHONE"] })),
        (Method::POST, "/v3/account/password", json!({ "auth": auth, "new_password": "another password" })),
        (Method::POST, "/v3/account/deactivate", json!({ "auth": auth })),
        (Method::POST, "/v1/login/get_token", json!({ "auth": auth })),
    ] {
        let answer = network.call(INSTAGRAM, Some(&token), method, path, Some(body)).await;
        answer.fails(404, "M_UNRECOGNIZED");
    }
    let capabilities =
        network.call(INSTAGRAM, Some(&token), Method::GET, "/v3/capabilities", None).await.ok();
    assert_eq!(capabilities["capabilities"]["m.change_password"]["enabled"], false);
}

#[tokio::test]
async fn the_reset_of_keys_is_approved_on_the_page() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let user_id: OwnedUserId = anna.user_id.as_str().try_into().expect("a user id");
    let mut browser = Browser::new(&network);
    let accounts = &network.app.accounts;
    let purpose = Purpose::of_user(&user_id, "replace the cross-signing keys");
    let url = format!("http://{INSTAGRAM}{ACCOUNT}?action=org.matrix.cross_signing_reset");
    let prove = async |auth: Option<&AuthData>| {
        let now_ts = linkspan_wire::now_ts();
        let platform = network.platform(INSTAGRAM);
        let attempt = Network::attempt(&platform, auth);
        match accounts.prove_user(&purpose, Proof::Approval { url: &url }, attempt, now_ts).await {
            Ok(approval) => {
                assert!(approval.is_some());
                None
            }
            Err(AccountsError::Interactive(info)) => Some(serde_json::to_value(&info).expect("JSON")),
            Err(error) => panic!("{error}"),
        }
    };
    let info: Value = prove(None).await.expect("more is needed");
    assert_eq!(info["flows"], json!([{ "stages": ["m.oauth"] }]));
    assert_eq!(info["params"]["m.oauth"]["url"], url);
    let auth = AuthData::FallbackAcknowledgement(FallbackAcknowledgement::new(text(&info["session"])));
    assert!(prove(Some(&auth)).await.is_some(), "it is not approved yet");

    browser.log_in(INSTAGRAM, "/_linkspan/log-in", "anna").await;
    let page = browser.get(INSTAGRAM, &format!("{ACCOUNT}?action=org.matrix.cross_signing_reset")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let path = "/_linkspan/account/reset-encryption";
    assert_eq!(browser.post(INSTAGRAM, path, &[]).await.status, 403);
    assert!(prove(Some(&auth)).await.is_some());
    assert_eq!(browser.fill(INSTAGRAM, &page, path, &[]).await.status, 200);
    assert_eq!(prove(Some(&auth)).await, None);
    assert!(prove(None).await.is_some(), "an approval is used up");
}

#[tokio::test]
async fn a_session_of_oauth_replaces_keys_once_for_each_approval() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    let (_, tokens) = browser.session(INSTAGRAM, "anna", "PHONE").await;
    let session = json!({
        "access_token": tokens["access_token"], "user_id": anna.user_id, "device_id": "PHONE",
    });
    let phone = network.client(INSTAGRAM, &session);
    let upload = async |body: Value| phone.post("/v3/keys/device_signing/upload", body).await;
    let published = async || {
        let wanted = json!({ "device_keys": { &anna.user_id: [] } });
        anna.post("/v3/keys/query", wanted).await.ok()["master_keys"][&anna.user_id]["keys"].clone()
    };
    let [first, second, third] = [0, 1, 2].map(|_| Identity::new(&phone).upload());
    upload(first.clone()).await.ok();

    let url = format!("http://{INSTAGRAM}{ACCOUNT}?action=org.matrix.cross_signing_reset");
    let asked = upload(second.clone()).await;
    assert_eq!((asked.status.as_u16(), &asked.json["flows"]), (401, &json!([{ "stages": ["m.oauth"] }])));
    assert_eq!(asked.json["params"]["m.oauth"]["url"], url);
    let mut again = second.clone();
    again["auth"] = json!({ "session": asked.json["session"] });
    assert_eq!(upload(again.clone()).await.status, 401, "nobody has approved it");
    let mut by_password = second.clone();
    by_password["auth"] = json!({
        "type": "m.login.password", "password": PASSWORD, "session": asked.json["session"],
        "identifier": { "type": "m.id.user", "user": "anna" },
    });
    assert_eq!(upload(by_password).await.status, 401);
    assert_eq!(published().await, first["master_key"]["keys"]);

    let path = url.strip_prefix(&format!("http://{INSTAGRAM}")).expect("a page of the platform");
    let page = browser.get(INSTAGRAM, path).await;
    assert_eq!(browser.fill(INSTAGRAM, &page, "/_linkspan/account/reset-encryption", &[]).await.status, 200);
    upload(first.clone()).await.ok();
    let mut broken = again.clone();
    broken["self_signing_key"]["user_id"] = json!("@bert:instagram.localhost");
    upload(broken).await.fails(400, "M_BAD_JSON");
    upload(again).await.ok();
    assert_eq!(published().await, second["master_key"]["keys"]);
    assert_eq!(upload(third).await.status, 401, "the approval is used up");
    assert_eq!(published().await, second["master_key"]["keys"]);
}

#[tokio::test]
async fn old_clients_log_in_by_a_token() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let flows = network.call(INSTAGRAM, None, Method::GET, "/v3/login", None).await.ok();
    let sso =
        flows["flows"].as_array().and_then(|flows| flows.iter().find(|flow| flow["type"] == "m.login.sso"));
    let sso = sso.expect("there is single sign-on");
    assert_eq!(sso["oauth_aware_preferred"], true);
    // Clients draw a button for each entry of a list, and none for an empty one.
    assert!(sso.get("identity_providers").is_none(), "{sso}");

    let mut browser = Browser::new(&network);
    let uri = encoded("https://old.example/#/login?x=1");
    let mut page = None;
    for action in ["org.matrix.msc3824.action=register", "action=register"] {
        let redirect = format!("/_matrix/client/v3/login/sso/redirect?redirectUrl={uri}&{action}");
        let redirected = browser.get(INSTAGRAM, &redirect).await;
        assert_eq!(redirected.status, 302);
        assert!(redirected.location.ends_with("&action=register"), "{}", redirected.location);
        page = Some(redirected);
    }
    let page = page.expect("there are two names");
    let page = browser.get(INSTAGRAM, &page.location).await;
    assert!(page.location.starts_with("/_linkspan/register?"), "{}", page.location);
    let login = page.location.replace("/register?", "/log-in?");
    let path = browser.log_in(INSTAGRAM, &login, "anna").await;
    let page = browser.get(INSTAGRAM, &path).await;
    assert!(page.text.contains("old.example"), "{}", page.text);
    assert_eq!(browser.post(INSTAGRAM, &path, &[]).await.status, 403);
    let csrf = page.hidden("csrf");
    let back = browser.post(INSTAGRAM, &path, &[("csrf", &csrf)]).await.location;
    assert!(back.starts_with("https://old.example/?loginToken="), "{back}");
    let token = back.split(['=', '#']).nth(1).expect("there is a token").to_owned();
    for uri in ["javascript:alert(1)", "data:text/html,x", "", "no uri", "https://u@old.example/"] {
        let page = browser.get(INSTAGRAM, &format!("/_linkspan/sso?redirectUrl={}", encoded(uri))).await;
        assert_eq!(page.status, 400, "{uri}");
    }

    let log_in = async |platform: &str, token: &str| {
        let body = json!({ "type": "m.login.token", "token": token });
        network.call(platform, None, Method::POST, "/v3/login", Some(body)).await
    };
    log_in(MESSENGER, &token).await.fails(403, "M_FORBIDDEN");
    assert_eq!(log_in(INSTAGRAM, &token).await.ok()["user_id"], anna.user_id);
    log_in(INSTAGRAM, &token).await.fails(403, "M_FORBIDDEN");

    // A user who has logged in by password gets such a token for another client by giving the password again.
    let asked = anna.post("/v1/login/get_token", json!({})).await;
    assert_eq!(asked.status, 401);
    let auth = json!({
        "type": "m.login.password", "password": PASSWORD, "session": asked.json["session"],
        "identifier": { "type": "m.id.user", "user": "anna" },
    });
    let token = anna.post("/v1/login/get_token", json!({ "auth": auth })).await.ok();
    log_in(INSTAGRAM, &text(&token["login_token"])).await.ok();
}
