//! A bounded map in memory whose entries expire.

use quick_cache::sync::Cache;

/// Values by name, each with a time after which it is gone. When it is full, older entries make room.
pub(crate) struct Expiring<V> {
    entries: Cache<String, (u64, V)>,
}

impl<V: Clone> Expiring<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity) }
    }

    pub(crate) fn put(&self, name: String, value: V, expires_ts: u64) {
        self.entries.insert(name, (expires_ts, value));
    }

    pub(crate) fn get(&self, name: &str, now_ts: u64) -> Option<V> {
        let (expires_ts, value) = self.entries.get(name)?;
        (now_ts < expires_ts).then_some(value)
    }

    /// Removes an entry. If several take one, one gets it.
    pub(crate) fn take(&self, name: &str, now_ts: u64) -> Option<V> {
        let (_, (expires_ts, value)) = self.entries.remove(name)?;
        (now_ts < expires_ts).then_some(value)
    }
}
