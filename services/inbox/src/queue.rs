//! The stored queue: writing pointers, reading them from a token, and keeping it short.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use linkspan_storage::{
    Position, Range, StorageError, Store, WriteSet,
    catalogue::{BigRooms, Inbox as InboxTable, InboxKey, UserRoomKey},
    records::InboxPointer,
};
use ruma::{OwnedRoomId, OwnedUserId};

use crate::{Inbox, known::Trim};

/// Pointers that may come in for who is not connected before older ones to the same things are removed.
const TRIM_AFTER: u32 = 1_024;
/// Rows that one trim looks at.
const TRIM_ROWS: usize = 16_384;

/// Users who are not connected are counted for in so many places: a few share one, and are trimmed a little earlier.
const PLACES: usize = 1 << 16;

/// How many pointers have come in for users who are not connected, since somebody of their place was last trimmed.
#[derive(Debug)]
pub(crate) struct Untrimmed {
    counts: Box<[AtomicU32]>,
    hasher: RandomState,
}

impl Untrimmed {
    pub(crate) fn new() -> Self {
        Self { counts: (0..PLACES).map(|_| AtomicU32::new(0)).collect(), hasher: RandomState::new() }
    }

    /// Counts a pointer for a user; whether many have come.
    fn count(&self, user_id: &OwnedUserId) -> bool {
        let place = self.hasher.hash_one(user_id) as usize % PLACES;
        let many = self.counts[place].fetch_add(1, Ordering::Relaxed) + 1 >= TRIM_AFTER;
        if many {
            self.counts[place].store(0, Ordering::Relaxed);
        }
        many
    }
}

/// Puts a pointer into a user's inbox, at the position of the commit or its era.
pub fn point(writes: &mut WriteSet, user_id: &OwnedUserId, pointer: InboxPointer) {
    let by_era = is_by_era(&pointer);
    let key = InboxKey { user_id: user_id.clone(), position: Position::PENDING, pointer };
    if by_era {
        writes.put_once_in_era::<InboxTable>(&key, &());
    } else {
        writes.put::<InboxTable>(&key, &());
    }
}

/// Whether the row of a pointer says only in which era there is news: who looks finds out what of it is new.
fn is_by_era(pointer: &InboxPointer) -> bool {
    matches!(pointer, InboxPointer::Room(_) | InboxPointer::Receipts(_))
}

/// Where the row stands of a pointer that came in at a position.
pub(crate) fn row_position(position: Position, pointer: &InboxPointer) -> Position {
    if is_by_era(pointer) { position.era() } else { position }
}

/// What the pointers at and after `from` point at, as they are stored.
pub async fn stored_pointers(
    store: &Store,
    user_id: &OwnedUserId,
    from: Position,
) -> Result<Vec<InboxPointer>, StorageError> {
    let range = Range::<InboxTable>::between((user_id, &from.era()), (user_id, &Position::PENDING));
    let may_be_new = |key: &InboxKey| key.position >= from || is_by_era(&key.pointer);
    let keys = store.keys(range).await?.into_iter().filter(may_be_new);
    Ok(keys.map(|key| key.pointer).collect())
}

impl Inbox {
    /// What the pointers after `since` point at, some perhaps repeatedly. Rooms and receipts among them may
    /// have no news: those of users who were not connected are known by their [era](Position::era) only.
    pub async fn pointers(
        &self,
        user_id: &OwnedUserId,
        since: Position,
    ) -> Result<Vec<InboxPointer>, StorageError> {
        if let Some(pointers) = self.live(user_id).known.lock().pointers(since) {
            return Ok(pointers);
        }
        stored_pointers(&self.shared.store, user_id, since.next()).await
    }

    /// The rooms of a user that are read instead of fanned out to.
    pub async fn big_rooms(&self, user_id: &OwnedUserId) -> Result<Arc<[OwnedRoomId]>, StorageError> {
        let live = self.live(user_id);
        if let Some(rooms) = live.known.lock().big_rooms() {
            return Ok(rooms);
        }
        let at = self.shared.store.position();
        let keys = self.shared.store.keys::<BigRooms>(Range::prefix((user_id,))).await?;
        let rooms = keys.into_iter().map(|key: UserRoomKey| key.room_id).collect();
        live.known.lock().found_big_rooms(at, &rooms);
        Ok(rooms)
    }

    /// Removes all pointers of a user whose account is gone.
    pub async fn remove_user(&self, user_id: &OwnedUserId) -> Result<(), StorageError> {
        self.shared.store.delete_range::<InboxTable>(Range::prefix((user_id,))).await
    }

    /// A pointer has come in: removes those that newer ones stand for, once that is worth it.
    pub(crate) fn trim_if_due(&self, user_id: &OwnedUserId) {
        let due = match self.shared.live.get(user_id) {
            Some(live) => live.known.lock().trim(),
            None => self.shared.untrimmed.count(user_id).then_some(Trim::All),
        };
        let Some(trim) = due else { return };
        let (inbox, user_id) = (self.clone(), user_id.clone());
        tokio::spawn(async move {
            let trimmed = match trim {
                Trim::All => inbox.trim_all(&user_id).await,
                Trim::Rows(rows) => inbox.trim_rows(&user_id, rows).await,
            };
            if let Err(error) = trimmed {
                tracing::warn!(%error, %user_id, "an inbox could not be trimmed");
            }
        });
    }

    /// Removes rows that newer ones stand for.
    async fn trim_rows(
        &self,
        user_id: &OwnedUserId,
        rows: Vec<(Position, InboxPointer)>,
    ) -> Result<(), StorageError> {
        let mut writes = WriteSet::new();
        for (position, pointer) in rows {
            writes.delete::<InboxTable>(&InboxKey { user_id: user_id.clone(), position, pointer });
        }
        self.shared.store.commit(writes).await?;
        Ok(())
    }

    /// Removes every pointer to which a newer one of the same kind exists: a sync from any token
    /// still meets the newer one.
    async fn trim_all(&self, user_id: &OwnedUserId) -> Result<(), StorageError> {
        let range = Range::<InboxTable>::prefix((user_id,)).reverse().limit(TRIM_ROWS);
        let mut seen = HashSet::new();
        let mut writes = WriteSet::new();
        for key in self.shared.store.keys(range).await? {
            if !seen.insert(key.pointer.clone()) {
                writes.delete::<InboxTable>(&key);
            }
        }
        if !writes.is_empty() {
            self.shared.store.commit(writes).await?;
        }
        Ok(())
    }
}
