//! The pages of a platform by plain HTTP: signing up and new passwords by mail, e-mail addresses, pages that
//! do not exist, and limits.
//!
//! `tests/clients/pages.rs` visits the pages in a real browser.

use http::{Method, Request, header};
use serde_json::json;

use crate::{
    network::{INSTAGRAM, MESSENGER, Network, encoded},
    oauth_browser::{Browser, PASSWORD, Page, authorise},
};

const WITH_MAILS: &str = "email = { smtp = 'smtp://localhost', from = 'robot@example.org' }";
const LOG_IN: &str = "/_linkspan/log-in";
const REGISTER: &str = "/_linkspan/register";
const FORGOT: &str = "/_linkspan/forgot-password";
const NEW_PASSWORD: &str = "/_linkspan/new-password";
const ACCOUNT: &str = "/_linkspan/account";
const ADD_EMAIL: &str = "/_linkspan/account/add-email";
const CONFIRM_EMAIL: &str = "/_linkspan/account/confirm-email";

/// A new password, as the forms ask for it.
const NEW: [(&str, &str); 2] =
    [("new_password", "another battery staple"), ("new_password2", "another battery staple")];

/// Platforms that send mails. If `required`, people who sign up have to confirm an address.
async fn open(required: bool) -> Network {
    let verify = if required { "identity = 'account'\nverify = true" } else { "" };
    Network::open_with(&format!("{WITH_MAILS}\n{verify}")).await
}

/// The path of the link in a mail.
async fn link(network: &Network, number: usize) -> String {
    let mail = network.mails.nth(number).await;
    let link = mail.text.lines().find(|line| line.starts_with("http"));
    let link = link.unwrap_or_else(|| panic!("there is no link in {}", mail.text));
    link.strip_prefix(&format!("http://{INSTAGRAM}")).expect("it leads to the platform").to_owned()
}

/// Fills in the form that a link in a mail has opened.
async fn fill(browser: &mut Browser, page: &Page, path: &str, values: &[(&str, &str)]) -> Page {
    let (sid, token) = (page.hidden("sid"), page.hidden("token"));
    let link = [("sid", sid.as_str()), ("token", token.as_str())];
    let values: Vec<_> = link.into_iter().chain(values.iter().copied()).collect();
    browser.fill(INSTAGRAM, page, path, &values).await
}

/// Asks for a mail on a page. Returns what the page says.
async fn ask(browser: &mut Browser, path: &str, address: &str) -> Page {
    let page = browser.get(INSTAGRAM, path).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let path = path.split('?').next().unwrap_or_default();
    browser.fill(INSTAGRAM, &page, path, &[("email", address)]).await
}

/// Signs up where an address is required.
async fn sign_up(network: &Network, browser: &mut Browser, name: &str, address: &str) -> Page {
    let number = network.mails.count();
    ask(browser, REGISTER, address).await;
    let page = browser.get(INSTAGRAM, &link(network, number).await).await;
    let user = [("user", name), ("new_password", PASSWORD), ("new_password2", PASSWORD)];
    fill(browser, &page, REGISTER, &user).await
}

async fn logs_in(network: &Network, user: &str, password: &str) -> bool {
    let identifier = json!({ "type": "m.id.user", "user": user });
    let body = json!({ "type": "m.login.password", "identifier": identifier, "password": password });
    network.call(INSTAGRAM, None, Method::POST, "/v3/login", Some(body)).await.status == 200
}

