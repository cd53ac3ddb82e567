//! The engine of all scenarios that send. It has senders and long-polling receivers in a set of rooms, and
//! compares what was acknowledged with what arrived.
//!
//! Every message carries its sender, its number and its scheduled time in its text, so a receiver can tell
//! its delay without asking the sender. Event ids alone decide whether anything was lost or doubled.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    client::{CALL_LIMIT, CallError, Client, ErrorCount, encode},
    encryption::{Encryption, ToDevice},
    server::{self, Usage},
    setup::{Bench, BenchError, During, User, position},
};

/// How long long polls ask the server to wait, in milliseconds.
const POLL_TIMEOUT_MS: u64 = 30_000;
/// A long poll that takes longer than this has failed.
const POLL_LIMIT: Duration = Duration::from_secs(60);
/// The receivers' filter. It leaves out what is not measured. Timelines are as long as Linkspan gives them,
/// so that a busy room needs no paging: 500 messages are 60 ms of a room with 8,000 a second.
const FILTER: &str =
    r#"{"presence":{"types":[]},"room":{"timeline":{"limit":500},"state":{"lazy_load_members":true}}}"#;
/// The time from the receivers' first poll to the first message.
const SETTLE: Duration = Duration::from_millis(300);
/// For how long nothing has arrived when draining ends.
const DRAIN_QUIET: Duration = Duration::from_secs(3);
/// The longest time that draining takes.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// How long a second copy, which should not come, is waited for after everything has arrived.
const DUPLICATE_WATCH: Duration = Duration::from_millis(300);
/// The most pages of `/messages` that closing one gap may take.
const MAX_GAP_PAGES: usize = 1000;
/// How many receivers close their gaps at the same time.
const GAP_WIDTH: usize = 4;
/// How long a sender that fails waits before it goes on, so that a dead server is not flooded.
const ERROR_PAUSE: Duration = Duration::from_millis(50);
/// How long a sender that is behind may go on after the end of a load with a fixed rate.
const OVERRUN_LIMIT: Duration = Duration::from_secs(5);
/// After how many errors in a row a sender or receiver gives up.
const MAX_ERRORS_IN_A_ROW: u32 = 100;

/// The people who write to each other, and their rooms.
pub(crate) struct Exchange {
    /// All users. Each of them receives.
    pub(crate) users: Vec<User>,
    /// The rooms.
    pub(crate) rooms: Vec<ExchangeRoom>,
    /// The encryption, if messages are encrypted.
    pub(crate) encryption: Option<Arc<Encryption>>,
}

/// A room of an [`Exchange`]. Users are indices into its list.
pub(crate) struct ExchangeRoom {
    /// The room id.
    pub(crate) id: String,
    /// The joined users.
    pub(crate) members: Vec<usize>,
    /// The members who send.
    pub(crate) senders: Vec<usize>,
}

/// How fast messages are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Each sender sends again as soon as a send is acknowledged.
    FlatOut,
    /// All senders together send this many messages per second, at fixed times, whatever the answers take.
    Rate(f64),
}

/// How a load is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How fast messages are sent.
    pub(crate) pace: Pace,
    /// How long the load lasts.
    pub(crate) length: Duration,
    /// How many of the receivers with limited timelines fetch what these left out.
    pub(crate) gap_closers: usize,
}

