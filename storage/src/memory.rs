//! An engine in memory, for tests: the same contract over a sorted map.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use parking_lot::RwLock;
use tokio::sync::mpsc;

use crate::{
    CommitGroup, Position, StorageError, TableId, Ticket,
    engine::{Engine, RawRange, RawRow, RawWriteSet},
    group_commit::{AppliedChange, Backend, GroupCommit},
};

/// A store that is gone when it is dropped.
#[derive(Debug)]
pub struct Memory {
    commits: GroupCommit,
    rows: Arc<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    rows: RwLock<BTreeMap<(TableId, Vec<u8>), Vec<u8>>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Result<Arc<Self>, StorageError> {
        let rows = Arc::<Rows>::default();
        Ok(Arc::new(Self { commits: GroupCommit::start(rows.clone())?, rows }))
    }
}

impl Backend for Rows {
    fn read(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.rows.read().get(&(table, key.to_vec())).cloned())
    }

    fn apply(&self, changes: Vec<AppliedChange>) -> Result<(), String> {
        let mut rows = self.rows.write();
        for AppliedChange { table, key, value } in changes {
            match value {
                Some(value) => rows.insert((table, key), value),
                None => rows.remove(&(table, key)),
            };
        }
        Ok(())
    }
}

impl Engine for Memory {
    async fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.rows.read(table, key)
    }

    async fn range(&self, table: TableId, range: RawRange) -> Result<Vec<RawRow>, StorageError> {
        let RawRange { from, to, reverse, limit } = range;
        if to.as_ref().is_some_and(|to| *to <= from) {
            return Ok(Vec::new());
        }
        let end = match to {
            Some(to) => Bound::Excluded((table, to)),
            None => Bound::Excluded((TableId(table.0 + 1), Vec::new())),
        };
        let rows = self.rows.rows.read();
        let found = rows.range((Bound::Included((table, from)), end));
        let row = |((_, key), value): (&(TableId, Vec<u8>), &Vec<u8>)| (key.clone(), value.clone());
        Ok(if reverse {
            found.rev().take(limit).map(row).collect()
        } else {
            found.take(limit).map(row).collect()
        })
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
