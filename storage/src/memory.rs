//! An engine in memory, for tests: the same contract over sorted maps. With [`Faults`] it has a disk as
//! well, a journal of checksummed records, which fails and tears writes as a seed says, and from which a
//! crashed store is opened again. Nothing here is fit to keep data.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Condvar, Mutex, RwLock};
use ruma::ServerName;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    CommitError, Feed, Listener, Position, RawBytes, Space, StorageError, StoreStats, Table, TableId,
    TableStats, Ticket, WaitingCommits, catalogue,
    engine::{Engine, RawRange, RawRow, RawWriteSet},
    group_commit::{AppliedChange, Backend, GroupCommit},
    whole::{Whole, WholeRows},
};

/// What goes wrong on the disk of a [`Memory`], and when. The same seed and the same commits give the
/// same faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The seed of all chance.
    pub seed: u64,
    /// How many of a thousand writes fail. Of a failed write nothing, a part or all is on disk
    /// nevertheless, perhaps followed by garbage.
    pub failed_writes_per_mille: u16,
    /// The engine crashes in the write of the commit with this sequence number, which fails.
    pub crash_at: Option<u64>,
}

/// A store that is gone when it is dropped.
#[derive(Debug)]
pub struct Memory {
    commits: GroupCommit,
    rows: Arc<Rows>,
}

pub(crate) type Tables = BTreeMap<TableId, BTreeMap<Vec<u8>, RawBytes>>;

#[derive(Debug, Default)]
struct Rows {
    tables: RwLock<Tables>,
    crashed: AtomicBool,
    disk: Option<Disk>,
    held_reads: Mutex<Option<Arc<ReadHold>>>,
}

#[derive(Debug)]
struct Disk {
    state: Mutex<DiskState>,
    /// Told when `held` or `write_waits` changes.
    changed: Condvar,
}

#[derive(Debug)]
struct DiskState {
    /// What is on disk.
    journal: Vec<u8>,
    faults: Faults,
    random: SplitMix64,
    /// Writes wait.
    held: bool,
    write_waits: bool,
}

impl Memory {
    /// An empty store without a disk.
    pub fn new() -> Result<Arc<Self>, StorageError> {
        Self::start(Rows::default())
    }

    /// An empty store with a disk that fails as `faults` says.
    pub fn with_faults(faults: Faults) -> Result<Arc<Self>, StorageError> {
        Self::on_journal(Vec::new(), faults)
    }

    fn on_journal(mut journal: Vec<u8>, faults: Faults) -> Result<Arc<Self>, StorageError> {
        let mut tables = Tables::new();
        let mut sound = 0;
        while let Some((changes, end)) = read_record(&journal, sound) {
            apply_to(&mut tables, changes);
            sound = end;
        }
        journal.truncate(sound);
        let random = SplitMix64(faults.seed);
        let state = Mutex::new(DiskState { journal, faults, random, held: false, write_waits: false });
        let disk = Some(Disk { state, changed: Condvar::new() });
        Self::start(Rows { tables: RwLock::new(tables), disk, ..Rows::default() })
    }

    /// An empty store without a disk of its own, which takes writes as if it were on one with so much room.
    pub fn with_space(space: Arc<Space>) -> Result<Arc<Self>, StorageError> {
        Self::start_with(Rows::default(), space)
    }

    fn start(rows: Rows) -> Result<Arc<Self>, StorageError> {
        Self::start_with(rows, Arc::new(Space::pretended(u64::MAX, 0)))
    }

    fn start_with(rows: Rows, space: Arc<Space>) -> Result<Arc<Self>, StorageError> {
        let rows = Arc::new(rows);
        Ok(Arc::new(Self { commits: GroupCommit::start(rows.clone(), space)?, rows }))
    }

    /// Stops the engine as a crash would: every later read and write fails.
    pub fn crash(&self) {
        self.rows.crashed.store(true, Ordering::SeqCst);
    }

    /// Whether the engine has crashed.
    pub fn has_crashed(&self) -> bool {
        self.rows.crashed.load(Ordering::SeqCst)
    }

    /// The store that is found on this one's disk, on a disk without faults; empty if this one has no
    /// disk. This one goes on by itself.
    pub fn image(&self) -> Result<Arc<Self>, StorageError> {
        self.image_with(Faults::default())
    }

    fn image_with(&self, faults: Faults) -> Result<Arc<Self>, StorageError> {
        let journal = self.rows.disk.as_ref().map(|disk| disk.state.lock().journal.clone());
        Self::on_journal(journal.unwrap_or_default(), faults)
    }

    /// Crashes, and opens the store again on a disk without faults.
    pub fn reopen(&self) -> Result<Arc<Self>, StorageError> {
        self.reopen_with(Faults::default())
    }

    /// Crashes, and opens the store again on a disk that fails as `faults` says.
    pub fn reopen_with(&self, faults: Faults) -> Result<Arc<Self>, StorageError> {
        self.crash();
        self.image_with(faults)
    }

