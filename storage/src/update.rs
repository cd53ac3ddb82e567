//! Updates: the one place where what was decided by reads that have gone stale is decided anew, and where
//! those who contend for a key take turns.
//!
//! An update reads, decides, and states in its write-set what it has read. If that has changed before the
//! commit, the commit is refused and names the key, and the update waits in the queue of that key before it
//! reads again. Whoever comes to a key with a queue joins it. So of many who want one key each gets it in
//! turn, and nobody who wants another key waits for them.

use std::{collections::HashMap, pin::pin, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use xxhash_rust::xxh3::xxh3_64;

use crate::{CommitError, StorageError, Store, TableId, WriteSet, engine::Expectation};

/// How often an update is attempted. Whoever is first in the queue of a key loses at most once more, to what was
/// read before the queue was there; with several contended keys it may be in several queues one after another.
const TRIES: usize = 16;

tokio::task_local! {
    /// Set while an attempt of an update runs.
    static IN_ATTEMPT: ();
}

/// The key that a write-set expected to be otherwise. It is told by a hash, so that it costs nothing to hand
/// on: two keys with the same hash would merely share a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContendedKey {
    table: TableId,
    key_hash: u64,
}

impl ContendedKey {
    pub(crate) fn of(expectation: &Expectation) -> Self {
        Self { table: expectation.table, key_hash: xxh3_64(&expectation.key) }
    }
}

impl Store {
    /// Reads, decides and commits: `attempt` returns a write-set and an answer, and is asked again with fresh
    /// reads whenever something that its write-set expects has changed meanwhile.
    ///
    /// An attempt may begin an update of its own, which does not wait in any queue.
    pub async fn update<A, E, F>(&self, mut attempt: impl FnMut() -> F) -> Result<A, E>
    where
        F: Future<Output = Result<(WriteSet, A), E>>,
        E: From<StorageError>,
    {
        let mut contender = Contender::new(&self.turns);
        loop {
            let (writes, answer) = IN_ATTEMPT.scope((), pin!(attempt())).await?;
            let contended = match contender.queue_ahead(&writes) {
                Some(contended) => contended,
                None => match self.commit(writes).await {
                    Ok(_) => return Ok(answer),
                    Err(CommitError::Conflict(contended)) => contended,
                    Err(error) => return Err(StorageError::from(error).into()),
                },
            };
            // Whatever the attempt holds is not held while it waits.
            drop(answer);
            contender.wait_for_turn(contended).await?;
        }
    }

    /// The same for attempts that commit by themselves. `contended` says of an attempt's error which key was in its
    /// way, if one was.
    pub async fn retry<A, E, F>(
        &self,
        mut attempt: impl FnMut() -> F,
        contended: impl Fn(&E) -> Option<ContendedKey>,
    ) -> Result<A, E>
    where
        F: Future<Output = Result<A, E>>,
        E: From<StorageError>,
    {
        let mut contender = Contender::new(&self.turns);
        loop {
            let error = match IN_ATTEMPT.scope((), pin!(attempt())).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            contender.wait_for_turn(contended(&error).ok_or(error)?).await?;
        }
    }
}

/// The queues of all keys that somebody waits for or has the turn of.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<ContendedKey, Queue>>);

#[derive(Debug, Default)]
struct Queue {
    /// Held by whoever is first; it is handed on in the order of arrival.
    first: Arc<tokio::sync::Mutex<()>>,
    /// How many stand in it, the first included. The queue goes with the last of them.
    length: usize,
}

/// An update that may have to wait. It stands in one queue at a time, so nobody waits in a circle.
struct Contender<'a> {
    turns: &'a Turns,
    /// It is part of an attempt of another update, which may hold what the first of a queue waits for.
    is_nested: bool,
    tries: usize,
    place: Option<InQueue<'a>>,
}

impl<'a> Contender<'a> {
    fn new(turns: &'a Turns) -> Self {
        Self { turns, is_nested: IN_ATTEMPT.try_get().is_ok(), tries: 0, place: None }
    }

    /// A key that the write-set expects something of and that others queue for already, unless this update
    /// has waited before.
    fn queue_ahead(&self, writes: &WriteSet) -> Option<ContendedKey> {
        if self.is_nested || self.place.is_some() {
            return None;
        }
        let queues = self.turns.0.lock();
        if queues.is_empty() {
            return None;
        }
        writes.expectations().map(ContendedKey::of).find(|key| queues.contains_key(key))
    }

    /// Waits until it is first in the queue of a key; that it stays until it gives up its place for another
    /// queue, or ends. Fails with the conflict if it has been tried often enough.
    async fn wait_for_turn(&mut self, key: ContendedKey) -> Result<(), StorageError> {
        self.tries += 1;
        if self.tries == TRIES {
            return Err(CommitError::Conflict(key).into());
        }
        if !self.is_nested && self.place.as_ref().is_none_or(|place| place.key != key) {
            // The old place is left before a new one is taken.
            self.place = None;
            let place = self.place.insert(InQueue::last(self.turns, key));
            let first = self.turns.0.lock()[&key].first.clone();
            place.turn = Some(first.lock_owned().await);
        }
        Ok(())
    }
}

/// A place in the queue of a key, left when this is dropped.
struct InQueue<'a> {
    turns: &'a Turns,
    key: ContendedKey,
    turn: Option<OwnedMutexGuard<()>>,
}