/// What came of a load.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many messages had to be sent by the schedule, if there was one.
    pub(crate) due: u64,
    /// How many messages were acknowledged.
    pub(crate) acked: u64,
    /// The time from the first send to the last acknowledgement.
    pub(crate) elapsed: Duration,
    /// The times from sending to acknowledgement, sorted, in microseconds.
    pub(crate) ack_us: Vec<u32>,
    /// How many messages arrived in syncs of others than their sender while the load ran.
    pub(crate) delivered: u64,
    /// The times from the scheduled send to the arrival at another user, sorted, in microseconds.
    pub(crate) latency_us: Vec<u32>,
    /// How long after its time each message was sent, sorted, in microseconds. It is late if the generator
    /// was late, or if all connections of its sender still waited for answers.
    pub(crate) late_us: Vec<u32>,
    /// How many acknowledged messages never reached a member of their room. Each member counts.
    pub(crate) missing: u64,
    /// How many messages reached a member more than once. Each member and each extra copy counts.
    pub(crate) duplicated: u64,
    /// How many timelines were limited.
    pub(crate) gaps: u64,
    /// How many messages were found only through `/messages`.
    pub(crate) backfilled: u64,
    /// How many receivers had gaps that were not closed, so that nobody knows what they missed.
    pub(crate) unchecked: u64,
    /// How many messages arrived in syncs, including those of the receiver itself.
    pub(crate) arrived: u64,
    /// How many sync responses came.
    pub(crate) syncs: u64,
    /// What the server used while the load ran, with its memory at the end.
    pub(crate) server: Option<Usage>,
    /// How much processor time the generator used while the load ran, in milliseconds.
    pub(crate) own_cpu_ms: u64,
    /// The part of the machine's processors that was used by others than server and generator while the load
    /// ran.
    pub(crate) others: Option<f64>,
    /// How many messages, and keys of messages, arrived and could not be decrypted.
    pub(crate) undecrypted: u64,
}

/// What the tasks of one load share.
pub(crate) struct Phase {
    /// A text with which every message of this load starts, and no other.
    tag: String,
    epoch: Instant,
    /// The errors of calls under load.
    pub(crate) errors: Arc<ErrorCount>,
    /// How many messages arrived at others than their sender.
    delivered: AtomicU64,
    /// How many messages arrived at anyone. Each counts once per receiver.
    arrived: AtomicU64,
    encryption: Option<Arc<Encryption>>,
}

impl Phase {
    /// Begins a load.
    pub(crate) fn new(bench: &mut Bench, encryption: Option<Arc<Encryption>>) -> Arc<Self> {
        Arc::new(Self {
            tag: format!("bench {} ", bench.new_name()),
            epoch: bench.epoch,
            errors: bench.errors.clone(),
            delivered: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            encryption,
        })
    }

    /// Microseconds since the run began.
    pub(crate) fn now_us(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    /// The text of a message, which tells where it comes from and when it was due.
    pub(crate) fn text(&self, (user, lane, number): Origin, scheduled: Instant) -> String {
        let at = scheduled.saturating_duration_since(self.epoch).as_micros();
        format!("{}{user} {lane} {number} {at} we meet at the bridge, at nine", self.tag)
    }

    /// The beginning of the transaction ids of this load.
    pub(crate) fn name(&self) -> String {
        self.tag.trim().replace(' ', "-")
    }

    /// The origin and scheduled time of a text of this load. None for any other text.
    pub(crate) fn origin(&self, text: &str) -> Option<(Origin, u64)> {
        read_message(&self.tag, text)
    }

    fn undecrypted(&self) -> u64 {
        self.encryption.as_ref().map_or(0, |encryption| encryption.failed())
    }

    /// The sender, number and scheduled time of a message of this load that came to a user. None for any
    /// other event.
    fn read(&self, user: u32, event: &RoomEvent) -> Option<(Origin, u64)> {
        match &self.encryption {
            Some(encryption) => self.origin(&encryption.open(user as usize, event.content.get())?),
            None => self.origin(event.content.get()),
        }
    }
}

/// A sender's own record.
#[derive(Default)]
struct Sent {
    ids: Vec<u64>,
    ack_us: Vec<u32>,
    late_us: Vec<u32>,
}

/// The sender (user and lane) and the number of a message.
pub(crate) type Origin = (u32, u32, u32);

/// A receiver's own record.
#[derive(Default)]
pub(crate) struct Received {
    seen: HashMap<u64, Origin, BuildHasherDefault<DefaultHasher>>,
    latency_us: Vec<u32>,
    duplicated: u64,
    /// The room and token of each limited timeline, the oldest first.
    gaps: Vec<(String, String)>,
    syncs: u64,
}

/// A short form of a message's id. Two of a million messages share one with a chance of 1 in 30 million.
pub(crate) fn short_id(event_id: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(event_id)
}

/// A lane is one of the sends that a sender has open at the same time.
pub(crate) trait Lane: Send + 'static {
    /// Sends a message and waits until it is acknowledged. Returns its short id, which receivers see as well.
    fn send(
        &mut self,
        number: u32,
        scheduled: Instant,
    ) -> impl Future<Output = Result<u64, CallError>> + Send;
}

