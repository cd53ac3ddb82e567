//! What a request costs, and how long work gives way to short.
//!
//! Most requests take far less than a millisecond of a processor. The few that take longer, such as the first sync of an
//! account with many chats, would make everybody else wait. So whoever works for long calls [`give_way`] between
//! two steps. Work that only reads, and that has run for longer than [`SLICE`], then waits in a line in which
//! platforms, and within a platform people, take turns; the line lets through as many as there are processors, and
//! these let short work run after every slice. Work that changes something never waits there, because it may hold
//! what others wait for.

use std::{
    cell::RefCell,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use linkspan_storage::{ReadCost, counting_reads};
use parking_lot::Mutex;

use crate::{
    Limited, Network, Platform, RateClass,
    shares::{Share, Shares, WaitingLimits},
};

/// How long work runs before it counts as long, and before it lets others run again. Nearly all requests are answered
/// in less.
const SLICE: Duration = Duration::from_millis(1);
/// Who has not run for this long has waited for something, and begins anew as short work.
const REST: Duration = Duration::from_millis(20);

/// What every request costs, whatever it reads, in units of the limit `read`.
const REQUEST_UNITS: u64 = 5;
/// Bytes that count as much as a row.
const UNIT_BYTES: u64 = 1 << 10;

/// How many pieces of long work may wait. Each has a request open, and may hold what it has found in a slice.
const WAITING: WaitingLimits = WaitingLimits { per_who: 8, per_platform: 64, in_all: 256 };

/// The line of long work, which all requests of a program share.
#[derive(Clone, Debug)]
pub struct LongWork(Shares);

impl LongWork {
    /// The line for this machine.
    pub fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self(Shares::new(processors, WAITING))
    }

    /// The line itself, for those who count what waits.
    pub fn shares(&self) -> &Shares {
        &self.0
    }
}

impl Default for LongWork {
    fn default() -> Self {
        Self::new()
    }
}

/// Who pays for what a request reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payer {
    /// A user, by the user id.
    User(String),
    /// The network of a client that is no user here, or a guest, as anybody can be. The wider one around it pays as well.
    Network(Network),
}

/// The work for one request. What it has cost is counted against whoever asked when it is dropped.
pub struct Work {
    platform: Arc<Platform>,
    /// Who asks: a user id, or the network of a client.
    who: String,
    /// The network, if it is one.
    network: Option<Network>,
    /// Where it waits when it has become long. None: it changes something, and never waits.
    line: Option<LongWork>,
    state: Mutex<State>,
}

struct State {
    /// How long it has run since it last gave way or rested.
    ran: Duration,
    /// Since when it runs now.
    running_since: Instant,
    /// It has not ended a step, but lets others run.
    gives_way: bool,
    /// Its place among the long work that runs.
    share: Option<Share>,
    read: ReadCost,
    answer_bytes: u64,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("who", &self.who).finish_non_exhaustive()
    }
}

thread_local! {
    /// The work that runs on this thread.
    static CURRENT: RefCell<Option<Arc<Work>>> = const { RefCell::new(None) };
}

impl Work {
    /// Work that only reads, and so may be made to wait.
    pub fn reading(platform: Arc<Platform>, payer: Payer, line: LongWork) -> Arc<Self> {
        Self::new(platform, payer, Some(line))
    }

    /// Work that changes something.
    pub fn writing(platform: Arc<Platform>, payer: Payer) -> Arc<Self> {
        Self::new(platform, payer, None)
    }

    fn new(platform: Arc<Platform>, payer: Payer, line: Option<LongWork>) -> Arc<Self> {
        let (who, network) = match payer {
            Payer::User(user_id) => (user_id, None),
            Payer::Network(network) => (network.to_string(), Some(network)),
        };
        let state = State {
            ran: Duration::ZERO,
            running_since: Instant::now(),
            gives_way: false,
            share: None,
            read: ReadCost::default(),
            answer_bytes: 0,
        };
        Arc::new(Self { platform, who, network, line, state: Mutex::new(state) })
    }

    /// The work that runs on this thread.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The platform that was asked.
    pub fn platform(&self) -> &Arc<Platform> {
        &self.platform
    }

    /// Who asks: a user id, or the network of a client.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Counts bytes of the answer.
    pub fn note_answer(&self, bytes: u64) {
        self.state.lock().answer_bytes += bytes;
    }

    /// Runs `part` as a part of this work.
    pub fn run<F: Future>(self: Arc<Self>, part: F) -> Working<F> {
        Working { work: self, part }
    }

