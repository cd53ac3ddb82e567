//! Phone numbers: proving them by a code, and platforms whose people are known by them.

use std::sync::Arc;

use http::Method;
use linkspan_accounts::{
    AccountsError, Evidence, PasswordStamp, ProvedUser, SignUp, Standing, ThirdPartyId, ValidationPurpose,
    ValidationRequest, ValidationSession,
};
use linkspan_address_book::Address;
use linkspan_platforms::{Identity, Platform, Settings, Sms};
use linkspan_wire::now_ts;
use ruma::OwnedUserId;
use serde_json::{Value, json};

use crate::{
    matching::find,
    network::{Answer, Client, INSTAGRAM, MESSENGER, Network, PASSWORD, WHATSAPP, list, text},
    oauth_browser::{Browser, Page, authorise},
};

const NUMBER: &str = "+491701234567";
const OTHER: &str = "+491701234568";
const NEW_PASSWORD: &str = "another battery staple";
const LOG_IN: &str = "/_linkspan/log-in";
const PHONE: &str = "/_linkspan/phone";
const CODE: &str = "/_linkspan/phone/code";
const SECOND_STEP: &str = "/_linkspan/phone/second-step";
const NEW_ACCOUNT: &str = "/_linkspan/phone/new";
const NAME: &str = "/_linkspan/phone/name";
const ACCOUNT: &str = "/_linkspan/account";
const ADD_PHONE: &str = "/_linkspan/account/add-phone";
const CONFIRM_CODE: &str = "/_linkspan/account/confirm-code";
const REMOVE: &str = "/_linkspan/account/remove-email";
const SET_PASSWORD: &str = "/_linkspan/account/password";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

pub(crate) fn sends_sms(one: &mut Settings) {
    one.sms = Some(Sms { gateway: "http://localhost".into(), secret: "a secret".into() });
}

/// Platforms that send SMS; one of them knows its people by their numbers.
pub(crate) async fn open() -> Network {
    Network::changed(|one| {
        sends_sms(one);
        if one.server_name == WHATSAPP {
            one.identity = Identity::Phone;
            one.verify = true;
        }
    })
    .await
}

fn platform(network: &Network, name: &str) -> Arc<Platform> {
    network.app.platforms.iter().find(|one| one.server_name() == name).expect("it is hosted")
}

async fn post(network: &Network, platform: &str, path: &str, body: Value) -> Answer {
    network.call(platform, None, Method::POST, path, Some(body)).await
}

fn token_request(number: &str, attempt: u64) -> Value {
    json!({ "client_secret": "monkeys", "country": "DE", "phone_number": number, "send_attempt": attempt })
}

/// Asks for a code, and returns the id of the session.
async fn ask(network: &Network, platform: &str, what: &str, number: &str) -> String {
    let path = format!("/v3/{what}/msisdn/requestToken");
    let answer = post(network, platform, &path, token_request(number, 1)).await.ok();
    assert_eq!(answer["submit_url"], format!("http://{platform}/_linkspan/client/v1/submit_code"));
    text(&answer["sid"])
}

#[tokio::test]
async fn an_sms_calls_the_platform_by_its_name() {
    let network = Network::changed(|one| {
        sends_sms(one);
        one.display_name = (one.server_name == WHATSAPP).then(|| "Lumen".to_owned());
    })
    .await;
    ask(&network, WHATSAPP, "register", NUMBER).await;
    ask(&network, MESSENGER, "register", NUMBER).await;
    let [named, unnamed] = [network.sms.nth(0).await.text, network.sms.nth(1).await.text];
    assert!(named.contains("Lumen") && !named.contains("Whatsapp"), "{named}");
    assert!(unnamed.contains("Messenger"), "{unnamed}");
}

/// The code in an SMS.
async fn code(network: &Network, number: usize) -> String {
    let sms = network.sms.nth(number).await;
    let code: String = sms.text.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(code.len(), 6, "{}", sms.text);
    code
}

/// A code that is not this one.
fn wrong(code: &str) -> String {
    let flip = |digit: char| if digit == '9' { '0' } else { '9' };
    code.chars().map(flip).collect()
}

/// Submits a code; whether it was right.
async fn submit(network: &Network, platform: &str, sid: &str, code: &str) -> bool {
    let body = json!({ "sid": sid, "client_secret": "monkeys", "token": code });
    let answer = post(network, platform, "/_linkspan/client/v1/submit_code", body).await.ok();
    answer["success"].as_bool().expect("it says so")
}

fn msisdn_auth(sid: &str) -> Value {
    json!({ "type": "m.login.msisdn", "threepid_creds": { "sid": sid, "client_secret": "monkeys" } })
}

pub(crate) fn password_auth(user: &Client) -> Value {
    let identifier = json!({ "type": "m.id.user", "user": user.user_id });
    json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD })
}

/// Confirms a number, for what is asked for under this path.
pub(crate) async fn confirm(network: &Network, platform: &str, what: &str, number: &str) -> String {
    let sms = network.sms.count();
    let sid = ask(network, platform, what, number).await;
    assert!(submit(network, platform, &sid, &code(network, sms).await).await);
    sid
}

