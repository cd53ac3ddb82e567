//! Very many clients that wait in a long poll while nothing happens: what memory they take, and what the
//! server does at rest.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::Range,
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
use tokio::task::JoinSet;

use super::settle;
use crate::{
    client::{Client, ErrorCount, encode},
    report::{Finding, Row, grouped},
    server::{Usage, raise_open_files},
    setup::{Bench, BenchError, During, SETUP_WIDTH, User, position},
};

/// How many users have a client each.
const USERS: usize = 5_000;
/// How many clients there are in the end. The further ones are of the same users.
const CLIENTS: usize = 20_000;
/// How many quarters of the open files that are allowed are for clients: a server has files besides, and may keep
/// connections for platforms that have few.
const QUARTERS_OF_FILES: u64 = 3;
/// How many connections come from one local address. A server may not let one network have a great part of all.
const PER_SOURCE: usize = 1_000;
/// How many connections are opened at the same time.
const OPEN_WIDTH: usize = 64;
/// How long the server may wait with its answers, in milliseconds.
const POLL_TIMEOUT_MS: u64 = 300_000;
const POLL_LIMIT: Duration = Duration::from_secs(330);
/// How long the server at rest is measured, in seconds.
const REST_SECONDS: usize = 10;
/// How much memory a client of a user of its own may cost, in KiB.
const CLIENT_TARGET_KIB: f64 = 15.0;
const KIB: f64 = 1024.0;
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
    let allowed = (raise_open_files() / 4 * QUARTERS_OF_FILES) as usize;
    let wanted = bench.settings.count(CLIENTS, 200);
    let clients = wanted.min(allowed);
    let users = bench.users(clients.min(bench.settings.count(USERS, 50))).await?;
    // Memory that earlier scenarios left free in the server would hide what clients need.
    if let Some(server) = bench.server.as_mut() {
        server.kill_and_restart().await?;
    }
    let positions: Vec<(User, String)> = stream::iter(users)
        .map(async |user| {
            let since = position(&mut user.client()).await?;
            Ok::<_, BenchError>((user, since))
        })
        .buffered(SETUP_WIDTH)
        .try_collect()
        .await?;
    let mut opening = Opening { positions, answers: Arc::default(), tasks: JoinSet::new() };
    settle(bench).await;
    let before = bench.usage();
    let users = opening.positions.len();
    opening.open(bench, 0..users).await?;
    settle(bench).await;
    let one_each = bench.usage();
    opening.open(bench, users..clients).await?;
    settle(bench).await;
    let (at_rest, answers_before) = (bench.usage(), opening.answers.load(Relaxed));
    let rest = bench.settings.count(REST_SECONDS, 1);
    tokio::time::sleep(Duration::from_secs(rest as u64)).await;
    let after = bench.usage();
    let answered = opening.answers.load(Relaxed) - answers_before;
    opening.tasks.shutdown().await;

    let counts = Counts { users, clients, wanted, rest };
    let mut finding = Finding {
        rows: match (before, one_each, at_rest, after) {
            (Some(before), Some(one_each), Some(at_rest), Some(after)) => {
                rows(&counts, before, one_each, at_rest, after)
            }
            _ => vec![
                Row::new("clients waiting").figure(grouped(clients as u64)),
                Row::new("server memory").figure("not known (--pid is missing)".to_owned()),
            ],
        },
        ..Finding::default()
    };
    finding.use_since(at_rest, after);
    finding.describe(format!(
        "First {} connections, each of another user and with a long poll open; then {} of the same users; \
         {PER_SOURCE} at most come from one address. {answered} polls were answered during the {rest} s of \
         rest. The server has been restarted just before, and every user has asked for a position once.",
        grouped(users as u64),
        grouped(clients as u64),
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

/// The clients that wait.
struct Opening {
    /// The users, each with the position of its sync.
    positions: Vec<(User, String)>,
    answers: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Opening {
    /// Makes the clients with these numbers wait as well. The users take turns.
    async fn open(&mut self, bench: &Bench, numbers: Range<usize>) -> Result<(), BenchError> {
        let pollers: Vec<Poller> = stream::iter(numbers)
            .map(|index| {
                let (user, since) = &self.positions[index % self.positions.len()];
                let client = user.client().bound_to(source(user, index));
                let (since, answers, errors) = (since.clone(), self.answers.clone(), bench.errors.clone());
                async move {
                    let mut poller = Poller { client, since, answers, errors };
                    poller.client.connect().await.during("open an idle connection")?;
                    Ok::<_, BenchError>(poller)
                }
            })
            .buffered(OPEN_WIDTH)
            .try_collect()
            .await?;
        for poller in pollers {
            self.tasks.spawn(poller.run());
        }
        Ok(())
    }
}

/// A local address for the connection with this number. None if the server is not on this machine.
fn source(user: &User, index: usize) -> Option<IpAddr> {
    let low = u8::try_from(2 + index / PER_SOURCE).ok()?;
    match user.platform.address.ip() {
        IpAddr::V4(address) if address.is_loopback() => Some(Ipv4Addr::new(127, 0, 0, low).into()),
        _ => None,
    }
}

struct Counts {
    users: usize,
    clients: usize,
    wanted: usize,
    /// How long the server at rest is measured, in seconds.
    rest: usize,
}

/// The figures from the memory without clients, with one client for each user, and with all clients. The last
/// two are read before and after the time at rest.
fn rows(counts: &Counts, before: Usage, one_each: Usage, at_rest: Usage, after: Usage) -> Vec<Row> {
    let &Counts { users, clients, wanted, rest } = counts;
    let growth = |from: Usage, to: Usage, clients: usize| {
        to.rss_bytes.saturating_sub(from.rss_bytes) as f64 / clients.max(1) as f64
    };
    let per_user = growth(before, one_each, users) / KIB;
    let per_client = growth(one_each, after, clients - users);
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
        Row::new(&format!("growth per client, {} of a user each", grouped(users as u64)))
            .figure(format!("{per_user:.1} KiB"))
            .target("< 15 KiB", per_user < CLIENT_TARGET_KIB),
        Row::new("growth per further client of the same users")
            .figure(format!("{:.1} KiB", per_client / KIB)),
        Row::new("server memory without them").figure(format!("{:.2} GiB", before.rss_bytes as f64 / GIB)),
        Row::new(&measured).figure(format!("{:.2} GiB", full / GIB)),
        Row::new(&format!("server processor time in {rest} s of rest"))
            .figure(format!("{} ms", after.cpu_ms.saturating_sub(at_rest.cpu_ms))),
    ]
}
