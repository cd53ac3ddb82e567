//! Since when something of a room has not changed, so that nobody has to look for changes on the disk.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
};

use linkspan_storage::{Position, Store};

/// Remembers when something was changed last. All who change it say so before they do.
#[derive(Debug)]
pub(crate) struct Unchanged {
    /// Changes that are on their way to the disk.
    changing: AtomicU32,
    /// No change is later than this position.
    newest: AtomicU64,
}

impl Unchanged {
    /// Begins for something that nobody is changing. `now` is the newest position that can be read.
    pub(crate) fn new(now: Position) -> Self {
        Self { changing: AtomicU32::new(0), newest: AtomicU64::new(now.get()) }
    }

    /// Whether it is known that there was no change after `since`.
    pub(crate) fn since(&self, since: Position) -> bool {
        // In this order: who changes something sets `newest` before it is done.
        self.changing.load(SeqCst) == 0 && self.newest.load(SeqCst) <= since.get()
    }

    /// A change begins; it is over when the answer is dropped, whether it came to something or not.
    pub(crate) fn change(self: &Arc<Self>, store: &Store) -> Changing {
        self.changing.fetch_add(1, SeqCst);
        Changing { of: self.clone(), store: store.clone() }
    }
}

/// What is known of a room.
#[derive(Clone, Debug)]
pub(crate) struct RoomUnchanged {
    /// When the current state was last changed.
    pub(crate) state: Arc<Unchanged>,
    /// When the receipts were last changed.
    pub(crate) receipts: Arc<Unchanged>,
    /// When the relations between the events were last changed.
    pub(crate) relations: Arc<Unchanged>,
}

impl RoomUnchanged {
    /// Begins for a room that nobody is changing.
    pub(crate) fn new(now: Position) -> Self {
        let unchanged = || Arc::new(Unchanged::new(now));
        Self { state: unchanged(), receipts: unchanged(), relations: unchanged() }
    }
}

/// A change on its way to the disk.
#[derive(Debug)]
pub(crate) struct Changing {
    of: Arc<Unchanged>,
    store: Store,
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.of.newest.fetch_max(self.store.position().get(), SeqCst);
        self.of.changing.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::Memory;

    use super::*;

    #[test]
    fn nothing_is_said_to_be_unchanged_that_may_have_changed() {
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let (one, two) = (Position::from_u64(1), Position::from_u64(2));
        let unchanged = Arc::new(Unchanged::new(two));
        assert!(!unchanged.since(one), "what was before it is not known");
        assert!(unchanged.since(two));
        let changes = [unchanged.change(&store), unchanged.change(&store)];
        for change in changes {
            assert!(!unchanged.since(two), "a change is under way");
            drop(change);
        }
        assert!(unchanged.since(two), "they changed nothing after it");
    }

    #[tokio::test]
    async fn a_change_is_remembered_where_it_was_committed() {
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let unchanged = Arc::new(Unchanged::new(store.position()));
        let changing = unchanged.change(&store);
        let mut writes = linkspan_storage::WriteSet::new();
        writes.notify(linkspan_storage::Notice::Room("!r:one.localhost".try_into().expect("a room id")));
        let position = store.commit(writes).await.expect("it is committed");
        drop(changing);
        assert!(!unchanged.since(Position::from_u64(position.get() - 1)));
        assert!(unchanged.since(position));
    }
}