/// Registers with a number where people are known by it.
pub(crate) async fn register(network: &Network, number: &str, name: &str) -> Client {
    let sid = confirm(network, WHATSAPP, "register", number).await;
    let body = json!({ "username": name, "auth": msisdn_auth(&sid) });
    network.client(WHATSAPP, &post(network, WHATSAPP, "/v3/register", body).await.ok())
}

async fn numbers(user: &Client) -> Vec<String> {
    let known = user.get("/v3/account/3pid").await.ok();
    let numbers = list(&known["threepids"]).iter().filter(|entry| entry["medium"] == "msisdn");
    numbers.map(|entry| text(&entry["address"])).collect()
}

/// Gives a number on a page and fills in its code. Returns what comes after that.
async fn prove(network: &Network, browser: &mut Browser, number: &str) -> Page {
    let sms = network.sms.count();
    let page = browser.get(WHATSAPP, LOG_IN).await;
    let sent = browser.fill(WHATSAPP, &page, PHONE, &[("phone", number)]).await;
    assert!(sent.text.contains("Enter the code"), "{}", sent.text);
    let code = code(network, sms).await;
    browser.fill(WHATSAPP, &sent, CODE, &[("phone", number), ("code", &code)]).await
}

/// Signs up on the pages.
async fn sign_up(network: &Network, browser: &mut Browser, number: &str, name: &str) -> Page {
    let page = prove(network, browser, number).await;
    assert!(page.text.contains("your name?"), "{}", page.text);
    browser.fill(WHATSAPP, &page, NAME, &[("phone", number), ("name", name)]).await
}

/// Who is logged in with a browser.
async fn user_of(browser: &mut Browser) -> String {
    let page = browser.get(WHATSAPP, ACCOUNT).await;
    let id = page.text.split("Logged in as <strong>").nth(1).unwrap_or_else(|| panic!("{}", page.text));
    id.split('<').next().expect("an id").to_owned()
}

/// A client that is allowed by whoever is logged in with a browser.
async fn app_of(network: &Network, browser: &mut Browser, user_id: &str) -> Client {
    let client = browser.register_client(WHATSAPP).await;
    let code = browser.allow(WHATSAPP, &authorise(&client, "PHONE", &[]), "nobody").await;
    let tokens = browser.redeem(WHATSAPP, &client, &code).await.json();
    let session = json!({ "access_token": tokens["access_token"], "user_id": user_id, "device_id": "PHONE" });
    network.client(WHATSAPP, &session)
}

#[tokio::test]
async fn an_account_is_made_with_a_number_and_shows_it_to_nobody() {
    let network = open().await;
    let stages = post(&network, WHATSAPP, "/v3/register", json!({})).await;
    assert_eq!(
        (stages.status.as_u16(), &stages.json["flows"]),
        (401, &json!([{ "stages": ["m.login.msisdn"] }]))
    );
    let sid = ask(&network, WHATSAPP, "register", "0170 1234567").await;
    let sms = network.sms.nth(0).await;
    assert_eq!(sms.to, NUMBER);
    assert!(sms.text.is_ascii() && sms.text.len() <= 160, "{}", sms.text);
    let body = json!({ "username": "Hilde", "auth": msisdn_auth(&sid) });
    assert_eq!(post(&network, WHATSAPP, "/v3/register", body.clone()).await.status, 401, "not yet");
    assert!(submit(&network, WHATSAPP, &sid, &code(&network, 0).await).await);
    let hilde = post(&network, WHATSAPP, "/v3/register", body.clone()).await.ok();
    let hilde = network.client(WHATSAPP, &hilde);
    assert_eq!(
        post(&network, WHATSAPP, "/v3/register", body).await.status,
        401,
        "a session makes one account"
    );

    assert_eq!(numbers(&hilde).await, ["491701234567"]);
    assert!(!hilde.user_id.contains("hilde") && !hilde.user_id.contains("1234567"), "{}", hilde.user_id);
    let anna = network.register(INSTAGRAM, "anna").await;
    let profile = anna.get(&format!("/v3/profile/{}", hilde.user_id)).await.ok();
    assert_eq!(profile, json!({ "displayname": "Hilde" }));
    // A client whose form asks for a user name may be given the number.
    let second = register(&network, OTHER, OTHER).await;
    assert_eq!(anna.get(&format!("/v3/profile/{}", second.user_id)).await.ok(), json!({}));
}

#[tokio::test]
async fn a_few_wrong_codes_end_the_right_one() {
    let network = open().await;
    let sid = ask(&network, WHATSAPP, "register", NUMBER).await;
    let right = code(&network, 0).await;
    for _ in 0..4 {
        assert!(!submit(&network, WHATSAPP, &sid, &wrong(&right)).await);
    }
    for elsewhere in [INSTAGRAM, MESSENGER] {
        assert!(!submit(&network, elsewhere, &sid, &right).await, "a session is one platform's");
    }
    assert!(!submit(&network, WHATSAPP, &sid, &wrong(&right)).await);
    assert!(!submit(&network, WHATSAPP, &sid, &right).await, "it has ended");

    let again = token_request(NUMBER, 2);
    let again = post(&network, WHATSAPP, "/v3/register/msisdn/requestToken", again).await.ok();
    assert_eq!(text(&again["sid"]), sid);
    let newer = code(&network, 1).await;
    if newer != right {
        assert!(!submit(&network, WHATSAPP, &sid, &right).await, "the newest code alone is good");
    }
    let other_secret = json!({ "sid": sid, "client_secret": "apes", "token": newer });
    let answer = post(&network, WHATSAPP, "/_linkspan/client/v1/submit_code", other_secret).await.ok();
    assert_eq!(answer, json!({ "success": false }));
    assert!(submit(&network, WHATSAPP, &sid, &newer).await);
    assert!(!submit(&network, WHATSAPP, &sid, &newer).await, "once");
    // Asking again with the same number sends nothing.
    ask(&network, WHATSAPP, "register", NUMBER).await;
    assert_eq!(network.sms.count(), 2);
}

