//! A typed write-set: what must hold, what to put, what to delete, whom to tell.

use crate::{
    Notice, Table, Value,
    engine::{Change, Expectation, RawWriteSet},
    table::{encode_key, encode_value},
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

    /// Refuse the commit unless `key` holds just `value`. Not for stamped values.
    pub fn expect<T: Table>(&mut self, key: &T::Key, value: &T::Value) {
        debug_assert!(!T::Value::STAMPED, "a stamped value is not known before its commit");
        self.expect_raw::<T>(key, Some(encode_value::<T>(value)));
    }

    /// Refuse the commit if `key` holds anything.
    pub fn expect_absent<T: Table>(&mut self, key: &T::Key) {
        self.expect_raw::<T>(key, None);
    }

    fn expect_raw<T: Table>(&mut self, key: &T::Key, value: Option<Vec<u8>>) {
        self.raw.expectations.push(Expectation { table: T::ID, key: encode_key::<T>(key).bytes, value });
    }

    /// Writes a row, replacing an earlier one.
    pub fn put<T: Table>(&mut self, key: &T::Key, value: &T::Value) {
        let writer = encode_key::<T>(key);
        self.raw.changes.push(Change {
            table: T::ID,
            key: writer.bytes,
            key_stamp: writer.stamp,
            value: Some(encode_value::<T>(value)),
            value_stamp: T::Value::STAMPED.then_some(0),
        });
    }

    /// Removes a row, if there is one.
    pub fn delete<T: Table>(&mut self, key: &T::Key) {
        let key = encode_key::<T>(key).bytes;
        self.raw.changes.push(Change { table: T::ID, key, key_stamp: None, value: None, value_stamp: None });
    }

    /// Has the feed tell of the commit.
    pub fn notify(&mut self, notice: Notice) {
        if !self.raw.notices.contains(&notice) {
            self.raw.notices.push(notice);
        }
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Self) {
        self.raw.expectations.extend(other.raw.expectations);
        self.raw.changes.extend(other.raw.changes);
        for notice in other.raw.notices {
            self.notify(notice);
        }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.raw.changes.is_empty()
    }

    pub(crate) fn into_raw(self) -> RawWriteSet {
        self.raw
    }
}
