//! The outbox over HTTP: what SMS are sent to, and the page that shows everything.
//!
//! SMS come as docs/guides/sms-gateway.md says.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{
        Html,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures_util::{Stream, stream};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::{net::TcpListener, sync::watch};

use super::{Message, Sender, Sent, now_ts, page};

/// The size of a request with an SMS, in bytes.
const SMS_BYTES: usize = 16 << 10;
/// How far the time of a request may be from this machine's, in milliseconds.
const SKEW_MS: u64 = 5 * 60_000;

/// What all requests share.
#[derive(Clone, Debug)]
pub(super) struct Web {
    pub(super) sent: Arc<watch::Sender<Sent>>,
    /// What requests with SMS are signed with.
    pub(super) secret: String,
    pub(super) senders: Vec<Sender>,
}

/// Serves the page and takes SMS, for as long as the demo runs.
pub(super) async fn serve(listener: TcpListener, web: Web) {
    if let Err(error) = axum::serve(listener, router(web)).await {
        tracing::warn!(%error, "the outbox has ended");
    }
}

fn router(web: Web) -> Router {
    let routes = Router::new()
        .route("/", get(show))
        .route("/news", get(tell))
        .route("/sms", post(take_sms))
        .layer(DefaultBodyLimit::max(SMS_BYTES));
    routes.with_state(web)
}

async fn show(State(web): State<Web>) -> Html<String> {
    Html(page::page(&web.senders, web.sent.borrow().messages.iter()))
}

/// Tells the page whenever something new has come, and once at the beginning.
async fn tell(State(web): State<Web>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut news = web.sent.subscribe();
    news.mark_changed();
    let events = stream::unfold(news, async |mut news| {
        news.changed().await.ok()?;
        let count = news.borrow_and_update().count;
        Some((Ok(Event::default().data(count.to_string())), news))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn take_sms(State(web): State<Web>, head: HeaderMap, body: Bytes) -> StatusCode {
    if !is_signed(&web.secret, &head, &body, now_ts()) {
        return StatusCode::UNAUTHORIZED;
    }
    let Some(message) = read_sms(&body) else { return StatusCode::BAD_REQUEST };
    web.sent.send_modify(|sent| sent.take(message));
    StatusCode::OK
}

fn read_sms(body: &[u8]) -> Option<Message> {
    let sms: Value = serde_json::from_slice(body).ok()?;
    let text = |key: &str| sms[key].as_str().map(ToOwned::to_owned);
    Some(Message {
        number: 0,
        sent_ts: now_ts(),
        platform: text("platform")?,
        to: text("to")?,
        subject: None,
        text: text("text")?,
        id: Some(text("id")?),
    })
}

/// Whether the server has sent this, and lately.
fn is_signed(secret: &str, head: &HeaderMap, body: &[u8], now_ts: u64) -> bool {
    let value = |name: &str| head.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (timestamp, signature) = (value("linkspan-timestamp"), value("linkspan-signature"));
    let sent_ts = timestamp.parse::<u64>().unwrap_or_default().saturating_mul(1000);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let bytes = signature.as_bytes().chunks(2).map(|two| {
        let two = std::str::from_utf8(two).ok()?;
        u8::from_str_radix(two, 16).ok()
    });
    let signature: Option<Vec<u8>> = bytes.collect();
    now_ts.abs_diff(sent_ts) <= SKEW_MS
        && signature.is_some_and(|signature| mac.verify_slice(&signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of docs/guides/sms-gateway.md.
    #[test]
    fn only_what_the_server_has_signed_is_taken() {
        const SECRET: &str = "a secret of the operator";
        let body = r#"{"id":"q3Jx0yN4mQ8","platform":"chat.example.org","text":"123456 is your code for Chat.","to":"+491701234567"}"#;
        let mut head = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            head.insert(name, value.parse().expect("a header"));
        };
        put("linkspan-timestamp", "1700000000");
        put("linkspan-signature", "1a20df3ca932253d79600d8ed75769c9e89849674219d83d2f060c535e87d0db");
        let then_ts = 1_700_000_000_000;
        let signed = |secret, body: &str, ts| is_signed(secret, &head, body.as_bytes(), ts);
        assert!(signed(SECRET, body, then_ts) && signed(SECRET, body, then_ts + SKEW_MS));
        assert!(!signed(SECRET, body, then_ts + SKEW_MS + 1), "it is old");
        assert!(!signed("another secret", body, then_ts));
        assert!(!signed(SECRET, &body.replace("1701234567", "1701234568"), then_ts));
        assert!(!is_signed(SECRET, &HeaderMap::new(), body.as_bytes(), then_ts));
        let sms = read_sms(body.as_bytes()).expect("it can be read");
        assert_eq!((sms.code(), sms.to.as_str()), (Some("123456"), "+491701234567"));
        assert_eq!(read_sms(br#"{"to":"+49"}"#), None);
    }
}
