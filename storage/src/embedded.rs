//! The embedded engine: the LSM tree of the crate `fjall`, one keyspace a table. Only this file knows
//! that crate's ways; the order of commits is group commit's affair.

use std::{
    fs,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot, compaction::Leveled,
    config::FilterPolicy,
};
use ruma::ServerName;
use tokio::sync::watch;

use crate::{
    CommitError, Feed, Listener, MAX_KEY_BYTES, Position, RawBytes, Space, StorageError, StoreStats, Table,
    TableId, TableStats, Ticket, WaitingCommits,
    catalogue::{self, *},
    engine::{Engine, RawRange, RawRow, RawWriteSet},
    group_commit::{AppliedChange, Backend, Failed, GroupCommit},
    torn_journal::cut_torn_batch,
    whole::{Whole, WholeRows},
};

const MIB: u64 = 1 << 20;

/// How much a table that is written all the time collects in memory before it writes a file.
const BUSY_MEMTABLE_BYTES: u64 = 16 * MIB;
/// The same for all others. What a start has to replay is bounded by the journals.
const MEMTABLE_BYTES: u64 = 4 * MIB;

/// The size of a file that merging writes. Its last file is finished and synced while readers and commits of
/// the table wait, so it must be small.
const FILE_BYTES: u64 = 8 * MIB;

/// Threads that write memory tables to files and merge files. The first of them leaves merging to the others, and asks
/// again and again who could while all of them are at it, so there are more than there is such work at a time.
const UPKEEP_THREADS: usize = 4;

/// How often it is looked whether these threads still run.
const UPKEEP_LOOK: Duration = Duration::from_secs(1);

/// What the embedded engine may use of the machine. Limits, not reservations: an idle store takes a few
/// MiB whatever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// The size of all blocks that were read and are kept in memory.
    pub cache_bytes: u64,
    /// The size of all journals on disk, whose rows are all in memory as well. It is at least 64 MiB. When
    /// they are full, all tables with rows in the oldest one write files at the same time, which commits wait
    /// for.
    pub journal_bytes: u64,
    /// The free space, in bytes, from which on writes stop step by step; None for what fits the file system. See
    /// [`Space`].
    pub reserve_bytes: Option<u64>,
}

impl EmbeddedOptions {
    /// What fits a machine with so much memory: a sixteenth of it for the cache. Rows that wait to be written
    /// to files are read back at the next start, so there are never many.
    pub fn for_memory(bytes: u64) -> Self {
        Self {
            cache_bytes: (bytes / 16).clamp(32 * MIB, 2048 * MIB),
            journal_bytes: 128 * MIB,
            reserve_bytes: None,
        }
    }
}

impl Default for EmbeddedOptions {
    /// What fits this machine, or the control group that the process is in.
    fn default() -> Self {
        let limits = [read_meminfo(), read_cgroup_limit()];
        Self::for_memory(limits.into_iter().flatten().min().unwrap_or(2048 * MIB))
    }
}

fn read_meminfo() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn read_cgroup_limit() -> Option<u64> {
    fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

/// A store in a folder, used by one process at a time.
#[derive(Debug)]
pub struct Embedded {
    // Stands before the tree, so that the last commit is done before the database closes.
    commits: GroupCommit,
    _upkeep: UpkeepWatch,
    tree: Arc<Tree>,
}

/// Looks now and then whether the threads that write files and merge them still do. One that has failed, such as at a
/// full disk, does not come back: from then on nothing more can be committed, and the thread that commits may wait for
/// ever for what was to be written.
#[derive(Debug)]
struct UpkeepWatch {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl UpkeepWatch {
    fn start(tree: Arc<Tree>, failed: Failed) -> Result<Self, StorageError> {
        let (stop, stopped) = channel();
        let watch = move || {
            while stopped.recv_timeout(UPKEEP_LOOK) == Err(RecvTimeoutError::Timeout) {
                // There is nothing to persist, which each batch has done itself; but it says whether fjall has failed.
                if let Err(error) = tree.database.persist(PersistMode::Buffer) {
                    failed.note(&format!("the storage engine has failed in the background: {error}"));
                    return;
                }
            }
        };
        let thread = thread::Builder::new()
            .name("store-watch".into())
            .spawn(watch)
            .map_err(|error| StorageError::Engine(error.to_string()))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for UpkeepWatch {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) struct Tree {
    database: Database,
    /// By table number.
    keyspaces: Vec<Option<Keyspace>>,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tree")
    }
}

/// All tables at one moment.
pub(crate) struct TreeAtOnce {
    snapshot: Snapshot,
    tree: Arc<Tree>,
}

impl TreeAtOnce {
    pub(crate) fn read(&self, table: TableId, key: &[u8]) -> Result<Option<RawBytes>, StorageError> {
        self.tree.read_in(&self.snapshot, table, key)
    }

    pub(crate) fn rows(&self, table: TableId) -> impl Iterator<Item = Result<RawRow, StorageError>> {
        self.snapshot.iter(self.tree.keyspace(table)).map(|row| {
            let (key, value) = row.into_inner()?;
            Ok((raw_bytes(key), raw_bytes(value)))
        })
    }
}

impl From<fjall::Error> for StorageError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error.to_string())
    }
}

