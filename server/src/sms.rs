//! Sending SMS over an HTTP gateway, by the settings of each platform.
//!
//! What the gateway is asked, and how it knows that Linkspan asks, is in docs/guides/sms-gateway.md. A message that the
//! gateway could not take is sent again under the same id.

use std::{ops::ControlFlow, time::Duration};

use linkspan_accounts::Sms as Message;
use linkspan_outbound::{Outbound, post_signed};
use linkspan_platforms::{Settings, Sms};
use linkspan_wire::now_ts;
use serde_json::json;
use url::Url;

use crate::courier::{FIRST_WAIT, Outcome, Tries};

/// How long a gateway may take for one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest secret without a warning, in bytes.
const SECRET_BYTES: usize = 16;

/// Sends the SMS of all platforms.
pub(crate) struct SmsSender {
    client: Outbound,
    first_wait: Duration,
}

struct Gateway {
    url: Url,
    secret: String,
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
    /// A sender that has sent nothing yet.
    pub(crate) fn new() -> Self {
        // The operator chose the gateway, which may be in the operator's own network.
        Self { client: Outbound::new(TIMEOUT, true), first_wait: FIRST_WAIT }
    }

    /// Sends a message of a platform, and tries again where that may help.
    pub(crate) async fn send(&self, platform: &Settings, message: Message) -> Result<(), String> {
        let sms = platform.sms.as_ref().ok_or("this platform sends no SMS")?;
        let gateway = &Gateway { url: gateway_url(sms)?, secret: sms.secret.clone() };
        let Message { id, to, text } = message;
        let body = json!({ "id": id, "platform": platform.server_name, "to": to, "text": text }).to_string();
        let mut tries = Tries::new(self.first_wait);
        loop {
            if let ControlFlow::Break(sent) = tries.go_on(self.try_once(gateway, &body, now_ts()).await).await
            {
                return sent;
            }
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
            Err(error) => Outcome::failed(error.without_url().to_string()),
        }
    }
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
        let mut sender = SmsSender::new();
        sender.first_wait = Duration::ZERO;
        let (id, to) = ("one".to_owned(), "+491701234567".to_owned());
        sender.send(&platform, Message { id, to, text: "123456 is your code".into() }).await
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
        let (sent, asked) = send(&[(500, None); 6]).await;
        assert!(sent.is_err_and(|why| why.contains("given up after 6 tries: the gateway answered 500")));
        assert_eq!(asked.len(), 6);
        // Nobody listens there any more.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let sent = send_to(&format!("http://user:hidden@{address}/")).await;
        assert!(sent.is_err_and(|why| why.contains("given up") && !why.contains("hidden")));
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
