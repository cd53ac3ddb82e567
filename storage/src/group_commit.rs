//! Group commit for engines of one process: write-sets that arrive while a disk sync runs go into
//! the next one together. One thread decides, in order, which write-sets hold; how changes reach the
//! disk is the backend's affair.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::ServerName;
use tokio::sync::{broadcast, oneshot, watch};

use crate::{
    CommitError, CommitGroup, CommitStats, Committed, ContendedKey, Feed, Listener, MAX_KEY_BYTES,
    MAX_VALUE_BYTES, Position, RawBytes, Space, StorageError, TableId, Ticket, WaitingCommits,
    catalogue::{META_POSITION_KEY, Meta},
    commit_counts::CommitCounts,
    engine::{Change, Expectation, RawWriteSet},
    stream::FEED_GROUPS,
    table::Table,
    waiting::{Requester, Waiting},
};

/// How many write-sets share a disk sync at most.
const GROUP_LIMIT: usize = 512;

/// From so many bytes on, nothing more is added to a group: others wait until all of it is written. It is what a disk
/// takes in a tenth of a second.
const GROUP_BYTES: usize = 16 << 20;

/// After a group of so many write-sets, as many again are on their way: the next group waits for them, as a disk
/// sync, and what follows it, costs as much for one write-set as for many.
const GROUP_SIBLINGS: usize = 4;

/// How often it looks whether they are there, and how often at most. The system adds some 60 µs to each time.
const GROUP_STEP: Duration = Duration::from_micros(125);
const GROUP_STEPS: usize = 6;

/// Rows that are written once in an era and of which it is remembered that they were.
const ERA_KEYS: usize = 1 << 15;

/// What group commit needs of an engine.
pub(crate) trait Backend: Send + Sync + 'static {
    /// The value of a key, as of the last `apply` that succeeded.
    fn read(&self, table: TableId, key: &[u8]) -> Result<Option<RawBytes>, StorageError>;
    /// Applies all changes atomically and durably, later ones over earlier ones; `position` is that of
    /// the newest commit among them. After an error it is unknown whether they are on disk, and
    /// readers must not see them.
    fn apply(&self, changes: Vec<AppliedChange>, position: Position) -> Result<(), String>;
}

/// A change whose stamps are filled in; a value of None deletes.
#[derive(Clone, Debug)]
pub(crate) struct AppliedChange {
    pub(crate) table: TableId,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

type Reply = oneshot::Sender<Result<Position, CommitError>>;
type Listeners = Mutex<Vec<Listener>>;

struct Submission {
    writes: RawWriteSet,
    bytes: usize,
    requester: Requester,
    since: Instant,
    reply: Reply,
}

/// A write-set that holds and waits for the disk.
struct Accepted {
    position: Position,
    /// What the stream will tell of it; None: it changes nothing, and has no position of its own.
    committed: Option<Committed>,
    /// When it was queued.
    since: Instant,
    reply: Reply,
}

/// The queue in front of a backend, and the thread that empties it.
pub(crate) struct GroupCommit {
    queue: Arc<Mutex<Queue>>,
    /// How many write-sets wait.
    waiting: Arc<AtomicUsize>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    told: Arc<Told>,
    space: Arc<Space>,
}

struct Queue {
    /// None once nothing more is taken.
    submissions: Option<Sender<Submission>>,
    waiting: Waiting,
}

/// What is told of commits, and to whom.
struct Told {
    /// The newest position that listeners have begun to hear of.
    heard: AtomicU64,
    published: AtomicU64,
    listeners: Listeners,
    feed: broadcast::Sender<CommitGroup>,
    counts: CommitCounts,
    failed: Failed,
}

/// Why nothing more is written, once that is so. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Failed(watch::Sender<Option<Arc<str>>>);

impl Failed {
    /// Notes it, and says it to the operator, unless something has failed before.
    pub(crate) fn note(&self, reason: &str) {
        self.0.send_if_modified(|failed| {
            let is_first = failed.is_none();
            if is_first {
                tracing::error!(%reason, "the store has failed, and refuses writes until a restart");
                *failed = Some(reason.into());
            }
            is_first
        });
    }

    /// Tells when it has failed, and why.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.subscribe()
    }

    fn error(&self) -> Option<CommitError> {
        self.0.borrow().clone().map(CommitError::Poisoned)
    }
}

impl std::fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GroupCommit")
    }
}

impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Submission")
    }
}

