//! The program `linkspan`: reads its arguments, and runs one command.
//!
//! Only this crate reads configuration, environment and arguments; it wires the services together and
//! decides nothing about chats.

mod audit_command;
mod back_end;
mod backup;
mod backup_command;
mod check;
mod config;
mod connection;
mod connections;
mod control;
mod courier;
mod health;
mod health_command;
mod limits;
mod link_commands;
mod log;
mod mail;
mod matching_commands;
mod media;
mod media_commands;
mod metrics;
mod notice_commands;
mod on_platform;
mod operations;
mod platform_commands;
mod refusal;
mod report_commands;
mod restore_command;
mod room_commands;
mod sampling;
mod sending;
mod serve;
mod services;
mod shown;
mod sms;
mod stored;
mod systemd;
mod throttle;
mod tls;
mod token_commands;
mod under_way;
mod unread_body;
mod user_commands;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    config::{Config, Severity},
    log::Log,
};

/// Gives freed memory back to the system, where the C library's keeps what a burst of requests took.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Matrix homeserver for several chat platforms in one process.
#[derive(Debug, Parser)]
#[command(name = "linkspan", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve all platforms of a configuration.
    Serve(serve::Options),
    /// Say everything that is wrong with a configuration.
    Check(ConfigPath),
    /// Ask the server that runs whether it should be sent requests.
    Health(ConfigPath),
    /// Say where the stored tables contradict each other, while the server is stopped.
    Audit(ConfigPath),
    /// Back up all data into a folder, also while the server runs.
    Backup(backup_command::Options),
    /// Check a backup, or make an empty data folder what it was when the backup was made.
    Restore(restore_command::Options),
    /// List or add platforms.
    #[command(subcommand)]
    Platform(platform_commands::PlatformCommand),
    /// Create, list and change accounts.
    #[command(subcommand)]
    User(user_commands::UserCommand),
    /// Tell people of a platform something.
    #[command(subcommand)]
    Notice(notice_commands::NoticeCommand),
    /// List, show, block or delete rooms.
    #[command(subcommand)]
    Room(room_commands::RoomCommand),
    /// List, show, remove or quarantine uploads.
    #[command(subcommand)]
    Media(media_commands::MediaCommand),
    /// List, show or close what people have reported.
    #[command(subcommand)]
    Report(report_commands::ReportCommand),
    /// List which accounts of a platform are linked with others.
    #[command(subcommand)]
    Link(link_commands::LinkCommand),
    /// Create, list or delete registration tokens.
    #[command(subcommand)]
    Token(token_commands::TokenCommand),
    /// Make a new key for matching address books, while the server is stopped.
    #[command(subcommand)]
    Matching(matching_commands::MatchingCommand),
}

#[derive(Debug, clap::Args)]
struct ConfigPath {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "linkspan.toml")]
    config: PathBuf,
}

/// A command failed, in words for the operator.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(failure) = log_of(&arguments.command).start() {
        eprintln!("linkspan: {} is not understood: {failure}", log::VARIABLE);
        return ExitCode::FAILURE;
    }
    match run(arguments.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("linkspan: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// How the log is to be. What is wrong with a configuration is told by the command, which reads it again once there is
/// a log. People read what all other commands tell.
fn log_of(command: &Command) -> Log {
    let Command::Serve(options) = command else { return Log::default() };
    let reading = Config::read(options.config_path()).ok();
    reading.and_then(|reading| reading.config).map(|config| config.log).unwrap_or_default()
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(options) => return serve::serve(&options),
        Command::Check(path) => return check_config(&path.config),
        Command::Health(path) => return health_command::run(&read_config(&path.config)?),
        Command::Audit(path) => return audit_command::run(&read_config(&path.config)?),
        Command::Backup(options) => backup_command::run(&options)?,
        Command::Restore(options) => restore_command::run(&options)?,
        Command::Platform(command) => platform_commands::run(command)?,
        Command::User(command) => user_commands::run(command)?,
        Command::Notice(command) => notice_commands::run(command)?,
        Command::Room(command) => room_commands::run(command)?,
        Command::Media(command) => media_commands::run(command)?,
        Command::Report(command) => report_commands::run(command)?,
        Command::Link(command) => link_commands::run(command)?,
        Command::Token(command) => token_commands::run(command)?,
        Command::Matching(command) => matching_commands::run(command)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints all findings. The exit code tells whether the server would start.
fn check_config(path: &Path) -> Result<ExitCode, Failure> {
    let reading = read(path)?;
    for finding in &reading.findings {
        println!("{}: {finding}", path.display());
    }
    let Some(config) = reading.config else { return Ok(ExitCode::FAILURE) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stored = runtime.block_on(stored::judge(&config))?;
    for finding in &stored {
        println!("{}: {finding}", path.display());
    }
    if stored.iter().any(|finding| finding.severity == Severity::Error) {
        return Ok(ExitCode::FAILURE);
    }
    let names: Vec<_> = config.platforms.iter().map(|platform| platform.server_name.as_str()).collect();
    println!(
        "configuration is good: {} ({}), data in {}",
        counted(names.len(), "platform"),
        names.join(", "),
        config.data.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// What warnings about a configuration are logged as. Who knows them can leave them out.
const CONFIGURATION: &str = "linkspan::configuration";

/// Reads a configuration that the server can start with. Warnings go to the log.
fn read_config(path: &Path) -> Result<Config, Failure> {
    let reading = read(path)?;
    for finding in reading.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
        tracing::warn!(target: CONFIGURATION, "{}: {finding}", path.display());
    }
    reading.config.ok_or_else(|| {
        let errors = reading.findings.iter().filter(|finding| finding.severity == Severity::Error);
        let lines: Vec<_> = errors.map(|finding| format!("\n  {finding}")).collect();
        format!("{} cannot be used:{}", path.display(), lines.concat()).into()
    })
}

fn read(path: &Path) -> Result<config::Reading, Failure> {
    Config::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()).into())
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
