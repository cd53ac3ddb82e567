//! Requests to a server that may be killed while they are on their way.

use std::{
    io::Write,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::sync::watch;

use crate::Platform;

/// How long a server may take to answer until it counts as hanging.
const HANGS: Duration = Duration::from_secs(60);
/// How long it may take to read what a server sent before it was gone.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// The server went away before it answered.
#[derive(Clone, Copy, Debug)]
pub struct Lost;

/// What a request carries.
#[derive(Clone, Debug)]
pub enum Body {
    /// The request has no body.
    Empty,
    /// The body is JSON.
    Json(Value),
    /// The body is other bytes.
    Bytes(Vec<u8>),
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub bytes: Bytes,
}

impl Answer {
    /// The body as JSON, or null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
}

/// A client of all platforms. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    addresses: Arc<RwLock<Vec<String>>>,
    is_gone: watch::Sender<bool>,
}

impl Http {
    /// A client of the server whose platforms listen at `addresses`.
    pub fn new(addresses: Vec<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, addresses: Arc::new(RwLock::new(addresses)), is_gone: watch::Sender::new(false) }
    }

    /// Says that the server was killed, so that nobody waits for an answer any more.
    pub fn gone(&self) {
        self.is_gone.send_replace(true);
    }

    /// Goes on with a server at other addresses.
    pub fn moved(&self, addresses: Vec<String>) {
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
        self.is_gone.send_replace(false);
    }

    /// Makes a request to `path`, with its query, as the owner of `token`.
    pub async fn call(
        &self,
        method: Method,
        platform: Platform,
        path: &str,
        token: Option<&str>,
        body: Body,
    ) -> Result<Answer, Lost> {
        let address =
            self.addresses.read().unwrap_or_else(PoisonError::into_inner)[platform as usize].clone();
        let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let (content_type, bytes) = match body {
            Body::Empty => ("application/json", Bytes::new()),
            Body::Json(json) => ("application/json", json.to_string().into()),
            Body::Bytes(bytes) => ("application/octet-stream", bytes.into()),
        };
        let request = request.header(header::CONTENT_TYPE, content_type).body(Full::new(bytes));
        let request = request.expect("paths of tests are valid");
        let answered = async {
            let response = self.client.request(request).await.map_err(|_| Lost)?;
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.map_err(|_| Lost)?.to_bytes();
            Ok(Answer { status, bytes })
        };
        let mut is_gone = self.is_gone.subscribe();
        let gone = async {
            // It ends with an error if nobody can say so any more, and nobody waits for it then.
            let _ = is_gone.wait_for(|is_gone| *is_gone).await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            biased;
            outcome = answered => outcome,
            // This was seen once: the client library waited on although the server had ended.
            () = gone => {
                // This goes past the test's own output, which is hidden if the test passes.
                let _ = writeln!(
                    std::io::stderr(),
                    "no end of the connection to a server that is gone: {path}\n{}",
                    sockets(&address)
                );
                Err(Lost)
            }
            () = tokio::time::sleep(HANGS) => {
                panic!("no answer within {HANGS:?}: {path}\n{}", sockets(&address))
            }
        }
    }
}

/// The system's knowledge of connections to an address, for finding out why one hangs.
fn sockets(address: &str) -> String {
    let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or_default();
    let port = format!(":{port:04X} ");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().filter(|line| line.contains(&port)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_server_that_is_gone_is_told_so() {
        // The system accepts connections to it, and nobody ever answers.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = silent.local_addr().expect("an address").to_string();
        let http = Http::new(vec![address; Platform::ALL.len()]);
        http.gone();
        let outcome = http.call(Method::GET, Platform::Instagram, "/", None, Body::Empty).await;
        assert!(matches!(outcome, Err(Lost)), "{outcome:?}");
    }
}
