//! Since when keys have not changed, so that nobody has to look for changes on the disk.

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use crate::{Position, Store, Watched};

/// How many positions are remembered. Keys that share one count as changed together, which costs a look at the disk.
const PLACES: usize = 1 << 16;

/// When keys of a kind changed last, as the stream of commits tells; clones are the same.
///
/// It takes half a megabyte, however many keys there are, and nothing is ever forgotten: no log-out, no deactivation
/// and no eviction concerns it. After a restart it knows nothing of the time before.
pub struct Unchanged<K: ?Sized> {
    last: Arc<Last>,
    /// What was committed before this position is not known.
    known_from: Position,
    of: PhantomData<fn(&K)>,
}

struct Last {
    /// By hash of the key: no change is later.
    places: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl<K: ?Sized> Clone for Unchanged<K> {
    fn clone(&self) -> Self {
        Self { last: self.last.clone(), known_from: self.known_from, of: PhantomData }
    }
}

impl<K: ?Sized> fmt::Debug for Unchanged<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unchanged")
    }
}

impl Last {
    fn place(&self, key: &(impl Hash + ?Sized)) -> &AtomicU64 {
        &self.places[(self.hasher.hash_one(key) % PLACES as u64) as usize]
    }
}

impl<K: Hash + ?Sized> Unchanged<K> {
    /// Notes from now on when keys change; `key` gives the key that a row of the table belongs to.
    pub fn of<T: Watched>(store: &Store, key: impl Fn(&T::Key) -> &K + Send + Sync + 'static) -> Self {
        let last = Arc::new(Last {
            places: (0..PLACES).map(|_| AtomicU64::default()).collect(),
            hasher: RandomState::new(),
        });
        store.watch::<T, _>(&last, move |last, row, change| {
            last.place(key(row)).fetch_max(change.position.get(), SeqCst);
        });
        Self { last, known_from: store.heard(), of: PhantomData }
    }

    /// Whether it is known that no commit after `since` that anybody has been told of changed a key.
    pub fn since(&self, key: &K, since: Position) -> bool {
        self.known_from <= since && self.last.place(key).load(SeqCst) <= since.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Memory, WriteSet,
        catalogue::{StateLog, StateLogKey},
        records::StateEntryRecord,
    };
    use ruma::{OwnedRoomId, RoomId};

    fn change(room_id: &RoomId) -> WriteSet {
        let mut writes = WriteSet::new();
        let key = StateLogKey {
            room_id: room_id.to_owned(),
            position: Position::PENDING,
            event_type: "m.room.topic".into(),
            state_key: String::new(),
        };
        writes.put::<StateLog>(&key, &StateEntryRecord { event_id: None, seq: 1 });
        writes
    }

    #[tokio::test]
    async fn nothing_is_said_to_be_unchanged_that_may_have_changed() {
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let room = |name: usize| OwnedRoomId::try_from(format!("!{name}:one.localhost")).expect("a room id");
        let before = store.commit(change(&room(0))).await.expect("it is committed");
        let unchanged = Unchanged::<OwnedRoomId>::of::<StateLog>(&store, |key| &key.room_id);
        assert!(!unchanged.since(&room(0), Position::ZERO), "what was before it is not known");
        assert!(unchanged.since(&room(0), before));
        let after = store.commit(change(&room(0))).await.expect("it is committed");
        assert!(!unchanged.since(&room(0), before));
        assert!(unchanged.since(&room(0), after));
        let others = (1..=100).filter(|name| unchanged.since(&room(*name), before)).count();
        assert!(others > 90, "{others} of 100 other rooms are known to be unchanged");
    }
}
