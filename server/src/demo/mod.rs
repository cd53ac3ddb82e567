//! The command `demo`: three platforms on this machine that stand in for the three kinds, and six people who chat
//! over all of them with real clients.
//!
//! The people reach the server as anybody would, over HTTP; nothing here looks into it.

mod client;
mod conversation;
mod heard;
mod library;
mod person;
mod picture;
mod screen;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use linkspan_platforms::Encryption;

use self::{
    conversation::{App, ROLES, Recovery},
    library::Libraries,
    person::{PASSWORD, Role},
    screen::{Look, Screen},
};
use crate::{
    Failure,
    config::Config,
    limits, read_config,
    serve::{PortTaken, Running, stop_signal},
};

/// The configuration, to be read by people too.
const CONFIG: &str = include_str!("linkspan.toml");

/// The platforms of the conversation, and what they are called in it.
const PLATFORMS: [(&str, &str); 3] = [
    ("instagram.localhost", "Instagram-style"),
    ("messenger.localhost", "Messenger-style"),
    ("whatsapp.localhost", "WhatsApp-style"),
];

/// What `demo` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to keep the data; without it they are gone when the demo ends.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder with the drivers of client libraries, `tests` in the sources; without it everybody uses a small
    /// client that is built in.
    #[arg(long, value_name = "DIR")]
    clients: Option<PathBuf>,
    /// Listen on this port and the next three instead of 8008 and 8101 to 8103; 0: on any that are free.
    #[arg(long, value_name = "PORT")]
    ports_from: Option<u16>,
    /// End after the conversation; the exit code says whether everybody saw everything.
    #[arg(long)]
    once: bool,
}

/// Serves the demo, and lets its people chat.
pub(crate) fn run(options: Options) -> Result<ExitCode, Failure> {
    let temporary;
    let folder = match &options.data {
        Some(folder) => folder.as_path(),
        None => {
            temporary = tempfile::Builder::new().prefix("linkspan-demo-").tempdir()?;
            temporary.path()
        }
    };
    let mut config = read_config(&write_config(folder)?)?;
    if let Some(first) = options.ports_from {
        listen_from(&mut config, first)?;
    }
    let connections = limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(play(&config, connections, &options, folder))
}

async fn play(
    config: &Config,
    connections: usize,
    options: &Options,
    folder: &Path,
) -> Result<ExitCode, Failure> {
    let mut stopped = std::pin::pin!(stop_signal()?);
    let screen = Screen::new();
    // First, for a new store takes a moment.
    welcome(&screen, options, folder);
    let running = Running::start(config, connections).await.map_err(with_advice)?;
    let apps = apps(&running, config)?;

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
        let mut ended = conversation::hold(&screen, apps.clone(), libraries, folder).await?;
        // Else nobody can log in afterwards.
        if !options.once || options.data.is_some() {
            ended.back_up(folder).await;
        }
        Ok::<_, Failure>(ended)
    };
    let outcome = tokio::select! {
        () = &mut stopped => None,
        outcome = conversation => Some(outcome),
    };
    let Some(outcome) = outcome else {
        running.stop().await;
        return Ok(ExitCode::SUCCESS);
    };
    let (ended, code) = match outcome {
        Ok(ended) => (Some(ended), ExitCode::SUCCESS),
        Err(failure) => {
            screen.say(Look::Bad, &format!("The conversation broke off: {failure}."));
            (None, ExitCode::FAILURE)
        }
    };
    say_how_to_log_in(&screen, &apps);
    say_what_is_closed(&screen, ended.as_ref().map_or(&[], |ended| &ended.recoveries));
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
    }
    running.stop().await;
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

fn say_how_to_log_in(screen: &Screen, apps: &[App; 3]) {
    screen.part("Your turn");
    screen.say(
        Look::Plain,
        "Log in as one of them with a Matrix client; each address is also a page that says how.",
    );
    screen.gap();
    for (platform, app) in apps.iter().enumerate() {
        let here = ROLES.iter().filter(|role| role.platform == platform);
        let name = |role: &Role| match role.username == role.name.to_lowercase() {
            true => role.username.to_owned(),
            false => format!("{} ({})", role.username, role.name),
        };
        let names: Vec<_> = here.map(name).collect();
        screen.row(&[
            (Look::Platform(platform), app.style, 17),
            (Look::Plain, &app.address, 25),
            (Look::Plain, &names.join(", "), 0),
        ]);
    }
    screen.row(&[(Look::Soft, "password", 17), (Look::Plain, PASSWORD, 0)]);
    screen.gap();
}

