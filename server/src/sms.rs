//! Sending SMS over an HTTP gateway, by the settings of each platform.
//!
//! What the gateway is asked, and how it knows that Linkspan asks, is in docs/guides/sms-gateway.md. A message that the
//! gateway could not take is sent again under the same id, a few times within a minute or two: a code is worth nothing
//! after ten.

use std::{collections::HashMap, time::Duration};

use linkspan_accounts::Sms as Message;
use linkspan_outbound::{Outbound, post_signed};
use linkspan_platforms::{Settings, Sms};
use linkspan_wire::now_ts;
use ruma::{OwnedServerName, ServerName};
use serde_json::json;
use tokio::time::Instant;
use url::Url;

use crate::Failure;

/// How long a gateway may take for one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a message is tried.
const MAX_TRIES: u32 = 6;
/// How long a message is tried.
const MAX_TIME: Duration = Duration::from_secs(120);
/// How long the second try waits; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The shortest secret without a warning, in bytes.
const SECRET_BYTES: usize = 16;

/// Sends the SMS of all platforms.
pub(crate) struct SmsSender {
    client: Outbound,
    gateways: HashMap<OwnedServerName, Gateway>,
    first_wait: Duration,
}

struct Gateway {
    url: Url,
    secret: String,
}

/// What came of a try.
enum Outcome {
    Taken,
    /// It will not be taken, however often it is tried.
    Refused(String),
    /// It may be taken later, but not before this time has passed.
    Failed {
        why: String,
        not_before: Duration,
    },
}

/// What is wrong with the settings of SMS. Each error comes with the key that it is about.
pub(crate) fn check(sms: &Sms) -> impl Iterator<Item = (&'static str, String)> {
    let secret = sms.secret.is_empty().then(|| "`secret` is empty: anybody could send SMS".to_owned());
    let wrong = [("gateway", gateway_url(sms).err()), ("secret", secret)];
    wrong.into_iter().filter_map(|(key, reason)| Some((key, reason?)))
}

/// What may not be what the operator wants.
pub(crate) fn doubt(sms: &Sms) -> Option<String> {
    (1..SECRET_BYTES).contains(&sms.secret.len()).then(|| {
        format!("`secret` has fewer than {SECRET_BYTES} characters: who guesses it sends SMS at your cost")
    })
}

fn gateway_url(sms: &Sms) -> Result<Url, String> {
    let url = Url::parse(&sms.gateway).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    // The URL may hold a password, so it is not repeated.
    url.ok_or_else(|| "`gateway` is not an http:// or https:// URL".to_owned())
}

impl SmsSender {
    /// Makes the sender for those platforms whose settings say how to send SMS.
    pub(crate) fn new(platforms: &[Settings]) -> Result<Self, Failure> {
        let with_sms = platforms.iter().filter_map(|platform| Some((platform, platform.sms.as_ref()?)));
        let gateways = with_sms.map(|(platform, sms)| {
            let gateway = Gateway { url: gateway_url(sms)?, secret: sms.secret.clone() };
            Ok((platform.server_name.clone(), gateway))
        });
        let gateways = gateways.collect::<Result<_, String>>().map_err(Failure::from)?;
        // The operator chose the gateway, which may be in the operator's own network.
        Ok(Self { client: Outbound::new(TIMEOUT, true), gateways, first_wait: FIRST_WAIT })
    }

