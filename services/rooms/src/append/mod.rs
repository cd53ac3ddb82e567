//! Appending to a room: the one way in which a hosted user's events come into being.
//!
//! `begin` takes the room's writer, `stage` makes, allows and numbers an event on top of what was
//! staged before, `commit` queues everything as one write-set, lets the next writer in, and waits for
//! the disk. Dropping an append leaves the room as it was.
//!
//! `make.rs` makes and allows an event, `place.rs` puts it where it belongs, with what `memberships.rs`,
//! `arrivals.rs`, `relations.rs` and `redaction.rs` add; `commit.rs` and `tell.rs` bring all that out.

mod arrivals;
mod commit;
mod make;
mod memberships;
mod place;
mod redaction;
mod relations;
mod state_size;
mod tell;

pub(crate) use relations::{RelatesTo, relation_of};

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use dashmap::Entry;
use linkspan_domain::{PowerLevels, RulesPresent, SharedPdu, StateKey as StateEntryKey};
use linkspan_storage::{
    CommitError, StorageError, WriteSet,
    catalogue::{RoomHeads, RoomKey, Rooms as RoomsTable, TransactionKey, Transactions},
    records::{RoomHeadRecord, StateDeltaRecord, ThreadRecord},
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedEventId,
    OwnedMxcUri, OwnedUserId, UInt,
    events::{StateEventType, room::member::MembershipState},
};
use tokio::sync::OwnedMutexGuard;

use crate::{
    Result, Room, Rooms, RoomsError, TimelineEvent,
    approaches::Counting,
    block_room::Blocks,
    encryption::KnownRules,
    policy::Consulted,
    reach::Arrival,
    room::{Writer, damaged},
};

/// Entries of the state that a writer remembers between two appends at most, those included that were looked for and are
/// not there: members choose which. What is used again is read again.
const MAX_STATE: usize = 4_096;

/// A request that must have its effect once only: the device, the path without its room, and the id that it gave.
/// <https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers>
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) device_id: OwnedDeviceId,
    /// The endpoint with what else stands in its path: the event type, or the event that is redacted.
    pub(crate) endpoint: String,
    pub(crate) txn_id: String,
}

/// Events on their way into a room.
pub(crate) struct Append {
    pub(crate) rooms: Rooms,
    pub(crate) room: Arc<Room>,
    writer: OwnedMutexGuard<Writer>,
    pub(crate) now: MilliSecondsSinceUnixEpoch,
    pub(crate) head: RoomHeadRecord,
    /// Entries of the state as staged, over the writer's.
    state: HashMap<StateEntryKey, Option<SharedPdu>>,
    pub(crate) staged: Vec<Arc<TimelineEvent>>,
    /// Events that a staged redaction takes the content of.
    redacted: Vec<Arc<TimelineEvent>>,
    deltas: Vec<(u64, StateDeltaRecord)>,
    /// Joined local members as staged.
    pub(crate) members: Arc<Vec<OwnedUserId>>,
    members_changed: bool,
    /// Hosted users who come in, and the membership that each had before.
    pub(crate) newcomers: Vec<(OwnedUserId, Option<OwnedEventId>)>,
    /// The invitation that was let in last, and how it reaches its invitee.
    arrival: Option<(OwnedEventId, Arrival)>,
    /// The room is made for several people, who are invited one after the other.
    pub(crate) is_for_several: bool,
    /// Whoever is being invited now comes along with this account of the same person, and is reached as it is.
    pub(crate) arrives_for: Option<OwnedUserId>,
    /// Whoever is invited wants it, and is answered and not approached.
    pub(crate) is_wanted: bool,
    /// People are being invited by their addresses, which is counted by itself.
    pub(crate) invites_by_address: bool,
    /// What is counted of people who do not know the sender.
    pub(crate) counting: Counting,
    /// What the operators' hooks have said of what is staged.
    pub(crate) consulted: Consulted,
    /// The rules on encryption that hold, as staged.
    pub(crate) present: Arc<RulesPresent>,
    /// How often platforms had changed these rules.
    rules_generation: u64,
    /// The platforms that the room is blocked for.
    pub(crate) blocks: Arc<Blocks>,
    transactions: Vec<(TransactionKey, OwnedEventId)>,
    threads: HashMap<OwnedEventId, ThreadRecord>,
    /// The roots of threads that lose the reply which was to disappear first.
    shortened: BTreeSet<OwnedEventId>,
    /// The places of events that relate to nothing any more.
    unrelated: HashSet<i64>,
    /// The events were made elsewhere: what is allowed of them is settled by the graph.
    pub(crate) from_elsewhere: bool,
    /// Guests have to leave the room.
    pub(crate) closes_to_guests: bool,
    /// The delayed event that is sent.
    pub(crate) delay_id: Option<String>,
    /// The uploads that the next event carries, as its sender says.
    pub(crate) attached: Vec<OwnedMxcUri>,
    /// The rows to write; other services may add theirs.
    pub(crate) writes: WriteSet,
}

