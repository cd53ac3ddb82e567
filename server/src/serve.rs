//! The command `serve`: it listens, and it stops without losing an answer.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    process::{self, ExitCode},
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use linkspan_inbox::Inbox;
use linkspan_storage::Store;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
};

use crate::{
    ConfigPath, Failure,
    config::Config,
    connections::Connections,
    control::Control,
    health::Health,
    limits,
    listeners::{Listeners, Parts, bind_one},
    metrics::{Metrics, Requests as Counts, Sources},
    read_config,
    reload::{Reloader, Reloading},
    sampling::Sampler,
    services,
    systemd::Notifier,
    tls::{Certificates, ReadFiles},
    under_way::Requests,
};

/// How long requests may go on after the signal to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The code with which the process ends when its store has failed: `EX_IOERR` of `sysexits.h`.
const FAILED_STORE: i32 = 74;

/// What `serve` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    config: ConfigPath,
    /// Stop also when standard input ends, which it does when the program that started this one is gone.
    #[arg(long)]
    stop_with_stdin: bool,
}

impl Options {
    /// The configuration file.
    pub(crate) fn config_path(&self) -> &Path {
        &self.config.config
    }
}

/// Serves until SIGTERM or SIGINT, or until the store has failed.
pub(crate) fn serve(options: &Options) -> Result<ExitCode, Failure> {
    let started = SystemTime::now();
    check_clock(started)?;
    let path = &options.config.config;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let config = &read_config(path)?;
    let connections = limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stopped = stop_signal()?;
        let notifier = Arc::new(Notifier::from_environment());
        let hangups = signal(SignalKind::hangup())?;
        let started_with = StartedWith { path, text, config, started };
        let mut running = Running::start(started_with, connections, &notifier).await?;
        running.background.spawn(reload_on(hangups, running.reloading.clone()));
        notifier.ready();
        // Only when all are there: who waits for a line may use any of them.
        for listening in &running.listening {
            println!("{listening}");
        }
        let store = running.store.clone();
        let mut failed = store.failed();
        if let Some(address) = running.metrics_address {
            println!("listening on http://{address} for metrics");
        }
        tokio::select! {
            () = stopped => {}
            () = end_of_input(), if options.stop_with_stdin => {}
            _ = failed.wait_for(Option::is_some) => {}
        }
        notifier.stopping();
        running.stop().await;
        if failed.borrow().is_some() {
            // Whoever supervises the process starts it again, and with that the store is opened anew. To close it now
            // might wait for what has failed.
            process::exit(FAILED_STORE);
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What a server starts with.
struct StartedWith<'a> {
    /// The configuration file.
    path: &'a Path,
    /// What stood in it.
    text: String,
    config: &'a Config,
    started: SystemTime,
}

/// Refuses to serve by a clock that was never set. Times are counted from 1970, in events, tokens and certificates, and the
/// libraries for HTTP and TLS break off before it.
fn check_clock(now: SystemTime) -> Result<(), Failure> {
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(_) => Ok(()),
        Err(_) => Err("the clock of this machine says a time before 1970: set it first".into()),
    }
}

/// A server that listens. It has to be stopped; dropping it cuts requests off.
struct Running {
    /// Where it listens, a sentence for each place. If there is one for all platforms, it is the first.
    listening: Vec<String>,
    /// Where metrics are told.
    metrics_address: Option<SocketAddr>,
    health: Health,
    inbox: Inbox,
    store: Store,
    listeners: Arc<Listeners>,
    reloading: Reloading,
    background: JoinSet<()>,
    /// What tells how the server is, to its end.
    watching: JoinSet<()>,
}

