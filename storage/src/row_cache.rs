//! Rows that are read all the time, kept in memory as they are on disk. The thread that commits changes them here
//! before it tells anybody of the commit; a reader keeps what it has read only if nothing was changed meanwhile.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use quick_cache::{
    Equivalent, Weighter,
    sync::{Cache, GuardResult},
};

use crate::{
    RawBytes, StorageError, Table, TableId,
    catalogue::{Accounts, CurrentState, Memberships, RoomHeads},
};

/// Bytes of rows that are kept.
const CACHE_BYTES: u64 = 32 << 20;
/// About how many rows that is, of usual size.
const CACHE_ROWS: usize = 64 << 10;
/// What a row takes besides its bytes.
const ROW_BYTES: u64 = 96;

/// The rows; None for one that is not there.
pub(crate) struct RowCache(Cache<RowKey, Option<RawBytes>, BySize>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct RowKey {
    table: TableId,
    key: Box<[u8]>,
}

struct RowKeyRef<'a> {
    table: TableId,
    key: &'a [u8],
}

// Both hash alike.
impl Hash for RowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        RowKeyRef { table: self.table, key: &self.key }.hash(state);
    }
}

impl Hash for RowKeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.table.0);
        state.write(self.key);
    }
}

impl Equivalent<RowKey> for RowKeyRef<'_> {
    fn equivalent(&self, other: &RowKey) -> bool {
        self.table == other.table && *self.key == *other.key
    }
}

#[derive(Clone, Debug)]
struct BySize;

impl Weighter<RowKey, Option<RawBytes>> for BySize {
    fn weight(&self, key: &RowKey, value: &Option<RawBytes>) -> u64 {
        ROW_BYTES + key.key.len() as u64 + value.as_ref().map_or(0, |value| value.len() as u64)
    }
}

impl RowCache {
    pub(crate) fn new() -> Self {
        Self(Cache::with_weighter(CACHE_ROWS, CACHE_BYTES, BySize))
    }

    /// Whether rows of a table are kept: those that a message or a sync reads one by one.
    pub(crate) fn keeps(table: TableId) -> bool {
        [Accounts::ID, CurrentState::ID, Memberships::ID, RoomHeads::ID].contains(&table)
    }

    /// The value of a key, which `read` finds on the disk.
    pub(crate) fn get(
        &self,
        table: TableId,
        key: &[u8],
        read: impl FnOnce() -> Result<Option<RawBytes>, StorageError>,
    ) -> Result<Option<RawBytes>, StorageError> {
        if let Some(value) = self.0.get(&RowKeyRef { table, key }) {
            return Ok(value);
        }
        let row_key = RowKey { table, key: key.into() };
        match self.0.get_value_or_guard(&row_key, Some(Duration::ZERO)) {
            GuardResult::Value(value) => Ok(value),
            GuardResult::Guard(guard) => {
                // What is read may be a part of a block, all of which it would keep in memory.
                let value = read()?.map(|value| RawBytes::from(&*value));
                // Refused if the row was changed since the guard was made.
                let _ = guard.insert(value.clone());
                Ok(value)
            }
            // Somebody else is reading it.
            GuardResult::Timeout => read(),
        }
    }

    /// A commit has changed a row; it is on disk.
    pub(crate) fn change(&self, table: TableId, key: &[u8], value: Option<RawBytes>) {
        // What somebody is just reading is not kept, even if the new value is too large to take its place.
        self.0.remove(&RowKeyRef { table, key });
        self.0.insert(RowKey { table, key: key.into() }, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"key";

    fn value(text: &str) -> Option<RawBytes> {
        Some(RawBytes::from(text.as_bytes()))
    }

    fn get(cache: &RowCache, read: impl FnOnce() -> Option<RawBytes>) -> Option<RawBytes> {
        cache.get(RoomHeads::ID, KEY, || Ok(read())).expect("it is read")
    }

    #[test]
    fn what_was_read_or_changed_is_not_read_again() {
        let cache = RowCache::new();
        assert_eq!(get(&cache, || value("one")), value("one"));
        assert_eq!(get(&cache, || unreachable!("it is kept")), value("one"));
        cache.change(RoomHeads::ID, KEY, None);
        assert_eq!(get(&cache, || unreachable!("it is kept")), None);
        let other = cache.get(Accounts::ID, KEY, || Ok(value("of another table"))).expect("it is read");
        assert_eq!(other, value("of another table"));
    }

    #[test]
    fn what_was_changed_while_it_was_read_is_not_kept_as_it_was() {
        let cache = RowCache::new();
        let read = get(&cache, || {
            cache.change(RoomHeads::ID, KEY, value("new"));
            value("old")
        });
        assert_eq!(read, value("old"));
        assert_eq!(get(&cache, || unreachable!("it is kept")), value("new"));
        let cache = RowCache::new();
        let huge = "x".repeat(CACHE_BYTES as usize);
        let read = get(&cache, || {
            cache.change(RoomHeads::ID, KEY, value(&huge));
            value("old")
        });
        assert_eq!(read, value("old"));
        assert_eq!(get(&cache, || value("read again")), value("read again"), "it is too large to be kept");
        // Nor does a reader who is still reading keep others from it.
        let cache = RowCache::new();
        get(&cache, || {
            assert_eq!(get(&cache, || value("old")), value("old"));
            value("old")
        });
    }
}
