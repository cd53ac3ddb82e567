//! All rows of a store at one moment, for backups, and a new store that is filled with them. What the rows mean, and how
//! a backup keeps them, is not known here: see `server/src/backup`.

use std::path::Path;

use crate::{
    EmbeddedOptions, MAX_KEY_BYTES, MAX_VALUE_BYTES, Position, RawRow, StorageError,
    catalogue::{self, META_POSITION_KEY, Meta, TableInfo},
    embedded::{Tree, TreeAtOnce},
    group_commit::{AppliedChange, Backend as _, stored_position},
    memory::Tables,
    table::Table as _,
};

/// How many bytes of rows are written at once when a store is filled.
const FILLED_AT_ONCE: usize = 8 << 20;

/// All rows as they were at one moment, whatever is committed since. While it is kept, rows that were replaced since
/// take room on the disk.
pub struct Whole(pub(crate) WholeRows);

pub(crate) enum WholeRows {
    Embedded(TreeAtOnce),
    Memory(Tables),
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Whole")
    }
}

impl Whole {
    /// The newest commit that it has.
    pub fn position(&self) -> Result<Position, StorageError> {
        let row = match &self.0 {
            WholeRows::Embedded(tree) => tree.read(Meta::ID, &META_POSITION_KEY)?,
            WholeRows::Memory(tables) => {
                tables.get(&Meta::ID).and_then(|rows| rows.get(META_POSITION_KEY.as_slice())).cloned()
            }
        };
        stored_position(row)
    }

    /// The rows of a table, in the order of their keys. It reads as it goes.
    pub fn rows(&self, table: &TableInfo) -> Box<dyn Iterator<Item = Result<RawRow, StorageError>> + '_> {
        match &self.0 {
            WholeRows::Embedded(tree) => Box::new(tree.rows(table.id)),
            WholeRows::Memory(tables) => {
                let rows = tables.get(&table.id).into_iter().flatten();
                Box::new(rows.map(|(key, value)| Ok((key.as_slice().into(), value.clone()))))
            }
        }
    }
}

/// A new store in a folder, which nobody reads before it has all its rows.
#[derive(Debug)]
pub struct Filling {
    tree: Tree,
    waiting: Vec<AppliedChange>,
    waiting_bytes: usize,
}

impl Filling {
    /// Creates a store in the folder `path`, which must not have one.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        let tree = Tree::open(path, EmbeddedOptions::default())?;
        if tree.read(Meta::ID, &META_POSITION_KEY)?.is_some() {
            return Err(StorageError::Engine(format!("there is a store in {} already", path.display())));
        }
        Ok(Self { tree, waiting: Vec::new(), waiting_bytes: 0 })
    }

    /// Adds a row to the table of a name. It is on disk once [`Self::finish`] has returned.
    pub fn put(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let known = catalogue::TABLES.iter().find(|known| known.name == table);
        let table = known.ok_or_else(|| StorageError::Engine(format!("there is no table {table:?}")))?.id;
        if key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            return Err(StorageError::Engine("a row is too long".into()));
        }
        self.waiting.push(AppliedChange { table, key: key.to_vec(), value: Some(value.to_vec()) });
        self.waiting_bytes += key.len() + value.len();
        if self.waiting_bytes >= FILLED_AT_ONCE { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StorageError> {
        self.waiting_bytes = 0;
        let rows = std::mem::take(&mut self.waiting);
        self.tree.apply(rows, Position::ZERO).map_err(StorageError::Engine)
    }

    /// Writes what is left, and closes the store.
    pub fn finish(mut self) -> Result<(), StorageError> {
        self.write()
    }
}
