//! The control socket, by which commands reach a server that runs: a Unix socket in the data folder, open to the user who
//! runs the server and to nobody else.
//!
//! The whole API is served there, by HTTP, to somebody who operates the whole back-end: so the operator API asks for no
//! token. What changes something is done to its end, also if the client goes away.

use std::{
    convert::Infallible,
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{body::Body, response::Response};
use hyper::{Request, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use linkspan_wire::{Api, ClientAddress, FromControlSocket, ListenerPlatform};
use tokio::{
    net::{UnixListener, UnixSocket, UnixStream},
    task::JoinSet,
};

use crate::listeners::ACCEPT_PAUSE;

/// The name of the socket in the data folder.
const SOCKET: &str = "control.sock";
/// How many clients are served at the same time. One operator seldom has more than one.
const CLIENTS: usize = 16;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many clients may wait to be accepted.
const BACKLOG: u32 = 16;

/// The server's end of the socket. It goes with this.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Opens the socket. The store of the data folder must be open, so that no other server can have it. Without the
    /// socket the server runs all the same: the log says why it is not there.
    pub(crate) fn open(data: &Path) -> Option<Self> {
        let path = data.join(SOCKET);
        match listen(&path) {
            Ok(listener) => Some(Self { listener, path }),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "commands cannot reach this server while it runs");
                None
            }
        }
    }

    /// Answers clients for as long as it is polled.
    pub(crate) async fn answer(self, api: Arc<Api>) {
        let mut clients = JoinSet::new();
        loop {
            if clients.len() >= CLIENTS {
                clients.join_next().await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => drop(clients.spawn(answer_one(stream, api.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a command could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while clients.try_join_next().is_some() {}
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> std::io::Result<UnixListener> {
    // It is left over from a server that was killed.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Before it listens, nobody can connect.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)
}

async fn answer_one(stream: UnixStream, api: Arc<Api>) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&api, request.map(Body::new));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a command broke off");
    }
}

/// Answers a request of the operator of the whole back-end. One that is about no platform names none, and is answered
/// where any platform is.
pub(crate) fn answer(api: &Api, mut request: Request<Body>) -> impl Future<Output = Response> + use<> {
    request.extensions_mut().insert(FromControlSocket);
    request.extensions_mut().insert(ClientAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    if !request.headers().contains_key(header::HOST)
        && let Some(platform) = api.platforms().iter().next()
    {
        request.extensions_mut().insert(ListenerPlatform(platform));
    }
    api.answer(request)
}

/// Connects to the server that runs over a data folder. None: no server runs there.
pub(crate) async fn connect(data: &Path) -> std::io::Result<Option<UnixStream>> {
    match UnixStream::connect(data.join(SOCKET)).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::InvalidInput => Ok(None),
            _ => Err(error),
        },
    }
}