#[tokio::test]
async fn of_two_at_once_one_gets_it() {
    let network = open().await;
    let sid = ask(&network, WHATSAPP, "register", NUMBER).await;
    let right = code(&network, 0).await;
    let submit = || submit(&network, WHATSAPP, &sid, &right);
    let (one, two) = tokio::join!(submit(), submit());
    assert!(one ^ two, "a code works once");
    let make = || post(&network, WHATSAPP, "/v3/register", json!({ "auth": msisdn_auth(&sid) }));
    let (one, two) = tokio::join!(make(), make());
    let made = [one, two].into_iter().filter(|answer| answer.status == 200).count();
    assert_eq!(made, 1, "and makes one account");
}

/// A validation as the pages ask for it, at a time.
async fn validate(network: &Network, now_ts: u64) -> (ValidationSession, String) {
    let sms = network.sms.count();
    let request = ValidationRequest {
        purpose: ValidationPurpose::LogIn,
        id: ThirdPartyId::phone("DE", NUMBER).expect("a number"),
        client_secret: "browser".into(),
        send_attempt: now_ts,
        next_link: None,
        page: String::new(),
        by_page: true,
        from: [127, 0, 0, 1].into(),
    };
    let whatsapp = platform(network, WHATSAPP);
    let asked = network.app.accounts.request_validation(&whatsapp, request, now_ts);
    let session = ValidationSession { sid: asked.await.expect("sent"), client_secret: "browser".into() };
    (session, code(network, sms).await)
}

#[tokio::test]
async fn codes_and_what_they_prove_expire() {
    let network = open().await;
    let (accounts, here) = (&network.app.accounts, platform(&network, WHATSAPP).server_name().clone());
    let now_ts = now_ts();
    let (session, code) = validate(&network, now_ts).await;
    let late = accounts.validate_by_code(&here, &session, &code, now_ts + 600_000).await;
    assert!(matches!(late, Err(AccountsError::WrongCode)), "{late:?}");
    accounts.validate_by_code(&here, &session, &code, now_ts + 599_999).await.expect("in time");
    let standing = |ts| accounts.standing(&here, &session, ts);
    assert_eq!(standing(now_ts + 3_600_000).await.expect("it is proved"), Standing::Free);
    let late = standing(now_ts + 600_000 + 3_600_000).await;
    assert!(matches!(late, Err(AccountsError::AddressNotValidated)), "{late:?}");
}

#[tokio::test]
async fn nobody_learns_which_numbers_have_accounts() {
    let network = open().await;
    register(&network, NUMBER, "hilde").await;
    let asked = |what: &'static str, number: &'static str| {
        let (network, path) = (&network, format!("/v3/{what}/msisdn/requestToken"));
        async move {
            let mut answer = post(network, INSTAGRAM, &path, token_request(number, 1)).await.ok();
            answer["sid"] = json!(text(&answer["sid"]).len());
            answer
        }
    };
    let anna = network.register(INSTAGRAM, "anna").await;
    let sid = confirm(&network, INSTAGRAM, "account/3pid", NUMBER).await;
    let add = json!({ "sid": sid, "client_secret": "monkeys", "auth": password_auth(&anna) });
    anna.post("/v3/account/3pid/add", add).await.ok();
    for what in ["register", "account/3pid", "account/password"] {
        assert_eq!(asked(what, NUMBER).await, asked(what, OTHER).await, "{what}");
    }
    let last = network.sms.nth(7).await;
    assert!(last.to == OTHER && last.text.contains("no account"), "only the SMS tells: {}", last.text);

    let mut pages = Vec::new();
    for number in [NUMBER, "+491701239999"] {
        let mut browser = Browser::new(&network);
        let page = browser.get(WHATSAPP, LOG_IN).await;
        let sent = browser.fill(WHATSAPP, &page, PHONE, &[("phone", number)]).await;
        let wrong = browser.fill(WHATSAPP, &sent, CODE, &[("phone", number), ("code", "none")]).await;
        assert_eq!((sent.status, wrong.status), (200, 422));
        let plain = |page: Page| page.text.replace(&page.hidden("csrf"), "").replace(number, "");
        pages.push((plain(sent), plain(wrong)));
    }
    assert_eq!(pages[0], pages[1]);
}

