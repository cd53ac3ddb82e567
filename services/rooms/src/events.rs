//! Reading events: by place, by id, by range; parsed once and kept in a cache.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use linkspan_domain::{Pdu, SharedPdu};
use linkspan_storage::{
    Copies, Limits, Position, Range, Stamped, StorageError, Store,
    catalogue::{EventIds, EventKey, HiddenEvents, RoomEventKey, Timeline, TimelineKey},
    records::{EventPlaceRecord, EventRecord, FLAG_REJECTED, FLAG_WITHHELD},
};
use ruma::{OwnedEventId, OwnedRoomId};

use crate::{
    Result, Rooms,
    append::{RelatesTo, relation_of},
};

/// Bytes of events that are kept parsed.
const CACHE_BYTES: u64 = 96 << 20;
/// What an event takes besides its content.
const EVENT_BYTES: u64 = 700;
/// About how many events that is.
const CACHE_EVENTS: usize = 96 << 10;
/// Events that are read at once at most.
const BATCH: usize = 100;
/// How many relations lead from an event to the root of its thread at most: from a reaction to an edit, to the reply,
/// to the root.
pub(crate) const MAX_THREAD_STEPS: usize = 3;

/// An event of a room's timeline.
#[derive(Debug)]
pub struct TimelineEvent {
    /// Its place in the timeline.
    pub seq: i64,
    /// Where in the order of commits it was written.
    pub position: Position,
    /// The state before it.
    pub state_before: u64,
    /// The state after it.
    pub state_after: u64,
    /// The device that sent it and the transaction id, `device\0txn`; empty for others.
    pub sent_by: String,
    /// The time at which it disappears, if it does, in milliseconds since the Unix epoch.
    pub disappears_ts: Option<u64>,
    /// The event.
    pub pdu: SharedPdu,
    /// The root of the thread that it is in, once somebody has asked.
    pub(crate) thread: OnceLock<Option<OwnedEventId>>,
}

/// Events that were read or made lately, by their places; None for a gap in the timeline.
pub(crate) type Events = Copies<TimelineKey, Option<Arc<TimelineEvent>>>;

/// No events are kept yet.
pub(crate) fn new_events(store: &Store) -> Events {
    let limits = Limits { entries: CACHE_EVENTS, weight: CACHE_BYTES };
    let bytes = |_: &TimelineKey, event: &Option<Arc<TimelineEvent>>| {
        EVENT_BYTES + event.as_ref().map_or(0, |event| event.pdu.content.get().len() as u64)
    };
    Copies::weighted(limits, bytes).forget_on::<Timeline>(store, |key| Some(Cow::Borrowed(key)))
}

impl TimelineEvent {
    pub(crate) fn from_stored(seq: i64, stored: Stamped<EventRecord>) -> Result<Self> {
        let Stamped { position, value: record } = stored;
        let mut pdu = Pdu::from_stored(record.event_id, &record.pdu)
            .map_err(|error| StorageError::DamagedValue { table: "timeline", reason: error.to_string() })?;
        pdu.rejected = record.flags & FLAG_REJECTED != 0;
        pdu.withheld = record.flags & FLAG_WITHHELD != 0;
        Ok(Self {
            seq,
            position,
            state_before: record.state_before,
            state_after: record.state_after,
            sent_by: record.sent_by,
            disappears_ts: record.disappears_ts,
            pdu: Arc::new(pdu),
            thread: OnceLock::new(),
        })
    }

    /// The same place with another form of the event.
    pub(crate) fn with_pdu(&self, pdu: SharedPdu) -> Self {
        Self {
            seq: self.seq,
            position: self.position,
            state_before: self.state_before,
            state_after: self.state_after,
            sent_by: self.sent_by.clone(),
            disappears_ts: self.disappears_ts,
            pdu,
            thread: OnceLock::new(),
        }
    }
}

impl Rooms {
    /// The event at a place of a room's timeline.
    pub async fn event_at(&self, room_id: &OwnedRoomId, seq: i64) -> Result<Option<Arc<TimelineEvent>>> {
        let key = TimelineKey { room_id: room_id.clone(), seq };
        let read = async || {
            let stored = self.store().get::<Timeline>(&key).await?;
            stored.map(|stored| TimelineEvent::from_stored(seq, stored).map(Arc::new)).transpose()
        };
        match self.shared.events.get_or_read(&key, read).await? {
            Some(event) => self.as_of_now(event).await.map(Some),
            None => Ok(None),
        }
    }

    /// Keeps an event as a commit at a position wrote it.
    pub(crate) fn offer_event(&self, room_id: &OwnedRoomId, event: Arc<TimelineEvent>, written: Position) {
        let key = TimelineKey { room_id: room_id.clone(), seq: event.seq };
        self.shared.events.offer(key, Some(event), written);
    }

    /// The events at some places of a room's timeline, in the same order. Those that are not in memory are read
    /// many at once.
    pub async fn events_at(
        &self,
        room_id: &OwnedRoomId,
        seqs: &[i64],
    ) -> Result<Vec<Option<Arc<TimelineEvent>>>> {
        let read = |keys: Vec<TimelineKey>| async move {
            let stored = self.store().get_many::<Timeline>(&keys).await?;
            let events = keys.iter().zip(stored).map(|(key, stored)| {
                stored.map(|stored| TimelineEvent::from_stored(key.seq, stored).map(Arc::new)).transpose()
            });
            events.collect::<Result<Vec<_>>>()
        };
        let mut events = Vec::with_capacity(seqs.len());
        for seqs in seqs.chunks(BATCH) {
            let keys = seqs.iter().map(|&seq| TimelineKey { room_id: room_id.clone(), seq });
            for event in self.shared.events.get_or_read_many(&keys.collect::<Vec<_>>(), read).await? {
                events.push(match event {
                    Some(event) => Some(self.as_of_now(event).await?),
                    None => None,
                });
            }
        }
        Ok(events)
    }

