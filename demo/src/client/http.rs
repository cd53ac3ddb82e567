//! The requests of the built-in client, which are JSON over HTTP.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::person::Refusal;

/// The greatest answer that is read, in bytes.
const ANSWER_BYTES: usize = 64 << 20;
/// How long the server may wait with an answer to a sync, in milliseconds.
const SYNC_TIMEOUT_MS: u64 = 30_000;

/// Sends requests to one address. Once there is a token they are those of its owner.
#[derive(Clone)]
pub(super) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    pub(super) server: String,
    pub(super) token: Option<String>,
}

pub(super) fn text(words: &Value, key: &str) -> String {
    words[key].as_str().unwrap_or_default().to_owned()
}

/// A part of a path, in which everything is escaped that has a meaning in paths.
pub(super) fn part(words: &Value, key: &str) -> String {
    escape(words[key].as_str().unwrap_or_default())
}

pub(super) fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}

impl Http {
    pub(super) fn new(server: String) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), server, token: None }
    }

    /// Sends a request, and returns the answer, whatever it says.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Response<Bytes>, Refusal> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.header(header::CONTENT_TYPE, content_type).body(Full::from(body));
        let answer = self.client.request(request.map_err(Refusal::own)?).await.map_err(Refusal::own)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(Refusal::own)?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// Sends a request that has to succeed, and returns the content type and body of the answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(String, Bytes), Refusal> {
        let (head, body) = self.ask(method, path, content_type, body).await?.into_parts();
        if head.status.is_success() {
            let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
            return Ok((content_type.unwrap_or_default().to_owned(), body));
        }
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = format!("{}: {}", head.status, text(&error, "error"));
        Err(Refusal { code: text(&error, "errcode"), message })
    }

    /// Asks the client-server API of Matrix.
    pub(super) async fn json(&self, method: Method, path: &str, body: Value) -> Result<Value, Refusal> {
        self.json_at(method, &format!("/_matrix/client/v3{path}"), body).await
    }

    /// Asks Linkspan's own client API.
    pub(super) async fn own(&self, method: Method, path: &str, body: Value) -> Result<Value, Refusal> {
        self.json_at(method, &format!("/_linkspan/client/v1{path}"), body).await
    }

    async fn json_at(&self, method: Method, path: &str, body: Value) -> Result<Value, Refusal> {
        let body = if method == Method::GET { Vec::new() } else { body.to_string().into_bytes() };
        let (_, answer) = self.send(method, path, "application/json", body).await?;
        serde_json::from_slice(&answer).map_err(Refusal::own)
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value, Refusal> {
        self.json(Method::POST, path, body).await
    }

    /// Loads somebody's media, and returns their content type and data.
    pub(super) async fn media(&self, mxc: &str, kind: &str) -> Result<(String, Bytes), Refusal> {
        let place = mxc.strip_prefix("mxc://").unwrap_or_default();
        let place = place.split('/').map(escape).collect::<Vec<_>>().join("/");
        let (path, query) = kind.split_once('?').unwrap_or((kind, ""));
        let path = format!("/_matrix/client/v1/media/{path}/{place}?{query}");
        self.send(Method::GET, &path, "", Vec::new()).await
    }

    pub(super) async fn sync(&self, since: Option<&str>) -> Result<Value, Refusal> {
        let path = match since {
            None => "/sync?timeout=0".to_owned(),
            Some(since) => format!("/sync?timeout={SYNC_TIMEOUT_MS}&since={}", escape(since)),
        };
        self.json(Method::GET, &path, Value::Null).await
    }
}