impl Rooms {
    /// Does something anew that was not committed because what it expects has changed meanwhile: the account of
    /// who joins, or what was queued for the room before it.
    pub(crate) async fn again<A, F>(&self, attempt: impl FnMut() -> F) -> Result<A>
    where
        F: Future<Output = Result<A>>,
    {
        let contended = |error: &RoomsError| match error {
            RoomsError::Storage(StorageError::Commit(CommitError::Conflict(contended))) => Some(*contended),
            _ => None,
        };
        self.store().retry(attempt, contended).await
    }

    /// Takes the room's writer.
    pub(crate) async fn begin(&self, room: &Arc<Room>, now_ts: u64) -> Result<Append> {
        let (room, mut writer) = self.writer(room).await?;
        let members = writer.members.clone().unwrap_or_default();
        let known = self.rules_present(&room, &mut writer.rules_present).await?;
        let KnownRules { present, generation: rules_generation } = known;
        let blocks = match &writer.blocks {
            Some(blocks) => blocks.clone(),
            None => writer.blocks.insert(Arc::new(self.stored_blocks(&room.id).await?)).clone(),
        };
        let mut append = Append {
            rooms: self.clone(),
            room,
            head: writer.head.clone(),
            writer,
            now: MilliSecondsSinceUnixEpoch(UInt::try_from(now_ts).unwrap_or(UInt::MAX)),
            state: HashMap::new(),
            staged: Vec::new(),
            redacted: Vec::new(),
            deltas: Vec::new(),
            members,
            members_changed: false,
            newcomers: Vec::new(),
            arrival: None,
            is_for_several: false,
            arrives_for: None,
            is_wanted: false,
            invites_by_address: false,
            counting: Counting::default(),
            consulted: Consulted::default(),
            present,
            rules_generation,
            blocks,
            transactions: Vec::new(),
            threads: HashMap::new(),
            shortened: BTreeSet::new(),
            unrelated: HashSet::new(),
            from_elsewhere: false,
            closes_to_guests: false,
            delay_id: None,
            attached: Vec::new(),
            writes: WriteSet::new(),
        };
        if append.writer.state.len() > MAX_STATE {
            // What is still queued is not known otherwise.
            append.settle().await?;
            append.writer.state.clear();
        }
        Ok(append)
    }

    /// Adds a room that is being created to the rooms in use; false if there is one with its id.
    pub(crate) async fn adopt(&self, room: &Arc<Room>) -> Result<bool> {
        match self.shared.live.entry(room.id.clone()) {
            Entry::Occupied(_) => return Ok(false),
            Entry::Vacant(vacant) => drop(vacant.insert(room.clone())),
        }
        let exists = self.store().contains::<RoomsTable>(&RoomKey { room_id: room.id.clone() }).await;
        if !matches!(exists, Ok(false)) {
            self.drop_room(room);
        }
        Ok(!exists?)
    }
}

impl Append {
    /// Waits until everything that is queued for the room is on disk: before something is read from the
    /// disk to decide by, and before somebody is told that what they ask for is done already.
    ///
    /// If some of it has failed, so has this: what the room is in memory has never been on disk.
    pub(crate) async fn settle(&self) -> Result<()> {
        // A write-set without changes takes its turn, and costs no write.
        self.settle_and(WriteSet::new()).await
    }

