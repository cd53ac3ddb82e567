//! Very many clients that wait in a long poll and nothing happens: memory and rest.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;
use serde::Deserialize;

use crate::{
    client::{Client, ErrorCount, encode},
    report::{Finding, Row, grouped},
    server::{Usage, raise_open_files},
    setup::{Bench, BenchError, During, SETUP_WIDTH, User, position},
};

/// Clients wanted.
const CLIENTS: usize = 20_000;
/// Long polls of one user.
const POLLS_PER_USER: usize = 20;
/// Files besides the connections: few for us, many for the tables of a server, which has the same limit.
const SPARE_FILES: u64 = 1_200;
/// Connections from one local address: below the number of ports that systems give out by default.
const PER_SOURCE: usize = 10_000;
/// Connections opened at the same time.
const OPEN_WIDTH: usize = 64;
/// The server may wait this long with its answers.
const POLL_TIMEOUT_MS: u64 = 300_000;
const POLL_LIMIT: Duration = Duration::from_secs(330);
/// How long rest is measured.
const REST_SECONDS: usize = 10;
/// Rest has begun when the server used less than this in a second …
const AT_REST_CPU_MS: u64 = 30;
/// … or after so many seconds.
const SETTLE_SECONDS: usize = 30;
const GIB: f64 = (1024 * 1024 * 1024) as f64;

struct Poller {
    client: Client,
    since: String,
    answers: Arc<AtomicU64>,
    errors: Arc<ErrorCount>,
}

impl Poller {
    async fn run(mut self) {
        #[derive(Deserialize)]
        struct Next {
            next_batch: String,
        }
        loop {
            let path =
                format!("/_matrix/client/v3/sync?timeout={POLL_TIMEOUT_MS}&since={}", encode(&self.since));
            let answer = self.client.call(Method::GET, &path, Bytes::new(), POLL_LIMIT).await;
            self.answers.fetch_add(1, Relaxed);
            match answer.and_then(|reply| Ok(serde_json::from_slice::<Next>(&reply.success()?)?)) {
                Ok(next) => self.since = next.next_batch,
                Err(error) => {
                    self.errors.note("idle sync", &error);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let allowed = raise_open_files().saturating_sub(SPARE_FILES) as usize;
    let wanted = bench.settings.count(CLIENTS, 200);
    let clients = wanted.min(allowed);
    let users = bench.users(clients.div_ceil(POLLS_PER_USER)).await?;
    let positions: Vec<(User, String)> = stream::iter(users)
        .map(async |user| {
            let since = position(&mut user.client()).await?;
            Ok::<_, BenchError>((user, since))
        })
        .buffered(SETUP_WIDTH)
        .try_collect()
        .await?;
    settle(bench).await;
    let before = bench.usage();

    let answers = Arc::new(AtomicU64::new(0));
    let opened: Vec<Poller> = stream::iter(0..clients)
        .map(|index| {
            let (user, since) = &positions[index % positions.len()];
            let client = user.client().bound_to(source(user, index));
            let (since, answers, errors) = (since.clone(), answers.clone(), bench.errors.clone());
            async move {
                let mut poller = Poller { client, since, answers, errors };
                poller.client.connect().await.during("open an idle connection")?;
                Ok::<_, BenchError>(poller)
            }
        })
        .buffered(OPEN_WIDTH)
        .try_collect()
        .await?;
    let mut tasks = tokio::task::JoinSet::new();
    for poller in opened {
        tasks.spawn(poller.run());
    }
    settle(bench).await;
    let (at_rest, answers_before) = (bench.usage(), answers.load(Relaxed));
    let rest = bench.settings.count(REST_SECONDS, 1);
    tokio::time::sleep(Duration::from_secs(rest as u64)).await;
    let after = bench.usage();
    let answered = answers.load(Relaxed) - answers_before;
    tasks.shutdown().await;

    let mut finding =
        Finding { rows: rows(clients, wanted, rest, before, at_rest, after), ..Finding::default() };
    finding.use_since(at_rest, after);
    finding.describe(format!(
        "{} connections, each with a long poll open, {POLLS_PER_USER} for each of {} users. {answered} \
         polls were answered during the {rest} s of rest. Memory includes what earlier scenarios left in \
         the server's caches.",
        grouped(clients as u64),
        grouped(positions.len() as u64),
    ));
    if clients < wanted {
        finding.notes.push(format!(
            "The limit of open files here allows {} clients instead of {}; memory is extrapolated to the \
             full number.",
            grouped(clients as u64),
            grouped(wanted as u64),
        ));
    }
    Ok(finding)
}

/// A local address for the connection with this number; none if the server is not on this machine.
fn source(user: &User, index: usize) -> Option<IpAddr> {
    let low = u8::try_from(2 + index / PER_SOURCE).ok()?;
    match user.platform.address.ip() {
        IpAddr::V4(address) if address.is_loopback() => Some(Ipv4Addr::new(127, 0, 0, low).into()),
        _ => None,
    }
}

/// Waits until the server is at rest.
async fn settle(bench: &Bench) {
    let mut last = bench.usage();
    for second in 0..bench.settings.count(SETTLE_SECONDS, 2) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = bench.usage();
        match last.zip(now) {
            Some((last, now)) if now.cpu_ms.saturating_sub(last.cpu_ms) >= AT_REST_CPU_MS => {}
            Some(_) => return,
            // A server that cannot be watched gets a few seconds.
            None if second >= 2 => return,
            None => {}
        }
        last = now;
    }
}

fn rows(
    clients: usize,
    wanted: usize,
    rest: usize,
    before: Option<Usage>,
    at_rest: Option<Usage>,
    after: Option<Usage>,
) -> Vec<Row> {
    let (Some(before), Some(at_rest), Some(after)) = (before, at_rest, after) else {
        return vec![
            Row::new("clients waiting").figure(grouped(clients as u64)),
            Row::new("server memory").figure("not known (--pid is missing)".to_owned()),
        ];
    };
    let per_client = after.rss_bytes.saturating_sub(before.rss_bytes) as f64 / clients.max(1) as f64;
    let full = after.rss_bytes as f64 + per_client * (wanted - clients) as f64;
    let measured = if clients < wanted {
        format!(
            "server memory, carried on from {} to {} clients",
            grouped(clients as u64),
            grouped(wanted as u64)
        )
    } else {
        format!("server memory with {} clients", grouped(clients as u64))
    };
    vec![
        Row::new(&measured).figure(format!("{:.2} GiB", full / GIB)).target("< 1 GiB", full < GIB),
        Row::new("server memory without them").figure(format!("{:.2} GiB", before.rss_bytes as f64 / GIB)),
        Row::new("growth per client").figure(format!("{:.1} kB", per_client / 1000.0)),
        Row::new(&format!("server processor time in {rest} s of rest"))
            .figure(format!("{} ms", after.cpu_ms.saturating_sub(at_rest.cpu_ms))),
    ]
}
