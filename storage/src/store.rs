//! The typed face of a storage engine, used by all services.

use std::{fmt, marker::PhantomData, path::Path, sync::Arc};

use tokio::sync::{RwLock, mpsc};

use crate::{
    CommitError, CommitGroup, Key as _, KeyWriter, Listener, Position, Prefix, StorageError, StoreStats,
    Table, Ticket, Unanswered, WriteSet,
    embedded::{Embedded, EmbeddedOptions},
    engine::{Engine, MAX_KEY_BYTES, RawRange},
    memory::Memory,
    table::{decode_key, decode_value, encode_key},
};

/// How often [`Store::update`] tries again after a conflict.
const UPDATE_TRIES: usize = 64;
/// After so many of them, alone.
const TRIES_TOGETHER: usize = 4;

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

/// A handle on the store; clones are the same store.
#[derive(Clone)]
pub struct Store {
    engine: AnyEngine,
    /// Held together by updates, and alone by one that has lost too often.
    updates: Arc<RwLock<()>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    fn over(engine: AnyEngine) -> Self {
        Self { engine, updates: Arc::default() }
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
        value.map(|bytes| decode_value::<T>(&bytes)).transpose()
    }

    /// Whether a key has a value.
    pub async fn contains<T: Table>(&self, key: &T::Key) -> Result<bool, StorageError> {
        let key = encode_key::<T>(key).bytes;
        Ok(on_engine!(self, engine => engine.get(T::ID, &key).await)?.is_some())
    }

    /// The rows of a range.
    pub async fn range<T: Table>(&self, range: Range<T>) -> Result<Vec<(T::Key, T::Value)>, StorageError> {
        let rows = on_engine!(self, engine => engine.range(T::ID, range.raw.within_limits()).await)?;
        rows.iter().map(|(key, value)| Ok((decode_key::<T>(key)?, decode_value::<T>(value)?))).collect()
    }

    /// The keys of a range.
    pub async fn keys<T: Table>(&self, range: Range<T>) -> Result<Vec<T::Key>, StorageError> {
        let rows = on_engine!(self, engine => engine.range(T::ID, range.raw.within_limits()).await)?;
        rows.iter().map(|(key, _)| decode_key::<T>(key)).collect()
    }

    /// Queues a write-set; its place in the order of commits is settled when this returns.
    pub fn submit(&self, writes: WriteSet) -> Ticket {
        let mut writes = writes.into_raw();
        writes.request = Unanswered::current();
        on_engine!(self, engine => engine.submit(writes))
    }

    /// Writes, and returns once it is on disk.
    pub async fn commit(&self, writes: WriteSet) -> Result<Position, CommitError> {
        self.submit(writes).committed().await
    }

    /// Reads, decides and commits: `attempt` returns a write-set and an answer, and is asked again
    /// with fresh reads whenever what it expected has changed meanwhile. The one place of retries.
    ///
    /// Who loses a few times in a row, as the slowest of several does, goes on without the others. An attempt
    /// must not begin an update of its own.
    pub async fn update<A, E, F>(&self, mut attempt: impl FnMut() -> F) -> Result<A, E>
    where
        F: Future<Output = Result<(WriteSet, A), E>>,
        E: From<StorageError>,
    {
        let mut tries = 0;
        let mut together = Some(self.updates.read().await);
        let mut alone = None;
        loop {
            let (writes, answer) = attempt().await?;
            match self.commit(writes).await {
                Ok(_) => return Ok(answer),
                Err(CommitError::Conflict) if tries < UPDATE_TRIES => tries += 1,
                Err(error) => return Err(StorageError::from(error).into()),
            }
            if tries > TRIES_TOGETHER && alone.is_none() {
                together.take();
                alone = Some(self.updates.write().await);
            }
        }
    }

    /// The feed of commits from now on. What is not received stays in memory, so a subscriber must
    /// read, or drop the receiver.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<CommitGroup> {
        on_engine!(self, engine => engine.subscribe())
    }

    /// Tells a listener of all commits from now on; see [`Listener`].
    pub fn listen(&self, listener: Listener) {
        on_engine!(self, engine => engine.listen(listener));
    }

    /// The newest position that is durable and readable.
    pub fn position(&self) -> Position {
        on_engine!(self, engine => engine.position())
    }

    /// How much there is, for operators.
    pub async fn stats(&self) -> Result<StoreStats, StorageError> {
        on_engine!(self, engine => engine.stats().await)
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

    /// Not before `key`.
    pub fn from(mut self, key: &T::Key) -> Self {
        self.raw.from = self.raw.from.max(key.to_bytes());
        self
    }

    /// After `key`.
    pub fn after(mut self, key: &T::Key) -> Self {
        let mut bytes = key.to_bytes();
        bytes.push(0);
        self.raw.from = self.raw.from.max(bytes);
        self
    }

    /// Before `key`.
    pub fn before(mut self, key: &T::Key) -> Self {
        let bytes = key.to_bytes();
        self.raw.to = Some(self.raw.to.map_or(bytes.clone(), |to| to.min(bytes)));
        self
    }

    /// Up to `key`, which belongs to it.
    pub fn up_to(mut self, key: &T::Key) -> Self {
        let mut bytes = key.to_bytes();
        bytes.push(0);
        self.raw.to = Some(self.raw.to.map_or(bytes.clone(), |to| to.min(bytes)));
        self
    }

    /// From the last key to the first.
    pub fn reverse(mut self) -> Self {
        self.raw.reverse = true;
        self
    }

    /// At most `rows` rows.
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
            let key = DirectoryTermKey { platform: other.clone(), term: term.clone(), user_id };
            let bytes = key.to_bytes();
            let by_platform = Range::<DirectoryTerms>::prefix((platform,));
            assert_eq!(contains(&by_platform, &bytes), platform == other);
            let by_term = Range::<DirectoryTerms>::prefix((platform, &start));
            assert_eq!(contains(&by_term, &bytes), platform == other && term == start);
            let by_start = Range::<DirectoryTerms>::prefix_text((platform,), &start);
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
