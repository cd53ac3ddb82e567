//! What every scenario stands on: the platforms under load, the users, the rooms and the settings of this
//! run.
//!
//! Calls made here are preparation and are never part of a figure. A server that limits their rate is waited
//! for.

use std::{collections::BTreeMap, sync::Arc, time::Duration, time::Instant};

use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use http::Method;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    client::{CALL_LIMIT, CallError, Client, ErrorCount, Platform, encode},
    load::Exchange,
    scenarios::{CrowdedRooms, FilledRooms},
    server::{Limits, Server, ServerError, Usage, thread_time_us, usage, usage_of_trees},
};

/// How many registrations run at the same time. Passwords are slow to hash by design.
const REGISTER_WIDTH: usize = 4;
/// How many other preparations run at the same time.
pub(crate) const SETUP_WIDTH: usize = 8;
/// How often a refused preparation is tried again when the server asks for patience.
const MAX_PATIENCE: u32 = 20;
/// How long the server may still work for a request after its answer.
const QUIET: Duration = Duration::from_millis(2);

/// A filter for syncs that only fetch a position, with one event per room and members on demand.
pub(crate) const POSITION_FILTER: &str =
    r#"{"presence":{"types":[]},"room":{"timeline":{"limit":1},"state":{"lazy_load_members":true}}}"#;

/// Why a scenario could not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A call that had to succeed did not.
    #[error("{what}: {error}")]
    Call {
        /// The name of the call.
        what: &'static str,
        /// What went wrong.
        error: CallError,
    },
    /// The server process failed.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Something else went wrong, which the text says.
    #[error("{0}")]
    Other(String),
}

/// Names the call that failed.
pub(crate) trait During<T> {
    /// The same result, with the name of the call in its error.
    fn during(self, what: &'static str) -> Result<T, BenchError>;
}

impl<T, E: Into<CallError>> During<T> for Result<T, E> {
    fn during(self, what: &'static str) -> Result<T, BenchError> {
        self.map_err(|error| BenchError::Call { what, error: error.into() })
    }
}

/// How large this run is.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Whether counts are small, to see that everything works. Figures are then not compared with targets.
    pub(crate) quick: bool,
    /// How many sends each sender has open at the same time.
    pub(crate) in_flight: usize,
    /// How long a load lasts.
    pub(crate) load: Duration,
}

impl Settings {
    /// The full count, or the small one of a quick run.
    pub(crate) fn count(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// An account, and the platform that it is on.
#[derive(Clone)]
pub(crate) struct User {
    /// The platform it was registered on.
    pub(crate) platform: Arc<Platform>,
    /// Its Matrix user id, as the server gave it.
    pub(crate) id: String,
    /// The device that it was registered with.
    pub(crate) device_id: String,
    /// The password.
    pub(crate) password: String,
    token: String,
}

impl User {
    /// A new client that calls as this user. It is not connected yet.
    pub(crate) fn client(&self) -> Client {
        Client::with_token(&self.platform, &self.token)
    }

    /// The access token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

/// One run against one set of platforms.
pub(crate) struct Bench {
    /// The platforms under load. There are none if it is not a Matrix server.
    pub(crate) platforms: Vec<Arc<Platform>>,
    /// The server, if we started it.
    pub(crate) server: Option<Server>,
    /// The size of the run.
    pub(crate) settings: Settings,
    /// Errors of calls under load.
    pub(crate) errors: Arc<ErrorCount>,
    /// The moment from which all times in messages are counted, in microseconds.
    pub(crate) epoch: Instant,
    /// How many messages the server acknowledged in this run.
    pub(crate) stored: u64,
    /// Rooms of two users, which are made once and used by several scenarios.
    pub(crate) pairs: Option<Arc<Exchange>>,
    /// Very many rooms of one user, which are made once.
    pub(crate) many_rooms: Option<Arc<FilledRooms>>,
    /// Rooms with many members, which are made once.
    pub(crate) crowded_rooms: Option<Arc<CrowdedRooms>>,
    processes: Vec<u32>,
    run: String,
    names: u32,
    users: Vec<User>,
}

impl Bench {
    /// Prepares a run, without any call. `run` makes the names of this run's users differ from those of all
    /// others.
    pub(crate) fn new(
        platforms: Vec<Arc<Platform>>,
        server: Option<Server>,
        processes: Vec<u32>,
        settings: Settings,
        run: String,
    ) -> Self {
        Self {
            platforms,
            server,
            settings,
            errors: Arc::default(),
            epoch: Instant::now(),
            stored: 0,
            pairs: None,
            many_rooms: None,
            crowded_rooms: None,
            processes,
            run,
            names: 0,
            users: Vec::new(),
        }
    }

    /// A run of the same size against another process of the server that we started, on new data. None if we
    /// started none.
    pub(crate) async fn on_fresh_server(&self) -> Result<Option<Self>, BenchError> {
        self.on_fresh_server_with(Limits::None).await
    }

    /// The same, with these limits.
    pub(crate) async fn on_fresh_server_with(&self, limits: Limits) -> Result<Option<Self>, BenchError> {
        let Some(server) = &self.server else { return Ok(None) };
        let server = server.start_another(limits).await?;
        let platforms = server.platforms().to_vec();
        let mut bench =
            Self::new(platforms, Some(server), Vec::new(), self.settings.clone(), self.run.clone());
        bench.errors = self.errors.clone();
        Ok(Some(bench))
    }

    /// The server's process, if it is known.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::pid).or(self.processes.first().copied())
    }

    /// How much the server has used so far, if its processes are known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match &self.server {
            Some(server) => usage(server.pid()),
            None if self.processes.is_empty() => None,
            None => usage_of_trees(&self.processes),
        }
    }