/// Runs the load with as many open sends as the settings of the run say. See [`exchange_with`].
pub(crate) async fn exchange(
    bench: &mut Bench,
    exchange: &Exchange,
    plan: &Plan,
) -> Result<Outcome, BenchError> {
    exchange_with(bench, exchange, plan, bench.settings.in_flight).await
}

/// Runs the load with this many open sends for each sender, waits for the last arrivals, closes gaps, and
/// compares.
pub(crate) async fn exchange_with(
    bench: &mut Bench,
    exchange: &Exchange,
    plan: &Plan,
    in_flight: usize,
) -> Result<Outcome, BenchError> {
    let phase = Phase::new(bench, exchange.encryption.clone());
    let failed_before = phase.undecrypted();
    let (records, mut receivers) = start_receivers(&phase, exchange).await?;
    let lanes = connect_senders(&phase, exchange, in_flight).await?;
    let (mut outcome, sent_by_room) = send_and_drain(bench, &phase, &exchange.rooms, plan, lanes).await?;
    receivers.shutdown().await;
    let mut records = take_records(&records);
    close_gaps(&phase, exchange, plan.gap_closers, &mut records, &mut outcome).await?;
    compare(&exchange.rooms, &sent_by_room, records, &mut outcome);
    outcome.undecrypted = phase.undecrypted() - failed_before;
    Ok(outcome)
}

/// Lets every lane send into its room, which is an index, and waits until everything has arrived or nothing
/// arrives any more. Returns the outcome as far as the senders know it, and the ids that were acknowledged in
/// each room.
pub(crate) async fn send_and_drain<L: Lane>(
    bench: &mut Bench,
    phase: &Arc<Phase>,
    rooms: &[ExchangeRoom],
    plan: &Plan,
    lanes: Vec<(usize, L)>,
) -> Result<(Outcome, Vec<Vec<u64>>), BenchError> {
    tokio::time::sleep(SETTLE).await;
    let own_before = server::usage(std::process::id()).unwrap_or_default();
    let server_before = bench.usage();
    let machine_before = server::machine_cpu_ms();
    let started = Instant::now();
    let senders = start_lanes(phase, plan, lanes, started);
    let mut outcome = Outcome { due: u64::from(due_messages(plan)), ..Outcome::default() };
    let mut sent_by_room: Vec<Vec<u64>> = vec![Vec::new(); rooms.len()];
    for (room, sender) in senders {
        let sent = sender.await.map_err(|error| BenchError::Other(format!("a sender failed: {error}")))?;
        outcome.acked += sent.ids.len() as u64;
        sent_by_room[room].extend(sent.ids);
        outcome.ack_us.extend(sent.ack_us);
        outcome.late_us.extend(sent.late_us);
    }
    outcome.elapsed = started.elapsed();
    outcome.delivered = phase.delivered.load(Relaxed);
    outcome.server = server_before.zip(bench.usage()).map(|(before, after)| Usage {
        cpu_ms: after.cpu_ms.saturating_sub(before.cpu_ms),
        rss_bytes: after.rss_bytes,
    });
    outcome.own_cpu_ms =
        server::usage(std::process::id()).unwrap_or_default().cpu_ms.saturating_sub(own_before.cpu_ms);
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let all_ms = outcome.elapsed.as_millis() as f64 * processors as f64;
    let machine = machine_before.zip(server::machine_cpu_ms());
    outcome.others = machine.zip(outcome.server).map(|((before, after), server)| {
        let others_ms = after.saturating_sub(before).saturating_sub(server.cpu_ms + outcome.own_cpu_ms);
        others_ms as f64 / all_ms.max(1.0)
    });
    bench.stored += outcome.acked;
    if outcome.acked == 0 {
        return Err(BenchError::Other("no message was acknowledged".to_owned()));
    }
    let expected = rooms.iter().zip(&sent_by_room).map(|(room, sent)| room.members.len() * sent.len());
    drain(phase, expected.sum::<usize>() as u64).await;
    outcome.ack_us.sort_unstable();
    outcome.late_us.sort_unstable();
    Ok((outcome, sent_by_room))
}

