//! Metrics for Prometheus, on an address of their own.
//!
//! What happens is counted near where it happens, and what is the case is looked up when somebody asks. Services give
//! plain numbers; names, units and labels are made here. No label names a user, a room, a token or an address.
//! What each metric is, is told in docs/guides/watch-it.md.

mod platforms;
mod process;
mod requests;
mod store;
mod text;
mod work;

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use axum::response::{IntoResponse, Response};
use hyper::{Method, Request, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use linkspan_storage::Store;
use linkspan_wire::App;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub(crate) use process::{disk_space, resident_bytes};
use requests::Outcome;
pub(crate) use requests::{Counted, Requests};
use text::{CONTENT_TYPE, Kind, Text};

use crate::{
    connections::Connections, health::Health, listeners::ACCEPT_PAUSE, under_way::Requests as UnderWay,
};

/// The path of the metrics.
const PATH: &str = "/metrics";
/// How many connections are served at the same time. A server is watched by few.
const CONNECTIONS: usize = 16;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last: Prometheus asks more seldom than a new connection costs anything.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Microseconds of a second, and milliseconds.
const US: f64 = 1e6;
const MS: f64 = 1e3;

/// What stands for the platform of a connection to where all platforms are.
pub(crate) const ANY: &str = "any";

/// Where numbers come from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) app: App,
    pub(crate) store: Store,
    pub(crate) requests: Arc<Requests>,
    pub(crate) under_way: Arc<UnderWay>,
    pub(crate) connections: Arc<Connections>,
    /// When the program has started.
    pub(crate) started: SystemTime,
    /// The data folder.
    pub(crate) data: PathBuf,
}

/// What answers on the address for metrics. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    health: Health,
    /// Not there while the server starts.
    sources: Arc<OnceLock<Sources>>,
}

impl Metrics {
    /// The state of a server that starts.
    pub(crate) fn starting(health: Health) -> Self {
        Self { health, sources: Arc::default() }
    }

    /// Says that there is something to tell from now on.
    pub(crate) fn open(&self, sources: Sources) {
        // It starts once.
        let _ = self.sources.set(sources);
    }

    /// Answers for ever whoever connects.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            if connections.len() >= CONNECTIONS {
                connections.join_next().await;
            }
            match listener.accept().await {
                Ok((stream, peer)) => drop(connections.spawn(self.clone().connection(stream, peer))),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the metrics could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr) {
        let metrics = &self;
        let service = service_fn(|request| async move { Ok::<_, Infallible>(metrics.answer(request).await) });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
            tracing::debug!(%error, %peer, "a connection to the metrics broke off");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response {
        let (method, path) = (request.method(), request.uri().path());
        if let Some(answer) = self.health.answer(method, path) {
            return answer;
        }
        if path != PATH {
            return StatusCode::NOT_FOUND.into_response();
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        }
        match self.sources.get() {
            Some(sources) => {
                ([(header::CONTENT_TYPE, CONTENT_TYPE)], sources.write(&self.health).await).into_response()
            }
            None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

impl Sources {
    /// All metrics as they are now.
    async fn write(&self, health: &Health) -> String {
        let mut text = Text::default();
        let mut info = text.metric("linkspan_build_info", Kind::Gauge, "Which version runs.");
        info.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.gauge("linkspan_ready", "Whether requests should be sent here.", u8::from(health.is_ready()));
        self.write_requests(&mut text);
        work::write_turned_away(&mut text, &self.app, &self.under_way);
        work::write_connections(&mut text, &self.connections);
        work::write_lines(&mut text, &self.app);
        platforms::write(&mut text, &self.app);
        store::write(&mut text, &self.store, &self.app.platforms).await;
        work::write_memory(&mut text, &self.app);
        process::write(&mut text, &self.data, self.started);
        text.into_string()
    }

    fn write_requests(&self, text: &mut Text) {
        let platforms = self.requests.of_platforms();
        // What a platform was never asked for is left out.
        let used = || {
            platforms.iter().flat_map(|platform| platform.groups()).filter(|(_, _, counts)| {
                counts.under_way() > 0 || Outcome::ALL.into_iter().any(|outcome| counts.ended(outcome) > 0)
            })
        };
        let mut metric = text.metric(
            "linkspan_requests_total",
            Kind::Counter,
            "Requests by what they were answered; 429: no room; gone: the client left first.",
        );
        for (platform, group, counts) in used() {
            for outcome in Outcome::ALL {
                let labels = [("platform", platform), ("route", group.name()), ("status", outcome.name())];
                metric.sample(&labels, counts.ended(outcome));
            }
        }
        let mut metric = text.metric(
            "linkspan_request_duration_seconds",
            Kind::Histogram,
            "Time until an answer; of a sync, waiting for news is part of it.",
        );
        for (platform, group, counts) in used() {
            let labels = [("platform", platform), ("route", group.name())];
            metric.histogram(&labels, &counts.durations_ms(), MS);
        }
        let mut metric = text.metric(
            "linkspan_requests_under_way",
            Kind::Gauge,
            "Requests that are being answered; of the route sync, mostly those that wait for news.",
        );
        for (platform, group, counts) in used() {
            metric.sample(&[("platform", platform), ("route", group.name())], counts.under_way());
        }
    }
}
