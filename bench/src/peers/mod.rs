//! The same load on Linkspan and on its peers, one after the other on this machine: `make bench-peers`.
//!
//! A peer that is not installed, does not start or breaks is part of the page with the reason.

mod page;
mod process;
mod servers;
mod xmpp;
mod xmpp_load;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use self::{
    page::Page,
    servers::{ProsodyArchive, Reached, Running},
    xmpp::Account,
    xmpp_load::Archived,
};
use crate::{
    load::{Exchange, Outcome, Pace, Plan, exchange},
    report::grouped,
    scenarios,
    server::{Limits, Server, disk_sync_us},
    setup::{Bench, BenchError, Settings},
};

/// The rate at which delays are measured, in messages per second, unless the server sustains less.
const RATE: f64 = 500.0;
/// The part of the rate that a server has just done flat out that it counts as sustaining.
const SUSTAINED: f64 = 0.6;
/// How long anything may take a peer until it is broken off.
const PEER_LIMIT: Duration = Duration::from_secs(150);

/// The servers that are measured, in this order. Linkspan is the last, because it is measured at the rates of
/// all others.
const PEERS: [Peer; 5] =
    [Peer::SynapsePair, Peer::Synapse, Peer::Ejabberd, Peer::ProsodyDatabase, Peer::ProsodyFiles];

#[derive(Debug, Args)]
pub(crate) struct PeersArgs {
    /// The Linkspan binary.
    #[arg(long, value_name = "PATH")]
    linkspan: PathBuf,
    /// The Python environment that has Synapse.
    #[arg(long, value_name = "DIR")]
    venv: PathBuf,
    /// Write a page in Markdown as well.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only this peer; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = PEERS.map(Peer::key))]
    only: Vec<String>,
    /// Few people and short loads, to see that everything works.
    #[arg(long)]
    quick: bool,
    /// How long a load lasts [default: 12, quick 2].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=30))]
    seconds: Option<u16>,
    /// The folder in which each server gets a folder for its data [default: the system's temporary folder].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// A server, or several, that Linkspan is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    SynapsePair,
    Synapse,
    Ejabberd,
    ProsodyDatabase,
    ProsodyFiles,
}

impl Peer {
    fn key(self) -> &'static str {
        match self {
            Self::SynapsePair => "synapse-pair",
            Self::Synapse => "synapse",
            Self::Ejabberd => "ejabberd",
            Self::ProsodyDatabase => "prosody-postgresql",
            Self::ProsodyFiles => "prosody-files",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::SynapsePair => "Synapse, two that federate",
            Self::Synapse => "Synapse, one for all",
            Self::Ejabberd => "ejabberd, archive in PostgreSQL",
            Self::ProsodyDatabase => "Prosody, archive in PostgreSQL",
            Self::ProsodyFiles => "Prosody, archive in files",
        }
    }

    /// What the server is, and what it has done when it acknowledges a message.
    fn description(self) -> &'static str {
        match self {
            Self::SynapsePair => {
                "Two servers of one process each, with a database each in one PostgreSQL; the two people of \
                 a room are on different servers, so each message is also signed, sent over TLS on \
                 127.0.0.1, checked and stored by the other. Acknowledged means: the event is committed to \
                 the sender's database, which has synced its log to the disk. It reaches the other server \
                 after that."
            }
            Self::Synapse => {
                "One process, with everybody on one server name, so nothing is federated: less than what \
                 Linkspan does, where the two people of a room are on different server names. Acknowledged \
                 means: the event is committed to PostgreSQL, which has synced its log to the disk."
            }
            Self::Ejabberd => {
                "One process with two hosts; the two people of a chat are on different hosts. Acknowledged \
                 means: the sender's stream has handled the message (XEP-0198), which includes handing it to \
                 the receiver's stream and writing both archives, two commits in PostgreSQL, each synced to \
                 the disk."
            }
            Self::ProsodyDatabase => {
                "The same with Prosody. Acknowledged means: handled (XEP-0198), which includes writing both \
                 archives, two commits in PostgreSQL, each synced to the disk. Prosody runs on one thread \
                 and waits for its database."
            }
            Self::ProsodyFiles => {
                "The same with the store that Prosody has by itself. Acknowledged means: handled (XEP-0198), \
                 which includes appending to both archives' files. Nothing is synced to the disk: messages \
                 that were acknowledged in the last seconds before a power cut can be lost. All others here \
                 would keep them."
            }
        }
    }

    async fn start(self, venv: &Path, data: &Path) -> Result<Running, String> {
        match self {
            Self::SynapsePair => servers::synapse(venv, data, 2).await,
            Self::Synapse => servers::synapse(venv, data, 1).await,
            Self::Ejabberd => servers::ejabberd(data).await,
            Self::ProsodyDatabase => servers::prosody(data, ProsodyArchive::Database).await,
            Self::ProsodyFiles => servers::prosody(data, ProsodyArchive::Files).await,
        }
    }
}

