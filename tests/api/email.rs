//! E-mail addresses: registering with one, adding and removing them, logging in by them, new passwords.

use http::Method;
use linkspan_accounts::{AccountsError, ThirdPartyId};
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::{
    network::{Answer, Client, INSTAGRAM, MESSENGER, Network, PASSWORD, list, text},
    oauth_browser::Browser,
};

const WITH_MAILS: &str = "email = { smtp = 'smtp://localhost', from = 'robot@example.org' }";
const NEW_PASSWORD: &str = "another battery staple";

pub(crate) async fn post(network: &Network, platform: &str, path: &str, body: Value) -> Answer {
    network.call(platform, None, Method::POST, path, Some(body)).await
}

fn token_request(address: &str, attempt: u64) -> Value {
    json!({ "client_secret": "monkeys", "email": address, "send_attempt": attempt })
}

/// Asks for a mail, and returns the id of the session.
pub(crate) async fn ask(network: &Network, what: &str, address: &str) -> String {
    let path = format!("/v3/{what}/email/requestToken");
    text(&post(network, INSTAGRAM, &path, token_request(address, 1)).await.ok()["sid"])
}

/// The link in a mail.
async fn link(network: &Network, number: usize) -> String {
    let mail = network.mails.nth(number).await;
    let mut lines = mail.text.lines().filter(|line| line.starts_with("http"));
    lines.next().unwrap_or_else(|| panic!("there is no link in {}", mail.text)).to_owned()
}

/// Opens the link of a mail, and confirms.
pub(crate) async fn confirm(network: &Network, number: usize) {
    let link = link(network, number).await;
    let (status, page) = network.browse(Method::GET, &link).await;
    assert!(status.is_success() && page.contains("method=\"post\""), "{page}");
    let (status, page) = network.browse(Method::POST, &link).await;
    assert!(status.is_success() && page.contains("confirmed"), "{page}");
}

pub(crate) fn email_auth(sid: &str, session: &Value) -> Value {
    let creds = json!({ "sid": sid, "client_secret": "monkeys" });
    json!({ "type": "m.login.email.identity", "threepid_creds": creds, "session": session })
}

pub(crate) fn password_auth(user: &Client) -> Value {
    let identifier = json!({ "type": "m.id.user", "user": user.user_id });
    json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD })
}

async fn log_in(network: &Network, platform: &str, address: &str, password: &str) -> Answer {
    let identifier = json!({ "type": "m.id.thirdparty", "medium": "email", "address": address });
    let body = json!({ "type": "m.login.password", "identifier": identifier, "password": password });
    post(network, platform, "/v3/login", body).await
}

/// Registers a user with an address.
pub(crate) async fn register(network: &Network, name: &str, address: &str) -> Client {
    let number = network.mails.count();
    let sid = ask(network, "register", address).await;
    confirm(network, number).await;
    let body = json!({ "username": name, "password": PASSWORD, "auth": email_auth(&sid, &Value::Null) });
    let session = post(network, INSTAGRAM, "/v3/register", body).await.ok();
    network.client(INSTAGRAM, &session)
}

async fn addresses(user: &Client) -> Vec<String> {
    let known = user.get("/v3/account/3pid").await.ok();
    list(&known["threepids"]).iter().map(|entry| text(&entry["address"])).collect()
}

