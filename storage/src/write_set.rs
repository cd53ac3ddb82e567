//! A typed write-set: what must hold, what to put, what to delete. Encodes rows for the engine; decides nothing.

use crate::{
    Position, Table, Value,
    engine::{Change, Expectation, RawWriteSet},
    stream::ChangedKey,
    table::{encode_key, encode_value, written_anew},
};

/// Changes to tables that happen together or not at all.
#[derive(Clone, Debug, Default)]
#[must_use = "a write-set does nothing until it is committed"]
pub struct WriteSet {
    raw: RawWriteSet,
}

impl WriteSet {
    /// An empty write-set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuse the commit unless `key` holds just `value`. A stamped value must be one that was read,
    /// since nobody knows the position of a pending one.
    pub fn expect<T: Table>(&mut self, key: &T::Key, value: &T::Value) {
        let value = encode_value::<T>(value);
        debug_assert!(
            !T::Value::STAMPED || !value.starts_with(&Position::PENDING.get().to_be_bytes()),
            "a pending value is in no row"
        );
        self.expect_raw::<T>(key, Some(value));
    }

    /// Refuse the commit if `key` holds anything.
    pub fn expect_absent<T: Table>(&mut self, key: &T::Key) {
        self.expect_raw::<T>(key, None);
    }

    /// Refuse the commit unless `key` holds what was read of it.
    pub fn expect_read<T: Table>(&mut self, key: &T::Key, read: Option<&T::Value>) {
        match read {
            Some(value) => self.expect::<T>(key, value),
            None => self.expect_absent::<T>(key),
        }
    }

    fn expect_raw<T: Table>(&mut self, key: &T::Key, value: Option<Vec<u8>>) {
        let key = encode_key::<T>(key).bytes;
        self.raw.expectations.push(Expectation { table: T::ID, key, value, written_anew: written_anew::<T> });
    }

    /// Writes a row, replacing an earlier one.
    pub fn put<T: Table>(&mut self, key: &T::Key, value: &T::Value) {
        self.put_row::<T>(key, value, false);
    }

    /// Writes a row whose key holds a pending position, which becomes the [era](Position::era) of the commit: what is
    /// put again in the same era costs nothing. Who looks for what came after a position looks from its era on, and
    /// may find what came before it. Such a row must not be deleted in its era: it would not be written again.
    pub fn put_once_in_era<T: Table>(&mut self, key: &T::Key, value: &T::Value) {
        self.put_row::<T>(key, value, true);
    }

    fn put_row<T: Table>(&mut self, key: &T::Key, value: &T::Value, once_in_era: bool) {
        let writer = encode_key::<T>(key);
        self.note_watched::<T>(key, true);
        self.raw.changes.push(Change {
            table: T::ID,
            key: writer.bytes,
            key_stamp: writer.stamp,
            value: Some(encode_value::<T>(value)),
            value_stamp: T::Value::STAMPED.then_some(0),
            once_in_era,
        });
    }

    /// Removes a row, if there is one.
    pub fn delete<T: Table>(&mut self, key: &T::Key) {
        self.note_watched::<T>(key, false);
        let key = encode_key::<T>(key).bytes;
        self.raw.changes.push(Change {
            table: T::ID,
            key,
            key_stamp: None,
            value: None,
            value_stamp: None,
            once_in_era: false,
        });
    }

    /// Has the stream tell of a change, if the table is watched.
    fn note_watched<T: Table>(&mut self, key: &T::Key, is_put: bool) {
        self.raw.watched.extend(T::to_watched(key).map(|key| ChangedKey { key, is_put }));
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Self) {
        self.raw.expectations.extend(other.raw.expectations);
        self.raw.changes.extend(other.raw.changes);
        self.raw.watched.extend(other.raw.watched);
        self.raw.uses_reserve |= other.raw.uses_reserve;
    }

    /// Has it written also when the disk is nearly full, because it frees room or protects somebody. A write-set that
    /// does nothing but delete is anyway.
    pub fn use_reserve(&mut self) {
        self.raw.uses_reserve = true;
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.raw.changes.is_empty()
    }

    pub(crate) fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.raw.expectations.iter()
    }

    pub(crate) fn into_raw(self) -> RawWriteSet {
        self.raw
    }
}
