//! `linkspan-bench`: a load generator for any Matrix server, and the judge of Linkspan's own figures.
//!
//! One thread, because it shares the machine with the server it measures. Exit status: 0, or 1 if a message
//! or key was lost or doubled, or 2 if a scenario could not be run. Speed alone never fails it.

mod attack;
mod client;
mod compare;
mod encryption;
mod load;
mod olm;
mod peers;
mod report;
mod scenarios;
mod server;
mod setup;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    attack::Attack,
    client::Platform,
    compare::CompareArgs,
    peers::PeersArgs,
    report::Report,
    scenarios::{LONG, NAMES},
    server::{Limits, Server, disk_sync_us, raise_open_files},
    setup::{Bench, BenchError, Settings},
};

/// A load generator for Matrix servers.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the scenarios.
    Run(RunArgs),
    /// Run the same load on Linkspan and on other servers, one after the other.
    Peers(PeersArgs),
    /// Compare two versions of Linkspan, which get the same loads in turns.
    Compare(CompareArgs),
    /// List the scenarios.
    List,
    /// Make one of the attacks of the scenario `abuse` on what standard input names.
    #[command(hide = true)]
    Attack {
        /// Which attack.
        attack: Attack,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Start this Linkspan binary on data of its own, and stop it in the end.
    #[arg(long, value_name = "PATH", required_unless_present = "server", conflicts_with = "server")]
    linkspan: Option<PathBuf>,
    /// A platform of a running server, repeated for each: its server name and where it is reached.
    #[arg(long, value_name = "NAME=http://HOST:PORT", value_parser = Platform::parse)]
    server: Vec<Platform>,
    /// A process of the running server, to measure its processor time and memory with its children's; may be
    /// repeated.
    #[arg(long, conflicts_with = "linkspan")]
    pid: Vec<u32>,
    /// Write a page in Markdown as well.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only this scenario; may be repeated [default: all but soak and growth, which take long].
    #[arg(long, value_name = "NAME", value_parser = NAMES)]
    only: Vec<String>,
    /// Small counts and short loads, to see that everything works.
    #[arg(long)]
    quick: bool,
    /// Sends that each sender has open at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    in_flight: u8,
    /// How long a load lasts [default: 15, quick 2].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: Option<u16>,
    /// The folder in which the started server gets a folder for its data [default: the system's temporary
    /// folder].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // The server inherits the limit, and needs a file for each idle client as we do.
    raise_open_files();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    let work = async {
        match command {
            Command::List => {
                NAMES.iter().for_each(|name| println!("{name}"));
                ExitCode::SUCCESS
            }
            Command::Run(args) => run(args).await,
            Command::Peers(args) => peers::run(args).await,
            Command::Compare(args) => compare::run(args).await,
            Command::Attack { attack } => make_attack(attack).await,
        }
    };
    runtime.block_on(async {
        tokio::select! {
            code = work => code,
            // Dropping the run ends the server it started.
            () = told_to_stop() => ExitCode::from(130),
        }
    })
}

/// Waits for Ctrl-C or a polite kill.
async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        // Then Ctrl-C has to do.
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

/// Makes an attack, and prints what came of it.
async fn make_attack(attack: Attack) -> ExitCode {
    let made = match serde_json::from_reader(std::io::stdin()) {
        Ok(target) => attack::run(attack, target).await,
        Err(error) => Err(error.to_string()),
    };
    match made.map(|made| serde_json::to_string(&made)) {
        Ok(Ok(made)) => {
            println!("{made}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: RunArgs) -> ExitCode {
    let out = args.out.clone();
    let names: Vec<&str> = NAMES
        .into_iter()
        .filter(|name| match args.only.is_empty() {
            true => !LONG.contains(name),
            false => args.only.iter().any(|only| only == name),
        })
        .collect();
    let (mut bench, mut report) = match prepare(args).await {
        Ok(ready) => ready,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    for name in names {
        eprintln!("running {name} …");
        match scenarios::run(name, &mut bench).await {
            Ok(mut finding) => {
                for (error, count) in bench.errors.take() {
                    finding.notes.push(format!("{count} × {error}"));
                }
                println!("{}", report::terminal(name, &finding, report.quick));
                report.findings.push((name.to_owned(), finding));
            }
            Err(error) => {
                failed = true;
                println!("{name} could not be run: {error}\n");
                let mut finding = report::Finding::not_run();
                finding.describe(format!("Could not be run: {error}"));
                finding
                    .notes
                    .extend(bench.errors.take().iter().map(|(error, count)| format!("{count} × {error}")));
                report.findings.push((name.to_owned(), finding));
            }
        }
    }
    drop(bench);
    if let Some(path) = out
        && let Err(error) = write(&path, &report.markdown())
    {
        eprintln!("cannot write {}: {error}", path.display());
        failed = true;
    }
    match report.broken() {
        0 if failed => ExitCode::from(2),
        0 => ExitCode::SUCCESS,
        broken => {
            println!("{broken} messages or keys were lost or came twice.");
            ExitCode::from(1)
        }
    }
}

async fn prepare(args: RunArgs) -> Result<(Bench, Report), BenchError> {
    let data = args.data.unwrap_or_else(std::env::temp_dir);
    let settings = Settings {
        quick: args.quick,
        in_flight: usize::from(args.in_flight),
        load: Duration::from_secs(args.seconds.map_or(if args.quick { 2 } else { 15 }, u64::from)),
    };
    let mut report =
        Report { quick: args.quick, subject: String::new(), disk_sync_us: None, findings: Vec::new() };
    let (server, platforms) = match args.linkspan {
        Some(program) => {
            report.disk_sync_us = disk_sync_us(&data).ok();
            let server = Server::start(&program, &data, Limits::None).await?;
            report.subject = format!("{}, three platforms in one process", describe_program(&program));
            let platforms = server.platforms().to_vec();
            (Some(server), platforms)
        }
        None => {
            let platforms: Vec<_> = args.server.into_iter().map(Arc::new).collect();
            let names: Vec<&str> = platforms.iter().map(|platform| platform.server_name.as_str()).collect();
            report.subject = format!("a running server: {}", names.join(", "));
            (None, platforms)
        }
    };
    Ok((Bench::new(platforms, server, args.pid, settings, run_name()), report))
}

/// Short, and different for runs against the same server.
fn run_name() -> String {
    format!("b{:x}p{:x}", report::since_epoch().as_secs(), std::process::id())
}

/// The program's name and, if the path tells it, its build profile.
fn describe_program(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    match program.parent().and_then(Path::file_name).and_then(|folder| folder.to_str()) {
        Some(profile @ ("release" | "debug")) => format!("{name} ({profile} build)"),
        _ => name.into_owned(),
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
