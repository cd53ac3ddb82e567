//! The control socket, by which commands reach a server that runs: a Unix socket in the data folder, open to the user who
//! runs the server and to nobody else.
//!
//! A client sends one [`Request`] as a line of JSON, and gets [`Reply`]s, each as a line of JSON, of which the last is
//! `done` or `failed`. What is asked is done to its end, also if the client goes away.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Write as _},
    os::unix::{fs::PermissionsExt, net::UnixStream as BlockingStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use linkspan_storage::Store;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixSocket, UnixStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

use crate::{
    Failure,
    backup::{self, Pace},
    config::Config,
    media,
};

/// The name of the socket in the data folder.
const SOCKET: &str = "control.sock";
/// The longest request, in bytes: a command and a path.
const REQUEST_BYTES: u64 = 64 << 10;
/// How many clients are served at the same time. One operator seldom has more than one.
const CLIENTS: usize = 16;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many clients may wait to be accepted.
const BACKLOG: u32 = 16;
/// How long accepting rests after a failure.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server that runs can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Back up all data.
    Backup {
        /// An absolute path.
        folder: PathBuf,
    },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// A line for the operator.
    Told(String),
    /// It has been done.
    Done,
    /// It has not been done: why not.
    Failed(String),
}

/// Does what is asked.
pub(crate) struct Operator {
    store: Store,
    data: PathBuf,
    /// The folder of media, if they are in no bucket.
    media: Option<PathBuf>,
    /// Held by the backup that is being made.
    backing_up: Mutex<()>,
}

impl Operator {
    pub(crate) fn new(config: &Config, store: Store) -> Self {
        let media = config.media.is_none().then(|| media::media_folder(&config.data));
        Self { store, data: config.data.clone(), media, backing_up: Mutex::default() }
    }

    fn run(&self, request: Request, told: &mut dyn FnMut(String)) -> Result<(), Failure> {
        match request {
            Request::Backup { folder } => {
                let _only = self.backing_up.try_lock().ok_or("another backup is being made")?;
                let source =
                    backup::Source { store: &self.store, media: self.media.as_deref(), data: &self.data };
                told(backup::make(&source, &folder, Pace::Gentle)?.to_string());
                Ok(())
            }
        }
    }
}

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
    pub(crate) async fn answer(self, operator: Operator) {
        let operator = Arc::new(operator);
        let mut clients = JoinSet::new();
        loop {
            if clients.len() >= CLIENTS {
                clients.join_next().await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => drop(clients.spawn(answer_one(stream, operator.clone()))),
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

async fn answer_one(mut stream: UnixStream, operator: Arc<Operator>) {
    let (reading, mut writing) = stream.split();
    let mut line = String::new();
    let mut reading = tokio::io::BufReader::new(reading.take(REQUEST_BYTES));
    let read = tokio::time::timeout(PATIENCE, reading.read_line(&mut line)).await;
    if !matches!(read, Ok(Ok(_))) {
        return;
    }
    let mut replies = match serde_json::from_str(&line) {
        Ok(request) => start(request, operator),
        Err(error) => {
            let (sender, replies) = unbounded_channel();
            let _ =
                sender.send(Reply::Failed(format!("this server does not understand the command: {error}")));
            replies
        }
    };
    while let Some(reply) = replies.recv().await {
        if writing.write_all(&to_line(&reply)).await.is_err() {
            return;
        }
    }
}

/// Does what is asked on a thread of its own, which does not keep the program from ending.
fn start(request: Request, operator: Arc<Operator>) -> UnboundedReceiver<Reply> {
    let (sender, replies) = unbounded_channel();
    let run = move || {
        let mut told = |line| reply(&sender, Reply::Told(line));
        let outcome = operator.run(request, &mut told);
        reply(&sender, outcome.map_or_else(|failure| Reply::Failed(failure.to_string()), |()| Reply::Done));
    };
    if let Err(error) = thread::Builder::new().name("command".into()).spawn(run) {
        tracing::warn!(%error, "a command could not be started");
    }
    replies
}

fn reply(sender: &UnboundedSender<Reply>, reply: Reply) {
    // An error says that the client has gone.
    let _ = sender.send(reply);
}

fn to_line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Has the server that runs over a data folder do something, and tells each line that it has for the operator. False:
/// no server runs there.
pub(crate) fn ask(data: &Path, request: &Request, mut told: impl FnMut(String)) -> Result<bool, Failure> {
    let mut stream = match BlockingStream::connect(data.join(SOCKET)) {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::InvalidInput => return Ok(false),
            _ => return Err(format!("the server that runs cannot be asked: {error}").into()),
        },
    };
    stream.write_all(&to_line(request))?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            Reply::Told(line) => told(line),
            Reply::Done => return Ok(true),
            Reply::Failed(reason) => return Err(reason.into()),
        }
    }
    Err("the server ended before it was done".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_are_lines_of_json() {
        let request = to_line(&Request::Backup { folder: "/backup".into() });
        assert_eq!(request, b"{\"command\":\"backup\",\"folder\":\"/backup\"}\n");
        assert_eq!(to_line(&Reply::Told("a line".into())), b"{\"told\":\"a line\"}\n");
        assert_eq!(to_line(&Reply::Done), b"\"done\"\n");
    }
}
