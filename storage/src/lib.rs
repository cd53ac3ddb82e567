//! What is kept, and how.
//!
//! Linkspan keeps everything in tables of ordered keys, behind four verbs: [`Store::get`],
//! [`Store::range`], [`Store::commit`] of a [`WriteSet`], and [`Store::watch`] for the stream of commits.
//! All tables stand in [`catalogue`]; nothing above this crate sees bytes.
//!
//! How a table is added, and with which number: docs/guides/add-a-table.md. Only the service that owns it writes it.
//!
//! Absent is `None`, not an error. A key or a [`Stamped`] value may hold [`Position::PENDING`], which the
//! commit replaces by its own position: so ordered queues need no counter that writers fight over.

pub mod catalogue;
mod commit_counts;
mod copies;
mod embedded;
mod engine;
mod finish;
mod format;
mod group_commit;
mod histogram;
mod key;
mod memory;
mod position;
mod read_cost;
pub mod records;
mod space;
mod store;
mod stream;
mod table;
mod torn_journal;
mod unanswered;
mod unchanged;
mod update;
mod waiting;
mod whole;
mod write_set;

pub use commit_counts::CommitStats;
pub use copies::{CacheSize, Copies, Limits, Rows};
pub use embedded::{Embedded, EmbeddedOptions};
pub use engine::{
    BUSY_RETRY, CommitError, Engine, Listener, MAX_KEY_BYTES, MAX_VALUE_BYTES, RawBytes, RawRange, RawRow,
    RawWriteSet, StorageError, StoreStats, TableId, TableStats, Ticket,
};
pub use finish::Finish;
pub use format::FORMAT;
pub use histogram::{Histogram, HistogramReading};
pub use key::{Key, KeyError, KeyField, KeyReader, KeyWriter, Prefix, Trailing};
pub use memory::{Faults, HeldDisk, HeldReads, Memory};
pub use position::Position;
pub use read_cost::{ReadCost, counting_reads};
pub use space::{Shortage, Space, using_reserve};
pub use store::{Condition, Range, Store};
pub use stream::{Change, CommitGroup, Committed, Feed, News};
pub use table::{Json, Record, Stamped, Table, Value, Watched};
pub use unanswered::{AnswerPending, AnswerSent, Unanswered, answer_pending};
pub use unchanged::Unchanged;
pub use update::ContendedKey;
pub use waiting::WaitingCommits;
pub use whole::{Filling, Whole};
pub use write_set::WriteSet;