    /// Stops the engine in good order, after all that was submitted, and opens it again on a disk without
    /// faults.
    pub fn close_and_reopen(self) -> Result<Arc<Self>, StorageError> {
        let Self { commits, rows } = self;
        drop(commits);
        let journal = rows.disk.as_ref().map(|disk| disk.state.lock().journal.clone());
        Self::on_journal(journal.unwrap_or_default(), Faults::default())
    }

    /// Every row of every table as it is stored, for tests that look for what should be gone.
    pub fn rows(&self) -> Vec<(TableId, RawRow)> {
        let tables = self.rows.tables.read();
        let rows = tables.iter().flat_map(|(table, rows)| rows.iter().map(move |row| (*table, row)));
        rows.map(|(table, (key, value))| (table, (RawBytes::from(key.as_slice()), value.clone()))).collect()
    }

    /// Makes all reads of a table wait once they have found what they return, until the answer is dropped: so that they
    /// are overtaken by what is committed meanwhile.
    pub fn hold_reads<T: Table>(&self) -> HeldReads {
        let hold = Arc::new(ReadHold {
            table: T::ID,
            waiting: watch::Sender::new(0),
            over: watch::Sender::new(false),
        });
        *self.rows.held_reads.lock() = Some(hold.clone());
        HeldReads { rows: self.rows.clone(), hold }
    }

    /// Makes all writes to the disk wait until the answer is dropped, which must happen before the
    /// store is. None without a disk.
    pub fn hold_disk(&self) -> Option<HeldDisk> {
        self.rows.disk.as_ref()?.state.lock().held = true;
        Some(HeldDisk { rows: self.rows.clone() })
    }
}

/// Reads of a table that have to wait.
#[derive(Debug)]
struct ReadHold {
    table: TableId,
    /// How many reads wait, or have waited.
    waiting: watch::Sender<usize>,
    over: watch::Sender<bool>,
}

/// While it is kept, no read of a table of a [`Memory`] returns.
#[derive(Debug)]
pub struct HeldReads {
    rows: Arc<Rows>,
    hold: Arc<ReadHold>,
}

impl HeldReads {
    /// Waits until a read has found what it will return.
    pub async fn wait_for_read(&self) {
        // The sender is ours.
        let _ = self.hold.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }
}

impl Drop for HeldReads {
    fn drop(&mut self) {
        *self.rows.held_reads.lock() = None;
        self.hold.over.send_replace(true);
    }
}

/// While it is kept, nothing is written to the disk of a [`Memory`].
#[derive(Debug)]
pub struct HeldDisk {
    rows: Arc<Rows>,
}

impl HeldDisk {
    /// Blocks until a write has come as far as the disk.
    pub fn wait_for_write(&self) {
        if let Some(disk) = &self.rows.disk {
            disk.changed.wait_while(&mut disk.state.lock(), |state| !state.write_waits);
        }
    }
}

impl Drop for HeldDisk {
    fn drop(&mut self) {
        if let Some(disk) = &self.rows.disk {
            disk.state.lock().held = false;
            disk.changed.notify_all();
        }
    }
}

impl Rows {
    /// Waits while reads of the table are held.
    async fn wait_to_return(&self, table: TableId) {
        let hold = self.held_reads.lock().clone();
        if let Some(hold) = hold.filter(|hold| hold.table == table) {
            hold.waiting.send_modify(|waiting| *waiting += 1);
            let _ = hold.over.subscribe().wait_for(|over| *over).await;
        }
    }

    fn check_running(&self) -> Result<(), StorageError> {
        if self.crashed.load(Ordering::SeqCst) {
            return Err(StorageError::Engine("the engine has crashed".into()));
        }
        Ok(())
    }
}

impl Rows {
    fn in_range(&self, table: TableId, range: RawRange) -> Vec<RawRow> {
        let RawRange { from, to, reverse, limit } = range;
        if to.as_ref().is_some_and(|to| *to <= from) {
            return Vec::new();
        }
        let tables = self.tables.read();
        let Some(rows) = tables.get(&table) else { return Vec::new() };
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let found = rows.range((Bound::Included(from), end));
        let row = |(key, value): (&Vec<u8>, &RawBytes)| (RawBytes::from(key.as_slice()), value.clone());
        if reverse {
            found.rev().take(limit).map(row).collect()
        } else {
            found.take(limit).map(row).collect()
        }
    }
}