#[tokio::test]
async fn an_account_is_made_by_mail_and_its_app_is_gone_on_to() {
    let network = open(true).await;
    let mut browser = Browser::new(&network);
    let client = browser.register_client(INSTAGRAM).await;
    let page = browser.get(INSTAGRAM, &authorise(&client, "PHONE", &[("prompt", "create")])).await;
    let sent = ask(&mut browser, &page.location, "Anna@Example.org").await;
    assert!(
        sent.text.contains("Check your email") && sent.text.contains("Anna@Example.org"),
        "{}",
        sent.text
    );

    let path = link(&network, 0).await;
    let page = browser.get(INSTAGRAM, &path).await;
    assert!(page.text.contains("anna@example.org") && page.text.contains("example.org)"), "{}", page.text);
    let taken = [("user", "Not a name!"), NEW[0], NEW[1]];
    assert_eq!(fill(&mut browser, &page, REGISTER, &taken).await.status, 422, "a mistake does not use it up");
    let user = [("user", "anna"), NEW[0], NEW[1]];
    let mut before = browser.clone();
    let done = fill(&mut browser, &page, REGISTER, &user).await;
    assert!(done.location.starts_with("/_linkspan/oauth2/authorize?"), "{} {}", done.location, done.text);
    let consent = browser.get(INSTAGRAM, &done.location).await;
    assert!(consent.text.contains("@anna:instagram.localhost"), "{}", consent.text);
    assert!(logs_in(&network, "anna@example.org", NEW[0].1).await);

    // The link is used up, and an address has one account.
    assert_eq!(browser.get(INSTAGRAM, &path).await.status, 404);
    let again = [("user", "second"), NEW[0], NEW[1]];
    assert_eq!(fill(&mut before, &page, REGISTER, &again).await.status, 404);
    assert!(!logs_in(&network, "second", NEW[0].1).await);
    let told = ask(&mut Browser::new(&network), REGISTER, "anna@example.org").await;
    assert!(told.text.contains("Check your email"), "only the mail tells: {}", told.text);
    assert!(network.mails.nth(1).await.subject.contains("in use"));
}

/// The code in a mail.
async fn code(network: &Network, number: usize) -> String {
    let mail = network.mails.nth(number).await;
    let code =
        mail.text.split("the code ").nth(1).unwrap_or_else(|| panic!("there is no code in {}", mail.text));
    code.chars().take_while(char::is_ascii_digit).collect()
}

#[tokio::test]
async fn an_account_is_made_by_the_code_of_a_mail_in_the_browser_that_asked() {
    let network = open(true).await;
    let mut browser = Browser::new(&network);
    let next = format!("{REGISTER}?next={}", encoded("/_linkspan/account/password"));
    let sent = ask(&mut browser, &next, "anna@example.org").await;
    let code = code(&network, 0).await;
    let typed = |code| [("email", "anna@example.org"), ("code", code)];
    let path = "/_linkspan/register/code";
    assert_eq!(browser.fill(INSTAGRAM, &sent, path, &typed("000")).await.status, 422);
    let mut other = Browser::new(&network);
    let elsewhere = other.get(INSTAGRAM, REGISTER).await;
    assert_eq!(other.fill(INSTAGRAM, &elsewhere, path, &typed(&code)).await.status, 422);
    let form = [
        ("by", "code"),
        ("email", "anna@example.org"),
        ("name", "Anna Berg"),
        ("user", "anna"),
        NEW[0],
        NEW[1],
    ];
    assert_eq!(browser.fill(INSTAGRAM, &sent, REGISTER, &form).await.status, 404, "it is not confirmed yet");
    let page = browser.fill(INSTAGRAM, &sent, path, &typed(&code)).await;
    assert!(page.text.contains("You've confirmed") && page.text.contains("Your name"), "{}", page.text);
    let done = browser.fill(INSTAGRAM, &page, REGISTER, &form).await;
    assert_eq!(done.location, "/_linkspan/account/password", "{}", done.text);
    assert!(logs_in(&network, "anna@example.org", NEW[0].1).await);
    assert!(browser.get(INSTAGRAM, ACCOUNT).await.text.contains("value=\"Anna Berg\""));
    let link = link(&network, 0).await;
    assert_eq!(browser.get(INSTAGRAM, &link).await.status, 404, "the link is used up with it");
}

#[tokio::test]
async fn a_new_account_is_called_by_its_user_name_until_it_says_otherwise() {
    let network = open(false).await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let profile = anna.get(&format!("/v3/profile/{}", anna.user_id)).await.ok();
    assert_eq!(profile, json!({ "displayname": "anna" }));
    let mut browser = Browser::new(&network);
    let page = browser.get(INSTAGRAM, REGISTER).await;
    let long = "x".repeat(300);
    let called = |name| [("name", name), ("user", "ben"), NEW[0], NEW[1]];
    assert_eq!(browser.fill(INSTAGRAM, &page, REGISTER, &called(&long)).await.status, 422);
    assert_eq!(browser.fill(INSTAGRAM, &page, REGISTER, &called("Ben Okafor")).await.location, ACCOUNT);
    let found = anna.post("/v3/user_directory/search", json!({ "search_term": "okafor" })).await.ok();
    assert_eq!(found["results"][0]["display_name"], "Ben Okafor", "{found}");
}

