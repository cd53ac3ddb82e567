//! Copies in memory of what the store holds: rows, or what is made of rows.
//!
//! A copy goes when a commit changes a row that it was made of, as the stream of commits tells, before anybody is told
//! of that commit. So it makes no difference who wrote, and nobody who writes has to know that there are copies. How to
//! use this is in docs/guides/add-a-cache.md.

use std::{
    borrow::Cow,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use quick_cache::{
    Weighter,
    sync::{Cache, GuardResult},
};

use crate::{Position, StorageError, Store, Watched};

/// Keys that share a place count as changed together when somebody offers what was written.
const PLACES: usize = 1_024;

/// How much is kept in memory. What was used least lately goes first.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// About how many copies.
    pub entries: usize,
    /// The sum of their weights.
    pub weight: u64,
}

/// How much a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheSize {
    /// How many copies.
    pub entries: usize,
    /// The sum of their weights, in what the cache is limited by: often about bytes.
    pub weight: u64,
    /// The most that this sum may be.
    pub limit: u64,
}

impl CacheSize {
    /// How much there is in a cache.
    pub fn of<K: Hash + Eq, V: Clone, W: Weighter<K, V> + Clone>(cache: &Cache<K, V, W>) -> Self {
        Self { entries: cache.len(), weight: cache.weight(), limit: cache.capacity() }
    }
}

/// Copies of values of the type `V`, by keys of the type `K`. Clones are the same copies.
pub struct Copies<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    kept: Cache<K, V, Weigh<K, V>>,
    /// When keys were changed last, by their hash; whoever offers a value holds the lock.
    changed: Box<[Mutex<Position>]>,
    hasher: RandomState,
}

type WeighBy<K, V> = dyn Fn(&K, &V) -> u64 + Send + Sync;

struct Weigh<K, V>(Arc<WeighBy<K, V>>);

impl<K, V> Clone for Weigh<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Weighter<K, V> for Weigh<K, V> {
    fn weight(&self, key: &K, value: &V) -> u64 {
        self.0(key, value)
    }
}

impl<K, V> Clone for Copies<K, V> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K, V> fmt::Debug for Copies<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Copies")
    }
}

impl<K, V> Copies<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No copies yet, and at most so many.
    pub fn new(entries: usize) -> Self {
        Self::weighted(Limits { entries, weight: entries as u64 }, |_, _| 1)
    }

    /// The same, where copies differ in weight.
    pub fn weighted(limits: Limits, weigh: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        let shared = Shared {
            kept: Cache::with_weighter(limits.entries, limits.weight, Weigh(Arc::new(weigh))),
            changed: (0..PLACES).map(|_| Mutex::new(Position::ZERO)).collect(),
            hasher: RandomState::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Has copies go when rows of a table change; `key` gives the key of the copy that was made of a row, if one was.
    pub fn forget_on<T: Watched>(
        self,
        store: &Store,
        key: impl Fn(&T::Key) -> Option<Cow<'_, K>> + Send + Sync + 'static,
    ) -> Self {
        store.watch::<T, _>(&self.shared, move |shared, row, change| {
            if let Some(key) = key(row) {
                shared.forget(&key, change.position);
            }
        });
        self
    }

    /// The copy of a key, if there is one.
    pub fn get(&self, key: &K) -> Option<V> {
        self.shared.kept.get(key)
    }

    /// How much there is.
    pub fn size(&self) -> CacheSize {
        CacheSize::of(&self.shared.kept)
    }

    /// The copy of a key. If there is none, one caller reads, and all who ask meanwhile get what it has read. It is
    /// kept unless a commit has changed it meanwhile.
    pub async fn get_or_read<E, F>(&self, key: &K, read: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            // This is boxed because few come here, and everybody who asks would have to keep room for it.
            None => Box::pin(self.read_once(key, read)).await,
        }
    }

    async fn read_once<E, F>(&self, key: &K, read: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        match self.shared.kept.get_value_or_guard_async(key).await {
            Ok(value) => Ok(value),
            Err(guard) => {
                let value = read().await?;
                // An error says that the row was changed: the guard was taken away.
                let _ = guard.insert(value.clone());
                Ok(value)
            }
        }
    }

    /// The copies of some keys, in the same order. Those that are not there are read together: `read` gives a value for
    /// each key that it is handed. What others are reading already is waited for.
    pub async fn get_or_read_many<E, F>(&self, keys: &[K], read: impl Fn(Vec<K>) -> F) -> Result<Vec<V>, E>
    where
        F: Future<Output = Result<Vec<V>, E>>,
    {
        let mut values = Vec::with_capacity(keys.len());
        let (mut guards, mut missing, mut in_other_hands) = (Vec::new(), Vec::new(), Vec::new());
        for (at, key) in keys.iter().enumerate() {
            let mut found = None;
            match self.shared.kept.get_value_or_guard(key, Some(Duration::ZERO)) {
                GuardResult::Value(value) => found = Some(value),
                GuardResult::Guard(guard) => {
                    guards.push((at, guard));
                    missing.push(key.clone());
                }
                GuardResult::Timeout => in_other_hands.push(at),
            }
            values.push(found);
        }
        if !missing.is_empty() {
            for ((at, guard), value) in guards.into_iter().zip(read(missing).await?) {
                let _ = guard.insert(value.clone());
                values[at] = Some(value);
            }
        }
        // Others are waited for only now that nobody waits for this.
        for at in in_other_hands {
            let alone = async || Ok(read(vec![keys[at].clone()]).await?.swap_remove(0));
            values[at] = Some(self.get_or_read(&keys[at], alone).await?);
        }
        Ok(values.into_iter().flatten().collect())
    }

    /// Keeps what a commit at a position wrote, unless a later one has changed it. For who would read it back at once.
    pub fn offer(&self, key: K, value: V, written: Position) {
        let changed = self.shared.changed(&key).lock();
        if *changed <= written {
            self.shared.kept.insert(key, value);
        }
    }
}

