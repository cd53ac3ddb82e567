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
mod key_commands;
mod limits;
mod link_commands;
mod listeners;
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
mod platform_operations;
mod refusal;
mod reload;
mod reload_command;
mod report_commands;
mod restore_command;
mod room_commands;
mod sampling;
mod sending;
mod serve;
mod services;
mod settings;
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

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    config::{Config, Severity},
    log::Log,
};

/// Gives freed memory back to the system, where the C library's keeps what a burst of requests took.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the manual page says besides.
const AFTER_HELP: &str = "\
Commands reach a server that runs through a socket in its data folder, so run them as the user that the server runs as:

    runuser -u linkspan -- linkspan user create --config /etc/linkspan/linkspan.toml photos anna

The environment variable LINKSPAN_LOG says how much is told on standard error: error, warn, info, debug or trace, also for
single crates. LINKSPAN_MEDIA_SECRET_KEY is the secret key of the bucket that media are kept in.";

/// A Matrix homeserver for several chat platforms in one process.
#[derive(Debug, Parser)]
#[command(name = "linkspan", version, after_long_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve all platforms of a configuration.
    ///
    /// SIGTERM and SIGINT stop it once requests that are under way are answered. SIGHUP has it read its configuration and its
    /// certificates again.
    Serve(serve::Options),
    /// Say everything that is wrong with a configuration.
    Check(ConfigPath),
    /// Have the server that runs read its configuration and its certificates again.
    Reload(ConfigPath),
    /// Ask the server that runs whether it should be sent requests.
    Health(ConfigPath),
    /// Say where the stored tables contradict each other, while the server is stopped.
    Audit(ConfigPath),
    /// Back up all data into a folder, also while the server runs.
    Backup(backup_command::Options),
    /// Check a backup, or make an empty data folder what it was when the backup was made.
    Restore(restore_command::Options),
    /// List, add and change platforms.
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
    /// List the signing keys of a platform, or make a new one.
    #[command(subcommand)]
    Keys(key_commands::KeysCommand),
    /// Print a script that completes the program's arguments, for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands.
    Man {
        /// A folder for the pages of all commands.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
    /// Print the page of all settings, which is docs/settings.md.
    #[command(hide = true)]
    Settings,
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
        Command::Reload(path) => reload_command::run(&path.config)?,
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
        Command::Keys(command) => key_commands::run(command)?,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "linkspan", &mut std::io::stdout());
        }
        Command::Man { folder } => print_manual(folder.as_deref())?,
        Command::Settings => print!("{}", settings::page()),
        Command::Matching(command) => matching_commands::run(command)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print_manual(folder: Option<&Path>) -> Result<(), Failure> {
    match folder {
        Some(folder) => clap_mangen::generate_to(Arguments::command(), folder)?,
        None => clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout())?,
    }
    Ok(())
}

/// Prints all findings. The exit code tells whether the server would start.
fn check_config(path: &Path) -> Result<ExitCode, Failure> {
    let reading = read(path)?;
    for finding in &reading.findings {
        println!("{}: {finding}", path.display());
    }
    let Some(config) = reading.config else { return Ok(ExitCode::FAILURE) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let is_looked_at = runtime.block_on(reload_command::check(&config, path))?;
    let stored = if is_looked_at { Vec::new() } else { runtime.block_on(stored::judge(&config))? };
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
    Config::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!(
            "there is no configuration {}: README.md shows one, and --config names another file",
            path.display()
        )
        .into(),
        _ => format!("{} cannot be read: {error}", path.display()).into(),
    })
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