#[tokio::test]
async fn single_sign_on_is_gone_on_to_as_well() {
    let network = open(true).await;
    let mut browser = Browser::new(&network);
    // As long as it may be.
    let uri = format!("https://old.example/?{}", "%20".repeat(600));
    let redirect = format!("/_linkspan/sso?action=register&redirectUrl={}", encoded(&uri));
    let page = browser.get(INSTAGRAM, &redirect).await;
    assert!(page.location.starts_with(REGISTER), "{}", page.location);
    let sent = ask(&mut browser, &page.location, "anna@example.org").await;
    assert!(sent.text.contains("Check your email"), "{}", sent.text);
    let page = browser.get(INSTAGRAM, &link(&network, 0).await).await;
    let done = fill(&mut browser, &page, REGISTER, &[("user", "anna"), NEW[0], NEW[1]]).await;
    assert!(done.location.starts_with("/_linkspan/sso?redirectUrl="), "{} {}", done.location, done.text);
    assert!(browser.get(INSTAGRAM, &done.location).await.text.contains("Log in to old.example?"));
}

#[tokio::test]
async fn a_link_works_in_another_browser_but_leads_that_one_nowhere_else() {
    let network = open(true).await;
    let mut first = Browser::new(&network);
    let next = format!("{REGISTER}?next={}", encoded("/_linkspan/account/password"));
    ask(&mut first, &next, "anna@example.org").await;
    let mut second = Browser::new(&network);
    let page = second.get(INSTAGRAM, &link(&network, 0).await).await;
    let done = fill(&mut second, &page, REGISTER, &[("user", "anna"), NEW[0], NEW[1]]).await;
    assert_eq!((done.status, done.location.as_str()), (303, ACCOUNT));
    assert_eq!(
        first.get(INSTAGRAM, ACCOUNT).await.status,
        303,
        "who asked for the mail is not logged in by it"
    );
    assert_eq!(second.get(INSTAGRAM, ACCOUNT).await.status, 200);
}

#[tokio::test]
async fn without_the_mail_there_is_no_account() {
    let network = open(true).await;
    let mut browser = Browser::new(&network);
    ask(&mut browser, REGISTER, "anna@example.org").await;
    let page = browser.get(INSTAGRAM, REGISTER).await;
    let user = [("user", "anna"), ("email", "anna@example.org"), NEW[0], NEW[1]];
    browser.fill(INSTAGRAM, &page, REGISTER, &user).await;
    let forged = [("sid", "x"), ("token", "y"), ("user", "anna"), NEW[0], NEW[1]];
    assert_eq!(browser.fill(INSTAGRAM, &page, REGISTER, &forged).await.status, 404);
    assert!(!logs_in(&network, "anna", NEW[0].1).await);
}

#[tokio::test]
async fn an_address_may_be_left_out_where_it_is_optional() {
    let network = open(false).await;
    let mut browser = Browser::new(&network);
    let page = browser.get(INSTAGRAM, REGISTER).await;
    let wrong = [("user", "anna"), ("email", "no address"), NEW[0], NEW[1]];
    assert_eq!(browser.fill(INSTAGRAM, &page, REGISTER, &wrong).await.status, 422);
    let without = browser.fill(INSTAGRAM, &page, REGISTER, &[("user", "ben"), NEW[0], NEW[1]]).await;
    assert_eq!(without.location, ACCOUNT, "{}", without.text);

    let mut browser = Browser::new(&network);
    let page = browser.get(INSTAGRAM, REGISTER).await;
    let with = [("user", "anna"), ("email", "anna@example.org"), NEW[0], NEW[1]];
    assert_eq!(browser.fill(INSTAGRAM, &page, REGISTER, &with).await.location, ACCOUNT);
    assert!(!logs_in(&network, "anna@example.org", NEW[0].1).await, "it is not confirmed yet");
    let page = browser.get(INSTAGRAM, &link(&network, 0).await).await;
    assert_eq!(fill(&mut browser, &page, CONFIRM_EMAIL, &[]).await.status, 303);
    assert!(logs_in(&network, "anna@example.org", NEW[0].1).await);
}

