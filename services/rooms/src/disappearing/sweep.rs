//! Erasing the content of messages whose time is up from the store.

use std::collections::BTreeMap;

use linkspan_storage::{
    CommitError, Range, StorageError, WriteSet,
    catalogue::{DisappearingKey, DisappearingMessages, Timeline, TimelineKey},
};
use ruma::OwnedRoomId;

use crate::{Result, Rooms, RoomsError, TimelineEvent, append::Append};

/// How many messages are looked at in one step. Those of one room are erased in one write-set.
const BATCH: usize = 128;

impl Rooms {
    /// Erases all messages whose time is up, step by step. What a stop leaves undone is done by the next sweep, since
    /// a message leaves the queue with its content. One that cannot be erased stays in the queue, and keeps no other.
    pub async fn erase_disappeared(&self, now_ts: u64) -> Result<()> {
        let mut last: Option<DisappearingKey> = None;
        loop {
            let queued = Range::<DisappearingMessages>::all().limit(BATCH).after_last(last.as_ref());
            let mut due = self.store().keys(queued).await?;
            due.retain(|key| key.disappears_ts <= now_ts);
            last = due.last().cloned();
            if last.is_none() {
                return Ok(());
            }
            let mut by_room: BTreeMap<OwnedRoomId, Vec<DisappearingKey>> = BTreeMap::new();
            for key in due {
                by_room.entry(key.room_id.clone()).or_default().push(key);
            }
            for (room_id, mut messages) in by_room {
                // The newest first: what a thread's newest reply is then is found among those that stay.
                messages.sort_by_key(|key| std::cmp::Reverse(key.seq));
                self.erase_all_or_each(&room_id, &messages, now_ts).await?;
            }
        }
    }

    /// Erases messages of a room together or, if that fails, one by one.
    async fn erase_all_or_each(
        &self,
        room_id: &OwnedRoomId,
        messages: &[DisappearingKey],
        now_ts: u64,
    ) -> Result<()> {
        let erase = async |messages: &[DisappearingKey]| {
            self.again(async || self.erase_messages(room_id, messages, now_ts).await).await
        };
        match erase(messages).await {
            Ok(()) => return Ok(()),
            Err(error) if is_over(&error) => return Err(error),
            Err(error) if is_contended(&error) => {
                // Whoever writes so much to the room would be in the way of each of them. The next sweep comes soon.
                tracing::warn!(%error, %room_id, "messages that have disappeared wait for the next sweep");
                return Ok(());
            }
            // Each of them says below what is wrong with it.
            Err(_) => {}
        }
        for message in messages {
            match erase(std::slice::from_ref(message)).await {
                Ok(()) => {}
                Err(error) if is_over(&error) => return Err(error),
                Err(error) => {
                    let seq = message.seq;
                    tracing::warn!(%error, %room_id, seq, "a message that has disappeared stays in the store");
                }
            }
        }
        Ok(())
    }

    async fn erase_messages(
        &self,
        room_id: &OwnedRoomId,
        messages: &[DisappearingKey],
        now_ts: u64,
    ) -> Result<()> {
        let Some(room) = self.find_room(room_id).await? else {
            // The room was deleted, and what was said in it.
            let mut writes = WriteSet::new();
            messages.iter().for_each(|message| writes.delete::<DisappearingMessages>(message));
            self.store().commit(writes).await?;
            return Ok(());
        };
        let mut append = self.begin(&room, now_ts).await?;
        append.settle().await?;
        for message in messages {
            append.erase_message(message).await?;
        }
        // No event comes into the room and its head stays as it is, so nobody is told anything.
        append.commit().await?;
        Ok(())
    }
}

/// Whether others have written to the room all the time.
fn is_contended(error: &RoomsError) -> bool {
    matches!(error, RoomsError::Storage(StorageError::Commit(CommitError::Conflict(_))))
}

/// Whether the store takes nothing more until a restart.
fn is_over(error: &RoomsError) -> bool {
    matches!(error, RoomsError::Storage(StorageError::Commit(CommitError::Poisoned(_))))
}

impl Append {
    async fn erase_message(&mut self, message: &DisappearingKey) -> Result<()> {
        self.writes.delete::<DisappearingMessages>(message);
        let key = TimelineKey { room_id: message.room_id.clone(), seq: message.seq };
        let Some(stored) = self.rooms.store().get::<Timeline>(&key).await? else { return Ok(()) };
        let event = TimelineEvent::from_stored(message.seq, stored.clone())?;
        let timer = self.rooms.timer_of(&message.room_id, &event).await?;
        self.take_content(message.seq, stored, &timer).await?;
        Ok(())
    }
}