    /// Sends a message of a platform, and tries again where that may help.
    pub(crate) async fn send(&self, platform: &ServerName, message: Message) -> Result<(), String> {
        let gateway = self.gateways.get(platform).ok_or("this platform sends no SMS")?;
        let Message { id, to, text } = message;
        let body = json!({ "id": id, "platform": platform, "to": to, "text": text }).to_string();
        let started = Instant::now();
        let mut tries = 0;
        loop {
            let (why, not_before) = match self.try_once(gateway, &body, now_ts()).await {
                Outcome::Taken => return Ok(()),
                Outcome::Refused(why) => return Err(why),
                Outcome::Failed { why, not_before } => (why, not_before),
            };
            tries += 1;
            let wait = next_wait(self.first_wait, tries, not_before, started.elapsed());
            let Some(wait) = wait else { return Err(format!("given up after {tries} tries: {why}")) };
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_once(&self, gateway: &Gateway, body: &str, now_ts: u64) -> Outcome {
        let client = match self.client.client_for(&gateway.url) {
            Ok(client) => client,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let request = post_signed(client, gateway.url.clone(), &gateway.secret, now_ts, body.to_owned());
        match request.send().await {
            Ok(answer) => {
                let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
                outcome_of(answer.status().as_u16(), retry_after)
            }
            // The address may hold a password, so it is left out.
            Err(error) => failed(error.without_url().to_string()),
        }
    }
}

fn failed(why: String) -> Outcome {
    Outcome::Failed { why, not_before: Duration::ZERO }
}

/// What a status means. `retry_after` is in seconds; as a date it is not understood.
fn outcome_of(status: u16, retry_after: Option<&str>) -> Outcome {
    let why = format!("the gateway answered {status}");
    match status {
        200..=299 => Outcome::Taken,
        429 | 500..=599 => {
            let seconds = retry_after.and_then(|seconds| seconds.trim().parse().ok()).unwrap_or_default();
            Outcome::Failed { why, not_before: Duration::from_secs(seconds) }
        }
        _ => Outcome::Refused(why),
    }
}

/// How long to wait after so many tries. None if it is given up.
fn next_wait(first: Duration, tries: u32, not_before: Duration, elapsed: Duration) -> Option<Duration> {
    let wait = first.saturating_mul(1 << (tries - 1).min(16)).max(not_before);
    (tries < MAX_TRIES && elapsed.saturating_add(wait) < MAX_TIME).then_some(wait)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{
        Router,
        extract::State,
        http::{HeaderMap, StatusCode},
        routing::post,
    };
    use linkspan_outbound::{SIGNATURE, TIMESTAMP, sign};
    use serde_json::Value;
    use tokio::net::TcpListener;

    use super::*;

    const GUIDE: &str = include_str!("../../docs/guides/sms-gateway.md");
    const SECRET: &str = "a secret of the operator";

    /// The status of an answer, and its `Retry-After`.
    type Answer = (u16, Option<&'static str>);
    /// The head and the body of a request.
    type Asked = (HeaderMap, String);

    /// A gateway that gives these answers in turn, and keeps what it was asked.
    #[derive(Clone, Default)]
    struct Fake {
        answers: Arc<Mutex<Vec<Answer>>>,
        asked: Arc<Mutex<Vec<Asked>>>,
    }

    async fn take(State(fake): State<Fake>, headers: HeaderMap, body: String) -> (StatusCode, HeaderMap) {
        fake.asked.lock().expect("nobody panicked").push((headers, body));
        let (status, retry_after) = fake.answers.lock().expect("nobody panicked").remove(0);
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert("retry-after", seconds.parse().expect("a value"));
        }
        (StatusCode::from_u16(status).expect("a status"), headers)
    }

    fn settings(gateway: &str, secret: &str) -> Settings {
        let sms = format!("[sms]\ngateway = '{gateway}'\nsecret = '{secret}'");
        toml::from_str(&format!("name = 'one'\nserver_name = 'one.localhost'\n{sms}")).expect("settings")
    }

    /// Sends a message to a gateway that gives these answers.
    async fn send(answers: &[Answer]) -> (Result<(), String>, Vec<Asked>) {
        let fake = Fake::default();
        fake.answers.lock().expect("nobody panicked").extend(answers);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().route("/send", post(take)).with_state(fake.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        let sent = send_to(&format!("http://{address}/send")).await;
        serving.abort();
        let asked = fake.asked.lock().expect("nobody panicked").clone();
        (sent, asked)
    }

    async fn send_to(gateway: &str) -> Result<(), String> {
        let platform = settings(gateway, SECRET);
        let mut sender = SmsSender::new(std::slice::from_ref(&platform)).expect("the settings are good");
        sender.first_wait = Duration::ZERO;
        let (id, to) = ("one".to_owned(), "+491701234567".to_owned());
        sender.send(&platform.server_name, Message { id, to, text: "123456 is your code".into() }).await
    }

    #[tokio::test]
    async fn a_message_is_signed_and_tried_again_under_the_same_id() {
        let (sent, asked) = send(&[(503, None), (429, Some("0")), (200, None)]).await;
        assert_eq!((sent, asked.len()), (Ok(()), 3));
        for (headers, body) in asked {
            let json: Value = serde_json::from_str(&body).expect("it is JSON");
            let expected = json!({
                "id": "one", "platform": "one.localhost", "to": "+491701234567", "text": "123456 is your code",
            });
            assert_eq!(json, expected);
            let timestamp = headers[TIMESTAMP].to_str().expect("a number");
            assert!(timestamp.parse::<u64>().expect("a number") > 1_700_000_000);
            assert_eq!(headers[SIGNATURE], sign(SECRET, timestamp, &body));
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_not_tried_again() {
        let (sent, asked) = send(&[(400, None)]).await;
        assert_eq!((sent, asked.len()), (Err("the gateway answered 400".to_owned()), 1));
    }

    #[tokio::test]
    async fn what_fails_is_given_up() {
        let (sent, asked) = send(&[(500, None); MAX_TRIES as usize]).await;
        assert!(sent.is_err_and(|why| why.contains("given up after 6 tries: the gateway answered 500")));
        assert_eq!(asked.len(), MAX_TRIES as usize);
        // Nobody listens there any more.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let sent = send_to(&format!("http://user:hidden@{address}/")).await;
        assert!(sent.is_err_and(|why| why.contains("given up") && !why.contains("hidden")));
    }

    #[test]
    fn waits_grow_and_end() {
        let wait = |tries, not_before: u64, elapsed: u64| {
            let (not_before, elapsed) = (Duration::from_secs(not_before), Duration::from_secs(elapsed));
            next_wait(FIRST_WAIT, tries, not_before, elapsed).map(|wait| wait.as_secs())
        };
        assert_eq!(
            [1, 2, 3, 4, 5, 6].map(|tries| wait(tries, 0, 0)),
            [Some(1), Some(2), Some(4), Some(8), Some(16), None]
        );
        assert_eq!(wait(1, 30, 0), Some(30), "the gateway says when");
        assert_eq!(wait(1, 600, 0), None, "but a code does not last so long");
        assert_eq!(wait(1, u64::MAX, 0), None);
        assert_eq!((wait(2, 0, 117), wait(2, 0, 118)), (Some(2), None));
    }

    #[test]
    fn the_example_of_the_guide_is_right() {
        let value = |name: &str| {
            let start = format!("{name}: `");
            let rest = GUIDE.split(&start).nth(1).unwrap_or_else(|| panic!("there is no {name}"));
            rest.split('`').next().expect("a value").to_owned()
        };
        let signature = sign(&value("Secret"), &value("Timestamp"), &value("Body"));
        assert_eq!(signature, value("Signature"));
        assert!(GUIDE.contains(&format!("`{TIMESTAMP}`")) && GUIDE.contains(&format!("`{SIGNATURE}`")));
    }

    #[test]
    fn wrong_settings_are_found() {
        let keys = |gateway, secret| {
            let settings = settings(gateway, secret);
            check(settings.sms.as_ref().expect("settings")).map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(keys("https://sms.example.org/send", SECRET), Vec::<&str>::new());
        assert_eq!(keys("sms.example.org", SECRET), ["gateway"]);
        assert_eq!(keys("ftp://sms.example.org", ""), ["gateway", "secret"]);
        let doubted =
            |secret| doubt(settings("https://a.example", secret).sms.as_ref().expect("settings")).is_some();
        assert!(doubted("short") && !doubted(SECRET));
    }
}