#[tokio::test]
async fn who_forgot_the_password_chooses_another_by_mail() {
    let network = open(true).await;
    sign_up(&network, &mut Browser::new(&network), "anna", "anna@example.org").await;
    let session = network
        .call(
            INSTAGRAM,
            None,
            Method::POST,
            "/v3/login",
            Some(json!({
                "type": "m.login.password", "password": PASSWORD,
                "identifier": { "type": "m.id.user", "user": "anna" },
            })),
        )
        .await
        .ok();
    let app = network.client(INSTAGRAM, &session);

    let mut browser = Browser::new(&network);
    let client = browser.register_client(INSTAGRAM).await;
    let page = browser.get(INSTAGRAM, &authorise(&client, "PHONE", &[])).await;
    let log_in = browser.get(INSTAGRAM, &page.location).await;
    assert!(log_in.text.contains("Forgot password?"), "{}", log_in.text);
    let forgot = page.location.replace(LOG_IN, FORGOT);
    let known = ask(&mut browser, &forgot, "anna@example.org").await;
    let path = link(&network, 1).await;
    let unknown = ask(&mut browser, &forgot, "nobody@example.org").await;
    let same = known.text.replace("anna@", "nobody@");
    assert_eq!(same, unknown.text, "the page does not tell who has an account");
    assert!(network.mails.nth(2).await.subject.contains("no account"));

    // The code of the mail does the same, once it is typed.
    let mut by_code = Browser::new(&network);
    let sent = ask(&mut by_code, FORGOT, "anna@example.org").await;
    let code = code(&network, 3).await;
    let typed = [("email", "anna@example.org"), ("code", code.as_str())];
    let page = by_code.fill(INSTAGRAM, &sent, "/_linkspan/forgot-password/code", &typed).await;
    let other = ("new_password", "a third battery staple");
    let values = [("by", "code"), typed[0], other, ("new_password2", other.1)];
    assert_eq!(by_code.fill(INSTAGRAM, &page, NEW_PASSWORD, &values).await.location, ACCOUNT);
    assert!(logs_in(&network, "anna", other.1).await);
    let page = browser.get(INSTAGRAM, &path).await;
    for bad in
        [[NEW[0], ("new_password2", "something else")], [("new_password", "x"), ("new_password2", "x")]]
    {
        assert_eq!(fill(&mut browser, &page, NEW_PASSWORD, &bad).await.status, 422);
    }
    let forged = browser.post(INSTAGRAM, NEW_PASSWORD, &NEW).await;
    assert_eq!(forged.status, 403, "a form proves where it is from");
    assert!(logs_in(&network, "anna", other.1).await, "nothing has changed until now");
    let mut before = browser.clone();
    let done = fill(&mut browser, &page, NEW_PASSWORD, &NEW).await;
    assert!(done.location.starts_with("/_linkspan/oauth2/authorize?"), "{} {}", done.location, done.text);
    assert_eq!(browser.get(INSTAGRAM, &done.location).await.status, 200);
    assert!(logs_in(&network, "anna", NEW[0].1).await && !logs_in(&network, "anna", other.1).await);
    app.get("/v3/account/whoami").await.fails(401, "M_UNKNOWN_TOKEN");
    assert_eq!(browser.get(INSTAGRAM, &path).await.status, 404, "the link works once");
    assert_eq!(fill(&mut before, &page, NEW_PASSWORD, &NEW).await.status, 404);
}

#[tokio::test]
async fn a_link_is_good_for_one_purpose_and_on_one_platform() {
    let network = open(true).await;
    let mut browser = Browser::new(&network);
    sign_up(&network, &mut browser, "anna", "anna@example.org").await;
    ask(&mut Browser::new(&network), FORGOT, "anna@example.org").await;
    let path = link(&network, 1).await;
    let query = path.split_once('?').expect("it has a query").1;
    for (platform, page) in
        [(INSTAGRAM, REGISTER), (INSTAGRAM, CONFIRM_EMAIL), (MESSENGER, NEW_PASSWORD), (MESSENGER, REGISTER)]
    {
        let mut browser = browser.clone();
        let shown = browser.get(platform, &format!("{page}?{query}")).await;
        assert_eq!(shown.status, 404, "{platform} {page}: {}", shown.text);
    }
}