#[tokio::test]
async fn people_sign_up_and_log_in_on_the_pages_by_number() {
    let network = open().await;
    let mut browser = Browser::new(&network);
    let client = browser.register_client(WHATSAPP).await;
    let page = browser.get(WHATSAPP, &authorise(&client, "PHONE", &[("prompt", "create")])).await;
    let form = browser.get(WHATSAPP, &page.location).await;
    assert!(form.text.contains("Phone number") && !form.text.contains("Password"), "{}", form.text);
    for bad in ["", "0170 1234567", "+49 900 1 123456", "hilde"] {
        assert_eq!(browser.fill(WHATSAPP, &form, PHONE, &[("phone", bad)]).await.status, 422, "{bad}");
    }
    assert_eq!(network.sms.count(), 0);
    let sent = browser.fill(WHATSAPP, &form, PHONE, &[("phone", "+49 170 1234567")]).await;
    let wrong_code = wrong(&code(&network, 0).await);
    let wrong = [("phone", NUMBER), ("code", &wrong_code)];
    assert_eq!(browser.fill(WHATSAPP, &sent, CODE, &wrong).await.status, 422);
    // Without the code there is no way past it.
    for path in [NAME, SECOND_STEP, NEW_ACCOUNT] {
        let values = [("phone", NUMBER), ("name", "Hilde"), ("password", PASSWORD)];
        let page = browser.fill(WHATSAPP, &sent, path, &values).await;
        assert!(page.location.starts_with(LOG_IN), "{path}: {} {}", page.status, page.text);
    }
    let right_code = code(&network, 0).await;
    let right = [("phone", NUMBER), ("code", &right_code)];
    let mut other = Browser::new(&network);
    let elsewhere = other.get(WHATSAPP, LOG_IN).await;
    assert_eq!(other.fill(WHATSAPP, &elsewhere, CODE, &right).await.status, 422, "the browser that asked");
    let asked = browser.fill(WHATSAPP, &sent, CODE, &right).await;
    assert!(asked.text.contains("your name?"), "{}", asked.text);
    for bad in ["", "+49 170 1234567"] {
        let values = [("phone", NUMBER), ("name", bad)];
        assert_eq!(browser.fill(WHATSAPP, &asked, NAME, &values).await.status, 422, "{bad}");
    }
    let made = browser.fill(WHATSAPP, &asked, NAME, &[("phone", NUMBER), ("name", "Hilde Amsel")]).await;
    assert!(made.location.starts_with("/_linkspan/oauth2/authorize?"), "{} {}", made.location, made.text);
    let user_id = user_of(&mut browser).await;
    let hilde = app_of(&network, &mut browser, &user_id).await;
    let profile = hilde.get(&format!("/v3/profile/{user_id}")).await.ok();
    assert_eq!(profile["displayname"], "Hilde Amsel");

    let mut again = Browser::new(&network);
    let page = prove(&network, &mut again, NUMBER).await;
    assert_eq!(page.location, ACCOUNT, "{}", page.text);
    assert_eq!(user_of(&mut again).await, user_id);
    let elsewhere = again.get(INSTAGRAM, LOG_IN).await;
    for path in [PHONE, CODE, SECOND_STEP, NEW_ACCOUNT, NAME] {
        let values = [("phone", NUMBER), ("code", "123456"), ("name", "Hilde")];
        assert_eq!(again.fill(INSTAGRAM, &elsewhere, path, &values).await.status, 404, "{path}");
    }
    let page = again.get(WHATSAPP, ACCOUNT).await;
    assert!(page.text.contains(NUMBER) && page.text.contains("Set a password"), "{}", page.text);
}

/// Sets a second step on the pages.
async fn set_password(browser: &mut Browser) {
    let page = browser.get(WHATSAPP, SET_PASSWORD).await;
    let values = [("new_password", PASSWORD), ("new_password2", PASSWORD)];
    let done = browser.fill(WHATSAPP, &page, SET_PASSWORD, &values).await;
    assert_eq!(done.location, format!("{ACCOUNT}?done=password"), "{}", done.text);
}

#[tokio::test]
async fn a_password_is_a_second_step_and_opens_nothing_alone() {
    let network = open().await;
    let mut browser = Browser::new(&network);
    sign_up(&network, &mut browser, NUMBER, "Hilde").await;
    let user_id = user_of(&mut browser).await;
    set_password(&mut browser).await;

    let mut second = Browser::new(&network);
    let asked = prove(&network, &mut second, NUMBER).await;
    assert!(asked.text.contains("protected by a password"), "{}", asked.text);
    assert_eq!(second.get(WHATSAPP, ACCOUNT).await.status, 303, "not yet");
    let with = |password| [("phone", NUMBER), ("password", password)];
    assert_eq!(second.fill(WHATSAPP, &asked, SECOND_STEP, &with("something else")).await.status, 422);
    let done = second.fill(WHATSAPP, &asked, SECOND_STEP, &with(PASSWORD)).await;
    assert_eq!(done.location, ACCOUNT, "{}", done.text);
    assert_eq!(user_of(&mut second).await, user_id);

    for identifier in [
        json!({ "type": "m.id.user", "user": user_id }),
        json!({ "type": "m.id.thirdparty", "medium": "msisdn", "address": "491701234567" }),
        json!({ "type": "m.id.phone", "country": "DE", "phone": "0170 1234567" }),
    ] {
        let body = json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD });
        post(&network, WHATSAPP, "/v3/login", body).await.fails(403, "M_FORBIDDEN");
    }
    // Nor does the number replace the password.
    post(&network, WHATSAPP, "/v3/account/password/msisdn/requestToken", token_request(NUMBER, 1))
        .await
        .fails(403, "M_THREEPID_DENIED");
    assert_eq!(second.get(WHATSAPP, "/_linkspan/forgot-password").await.status, 404);

    // Whoever knows the password removes it.
    let page = second.get(WHATSAPP, SET_PASSWORD).await;
    let remove = |password| [("answer", "remove"), ("password", password)];
    assert_eq!(second.fill(WHATSAPP, &page, SET_PASSWORD, &remove("something else")).await.status, 422);
    let done = second.fill(WHATSAPP, &page, SET_PASSWORD, &remove(PASSWORD)).await;
    assert_eq!(done.location, format!("{ACCOUNT}?done=password"), "{}", done.text);
    assert_eq!(browser.get(WHATSAPP, ACCOUNT).await.status, 303, "which logs the other browsers out");
    let mut third = Browser::new(&network);
    assert_eq!(prove(&network, &mut third, NUMBER).await.location, ACCOUNT);
    assert_eq!(user_of(&mut third).await, user_id);
}

