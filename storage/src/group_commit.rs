//! Group commit for engines of one process: write-sets that arrive while a disk sync runs go into
//! the next one together. One thread decides, in order, which write-sets hold.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::{
    CommitError, CommitGroup, Committed, Position, StorageError, TableId, Ticket,
    catalogue::{META_POSITION_KEY, Meta},
    engine::RawWriteSet,
    table::Table,
};

/// How many write-sets share a disk sync at most.
const GROUP_LIMIT: usize = 512;

/// What group commit needs of an engine.
pub(crate) trait Backend: Send + Sync + 'static {
    fn read(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;
    /// Applies all changes atomically and durably, later ones over earlier ones. After an error
    /// it is unknown whether they are on disk.
    fn apply(&self, changes: Vec<AppliedChange>) -> Result<(), String>;
}

/// A change whose stamps are filled in; a value of None deletes.
#[derive(Clone, Debug)]
pub(crate) struct AppliedChange {
    pub(crate) table: TableId,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

struct Submission {
    writes: RawWriteSet,
    reply: oneshot::Sender<Result<Position, CommitError>>,
}

/// The queue in front of a backend, and the thread that empties it.
#[derive(Debug)]
pub(crate) struct GroupCommit {
    queue: Mutex<Option<Sender<Submission>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    published: Arc<AtomicU64>,
    subscribers: Arc<Mutex<Vec<mpsc::UnboundedSender<CommitGroup>>>>,
}

impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Submission")
    }
}

impl GroupCommit {
    /// Starts the thread; positions go on from the one stored in the backend.
    pub(crate) fn start(backend: Arc<impl Backend>) -> Result<Self, StorageError> {
        let position = match backend.read(Meta::ID, &META_POSITION_KEY)? {
            Some(bytes) => {
                let bytes: [u8; 8] = bytes.try_into().map_err(|_| StorageError::DamagedValue {
                    table: Meta::NAME,
                    reason: "the position is not eight bytes".into(),
                })?;
                Position::from_u64(u64::from_be_bytes(bytes))
            }
            None => Position::ZERO,
        };
        let (queue, submissions) = channel();
        let published = Arc::new(AtomicU64::new(position.get()));
        let subscribers = Arc::<Mutex<Vec<_>>>::default();
        let mut committer = Committer {
            backend,
            position,
            poisoned: None,
            published: published.clone(),
            subscribers: subscribers.clone(),
        };
        let thread = thread::Builder::new()
            .name("group-commit".into())
            .spawn(move || committer.run(&submissions))
            .map_err(|error| StorageError::Engine(error.to_string()))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), published, subscribers })
    }

    pub(crate) fn submit(&self, writes: RawWriteSet) -> Ticket {
        let (reply, ticket) = oneshot::channel();
        if let Some(queue) = &*self.queue.lock() {
            // A committer that is gone drops the reply, which the ticket reports.
            let _ = queue.send(Submission { writes, reply });
        }
        Ticket(ticket)
    }

    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<CommitGroup> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.subscribers.lock().push(sender);
        receiver
    }

    pub(crate) fn position(&self) -> Position {
        Position::from_u64(self.published.load(Ordering::Acquire))
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.queue.lock().take();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

struct Committer<B> {
    backend: Arc<B>,
    position: Position,
    poisoned: Option<Arc<str>>,
    published: Arc<AtomicU64>,
    subscribers: Arc<Mutex<Vec<mpsc::UnboundedSender<CommitGroup>>>>,
}

impl<B: Backend> Committer<B> {
    fn run(&mut self, submissions: &Receiver<Submission>) {
        while let Ok(first) = submissions.recv() {
            let mut group = vec![first];
            group.extend(submissions.try_iter().take(GROUP_LIMIT - 1));
            self.commit_group(group);
        }
    }

    fn commit_group(&mut self, group: Vec<Submission>) {
        let mut changes = Vec::new();
        // What this group has changed so far, as later expectations must see it.
        let mut changed: HashMap<(TableId, Vec<u8>), usize> = HashMap::new();
        let mut accepted = Vec::new();
        for Submission { mut writes, reply } in group {
            if let Some(reason) = &self.poisoned {
                let _ = reply.send(Err(CommitError::Poisoned(reason.clone())));
                continue;
            }
            match self.holds(&writes, &changed, &changes) {
                Ok(true) => {}
                Ok(false) => {
                    let _ = reply.send(Err(CommitError::Conflict));
                    continue;
                }
                Err(error) => {
                    let reason: Arc<str> = error.to_string().into();
                    self.poisoned = Some(reason.clone());
                    let _ = reply.send(Err(CommitError::Poisoned(reason)));
                    continue;
                }
            }
            self.position = self.position.next();
            for change in std::mem::take(&mut writes.changes) {
                let change = stamp(change, self.position);
                changed.insert((change.table, change.key.clone()), changes.len());
                changes.push(change);
            }
            accepted.push((self.position, writes.notices, reply));
        }
        if accepted.is_empty() {
            return;
        }
        changes.push(AppliedChange {
            table: Meta::ID,
            key: META_POSITION_KEY.to_vec(),
            value: Some(self.position.get().to_be_bytes().to_vec()),
        });
        match self.backend.apply(changes) {
            Ok(()) => self.publish(accepted),
            Err(reason) => {
                tracing::error!(%reason, "a commit failed; the store refuses writes until a restart");
                let reason: Arc<str> = reason.into();
                self.poisoned = Some(reason.clone());
                for (_, _, reply) in accepted {
                    let _ = reply.send(Err(CommitError::Poisoned(reason.clone())));
                }
            }
        }
    }

    fn holds(
        &self,
        writes: &RawWriteSet,
        changed: &HashMap<(TableId, Vec<u8>), usize>,
        changes: &[AppliedChange],
    ) -> Result<bool, StorageError> {
        for expectation in &writes.expectations {
            // The clone is of a key of some tens of bytes.
            let found = match changed.get(&(expectation.table, expectation.key.clone())) {
                Some(&index) => changes[index].value.clone(),
                None => self.backend.read(expectation.table, &expectation.key)?,
            };
            if found != expectation.value {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn publish(
        &self,
        accepted: Vec<(Position, Vec<crate::Notice>, oneshot::Sender<Result<Position, CommitError>>)>,
    ) {
        self.published.store(self.position.get(), Ordering::Release);
        let mut committed = Vec::with_capacity(accepted.len());
        for (position, notices, reply) in accepted {
            let _ = reply.send(Ok(position));
            committed.push(Committed { position, notices });
        }
        let group: CommitGroup = committed.into();
        self.subscribers.lock().retain(|subscriber| subscriber.send(group.clone()).is_ok());
    }
}

fn stamp(change: crate::engine::Change, position: Position) -> AppliedChange {
    let crate::engine::Change { table, mut key, key_stamp, mut value, value_stamp } = change;
    let bytes = position.get().to_be_bytes();
    if let Some(at) = key_stamp {
        key[at..at + 8].copy_from_slice(&bytes);
    }
    if let (Some(at), Some(value)) = (value_stamp, &mut value) {
        // A value written again with the position it already has keeps it.
        if value[at..at + 8] == Position::PENDING.get().to_be_bytes() {
            value[at..at + 8].copy_from_slice(&bytes);
        }
    }
    AppliedChange { table, key, value }
}
