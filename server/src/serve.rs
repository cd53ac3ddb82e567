//! The command `serve`: it listens, and it stops without losing an answer.

use std::{io, net::SocketAddr, path::Path, sync::Arc, thread, time::Duration};

use linkspan_inbox::Inbox;
use linkspan_platforms::{Platform, Platforms};
use linkspan_web::{BUILT_IN, Web};
use linkspan_wire::Api;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, oneshot, watch},
    task::JoinSet,
};

use crate::{
    ConfigPath, Failure,
    config::Config,
    connection::Server,
    health::Health,
    limits,
    metrics::{Metrics, Requests, Sources},
    read_config, services,
    systemd::Notifier,
};

/// How long requests may go on after the signal to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long accepting rests when the system has no more files to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(options: &Options) -> Result<(), Failure> {
    let config = read_config(&options.config.config)?;
    let connections = limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stopped = stop_signal()?;
        let notifier = Arc::new(Notifier::from_environment());
        let running = Running::start(&config, connections, &notifier).await?;
        notifier.ready();
        // Only when all are there: who waits for a line may use any of them.
        for listening in &running.listening {
            println!("listening on http://{} for {}", listening.address, listening.names);
        }
        if let Some(address) = running.metrics_address {
            println!("listening on http://{address} for metrics");
        }
        tokio::select! {
            () = stopped => {}
            () = end_of_input(), if options.stop_with_stdin => {}
        }
        notifier.stopping();
        running.stop().await;
        Ok(())
    })
}

/// A server that listens. It has to be stopped; dropping it cuts requests off.
struct Running {
    /// All places where it listens. If there is one for all platforms, it is the first.
    listening: Vec<Listening>,
    /// Where metrics are told.
    metrics_address: Option<SocketAddr>,
    health: Health,
    inbox: Inbox,
    listeners: JoinSet<()>,
    stop: watch::Sender<()>,
    background: JoinSet<()>,
    /// What tells how the server is, to its end.
    watching: JoinSet<()>,
}

/// Where a server listens.
struct Listening {
    address: SocketAddr,
    /// The server names of all platforms that are reached there.
    names: String,
}

impl Running {
    /// Opens the store and listens everywhere. It takes at most so many connections at a time.
    async fn start(config: &Config, connections: usize, notifier: &Arc<Notifier>) -> Result<Self, Failure> {
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
        let (app, store, background) = services::open(config).await?;
        let inbox = app.inbox.clone();
        let platforms = app.platforms.clone();
        let api = Arc::new(Api::new(
            app.clone(),
            [
                linkspan_client_api::endpoints(),
                linkspan_own_api::endpoints(),
                linkspan_identity_api::endpoints(),
            ],
            linkspan_pages::router(app.clone(), Web::new(BUILT_IN)),
        ));
        let counts = Arc::new(Requests::new(&platforms));
        watching.spawn(counts.clone().tell_of_refusals());
        watching.spawn(health.clone().watch(store.clone(), notifier.clone()));

        let (stop, stopping) = watch::channel(());
        let permits = Arc::new(Semaphore::new(asked.min(connections).min(Semaphore::MAX_PERMITS)));
        let mut listeners = JoinSet::new();
        let mut listening = Vec::new();
        for (listener, platform, names) in bind(config, &platforms).await? {
            listening.push(Listening { address: listener.local_addr()?, names });
            let server = Server {
                api: api.clone(),
                platform,
                trusted_proxies: config.listen.trusted_proxies.clone(),
                health: health.clone(),
                counts: counts.clone(),
            };
            listeners.spawn(accept(listener, Arc::new(server), permits.clone(), stopping.clone()));
        }
        metrics.open(Sources { app, store, requests: counts, data: config.data.clone() });
        health.note_started();
        Ok(Self { listening, metrics_address, health, inbox, listeners, stop, background, watching })
    }

    /// Answers the requests that are under way, and ends.
    async fn stop(self) {
        tracing::info!("stopping");
        self.health.note_stopping();
        // Long polls answer at once; connections end after the request they are in.
        self.inbox.stop_waiting();
        let _ = self.stop.send(());
        self.listeners.join_all().await;
        if tokio::time::timeout(STOP_GRACE, self.stop.closed()).await.is_err() {
            tracing::warn!(connections = self.stop.receiver_count(), "some requests were cut off");
        }
        drop((self.background, self.watching));
        tracing::info!("stopped");
    }
}

/// A listener, the platform that it is for alone, and the names of all that are reached there.
type Bound = (TcpListener, Option<Arc<Platform>>, String);

async fn bind(config: &Config, platforms: &Platforms) -> Result<Vec<Bound>, Failure> {
    let mut listeners = Vec::new();
    if let Some(address) = config.listen.http {
        let names: Vec<_> = platforms.iter().map(|platform| platform.server_name().as_str()).collect();
        listeners.push((bind_one(address).await?, None, names.join(", ")));
    }
    for platform in platforms.iter() {
        if let Some(address) = platform.settings.listen {
            let name = platform.server_name().to_string();
            listeners.push((bind_one(address).await?, Some(platform.clone()), name));
        }
    }
    Ok(listeners)
}

async fn bind_one(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("cannot listen on {address}: port {} is taken by another program", address.port()).into()
        }
        _ => format!("cannot listen on {address}: {error}").into(),
    })
}

async fn accept(
    listener: TcpListener,
    server: Arc<Server>,
    permits: Arc<Semaphore>,
    mut stopping: watch::Receiver<()>,
) {
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            _ = stopping.changed() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (server, stopping) = (server.clone(), stopping.clone());
                tokio::spawn(async move {
                    server.connection(stream, peer, stopping).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
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