#[tokio::test]
async fn who_has_no_number_still_logs_in_by_name() {
    let network = open().await;
    let admin = network.administrator(WHATSAPP, "admin").await;
    let mut browser = Browser::new(&network);
    let page = browser.get(WHATSAPP, &format!("{LOG_IN}?by=password")).await;
    let values = [("user", "admin"), ("password", PASSWORD)];
    let done = browser.fill(WHATSAPP, &page, LOG_IN, &values).await;
    assert_eq!(done.location, ACCOUNT, "{}", done.text);
    assert_eq!(user_of(&mut browser).await, admin.user_id);
    let page = browser.get(WHATSAPP, SET_PASSWORD).await;
    let remove = [("answer", "remove"), ("password", PASSWORD)];
    let refused = browser.fill(WHATSAPP, &page, SET_PASSWORD, &remove).await;
    assert!(refused.status == 422 && refused.text.contains("phone number first"), "{}", refused.text);
}

#[tokio::test]
async fn an_account_keeps_everything_when_its_number_changes() {
    let network = open().await;
    let mut browser = Browser::new(&network);
    sign_up(&network, &mut browser, NUMBER, "Hilde").await;
    let user_id = user_of(&mut browser).await;
    let hilde = app_of(&network, &mut browser, &user_id).await;
    let room = hilde.create_room(json!({})).await;

    let page = browser.get(WHATSAPP, ACCOUNT).await;
    let last = browser.fill(WHATSAPP, &page, REMOVE, &[("phone", NUMBER)]).await;
    assert!(last.status == 400 && last.text.contains("add another one first"), "{}", last.text);
    let delete = json!({ "medium": "msisdn", "address": "491701234567" });
    hilde.post("/v3/account/3pid/delete", delete.clone()).await.fails(403, "M_FORBIDDEN");

    let sms = network.sms.count();
    let page = browser.get(WHATSAPP, ADD_PHONE).await;
    let sent = browser.fill(WHATSAPP, &page, ADD_PHONE, &[("phone", OTHER)]).await;
    let code = code(&network, sms).await;
    let wrong_code = wrong(&code);
    let with = |code| [("phone", OTHER), ("code", code)];
    assert_eq!(browser.fill(WHATSAPP, &sent, CONFIRM_CODE, &with(&wrong_code)).await.status, 422);
    let added = browser.fill(WHATSAPP, &sent, CONFIRM_CODE, &with(&code)).await;
    assert_eq!(added.location, format!("{ACCOUNT}?done=phone-added"), "{}", added.text);
    hilde.post("/v3/account/3pid/delete", delete).await.ok();
    assert_eq!(numbers(&hilde).await, ["491701234568"]);

    let mut again = Browser::new(&network);
    assert_eq!(prove(&network, &mut again, OTHER).await.location, ACCOUNT);
    assert_eq!(user_of(&mut again).await, user_id);
    assert_eq!(hilde.get("/v3/joined_rooms").await.ok(), json!({ "joined_rooms": [room] }));
    let mut stranger = Browser::new(&network);
    sign_up(&network, &mut stranger, NUMBER, "Ida").await;
    assert_ne!(user_of(&mut stranger).await, user_id);
}

