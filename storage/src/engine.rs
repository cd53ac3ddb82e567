//! The contract between Linkspan and a storage engine: four verbs over ordered bytes.
//!
//! `get` and `range` read what is durable, `submit` queues a write-set and returns its [`Ticket`],
//! `follow` and `listen` give the stream of commits. The engine's promises, checked by the conformance suite:
//!
//! * a write-set is applied whole, or refused with `Conflict`, or fails; nothing in between, and no
//!   reader sees a part of it;
//! * write-sets take effect in the order in which they were submitted;
//! * a ticket resolves, and the stream tells of a commit, only once it is on disk;
//! * while the disk is nearly full, write-sets are refused before they begin (`Full`), unless they may use the reserve;
//! * after a failed disk sync, and once its work in the background has failed, the engine refuses every later write
//!   (`Poisoned`), and says so (`failed`).

use std::{ops::Deref, sync::Arc, time::Duration};

use ruma::ServerName;
use tokio::sync::{oneshot, watch};

use byteview::ByteView;

use crate::{
    CommitGroup, CommitStats, ContendedKey, Feed, KeyError, Position, Space, Unanswered, WaitingCommits,
    Whole, stream::ChangedKey,
};

/// The longest key that can be stored, in bytes. Set by what an index of PostgreSQL holds.
pub const MAX_KEY_BYTES: usize = 2048;

/// The longest value that can be stored, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// When to try again after [`CommitError::Busy`]: what waits has been written by then, unless the disk stands still.
pub const BUSY_RETRY: Duration = Duration::from_secs(1);

/// A table's number in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u8);

/// A read failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The engine could not read.
    #[error("storage engine: {0}")]
    Engine(String),
    /// Another process, or another handle of this one, has the store open.
    #[error("the store in {0} is in use by another process")]
    InUse(std::path::PathBuf),
    /// What was read is not what its table demands.
    #[error("damaged row in table {table}: {source}")]
    DamagedKey {
        /// The table.
        table: &'static str,
        /// What is wrong with the key.
        source: KeyError,
    },
    /// A value could not be decoded.
    #[error("damaged row in table {table}: {reason}")]
    DamagedValue {
        /// The table.
        table: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// A newer version of this program has written the store.
    #[error(
        "it was written by a newer version of Linkspan: it has format {found}, and this version knows formats up to \
         {known}. Run the newer version again, or restore a backup that was made before it ran"
    )]
    NewerFormat {
        /// The format of the store.
        found: u64,
        /// The newest format that is known.
        known: u64,
    },
    /// A write that had to happen did not.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// A commit did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// Something the write-set expected does not hold any more. Nothing was written.
    #[error("the expected state has changed")]
    Conflict(ContendedKey),
    /// The write-set cannot be taken: a key or value is too long. Nothing was written.
    #[error("the write was refused: {0}")]
    Refused(&'static str),
    /// Too many writes of this person, of this platform or of all wait already. Nothing was written, and there is no harm
    /// in trying again after [`BUSY_RETRY`].
    #[error("too many writes are waiting")]
    Busy,
    /// The free space on the disk has reached into the reserve. Nothing was written, and there is no harm in trying
    /// again later.
    #[error("the server's disk is nearly full")]
    Full,
    /// The write failed, or an earlier one did: whether it is on disk is unknown, and nothing more
    /// will be written until a restart.
    #[error("the store refuses writes after a failure: {0}")]
    Poisoned(Arc<str>),
}

/// What a key must hold for a write-set to be applied.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    pub(crate) table: TableId,
    pub(crate) key: Vec<u8>,
    /// The value, or absent.
    pub(crate) value: Option<Vec<u8>>,
    /// Turns a stored value into what would be written for it today.
    pub(crate) written_anew: fn(&[u8]) -> Option<Vec<u8>>,
}

impl Expectation {
    /// Whether a key that holds `found` meets it.
    pub(crate) fn is_met(&self, found: Option<&[u8]>) -> bool {
        match (found, self.value.as_deref()) {
            (Some(found), Some(value)) => {
                found == value || (self.written_anew)(found).is_some_and(|anew| anew == value)
            }
            (found, value) => found == value,
        }
    }
}

/// One change of a write-set. Stamps are offsets of eight bytes that the commit replaces by its position.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) table: TableId,
    pub(crate) key: Vec<u8>,
    pub(crate) key_stamp: Option<usize>,
    /// None deletes.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) value_stamp: Option<usize>,
    /// The stamp of the key is the era of the commit, and the first change of an era stands for all.
    pub(crate) once_in_era: bool,
}

/// Tells handles on an engine apart: commits through one of them are no surprise to it. Clones of a handle are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) u64);

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub struct RawWriteSet {
    pub(crate) expectations: Vec<Expectation>,
    pub(crate) changes: Vec<Change>,
    /// The keys of watched tables among the changes.
    pub(crate) watched: Vec<ChangedKey>,
    pub(crate) request: Option<Unanswered>,
    pub(crate) by: StoreId,
    /// It may be written when the free space has reached into the reserve.
    pub(crate) uses_reserve: bool,
}

