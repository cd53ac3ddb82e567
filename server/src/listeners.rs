//! Where the server listens. Listeners are opened and closed while it runs; whoever is connected to one that is closed is
//! answered first.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use linkspan_platforms::Platforms;
use linkspan_wire::Api;
use ruma::OwnedServerName;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    task::JoinHandle,
};

use crate::{
    Failure,
    config::Config,
    connection::Server,
    connections::Connections,
    health::Health,
    metrics::{ANY, Requests as Counts},
    refusal::Refusals,
    throttle::Throttles,
    tls::{Acceptor, Certificates},
    under_way::Requests,
};

/// How long accepting rests after a failure, such as when the system has no more files to give.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Purpose {
    /// The platform that it is for alone. Without one it is for all, told apart by `Host`.
    platform: Option<OwnedServerName>,
    /// Whether TLS is spoken there.
    with_tls: bool,
}

impl Purpose {
    fn scheme(&self) -> &'static str {
        if self.with_tls { "https" } else { "http" }
    }
}

/// All listeners, and what they have in common.
pub(crate) struct Listeners {
    parts: Parts,
    throttles: Arc<Throttles>,
    refusals: Refusals,
    trusted_proxies: Arc<ArcSwap<Vec<IpAddr>>>,
    open: Mutex<Vec<Open>>,
    /// What ends the connections of listeners that are closed.
    closed: Mutex<Vec<watch::Sender<()>>>,
}

/// What [`Listeners`] are made of.
pub(crate) struct Parts {
    pub(crate) api: Arc<Api>,
    pub(crate) platforms: Arc<Platforms>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) health: Health,
    pub(crate) counts: Arc<Counts>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) certificates: Arc<Certificates>,
}

/// A listener that accepts connections.
struct Open {
    purpose: Purpose,
    /// The address that was asked for. Port 0 is any free port.
    asked: SocketAddr,
    stop: watch::Sender<()>,
    /// Gives the listener back once it is to stop.
    accepting: JoinHandle<TcpListener>,
}

/// Listeners that are bound and do not accept yet.
pub(crate) struct Bound(Vec<(Purpose, SocketAddr, TcpListener)>);