    /// Runs one step of this work.
    pub fn step<T>(self: &Arc<Self>, step: impl FnOnce() -> T) -> T {
        let _restored = Restored(CURRENT.replace(Some(self.clone())));
        self.begin_step();
        let (result, read) = counting_reads(step);
        self.end_step(read);
        result
    }

    fn begin_step(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        // Who gives way may be kept waiting by others for any time, and goes on as what it was.
        if !state.gives_way && now.duration_since(state.running_since) > REST {
            state.ran = Duration::ZERO;
        }
        state.running_since = now;
    }

    fn end_step(&self, read: ReadCost) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let step = now.duration_since(state.running_since);
        state.ran += step;
        state.running_since = now;
        state.read += read;
        if !state.gives_way {
            // It waits for something, or is done: its place is for others.
            state.share = None;
        }
    }

    /// Whether it has run for so long that others should run.
    fn is_long(&self) -> bool {
        let state = self.state.lock();
        state.ran + state.running_since.elapsed() >= SLICE
    }

    async fn let_others_run(&self) {
        self.state.lock().gives_way = true;
        let _giving_way = GivingWay(self);
        tokio::task::yield_now().await;
    }

    async fn give_way(&self) -> Result<(), Limited> {
        self.let_others_run().await;
        let may_wait = self.state.lock().share.is_none();
        self.state.lock().gives_way = true;
        let _giving_way = GivingWay(self);
        if let Some(LongWork(line)) = self.line.as_ref().filter(|_| may_wait) {
            match line.take(self.platform.server_name(), &self.who).await {
                Ok(share) => self.state.lock().share = Some(share),
                Err(limited) if self.platform.settings.rate_limits => return Err(limited),
                Err(_) => {}
            }
        }
        let mut state = self.state.lock();
        (state.ran, state.running_since) = (Duration::ZERO, Instant::now());
        Ok(())
    }
}

/// Ends giving way, also if whoever waited has gone.
struct GivingWay<'a>(&'a Work);

impl Drop for GivingWay<'_> {
    fn drop(&mut self) {
        self.0.state.lock().gives_way = false;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let bytes = state.read.bytes + state.answer_bytes;
        let units = REQUEST_UNITS + state.read.rows + bytes / UNIT_BYTES;
        let limiter = &self.platform.rate_limiter;
        match self.network {
            Some(network) => limiter.charge_network(RateClass::Read, network, units),
            None => limiter.charge(RateClass::Read, &self.who, units),
        }
    }
}

/// A part of a request's work, while it runs.
#[derive(Debug)]
pub struct Working<F> {
    work: Arc<Work>,
    part: F,
}

impl<F: Future + Unpin> Future for Working<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { work, part } = &mut *self;
        work.step(|| Pin::new(part).poll(context))
    }
}

/// Puts back which work ran on this thread before.
struct Restored(Option<Arc<Work>>);

impl Drop for Restored {
    fn drop(&mut self) {
        CURRENT.replace(self.0.take());
    }
}

/// Counts rows that were looked at in memory as if they had been read: for what looks at very many.
pub fn note_rows(rows: u64) {
    if let Some(work) = Work::current() {
        work.state.lock().read.rows += rows;
    }
}

/// Lets others run if the present work has run for long, and has it wait for its turn if it only reads. To be called
/// between the steps of whatever may take long, and never with anything in hand that others wait for.
///
/// [`Limited`] if too much waits already. Outside of a request's work it does nothing.
pub async fn give_way() -> Result<(), Limited> {
    match Work::current().filter(|work| work.is_long()) {
        Some(work) => work.give_way().await,
        None => Ok(()),
    }
}

