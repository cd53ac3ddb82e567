//! Putting an event at its place: in the timeline, and in the room's state.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use linkspan_domain::{SharedPdu, StateKey as StateEntryKey};
use linkspan_storage::{
    Position, Range, Stamped,
    catalogue::{
        CurrentState, EventIds, EventKey, StateKey, StateLog, StateLogKey, Timeline, TimelineKey,
        Transactions,
    },
    records::{
        EventPlaceRecord, EventRecord, FLAG_WITHHELD, RoomHeadRecord, StateDeltaRecord, StateEntryRecord,
        TransactionRecord,
    },
};
use ruma::{OwnedEventId, events::StateEventType};

use super::{Append, Transaction};
use crate::{
    Result, TimelineEvent,
    disappearing::timer_entry,
    state::{chain_length, put_delta},
};

impl Append {
    /// Puts an allowed event at the end of the room.
    pub(super) async fn accept(
        &mut self,
        pdu: SharedPdu,
        json: String,
        transaction: Option<Transaction>,
    ) -> Result<()> {
        let seq = self.head.seq + 1;
        let state_before = self.head.state_id;
        let state_after = match pdu.state_entry() {
            Some(entry) => {
                let change = (entry.0.to_string(), entry.1.clone(), Some(pdu.event_id.clone()));
                self.set_entry(entry, Some((&pdu, seq))).await?;
                self.new_state(state_before, vec![change]).await?
            }
            None => state_before,
        };
        let sent_by = match (&transaction, &self.delay_id) {
            (Some(transaction), _) => format!("{}\0{}", transaction.device_id, transaction.txn_id),
            (None, Some(delay_id)) => format!("\0\0{delay_id}"),
            (None, None) => String::new(),
        };
        if let Some(transaction) = transaction {
            let key = self.transaction_key(&pdu.sender, &transaction);
            let ts = self.now.get().into();
            let done = TransactionRecord { event_id: Some(pdu.event_id.clone()), ts };
            self.writes.put::<Transactions>(&key, &done);
            self.transactions.push((key, pdu.event_id.clone()));
        }
        let event_id = pdu.event_id.clone();
        let flags = if pdu.withheld { FLAG_WITHHELD } else { 0 };
        let timer = self.state_event(&timer_entry(), "").await?;
        let disappears_ts = self.disappears_ts(&pdu, timer.as_ref()).await?;
        self.note_carried(&pdu, disappears_ts).await?;
        let record =
            EventRecord { state_before, state_after, flags, sent_by, event_id, pdu: json, disappears_ts };
        self.put_event(pdu.clone(), seq, record).await?;
        let mut extremities = self.head.extremities.clone();
        extremities.retain(|event_id| !pdu.prev_events.contains(event_id));
        extremities.push(pdu.event_id.clone());
        self.head =
            RoomHeadRecord { seq, extremities, depth: pdu.depth, state_id: state_after, ..self.head.clone() };
        Ok(())
    }

    /// Writes an event of the timeline and what hangs on it: its relation, the redaction it makes.
    pub(crate) async fn put_event(&mut self, pdu: SharedPdu, seq: i64, record: EventRecord) -> Result<()> {
        let place = EventPlaceRecord::Timeline(self.room.id.clone(), seq);
        self.writes.put::<EventIds>(&EventKey { event_id: pdu.event_id.clone() }, &place);
        let (state_before, state_after, sent_by) =
            (record.state_before, record.state_after, record.sent_by.clone());
        let disappears_ts = record.disappears_ts;
        let key = TimelineKey { room_id: self.room.id.clone(), seq };
        self.writes.put::<Timeline>(&key, &Stamped::pending(record));
        self.relate(&pdu, seq, disappears_ts).await?;
        if let Some(disappears_ts) = disappears_ts {
            self.queue_disappearing(disappears_ts, seq);
        }
        if let Some(redacts) = pdu.redacts.clone() {
            self.redact(&pdu, &redacts, seq).await?;
        }
        self.staged.push(Arc::new(TimelineEvent {
            seq,
            position: Position::PENDING,
            state_before,
            state_after,
            sent_by,
            disappears_ts,
            pdu,
            thread: OnceLock::new(),
        }));
        Ok(())
    }