impl GroupCommit {
    /// Starts the thread; positions go on from the one stored in the backend.
    pub(crate) fn start(backend: Arc<impl Backend>, space: Arc<Space>) -> Result<Self, StorageError> {
        let position = stored_position(backend.read(Meta::ID, &META_POSITION_KEY)?)?;
        let (queue, submissions) = channel();
        let queue = Queue { submissions: Some(queue), waiting: Waiting::default() };
        let queue = Arc::new(Mutex::new(queue));
        let count = Arc::<AtomicUsize>::default();
        let told = Arc::new(Told {
            heard: AtomicU64::new(position.get()),
            published: AtomicU64::new(position.get()),
            listeners: Listeners::default(),
            feed: broadcast::Sender::new(FEED_GROUPS),
            failed: Failed(watch::Sender::new(None)),
            counts: CommitCounts::default(),
        });
        let mut committer = Committer {
            backend,
            position,
            era: EraKeys::default(),
            space: space.clone(),
            queue: queue.clone(),
            waiting: count.clone(),
            told: told.clone(),
        };
        let thread = thread::Builder::new()
            .name("group-commit".into())
            .spawn(move || committer.run(&submissions))
            .map_err(|error| StorageError::Engine(error.to_string()))?;
        Ok(Self { queue, waiting: count, thread: Mutex::new(Some(thread)), told, space })
    }

    pub(crate) fn submit(&self, writes: RawWriteSet) -> Result<Ticket, CommitError> {
        self.try_submit(writes).inspect_err(|error| self.told.counts.note_refused(error))
    }

    fn try_submit(&self, writes: RawWriteSet) -> Result<Ticket, CommitError> {
        let bytes = check_lengths(&writes)?;
        if !self.space.allows(&writes) {
            return Err(CommitError::Full);
        }
        let (reply, ticket) = oneshot::channel();
        let queue = &mut *self.queue.lock();
        if let Some(submissions) = &queue.submissions {
            let requester = queue.waiting.enter(writes.request.as_ref(), bytes).ok_or(CommitError::Busy)?;
            self.waiting.fetch_add(1, Ordering::Relaxed);
            // A committer that is gone drops the reply, which the ticket reports.
            let _ = submissions.send(Submission { writes, bytes, requester, since: Instant::now(), reply });
        }
        Ok(Ticket(ticket))
    }

    pub(crate) fn follow(&self) -> Feed {
        Feed(self.told.feed.subscribe())
    }

    pub(crate) fn listen(&self, listener: Listener) {
        self.told.listeners.lock().push(listener);
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// Whom to tell, and who tells, that the store has failed.
    pub(crate) fn failed(&self) -> &Failed {
        &self.told.failed
    }

    pub(crate) fn position(&self) -> Position {
        Position::from_u64(self.told.published.load(Ordering::Acquire))
    }

    /// What was committed since the start.
    pub(crate) fn stats(&self) -> CommitStats {
        self.told.counts.read(self.queue.lock().waiting.all())
    }

    /// What waits for the people of a platform.
    pub(crate) fn waiting_of(&self, server_name: &ServerName) -> WaitingCommits {
        self.queue.lock().waiting.of_platform(server_name)
    }

    pub(crate) fn heard(&self) -> Position {
        Position::from_u64(self.told.heard.load(Ordering::SeqCst))
    }
}

/// What was submitted is still committed; the thread is gone when this returns, and with it its
/// handle on the backend.
impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.queue.lock().submissions = None;
        // A listener may hold the last handle on the store: then this is that thread, which ends by itself.
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// The bytes of a write-set, if no key and no value is too long.
fn check_lengths(writes: &RawWriteSet) -> Result<usize, CommitError> {
    let mut bytes = 0;
    for Change { key, value, .. } in &writes.changes {
        if key.len() > MAX_KEY_BYTES {
            return Err(CommitError::Refused("a key is too long"));
        }
        let value_bytes = value.as_ref().map_or(0, Vec::len);
        if value_bytes > MAX_VALUE_BYTES {
            return Err(CommitError::Refused("a value is too long"));
        }
        bytes += key.len() + value_bytes;
    }
    Ok(bytes)
}

/// The position is a row of [`Meta`] as any other: a JSON number.
pub(crate) fn stored_position(row: Option<RawBytes>) -> Result<Position, StorageError> {
    let Some(bytes) = row else { return Ok(Position::ZERO) };
    std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).map(Position::from_u64).ok_or_else(
        || StorageError::DamagedValue { table: Meta::NAME, reason: "the position is not a number".into() },
    )
}

struct Committer<B> {
    backend: Arc<B>,
    position: Position,
    era: EraKeys,
    space: Arc<Space>,
    queue: Arc<Mutex<Queue>>,
    waiting: Arc<AtomicUsize>,
    told: Arc<Told>,
}