#[tokio::test]
async fn addresses_are_added_and_removed_on_the_account_page() {
    let network = open(false).await;
    network.register(INSTAGRAM, "anna").await;
    network.register(INSTAGRAM, "ben").await;
    let mut browser = Browser::new(&network);
    browser.log_in(INSTAGRAM, LOG_IN, "anna").await;
    let sent = ask(&mut browser, ADD_EMAIL, "anna@example.org").await;
    assert!(sent.text.contains("Check your email"), "{}", sent.text);
    let path = link(&network, 0).await;

    // Nobody else adds the address to their account by being sent the link.
    let mut other = Browser::new(&network);
    other.log_in(INSTAGRAM, LOG_IN, "ben").await;
    let page = other.get(INSTAGRAM, &path).await;
    let refused = fill(&mut other, &page, CONFIRM_EMAIL, &[]).await;
    assert!(refused.status == 422 && refused.text.contains("another account"), "{}", refused.text);

    // Another browser of the same account does.
    let mut phone = Browser::new(&network);
    let page = phone.get(INSTAGRAM, &path).await;
    let target = phone.log_in(INSTAGRAM, &page.location, "anna").await;
    let page = phone.get(INSTAGRAM, &target).await;
    let done = fill(&mut phone, &page, CONFIRM_EMAIL, &[]).await;
    assert_eq!(done.location, format!("{ACCOUNT}?done=email-added"), "{}", done.text);
    let account = browser.get(INSTAGRAM, ACCOUNT).await;
    assert!(account.text.contains("anna@example.org"), "{}", account.text);
    assert!(logs_in(&network, "anna@example.org", PASSWORD).await);
    assert_eq!(fill(&mut phone, &page, CONFIRM_EMAIL, &[]).await.status, 404, "once");

    let remove = "/_linkspan/account/remove-email";
    let address = [("email", "anna@example.org")];
    let others = other.get(INSTAGRAM, ACCOUNT).await;
    other.fill(INSTAGRAM, &others, remove, &address).await;
    assert!(logs_in(&network, "anna@example.org", PASSWORD).await, "nobody removes another's");
    browser.fill(INSTAGRAM, &account, remove, &address).await;
    assert!(!browser.get(INSTAGRAM, ACCOUNT).await.text.contains("anna@example.org"));
    assert!(!logs_in(&network, "anna@example.org", PASSWORD).await);
}

#[tokio::test]
async fn where_no_mails_are_sent_nothing_offers_them() {
    let network = Network::open().await;
    network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    assert!(!browser.get(INSTAGRAM, LOG_IN).await.text.contains("Forgot"));
    assert!(!browser.get(INSTAGRAM, REGISTER).await.text.contains("mail"));
    browser.log_in(INSTAGRAM, LOG_IN, "anna").await;
    assert!(!browser.get(INSTAGRAM, ACCOUNT).await.text.contains("mail"));
    for path in [FORGOT, NEW_PASSWORD, ADD_EMAIL] {
        assert_eq!(browser.get(INSTAGRAM, path).await.status, 404, "{path}");
    }
}