    /// Where an event is.
    pub async fn event_place(&self, event_id: &OwnedEventId) -> Result<Option<EventPlaceRecord>> {
        Ok(self.store().get::<EventIds>(&EventKey { event_id: event_id.clone() }).await?)
    }

    /// The event of a room's timeline with this id; None also if it is in another room.
    pub async fn event(
        &self,
        room_id: &OwnedRoomId,
        event_id: &OwnedEventId,
    ) -> Result<Option<Arc<TimelineEvent>>> {
        match self.event_place(event_id).await? {
            Some(EventPlaceRecord::Timeline(in_room, seq)) if in_room == *room_id => {
                self.event_at(room_id, seq).await
            }
            _ => Ok(None),
        }
    }

    /// The root of the thread that an event is in: of its own, or of what it relates to, as an edit of a reply does.
    /// <https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts>
    pub async fn thread_of(&self, event: &TimelineEvent) -> Result<Option<OwnedEventId>> {
        if let Some(thread) = event.thread.get() {
            return Ok(thread.clone());
        }
        let mut relation = relation_of(&event.pdu);
        for _ in 1..MAX_THREAD_STEPS {
            let Some(RelatesTo { rel_type, event_id, .. }) = &relation else { break };
            if rel_type == "m.thread" {
                break;
            }
            // This is not kept: what the event relates to may come later.
            let Some(parent) = self.event(&event.pdu.room_id, event_id).await? else { return Ok(None) };
            relation = relation_of(&parent.pdu);
        }
        let thread = relation.filter(|relation| relation.rel_type == "m.thread");
        Ok(event.thread.get_or_init(|| thread.map(|relation| relation.event_id)).clone())
    }

    /// The event with this id, hidden ones included.
    pub async fn any_event(
        &self,
        room_id: &OwnedRoomId,
        event_id: &OwnedEventId,
    ) -> Result<Option<Arc<TimelineEvent>>> {
        match self.event_place(event_id).await? {
            Some(EventPlaceRecord::Hidden(in_room)) if in_room == *room_id => {
                let key = RoomEventKey { room_id: in_room, event_id: event_id.clone() };
                let record = self.store().get::<HiddenEvents>(&key).await?;
                let stored = record.map(|value| Stamped { position: Position::ZERO, value });
                stored.map(|stored| TimelineEvent::from_stored(0, stored).map(Arc::new)).transpose()
            }
            Some(EventPlaceRecord::Timeline(in_room, seq)) if in_room == *room_id => {
                self.event_at(room_id, seq).await
            }
            _ => Ok(None),
        }
    }

    /// Events after `after` and up to `up_to`, in order; at most `limit`.
    pub async fn timeline(
        &self,
        room_id: &OwnedRoomId,
        after: i64,
        up_to: i64,
        limit: usize,
    ) -> Result<Vec<Arc<TimelineEvent>>> {
        self.timeline_along(room_id, (after.saturating_add(1), up_to), false, limit).await
    }

    /// Events up to `from` and after `down_to`, newest first; at most `limit`.
    pub async fn timeline_back(
        &self,
        room_id: &OwnedRoomId,
        from: i64,
        down_to: i64,
        limit: usize,
    ) -> Result<Vec<Arc<TimelineEvent>>> {
        self.timeline_along(room_id, (from, down_to.saturating_add(1)), true, limit).await
    }

    /// Events from one place to another, both included, which is the later one or with `reverse` the earlier one.
    async fn timeline_along(
        &self,
        room_id: &OwnedRoomId,
        (mut from, to): (i64, i64),
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Arc<TimelineEvent>>> {
        let mut events = Vec::new();
        loop {
            let batch = (limit - events.len()).min(BATCH);
            let seqs: Vec<i64> = match reverse {
                true => (to..=from).rev().take(batch).collect(),
                false => (from..=to).take(batch).collect(),
            };
            let Some(&last) = seqs.last() else { return Ok(events) };
            let found = self.events_at(room_id, &seqs).await?;
            let gap = found.iter().position(Option::is_none);
            events.extend(found.into_iter().map_while(|event| event));
            from = match gap {
                None if reverse => last - 1,
                None => last + 1,
                Some(gap) => match self.next_seq(room_id, seqs[gap], to, reverse).await? {
                    Some(next) => next,
                    None => return Ok(events),
                },
            };
        }
    }

    /// The next place that holds an event, over a gap in the numbers.
    async fn next_seq(
        &self,
        room_id: &OwnedRoomId,
        from: i64,
        to: i64,
        reverse: bool,
    ) -> Result<Option<i64>> {
        let (low, high) = if reverse { (to, from) } else { (from, to) };
        let range = Range::<Timeline>::between((room_id, &low), (room_id, &(high + 1))).limit(1);
        let keys = self.store().keys(if reverse { range.reverse() } else { range }).await?;
        Ok(keys.first().map(|key| key.seq))
    }
}