impl<B: Backend> Committer<B> {
    fn run(&mut self, submissions: &Receiver<Submission>) {
        let mut before = 0;
        while let Ok(first) = submissions.recv() {
            if before >= GROUP_SIBLINGS {
                self.wait_for(before);
            }
            let mut bytes = first.bytes;
            let mut group = vec![first];
            while group.len() < GROUP_LIMIT
                && bytes < GROUP_BYTES
                && let Ok(next) = submissions.try_recv()
            {
                bytes += next.bytes;
                group.push(next);
            }
            before = group.len();
            self.leave_queue(&group);
            self.commit_group(group);
        }
    }

    /// What is committed now makes room for what comes next.
    fn leave_queue(&self, group: &[Submission]) {
        self.waiting.fetch_sub(group.len(), Ordering::Relaxed);
        let waiting = &mut self.queue.lock().waiting;
        group.iter().for_each(|submission| waiting.leave(submission.requester, submission.bytes));
    }

    /// Waits until so many write-sets wait, but not long.
    fn wait_for(&self, siblings: usize) {
        for _ in 0..GROUP_STEPS {
            if self.waiting.load(Ordering::Relaxed) >= siblings {
                return;
            }
            thread::sleep(GROUP_STEP);
        }
    }

    fn commit_group(&mut self, mut group: Vec<Submission>) {
        let expectations: Vec<_> =
            group.iter_mut().map(|submission| std::mem::take(&mut submission.writes.expectations)).collect();
        let mut changes = Changes::of_group(&expectations);
        let mut accepted = Vec::with_capacity(group.len());
        // They are told when the group is on disk: whoever reads again after a conflict must see what
        // the conflict was with, or would come too late for ever.
        let mut refused = Vec::new();
        let shortage = self.space.shortage();
        for (Submission { mut writes, since, reply, .. }, expectations) in
            group.into_iter().zip(&expectations)
        {
            let verdict = match self.told.failed.error() {
                Some(error) => Err(error),
                None if !shortage.allows(&writes) => Err(CommitError::Full),
                None => self.check_expectations(expectations, &changes),
            };
            if let Err(error) = verdict {
                self.told.counts.note_refused(&error);
                refused.push((reply, error));
                continue;
            }
            let is_commit = !writes.changes.is_empty();
            if is_commit {
                self.position = self.position.next();
            }
            for change in std::mem::take(&mut writes.changes) {
                if !change.once_in_era || self.era.is_first(&change, self.position) {
                    changes.push(stamp(change, self.position));
                }
            }
            let position = self.position;
            let RawWriteSet { watched, request, by, .. } = writes;
            let committed = is_commit.then(|| Committed { position, request, by, changes: watched });
            accepted.push(Accepted { position, committed, since, reply });
        }
        // Write-sets that only check something need no disk.
        let is_written = accepted.iter().any(|accepted| accepted.committed.is_some());
        let outcome = if is_written { self.apply(changes.list) } else { Ok(()) };
        match outcome {
            Ok(()) => {
                self.publish(accepted);
                for (reply, error) in refused {
                    let _ = reply.send(Err(error));
                }
            }
            Err(error) => {
                // Positions that never became readable are not told of.
                self.position = Position::from_u64(self.told.published.load(Ordering::Acquire));
                let replies = accepted.into_iter().map(|accepted| accepted.reply);
                for reply in replies.chain(refused.into_iter().map(|(reply, _)| reply)) {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn apply(&mut self, mut changes: Vec<AppliedChange>) -> Result<(), CommitError> {
        changes.push(AppliedChange {
            table: Meta::ID,
            key: META_POSITION_KEY.to_vec(),
            value: Some(self.position.to_string().into_bytes()),
        });
        let commits = self.position.get() - self.told.published.load(Ordering::Relaxed);
        self.told.counts.note_rows(&changes);
        let begun = Instant::now();
        self.backend.apply(changes, self.position).map_err(|reason| self.poison(reason))?;
        self.told.counts.note_group(commits, begun.elapsed());
        Ok(())
    }

    fn poison(&self, reason: String) -> CommitError {
        self.told.failed.note(&reason);
        CommitError::Poisoned(reason.into())
    }

    fn check_expectations(
        &mut self,
        expectations: &[Expectation],
        changes: &Changes<'_>,
    ) -> Result<(), CommitError> {
        for expectation in expectations {
            let is_met = match changes.newest(expectation.table, &expectation.key) {
                Some(change) => expectation.is_met(change.value.as_deref()),
                None => match self.backend.read(expectation.table, &expectation.key) {
                    Ok(found) => expectation.is_met(found.as_deref()),
                    Err(error) => return Err(self.poison(error.to_string())),
                },
            };
            if !is_met {
                return Err(CommitError::Conflict(ContendedKey::of(expectation)));
            }
        }
        Ok(())
    }

    fn publish(&self, accepted: Vec<Accepted>) {
        let mut committed = Vec::with_capacity(accepted.len());
        let mut replies = Vec::with_capacity(accepted.len());
        for accepted in accepted {
            if accepted.committed.is_some() {
                self.told.counts.note_wait(accepted.since.elapsed());
            }
            replies.push((accepted.reply, accepted.position));
            committed.extend(accepted.committed);
        }
        let group: CommitGroup = committed.into();
        let told = &self.told;
        // First: who begins to remember from here on misses at most what it knows to have missed.
        told.heard.store(self.position.get(), Ordering::SeqCst);
        if !group.is_empty() {
            told.listeners.lock().iter().for_each(|listener| listener(&group));
        }
        told.published.store(self.position.get(), Ordering::Release);
        for (reply, position) in replies {
            let _ = reply.send(Ok(position));
        }
        if !group.is_empty() {
            // An error says that nobody follows.
            let _ = told.feed.send(group);
        }
    }
}

/// The changes of a group so far, with a way to find those that an expectation of the group must see.
struct Changes<'a> {
    list: Vec<AppliedChange>,
    /// The keys that the group's expectations name, each with its place in `newest`.
    expected: HashMap<(TableId, &'a [u8]), usize>,
    /// Which change is the newest of an expected key.
    newest: Vec<Option<usize>>,
}

impl<'a> Changes<'a> {
    fn of_group(expectations: &'a [Vec<Expectation>]) -> Self {
        let mut expected = HashMap::new();
        // The expectations of the first write-set see no change of the group, and those of a later one
        // only if an earlier one writes what they name: with one write-set there is nothing to find.
        if expectations.len() > 1 {
            for expectation in expectations.iter().flatten() {
                let place = expected.len();
                expected.entry((expectation.table, expectation.key.as_slice())).or_insert(place);
            }
        }
        let newest = vec![None; expected.len()];
        Self { list: Vec::new(), expected, newest }
    }

    fn newest(&self, table: TableId, key: &[u8]) -> Option<&AppliedChange> {
        let place = *self.expected.get(&(table, key))?;
        self.newest[place].map(|index| &self.list[index])
    }

    /// Replaces an earlier change of a key that is expected: such rows, as a room's head, are often
    /// written by every write-set of a group, and only the last one need reach the disk.
    fn push(&mut self, change: AppliedChange) {
        if let Some(&place) = self.expected.get(&(change.table, change.key.as_slice())) {
            if let Some(index) = self.newest[place] {
                self.list[index] = change;
                return;
            }
            self.newest[place] = Some(self.list.len());
        }
        self.list.push(change);
    }
}

/// Rows that were written in the present era, and need not be again. What is forgotten is written once more, in
/// the same place.
#[derive(Default)]
struct EraKeys {
    era: Position,
    /// Without stamps.
    keys: HashMap<TableId, HashSet<Vec<u8>>>,
    count: usize,
}

impl EraKeys {
    /// Whether the row is not known to be written in the era of `position`.
    fn is_first(&mut self, change: &Change, position: Position) -> bool {
        if self.era != position.era() || self.count >= ERA_KEYS {
            *self = Self { era: position.era(), ..Self::default() };
        }
        let keys = self.keys.entry(change.table).or_default();
        let is_first = !keys.contains(&change.key);
        if is_first {
            keys.insert(change.key.clone());
            self.count += 1;
        }
        is_first
    }
}

fn stamp(change: Change, position: Position) -> AppliedChange {
    let Change { table, mut key, key_stamp, mut value, value_stamp, once_in_era } = change;
    let bytes = position.get().to_be_bytes();
    if let Some(at) = key_stamp {
        let in_key = if once_in_era { position.era() } else { position };
        key[at..at + 8].copy_from_slice(&in_key.get().to_be_bytes());
    }
    if let (Some(at), Some(value)) = (value_stamp, &mut value) {
        // A value written again with the position it already has keeps it.
        if value[at..at + 8] == Position::PENDING.get().to_be_bytes() {
            value[at..at + 8].copy_from_slice(&bytes);
        }
    }
    AppliedChange { table, key, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_first_in_each_era_and_once_it_is_forgotten() {
        let change = |number: usize| Change {
            table: Meta::ID,
            key: number.to_be_bytes().to_vec(),
            key_stamp: None,
            value: None,
            value_stamp: None,
            once_in_era: true,
        };
        let mut era = EraKeys::default();
        let (one, later) = (Position::from_u64(1), Position::from_u64(1 << 20));
        assert!(era.is_first(&change(0), one));
        assert!(!era.is_first(&change(0), one.next()));
        assert!(era.is_first(&change(0), later));
        assert!((1..ERA_KEYS).all(|number| era.is_first(&change(number), later)));
        assert!(era.is_first(&change(0), later), "there were too many others");
    }
}