/// What a program or a browser gets at an address.
async fn get(network: &Network, method: Method, path: &str, accept: &str) -> (u16, String, String) {
    let request = Request::builder().method(method).uri(format!("http://{INSTAGRAM}{path}"));
    let request = request.header(header::HOST, INSTAGRAM).header(header::ACCEPT, accept);
    let answer = network.api.answer(request.body(axum::body::Body::empty()).expect("well formed")).await;
    let status = answer.status().as_u16();
    let kind = answer.headers()[header::CONTENT_TYPE].to_str().expect("text").to_owned();
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.expect("it arrives").to_bytes();
    (status, kind, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn mistyped_addresses_show_a_page_to_people_and_json_to_programs() {
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let network = Network::open().await;
    for path in ["/_linkspan/acount", "/_linkspan/account/", "/acount", "/_linkspan/oauth2/authorise"] {
        let (status, kind, body) = get(&network, Method::GET, path, BROWSER).await;
        assert_eq!((status, kind.as_str()), (404, "text/html; charset=utf-8"), "{path}: {body}");
        assert!(body.contains("Page not found") && body.contains("href=\"/_linkspan/account\""), "{body}");
        for accept in ["*/*", "application/json"] {
            let (status, kind, body) = get(&network, Method::GET, path, accept).await;
            assert_eq!((status, kind.as_str()), (404, "application/json"), "{path}: {body}");
            assert!(body.contains("M_UNRECOGNIZED"), "{body}");
        }
    }
    let (status, kind, _) = get(&network, Method::PUT, LOG_IN, BROWSER).await;
    assert_eq!((status, kind.as_str()), (405, "text/html; charset=utf-8"));
    let (status, kind, _) = get(&network, Method::PUT, LOG_IN, "*/*").await;
    assert_eq!((status, kind.as_str()), (405, "application/json"));
    // The API's own paths answer what clients understand, whoever asks.
    let (status, kind, _) = get(&network, Method::GET, "/_matrix/client/v3/nothing", BROWSER).await;
    assert_eq!((status, kind.as_str()), (404, "application/json"));
}

#[tokio::test]
async fn the_address_of_a_form_leads_to_its_page() {
    let network = Network::open().await;
    let mut browser = Browser::new(&network);
    let action = |name: &str| format!("{ACCOUNT}?action=org.matrix.{name}");
    for (form, page) in [
        ("/_linkspan/account/reset-encryption", action("cross_signing_reset")),
        ("/_linkspan/account/deactivate", action("account_deactivate")),
        ("/_linkspan/account/device", action("devices_list")),
        ("/_linkspan/account/profile", ACCOUNT.to_owned()),
        ("/_linkspan/account/remove-email", ACCOUNT.to_owned()),
        ("/_linkspan/log-out", LOG_IN.to_owned()),
    ] {
        let shown = browser.get(INSTAGRAM, form).await;
        assert_eq!((shown.status, shown.location), (303, page), "{form}");
    }
}

#[tokio::test]
async fn who_is_too_fast_is_told_how_long_to_wait_and_where_to_go_on() {
    let limits = "rate_limits = true\nlimits = { login = 0.02, login_burst = 1 }";
    let network = Network::open_with(limits).await;
    let mut browser = Browser::new(&network);
    let path = format!("{LOG_IN}?next={}", encoded("/_linkspan/account/password"));
    let page = browser.get(INSTAGRAM, &path).await;
    let wrong = [("user", "anna"), ("password", "wrong")];
    assert_eq!(browser.fill(INSTAGRAM, &page, LOG_IN, &wrong).await.status, 422);
    let limited = browser.fill(INSTAGRAM, &page, LOG_IN, &wrong).await;
    assert_eq!(limited.status, 429, "{}", limited.text);
    let wait = limited.text.split("Please wait ").nth(1).and_then(|rest| rest.split(' ').next());
    let wait: u64 =
        wait.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(|| panic!("{}", limited.text));
    assert!(
        (1..=50).contains(&wait) && limited.text.contains(" seconds, then try again."),
        "{}",
        limited.text
    );
    let back = format!("{LOG_IN}?next=%2F_linkspan%2Faccount%2Fpassword");
    assert!(limited.text.contains(&format!("href=\"{back}\"")), "{}", limited.text);
}

#[tokio::test]
async fn pages_say_for_which_app_and_sessions_are_told_apart() {
    let network = Network::open().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let mut browser = Browser::new(&network);
    let client = browser.register_client(INSTAGRAM).await;
    let page = browser.get(INSTAGRAM, &authorise(&client, "PHONE", &[])).await;
    for path in [&page.location, &page.location.replace(LOG_IN, REGISTER)] {
        let page = browser.get(INSTAGRAM, path).await;
        let app = "to continue to <strong>A &lt;b&gt;client&lt;/b&gt;</strong> (example.org)";
        assert!(page.text.contains(app) && page.text.contains("Instagram"), "{path}: {}", page.text);
    }
    let sso = format!("{LOG_IN}?next={}", encoded("/_linkspan/sso?redirectUrl=https://old.example/"));
    let page = browser.get(INSTAGRAM, &sso).await;
    assert!(page.text.contains("to continue to <strong>old.example</strong>"), "{}", page.text);

    for device in ["PHONE", "TABLET"] {
        browser.session(INSTAGRAM, "anna", device).await;
    }
    let list = browser.get(INSTAGRAM, ACCOUNT).await.text;
    for told in ["This session", "PHONE", "TABLET", &anna.device_id, "Web app", "Active just now"] {
        assert!(list.contains(told), "{told}: {list}");
    }
    let sessions = list.matches("Logged in just now").count();
    assert_eq!(sessions, 3, "{list}");
}
