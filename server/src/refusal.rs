//! What a client is told whose connection is not served because all connections are in use.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore, time::timeout};

use crate::{throttle::Throttles, unread_body};

/// How many clients are told so at a time. Their connections come on top of those that are served, and the system's
/// limit of open files has room for these. Others find their connections closed.
const AT_A_TIME: usize = 128;
/// How long it is waited for a request. Some clients do not understand an answer that comes before it.
const REQUEST_TIME: Duration = Duration::from_secs(1);
/// How long clients should wait before they ask again, in seconds.
const RETRY_AFTER_S: u64 = 5;

static ANSWER: LazyLock<String> = LazyLock::new(|| {
    let body = serde_json::json!({
        "errcode": "M_LIMIT_EXCEEDED",
        "error": "the server has too many connections; try again later",
        "retry_after_ms": RETRY_AFTER_S * 1_000,
    })
    .to_string();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\n\
         Retry-After: {RETRY_AFTER_S}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
});

/// Tells clients that there are too many connections.
#[derive(Clone, Debug)]
pub(crate) struct Refusals(Arc<Semaphore>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Refusals {
    /// Refuses a connection. Nobody waits for it.
    pub(crate) fn refuse(&self, stream: TcpStream, throttles: Arc<Throttles>) {
        if let Ok(permit) = self.0.clone().try_acquire_owned() {
            tokio::spawn(async move {
                answer(stream, &throttles).await;
                drop(permit);
            });
        }
    }
}

async fn answer(mut stream: TcpStream, throttles: &Throttles) {
    // Whoever asks nothing is told all the same.
    let _ = timeout(REQUEST_TIME, stream.readable()).await;
    // It fits into what the system keeps for a new connection.
    if stream.write_all(ANSWER.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        unread_body::linger(&mut stream, &throttles.unread_pieces).await;
    }
}