    /// Does some work while nothing else goes on, and tells the processor time that it took the server, in
    /// microseconds, if that is known.
    pub(crate) async fn server_time_of<T>(&self, work: impl Future<Output = T>) -> (T, Option<u32>) {
        tokio::time::sleep(QUIET).await;
        let before = self.pid().and_then(thread_time_us);
        let answer = work.await;
        // Work that the server does after its answer has been read belongs to it.
        tokio::time::sleep(QUIET).await;
        let after = self.pid().and_then(thread_time_us);
        // A thread that ended takes its time away, so such a sample says nothing.
        let took = before.zip(after).and_then(|(before, after)| after.checked_sub(before));
        (answer, took.and_then(|micros| u32::try_from(micros).ok()))
    }

    /// A word that was not used before, in this run or another.
    pub(crate) fn new_name(&mut self) -> String {
        self.names += 1;
        format!("{}n{}", self.run, self.names)
    }

    /// The first `count` users of the run. They are made as needed, and the platforms take turns.
    pub(crate) async fn users(&mut self, count: usize) -> Result<Vec<User>, BenchError> {
        let first = self.users.len();
        let wanted: Vec<_> = (first..count).map(|index| (index, self.new_name())).collect();
        let platforms = &self.platforms;
        let made: Vec<User> = stream::iter(wanted)
            .map(|(index, name)| register(platforms[index % platforms.len()].clone(), name))
            .buffered(REGISTER_WIDTH)
            .try_collect()
            .await?;
        self.users.extend(made);
        Ok(self.users[..count].to_vec())
    }

    /// A user that no other scenario gets, on the platform with this index (it wraps around).
    pub(crate) async fn fresh_user(&mut self, platform: usize) -> Result<User, BenchError> {
        let name = self.new_name();
        register(self.platforms[platform % self.platforms.len()].clone(), name).await
    }
}

/// Registers an account. If the server asks for user-interactive authentication, its round is gone through.
async fn register(platform: Arc<Platform>, name: String) -> Result<User, BenchError> {
    #[derive(Deserialize)]
    struct Registered {
        user_id: String,
        device_id: String,
        access_token: String,
    }
    #[derive(Deserialize)]
    struct Challenge {
        session: Option<String>,
    }
    let path = "/_matrix/client/v3/register";
    let mut client = Client::anonymous(&platform);
    let password = format!("{name}-Pass-1");
    let mut auth = json!({"type": "m.login.dummy"});
    let mut patience = 0;
    loop {
        let body = json!({
            "username": name, "password": password, "auth": auth,
            "initial_device_display_name": "linkspan-bench",
        });
        let reply =
            client.call(Method::POST, path, body.to_string().into(), CALL_LIMIT).await.during("register")?;
        let challenged = auth.get("session").is_some();
        if reply.status == http::StatusCode::UNAUTHORIZED && !challenged {
            let challenge: Challenge = serde_json::from_slice(&reply.body).during("register")?;
            auth["session"] = Value::from(challenge.session.unwrap_or_default());
            continue;
        }
        match reply.success() {
            Ok(body) => {
                let user: Registered = serde_json::from_slice(&body).during("register")?;
                let Registered { user_id: id, device_id, access_token: token } = user;
                return Ok(User { platform, id, device_id, password, token });
            }
            Err(error) => be_patient(error, &mut patience).await.during("register")?,
        }
    }
}

/// Waits as long as the server asks for if it limits our rate. Any other error is returned.
async fn be_patient(error: CallError, patience: &mut u32) -> Result<(), CallError> {
    *patience += 1;
    match error {
        CallError::Status { status: 429, retry_after_ms, .. } if *patience <= MAX_PATIENCE => {
            tokio::time::sleep(Duration::from_millis(retry_after_ms.unwrap_or(500).clamp(10, 10_000))).await;
            Ok(())
        }
        other => Err(other),
    }
}