impl Embedded {
    /// Opens or creates the store in the folder `path`.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, StorageError> {
        let tree = Arc::new(Tree::open(path, options)?);
        let space = Arc::new(Space::of_folder(path, options.reserve_bytes));
        let commits = GroupCommit::start(tree.clone(), space)?;
        let upkeep = UpkeepWatch::start(tree.clone(), commits.failed().clone())?;
        Ok(Self { commits, _upkeep: upkeep, tree })
    }
}

impl Tree {
    /// Opens or creates the tables in the folder `path`.
    pub(crate) fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, StorageError> {
        clear_unfinished_creation(path)?;
        let open = || {
            Database::builder(path)
                .cache_size(options.cache_bytes)
                .max_journaling_size(options.journal_bytes.max(64 * MIB))
                .worker_threads(UPKEEP_THREADS)
                // Every batch says itself how durable it is.
                .manual_journal_persist(true)
                .open()
        };
        let database = match open() {
            Err(fjall::Error::JournalRecovery(_)) if cut_torn_batch(path).map_err(io_error(path))? => open(),
            opened => opened,
        };
        let database = database.map_err(|error| explain_open_error(error, path))?;
        let mut keyspaces = Vec::new();
        keyspaces.resize_with(256, || None);
        for table in catalogue::TABLES {
            let keyspace = database.keyspace(table.name, || keyspace_options(table.id))?;
            keyspaces[usize::from(table.id.0)] = Some(keyspace);
        }
        Ok(Self { database, keyspaces })
    }
}

fn io_error(path: &Path) -> impl Fn(std::io::Error) -> StorageError {
    move |error| StorageError::Engine(format!("{}: {error}", path.display()))
}

fn explain_open_error(error: fjall::Error, path: &Path) -> StorageError {
    match error {
        fjall::Error::Locked => StorageError::InUse(path.to_owned()),
        fjall::Error::InvalidVersion(_) => StorageError::Engine(format!(
            "the store in {} was written by another version of the storage engine",
            path.display()
        )),
        error => StorageError::Engine(format!("cannot open the store in {}: {error}", path.display())),
    }
}

/// A process that is killed while it creates a database leaves a folder that fjall neither opens nor
/// creates anew: a first journal, but no version file, or an empty one. Nothing was ever written to such
/// a database, since no keyspace can have been made.
fn clear_unfinished_creation(path: &Path) -> Result<(), StorageError> {
    let version: PathBuf = path.join("version");
    let is_finished = fs::metadata(&version).is_ok_and(|file| file.len() > 0);
    let has_keyspaces =
        fs::read_dir(path.join("keyspaces")).is_ok_and(|mut folders| folders.next().is_some());
    if is_finished || has_keyspaces || !path.join("0.jnl").exists() {
        return Ok(());
    }
    let lock = fs::File::open(path.join("lock")).map_err(io_error(path))?;
    if lock.try_lock().is_err() {
        return Err(StorageError::InUse(path.to_owned()));
    }
    tracing::warn!(path = %path.display(), "the store was left half created; creating it anew");
    fs::remove_file(path.join("0.jnl")).map_err(io_error(path))?;
    if version.exists() {
        fs::remove_file(version).map_err(io_error(path))?;
    }
    Ok(())
}

/// How a table is kept on disk. fjall keeps these options with the keyspace: a change here is for
/// stores that are made after it.
fn keyspace_options(table: TableId) -> KeyspaceCreateOptions {
    let compaction = Leveled::default().with_table_target_size(FILE_BYTES);
    let options = KeyspaceCreateOptions::default().compaction_strategy(Arc::new(compaction));
    let options = match table {
        Timeline::ID | EventIds::ID | Inbox::ID | CurrentState::ID | StateDeltas::ID | ReceiptLog::ID => {
            options.max_memtable_size(BUSY_MEMTABLE_BYTES)
        }
        _ => options.max_memtable_size(MEMTABLE_BYTES),
    };
    match table {
        // Read by range only: a filter on keys is never asked.
        Inbox::ID
        | ToDevice::ID
        | StateLog::ID
        | ReceiptLog::ID
        | DirectoryTerms::ID
        | SearchChunks::ID
        | MatchingEntries::ID => options.filter_policy(FilterPolicy::disabled()),
        // Read by pointers to rows that exist: the last level needs no filter.
        Timeline::ID | Rooms::ID | RoomHeads::ID | StateDeltas::ID => options.expect_point_read_hits(true),
        _ => options,
    }
}