/// Each receiver's record, in the order of the users.
pub(crate) type Records = Vec<Arc<Mutex<Received>>>;

/// Takes what the receivers have so far. They start again with nothing.
pub(crate) fn take_records(records: &Records) -> Vec<Received> {
    records.iter().map(|record| std::mem::take(&mut *record.lock())).collect()
}

async fn start_receivers(
    phase: &Arc<Phase>,
    exchange: &Exchange,
) -> Result<(Records, JoinSet<()>), BenchError> {
    let ready: Vec<(Client, String)> = stream::iter(&exchange.users)
        .map(async |user| {
            let mut client = user.client();
            let since = position(&mut client).await?;
            Ok::<_, BenchError>((client, since))
        })
        .buffered(crate::setup::SETUP_WIDTH)
        .try_collect()
        .await?;
    let records: Records = ready.iter().map(|_| Arc::default()).collect();
    let mut tasks = JoinSet::new();
    for (user, ((client, since), record)) in ready.into_iter().zip(&records).enumerate() {
        tasks.spawn(receive(phase.clone(), user as u32, client, since, record.clone()));
    }
    Ok((records, tasks))
}

/// The room and user of every sender.
fn senders_of(exchange: &Exchange) -> Vec<(usize, usize)> {
    let rooms = exchange.rooms.iter().enumerate();
    rooms.flat_map(|(room, entry)| entry.senders.iter().map(move |user| (room, *user))).collect()
}

/// The lanes of all senders, which are connected already because opening connections is not measured.
/// Neighbours are different users.
async fn connect_senders(
    phase: &Arc<Phase>,
    exchange: &Exchange,
    in_flight: usize,
) -> Result<Vec<(usize, Sender)>, BenchError> {
    let event_type = if exchange.encryption.is_some() { "m.room.encrypted" } else { "m.room.message" };
    let mut lanes = Vec::new();
    for lane in 0..in_flight as u32 {
        for (room, user) in senders_of(exchange) {
            let mut client = exchange.users[user].client();
            client.connect().await.during("connect a sender")?;
            let path = format!(
                "/_matrix/client/v3/rooms/{}/send/{event_type}/{}-",
                encode(&exchange.rooms[room].id),
                encode(&phase.name())
            );
            lanes.push((room, Sender { phase: phase.clone(), client, path, user: user as u32, lane }));
        }
    }
    Ok(lanes)
}

/// Starts all lanes. They get what is due in turn.
fn start_lanes<L: Lane>(
    phase: &Arc<Phase>,
    plan: &Plan,
    lanes: Vec<(usize, L)>,
    started: Instant,
) -> Vec<(usize, tokio::task::JoinHandle<Sent>)> {
    let mut tasks = Vec::new();
    let mut schedules = Vec::new();
    let until = started + plan.length;
    for (room, lane) in lanes {
        let due = matches!(plan.pace, Pace::Rate(_)).then(|| {
            // It holds at most the messages of the whole plan.
            let (schedule, due) = mpsc::unbounded_channel();
            schedules.push(schedule);
            due
        });
        tasks.push((room, tokio::spawn(run_lane(phase.clone(), lane, due, until))));
    }
    if let Pace::Rate(rate) = plan.pace {
        let count = due_messages(plan);
        let step = Duration::from_secs_f64(1.0 / rate);
        std::thread::spawn(move || keep_time(started, step, count, &schedules));
    }
    tasks
}

