//! The typed face of a storage engine, used by all services.

use std::{
    fmt,
    marker::PhantomData,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ruma::ServerName;
use tokio::sync::watch;

use crate::{
    Change, CommitError, Feed, Key as _, KeyWriter, Listener, Position, Prefix, Shortage, Space,
    StorageError, StoreStats, Table, Ticket, Unanswered, WaitingCommits, Watched, Whole, WriteSet,
    embedded::{Embedded, EmbeddedOptions},
    engine::{Engine, MAX_KEY_BYTES, RawRange, RawRow, StoreId},
    memory::Memory,
    read_cost::note_read,
    space::may_use_reserve,
    table::{decode_key, decode_value, encode_key},
    update::Turns,
};

/// How many rows one commit of [`Store::delete_range`] deletes.
const DELETED_AT_ONCE: usize = 2_000;

#[derive(Clone)]
enum AnyEngine {
    Embedded(Arc<Embedded>),
    Memory(Arc<Memory>),
}

macro_rules! on_engine {
    ($store:expr, $engine:ident => $call:expr) => {
        match &$store.engine {
            AnyEngine::Embedded($engine) => $call,
            AnyEngine::Memory($engine) => $call,
        }
    };
}

/// Whether a store can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It can.
    Good,
    /// The disk is nearly full: something is refused until there is room again.
    Short(Shortage),
    /// It has failed, and can only be read until it is opened anew: the reason, for operators.
    Failed(Arc<str>),
}

/// A handle on the store; clones are the same store.
#[derive(Clone)]
pub struct Store {
    engine: AnyEngine,
    id: StoreId,
    pub(crate) turns: Arc<Turns>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    fn over(engine: AnyEngine) -> Self {
        static HANDLES: AtomicU64 = AtomicU64::new(0);
        let id = StoreId(HANDLES.fetch_add(1, Ordering::Relaxed));
        Self { engine, id, turns: Arc::default() }
    }