/// Makes a POST of the preparation, with patience.
pub(crate) async fn post_patiently(
    client: &mut Client,
    path: &str,
    body: &Value,
) -> Result<bytes::Bytes, CallError> {
    call_patiently(client, Method::POST, path, body).await
}

/// Makes a call of the preparation that has to succeed, with patience.
pub(crate) async fn call_patiently(
    client: &mut Client,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<bytes::Bytes, CallError> {
    let mut patience = 0;
    loop {
        let reply = client.call(method.clone(), path, body.to_string().into(), CALL_LIMIT).await?;
        match reply.success() {
            Ok(body) => return Ok(body),
            Err(error) => be_patient(error, &mut patience).await?,
        }
    }
}

/// Creates a room and returns its id. `body` is that of `createRoom`.
pub(crate) async fn create_room(client: &mut Client, body: &Value) -> Result<String, BenchError> {
    #[derive(Deserialize)]
    struct Created {
        room_id: String,
    }
    let answer = post_patiently(client, "/_matrix/client/v3/createRoom", body).await.during("createRoom")?;
    Ok(serde_json::from_slice::<Created>(&answer).during("createRoom")?.room_id)
}

/// Joins a room, asking `via` if the user's own server does not know it.
pub(crate) async fn join_room(client: &mut Client, room_id: &str, via: &str) -> Result<(), BenchError> {
    let path = format!("/_matrix/client/v3/join/{}?server_name={via}&via={via}", encode(room_id));
    post_patiently(client, &path, &json!({})).await.during("join")?;
    Ok(())
}

/// Sends one message of the preparation, with patience, and returns its event id.
pub(crate) async fn send_text(
    client: &mut Client,
    room_id: &str,
    txn_id: &str,
    text: &str,
) -> Result<String, BenchError> {
    #[derive(Deserialize)]
    struct Sent {
        event_id: String,
    }
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/{txn_id}", encode(room_id));
    let body = json!({"msgtype": "m.text", "body": text}).to_string();
    let mut patience = 0;
    loop {
        match client.put(&path, body.clone()).await {
            Ok(answer) => return Ok(serde_json::from_slice::<Sent>(&answer).during("send")?.event_id),
            Err(error) => be_patient(error, &mut patience).await.during("send")?,
        }
    }
}

/// The part of a sync that tells its size and position.
#[derive(Debug, Deserialize)]
pub(crate) struct Outline {
    /// The token to go on from.
    pub(crate) next_batch: String,
    /// The rooms that it has news of.
    #[serde(default)]
    pub(crate) rooms: OutlineRooms,
}

/// The rooms of an [`Outline`].
#[derive(Debug, Default, Deserialize)]
pub(crate) struct OutlineRooms {
    /// Joined rooms by id.
    #[serde(default)]
    pub(crate) join: BTreeMap<String, OutlineRoom>,
}

/// A joined room of an [`Outline`].
#[derive(Debug, Default, Deserialize)]
pub(crate) struct OutlineRoom {
    /// Its timeline.
    #[serde(default)]
    pub(crate) timeline: OutlineEvents,
    /// Its state.
    #[serde(default)]
    pub(crate) state: OutlineEvents,
}

/// Events that are only counted.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct OutlineEvents {
    /// One entry per event.
    #[serde(default)]
    pub(crate) events: Vec<serde::de::IgnoredAny>,
}

/// The token that the user's sync can go on from now.
pub(crate) async fn position(client: &mut Client) -> Result<String, BenchError> {
    let path = format!("/_matrix/client/v3/sync?timeout=0&filter={}", encode(POSITION_FILTER));
    let body = client.get(&path).await.during("sync")?;
    Ok(serde_json::from_slice::<Outline>(&body).during("sync")?.next_batch)
}

/// Does `work` for every item over `width` connections of one user. The results come in the items' order.
pub(crate) async fn spread<T, R>(
    user: &User,
    width: usize,
    items: Vec<T>,
    work: impl AsyncFn(&mut Client, T) -> Result<R, BenchError>,
) -> Result<Vec<R>, BenchError> {
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let workers = (0..width).map(async |_| {
        let mut client = user.client();
        loop {
            let next = queue.lock().next();
            let Some((index, item)) = next else { return Ok::<(), BenchError>(()) };
            let result = work(&mut client, item).await?;
            done.lock().push((index, result));
        }
    });
    try_join_all(workers).await?;
    let mut done = done.into_inner();
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
