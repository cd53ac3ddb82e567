//! The demo: three platforms on this machine that stand in for the three kinds, and six people who chat over
//! all of them with real clients.
//!
//! It starts the program `linkspan`, and the people reach that as anybody would, over HTTP; nothing here
//! looks into it.

mod browser;
mod client;
mod config;
mod conversation;
mod heard;
mod library;
mod outbox;
mod person;
mod picture;
mod screen;
mod server;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use self::{
    config::{Config, Post},
    conversation::{App, ROLES},
    library::Libraries,
    outbox::{Outbox, Sender},
    person::PASSWORD,
    screen::{Look, Screen},
    server::Server,
};

/// The environment variable that says what the demo and its server log.
const LOG: &str = "LINKSPAN_LOG";
/// Little is logged unless it is asked for, because what the demo prints is for people and says what matters.
const LOG_DEFAULT: &str = "warn";

/// The platforms of the conversation, and what they are called in it.
const PLATFORMS: [(&str, &str); 3] = [
    ("instagram.localhost", "Instagram-style"),
    ("messenger.localhost", "Messenger-style"),
    ("whatsapp.localhost", "WhatsApp-style"),
];

/// Serve three example platforms on this machine, and let people of all three chat.
#[derive(Debug, Parser)]
#[command(name = "linkspan-demo", version)]
struct Options {
    /// Where to keep the data; without it they are gone when the demo ends.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder with the drivers of client libraries, `tests` in the sources; without it everybody uses a
    /// small client that is built in.
    #[arg(long, value_name = "DIR")]
    clients: Option<PathBuf>,
    /// The program `linkspan`; without it, the one in the folder of this program.
    #[arg(long, value_name = "FILE")]
    linkspan: Option<PathBuf>,
    /// Listen on this port and the next five instead of 8008 and 8101 to 8105; 0: on any that are free.
    #[arg(long, value_name = "PORT")]
    ports_from: Option<u16>,
    /// End after the conversation; the exit code says whether everybody saw everything.
    #[arg(long)]
    once: bool,
}