    /// Opens or creates the embedded store in the folder `path`, with memory limits that fit this
    /// machine. [`StorageError::InUse`] if another process has it open.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Self::open_with(path, EmbeddedOptions::default())
    }

    /// Opens or creates the embedded store in the folder `path`.
    pub fn open_with(path: &Path, options: EmbeddedOptions) -> Result<Self, StorageError> {
        Ok(Self::over(AnyEngine::Embedded(Arc::new(Embedded::open(path, options)?))))
    }

    /// A store on the in-memory engine, for tests.
    pub fn in_memory(engine: Arc<Memory>) -> Self {
        Self::over(AnyEngine::Memory(engine))
    }

    /// The value of a key.
    pub async fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, StorageError> {
        let key = encode_key::<T>(key).bytes;
        let value = on_engine!(self, engine => engine.get(T::ID, &key).await)?;
        note_read(1, key.len() + value.as_ref().map_or(0, |value| value.len()));
        value.map(|bytes| decode_value::<T>(&bytes)).transpose()
    }

    /// The value of a key, for whoever goes over many rows, of which one must not keep the others: a row that is damaged
    /// is passed over, and the log names it.
    pub async fn get_readable<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, StorageError> {
        match self.get::<T>(key).await {
            Err(error @ StorageError::DamagedValue { .. }) => {
                tracing::error!(%error, ?key, "a damaged row is passed over");
                Ok(None)
            }
            read => read,
        }
    }

    /// The values of some keys, in the same order. This is quicker than one by one. The rows need not all be
    /// as of the same commit.
    pub async fn get_many<T: Table>(&self, keys: &[T::Key]) -> Result<Vec<Option<T::Value>>, StorageError> {
        let keys: Vec<_> = keys.iter().map(|key| encode_key::<T>(key).bytes).collect();
        let values = on_engine!(self, engine => engine.get_many(T::ID, &keys).await)?;
        note_read(keys.len(), values.iter().flatten().map(|value| value.len()).sum());
        values.into_iter().map(|value| value.map(|bytes| decode_value::<T>(&bytes)).transpose()).collect()
    }

    /// Whether a key has a value.
    pub async fn contains<T: Table>(&self, key: &T::Key) -> Result<bool, StorageError> {
        let key = encode_key::<T>(key).bytes;
        let value = on_engine!(self, engine => engine.get(T::ID, &key).await)?;
        note_read(1, key.len());
        Ok(value.is_some())
    }

    /// The rows of a range.
    pub async fn range<T: Table>(&self, range: Range<T>) -> Result<Vec<(T::Key, T::Value)>, StorageError> {
        let rows = self.read_range(range).await?;
        rows.iter().map(|(key, value)| Ok((decode_key::<T>(key)?, decode_value::<T>(value)?))).collect()
    }

    /// The keys of a range.
    pub async fn keys<T: Table>(&self, range: Range<T>) -> Result<Vec<T::Key>, StorageError> {
        let rows = self.read_range(range).await?;
        rows.iter().map(|(key, _)| decode_key::<T>(key)).collect()
    }

    async fn read_range<T: Table>(&self, range: Range<T>) -> Result<Vec<RawRow>, StorageError> {
        let rows = on_engine!(self, engine => engine.range(T::ID, range.raw.within_limits()).await)?;
        // A range without rows costs as much to look for as one row.
        note_read(rows.len().max(1), rows.iter().map(|(key, value)| key.len() + value.len()).sum());
        Ok(rows)
    }

    /// Queues a write-set; its place in the order of commits is settled when this returns.
    pub fn submit(&self, writes: WriteSet) -> Ticket {
        self.try_submit(writes).unwrap_or_else(Ticket::refused)
    }

    /// Does the same, for whoever lets others build on what is queued: what there is no room for is mostly refused at
    /// once, and then nobody has built on it.
    pub fn try_submit(&self, writes: WriteSet) -> Result<Ticket, CommitError> {
        let mut writes = writes.into_raw();
        writes.request = Unanswered::current();
        writes.by = self.id;
        writes.uses_reserve |= may_use_reserve();
        on_engine!(self, engine => engine.submit(writes))
    }

    /// Writes, and returns once it is on disk.
    pub async fn commit(&self, writes: WriteSet) -> Result<Position, CommitError> {
        self.submit(writes).committed().await
    }

    /// Deletes the rows of a range, in portions: a stop may leave some, and a row that comes in meanwhile may stay.
    pub async fn delete_range<T: Table>(&self, range: Range<T>) -> Result<(), StorageError> {
        let mut rest = range.limit(DELETED_AT_ONCE);
        loop {
            let keys = self.keys(Range::<T> { raw: rest.raw.clone(), table: PhantomData }).await?;
            let Some(last) = keys.last() else { return Ok(()) };
            rest = rest.after(last);
            let mut writes = WriteSet::new();
            keys.iter().for_each(|key| writes.delete::<T>(key));
            self.commit(writes).await?;
        }
    }

    /// The stream of commits from now on, for a task of its own.
    pub fn follow(&self) -> Feed {
        on_engine!(self, engine => engine.follow())
    }

    /// Tells a listener of all commits from now on; see [`Listener`].
    pub fn listen(&self, listener: Listener) {
        on_engine!(self, engine => engine.listen(listener));
    }

    /// Has `hear` told of each change of a table's keys from now on, on the thread that commits: when the change can be
    /// read, and before anybody is told of the commit. It must be quick, and may not wait. It ends with `keeper`, which
    /// is what keeps something in memory: the store must not keep it alive.
    pub fn watch<T: Watched, W: Send + Sync + 'static>(
        &self,
        keeper: &Arc<W>,
        hear: impl Fn(&W, &T::Key, Change) + Send + Sync + 'static,
    ) {
        let (keeper, id) = (Arc::downgrade(keeper), self.id);
        self.listen(Arc::new(move |group| {
            let mut changes = group.iter().flat_map(|committed| {
                committed.changes.iter().filter_map(move |changed| {
                    let key = T::watched_key(&changed.key)?;
                    let is_own = committed.by == id;
                    Some((key, Change { position: committed.position, is_put: changed.is_put, is_own }))
                })
            });
            let Some(first) = changes.next() else { return };
            let Some(keeper) = keeper.upgrade() else { return };
            std::iter::once(first).chain(changes).for_each(|(key, change)| hear(&keeper, key, change));
        }));
    }

    /// The newest position that watchers have heard of or are just hearing of. What is not noted of a key that is
    /// watched has not happened since the position that this gave when the watching began.
    pub fn heard(&self) -> Position {
        on_engine!(self, engine => engine.heard())
    }

    /// The newest position that is durable and readable.
    pub fn position(&self) -> Position {
        on_engine!(self, engine => engine.position())
    }

    /// Whether all is well.
    pub fn condition(&self) -> Condition {
        if let Some(reason) = &*self.failed().borrow() {
            return Condition::Failed(reason.clone());
        }
        match self.space().shortage() {
            Shortage::Nothing => Condition::Good,
            shortage => Condition::Short(shortage),
        }
    }

    /// Tells why nothing more is written, once that is so. It stays so until the store is opened anew, so whoever runs
    /// the process should end it.
    pub fn failed(&self) -> watch::Receiver<Option<Arc<str>>> {
        on_engine!(self, engine => engine.failed())
    }

    /// The free space where the store is.
    pub fn space(&self) -> &Arc<Space> {
        on_engine!(self, engine => engine.space())
    }

    /// All rows as they are on disk now, for a backup.
    pub fn whole(&self) -> Whole {
        on_engine!(self, engine => engine.whole())
    }

    /// Says how much there is, for operators.
    pub async fn stats(&self) -> Result<StoreStats, StorageError> {
        on_engine!(self, engine => engine.stats().await)
    }

    /// What waits to be committed for the people of a platform.
    pub fn waiting_of(&self, server_name: &ServerName) -> WaitingCommits {
        on_engine!(self, engine => engine.waiting_of(server_name))
    }
}

