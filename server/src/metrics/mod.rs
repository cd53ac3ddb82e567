//! Metrics for Prometheus, on an address of their own.
//!
//! What happens is counted near where it happens, and what is the case is looked up when somebody asks. Services give
//! plain numbers; names, units and labels are made here. No label names a user, a room, a token or an address.
//! What each metric is, is told in docs/guides/watch-it.md.

mod process;
mod requests;
mod text;

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::response::{IntoResponse, Response};
use hyper::{Method, Request, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use linkspan_storage::{Store, StoreStats};
use linkspan_wire::App;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use requests::Outcome;
pub(crate) use requests::{Counted, Requests};
use text::{CONTENT_TYPE, Kind, Text};

use crate::health::Health;

/// The path of the metrics.
const PATH: &str = "/metrics";
/// How many connections are served at the same time. A server is watched by few.
const CONNECTIONS: usize = 16;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last: Prometheus asks more seldom than a new connection costs anything.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long accepting rests after a failure.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Microseconds of a second, and milliseconds.
const US: f64 = 1e6;
const MS: f64 = 1e3;

/// Where numbers come from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) app: App,
    pub(crate) store: Store,
    pub(crate) requests: Arc<Requests>,
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
        self.write_refusals(&mut text);
        match self.store.stats().await {
            Ok(stats) => write_store(&mut text, &stats),
            Err(error) => tracing::warn!(%error, "the store tells nothing of itself"),
        }
        self.write_services(&mut text);
        process::write(&mut text, &self.data);
        text.into_string()
    }

    fn write_requests(&self, text: &mut Text) {
        // What a platform was never asked for is left out.
        let used = || {
            self.requests.iter().filter(|(_, _, counts)| {
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

    fn write_refusals(&self, text: &mut Text) {
        let mut metric = text.metric(
            "linkspan_refusals_total",
            Kind::Counter,
            "What was refused by why: somebody did too much of a class of actions.",
        );
        for platform in self.app.platforms.iter() {
            let mut refused: Vec<_> = platform.rate_limiter.refused().collect();
            refused.sort_by_key(|(class, _)| class.name());
            for (class, refused) in refused {
                let labels = [("platform", platform.server_name().as_str()), ("reason", class.name())];
                metric.sample(&labels, refused);
            }
        }
    }

    fn write_services(&self, text: &mut Text) {
        text.gauge(
            "linkspan_connected_users",
            "Users who sync now or did so in the last minutes.",
            self.app.inbox.count_connected(),
        );
        text.gauge(
            "linkspan_live_rooms",
            "Rooms in memory because they are used.",
            self.app.rooms.count_live(),
        );
        let pushes = self.app.push.delivery_counts();
        text.gauge("linkspan_push_queues", "Pushers that have something to be told.", pushes.queues);
        let mut metric = text.metric(
            "linkspan_push_failures_total",
            Kind::Counter,
            "Requests to push gateways and push services that failed.",
        );
        metric.sample(&[], pushes.failed);
        let caches: Vec<_> =
            self.app.rooms.cache_sizes().into_iter().chain(self.app.accounts.cache_sizes()).collect();
        let mut metric = text.metric("linkspan_cache_entries", Kind::Gauge, "How many copies a cache keeps.");
        for &(name, size) in &caches {
            metric.sample(&[("cache", name)], size.entries);
        }
        let mut metric = text.metric(
            "linkspan_cache_weight",
            Kind::Gauge,
            "What a cache counts towards its limit: about bytes, or entries where all are small.",
        );
        for &(name, size) in &caches {
            metric.sample(&[("cache", name)], size.weight);
        }
    }
}

fn write_store(text: &mut Text, stats: &StoreStats) {
    let commits = &stats.commits;
    let mut metric = text.metric("linkspan_commits_total", Kind::Counter, "Write-sets that are on disk.");
    metric.sample(&[], commits.group_sizes.sum);
    text.metric("linkspan_commit_group_size", Kind::Histogram, "How many write-sets went to disk together.")
        .histogram(&[], &commits.group_sizes, 1.0);
    text.metric("linkspan_commit_duration_seconds", Kind::Histogram, "Time until a group was on disk.")
        .histogram(&[], &commits.durations_us, US);
    text.gauge("linkspan_commits_waiting", "Write-sets that wait for their group.", commits.waiting);
    let mut metric = text.metric(
        "linkspan_rows_written_total",
        Kind::Counter,
        "Rows put into each table: timeline are events, to_device are messages to devices.",
    );
    for &(table, put) in &commits.rows_put {
        metric.sample(&[("table", table)], put);
    }
    let mut metric = text.metric(
        "linkspan_table_rows",
        Kind::Gauge,
        "About how many rows a table has; those replaced or deleted lately may be counted, too.",
    );
    for table in &stats.tables {
        metric.sample(&[("table", table.name)], table.rows);
    }
    let mut metric = text.metric("linkspan_table_bytes", Kind::Gauge, "Bytes in the files of a table.");
    for table in &stats.tables {
        metric.sample(&[("table", table.name)], table.bytes);
    }
    text.gauge("linkspan_store_bytes", "The size of the store on disk.", stats.disk_bytes);
    text.gauge("linkspan_store_cache_bytes", "Blocks of the store in memory.", stats.cache_bytes);
    text.gauge("linkspan_store_cache_limit_bytes", "The most that these may be.", stats.cache_limit_bytes);
    text.gauge(
        "linkspan_store_unwritten_bytes",
        "Rows in memory that are only in the journal yet.",
        stats.unwritten_bytes,
    );
}