/// The demo failed, in words for who tries it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match start_log().and_then(|()| run(&Options::parse())) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("linkspan-demo: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn start_log() -> Result<(), Failure> {
    let filter = std::env::var(LOG).unwrap_or_else(|_| LOG_DEFAULT.to_owned());
    let filter = EnvFilter::builder().parse(filter).map_err(|error| format!("{LOG}: {error}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
    Ok(())
}

/// Serves the demo, and lets its people chat.
fn run(options: &Options) -> Result<ExitCode, Failure> {
    let temporary;
    let folder = match &options.data {
        Some(folder) => folder.as_path(),
        None => {
            temporary = tempfile::Builder::new().prefix("linkspan-demo-").tempdir()?;
            temporary.path()
        }
    };
    let (config, post) = Config::in_folder(folder, options.ports_from)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(play(&config, post, options, folder))
}

async fn play(config: &Config, post: Post, options: &Options, folder: &Path) -> Result<ExitCode, Failure> {
    let mut stopped = std::pin::pin!(stop_signal()?);
    let screen = Screen::new();
    // First, for a new store takes a moment.
    welcome(&screen, options, folder);
    let outbox = Arc::new(Outbox::open(post, senders(config))?);
    let linkspan = options.linkspan.clone().map_or_else(server::beside, Ok)?;
    let mut server = Server::start(&linkspan, &config.path)?;
    let apps = apps(&mut server, config).await?;

    let conversation = async {
        let libraries = match options.clients.clone() {
            // It runs programs, which may take a moment, and nobody has to wait for it who stops the demo.
            Some(clients) => {
                let (tell, told) = tokio::sync::oneshot::channel();
                std::thread::spawn(move || tell.send(Libraries::find(&clients)));
                Some(told.await?)
            }
            None => None,
        };
        let mut ended = conversation::hold(&screen, apps.clone(), libraries, &outbox, folder).await?;
        // Else nobody can log in afterwards.
        if !options.once || options.data.is_some() {
            ended.back_up(&apps, config).await;
        }
        Ok::<_, Failure>(ended)
    };
    let outcome = tokio::select! {
        () = &mut stopped => None,
        outcome = conversation => Some(outcome),
    };
    let Some(outcome) = outcome else { return Ok(ExitCode::SUCCESS) };
    let (ended, code) = match outcome {
        Ok(ended) => (Some(ended), ExitCode::SUCCESS),
        Err(failure) => {
            screen.say(Look::Bad, &format!("The conversation broke off: {failure}."));
            (None, ExitCode::FAILURE)
        }
    };
    say_how_to_log_in(&screen, &outbox.address);
    say_what_is_closed(&screen, ended.as_ref().map_or(&[], |ended| &ended.recoveries));
    say_what_to_open(&screen, &apps);
    if !options.once {
        screen.say(Look::Soft, "Ctrl-C ends the demo.");
    }
    let rest = async {
        if let Some(ended) = ended {
            ended.leave().await;
        }
        if !options.once {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = &mut stopped => screen.gap(),
        () = rest => {}
        () = server.ended() => return Err("the server has ended".into()),
    }
    Ok(code)
}

fn welcome(screen: &Screen, options: &Options, folder: &Path) {
    screen.gap();
    screen.say(Look::Bold, "Linkspan");
    screen.say(
        Look::Plain,
        "Three chat platforms on one server. Each person below uses their own platform's address only. What stands \
         under a step is what their own client received, and how long that took.",
    );
    screen.say(
        Look::Soft,
        &match options.data {
            Some(_) => format!("The data are kept in {}.", folder.display()),
            None => "The data are gone when the demo ends; --data DIR keeps them.".to_owned(),
        },
    );
}

fn say_how_to_log_in(screen: &Screen, outbox: &str) {
    screen.part("Your turn");
    screen.say(
        Look::Plain,
        "Each platform's address opens its app: go on as one of the six there with a click, or sign up as somebody \
         new. Any number and any e-mail address will do: what is sent there is shown in the outbox. Other Matrix \
         clients can log in, too; /_linkspan/about at each address says how.",
    );
    screen.gap();
    screen.row(&[
        (Look::Soft, "outbox", 17),
        (Look::Plain, outbox, 25),
        (Look::Soft, "all SMS and mails", 0),
    ]);
    screen.row(&[(Look::Soft, "password", 17), (Look::Plain, PASSWORD, 0)]);
    screen.gap();
}

/// The platforms as the outbox shows them.
fn senders(config: &Config) -> Vec<Sender> {
    let senders = PLATFORMS.map(|(server_name, style)| Sender {
        server_name: server_name.to_owned(),
        style: style.to_owned(),
        colour: config.colour(server_name).unwrap_or("currentColor").to_owned(),
    });
    senders.into()
}

/// Says what a device that logs in now can read of what was encrypted.
fn say_what_is_closed(screen: &Screen, recoveries: &[(&str, String)]) {
    let closed = "What was said encrypted is closed to a device that logs in now: the keys were on the devices of the \
                  conversation, which log out.";
    if recoveries.is_empty() {
        screen.say(Look::Plain, &format!("{closed} What is said from now on it can read."));
    } else {
        let opened = "The platforms' own apps open it by themselves. For other clients, a recovery key does: give it to \
                      one that wants to verify itself.";
        screen.say(Look::Plain, &format!("{closed} {opened}"));
        screen.gap();
    }
    for (name, key) in recoveries {
        screen.row(&[(Look::Soft, &format!("{name}'s key"), 17), (Look::Plain, key, 0)]);
    }
    screen.gap();
}

/// Says at last what most people came for: the apps, and whose they are.
fn say_what_to_open(screen: &Screen, apps: &[App; 3]) {
    screen.say(Look::Bold, "Open these in a browser:");
    screen.gap();
    for (platform, app) in apps.iter().enumerate() {
        let here: Vec<_> =
            ROLES.iter().filter(|role| role.platform == platform).map(|role| role.name).collect();
        screen.row(&[
            (Look::Platform(platform), &app.name, 17),
            (Look::Bold, &app.address, 25),
            (Look::Soft, &format!("{}: {}", app.style, here.join(", ")), 0),
        ]);
    }
    screen.gap();
}

/// The three platforms, as soon as the server listens at their addresses.
async fn apps(server: &mut Server, config: &Config) -> Result<[App; 3], Failure> {
    let server_names = PLATFORMS.map(|(server_name, _)| server_name);
    let [first, second, third] = server_names.map(|server_name| config.requires_encryption(server_name));
    let encrypted = [first?, second?, third?];
    let urls = server.urls(server_names).await?;
    Ok([0, 1, 2].map(|at| App {
        server_name: server_names[at],
        style: PLATFORMS[at].1,
        name: config.display_name(server_names[at]).unwrap_or(PLATFORMS[at].1).to_owned(),
        address: urls[at].clone(),
        requires_encryption: encrypted[at],
    }))
}

/// Ready once the demo is asked to stop. From the call on it is no longer simply killed.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