/// Lets others run if the present work has run for long, but never has it wait. For steps in which it has something in
/// hand that others wait for.
pub async fn let_others_run() {
    if let Some(work) = Work::current().filter(|work| work.is_long()) {
        work.let_others_run().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use linkspan_storage::{Memory, Store};
    use serde_json::json;
    use tokio::sync::oneshot;

    use super::*;
    use crate::{Platforms, Settings};

    async fn platform(limits: serde_json::Value) -> Arc<Platform> {
        let settings = json!({
            "name": "one", "server_name": "one.localhost", "registration": "open", "limits": limits,
        });
        let settings: Settings = serde_json::from_value(settings).expect("settings");
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let platforms = Platforms::open(&store, vec![settings], 1).await.expect("the platforms open");
        platforms.iter().next().expect("there is one").clone()
    }

    fn user(name: &str) -> Payer {
        Payer::User(name.to_owned())
    }

    fn one_at_a_time() -> LongWork {
        LongWork(Shares::new(1, WAITING))
    }

    fn work_for_long() {
        let began = Instant::now();
        while began.elapsed() <= SLICE {
            std::hint::spin_loop();
        }
    }

    /// Short work is done although long work runs all the time, and of long work one piece runs at a time.
    #[tokio::test]
    async fn long_work_gives_way_and_takes_turns() {
        let (platform, line) = (platform(json!({})).await, one_at_a_time());
        let running = Arc::new(AtomicUsize::new(0));
        let long = ["anna", "bert", "carl"].map(|who| {
            let (running, work) = (running.clone(), Work::reading(platform.clone(), user(who), line.clone()));
            tokio::spawn(work.run(Box::pin(async move {
                work_for_long();
                give_way().await.expect("there is room in the line");
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "another one runs");
                for _ in 0..3 {
                    work_for_long();
                    give_way().await.expect("it goes on");
                }
                running.fetch_sub(1, Ordering::SeqCst);
            })))
        });
        for _ in 0..3 {
            let short = Work::reading(platform.clone(), user("dora"), line.clone());
            short.run(Box::pin(give_way())).await.expect("short work does not wait");
        }
        for task in long {
            task.await.expect("it is done");
        }
    }

    /// Whoever waits for something else keeps no other from working, and what writes never waits in the line.
    #[tokio::test]
    async fn a_place_is_for_who_works() {
        let (platform, line) = (platform(json!({})).await, one_at_a_time());
        let (go_on, told) = oneshot::channel::<()>();
        let (reached, waits) = oneshot::channel::<()>();
        let waiting = Work::reading(platform.clone(), user("anna"), line.clone());
        let waiting = tokio::spawn(waiting.run(Box::pin(async move {
            work_for_long();
            give_way().await.expect("there is room");
            let _ = reached.send(());
            let _ = told.await;
        })));
        waits.await.expect("it has a place");
        let other = Work::reading(platform.clone(), user("bert"), line.clone());
        let other = other.run(Box::pin(async {
            work_for_long();
            give_way().await
        }));
        other.await.expect("the place is free");

        let _held = line.shares().take(platform.server_name(), "carl").await.expect("it is free");
        let writing = Work::writing(platform.clone(), user("dora"));
        let writing = writing.run(Box::pin(async {
            work_for_long();
            give_way().await
        }));
        writing.await.expect("it does not wait");
        drop(go_on);
        waiting.await.expect("it is done");
    }

    #[tokio::test]
    async fn what_work_has_cost_is_counted_when_it_is_over() {
        let platform = platform(json!({ "read": 0.001, "read_burst": 2_000 })).await;
        let check = || platform.rate_limiter.check_balance(RateClass::Read, "anna").is_ok();
        let work = Work::reading(platform.clone(), user("anna"), one_at_a_time());
        work.note_answer(1_000 * UNIT_BYTES);
        assert!(check(), "it is not over");
        drop(work);
        assert!(check(), "a half is left");
        let work = Work::reading(platform.clone(), user("anna"), one_at_a_time());
        work.note_answer(1_000 * UNIT_BYTES);
        drop(work);
        assert!(!check(), "two answers and two requests are more than there is");
        assert!(platform.rate_limiter.check_balance(RateClass::Read, "bert").is_ok());
    }
    /// Whoever has a whole network of IPv6 can read from each of its 65,536 parts, and so all of it pays.
    #[tokio::test]
    async fn a_network_pays_for_what_is_read_from_its_parts() {
        let platform = platform(json!({ "read": 0.001, "read_burst": 2_000 })).await;
        let network = |part: u32| Network::of(format!("2001:db8:1:{part:x}::1").parse().expect("an address"));
        let is_refused =
            |network| platform.rate_limiter.check_balance_of_network(RateClass::Read, network).is_err();
        for part in 0..2 * Network::WIDER_TIMES {
            let work = Work::reading(platform.clone(), Payer::Network(network(part)), one_at_a_time());
            work.note_answer(1_000 * UNIT_BYTES);
        }
        assert!(is_refused(network(100)), "its parts have read as much as sixteen networks may");
        let elsewhere = Network::of("2001:db8:2::1".parse().expect("an address"));
        assert!(!is_refused(elsewhere));
        let work = Work::reading(platform.clone(), Payer::Network(elsewhere), one_at_a_time());
        work.note_answer(2_000 * UNIT_BYTES);
        drop(work);
        assert!(is_refused(elsewhere), "a network has a bucket of its own");
    }
}