impl Backend for Rows {
    fn read(&self, table: TableId, key: &[u8]) -> Result<Option<RawBytes>, StorageError> {
        self.check_running()?;
        Ok(self.tables.read().get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn apply(&self, changes: Vec<AppliedChange>, position: Position) -> Result<(), String> {
        if let Some(disk) = &self.disk {
            disk.write(&changes, position, &self.crashed)?;
        } else {
            self.check_running().map_err(|error| error.to_string())?;
        }
        apply_to(&mut self.tables.write(), changes);
        Ok(())
    }
}

fn apply_to(tables: &mut Tables, changes: Vec<AppliedChange>) {
    for AppliedChange { table, key, value } in changes {
        let rows = tables.entry(table).or_default();
        match value {
            Some(value) => rows.insert(key, value.into()),
            None => rows.remove(&key),
        };
    }
}

impl Disk {
    fn write(
        &self,
        changes: &[AppliedChange],
        position: Position,
        crashed: &AtomicBool,
    ) -> Result<(), String> {
        let mut state = self.state.lock();
        if state.held {
            state.write_waits = true;
            self.changed.notify_all();
            self.changed.wait_while(&mut state, |state| state.held);
            state.write_waits = false;
        }
        if crashed.load(Ordering::SeqCst) {
            return Err("the engine has crashed".into());
        }
        let mut record = write_record(changes);
        let DiskState { journal, faults, random, .. } = &mut *state;
        let crashes = faults.crash_at.is_some_and(|sequence| position.sequence() >= sequence);
        let fails = random.below(1000) < u64::from(faults.failed_writes_per_mille);
        if !crashes && !fails {
            journal.append(&mut record);
            return Ok(());
        }
        // Which blocks of a failed write reach a disk, nobody knows.
        let kept = match random.below(4) {
            0 => 0,
            1 => record.len(),
            _ => random.below(record.len() as u64) as usize,
        };
        record.truncate(kept);
        let garbage = random.below(2) * random.below(100);
        record.extend((0..garbage).map(|_| random.next() as u8));
        journal.append(&mut record);
        if crashes {
            crashed.store(true, Ordering::SeqCst);
            return Err("the engine has crashed".into());
        }
        Err("an injected fault".into())
    }
}

/// A record of the journal: the length of its body, the first bytes of the body's SHA-256, and the body.
fn write_record(changes: &[AppliedChange]) -> Vec<u8> {
    let mut body = Vec::new();
    let bytes = |bytes: &[u8], body: &mut Vec<u8>| {
        body.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        body.extend_from_slice(bytes);
    };
    for AppliedChange { table, key, value } in changes {
        body.extend_from_slice(&[table.0, u8::from(value.is_some())]);
        bytes(key, &mut body);
        bytes(value.as_deref().unwrap_or_default(), &mut body);
    }
    let mut record = (body.len() as u64).to_be_bytes().to_vec();
    record.extend_from_slice(&checksum(&body));
    record.extend_from_slice(&body);
    record
}

/// The changes of the record at `start` and where it ends; None if it is not whole.
fn read_record(journal: &[u8], start: usize) -> Option<(Vec<AppliedChange>, usize)> {
    fn bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (len, rest) = from.split_first_chunk::<8>()?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
        *from = rest;
        Some(bytes)
    }
    let (len, rest) = journal.get(start..)?.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let mut body = rest.get(..usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
    if checksum(body) != *sum {
        return None;
    }
    let end = start + 16 + body.len();
    let mut changes = Vec::new();
    while let Some((&[table, is_put], rest)) = body.split_first_chunk::<2>() {
        body = rest;
        let key = bytes(&mut body)?.to_vec();
        let value = bytes(&mut body)?.to_vec();
        changes.push(AppliedChange { table: TableId(table), key, value: (is_put == 1).then_some(value) });
    }
    Some((changes, end))
}

fn checksum(body: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&Sha256::digest(body)[..8]);
    sum
}

/// A small generator of pseudo-random numbers, for tests that must be repeatable.
#[derive(Debug)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl Engine for Memory {
    async fn get(&self, table: TableId, key: &[u8]) -> Result<Option<RawBytes>, StorageError> {
        let found = self.rows.read(table, key);
        self.rows.wait_to_return(table).await;
        found
    }

    async fn get_many(
        &self,
        table: TableId,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Option<RawBytes>>, StorageError> {
        keys.iter().map(|key| self.rows.read(table, key)).collect()
    }

    async fn range(&self, table: TableId, range: RawRange) -> Result<Vec<RawRow>, StorageError> {
        self.rows.check_running()?;
        let found = self.rows.in_range(table, range);
        self.rows.wait_to_return(table).await;
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
        Whole(WholeRows::Memory(self.rows.tables.read().clone()))
    }

    fn waiting_of(&self, server_name: &ServerName) -> WaitingCommits {
        self.commits.waiting_of(server_name)
    }

    async fn stats(&self) -> Result<StoreStats, StorageError> {
        let tables = self.rows.tables.read();
        let stats = |table: &catalogue::TableInfo| {
            let rows = tables.get(&table.id);
            let bytes = rows.into_iter().flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum();
            TableStats { name: table.name, rows: rows.map_or(0, |rows| rows.len() as u64), bytes }
        };
        let tables = catalogue::TABLES.iter().map(stats).collect();
        Ok(StoreStats {
            position: self.position(),
            disk_bytes: 0,
            cache_bytes: 0,
            cache_limit_bytes: 0,
            unwritten_bytes: 0,
            tables,
            commits: self.commits.stats(),
        })
    }
}