#[tokio::test]
async fn an_account_is_made_with_an_address_and_found_by_it() {
    let network = Network::open_with(WITH_MAILS).await;
    let sid = ask(&network, "register", "Anna@Example.org").await;
    let register = |session: Value| {
        let auth = email_auth(&sid, &session);
        let body = json!({ "username": "anna", "password": PASSWORD, "auth": auth });
        post(&network, INSTAGRAM, "/v3/register", body)
    };
    // Clients ask again and again until the link was opened.
    let waiting = register(Value::Null).await;
    assert_eq!(waiting.status, 401, "{}", waiting.json);
    let flows = list(&waiting.json["flows"]).iter().map(|flow| flow["stages"].clone());
    assert!(flows.clone().any(|stages| stages == json!(["m.login.email.identity"])));
    let session = waiting.json["session"].clone();
    assert_eq!(register(session.clone()).await.status, 401);

    confirm(&network, 0).await;
    let account = register(session).await.ok();
    let anna = network.client(INSTAGRAM, &account);
    assert_eq!(addresses(&anna).await, ["anna@example.org"]);
    let again = json!({ "username": "b", "password": PASSWORD, "auth": email_auth(&sid, &Value::Null) });
    let again = post(&network, INSTAGRAM, "/v3/register", again).await;
    assert_eq!(again.status, 401, "a session makes one account: {}", again.json);

    let session = log_in(&network, INSTAGRAM, "ANNA@example.org", PASSWORD).await.ok();
    assert_eq!(session["user_id"], anna.user_id);
    let named = json!({ "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": "anna@example.org" } });
    assert_eq!(post(&network, INSTAGRAM, "/v3/login", named).await.ok()["user_id"], anna.user_id);
    // This is how it was said before there were identifiers.
    let deprecated = |medium: &str, address: &str| {
        let body =
            json!({ "type": "m.login.password", "password": PASSWORD, "medium": medium, "address": address });
        post(&network, INSTAGRAM, "/v3/login", body)
    };
    assert_eq!(deprecated("email", "ANNA@example.org").await.ok()["user_id"], anna.user_id);
    deprecated("email", "nobody@example.org").await.fails(403, "M_FORBIDDEN");
    // A user name is no address, neither to log in nor to prove who one is.
    let prove = |address: &str| {
        let identifier = json!({ "type": "m.id.thirdparty", "medium": "email", "address": address });
        let auth = json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD });
        anna.post("/v3/delete_devices", json!({ "devices": ["NONE"], "auth": auth }))
    };
    for name in ["anna", &anna.user_id] {
        deprecated("email", name).await.fails(403, "M_FORBIDDEN");
        log_in(&network, INSTAGRAM, name, PASSWORD).await.fails(403, "M_FORBIDDEN");
        assert_eq!(prove(name).await.status, 401, "{name}");
    }
    prove("anna@example.org").await.ok();
    deprecated("msisdn", "4912345678").await.fails(403, "M_FORBIDDEN");
    log_in(&network, INSTAGRAM, "anna@example.org", "a wrong one").await.fails(403, "M_FORBIDDEN");
    log_in(&network, INSTAGRAM, "nobody@example.org", PASSWORD).await.fails(403, "M_FORBIDDEN");
    log_in(&network, MESSENGER, "anna@example.org", PASSWORD).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn addresses_are_added_and_removed() {
    let network = Network::open_with(WITH_MAILS).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    assert_eq!(anna.get("/v3/capabilities").await.ok()["capabilities"]["m.3pid_changes"]["enabled"], true);
    assert_eq!(anna.get("/v3/account/3pid").await.ok(), json!({ "threepids": [] }));
    let sid = ask(&network, "account/3pid", "anna@example.org").await;
    let add = |auth: Value| {
        let body = json!({ "sid": sid, "client_secret": "monkeys", "auth": auth });
        anna.post("/v3/account/3pid/add", body)
    };
    assert_eq!(add(Value::Null).await.status, 401, "the password is needed");
    add(password_auth(&anna)).await.fails(400, "M_THREEPID_AUTH_FAILED");
    confirm(&network, 0).await;
    let other_secret = json!({ "sid": sid, "client_secret": "apes", "auth": password_auth(&anna) });
    anna.post("/v3/account/3pid/add", other_secret).await.fails(400, "M_THREEPID_AUTH_FAILED");
    add(password_auth(&anna)).await.ok();
    add(password_auth(&anna)).await.fails(400, "M_THREEPID_AUTH_FAILED");
    let known = anna.get("/v3/account/3pid").await.ok()["threepids"][0].clone();
    assert_eq!((&known["medium"], &known["address"]), (&json!("email"), &json!("anna@example.org")));
    assert!(known["validated_at"].is_u64() && known["added_at"].is_u64());

    let bert = network.register(INSTAGRAM, "bert").await;
    let remove = json!({ "medium": "email", "address": "anna@example.org" });
    bert.post("/v3/account/3pid/delete", remove.clone()).await.ok();
    assert_eq!(addresses(&anna).await.len(), 1, "nobody removes another's");
    let removed = anna.post("/v3/account/3pid/delete", remove).await.ok();
    assert_eq!(removed["id_server_unbind_result"], "no-support");
    assert_eq!(addresses(&anna).await, Vec::<String>::new());
    log_in(&network, INSTAGRAM, "anna@example.org", PASSWORD).await.fails(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_forgot_the_password_sets_another() {
    let network = Network::open_with(WITH_MAILS).await;
    let anna = register(&network, "anna", "anna@example.org").await;
    let sid = ask(&network, "account/password", "anna@example.org").await;
    let reset = |session: Value| {
        let body = json!({ "new_password": NEW_PASSWORD, "auth": email_auth(&sid, &session) });
        post(&network, INSTAGRAM, "/v3/account/password", body)
    };
    let waiting = reset(Value::Null).await;
    assert_eq!(waiting.status, 401, "{}", waiting.json);
    confirm(&network, 1).await;
    reset(waiting.json["session"].clone()).await.ok();
    anna.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    log_in(&network, INSTAGRAM, "anna@example.org", PASSWORD).await.fails(403, "M_FORBIDDEN");
    log_in(&network, INSTAGRAM, "anna@example.org", NEW_PASSWORD).await.ok();
    assert_eq!(reset(Value::Null).await.status, 401, "a session is used once");
}

#[tokio::test]
async fn an_address_that_is_removed_meanwhile_resets_nothing() {
    let network = Network::open_with(WITH_MAILS).await;
    let anna = register(&network, "anna", "anna@example.org").await;
    let sid = ask(&network, "account/password", "anna@example.org").await;
    confirm(&network, 1).await;
    let (accounts, user_id) = (&network.app.accounts, anna.user_id.as_str().try_into().expect("a user id"));
    let platform =
        network.app.platforms.iter().find(|it| it.server_name() == INSTAGRAM).expect("it is there");
    let auth = serde_json::from_value(email_auth(&sid, &Value::Null)).expect("it is well formed");
    let here = [127, 0, 0, 1].into();
    let reset = accounts.reset_password(&platform, NEW_PASSWORD.into(), true, Some(&auth), here, now_ts());
    let mut reset = std::pin::pin!(reset);
    // It gets as far as hashing the new password.
    tokio::select! { biased; _ = &mut reset => panic!("it takes longer"), () = async {} => {} }
    let id = ThirdPartyId::email("anna@example.org").expect("an address");
    accounts.delete_third_party_id(&platform, &user_id, &id).await.expect("removed");
    assert!(matches!(reset.await, Err(AccountsError::AddressNotValidated)));
    post(&network, INSTAGRAM, "/v3/login", password_auth(&anna)).await.ok();
}

#[tokio::test]
async fn what_was_confirmed_for_one_purpose_is_worth_nothing_for_another() {
    let network = Network::open_with(WITH_MAILS).await;
    let anna = register(&network, "anna", "anna@example.org").await;
    let sid = ask(&network, "account/3pid", "other@example.org").await;
    confirm(&network, 1).await;
    let body = json!({ "new_password": NEW_PASSWORD, "auth": email_auth(&sid, &Value::Null) });
    let refused = post(&network, INSTAGRAM, "/v3/account/password", body).await;
    assert_eq!(refused.json["errcode"], "M_UNAUTHORIZED", "{}", refused.json);
    let body = json!({ "username": "b", "password": PASSWORD, "auth": email_auth(&sid, &Value::Null) });
    assert_eq!(post(&network, INSTAGRAM, "/v3/register", body).await.status, 401);
    // A session of another platform is worth nothing, too.
    let bert = network.register(MESSENGER, "bert").await;
    let body = json!({ "sid": sid, "client_secret": "monkeys", "auth": password_auth(&bert) });
    bert.post("/v3/account/3pid/add", body).await.fails(400, "M_THREEPID_AUTH_FAILED");
    drop(anna);
}

#[tokio::test]
async fn only_the_mail_tells_whether_an_address_is_known() {
    let network = Network::open_with(WITH_MAILS).await;
    register(&network, "anna", "anna@example.org").await;
    let mails = [
        ("register", "anna@example.org", "in use"),
        ("account/3pid", "anna@example.org", "in use"),
        ("account/password", "nobody@example.org", "no account"),
    ];
    for (number, (what, address, subject)) in mails.into_iter().enumerate() {
        let answer =
            post(&network, INSTAGRAM, &format!("/v3/{what}/email/requestToken"), token_request(address, 1))
                .await
                .ok();
        assert_eq!(answer.as_object().map(|answer| answer.len()), Some(1), "{answer}");
        let mail = network.mails.nth(number + 1).await;
        assert!(mail.to == address && mail.subject.contains(subject), "{}: {}", mail.to, mail.subject);
        assert!(!mail.text.contains("http"), "there is nothing to confirm");
    }
}

#[tokio::test]
async fn an_attempt_sends_one_mail_and_an_address_gets_few() {
    let network = Network::open_with(WITH_MAILS).await;
    let attempt = |attempt: u64| {
        let body = token_request("anna@example.org", attempt);
        post(&network, INSTAGRAM, "/v3/register/email/requestToken", body)
    };
    let first = attempt(1).await.ok();
    let first_link = link(&network, 0).await;
    assert_eq!(attempt(1).await.ok(), first);
    assert_eq!(attempt(2).await.ok(), first, "the same session");
    let second_link = link(&network, 1).await;
    assert_ne!(first_link, second_link);
    let (status, _) = network.browse(Method::POST, &first_link).await;
    assert_eq!(status, 404, "only the newest link is good");
    for number in 3..=5 {
        attempt(number).await.ok();
    }
    let refused = attempt(6).await;
    assert!(refused.json["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{}", refused.json);
    refused.fails(429, "M_LIMIT_EXCEEDED");
    assert_eq!(network.mails.nth(4).await.to, "anna@example.org");
    assert_eq!(network.mails.count(), 5);
}

#[tokio::test]
async fn links_lead_to_the_platform_whoever_asked() {
    let network = Network::open_with(WITH_MAILS).await;
    let mut body = token_request("anna@example.org", 1);
    body["next_link"] = json!("https://app.example.org/?a=<b>");
    post(&network, INSTAGRAM, "/v3/register/email/requestToken", body).await.ok();
    let link = link(&network, 0).await;
    assert!(link.starts_with(&format!("http://{INSTAGRAM}/_linkspan/email?")), "{link}");
    let (_, page) = network.browse(Method::POST, &link).await;
    assert!(page.contains("https://app.example.org/?a=&lt;b&gt;") && !page.contains("<b>"), "{page}");
    let elsewhere = link.replace(INSTAGRAM, MESSENGER);
    let bad =
        [link.replace("token=", "token=x"), link.split('?').next().expect("a path").to_owned(), elsewhere];
    for bad in bad {
        for method in [Method::GET, Method::POST] {
            let (status, page) = network.browse(method, &bad).await;
            assert_eq!(status, 404, "{bad}: {page}");
        }
    }
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let network = Network::open_with(WITH_MAILS).await;
    for (body, code) in [
        (json!({}), "M_MISSING_PARAM"),
        (json!({ "client_secret": "a", "email": "a@example.org" }), "M_MISSING_PARAM"),
        (json!({ "client_secret": "a b", "email": "a@example.org", "send_attempt": 1 }), "M_BAD_JSON"),
        (json!({ "client_secret": "a", "email": 7, "send_attempt": 1 }), "M_BAD_JSON"),
        (json!({ "client_secret": "a", "email": "a@example.org", "send_attempt": -1 }), "M_BAD_JSON"),
        (token_request("anna", 1), "M_INVALID_PARAM"),
        (token_request("anna@example.org\r\nBcc: b@example.org", 1), "M_INVALID_PARAM"),
        (token_request(&format!("{}@example.org", "a".repeat(300)), 1), "M_INVALID_PARAM"),
    ] {
        for what in ["register", "account/password", "account/3pid"] {
            let path = format!("/v3/{what}/email/requestToken");
            post(&network, INSTAGRAM, &path, body.clone()).await.fails(400, code);
        }
    }
    assert_eq!(network.mails.count(), 0);
    let anna = network.register(INSTAGRAM, "anna").await;
    for body in [json!({ "medium": "pigeon", "address": "a" }), json!({ "medium": "email", "address": "a" })]
    {
        anna.post("/v3/account/3pid/delete", body).await.fails(400, "M_INVALID_PARAM");
    }
}

#[tokio::test]
async fn who_goes_frees_the_address() {
    let network = Network::open_with(WITH_MAILS).await;
    let anna = register(&network, "anna", "anna@example.org").await;
    anna.post("/v3/account/deactivate", json!({ "auth": password_auth(&anna) })).await.ok();
    let second = register(&network, "second", "anna@example.org").await;
    assert_eq!(addresses(&second).await, ["anna@example.org"]);
}

#[tokio::test]
async fn the_page_of_a_mail_may_send_its_own_form() {
    let network = Network::open_with(WITH_MAILS).await;
    ask(&network, "register", "anna@example.org").await;
    let link = link(&network, 0).await;
    let path = link.strip_prefix(&format!("http://{INSTAGRAM}")).expect("it leads to the platform");
    let page = Browser::new(&network).get(INSTAGRAM, path).await;
    assert!(page.text.contains("<form"), "{}", page.text);
    assert!(page.policy.contains("form-action 'self'"), "{}", page.policy);
}
