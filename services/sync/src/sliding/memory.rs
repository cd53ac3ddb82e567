//! How much the rooms of an answer take while it is made. It counts as an answer that was not taken yet, so that no person
//! has many large ones made at the same time.

use linkspan_platforms::{Holding, Work};
use parking_lot::Mutex;

use crate::{Result, SyncError};

/// The most that is told of one room, in bytes, besides what other rooms of the answer have: twice the greatest state that
/// people can make, without those who only come and go.
const ROOM_BYTES: usize = 64 << 20;
/// What an answer takes that is not counted, in bytes.
const UNCOUNTED_BYTES: usize = 1 << 20;

/// What the rooms of an answer take.
#[derive(Debug, Default)]
pub(super) struct MadeRooms {
    bytes: usize,
    held: Mutex<Option<Holding>>,
}

impl MadeRooms {
    /// About how many bytes the rooms have that were made.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a room.
    pub(super) fn add(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes;
        self.check(0)
    }

    /// Refuses if the room that is being made has too many bytes already, or if there is no room for so many.
    pub(super) fn check(&self, of_room: usize) -> Result<()> {
        if of_room > ROOM_BYTES {
            return Err(SyncError::TooLarge);
        }
        let bytes = self.bytes + of_room;
        let Some(work) = Work::current().filter(|_| bytes > UNCOUNTED_BYTES) else { return Ok(()) };
        let mut held = self.held.lock();
        let held = held.get_or_insert_with(|| work.platform().unsent.begin(work.who().to_owned()));
        Ok(held.grow_to(bytes)?)
    }
}
