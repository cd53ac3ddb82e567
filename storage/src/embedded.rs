//! The embedded engine: the LSM tree of the crate `fjall`, one keyspace a table.

use std::{path::Path, sync::Arc};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use tokio::sync::mpsc;

use crate::{
    CommitGroup, Position, StorageError, TableId, Ticket, catalogue,
    engine::{Engine, RawRange, RawRow, RawWriteSet},
    group_commit::{AppliedChange, Backend, GroupCommit},
};

const CACHE_BYTES: u64 = 128 << 20;
const MEMTABLE_BYTES: u64 = 16 << 20;

/// A store in a folder, used by one process at a time.
#[derive(Debug)]
pub struct Embedded {
    commits: GroupCommit,
    tree: Arc<Tree>,
}

struct Tree {
    database: Database,
    /// By table number.
    keyspaces: Vec<Option<Keyspace>>,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tree")
    }
}

impl From<fjall::Error> for StorageError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error.to_string())
    }
}

impl Embedded {
    /// Opens or creates the store in the folder `path`.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let database = Database::builder(path).cache_size(CACHE_BYTES).manual_journal_persist(true).open()?;
        let mut keyspaces = Vec::new();
        keyspaces.resize_with(256, || None);
        for table in catalogue::TABLES {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
            keyspaces[usize::from(table.id.0)] = Some(database.keyspace(table.name, options)?);
        }
        let tree = Arc::new(Tree { database, keyspaces });
        Ok(Self { commits: GroupCommit::start(tree.clone())?, tree })
    }
}

impl Tree {
    fn keyspace(&self, table: TableId) -> &Keyspace {
        self.keyspaces[usize::from(table.0)].as_ref().expect("tables come from the catalogue")
    }
}

impl Backend for Tree {
    fn read(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.keyspace(table).get(key)?.map(|value| value.to_vec()))
    }

    fn apply(&self, changes: Vec<AppliedChange>) -> Result<(), String> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for change in changes {
            let keyspace = self.keyspace(change.table);
            match change.value {
                Some(value) => batch.insert(keyspace, change.key, value),
                None => batch.remove(keyspace, change.key),
            }
        }
        batch.commit().map_err(|error| error.to_string())
    }
}

impl Engine for Embedded {
    async fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.tree.read(table, key)
    }

    async fn range(&self, table: TableId, range: RawRange) -> Result<Vec<RawRow>, StorageError> {
        let RawRange { from, to, reverse, limit } = range;
        if to.as_ref().is_some_and(|to| *to <= from) {
            return Ok(Vec::new());
        }
        let keyspace = self.tree.keyspace(table);
        let end = to.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut rows = keyspace.range((std::ops::Bound::Included(from), end));
        let mut found = Vec::new();
        while found.len() < limit {
            let next = if reverse { rows.next_back() } else { rows.next() };
            let Some(row) = next else { break };
            let (key, value) = row.into_inner()?;
            found.push((key.to_vec(), value.to_vec()));
        }
        Ok(found)
    }

    fn submit(&self, writes: RawWriteSet) -> Ticket {
        self.commits.submit(writes)
    }

    fn subscribe(&self) -> mpsc::UnboundedReceiver<CommitGroup> {
        self.commits.subscribe()
    }

    fn position(&self) -> Position {
        self.commits.position()
    }
}
