//! Requests to a server that may be killed while they are on their way.

use std::{
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

use crate::Platform;

/// A server that has not answered by then hangs.
const HANGS: Duration = Duration::from_secs(60);

/// The server went away before it answered.
#[derive(Clone, Copy, Debug)]
pub struct Lost;

/// What a request carries.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Value),
    /// Anything else.
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
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
}

/// A client of all platforms. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    addresses: Arc<RwLock<Vec<String>>>,
}

impl Http {
    /// A client of the server whose platforms listen at `addresses`.
    pub fn new(addresses: Vec<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, addresses: Arc::new(RwLock::new(addresses)) }
    }

    /// Goes on with a server that listens elsewhere.
    pub fn moved(&self, addresses: Vec<String>) {
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// A request to `path`, with its query, as who has `token`.
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
        match tokio::time::timeout(HANGS, answered).await {
            Ok(outcome) => outcome,
            Err(_) => panic!("no answer within {HANGS:?}: {path}"),
        }
    }
}