    /// Does the same, and writes something that is not the room's.
    pub(crate) async fn settle_and(&self, mut writes: WriteSet) -> Result<()> {
        let key = RoomKey { room_id: self.room.id.clone() };
        writes.expect_read::<RoomHeads>(&key, self.writer.stored_head.as_deref());
        let settled = self.rooms.store().commit(writes).await;
        if settled.is_err() {
            self.rooms.drop_room(&self.room);
        }
        Ok(settled.map(drop)?)
    }

    /// Writes down for which platforms the room is blocked from now on.
    pub(crate) async fn settle_blocks(mut self, writes: WriteSet, blocks: Blocks) -> Result<()> {
        self.settle_and(writes).await?;
        self.writer.blocks = Some(Arc::new(blocks));
        Ok(())
    }

    /// Whether nothing of the room is queued yet.
    pub(crate) fn is_new_room(&self) -> bool {
        self.writer.stored_head.is_none()
    }

    /// The append of events that were made elsewhere.
    pub(crate) fn made_elsewhere(mut self) -> Self {
        self.from_elsewhere = true;
        self
    }

    /// An entry of the state as staged.
    pub(crate) async fn state_event(
        &mut self,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<SharedPdu>> {
        let key = (event_type.clone(), state_key.to_owned());
        if let Some(event) = self.state.get(&key).or_else(|| self.writer.state.get(&key)) {
            return Ok(event.clone());
        }
        let event = self.rooms.stored_state_event(&self.room.id, event_type, state_key).await?;
        self.writer.state.insert(key, event.clone());
        Ok(event)
    }

    /// An event that was staged.
    pub(crate) fn staged_event(&self, event_id: &OwnedEventId) -> Option<SharedPdu> {
        self.staged.iter().find(|event| event.pdu.event_id == *event_id).map(|event| event.pdu.clone())
    }

    /// The difference that tells a state that was staged.
    pub(crate) fn staged_delta(&self, state_id: u64) -> Option<&StateDeltaRecord> {
        self.deltas.iter().find(|(staged, _)| *staged == state_id).map(|(_, delta)| delta)
    }

    /// A user's membership as staged.
    pub(crate) async fn membership(&mut self, user_id: &ruma::UserId) -> Result<Option<MembershipState>> {
        let event = self.state_event(&StateEventType::RoomMember, user_id.as_str()).await?;
        Ok(event.and_then(|event| event.membership()))
    }

    /// The power levels as staged.
    pub(crate) async fn power_levels(&mut self) -> Result<PowerLevels> {
        let create = self.state_event(&StateEventType::RoomCreate, "").await?;
        let create = create.ok_or_else(|| damaged("a room without a create event"))?;
        let levels = self.state_event(&StateEventType::RoomPowerLevels, "").await?;
        Ok(PowerLevels::new(&self.room.rules, &create, levels.as_deref()))
    }

    /// The event that a transaction has already made; it is on disk.
    pub(crate) async fn done(
        &self,
        user_id: &OwnedUserId,
        transaction: &Transaction,
    ) -> Result<Option<OwnedEventId>> {
        let key = self.transaction_key(user_id, transaction);
        let queued = self.room.queued.lock().transactions.get(&key).cloned();
        if queued.is_some() {
            self.settle().await?;
            return Ok(queued);
        }
        Ok(self.rooms.store().get::<Transactions>(&key).await?.and_then(|done| done.event_id))
    }

    fn transaction_key(&self, user_id: &OwnedUserId, transaction: &Transaction) -> TransactionKey {
        TransactionKey {
            user_id: user_id.clone(),
            device_id: transaction.device_id.clone(),
            room_id: Some(self.room.id.clone()),
            endpoint: transaction.endpoint.clone(),
            txn_id: transaction.txn_id.clone(),
        }
    }
}

/// `{"key": "value", …}`.
pub(crate) fn object<const N: usize>(entries: [(&str, CanonicalJsonValue); N]) -> CanonicalJsonObject {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A string as a JSON value.
pub(crate) fn text(value: impl Into<String>) -> CanonicalJsonValue {
    CanonicalJsonValue::String(value.into())
}