/// A load and what came of it.
struct Measured {
    outcome: Outcome,
    /// What the archives should hold and do hold, if the server has any that can be asked.
    archived: Option<Archived>,
    /// The errors of calls under load, and how many there were.
    errors: Vec<(String, u64)>,
}

/// All figures of one server.
struct Figures {
    title: &'static str,
    version: String,
    people: usize,
    flat_out: Measured,
    /// The loads at fixed rates, with the rates in messages per second.
    paced: Vec<(f64, Measured)>,
}

impl Figures {
    fn at(&self, rate: f64) -> Option<&Outcome> {
        self.paced.iter().find(|(at, _)| *at == rate).map(|(_, measured)| &measured.outcome)
    }

    /// How many messages were lost or doubled in all loads.
    fn broken(&self) -> u64 {
        let paced = self.paced.iter().map(|(_, measured)| measured);
        let loads = std::iter::once(&self.flat_out).chain(paced);
        loads.map(|measured| measured.outcome.missing + measured.outcome.duplicated).sum()
    }
}

/// A peer's figures, or why there are none.
struct Entry {
    peer: Peer,
    figures: Result<Figures, String>,
}

/// The people who chat.
enum People {
    Matrix(Exchange),
    Xmpp(Vec<Account>),
}

/// Runs all peers and writes the page. It fails if Linkspan could not be measured, or lost or doubled a
/// message. What becomes of the peers is only reported.
pub(crate) async fn run(args: PeersArgs) -> ExitCode {
    let data = args.data.clone().unwrap_or_else(std::env::temp_dir);
    // Servers are started in folders of their own.
    let (Ok(data), Ok(venv)) = (std::path::absolute(data), std::path::absolute(&args.venv)) else {
        eprintln!("--data and --venv must not be empty");
        return ExitCode::from(2);
    };
    let load = Duration::from_secs(args.seconds.map_or(if args.quick { 2 } else { 12 }, u64::from));
    let settings = Settings { quick: args.quick, in_flight: 4, load };
    let disk_sync_us = disk_sync_us(&data).ok();
    let mut entries = Vec::new();
    for peer in PEERS
        .into_iter()
        .filter(|peer| args.only.is_empty() || args.only.iter().any(|only| only == peer.key()))
    {
        eprintln!("running {} …", peer.title());
        let measured = measure_peer(peer, &venv, &data, &settings);
        let figures = tokio::time::timeout(PEER_LIMIT, measured).await;
        let figures =
            figures.unwrap_or_else(|_| Err(format!("it took longer than {} s", PEER_LIMIT.as_secs())));
        match &figures {
            Ok(figures) => print(figures),
            Err(reason) => println!("{}: not run: {reason}\n", peer.title()),
        }
        entries.push(Entry { peer, figures });
    }
    eprintln!("running Linkspan …");
    let mut rates: Vec<f64> = vec![RATE];
    for rate in entries.iter().flat_map(|entry| &entry.figures).flat_map(|figures| &figures.paced) {
        if !rates.contains(&rate.0) {
            rates.push(rate.0);
        }
    }
    let linkspan = match measure_linkspan(&args.linkspan, &data, &settings, &rates).await {
        Ok(figures) => figures,
        Err(error) => {
            eprintln!("Linkspan could not be measured: {error}");
            return ExitCode::from(2);
        }
    };
    print(&linkspan);
    let broken = linkspan.broken();
    let page = Page { quick: args.quick, disk_sync_us, load, linkspan, entries };
    let text = page.markdown();
    if let Some(path) = &args.out
        && let Err(error) = crate::write(path, &text)
    {
        eprintln!("cannot write {}: {error}", path.display());
        return ExitCode::from(2);
    }
    println!("{}", page.summary());
    if broken > 0 {
        println!("{broken} messages were lost or came twice on Linkspan.");
        return ExitCode::from(1);
    }
    ExitCode::SUCCESS
}