/// A range of a table's keys: those that start with a prefix, perhaps cut at either end.
#[derive(Clone, Debug)]
pub struct Range<T> {
    raw: RawRange,
    table: PhantomData<T>,
}

impl<T: Table> Range<T> {
    /// All rows.
    pub fn all() -> Self {
        Self::of(Vec::new())
    }

    /// The rows whose key starts with these fields, such as `(&a,)` or `(&a, &b)`.
    pub fn prefix(prefix: impl Prefix<<T::Key as crate::Key>::Fields>) -> Self {
        let mut writer = KeyWriter::default();
        prefix.write(&mut writer);
        Self::of(writer.bytes)
    }

    /// The rows whose key starts with these fields and whose next field is text that starts with `text`.
    pub fn prefix_text(prefix: impl Prefix<<T::Key as crate::Key>::Fields>, text: &str) -> Self {
        let mut writer = KeyWriter::default();
        prefix.write(&mut writer);
        writer.text_start(text);
        Self::of(writer.bytes)
    }

    /// The rows whose key starts with these fields and whose next field, a user id or an alias, is of `platform`.
    pub fn prefix_platform(
        prefix: impl Prefix<<T::Key as crate::Key>::Fields>,
        platform: &ruma::OwnedServerName,
    ) -> Self {
        let mut writer = KeyWriter::default();
        prefix.write(&mut writer);
        crate::KeyField::write(platform, &mut writer);
        Self::of(writer.bytes)
    }

    /// The rows from the first whose key starts with `from` to before the first whose key starts with `to`.
    pub fn between(
        from: impl Prefix<<T::Key as crate::Key>::Fields>,
        to: impl Prefix<<T::Key as crate::Key>::Fields>,
    ) -> Self {
        let (mut first, mut end) = (KeyWriter::default(), KeyWriter::default());
        from.write(&mut first);
        to.write(&mut end);
        let raw = RawRange { from: first.bytes, to: Some(end.bytes), reverse: false, limit: usize::MAX };
        Self { raw, table: PhantomData }
    }

    fn of(prefix: Vec<u8>) -> Self {
        let to = after_prefix(&prefix);
        Self { raw: RawRange { from: prefix, to, reverse: false, limit: usize::MAX }, table: PhantomData }
    }

