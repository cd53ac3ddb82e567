//! Writing down what was staged, and taking the room in memory along.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use linkspan_storage::{
    Finish, Position, Ticket, WriteSet,
    catalogue::{RoomHeads, RoomKey, TransactionKey},
    records::ThreadRecord,
};
use ruma::OwnedEventId;

use super::Append;
use crate::{Result, Room, Rooms, TimelineEvent, permits::Permits, unchanged::Changing};

impl Append {
    /// Queues what was staged, lets the next append in, and waits until it is on disk.
    pub(crate) async fn commit(mut self) -> Result<Vec<Arc<TimelineEvent>>> {
        if !self.newcomers.is_empty() {
            // Sending a message should not have to make room for it.
            Box::pin(self.bring_room_settings()).await?;
        }
        let (queued, ticket) = self.queue(WriteSet::new());
        // What follows the commit must happen even if nobody waits for it any more.
        Finish::new(async move {
            match ticket.committed().await {
                Ok(position) => Ok(queued.land(position).await),
                Err(error) => {
                    queued.fail();
                    Err(error.into())
                }
            }
        })
        .await
    }

    /// Does the same with what was staged for two rooms, as one write-set: both or neither.
    pub(crate) async fn commit_with(self, mut other: Self) -> Result<()> {
        let writes = other.finish_writes();
        let (queued, ticket) = self.queue(writes);
        let other = other.advance();
        Finish::new(async move {
            match ticket.committed().await {
                Ok(position) => {
                    queued.land(position).await;
                    other.land(position).await;
                    Ok(())
                }
                Err(error) => {
                    queued.fail();
                    other.fail();
                    Err(error.into())
                }
            }
        })
        .await
    }

    /// Queues what was staged, with `more`, and lets the next append in.
    fn queue(mut self, more: WriteSet) -> (Queued, Ticket) {
        let mut writes = self.finish_writes();
        writes.append(more);
        let ticket = self.rooms.store().submit(writes);
        (self.advance(), ticket)
    }

    /// The rows to write, those of the head included.
    fn finish_writes(&mut self) -> WriteSet {
        if !self.state.is_empty() {
            self.changing.push(self.room.unchanged.state.change(self.rooms.store()));
        }
        let key = RoomKey { room_id: self.room.id.clone() };
        self.writes.expect_read::<RoomHeads>(&key, self.writer.stored_head.as_ref());
        self.writes.put::<RoomHeads>(&key, &self.head);
        if !self.staged.is_empty() {
            self.tell_members();
        }
        std::mem::take(&mut self.writes)
    }

    /// Takes the room in memory to where it will be on disk, and lets the next append in.
    fn advance(self) -> Queued {
        let Self { rooms, room, mut writer, head, state, staged, redacted, deltas, members, present, .. } =
            self;
        if !state.is_empty() {
            writer.permits = Permits::default();
        }
        writer.stored_head = Some(head.clone());
        writer.rules_present = Some(present);
        writer.head = head;
        writer.state.extend(state);
        let transactions = self.transactions.iter().map(|(key, _)| key.clone()).collect();
        writer.transactions.extend(self.transactions);
        let threads = self.threads.clone();
        writer.threads.extend(self.threads);
        for (state_id, delta) in deltas {
            rooms.cache_delta(&room.id, state_id, delta);
        }
        if self.members_changed {
            *room.local_members.write() = Some(members);
        }
        drop(writer);
        let (closes_to_guests, _changing) = (self.closes_to_guests, self.changing);
        Queued { rooms, room, staged, redacted, transactions, threads, closes_to_guests, _changing }
    }
}

/// What was staged and is on its way to the disk.
struct Queued {
    rooms: Rooms,
    room: Arc<Room>,
    staged: Vec<Arc<TimelineEvent>>,
    redacted: Vec<Arc<TimelineEvent>>,
    transactions: Vec<TransactionKey>,
    threads: HashMap<OwnedEventId, ThreadRecord>,
    closes_to_guests: bool,
    _changing: Vec<Changing>,
}

impl Queued {
    /// It is not on disk.
    fn fail(self) {
        self.rooms.abandon(&self.room);
    }

    /// It is on disk; the events.
    async fn land(self, position: Position) -> Vec<Arc<TimelineEvent>> {
        let Self { rooms, room, staged, redacted, transactions, threads, closes_to_guests, _changing } = self;
        if closes_to_guests {
            rooms.shared.closed_to_guests.notify_one();
        }
        if !transactions.is_empty() || !threads.is_empty() {
            let mut writer = room.writer.lock().await;
            transactions.iter().for_each(|key| {
                writer.transactions.remove(key);
            });
            // A later append may have queued a newer one.
            writer.threads.retain(|root, thread| threads.get(root) != Some(thread));
        }
        for event in redacted {
            rooms.shared.events.insert((room.id.clone(), event.seq), event);
        }
        let committed = |event: &Arc<TimelineEvent>| {
            Arc::new(TimelineEvent {
                seq: event.seq,
                position,
                state_before: event.state_before,
                state_after: event.state_after,
                sent_by: event.sent_by.clone(),
                pdu: event.pdu.clone(),
                thread: OnceLock::new(),
            })
        };
        let events: Vec<_> = staged.iter().map(committed).collect();
        for event in &events {
            rooms.shared.events.insert((room.id.clone(), event.seq), event.clone());
        }
        events
    }
}