/// Says what a device that logs in now can read of what was encrypted.
fn say_what_is_closed(screen: &Screen, recoveries: &[Recovery]) {
    let closed = "What was said encrypted is closed to a device that logs in now: the keys are on the devices of the \
                  conversation, which log out.";
    if recoveries.is_empty() {
        screen.say(Look::Plain, &format!("{closed} What is said from now on it can read."));
    } else {
        let opened =
            "A recovery key opens it, in some seconds: give it to a client that wants to verify itself.";
        screen.say(Look::Plain, &format!("{closed} {opened}"));
        screen.gap();
    }
    for Recovery { name, key } in recoveries {
        screen.row(&[(Look::Soft, &format!("{name}'s key"), 17), (Look::Plain, key, 0)]);
    }
    screen.gap();
}

/// Writes the configuration unless there is one: who changed it wants it so.
fn write_config(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    let path = folder.join("linkspan.toml");
    if !path.exists() {
        std::fs::write(&path, CONFIG).map_err(failed)?;
    }
    Ok(path)
}

/// Moves the listeners to this port and the next ones, in their order; 0: to any.
fn listen_from(config: &mut Config, first: u16) -> Result<(), Failure> {
    let platforms = config.platforms.iter_mut().filter_map(|platform| platform.listen.as_mut());
    for (at, address) in config.listen.http.iter_mut().chain(platforms).enumerate() {
        let port = u16::try_from(at).ok().and_then(|at| first.checked_add(at));
        let port = if first == 0 { Some(0) } else { port };
        address.set_port(port.ok_or_else(|| format!("--ports-from {first}: there are not so many ports"))?);
    }
    Ok(())
}

fn with_advice(failure: Failure) -> Failure {
    match failure.downcast_ref::<PortTaken>() {
        Some(taken) => format!("{taken}; `--ports-from 9000` makes the demo use others").into(),
        None => failure,
    }
}

/// The three platforms and where they listen.
fn apps(running: &Running, config: &Config) -> Result<[App; 3], Failure> {
    let find = |(server_name, style): (&str, &'static str)| -> Result<App, Failure> {
        let own = running.listening.iter().find(|listening| {
            listening.platform.as_ref().is_some_and(|platform| platform.server_name() == server_name)
        });
        let address = own.map(|listening| url(listening.address));
        let address = address.ok_or_else(|| {
            format!("the configuration has no platform {server_name} with a `listen` address, which the demo needs")
        })?;
        let mut settings = config.platforms.iter();
        let requires_encryption = settings.any(|platform| {
            platform.server_name == server_name && platform.encryption == Encryption::Required
        });
        Ok(App { style, address, requires_encryption })
    };
    let [first, second, third] = PLATFORMS;
    Ok([find(first)?, find(second)?, find(third)?])
}

/// How this machine reaches an address.
fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let reading = Config::parse(CONFIG, &std::env::temp_dir(), None);
        assert!(reading.findings.is_empty(), "{:?}", reading.findings);
        reading.config.expect("the configuration is good")
    }

    #[test]
    fn the_demo_has_a_configuration_in_which_nothing_is_found() {
        let config = config();
        let names: Vec<_> = config.platforms.iter().map(|platform| platform.server_name.as_str()).collect();
        assert_eq!(names, PLATFORMS.map(|(name, _)| name));
    }

    #[test]
    fn ports_follow_each_other() {
        let mut config = config();
        let ports = |config: &Config| -> Vec<u16> {
            let platforms = config.platforms.iter().filter_map(|platform| platform.listen);
            config.listen.http.into_iter().chain(platforms).map(|address| address.port()).collect()
        };
        assert_eq!(ports(&config), [8008, 8101, 8102, 8103]);
        listen_from(&mut config, 9000).expect("there are enough");
        assert_eq!(ports(&config), [9000, 9001, 9002, 9003]);
        listen_from(&mut config, 0).expect("there are always");
        assert_eq!(ports(&config), [0; 4]);
        assert!(listen_from(&mut config, 65_534).is_err());
    }
}