#[tokio::test]
async fn who_gets_a_number_of_a_protected_account_inherits_nothing() {
    let network = open().await;
    let mut browser = Browser::new(&network);
    sign_up(&network, &mut browser, NUMBER, "Hilde").await;
    let first_id = user_of(&mut browser).await;
    set_password(&mut browser).await;
    let first = app_of(&network, &mut browser, &first_id).await;
    let room = first.create_room(json!({})).await;

    let mut second = Browser::new(&network);
    let asked = prove(&network, &mut second, NUMBER).await;
    assert!(!asked.text.contains("Hilde") && !asked.text.contains(&first_id), "{}", asked.text);
    let page = second.fill(WHATSAPP, &asked, NEW_ACCOUNT, &[("phone", NUMBER)]).await;
    let made = second.fill(WHATSAPP, &page, NAME, &[("phone", NUMBER), ("name", "Ida")]).await;
    assert_eq!(made.location, ACCOUNT, "{}", made.text);
    let second_id = user_of(&mut second).await;
    assert_ne!(second_id, first_id);
    let ida = app_of(&network, &mut second, &second_id).await;
    assert_eq!(numbers(&ida).await, ["491701234567"]);
    assert_eq!(ida.get("/v3/joined_rooms").await.ok(), json!({ "joined_rooms": [] }));
    ida.get(&format!("/v3/rooms/{room}/state")).await.fails(403, "M_FORBIDDEN");

    assert_eq!(numbers(&first).await, Vec::<String>::new());
    assert_eq!(first.get("/v3/joined_rooms").await.ok(), json!({ "joined_rooms": [room] }));
    // Without a number the account is opened by its name and password.
    let identifier = json!({ "type": "m.id.user", "user": first_id });
    let body = json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD });
    assert_eq!(post(&network, WHATSAPP, "/v3/login", body).await.ok()["user_id"], first_id);
}

#[tokio::test]
async fn a_number_of_an_account_that_nobody_used_begins_anew() {
    let network = open().await;
    let hilde = register(&network, NUMBER, "hilde").await;
    let room = hilde.create_room(json!({})).await;
    let friend = register(&network, OTHER, "friend").await;
    let book = [Address::phone_number(NUMBER).expect("a number")];
    let (accounts, here) = (&network.app.accounts, platform(&network, WHATSAPP));
    // Her app is used at once, which counts.
    let now_ts = now_ts();
    for (days, standing) in [(44, Standing::Open), (46, Standing::Free)] {
        let later_ts = now_ts + days * DAY_MS;
        let (session, code) = validate(&network, later_ts).await;
        accounts.validate_by_code(here.server_name(), &session, &code, later_ts).await.expect("right");
        let found = accounts.standing(here.server_name(), &session, later_ts).await.expect("proved");
        assert_eq!(found, standing, "after {days} days");
        let new = SignUp {
            display_name: Some("Ida".into()),
            evidence: Some(Evidence::Session(session)),
            ..SignUp::default()
        };
        let made = accounts.sign_up(&here, new, later_ts).await;
        let has_it = match standing {
            Standing::Open => {
                assert!(matches!(made, Err(AccountsError::AddressInUse)));
                hilde.user_id.clone()
            }
            _ => made.expect("made").user_id.to_string(),
        };
        let found = find(&friend, &book).await;
        assert_eq!(found.iter().map(|found| &found.user_id).collect::<Vec<_>>(), [&has_it]);
        assert_eq!(has_it == hilde.user_id, standing == Standing::Open);
    }
    assert_eq!(numbers(&hilde).await, Vec::<String>::new());
    assert_eq!(hilde.get("/v3/joined_rooms").await.ok(), json!({ "joined_rooms": [room] }));
}

#[tokio::test]
async fn a_number_in_use_makes_no_second_account() {
    let network = open().await;
    register(&network, NUMBER, "hilde").await;
    let sms = network.sms.count();
    let request =
        json!({ "client_secret": "apes", "country": "DE", "phone_number": NUMBER, "send_attempt": 1 });
    let sid = post(&network, WHATSAPP, "/v3/register/msisdn/requestToken", request).await.ok()["sid"].clone();
    let proof = json!({ "sid": sid, "client_secret": "apes", "token": code(&network, sms).await });
    post(&network, WHATSAPP, "/_linkspan/client/v1/submit_code", proof).await.ok();
    let creds = json!({ "sid": sid, "client_secret": "apes" });
    let auth = json!({ "type": "m.login.msisdn", "threepid_creds": creds });
    post(&network, WHATSAPP, "/v3/register", json!({ "auth": auth })).await.fails(400, "M_THREEPID_IN_USE");
}

#[tokio::test]
async fn who_has_no_password_proves_the_number_again() {
    let network = open().await;
    let hilde = register(&network, NUMBER, "hilde").await;
    register(&network, OTHER, "ida").await;
    let delete = |auth: Value| hilde.post("/v3/delete_devices", json!({ "devices": ["NONE"], "auth": auth }));
    let stages = delete(Value::Null).await;
    assert_eq!(
        (stages.status.as_u16(), &stages.json["flows"]),
        (401, &json!([{ "stages": ["m.login.msisdn"] }]))
    );
    let of_another = confirm(&network, WHATSAPP, "register", OTHER).await;
    assert_eq!(delete(msisdn_auth(&of_another)).await.status, 401, "the number is another's");
    let sid = confirm(&network, WHATSAPP, "register", NUMBER).await;
    delete(msisdn_auth(&sid)).await.ok();
    assert_eq!(delete(msisdn_auth(&sid)).await.status, 401, "once");

    // So a number is changed without the pages, too.
    let new = confirm(&network, WHATSAPP, "account/3pid", "+491701239999").await;
    let sid = confirm(&network, WHATSAPP, "register", NUMBER).await;
    let add = json!({ "sid": new, "client_secret": "monkeys", "auth": msisdn_auth(&sid) });
    hilde.post("/v3/account/3pid/add", add).await.ok();
    assert_eq!(numbers(&hilde).await, ["491701234567", "491701239999"]);
}

