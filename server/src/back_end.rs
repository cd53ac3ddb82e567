//! Asking the operator API: of the server that runs over a data folder, or, if none does, of its store.

use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use linkspan_wire::Api;
use ruma::ServerName;
use serde_json::Value;
use tokio::{net::UnixStream, task::JoinSet};

use crate::{Failure, config::Config, control, reload::Reloading, services};

/// The longest answer, in bytes. A page of the longest rows has less.
const ANSWER_BYTES: usize = 16 << 20;

/// What answers commands.
pub(crate) struct BackEnd {
    answers: Answers,
    /// They end with it.
    _tasks: JoinSet<()>,
}

enum Answers {
    /// The server that runs.
    Running(http1::SendRequest<Body>),
    /// The services over the store of a server that is stopped.
    Stopped(Box<Api>),
}

/// What is asked of the operator API.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// The platform that is asked. None: what is asked is about no platform.
    pub(crate) platform: Option<&'a ServerName>,
    /// What follows `/_linkspan/admin/v1/`.
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

impl BackEnd {
    /// Reaches the server that runs, or opens the store.
    pub(crate) async fn reach(config: &Config) -> Result<Self, Failure> {
        if let Some(running) = Self::running_over(config).await? {
            return Ok(running);
        }
        let (app, store, tasks) = services::open(config).await?;
        let answers = Answers::Stopped(Box::new(services::api(config, app, store, Reloading::default())));
        Ok(Self { answers, _tasks: tasks })
    }

    /// Reaches the server that runs. None: there is none.
    pub(crate) async fn running_over(config: &Config) -> Result<Option<Self>, Failure> {
        let stream = control::connect(&config.data).await;
        let stream = stream.map_err(|error| format!("the server that runs cannot be asked: {error}"))?;
        match stream {
            Some(stream) => Self::running(stream).await.map(Some),
            None => Ok(None),
        }
    }

    async fn running(stream: UnixStream) -> Result<Self, Failure> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            // Whoever asks hears of it.
            let _ = connection.await;
        });
        Ok(Self { answers: Answers::Running(sender), _tasks: tasks })
    }

    /// Asks, and returns the answer. What is refused fails with the sentence that says why.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> Result<Value, Failure> {
        let body = ask.body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let mut request = Request::builder().method(ask.method);
        if let Some(platform) = ask.platform {
            request = request.header(header::HOST, platform.as_str());
        }
        let request = request
            .uri(format!("/_linkspan/admin/v1/{}", ask.path))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, body.len())
            .body(Body::from(body))?;
        let (status, body) = match &mut self.answers {
            Answers::Running(sender) => {
                let gone = |error| format!("the server ended before it was done: {error}");
                let (head, body) = sender.send_request(request).await.map_err(gone)?.into_parts();
                (head.status, whole(Body::new(body)).await?)
            }
            Answers::Stopped(api) => {
                let (head, body) = control::answer(api, request).await.into_parts();
                (head.status, whole(body).await?)
            }
        };
        refuse_unless_ok(status, body)
    }
}

async fn whole(body: Body) -> Result<Vec<u8>, Failure> {
    let body = Limited::new(body, ANSWER_BYTES).collect().await;
    Ok(body.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes().into())
}

fn refuse_unless_ok(status: StatusCode, body: Vec<u8>) -> Result<Value, Failure> {
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    match answer["error"].as_str() {
        Some(reason) => Err(reason.into()),
        None => Err(format!("the server answered {status}").into()),
    }
}
