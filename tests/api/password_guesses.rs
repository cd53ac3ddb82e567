//! Guessing passwords. Every place that checks a password counts as logging in, for the account and for the
//! address.

use http::Method;
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::{
    network::{Answer, Client, INSTAGRAM, Network, PASSWORD, text},
    oauth_browser::Browser,
    olm::Identity,
};

/// How many guesses fit before waiting begins. None comes back while a test lasts.
const BURST: u8 = 3;

async fn limited() -> Network {
    Network::with_limits(&format!(
        "login = 0.0001\nlogin_burst = {BURST}\nregistration = 1000\nregistration_burst = 1000"
    ))
    .await
}

/// A place that wants the password of somebody who is logged in.
type Place = (Method, &'static str, fn(&Client) -> Value);

const PLACES: [Place; 7] = [
    (Method::POST, "/v3/keys/device_signing/upload", |who| Identity::new(who).upload()),
    (Method::DELETE, "/v3/devices/NONE", |_| json!({})),
    (Method::POST, "/v3/delete_devices", |_| json!({ "devices": ["NONE"] })),
    (Method::POST, "/v3/account/password", |_| json!({ "new_password": "another one of many words" })),
    (Method::POST, "/v3/account/deactivate", |_| json!({})),
    (Method::POST, "/v3/account/3pid/add", |_| json!({ "sid": "sid", "client_secret": "secret" })),
    (Method::POST, "/v1/login/get_token", |_| json!({})),
];

async fn ask(network: &Network, who: &Client, place: &Place, from: u8, auth: Option<Value>) -> Answer {
    let (method, path, body) = place;
    let mut body = body(who);
    if let Some(auth) = auth {
        body["auth"] = auth;
    }
    network.call_from([127, 0, 1, from], INSTAGRAM, Some(&who.token), method.clone(), path, body).await
}

fn proof(who: &Client, asked: &Answer, password: &str) -> Value {
    json!({
        "type": "m.login.password", "password": password, "session": asked.json["session"],
        "identifier": { "type": "m.id.user", "user": who.user_id },
    })
}

async fn log_in(network: &Network, user: &str, from: u8, password: &str) -> Answer {
    let body = json!({
        "type": "m.login.password", "password": password,
        "identifier": { "type": "m.id.user", "user": user },
    });
    network.call_from([127, 0, 1, from], INSTAGRAM, None, Method::POST, "/v3/login", body).await
}

#[track_caller]
fn is_limited(answer: Answer) {
    assert!(answer.json["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{}", answer.json);
    answer.fails(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn whoever_is_asked_for_a_password_may_guess_a_few_times() {
    let network = limited().await;
    for (number, place) in (1..).zip(&PLACES) {
        let anna = network.register(INSTAGRAM, &format!("anna{number}")).await;
        let session = log_in(&network, &anna.user_id, 50 + number, PASSWORD).await.ok();
        let tablet = network.client(INSTAGRAM, &session);
        let other = network.register(INSTAGRAM, &format!("other{number}")).await;
        for user in [&anna, &other] {
            user.post("/v3/keys/device_signing/upload", Identity::new(user).upload()).await.ok();
        }
        let (here, there, yonder) = (number, 100 + number, 200 + number);
        // Asking what has to be proved is no guess.
        let mut asked = ask(&network, &anna, place, here, None).await;
        for _ in 0..2 * BURST {
            asked = ask(&network, &anna, place, here, None).await;
            assert_eq!(asked.status, 401, "{}: {}", place.1, asked.json);
        }
        for _ in 0..BURST {
            let guess = ask(&network, &anna, place, here, Some(proof(&anna, &asked, "a guess"))).await;
            assert_eq!((guess.status.as_u16(), text(&guess.json["errcode"])), (401, "M_FORBIDDEN".into()));
        }
        is_limited(ask(&network, &anna, place, here, Some(proof(&anna, &asked, "a guess"))).await);
        is_limited(ask(&network, &anna, place, here, Some(proof(&anna, &asked, PASSWORD))).await);
        // The account is limited from elsewhere too, on another device, at the other places, and for somebody
        // who logs in.
        for device in [&anna, &tablet] {
            for elsewhere in &PLACES {
                let asked = ask(&network, device, elsewhere, there, None).await;
                let right = proof(device, &asked, PASSWORD);
                is_limited(ask(&network, device, elsewhere, there, Some(right)).await);
            }
        }
        is_limited(log_in(&network, &anna.user_id, there, PASSWORD).await);
        // The address is the same for another account; that account from elsewhere is not limited.
        let asked = ask(&network, &other, place, here, None).await;
        is_limited(ask(&network, &other, place, here, Some(proof(&other, &asked, "a guess"))).await);
        let guess = ask(&network, &other, place, yonder, Some(proof(&other, &asked, "a guess"))).await;
        assert_eq!(guess.status, 401, "{}: {}", place.1, guess.json);
    }
}

#[tokio::test]
async fn strangers_guess_at_an_account_a_few_times_from_wherever() {
    let network = limited().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let home = 70;
    log_in(&network, &anna.user_id, home, PASSWORD).await.ok();
    for address in 1..=BURST {
        log_in(&network, &anna.user_id, address, "a guess").await.fails(403, "M_FORBIDDEN");
    }
    is_limited(log_in(&network, &anna.user_id, 50, "a guess").await);
    is_limited(log_in(&network, &anna.user_id, 51, PASSWORD).await);
    // They do not keep her out where she is logged in already, and there guesses are limited, too.
    log_in(&network, &anna.user_id, home, PASSWORD).await.ok();
    // An account that does not exist looks the same.
    for address in 1..=BURST {
        log_in(&network, "nobody", 100 + address, "a guess").await.fails(403, "M_FORBIDDEN");
    }
    is_limited(log_in(&network, "nobody", 150, "a guess").await);
    // Guesses by strangers do not keep her from what she does where she is logged in.
    let place = &PLACES[6];
    let asked = ask(&network, &anna, place, 60, None).await;
    ask(&network, &anna, place, 60, Some(proof(&anna, &asked, PASSWORD))).await.ok();
}

#[tokio::test]
async fn slow_guesses_at_an_account_have_an_end() {
    let network = Network::with_limits(&format!(
        "login = 1000\nlogin_burst = 1000\npassword_guesses_per_day = {BURST}"
    ))
    .await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let home = 70;
    log_in(&network, &anna.user_id, home, PASSWORD).await.ok();
    for user in [&anna.user_id, "nobody"] {
        for address in 1..=BURST {
            log_in(&network, user, address, "a guess").await.fails(403, "M_FORBIDDEN");
        }
        is_limited(log_in(&network, user, 50, "a guess").await);
    }
    for _ in 0..BURST {
        log_in(&network, &anna.user_id, home, PASSWORD).await.ok();
        log_in(&network, &anna.user_id, home, "a guess").await.fails(403, "M_FORBIDDEN");
    }
    is_limited(log_in(&network, &anna.user_id, home, "a guess").await);
}

#[tokio::test]
async fn a_right_password_counts_for_nothing() {
    let network = limited().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let place = &PLACES[2];
    let prove = async |from: u8, password: &str| {
        let asked = ask(&network, &anna, place, from, None).await;
        ask(&network, &anna, place, from, Some(proof(&anna, &asked, password))).await
    };
    for _ in 1..BURST {
        assert_eq!(prove(1, "a guess").await.status, 401);
    }
    for number in 0..2 * BURST {
        prove(1, PASSWORD).await.ok();
        log_in(&network, &anna.user_id, 10 + number, PASSWORD).await.ok();
    }
    assert_eq!(prove(1, "a guess").await.status, 401, "there is room for one more");
    is_limited(prove(1, PASSWORD).await);
}

#[tokio::test]
async fn guesses_that_come_at_once_are_no_more_than_others() {
    let network = limited().await;
    let anna = network.register(INSTAGRAM, "anna").await;
    let place = &PLACES[0];
    anna.post(place.1, Identity::new(&anna).upload()).await.ok();
    let asked = ask(&network, &anna, place, 1, None).await;
    let guesses = (0..20).map(|_| ask(&network, &anna, place, 1, Some(proof(&anna, &asked, "a guess"))));
    let answers = futures_util::future::join_all(guesses).await;
    let tried = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!(tried, usize::from(BURST));
}

#[tokio::test]
async fn pages_count_in_the_same_way() {
    let network = limited().await;
    // She is logged in nowhere, so that the browser is a stranger's.
    let name = INSTAGRAM.try_into().expect("a server name");
    let made = network.app.accounts.create_account(&name, "anna", PASSWORD.to_owned(), false, now_ts());
    let anna = made.await.expect("it is made");
    let path = "/_linkspan/log-in";
    for address in 1..=BURST {
        log_in(&network, anna.as_str(), address, "a guess").await.fails(403, "M_FORBIDDEN");
    }
    let mut browser = Browser::new(&network);
    let page = browser.get(INSTAGRAM, path).await;
    let values = [("user", "anna"), ("password", PASSWORD)];
    let answer = browser.fill(INSTAGRAM, &page, path, &values).await;
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert!(answer.text.contains("Please wait"), "{}", answer.text);

    // On the pages for accounts, it counts for the account that is logged in.
    for (path, shown) in [
        ("/_linkspan/account/password", "/_linkspan/account/password"),
        ("/_linkspan/account/deactivate", "/_linkspan/account?action=org.matrix.account_deactivate"),
    ] {
        let network = limited().await;
        let ben = network.register(INSTAGRAM, "ben").await;
        let mut browser = Browser::new(&network);
        browser.log_in(INSTAGRAM, "/_linkspan/log-in", "ben").await;
        let place = &PLACES[6];
        let asked = ask(&network, &ben, place, 1, None).await;
        for _ in 0..BURST {
            let guess = ask(&network, &ben, place, 1, Some(proof(&ben, &asked, "a guess"))).await;
            assert_eq!(guess.status, 401, "{}", guess.json);
        }
        let page = browser.get(INSTAGRAM, shown).await;
        let new = "another one of many words";
        let values = [("password", PASSWORD), ("new_password", new), ("new_password2", new)];
        let answer = browser.fill(INSTAGRAM, &page, path, &values).await;
        assert_eq!(answer.status, 429, "{path}: {}", answer.text);
    }
}