#[tokio::test]
async fn elsewhere_a_number_logs_in_with_the_password_and_resets_it() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let sid = confirm(&network, INSTAGRAM, "account/3pid", NUMBER).await;
    let add = json!({ "sid": sid, "client_secret": "monkeys", "auth": password_auth(&anna) });
    anna.post("/v3/account/3pid/add", add).await.ok();
    assert_eq!(numbers(&anna).await, ["491701234567"]);
    let log_in = |platform: &'static str, identifier: Value, password: &'static str| {
        let body = json!({ "type": "m.login.password", "identifier": identifier, "password": password });
        let network = &network;
        async move { post(network, platform, "/v3/login", body).await }
    };
    let phone = json!({ "type": "m.id.phone", "country": "DE", "phone": "0170 1234567" });
    for identifier in [
        phone.clone(),
        json!({ "type": "m.id.thirdparty", "medium": "msisdn", "address": "491701234567" }),
        json!({ "type": "m.id.user", "user": NUMBER }),
    ] {
        let session = log_in(INSTAGRAM, identifier.clone(), PASSWORD).await.ok();
        assert_eq!(session["user_id"], anna.user_id);
        log_in(INSTAGRAM, identifier.clone(), "something else").await.fails(403, "M_FORBIDDEN");
        log_in(MESSENGER, identifier, PASSWORD).await.fails(403, "M_FORBIDDEN");
    }
    let bad = json!({ "type": "m.id.phone", "country": "XX", "phone": "1" });
    log_in(INSTAGRAM, bad, PASSWORD).await.fails(403, "M_FORBIDDEN");

    let sid = confirm(&network, INSTAGRAM, "account/password", NUMBER).await;
    let reset = json!({ "new_password": NEW_PASSWORD, "auth": msisdn_auth(&sid) });
    post(&network, INSTAGRAM, "/v3/account/password", reset.clone()).await.ok();
    log_in(INSTAGRAM, phone, NEW_PASSWORD).await.ok();
    assert_eq!(post(&network, INSTAGRAM, "/v3/account/password", reset).await.status, 401, "once");

    // The same on the pages.
    let (mut browser, sms) = (Browser::new(&network), network.sms.count());
    let page = browser.get(INSTAGRAM, "/_linkspan/forgot-password").await;
    let sent = browser.fill(INSTAGRAM, &page, "/_linkspan/forgot-password", &[("phone", NUMBER)]).await;
    let code = code(&network, sms).await;
    let values = [("phone", NUMBER), ("code", &code)];
    let asked = browser.fill(INSTAGRAM, &sent, "/_linkspan/forgot-password/code", &values).await;
    assert!(asked.text.contains("Choose a new password"), "{}", asked.text);
    let new = [("by", "code"), ("phone", NUMBER), ("new_password", PASSWORD), ("new_password2", PASSWORD)];
    let done = browser.fill(INSTAGRAM, &asked, "/_linkspan/new-password", &new).await;
    assert_eq!(done.location, ACCOUNT, "{}", done.text);
    let again = browser.fill(INSTAGRAM, &asked, "/_linkspan/new-password", &new).await;
    assert_ne!(again.status, 303, "{}", again.text);
}

/// Its owner may have given it back, and somebody else has it now.
#[tokio::test]
async fn elsewhere_a_number_opens_no_account_that_nobody_used() {
    let network = open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let sid = confirm(&network, INSTAGRAM, "account/3pid", NUMBER).await;
    let add = json!({ "sid": sid, "client_secret": "monkeys", "auth": password_auth(&anna) });
    anna.post("/v3/account/3pid/add", add).await.ok();
    let (accounts, here) = (&network.app.accounts, platform(&network, INSTAGRAM));
    let now_ts = now_ts();
    let ask = async |secret: &str, later_ts| {
        let request = ValidationRequest {
            purpose: ValidationPurpose::ResetPassword,
            id: ThirdPartyId::phone("DE", NUMBER).expect("a number"),
            client_secret: secret.into(),
            send_attempt: 1,
            next_link: None,
            page: String::new(),
            by_page: true,
            from: [127, 0, 0, 1].into(),
        };
        let sid = accounts.request_validation(&here, request, later_ts).await.expect("sent");
        ValidationSession { sid, client_secret: secret.into() }
    };
    let (sms, late_ts) = (network.sms.count(), now_ts + 45 * DAY_MS);
    let in_time_ts = late_ts - 600_000;
    let session = ask("in time", in_time_ts).await;
    let code = code(&network, sms).await;
    ask("late", late_ts).await;
    assert!(network.sms.nth(sms + 1).await.text.contains("no account there has this number"));
    accounts.validate_by_code(here.server_name(), &session, &code, in_time_ts).await.expect("right");
    let evidence = Evidence::Session(session);
    let reset = |ts| accounts.reset_password_on_page(&here, NEW_PASSWORD.into(), &evidence, ts);
    let late = reset(late_ts).await;
    assert!(
        matches!(late, Err(AccountsError::AddressNotValidated)),
        "the code was right, but now it is too late"
    );
    reset(in_time_ts).await.expect("she has forgotten it");
}