impl Listeners {
    /// None is open yet.
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            throttles: Arc::default(),
            refusals: Refusals::default(),
            trusted_proxies: Arc::default(),
            open: Mutex::default(),
            closed: Mutex::default(),
        }
    }

    /// Binds what a configuration asks for and what is not open yet. Nothing is changed, so this may be for nothing.
    pub(crate) async fn bind(&self, config: &Config) -> Result<Bound, Failure> {
        let open = self.open.lock().await;
        let mut bound = Vec::new();
        for (purpose, asked) in wanted(config) {
            let is_there =
                open.iter().any(|it| it.asked == asked && (it.purpose == purpose || asked.port() != 0));
            if is_there {
                continue;
            }
            let in_the_way = open.iter().find(|it| asked.port() != 0 && it.asked.port() == asked.port());
            let listener = bind_one(asked).await.map_err(|failure| match in_the_way {
                Some(other) => Failure::from(format!(
                    "cannot listen on {asked} while this server listens on {}: restart it for that",
                    other.asked
                )),
                None => failure,
            })?;
            bound.push((purpose, asked, listener));
        }
        Ok(Bound(bound))
    }

    /// Listens where a configuration says, and nowhere else. The platforms must be there already. Says what has changed.
    pub(crate) async fn open(&self, config: &Config, bound: Bound) -> Result<Vec<String>, Failure> {
        self.trusted_proxies.store(Arc::new(config.listen.trusted_proxies.clone()));
        self.closed.lock().await.retain(|stop| stop.receiver_count() > 0);
        let mut open = self.open.lock().await;
        let wanted = wanted(config);
        let (stay, leave): (Vec<_>, Vec<_>) = std::mem::take(&mut *open)
            .into_iter()
            .partition(|it| wanted.contains(&(it.purpose.clone(), it.asked)));
        *open = stay;
        let Bound(mut bound) = bound;
        let mut told = Vec::new();
        for Open { purpose, asked, stop, accepting } in leave {
            let _ = stop.send(());
            self.closed.lock().await.push(stop);
            let listener = accepting.await?;
            match wanted.iter().find(|(_, other)| *other == asked && asked.port() != 0) {
                // Another platform goes on at the same address.
                Some((purpose, asked)) => bound.push((purpose.clone(), *asked, listener)),
                None => {
                    let (scheme, names) = (purpose.scheme(), self.names(&purpose));
                    told.push(format!("not listening on {scheme}://{asked} for {names} any more"));
                }
            }
        }
        for (purpose, asked, listener) in bound {
            let address = listener.local_addr()?;
            told.push(format!("listening on {}://{address} for {}", purpose.scheme(), self.names(&purpose)));
            let (stop, stopping) = watch::channel(());
            let accepting = tokio::spawn(accept(listener, self.door(&purpose)?, stopping));
            open.push(Open { purpose, asked, stop, accepting });
        }
        Ok(told)
    }

    /// Closes all listeners, and waits until all connections have ended.
    pub(crate) async fn close(&self) {
        for Open { stop, accepting, .. } in std::mem::take(&mut *self.open.lock().await) {
            let _ = stop.send(());
            // A listener that has failed is closed, too.
            let _ = accepting.await;
            self.closed.lock().await.push(stop);
        }
        for stop in &*self.closed.lock().await {
            stop.closed().await;
        }
    }

    /// How many connections there are.
    pub(crate) fn count_connections(&self) -> usize {
        self.parts.connections.counts().iter().map(|(_, counts)| counts.open).sum()
    }

    fn door(&self, purpose: &Purpose) -> Result<Door, Failure> {
        let Purpose { platform, with_tls } = purpose;
        let number = self.parts.connections.listener(platform.as_ref().map_or(ANY, |name| name.as_str()));
        let tls = with_tls.then(|| self.parts.certificates.acceptor(platform.clone())).transpose()?;
        let server = Server {
            api: self.parts.api.clone(),
            platform: platform.clone(),
            with_tls: *with_tls,
            trusted_proxies: self.trusted_proxies.clone(),
            platforms: self.parts.platforms.clone(),
            requests: self.parts.requests.clone(),
            health: self.parts.health.clone(),
            counts: self.parts.counts.clone(),
            throttles: self.throttles.clone(),
        };
        Ok(Door {
            server: Arc::new(server),
            tls,
            number,
            connections: self.parts.connections.clone(),
            refusals: self.refusals.clone(),
        })
    }

    /// The server names of all platforms that are reached by a listener.
    fn names(&self, purpose: &Purpose) -> String {
        match &purpose.platform {
            Some(name) => name.to_string(),
            None => {
                let names: Vec<_> =
                    self.parts.platforms.iter().map(|it| it.server_name().to_string()).collect();
                names.join(", ")
            }
        }
    }
}

/// What a configuration wants listeners for. If there is one for all platforms, it is the first.
fn wanted(config: &Config) -> Vec<(Purpose, SocketAddr)> {
    let of_all = [(None, false, config.listen.http), (None, true, config.listen.https)];
    let own = config.platforms.iter().flat_map(|it| {
        let name = Some(it.server_name.clone());
        [(name.clone(), false, it.listen), (name, true, it.listen_https)]
    });
    let all = of_all.into_iter().chain(own);
    all.filter_map(|(platform, with_tls, address)| Some((Purpose { platform, with_tls }, address?))).collect()
}

/// Listens on an address.
pub(crate) async fn bind_one(address: SocketAddr) -> Result<TcpListener, Failure> {
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

/// Accepts all connections, also where there are too many, so that nobody waits without an answer. Returns the listener
/// once it is to stop.
async fn accept(listener: TcpListener, door: Door, mut stopping: watch::Receiver<()>) -> TcpListener {
    loop {
        let accepted = tokio::select! {
            _ = stopping.changed() => return listener,
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
