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
use linkspan_platforms::{Platform, Platforms};
use linkspan_storage::Store;
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinSet,
};

use crate::{
    ConfigPath, Failure,
    config::Config,
    connection::Server,
    connections::Connections,
    control::Control,
    health::Health,
    limits,
    metrics::{ANY, Metrics, Requests as Counts, Sources},
    read_config,
    refusal::Refusals,
    sampling::Sampler,
    services,
    systemd::Notifier,
    throttle::Throttles,
    tls::{Acceptor, Certificates},
    under_way::Requests,
};

/// How long requests may go on after the signal to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The code with which the process ends when its store has failed: `EX_IOERR` of `sysexits.h`.
const FAILED_STORE: i32 = 74;
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

/// Serves until SIGTERM or SIGINT, or until the store has failed.
pub(crate) fn serve(options: &Options) -> Result<ExitCode, Failure> {
    let started = SystemTime::now();
    check_clock(started)?;
    let config = read_config(&options.config.config)?;
    let connections = limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stopped = stop_signal()?;
        let notifier = Arc::new(Notifier::from_environment());
        let running = Running::start(&config, started, connections, &notifier).await?;
        notifier.ready();
        // Only when all are there: who waits for a line may use any of them.
        for Listening { scheme, address, names } in &running.listening {
            println!("listening on {scheme}://{address} for {names}");
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
    /// All places where it listens. If there is one for all platforms, it is the first.
    listening: Vec<Listening>,
    /// Where metrics are told.
    metrics_address: Option<SocketAddr>,
    health: Health,
    inbox: Inbox,
    store: Store,
    listeners: JoinSet<()>,
    stop: watch::Sender<()>,
    background: JoinSet<()>,
    /// What tells how the server is, to its end.
    watching: JoinSet<()>,
}

/// Where a server listens.
struct Listening {
    /// `http` or `https`.
    scheme: &'static str,
    address: SocketAddr,
    /// The server names of all platforms that are reached there.
    names: String,
}

impl Running {
    /// Opens the store and listens everywhere. It takes at most so many connections at a time.
    async fn start(
        config: &Config,
        started: SystemTime,
        connections: usize,
        notifier: &Arc<Notifier>,
    ) -> Result<Self, Failure> {
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
        let api = Arc::new(services::api(config, app.clone(), store.clone()));
        let counts = Arc::new(Counts::new(&platforms));
        watching.spawn(counts.clone().tell_of_refusals());
        watching.spawn(health.clone().watch(store.clone(), notifier.clone()));

        let (stop, stopping) = watch::channel(());
        let certificates = Certificates::read(platforms.clone(), config.tls.clone())?;
        let bound = bind(config, &platforms).await?;
        let most = asked.min(connections);
        let connections = Arc::new(Connections::new(most, bound.len()));
        let requests = Arc::new(Requests::new(most, platforms.iter().count()));
        let refusals = Refusals::default();
        let throttles = Arc::new(Throttles::default());
        let mut listeners = JoinSet::new();
        let (mut listening, mut listeners_of) = (Vec::new(), Vec::new());
        for (number, Bound { listener, platform, names, with_tls }) in bound.into_iter().enumerate() {
            let scheme = if with_tls { "https" } else { "http" };
            listening.push(Listening { scheme, address: listener.local_addr()?, names });
            let tls = with_tls.then(|| certificates.acceptor(platform.clone())).transpose()?;
            let of_platform = platform.as_ref().map(|platform| platform.server_name().to_string());
            listeners_of.push(of_platform.unwrap_or_else(|| ANY.to_owned()));
            let server = Server {
                api: api.clone(),
                platform,
                with_tls,
                trusted_proxies: config.listen.trusted_proxies.clone(),
                platforms: platforms.clone(),
                requests: requests.clone(),
                health: health.clone(),
                counts: counts.clone(),
                throttles: throttles.clone(),
            };
            let door = Door {
                server: Arc::new(server),
                tls,
                number,
                connections: connections.clone(),
                refusals: refusals.clone(),
            };
            listeners.spawn(accept(listener, door, stopping.clone()));
        }
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
            listening: listeners_of,
            started,
            data: config.data.clone(),
        };
        metrics.open(sources);
        health.note_started();
        watching.spawn(sampler.run());
        Ok(Self { listening, metrics_address, health, inbox, store, listeners, stop, background, watching })
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

/// A listener that is bound.
struct Bound {
    listener: TcpListener,
    /// The platform that it is for alone.
    platform: Option<Arc<Platform>>,
    /// The names of all that are reached there.
    names: String,
    with_tls: bool,
}

async fn bind(config: &Config, platforms: &Platforms) -> Result<Vec<Bound>, Failure> {
    let all: Vec<_> = platforms.iter().map(|platform| platform.server_name().as_str()).collect();
    let mut wanted = vec![
        (config.listen.http, None, all.join(", "), false),
        (config.listen.https, None, all.join(", "), true),
    ];
    for platform in platforms.iter() {
        let (settings, name) = (&platform.settings, platform.server_name().to_string());
        wanted.push((settings.listen, Some(platform.clone()), name.clone(), false));
        wanted.push((settings.listen_https, Some(platform.clone()), name, true));
    }
    let mut listeners = Vec::new();
    for (address, platform, names, with_tls) in wanted {
        if let Some(address) = address {
            listeners.push(Bound { listener: bind_one(address).await?, platform, names, with_tls });
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

/// What happens to the connections that come to a listener.
struct Door {
    server: Arc<Server>,
    /// What agrees on TLS, if it is spoken here.
    tls: Option<Acceptor>,
    /// The listener's number.
    number: usize,
    connections: Arc<Connections>,
    refusals: Refusals,
}

impl Door {
    fn take(&self, stream: TcpStream, peer: SocketAddr, stopping: &watch::Receiver<()>) {
        let network = self.server.network_of(peer.ip());
        let Some(admitted) = self.connections.admit(self.number, network) else {
            // To tell why by TLS would take more than a connection that is served.
            if self.tls.is_none() {
                self.refusals.refuse(stream, self.server.throttles.clone());
            }
            return;
        };
        let (server, tls, stopping) = (self.server.clone(), self.tls.clone(), stopping.clone());
        tokio::spawn(async move {
            let seat = admitted.seat.clone();
            match tls {
                None => server.connection(stream, peer, seat, stopping).await,
                Some(tls) => {
                    if let Some(stream) = tls.accept(stream, &seat, stopping.clone()).await {
                        server.connection(stream, peer, seat, stopping).await;
                    }
                }
            }
            drop(admitted);
        });
    }
}

/// Accepts all connections, also where there are too many, so that nobody waits without an answer.
async fn accept(listener: TcpListener, door: Door, mut stopping: watch::Receiver<()>) {
    loop {
        let accepted = tokio::select! {
            _ = stopping.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => door.take(stream, peer, &stopping),
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