impl<'a> InQueue<'a> {
    fn last(turns: &'a Turns, key: ContendedKey) -> Self {
        turns.0.lock().entry(key).or_default().length += 1;
        Self { turns, key, turn: None }
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        self.turn = None;
        let mut queues = self.turns.0.lock();
        if let Some(queue) = queues.get_mut(&self.key) {
            queue.length -= 1;
            if queue.length == 0 {
                queues.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{sync::oneshot, task::JoinSet};

    use super::*;
    use crate::{
        Memory,
        catalogue::{MediaUsage, UserKey},
    };

    fn open() -> Store {
        Store::in_memory(Memory::new().expect("a store in memory opens"))
    }

    fn key(name: &str) -> UserKey {
        UserKey { user_id: format!("@{name}:a.b").try_into().expect("a user id") }
    }

    async fn increment(store: &Store, key: &UserKey) -> Result<(WriteSet, u64), StorageError> {
        let before = store.get::<MediaUsage>(key).await?;
        let after = before.unwrap_or_default() + 1;
        let mut writes = WriteSet::new();
        writes.expect_read::<MediaUsage>(key, before.as_ref());
        writes.put::<MediaUsage>(key, &after);
        Ok((writes, after))
    }

    /// An update of the key that has lost once and has been given the turn: it goes on when it is told to.
    async fn take_turn(store: &Store, key: &UserKey) -> (JoinSet<u64>, oneshot::Sender<()>) {
        let (has_turn, turn) = oneshot::channel();
        let (go_on, wait) = oneshot::channel();
        let signals = Arc::new(Mutex::new(Some((has_turn, wait))));
        let (store, key, mut updates, mut tries) = (store.clone(), key.clone(), JoinSet::new(), 0);
        updates.spawn(async move {
            let update = store.update(|| {
                tries += 1;
                let (store, key, signals) = (&store, &key, signals.clone());
                async move {
                    let attempt = increment(store, key).await?;
                    if tries == 1 {
                        store.commit(increment(store, key).await?.0).await?;
                    } else if let Some((has_turn, wait)) = { signals.lock().take() } {
                        has_turn.send(()).expect("the test waits for it");
                        wait.await.expect("the test tells it to go on");
                    }
                    Ok::<_, StorageError>(attempt)
                }
            });
            update.await.expect("it is committed")
        });
        turn.await.expect("it gets the turn");
        (updates, go_on)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_of_many_has_its_turn() {
        let store = open();
        let most_tries = Arc::new(AtomicUsize::new(0));
        let mut updates = JoinSet::new();
        for _ in 0..100 {
            let (store, most_tries) = (store.clone(), most_tries.clone());
            updates.spawn(async move {
                for _ in 0..10 {
                    let tries = AtomicUsize::new(0);
                    let attempt = async || {
                        tries.fetch_add(1, Ordering::Relaxed);
                        increment(&store, &key("anna")).await
                    };
                    store.update(attempt).await.expect("it is committed");
                    most_tries.fetch_max(tries.into_inner(), Ordering::Relaxed);
                }
            });
        }
        updates.join_all().await;
        assert_eq!(store.get::<MediaUsage>(&key("anna")).await.expect("it is read"), Some(1000));
        assert!((2..=3).contains(&most_tries.load(Ordering::Relaxed)), "{most_tries:?}");
        assert!(store.turns.0.lock().is_empty(), "a queue was left behind");
    }

    #[tokio::test]
    async fn only_who_wants_the_same_key_waits() {
        let store = open();
        let (first, go_on) = take_turn(&store, &key("anna")).await;
        let other = store.update(async || increment(&store, &key("bert")).await).await;
        assert_eq!(other.expect("it is committed"), 1);

        let anna = key("anna");
        let mut gives_up = Box::pin(store.update(|| increment(&store, &anna)));
        let mut second = pin!(store.update(|| increment(&store, &anna)));
        // They have seen the queue, and stand in it.
        assert!(futures_are_pending(&mut gives_up).await && futures_are_pending(&mut second).await);
        drop(gives_up);
        go_on.send(()).expect("it waits");
        assert_eq!(first.join_all().await, [2]);
        assert_eq!(second.await.expect("it is committed"), 3);
        assert!(store.turns.0.lock().is_empty(), "a queue was left behind");
    }

    /// Whether a future waits, after it was polled once.
    async fn futures_are_pending(future: &mut (impl Future + Unpin)) -> bool {
        std::future::poll_fn(|context| {
            let poll = std::pin::Pin::new(&mut *future).poll(context);
            std::task::Poll::Ready(poll.is_pending())
        })
        .await
    }

    #[tokio::test]
    async fn an_update_within_an_attempt_waits_for_nobody() {
        let store = open();
        let tries = AtomicUsize::new(0);
        let outer = store.update(async || {
            let is_first = tries.fetch_add(1, Ordering::Relaxed) == 0;
            if !is_first {
                // The attempt that surrounds it has the turn of this key.
                store.update(async || increment(&store, &key("anna")).await).await?;
            }
            let attempt = increment(&store, &key("anna")).await?;
            if is_first {
                store.commit(increment(&store, &key("anna")).await?.0).await?;
            }
            Ok::<_, StorageError>(attempt)
        });
        assert_eq!(outer.await.expect("it is committed"), 3);
    }

    #[tokio::test]
    async fn what_is_always_in_conflict_ends() {
        let store = open();
        let tries = AtomicUsize::new(0);
        let hopeless = store.update(async || {
            tries.fetch_add(1, Ordering::Relaxed);
            let mut writes = WriteSet::new();
            writes.expect::<MediaUsage>(&key("anna"), &7);
            Ok::<_, StorageError>((writes, ()))
        });
        let outcome = hopeless.await;
        assert!(matches!(outcome, Err(StorageError::Commit(CommitError::Conflict(_)))), "{outcome:?}");
        assert_eq!(tries.into_inner(), TRIES);
    }
}