/// Hears of commits that are on disk, before their position is published. Their rows can already be read.
///
/// It is called group by group and in order, on the thread that commits: it must be quick, and may not wait.
pub type Listener = Arc<dyn Fn(&CommitGroup) + Send + Sync>;

/// The outcome of a submitted write-set, once it is known.
#[derive(Debug)]
pub struct Ticket(pub(crate) oneshot::Receiver<Result<Position, CommitError>>);

impl Ticket {
    /// The ticket of a write-set that was refused.
    pub(crate) fn refused(error: CommitError) -> Self {
        let (reply, ticket) = oneshot::channel();
        let _ = reply.send(Err(error));
        Self(ticket)
    }

    /// Waits until the write-set is on disk or has failed.
    pub async fn committed(self) -> Result<Position, CommitError> {
        self.0.await.unwrap_or_else(|_| Err(CommitError::Poisoned("the engine has stopped".into())))
    }
}

/// A range of a table's keys, as bytes.
#[derive(Clone, Debug)]
pub struct RawRange {
    /// First key that belongs to it.
    pub from: Vec<u8>,
    /// First key after it that does not.
    pub to: Option<Vec<u8>>,
    /// From the last key to the first.
    pub reverse: bool,
    /// At most so many rows.
    pub limit: usize,
}

/// Bytes that were read: cheap to clone, and often a part of a cached block rather than a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBytes(pub(crate) ByteView);

impl Deref for RawBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for RawBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for RawBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

/// A row, as bytes.
pub type RawRow = (RawBytes, RawBytes);

/// What a store holds, for its operators.
#[derive(Clone, Debug)]
pub struct StoreStats {
    /// The newest position that is durable and readable.
    pub position: Position,
    /// The length of all files, in bytes; 0 for a store in memory.
    pub disk_bytes: u64,
    /// Bytes of blocks that were read and are kept in memory.
    pub cache_bytes: u64,
    /// The most bytes that these may be.
    pub cache_limit_bytes: u64,
    /// Bytes of rows in memory that are in the journal only, and in no other file yet.
    pub unwritten_bytes: u64,
    /// The tables, in the order of the catalogue.
    pub tables: Vec<TableStats>,
    /// What was committed since the start.
    pub commits: CommitStats,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// Its name in the catalogue.
    pub name: &'static str,
    /// About how many rows; rows that were replaced or deleted may still be counted.
    pub rows: u64,
    /// Bytes in its files; the newest rows are not counted, which are only in the journal yet.
    pub bytes: u64,
}

/// A storage engine. See the module's page for what it promises.
pub trait Engine: Send + Sync + 'static {
    /// The value of a key.
    fn get(
        &self,
        table: TableId,
        key: &[u8],
    ) -> impl Future<Output = Result<Option<RawBytes>, StorageError>> + Send;

    /// The values of some keys, in the same order; not all need be as of the same commit.
    fn get_many(
        &self,
        table: TableId,
        keys: &[Vec<u8>],
    ) -> impl Future<Output = Result<Vec<Option<RawBytes>>, StorageError>> + Send;

    /// The rows of a range in key order, or in reverse.
    fn range(
        &self,
        table: TableId,
        range: RawRange,
    ) -> impl Future<Output = Result<Vec<RawRow>, StorageError>> + Send;

    /// Queues a write-set; its place in the order of commits is settled when this returns. It may be refused at once.
    fn submit(&self, writes: RawWriteSet) -> Result<Ticket, CommitError>;

    /// The stream of commits from now on, for a task.
    fn follow(&self) -> Feed;

    /// Tells a listener of all commits from now on.
    fn listen(&self, listener: Listener);

    /// The newest position that is durable and readable.
    fn position(&self) -> Position;

    /// The newest position that listeners have begun to hear of: not before the published one.
    fn heard(&self) -> Position;

    /// The free space where the store is.
    fn space(&self) -> &Arc<Space>;

    /// Tells why nothing more is written, once that is so.
    fn failed(&self) -> watch::Receiver<Option<Arc<str>>>;

    /// All rows as they are on disk now.
    fn whole(&self) -> Whole;

    /// How much there is.
    fn stats(&self) -> impl Future<Output = Result<StoreStats, StorageError>> + Send;
    /// What waits to be committed for the people of a platform.
    fn waiting_of(&self, server_name: &ServerName) -> WaitingCommits;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_an_older_program_are_not_in_conflict() {
        // As if "old" had been written when the record had a field less.
        let expectation = |value: Option<&[u8]>| Expectation {
            table: TableId(0),
            key: Vec::new(),
            value: value.map(<[u8]>::to_vec),
            written_anew: |bytes| (bytes == b"old").then(|| b"new".to_vec()),
        };
        assert!(expectation(Some(b"new")).is_met(Some(b"new")));
        assert!(expectation(Some(b"new")).is_met(Some(b"old")));
        assert!(!expectation(Some(b"new")).is_met(Some(b"other")));
        assert!(!expectation(Some(b"new")).is_met(None));
        assert!(!expectation(None).is_met(Some(b"old")));
        assert!(expectation(None).is_met(None));
    }
}