    /// Changes an entry of the current state: to an event at a place of the timeline (0: hidden), or to nothing.
    pub(crate) async fn set_entry(
        &mut self,
        entry: StateEntryKey,
        event: Option<(&SharedPdu, i64)>,
    ) -> Result<()> {
        self.count_entry(&entry, event.map(|(pdu, _)| pdu)).await?;
        if entry.0 == StateEventType::RoomMember {
            match event {
                Some((pdu, seq)) => self.change_membership(pdu, seq).await?,
                None => self.remove_membership(&entry.1).await?,
            }
        }
        if entry.0 == StateEventType::RoomGuestAccess && entry.1.is_empty() {
            self.note_guest_access(event.map(|(pdu, _)| pdu)).await?;
        }
        if entry.0 == StateEventType::RoomThirdPartyInvite {
            self.end_changed_invitation(&entry.1).await?;
        }
        let (event_type, state_key) = (entry.0.to_string(), entry.1.clone());
        let key = StateKey {
            room_id: self.room.id.clone(),
            event_type: event_type.clone(),
            state_key: state_key.clone(),
        };
        let record = StateEntryRecord {
            event_id: event.map(|(pdu, _)| pdu.event_id.clone()),
            seq: event.map_or(0, |(_, seq)| seq),
        };
        match event {
            Some(_) => self.writes.put::<CurrentState>(&key, &record),
            None => self.writes.delete::<CurrentState>(&key),
        }
        let room_id = self.room.id.clone();
        let log_key = StateLogKey { room_id, position: Position::PENDING, event_type, state_key };
        self.writes.put::<StateLog>(&log_key, &record);
        self.state.insert(entry, event.map(|(pdu, _)| pdu.clone()));
        Ok(())
    }

    /// Numbers the state that differs from `parent` by `changes`; returns its number.
    pub(crate) async fn new_state(
        &mut self,
        parent: u64,
        changes: Vec<(String, String, Option<OwnedEventId>)>,
    ) -> Result<u64> {
        let until_whole = self.until_whole(parent).await?;
        let state_id = self.head.last_state_id + 1;
        let delta = if until_whole > 0 {
            StateDeltaRecord { parent: Some(parent), until_whole: until_whole - 1, changes }
        } else if parent == self.head.state_id {
            self.whole_state(changes).await?
        } else {
            self.whole_state_of(parent, changes).await?
        };
        put_delta(&mut self.writes, &self.room.id, state_id, &delta);
        self.deltas.push((state_id, delta));
        self.head.last_state_id = state_id;
        Ok(state_id)
    }

    /// How many states may be told by their differences after this one.
    async fn until_whole(&self, state_id: u64) -> Result<u32> {
        if let Some(delta) = self.staged_delta(state_id) {
            return Ok(delta.until_whole);
        }
        let found = self.rooms.until_whole(&self.room.id, state_id).await;
        if found.is_err() {
            // If what made the state has failed while this was built on it, this is to be done anew.
            self.settle().await?;
        }
        found
    }

    /// A state of a fork, whole.
    async fn whole_state_of(
        &self,
        parent: u64,
        changes: Vec<(String, String, Option<OwnedEventId>)>,
    ) -> Result<StateDeltaRecord> {
        let mut entries: HashMap<(String, String), Option<OwnedEventId>> = self
            .rooms
            .state_map_staged(self, parent)
            .await?
            .into_iter()
            .map(|((event_type, state_key), event_id)| ((event_type.to_string(), state_key), Some(event_id)))
            .collect();
        entries.extend(changes.into_iter().map(|(event_type, key, event_id)| ((event_type, key), event_id)));
        Ok(whole(entries))
    }

    /// The whole state as staged, and `changes`: what is on disk, and over it what is queued and staged.
    async fn whole_state(
        &self,
        changes: Vec<(String, String, Option<OwnedEventId>)>,
    ) -> Result<StateDeltaRecord> {
        let rows = self.rooms.store().range::<CurrentState>(Range::prefix((&self.room.id,))).await?;
        let mut entries: HashMap<(String, String), Option<OwnedEventId>> =
            rows.into_iter().map(|(key, entry)| ((key.event_type, key.state_key), entry.event_id)).collect();
        for ((event_type, state_key), event) in self.writer.state.iter().chain(&self.state) {
            let event_id = event.as_ref().map(|event| event.event_id.clone());
            entries.insert((event_type.to_string(), state_key.clone()), event_id);
        }
        entries.extend(changes.into_iter().map(|(event_type, key, event_id)| ((event_type, key), event_id)));
        Ok(whole(entries))
    }
}

fn whole(entries: HashMap<(String, String), Option<OwnedEventId>>) -> StateDeltaRecord {
    let changes: Vec<_> = entries
        .into_iter()
        .filter(|(_, event_id)| event_id.is_some())
        .map(|((event_type, state_key), event_id)| (event_type, state_key, event_id))
        .collect();
    StateDeltaRecord { parent: None, until_whole: chain_length(changes.len()), changes }
}