/// How many messages the schedule has.
fn due_messages(plan: &Plan) -> u32 {
    match plan.pace {
        Pace::Rate(rate) => (plan.length.as_secs_f64() * rate) as u32,
        Pace::FlatOut => 0,
    }
}

/// Tells the lanes in turn when a message is due. It has a thread of its own, because the runtime's timers
/// are a millisecond coarse or more, which would show in the latencies. It ends with the last message, or
/// when nobody listens.
fn keep_time(started: Instant, step: Duration, count: u32, lanes: &[mpsc::UnboundedSender<Instant>]) {
    for number in 0..count {
        let due = started + step * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let Some(lane) = lanes.get(number as usize % lanes.len().max(1)) else { return };
        if lane.send(due).is_err() && lanes.iter().all(mpsc::UnboundedSender::is_closed) {
            return;
        }
    }
}

struct Sender {
    phase: Arc<Phase>,
    client: Client,
    path: String,
    user: u32,
    lane: u32,
}

/// Sends when it is told to, until nobody tells it any more. Without a schedule it sends without pause until
/// the end.
async fn run_lane(
    phase: Arc<Phase>,
    mut lane: impl Lane,
    mut due: Option<mpsc::UnboundedReceiver<Instant>>,
    until: Instant,
) -> Sent {
    let mut sent = Sent::default();
    let mut errors_in_a_row = 0;
    for number in 0_u32.. {
        let (scheduled, latest) = match &mut due {
            Some(due) => match due.recv().await {
                Some(scheduled) => (scheduled, until + OVERRUN_LIMIT),
                None => break,
            },
            None => (Instant::now(), until),
        };
        if Instant::now() >= latest {
            break;
        }
        let started = Instant::now();
        match lane.send(number, scheduled).await {
            Ok(id) => {
                errors_in_a_row = 0;
                sent.ids.push(id);
                sent.ack_us.push(clamp_us(started.elapsed()));
                sent.late_us.push(clamp_us(started.saturating_duration_since(scheduled)));
            }
            Err(error) => {
                phase.errors.note("send", &error);
                errors_in_a_row += 1;
                if errors_in_a_row >= MAX_ERRORS_IN_A_ROW {
                    break;
                }
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
    sent
}

impl Lane for Sender {
    async fn send(&mut self, number: u32, scheduled: Instant) -> Result<u64, CallError> {
        #[derive(Deserialize)]
        struct Acknowledged<'a> {
            #[serde(borrow)]
            event_id: Cow<'a, str>,
        }
        let (user, lane) = (self.user, self.lane);
        let path = format!("{}{user}.{lane}.{number}", self.path);
        let text = self.phase.text((user, lane, number), scheduled);
        let body = format!(r#"{{"msgtype":"m.text","body":"{text}"}}"#);
        let body = match &self.phase.encryption {
            Some(encryption) => encryption.seal(user as usize, &mut self.client, &body).await?,
            None => body,
        };
        let answer = self.client.put(&path, body).await?;
        Ok(short_id(&serde_json::from_slice::<Acknowledged>(&answer)?.event_id))
    }
}

fn clamp_us(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[derive(Deserialize)]
struct SyncBody<'a> {
    #[serde(borrow)]
    next_batch: Cow<'a, str>,
    #[serde(borrow, default)]
    rooms: SyncRooms<'a>,
    #[serde(borrow, default)]
    to_device: ToDevice<'a>,
}

#[derive(Deserialize, Default)]
struct SyncRooms<'a> {
    #[serde(borrow, default)]
    join: HashMap<String, SyncRoom<'a>>,
}

#[derive(Deserialize)]
struct SyncRoom<'a> {
    #[serde(borrow, default)]
    timeline: Timeline<'a>,
}

#[derive(Deserialize, Default)]
struct Timeline<'a> {
    #[serde(borrow, default)]
    events: Vec<RoomEvent<'a>>,
    #[serde(default)]
    limited: bool,
    #[serde(default)]
    prev_batch: Option<String>,
}