    /// Leaves out what comes before `key`.
    pub fn from(mut self, key: &T::Key) -> Self {
        self.raw.from = self.raw.from.max(key.to_bytes());
        self
    }

    /// Leaves out `key` and what comes before it.
    pub fn after(mut self, key: &T::Key) -> Self {
        let mut bytes = key.to_bytes();
        bytes.push(0);
        self.raw.from = self.raw.from.max(bytes);
        self
    }

    /// Goes on after the last key that was read before, if any was: for what is read a part at a time.
    pub fn after_last(self, last: Option<&T::Key>) -> Self {
        match last {
            Some(key) => self.after(key),
            None => self,
        }
    }

    /// Leaves out `key` and what comes after it.
    pub fn before(mut self, key: &T::Key) -> Self {
        let bytes = key.to_bytes();
        self.raw.to = Some(self.raw.to.map_or(bytes.clone(), |to| to.min(bytes)));
        self
    }

    /// Leaves out what comes after `key`.
    pub fn up_to(mut self, key: &T::Key) -> Self {
        let mut bytes = key.to_bytes();
        bytes.push(0);
        self.raw.to = Some(self.raw.to.map_or(bytes.clone(), |to| to.min(bytes)));
        self
    }

    /// Goes from the last key to the first.
    pub fn reverse(mut self) -> Self {
        self.raw.reverse = true;
        self
    }

    /// Ends after `rows` rows.
    pub fn limit(mut self, rows: usize) -> Self {
        self.raw.limit = rows;
        self
    }
}

impl RawRange {
    /// The same range over keys of at most [`MAX_KEY_BYTES`], with bounds that are hardly longer.
    fn within_limits(mut self) -> Self {
        let shorten = |bound: &mut Vec<u8>| {
            if bound.len() > MAX_KEY_BYTES {
                bound.truncate(MAX_KEY_BYTES);
                bound.push(0);
            }
        };
        shorten(&mut self.from);
        self.to.as_mut().map(shorten);
        self
    }
}

/// The first byte string after all that start with `prefix`; None if there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xFF)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::{DirectoryTermKey, DirectoryTerms},
        memory::SplitMix64,
    };

    fn contains<T>(range: &Range<T>, key: &[u8]) -> bool {
        *range.raw.from <= *key && range.raw.to.as_ref().is_none_or(|to| key < to.as_slice())
    }

    #[test]
    fn prefixes_hold_the_keys_that_start_with_them_and_no_others() {
        let mut random = SplitMix64(1);
        let mut text = || -> String {
            (0..random.below(4)).map(|_| ['\0', '\u{1}', 'a', 'ÿ', '😀'][random.below(5) as usize]).collect()
        };
        let servers =
            ["a.b", "a.b:80", "b"].map(|name| ruma::OwnedServerName::try_from(name).expect("a name"));
        for round in 0..3000 {
            let (platform, other) = (&servers[round % 3], &servers[round % 2]);
            let (term, start) = (text(), text());
            let user_id = ruma::OwnedUserId::try_from("@a:b").expect("a user id");
            let key = DirectoryTermKey { platform: other.clone(), list: 7, term: term.clone(), user_id };
            let bytes = key.to_bytes();
            let by_platform = Range::<DirectoryTerms>::prefix((platform,));
            assert_eq!(contains(&by_platform, &bytes), platform == other);
            let by_term = Range::<DirectoryTerms>::prefix((platform, &7, &start));
            assert_eq!(contains(&by_term, &bytes), platform == other && term == start);
            let by_start = Range::<DirectoryTerms>::prefix_text((platform, &7), &start);
            assert_eq!(contains(&by_start, &bytes), platform == other && term.starts_with(&start));
            assert!(contains(&Range::<DirectoryTerms>::all(), &bytes));
        }
    }

    #[test]
    fn the_end_of_a_prefix_comes_after_all_that_start_with_it() {
        assert_eq!(after_prefix(b"a"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"a\xFF\xFF"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xFF"), None);
        assert_eq!(after_prefix(b""), None);
    }
}