impl Tree {
    fn keyspace(&self, table: TableId) -> &Keyspace {
        self.keyspaces[usize::from(table.0)].as_ref().expect("tables come from the catalogue")
    }

    fn read_in(
        &self,
        snapshot: &Snapshot,
        table: TableId,
        key: &[u8],
    ) -> Result<Option<RawBytes>, StorageError> {
        // fjall panics at keys of 64 KiB; there can be no row beyond our limit anyway.
        if key.len() > MAX_KEY_BYTES {
            return Ok(None);
        }
        Ok(snapshot.get(self.keyspace(table), key)?.map(raw_bytes))
    }
}

fn raw_bytes(bytes: fjall::Slice) -> RawBytes {
    RawBytes(bytes.into())
}

// Reads go through snapshots: a read of the bare keyspace sees the part of a batch that is already
// in memory tables while the rest is not.
impl Backend for Tree {
    fn read(&self, table: TableId, key: &[u8]) -> Result<Option<RawBytes>, StorageError> {
        self.read_in(&self.database.snapshot(), table, key)
    }

    fn apply(&self, changes: Vec<AppliedChange>, _: Position) -> Result<(), String> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for AppliedChange { table, key, value } in changes {
            let keyspace = self.keyspace(table);
            let (key, value) = (fjall::Slice::from(key), value.map(fjall::Slice::from));
            match value {
                Some(value) => batch.insert(keyspace, key, value),
                None => batch.remove(keyspace, key),
            }
        }
        batch.commit().map_err(|error| error.to_string())
    }
}

impl Engine for Embedded {
    async fn get(&self, table: TableId, key: &[u8]) -> Result<Option<RawBytes>, StorageError> {
        self.tree.read(table, key)
    }

    async fn get_many(
        &self,
        table: TableId,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<RawBytes>>, StorageError> {
        let snapshot = self.tree.database.snapshot();
        keys.iter().map(|key| self.tree.read_in(&snapshot, table, key)).collect()
    }

    async fn range(&self, table: TableId, range: RawRange) -> Result<Vec<RawRow>, StorageError> {
        let RawRange { from, to, reverse, limit } = range;
        if to.as_ref().is_some_and(|to| *to <= from) {
            return Ok(Vec::new());
        }
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows =
            self.tree.database.snapshot().range(self.tree.keyspace(table), (Bound::Included(from), end));
        let mut found = Vec::new();
        while found.len() < limit {
            let next = if reverse { rows.next_back() } else { rows.next() };
            let Some(row) = next else { break };
            let (key, value) = row.into_inner()?;
            found.push((raw_bytes(key), raw_bytes(value)));
        }
        Ok(found)
    }

    fn submit(&self, writes: RawWriteSet) -> Result<Ticket, CommitError> {
        self.commits.submit(writes)
    }

    fn follow(&self) -> Feed {
        self.commits.follow()
    }

    fn listen(&self, listener: Listener) {
        self.commits.listen(listener);
    }

    fn position(&self) -> Position {
        self.commits.position()
    }

    fn heard(&self) -> Position {
        self.commits.heard()
    }

    fn space(&self) -> &Arc<Space> {
        self.commits.space()
    }

    fn failed(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.commits.failed().subscribe()
    }

    fn whole(&self) -> Whole {
        Whole(WholeRows::Embedded(TreeAtOnce {
            snapshot: self.tree.database.snapshot(),
            tree: self.tree.clone(),
        }))
    }

    fn waiting_of(&self, server_name: &ServerName) -> WaitingCommits {
        self.commits.waiting_of(server_name)
    }

    async fn stats(&self) -> Result<StoreStats, StorageError> {
        let stats = |table: &catalogue::TableInfo| {
            let keyspace = self.tree.keyspace(table.id);
            let rows = keyspace.approximate_len() as u64;
            TableStats { name: table.name, rows, bytes: keyspace.disk_space() }
        };
        Ok(StoreStats {
            position: self.position(),
            disk_bytes: self.tree.database.disk_space()?,
            cache_bytes: self.tree.database.cache_size(),
            cache_limit_bytes: self.tree.database.cache_capacity(),
            unwritten_bytes: self.tree.database.write_buffer_size(),
            tables: catalogue::TABLES.iter().map(stats).collect(),
            commits: self.commits.stats(),
        })
    }
}