#[derive(Deserialize)]
struct RoomEvent<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct MessagesBody<'a> {
    #[serde(borrow, default)]
    chunk: Vec<RoomEvent<'a>>,
    end: Option<String>,
}

/// The sender, number and scheduled time that stand after the tag. None if the text does not begin with the
/// tag.
fn read_message(tag: &str, text: &str) -> Option<(Origin, u64)> {
    let mut words = text[text.find(tag)? + tag.len()..].split(' ');
    let origin = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((origin, words.next()?.parse().ok()?))
}

/// Long-polls until the task is aborted.
async fn receive(
    phase: Arc<Phase>,
    user: u32,
    mut client: Client,
    mut since: String,
    record: Arc<Mutex<Received>>,
) {
    let head = format!("/_matrix/client/v3/sync?timeout={POLL_TIMEOUT_MS}&filter={}&since=", encode(FILTER));
    let mut errors_in_a_row = 0;
    while errors_in_a_row < MAX_ERRORS_IN_A_ROW {
        let path = format!("{head}{}", encode(&since));
        let answer =
            client.call(Method::GET, &path, Bytes::new(), POLL_LIMIT).await.and_then(|reply| reply.success());
        let arrived_us = phase.now_us();
        match answer.and_then(|body| record.lock().take_in(&phase, user, &body, arrived_us)) {
            Ok(next) => {
                errors_in_a_row = 0;
                since = next;
            }
            Err(error) => {
                phase.errors.note("sync", &error);
                errors_in_a_row += 1;
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

impl Received {
    /// Takes in a sync response, and returns the token to go on from.
    fn take_in(
        &mut self,
        phase: &Phase,
        user: u32,
        body: &[u8],
        arrived_us: u64,
    ) -> Result<String, CallError> {
        let sync: SyncBody = serde_json::from_slice(body)?;
        self.syncs += 1;
        if let Some(encryption) = &phase.encryption {
            encryption.take_keys(user as usize, &sync.to_device);
        }
        for (room_id, room) in sync.rooms.join {
            for event in &room.timeline.events {
                let Some((origin, scheduled_us)) = phase.read(user, event) else { continue };
                // An encrypted message has arrived when it can be read.
                let arrived_us = if phase.encryption.is_some() { phase.now_us() } else { arrived_us };
                self.enter(phase, user, short_id(&event.event_id), (origin, scheduled_us), arrived_us);
            }
            if let (true, Some(token)) = (room.timeline.limited, room.timeline.prev_batch) {
                self.gaps.push((room_id, token));
            }
        }
        Ok(sync.next_batch.into_owned())
    }

    /// Takes in a message that arrived at this user, with its id, origin and scheduled time.
    pub(crate) fn enter(
        &mut self,
        phase: &Phase,
        user: u32,
        id: u64,
        (origin, scheduled_us): (Origin, u64),
        arrived_us: u64,
    ) {
        if self.seen.insert(id, origin).is_some() {
            self.duplicated += 1;
            return;
        }
        phase.arrived.fetch_add(1, Relaxed);
        if origin.0 != user {
            phase.delivered.fetch_add(1, Relaxed);
            let delay = arrived_us.saturating_sub(scheduled_us);
            self.latency_us.push(u32::try_from(delay).unwrap_or(u32::MAX));
        }
    }

    /// Reads back from every gap until a page brings nothing new, and returns how many messages that brought.
    async fn close_gaps(&mut self, phase: &Phase, user: u32, client: &mut Client) -> Result<u64, BenchError> {
        let mut found = 0;
        for (room_id, token) in std::mem::take(&mut self.gaps) {
            let head =
                format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=100&from=", encode(&room_id));
            let mut from = token;
            for _ in 0..MAX_GAP_PAGES {
                let reply = client
                    .call(Method::GET, &format!("{head}{}", encode(&from)), Bytes::new(), CALL_LIMIT)
                    .await
                    .and_then(|reply| reply.success())
                    .during("messages")?;
                let page: MessagesBody = serde_json::from_slice(&reply).during("messages")?;
                let before = found;
                for event in &page.chunk {
                    if let Some((origin, _)) = phase.read(user, event)
                        && self.seen.insert(short_id(&event.event_id), origin).is_none()
                    {
                        found += 1;
                    }
                }
                match page.end {
                    Some(end) if found > before && end != from => from = end,
                    _ => break,
                }
            }
        }
        Ok(found)
    }
}

/// Waits until everything has arrived, or nothing arrives any more.
async fn drain(phase: &Phase, expected: u64) {
    let until = Instant::now() + DRAIN_LIMIT;
    let mut last = (phase.arrived.load(Relaxed), Instant::now());
    while Instant::now() < until && last.1.elapsed() < DRAIN_QUIET {
        let arrived = phase.arrived.load(Relaxed);
        if arrived >= expected {
            break;
        }
        if arrived > last.0 {
            last = (arrived, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(DUPLICATE_WATCH).await;
}

/// Lets the first receivers with limited timelines fetch what those left out.
async fn close_gaps(
    phase: &Phase,
    exchange: &Exchange,
    closers: usize,
    records: &mut [Received],
    outcome: &mut Outcome,
) -> Result<(), BenchError> {
    outcome.gaps = records.iter().map(|record| record.gaps.len() as u64).sum();
    let receivers = records.iter_mut().zip(&exchange.users).enumerate();
    let with_gaps = receivers.filter(|(_, (record, _))| !record.gaps.is_empty());
    let found: Vec<u64> = stream::iter(with_gaps.take(closers))
        .map(async |(index, (record, user))| record.close_gaps(phase, index as u32, &mut user.client()).await)
        .buffered(GAP_WIDTH)
        .try_collect()
        .await?;
    outcome.backfilled = found.iter().sum();
    Ok(())
}

/// Compares what was acknowledged with what arrived.
pub(crate) fn compare(
    rooms: &[ExchangeRoom],
    sent_by_room: &[Vec<u64>],
    records: Vec<Received>,
    outcome: &mut Outcome,
) {
    outcome.unchecked = records.iter().filter(|record| !record.gaps.is_empty()).count() as u64;
    for (room, sent) in rooms.iter().zip(sent_by_room) {
        for member in room.members.iter().filter(|member| records[**member].gaps.is_empty()) {
            let seen = &records[*member].seen;
            outcome.missing += sent.iter().filter(|id| !seen.contains_key(id)).count() as u64;
        }
        // Two sends have the same id, so the server took one message for another.
        let distinct: HashSet<&u64> = sent.iter().collect();
        outcome.missing += ((sent.len() - distinct.len()) * room.members.len()) as u64;
    }
    for record in records {
        // One send has two events.
        let origins: HashSet<&Origin> = record.seen.values().collect();
        outcome.duplicated += record.duplicated + (record.seen.len() - origins.len()) as u64;
        outcome.arrived += record.seen.len() as u64;
        outcome.latency_us.extend(record.latency_us);
        outcome.syncs += record.syncs;
    }
    outcome.latency_us.sort_unstable();
}

/// The value below which this part of the sorted samples lies, or 0 without samples.
pub(crate) fn percentile(sorted: &[u32], part: f64) -> u32 {
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}