/// A user who removes all numbers at once keeps one of them.
#[tokio::test]
async fn nobody_removes_the_last_number_by_doing_two_things_at_once() {
    let network = open().await;
    let hilde = register(&network, NUMBER, "hilde").await;
    let (accounts, here) = (&network.app.accounts, platform(&network, WHATSAPP));
    let user_id: OwnedUserId = hilde.user_id.as_str().try_into().expect("a user id");
    let [one, other] = [NUMBER, OTHER].map(|number| ThirdPartyId::phone("DE", number).expect("a number"));
    for round in 0..20 {
        let has: Vec<_> = numbers(&hilde).await;
        let missing = if has == ["491701234567"] { OTHER } else { NUMBER };
        let id = ThirdPartyId::phone("DE", missing).expect("a number");
        // A number gets some messages in an hour.
        let (now_ts, sms) = (now_ts() + round * 3_600_000, network.sms.count());
        let (page, from) = (String::new(), [127, 0, 0, 1].into());
        let asked = accounts.request_own_id(&here, &user_id, id.clone(), page, from, now_ts);
        asked.await.expect("sent");
        let user = ProvedUser { user_id: user_id.clone(), password_stamp: PasswordStamp(None) };
        accounts.add_own_id_by_code(&user, &id, &code(&network, sms).await, now_ts).await.expect("added");
        let (one, other) = tokio::join!(
            accounts.delete_third_party_id(&here, &user_id, &one),
            accounts.delete_third_party_id(&here, &user_id, &other),
        );
        assert!(one.is_ok() ^ other.is_ok(), "{one:?} {other:?}");
        assert_eq!(numbers(&hilde).await.len(), 1);
    }
}

#[tokio::test]
async fn messages_are_limited_by_number_range_network_and_platform() {
    let open = async |network: u32, range: u32, platform: u32| {
        Network::changed(|one| {
            sends_sms(one);
            one.rate_limits = true;
            (one.limits.registration, one.limits.login) = (0.0, 0.0);
            one.limits.codes_of_network = network;
            one.limits.codes_of_range = range;
            one.limits.codes_of_platform = platform;
        })
        .await
    };
    let ask = async |network: &Network, from: u8, number: &str, attempt: u64| {
        let body = token_request(number, attempt);
        let path = "/v3/register/msisdn/requestToken";
        let answer = network.call_from([10, 0, 0, from], INSTAGRAM, None, Method::POST, path, body).await;
        if answer.status == 429 {
            assert!(answer.json["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{}", answer.json);
        }
        answer.status.as_u16()
    };
    let many = open(100, 100, 100).await;
    for network in 1..=3 {
        for attempt in 1..=5 {
            assert_eq!(ask(&many, network, NUMBER, u64::from(network) * 10 + attempt).await, 200);
        }
        assert_eq!(ask(&many, network, NUMBER, 40).await, 429, "five for each number and network");
    }
    assert_eq!(ask(&many, 9, NUMBER, 50).await, 429, "fifteen for each number");
    assert_eq!(ask(&many, 9, OTHER, 1).await, 200);

    let by_network = open(1, 100, 100).await;
    assert_eq!(ask(&by_network, 1, NUMBER, 1).await, 200);
    assert_eq!(ask(&by_network, 1, "+491711234567", 1).await, 429);
    assert_eq!(ask(&by_network, 2, "+491711234567", 1).await, 200);

    let by_range = open(100, 1, 100).await;
    assert_eq!(ask(&by_range, 1, NUMBER, 1).await, 200);
    assert_eq!(ask(&by_range, 2, OTHER, 1).await, 429);
    assert_eq!(ask(&by_range, 2, "+491711234567", 1).await, 200);

    let by_platform = open(100, 100, 1).await;
    assert_eq!(ask(&by_platform, 1, NUMBER, 1).await, 200);
    assert_eq!(ask(&by_platform, 2, "+491711234567", 1).await, 429);
    let elsewhere =
        post(&by_platform, MESSENGER, "/v3/register/msisdn/requestToken", token_request(NUMBER, 1));
    elsewhere.await.ok();
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let network = open().await;
    let ask = |body: Value| {
        let network = &network;
        async move { post(network, WHATSAPP, "/v3/register/msisdn/requestToken", body).await }
    };
    let with = |key: &str, value: Value| {
        let mut body = token_request(NUMBER, 1);
        body[key] = value;
        body
    };
    ask(json!({})).await.fails(400, "M_MISSING_PARAM");
    ask(with("phone_number", json!("110"))).await.fails(400, "M_INVALID_PARAM");
    ask(with("phone_number", json!(7))).await.fails(400, "M_BAD_JSON");
    ask(with("country", json!("Germany"))).await.fails(400, "M_INVALID_PARAM");
    ask(with("client_secret", json!("a b"))).await.fails(400, "M_BAD_JSON");
    ask(with("send_attempt", json!(-1))).await.fails(400, "M_BAD_JSON");
    post(&network, WHATSAPP, "/_linkspan/client/v1/submit_code", json!({ "sid": "a" }))
        .await
        .fails(400, "M_MISSING_PARAM");
    assert!(!submit(&network, WHATSAPP, &"a".repeat(60_000), "123456").await);
    assert_eq!(network.sms.count(), 0);
}