impl Running {
    /// Opens the store and listens everywhere. It takes at most so many connections at a time.
    async fn start(
        started_with: StartedWith<'_>,
        connections: usize,
        notifier: &Arc<Notifier>,
    ) -> Result<Self, Failure> {
        let StartedWith { path, text, config, started } = started_with;
        let asked = config.listen.max_connections.map_or(usize::MAX, |asked| asked as usize);
        if asked != usize::MAX && asked > connections {
            tracing::warn!(asked, allowed = connections, "the limit of open files allows fewer connections");
        }
        let health = Health::starting();
        let metrics = Metrics::starting(health.clone());
        // It listens before the store is opened, which takes a while after a crash: so one sees that it starts.
        let mut watching = JoinSet::new();
        let mut metrics_address = None;
        if let Some(address) = config.listen.metrics {
            let listener = bind_one(address).await?;
            metrics_address = Some(listener.local_addr()?);
            watching.spawn(metrics.clone().serve(listener));
        }
        let (app, store, mut background) = services::open(config).await?;
        let inbox = app.inbox.clone();
        let platforms = app.platforms.clone();
        let reloading = Reloading::default();
        let api = Arc::new(services::api(config, app.clone(), store.clone(), reloading.clone()));
        let counts = Arc::new(Counts::new(platforms.clone()));
        watching.spawn(counts.clone().tell_of_refusals());
        watching.spawn(health.clone().watch(store.clone(), notifier.clone()));

        let certificates = Certificates::new(platforms.clone(), ReadFiles::of(config)?);
        let most = asked.min(connections);
        let connections = Arc::new(Connections::new(most));
        let requests = Arc::new(Requests::new(most, platforms.iter().count()));
        let listeners = Arc::new(Listeners::new(Parts {
            api: api.clone(),
            platforms,
            requests: requests.clone(),
            health: health.clone(),
            counts: counts.clone(),
            connections: connections.clone(),
            certificates: certificates.clone(),
        }));
        let bound = listeners.bind(config).await?;
        let listening = listeners.open(config, bound).await?;
        let reloader = Reloader::new(
            path.to_owned(),
            text,
            app.clone(),
            store.clone(),
            listeners.clone(),
            certificates.clone(),
            notifier.clone(),
        );
        // It is made once.
        let _ = reloading.set(reloader);
        background.spawn(certificates.keep_current());
        if let Some(control) = Control::open(&config.data) {
            background.spawn(control.answer(api));
        }
        let sampler = Sampler {
            app: app.clone(),
            store: store.clone(),
            requests: counts.clone(),
            health: health.clone(),
            started,
            data: config.data.clone(),
        };
        let sources = Sources {
            app,
            store: store.clone(),
            requests: counts,
            under_way: requests,
            connections,
            started,
            data: config.data.clone(),
        };
        metrics.open(sources);
        health.note_started();
        watching.spawn(sampler.run());
        Ok(Self {
            listening,
            metrics_address,
            health,
            inbox,
            store,
            listeners,
            reloading,
            background,
            watching,
        })
    }

    /// Answers the requests that are under way, and ends.
    async fn stop(self) {
        tracing::info!("stopping");
        self.health.note_stopping();
        // Long polls answer at once; connections end after the request they are in.
        self.inbox.stop_waiting();
        if tokio::time::timeout(STOP_GRACE, self.listeners.close()).await.is_err() {
            let connections = self.listeners.count_connections();
            tracing::warn!(connections, "some requests were cut off");
        }
        drop((self.background, self.watching));
        tracing::info!("stopped");
    }
}

/// Reads the configuration again whenever a signal asks for it.
async fn reload_on(mut hangups: Signal, reloading: Reloading) {
    while hangups.recv().await.is_some() {
        if let Some(reloader) = reloading.get() {
            // What is wrong is in the log.
            let _ = reloader.reload().await;
        }
    }
}

/// A future that is ready once the program is asked to stop. From the call on, a signal does not simply kill
/// it.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Waits until standard input has ended.
async fn end_of_input() {
    let (ended, told) = oneshot::channel::<()>();
    // It is a thread of its own, because the runtime would not end before a read of its own has.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(ended);
    });
    let _ = told.await;
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::check_clock;

    #[test]
    fn a_clock_that_was_never_set_is_refused() {
        let second = Duration::from_secs(1);
        assert!(check_clock(SystemTime::UNIX_EPOCH).is_ok());
        let refused = check_clock(SystemTime::UNIX_EPOCH - second).expect_err("no server goes by it");
        assert!(refused.to_string().contains("before 1970"), "{refused}");
    }
}