/// Copies of a table's rows. That there is no row of a key is kept, too. A row is read when somebody asks.
#[derive(Debug)]
pub struct Rows<T: Watched> {
    copies: Copies<T::Key, Option<Arc<T::Value>>>,
    store: Store,
}

impl<T: Watched> Rows<T>
where
    T::Key: Hash + Eq + Clone + Send + Sync + 'static,
    T::Value: 'static,
{
    /// No rows yet. The weight of a row that is there is `weigh`'s, of one that is not, 1.
    pub fn new(store: &Store, limits: Limits, weigh: fn(&T::Value) -> u64) -> Self {
        let weigh = move |_: &T::Key, row: &Option<Arc<T::Value>>| row.as_ref().map_or(1, |row| weigh(row));
        let copies = Copies::weighted(limits, weigh).forget_on::<T>(store, |key| Some(Cow::Borrowed(key)));
        Self { copies, store: store.clone() }
    }

    /// The row of a key; None: there is none.
    pub async fn get(&self, key: &T::Key) -> Result<Option<Arc<T::Value>>, StorageError> {
        let read = async || Ok(self.store.get::<T>(key).await?.map(Arc::new));
        self.copies.get_or_read(key, read).await
    }

    /// How much there is.
    pub fn size(&self) -> CacheSize {
        self.copies.size()
    }

    /// Keeps a row as a commit at a position wrote it, unless a later one has changed it.
    pub fn offer(&self, key: T::Key, row: Arc<T::Value>, written: Position) {
        self.copies.offer(key, Some(row), written);
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shared<K, V> {
    fn changed(&self, key: &K) -> &Mutex<Position> {
        &self.changed[(self.hasher.hash_one(key) % PLACES as u64) as usize]
    }

    fn forget(&self, key: &K, position: Position) {
        let mut changed = self.changed(key).lock();
        *changed = position;
        self.kept.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Json, Memory, StorageError, WriteSet,
        catalogue::{AccountData, AccountDataKey},
        table::Stamped,
    };

    struct World {
        memory: Arc<Memory>,
        store: Store,
        copies: Copies<AccountDataKey, Option<String>>,
    }

    fn world() -> World {
        let memory = Memory::new().expect("a store in memory opens");
        let store = Store::in_memory(memory.clone());
        let copies = Copies::new(10).forget_on::<AccountData>(&store, |key| Some(Cow::Borrowed(key)));
        World { memory, store, copies }
    }

    fn key() -> AccountDataKey {
        let user_id = "@anna:one.localhost".try_into().expect("a user id");
        AccountDataKey { user_id, room_id: None, event_type: "m.direct".into() }
    }

    fn put(text: &str) -> WriteSet {
        let mut writes = WriteSet::new();
        writes.put::<AccountData>(&key(), &Stamped::pending(Json(text.to_owned())));
        writes
    }

    impl World {
        async fn commit(&self, text: &str) -> Position {
            // Through another handle: who writes makes no difference.
            Store::in_memory(self.memory.clone()).commit(put(text)).await.expect("it is committed")
        }

        async fn read(&self) -> Option<String> {
            let read = async || {
                let row = self.store.get::<AccountData>(&key()).await?;
                Ok::<_, StorageError>(row.map(|stored| stored.value.0))
            };
            self.copies.get_or_read(&key(), read).await.expect("it is read")
        }
    }

    #[tokio::test]
    async fn what_was_read_is_kept_until_it_changes() {
        let world = world();
        assert_eq!(world.read().await, None);
        assert_eq!(world.copies.get(&key()), Some(None), "that there is nothing is kept, too");
        world.commit("one").await;
        assert_eq!(world.copies.get(&key()), None);
        assert_eq!(world.read().await.as_deref(), Some("one"));
        assert_eq!(world.copies.get(&key()), Some(Some("one".to_owned())));
    }

    #[tokio::test]
    async fn a_read_that_a_change_overtakes_is_not_kept() {
        let world = world();
        world.commit("old").await;
        let held = world.memory.hold_reads::<AccountData>();
        let (read, ()) = tokio::join!(world.read(), async {
            held.wait_for_read().await;
            world.commit("new").await;
            drop(held);
        });
        assert_eq!(read.as_deref(), Some("old"), "it began before the change");
        assert_eq!(world.copies.get(&key()), None);
        assert_eq!(world.read().await.as_deref(), Some("new"));
    }

    #[tokio::test]
    async fn what_was_written_is_kept_unless_it_was_changed_since() {
        let world = world();
        let first = world.commit("first").await;
        world.copies.offer(key(), Some("first".into()), first);
        assert_eq!(world.copies.get(&key()), Some(Some("first".to_owned())));
        world.commit("second").await;
        world.copies.offer(key(), Some("first".into()), first);
        assert_eq!(world.copies.get(&key()), None, "it comes too late");
    }

    #[tokio::test]
    async fn many_are_read_together_and_each_once() {
        let copies = Copies::<u32, u32>::new(10);
        let reads = Mutex::new(Vec::new());
        let read = |keys: Vec<u32>| {
            reads.lock().push(keys.clone());
            async { Ok::<_, &str>(keys.into_iter().map(|key| key * 10).collect()) }
        };
        copies.offer(2, 20, Position::ZERO);
        let keys = [1, 2, 3, 1];
        assert_eq!(copies.get_or_read_many(&keys, read).await, Ok(vec![10, 20, 30, 10]));
        assert_eq!(*reads.lock(), [[1, 3]], "one key twice is read once");
        let fail = |_| async { Err::<Vec<u32>, _>("no disk") };
        assert_eq!(copies.get_or_read_many(&[1, 4], fail).await, Err("no disk"));
        assert_eq!(copies.get_or_read_many(&[4, 3], read).await, Ok(vec![40, 30]), "nothing is left behind");
    }

    #[tokio::test]
    async fn what_others_are_reading_is_waited_for() {
        let (copies, now) = (Copies::<u32, u32>::new(10), tokio::sync::Notify::new());
        let slow = async || {
            now.notified().await;
            Ok::<_, &str>(10)
        };
        let read = |keys: Vec<u32>| {
            now.notify_one();
            async { Ok::<_, &str>(keys.into_iter().map(|key| key * 100).collect()) }
        };
        let (one, many) = tokio::join!(copies.get_or_read(&1, slow), copies.get_or_read_many(&[1, 2], read));
        assert_eq!((one, many), (Ok(10), Ok(vec![10, 200])));
    }

    #[tokio::test]
    async fn rows_are_read_once_and_anew_when_they_change() {
        let world = world();
        let rows = Rows::<AccountData>::new(&world.store, Limits { entries: 10, weight: 10 }, |_| 1);
        let text = async || rows.get(&key()).await.expect("it is read").map(|row| row.value.0.clone());
        assert_eq!(text().await, None);
        world.commit("one").await;
        assert_eq!(text().await.as_deref(), Some("one"));
        let held = world.memory.hold_reads::<AccountData>();
        assert_eq!(text().await.as_deref(), Some("one"), "it is not read again");
        drop(held);
        world.commit("two").await;
        assert_eq!(text().await.as_deref(), Some("two"));
    }

    #[tokio::test]
    async fn many_who_ask_at_once_read_once() {
        let world = world();
        world.commit("one").await;
        let held = world.memory.hold_reads::<AccountData>();
        let never = async || Err::<Option<String>, _>("somebody else reads it");
        let key = key();
        let (first, second, ()) = tokio::join!(world.read(), world.copies.get_or_read(&key, never), async {
            held.wait_for_read().await;
            drop(held);
        });
        assert_eq!(first.as_deref(), Some("one"));
        assert_eq!(second.expect("it is not asked"), first);
    }
}