async fn measure_peer(peer: Peer, venv: &Path, data: &Path, settings: &Settings) -> Result<Figures, String> {
    let running = peer.start(venv, data).await?;
    let platforms = match &running.reached {
        Reached::Matrix(platforms) => platforms.clone(),
        Reached::Xmpp(_) => Vec::new(),
    };
    let name = crate::run_name();
    let mut bench = Bench::new(platforms, None, running.pids(), settings.clone(), name);
    let hosts = match &running.reached {
        Reached::Matrix(_) => None,
        Reached::Xmpp(hosts) => Some(hosts.as_slice()),
    };
    let figures = measure(peer.title(), running.version.clone(), &mut bench, hosts, None).await;
    figures.map_err(|error| with_errors(&error, &bench))
}

fn with_errors(error: &BenchError, bench: &Bench) -> String {
    let errors = bench.errors.take().into_iter().map(|(error, count)| format!("; {count} × {error}"));
    format!("{error}{}", errors.collect::<String>())
}

async fn measure_linkspan(
    program: &Path,
    data: &Path,
    settings: &Settings,
    rates: &[f64],
) -> Result<Figures, BenchError> {
    let server = Server::start(program, data, Limits::None).await?;
    let platforms = server.platforms().to_vec();
    let version = crate::describe_program(program);
    let name = crate::run_name();
    let mut bench = Bench::new(platforms, Some(server), Vec::new(), settings.clone(), name);
    measure("Linkspan", version, &mut bench, None, Some(rates)).await
}

/// Measures a server flat out, and at these rates or else at one that it sustains.
async fn measure(
    title: &'static str,
    version: String,
    bench: &mut Bench,
    hosts: Option<&[Account]>,
    rates: Option<&[f64]>,
) -> Result<Figures, BenchError> {
    let people = match hosts {
        None => People::Matrix(scenarios::new_pairs(bench).await?),
        Some(hosts) => {
            let count = scenarios::people_in_pairs(&bench.settings);
            People::Xmpp(xmpp_load::register(bench, hosts, count).await?)
        }
    };
    let flat_out = load(bench, &people, Pace::FlatOut).await?;
    let rates = match rates {
        Some(rates) => rates.to_vec(),
        None => vec![sustained_rate(&flat_out.outcome)],
    };
    let mut paced = Vec::new();
    for rate in rates {
        paced.push((rate, load(bench, &people, Pace::Rate(rate)).await?));
    }
    let people = match &people {
        People::Matrix(exchange) => exchange.users.len(),
        People::Xmpp(accounts) => accounts.len(),
    };
    Ok(Figures { title, version, people, flat_out, paced })
}

async fn load(bench: &mut Bench, people: &People, pace: Pace) -> Result<Measured, BenchError> {
    let plan = Plan { pace, length: bench.settings.load, gap_closers: usize::MAX };
    let (outcome, archived) = match people {
        People::Matrix(pairs) => (exchange(bench, pairs, &plan).await?, None),
        People::Xmpp(accounts) => {
            let (outcome, archived) = xmpp_load::exchange(bench, accounts, &plan).await?;
            (outcome, Some(archived))
        }
    };
    Ok(Measured { outcome, archived, errors: bench.errors.take() })
}

/// A rate below what was both acknowledged and delivered flat out, in whole messages per second.
fn sustained_rate(flat_out: &Outcome) -> f64 {
    let done = scenarios::per_second(flat_out.acked.min(flat_out.delivered), flat_out);
    (done * SUSTAINED).min(RATE).floor().max(1.0)
}

fn print(figures: &Figures) {
    let outcome = &figures.flat_out.outcome;
    println!(
        "{} ({}): {} acknowledged /s, {} missing, {} doubled",
        figures.title,
        figures.version,
        grouped(scenarios::per_second(outcome.acked, outcome) as u64),
        outcome.missing,
        outcome.duplicated
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_below_what_was_acknowledged_and_delivered() {
        let of = |acked, delivered| {
            let elapsed = Duration::from_secs(10);
            sustained_rate(&Outcome { acked, delivered, elapsed, ..Outcome::default() })
        };
        assert_eq!(of(1_000, 2_000), 60.0);
        assert_eq!(of(2_000, 1_000), 60.0);
        assert_eq!(of(100_000, 100_000), RATE);
        assert_eq!(of(3, 0), 1.0);
    }
}
