//! Appending to a room: the one way in which a hosted user's events come into being.
//!
//! `begin` takes the room's writer, `stage` makes, allows and numbers an event on top of what was
//! staged before, `commit` queues everything as one write-set, lets the next writer in, and waits for
//! the disk. Dropping an append leaves the room as it was.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, atomic::Ordering},
};

use dashmap::Entry;
use linkspan_accounts::AccountsError;
use linkspan_domain::{
    Draft, Pdu, Place, PowerLevels, RulesPresent, SharedPdu, StateKey as StateEntryKey, auth_event_keys,
    authorize, check_form, redact, stripped_state_event,
};
use linkspan_inbox::point;
use linkspan_storage::{
    CommitError, Finish, Notice, Position, Range, Stamped, StorageError, Ticket, WriteSet,
    catalogue::{
        BigRooms, CurrentState, EventIds, EventKey, Members, Memberships, RelationKey, Relations,
        RoomEventKey, RoomHeads, RoomKey, RoomUserKey, Rooms as RoomsTable, StateKey, StateLog, StateLogKey,
        Threads, Timeline, TimelineKey, TransactionKey, Transactions, UserRoomKey,
    },
    records::{
        EventPlaceRecord, EventRecord, FLAG_REDACTED, InboxPointer, MemberRecord, MembershipRecord,
        RelationRecord, RoomHeadRecord, StateDeltaRecord, StateEntryRecord, ThreadRecord, TransactionRecord,
    },
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedEventId,
    OwnedUserId, UInt,
    events::{StateEventType, TimelineEventType},
};
use serde::Deserialize;
use tokio::sync::OwnedMutexGuard;

use crate::{
    Result, Room, Rooms, RoomsError, TimelineEvent,
    bundle::can_root_thread,
    permits::{Asked, Permits},
    room::{BIG_ROOM_MEMBERS, Writer, damaged},
    server_acl::{denies, is_own_leave, shuts_out_its_sender},
    state::{chain_length, put_delta},
    unchanged::Changing,
};

/// Events that an event follows at most.
/// <https://spec.matrix.org/v1.19/rooms/v12/#event-format>
const MAX_PREV_EVENTS: usize = 20;
/// The longest type of a relation that is noted, in bytes.
const MAX_REL_TYPE_BYTES: usize = 255;
/// How often something is tried that others come in between.
const TRIES: usize = 5;

/// State shown to those who are invited or knock.
/// <https://spec.matrix.org/v1.19/client-server-api/#stripped-state>
const STRIPPED_TYPES: [StateEventType; 9] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
    StateEventType::RoomPowerLevels,
    StateEventType::SpaceParent,
];

/// A request that must have its effect once only: the device, the path without its room, and the id that it gave.
/// <https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers>
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) device_id: OwnedDeviceId,
    /// The endpoint with what else stands in its path: the event type, or the event that is redacted.
    pub(crate) endpoint: String,
    pub(crate) txn_id: String,
}

/// Does something anew that was not committed because what it expects has changed meanwhile: the account of who joins,
/// or what was queued for the room before it.
pub(crate) async fn again<A, F>(mut attempt: impl FnMut() -> F) -> Result<A>
where
    F: Future<Output = Result<A>>,
{
    for _ in 1..TRIES {
        match attempt().await {
            Err(RoomsError::Storage(StorageError::Commit(CommitError::Conflict))) => {}
            outcome => return outcome,
        }
    }
    attempt().await
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
    /// The rules on encryption that hold, as staged.
    pub(crate) present: Arc<RulesPresent>,
    transactions: Vec<(TransactionKey, OwnedEventId)>,
    threads: HashMap<OwnedEventId, ThreadRecord>,
    /// What changes of the room with what is staged.
    changing: Vec<Changing>,
    /// The events were made elsewhere: what is allowed of them is settled by the graph.
    from_elsewhere: bool,
    /// Guests have to leave the room.
    pub(crate) closes_to_guests: bool,
    /// The delayed event that is sent.
    pub(crate) delay_id: Option<String>,
    /// The rows to write; other services may add theirs.
    pub(crate) writes: WriteSet,
}

impl Rooms {
    /// Takes the room's writer.
    pub(crate) async fn begin(&self, room: &Arc<Room>, now_ts: u64) -> Result<Append> {
        let mut writer = room.writer.clone().lock_owned().await;
        let members = self.load_local_members(room).await?;
        let present = self.rules_present(room, &mut writer.rules_present).await?;
        Ok(Append {
            rooms: self.clone(),
            room: room.clone(),
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
            present,
            transactions: Vec::new(),
            threads: HashMap::new(),
            changing: Vec::new(),
            from_elsewhere: false,
            closes_to_guests: false,
            delay_id: None,
            writes: WriteSet::new(),
        })
    }

    /// Adds a room that is being created to the rooms in use; false if there is one with its id.
    pub(crate) async fn adopt(&self, room: &Arc<Room>) -> Result<bool> {
        match self.shared.live.entry(room.id.clone()) {
            Entry::Occupied(_) => return Ok(false),
            Entry::Vacant(vacant) => drop(vacant.insert(room.clone())),
        }
        let exists = self.store().contains::<RoomsTable>(&RoomKey { room_id: room.id.clone() }).await;
        if !matches!(exists, Ok(false)) {
            self.disown(room);
        }
        Ok(!exists?)
    }

    /// Takes a room that came to nothing out of the rooms in use.
    pub(crate) fn disown(&self, room: &Arc<Room>) {
        self.shared.live.remove_if(&room.id, |_, live| Arc::ptr_eq(live, room));
    }
}

impl Append {
    /// Waits until everything that is queued for the room is on disk: before something is read from the
    /// disk to decide by, and before somebody is told that what they ask for is done already.
    pub(crate) async fn settle(&self) -> Result<()> {
        // A write-set without changes takes its turn, and costs no write.
        self.rooms.store().submit(WriteSet::new()).committed().await?;
        Ok(())
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
        let event = self.rooms.state_event(&self.room.id, event_type, state_key).await?;
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
    pub(crate) async fn membership(&mut self, user_id: &ruma::UserId) -> Result<Option<String>> {
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
        if let Some(event_id) = self.writer.transactions.get(&key) {
            self.settle().await?;
            return Ok(Some(event_id.clone()));
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

    /// Makes an event of `sender`, checks that it is allowed, and puts it at the end of the room.
    pub(crate) async fn stage(
        &mut self,
        sender: &OwnedUserId,
        mut draft: Draft,
        transaction: Option<Transaction>,
    ) -> Result<SharedPdu> {
        self.rooms.check_may_send(&self.room.id, sender, &draft).await?;
        if draft.event_type == TimelineEventType::RoomMember {
            self.check_member_account(sender, &draft).await?;
        }
        self.keep_words_out(&mut draft);
        if draft.redacts.is_some() {
            // The event, and whether it is redacted already, are read from the disk.
            self.settle().await?;
        }
        let (pdu, json) = match self.permit(sender, &draft) {
            Some(auth_events) => self.make(sender, draft, auth_events)?,
            None => self.make_if_allowed(sender, draft).await?,
        };
        self.check_encryption_rules(&pdu).await?;
        self.accept(pdu.clone(), json, transaction).await?;
        Ok(pdu)
    }

    /// Stages a user's membership, as `sender` sets it.
    pub(crate) async fn stage_member(
        &mut self,
        sender: &OwnedUserId,
        user_id: &OwnedUserId,
        content: CanonicalJsonObject,
    ) -> Result<()> {
        let draft = Draft::state(TimelineEventType::RoomMember, user_id.as_str(), content);
        self.stage(sender, draft, None).await.map(|_| ())
    }

    /// Whoever deactivates an account leaves the rooms that the account is in then: it comes into no other any more.
    /// Guests come only where they may, and bring nobody.
    async fn check_member_account(&mut self, sender: &OwnedUserId, draft: &Draft) -> Result<()> {
        let membership = draft.content.get("membership").and_then(CanonicalJsonValue::as_str);
        let user_id = draft.state_key.as_deref().and_then(|user_id| OwnedUserId::try_from(user_id).ok());
        let (Some(membership @ ("join" | "invite" | "knock")), Some(user_id)) = (membership, user_id) else {
            return Ok(());
        };
        let accounts = &self.rooms.shared.accounts;
        if membership == "invite" && accounts.is_guest(sender).await? {
            return Err(AccountsError::Guest("guests cannot invite anybody").into());
        }
        if !self.rooms.shared.platforms.hosts(user_id.server_name()) {
            return Ok(());
        }
        match accounts.expect_active(&mut self.writes, &user_id).await? {
            Some(account) if account.guest => self.check_guest_membership(membership).await,
            _ => Ok(()),
        }
    }

    /// The events that allow a message, if such a message of its sender was allowed in this very state before.
    pub(crate) fn permit(&self, sender: &OwnedUserId, draft: &Draft) -> Option<Vec<OwnedEventId>> {
        self.state.is_empty().then(|| self.writer.permits.get(&Asked::of(sender, draft)?)).flatten()
    }

    /// Makes an event if the state as staged allows it.
    async fn make_if_allowed(&mut self, sender: &OwnedUserId, draft: Draft) -> Result<(SharedPdu, String)> {
        self.check_server_acl(sender, &draft).await?;
        let asked = Asked::of(sender, &draft);
        let allowing = self.allowing_events(sender, &draft).await?;
        let auth_events = allowing.iter().map(|(_, event)| event.event_id.clone()).collect();
        let (pdu, json) = self.make(sender, draft, auth_events)?;
        let create = self.state_event(&StateEventType::RoomCreate, "").await?;
        check_form(&self.room.rules, &pdu, create.as_ref().unwrap_or(&pdu))?;
        self.authorize(&pdu, allowing, create)?;
        // Only what the state says that the next append will find.
        if let Some(asked) = asked.filter(|_| self.state.is_empty()) {
            self.writer.permits.note(asked, &pdu.auth_events);
        }
        Ok((pdu, json))
    }

    /// The events of the state, as staged, that allow or forbid what is drafted.
    async fn allowing_events(
        &mut self,
        sender: &OwnedUserId,
        draft: &Draft,
    ) -> Result<Vec<(StateEntryKey, SharedPdu)>> {
        let content = serde_json::value::to_raw_value(&draft.content)
            .map_err(|error| RoomsError::BadJson(error.to_string()))?;
        let state_key = draft.state_key.as_deref();
        let keys = auth_event_keys(&self.room.rules, &draft.event_type, sender, state_key, &content)?;
        let mut allowing = Vec::with_capacity(keys.len());
        for (event_type, state_key) in keys {
            if let Some(event) = self.state_event(&event_type, &state_key).await? {
                allowing.push(((event_type, state_key), event));
            }
        }
        Ok(allowing)
    }

    /// Makes the event that follows the newest ends of the room.
    fn make(
        &self,
        sender: &OwnedUserId,
        draft: Draft,
        auth_events: Vec<OwnedEventId>,
    ) -> Result<(SharedPdu, String)> {
        let rules = &self.room.rules;
        // An event may not follow more.
        let ends = &self.head.extremities;
        let prev_events = ends[ends.len().saturating_sub(MAX_PREV_EVENTS)..].to_vec();
        let place = Place { prev_events, auth_events, depth: self.head.depth + 1 };
        let is_create = draft.event_type == TimelineEventType::RoomCreate;
        let hash_names_room = is_create && linkspan_domain::room_id_is_hash(rules);
        let room_id = (!hash_names_room).then_some(&self.room.id);
        let (pdu, json) = draft.into_pdu(rules, room_id, sender, self.now, place)?;
        Ok((Arc::new(pdu), json))
    }

    /// Checks an event against the state as staged: its create event, and those of its entries that matter.
    fn authorize(
        &self,
        pdu: &SharedPdu,
        mut allowing: Vec<(StateEntryKey, SharedPdu)>,
        create: Option<SharedPdu>,
    ) -> Result<()> {
        // In version 12 it is no auth event, but the rules ask for it all the same.
        allowing.extend(create.map(|create| ((StateEventType::RoomCreate, String::new()), create)));
        authorize(&self.room.rules, pdu, |event_type, state_key| {
            let entry = allowing.iter().find(|((of_type, key), _)| of_type == event_type && key == state_key);
            entry.map(|(_, event)| event.clone())
        })?;
        Ok(())
    }

    /// Servers of a room keep out whom its access list denies; so do hosted platforms among themselves. Everybody may
    /// leave all the same, as a server lets its own users leave whatever other servers make of it: whoever could not
    /// would go on receiving what is written there. Nobody may shut out the own platform.
    /// <https://spec.matrix.org/v1.19/client-server-api/#server-access-control-lists-acls-for-rooms>
    async fn check_server_acl(&mut self, sender: &OwnedUserId, draft: &Draft) -> Result<()> {
        let platform = sender.server_name();
        if shuts_out_its_sender(draft, sender) {
            return Err(RoomsError::BadJson(format!("this access list denies your own server, {platform}")));
        }
        let acl = self.state_event(&StateEventType::RoomServerAcl, "").await?;
        if !denies(acl.as_ref(), sender) || is_own_leave(draft, sender) {
            return Ok(());
        }
        Err(RoomsError::Forbidden(format!("this room's server access list denies {platform}")))
    }

    /// Puts an allowed event at the end of the room.
    async fn accept(&mut self, pdu: SharedPdu, json: String, transaction: Option<Transaction>) -> Result<()> {
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
        let states = (state_before, state_after);
        self.put_event(pdu.clone(), json, seq, states, (0, sent_by)).await?;
        let mut extremities = self.head.extremities.clone();
        extremities.retain(|event_id| !pdu.prev_events.contains(event_id));
        extremities.push(pdu.event_id.clone());
        self.head =
            RoomHeadRecord { seq, extremities, depth: pdu.depth, state_id: state_after, ..self.head.clone() };
        Ok(())
    }

    /// Writes an event of the timeline and what hangs on it: its relation, the redaction it makes.
    pub(crate) async fn put_event(
        &mut self,
        pdu: SharedPdu,
        json: String,
        seq: i64,
        (state_before, state_after): (u64, u64),
        (flags, sent_by): (u8, String),
    ) -> Result<()> {
        let place = EventPlaceRecord::Timeline(self.room.id.clone(), seq);
        self.writes.put::<EventIds>(&EventKey { event_id: pdu.event_id.clone() }, &place);
        let record = EventRecord {
            state_before,
            state_after,
            flags,
            sent_by: sent_by.clone(),
            event_id: pdu.event_id.clone(),
            pdu: json,
        };
        let key = TimelineKey { room_id: self.room.id.clone(), seq };
        self.writes.put::<Timeline>(&key, &Stamped::pending(record));
        self.relate(&pdu, seq).await?;
        if let Some(redacts) = pdu.redacts.clone() {
            self.redact(&pdu, &redacts, seq).await?;
        }
        self.staged.push(Arc::new(TimelineEvent {
            seq,
            position: Position::PENDING,
            state_before,
            state_after,
            sent_by,
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
        if entry.0 == StateEventType::RoomMember {
            match event {
                Some((pdu, seq)) => self.change_membership(pdu, seq).await?,
                None => self.remove_membership(&entry.1).await?,
            }
        }
        if entry.0 == StateEventType::RoomGuestAccess && entry.1.is_empty() {
            self.note_guest_access(event.map(|(pdu, _)| pdu)).await?;
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
        let until_whole = match self.staged_delta(parent) {
            Some(delta) => delta.until_whole,
            None => self.rooms.until_whole(&self.room.id, parent).await?,
        };
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

    /// The membership of a user has gone from the state: only state resolution does that.
    async fn remove_membership(&mut self, state_key: &str) -> Result<()> {
        let Ok(user_id) = OwnedUserId::try_from(state_key) else { return Ok(()) };
        let before = self.membership(&user_id).await?.unwrap_or_default();
        self.note_rule(&user_id, &before, "");
        self.head.joined = self.head.joined.saturating_sub(u64::from(before == "join"));
        self.head.invited = self.head.invited.saturating_sub(u64::from(before == "invite"));
        let room_id = self.room.id.clone();
        self.writes.delete::<Members>(&RoomUserKey { room_id: room_id.clone(), user_id: user_id.clone() });
        if self.rooms.shared.platforms.hosts(user_id.server_name()) {
            let key = UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
            self.writes.delete::<Memberships>(&key);
            self.list_as_big(&key, false);
            self.point(&user_id, InboxPointer::Room(room_id));
            Arc::make_mut(&mut self.members).retain(|member| *member != user_id);
            self.members_changed = true;
        }
        Ok(())
    }

    async fn change_membership(&mut self, pdu: &SharedPdu, seq: i64) -> Result<()> {
        let user_id: OwnedUserId = pdu
            .state_key
            .as_deref()
            .and_then(|user_id| user_id.try_into().ok())
            .ok_or_else(|| RoomsError::Invalid("the state key of a membership is a user id".into()))?;
        let earlier = self.state_event(&StateEventType::RoomMember, user_id.as_str()).await?;
        let before = earlier.as_ref().and_then(|event| event.membership()).unwrap_or_default();
        let membership = pdu.membership().unwrap_or_default();
        let count = |counter: &mut u64, kind: &str| {
            *counter = counter.saturating_sub(u64::from(before == kind)) + u64::from(membership == kind);
        };
        count(&mut self.head.joined, "join");
        count(&mut self.head.invited, "invite");
        self.note_rule(&user_id, &before, &membership);
        let member = MemberRecord { membership: membership.clone(), event_id: pdu.event_id.clone(), seq };
        let key = RoomUserKey { room_id: self.room.id.clone(), user_id: user_id.clone() };
        self.writes.put::<Members>(&key, &member);
        if !self.rooms.shared.platforms.hosts(user_id.server_name()) {
            return Ok(());
        }
        let stripped_state = match membership.as_str() {
            "invite" | "knock" => self.stripped_state(pdu).await?,
            _ => Vec::new(),
        };
        let key = UserRoomKey { user_id: user_id.clone(), room_id: self.room.id.clone() };
        let record = MembershipRecord {
            membership: membership.clone(),
            event_id: pdu.event_id.clone(),
            seq,
            sender: pdu.sender.clone(),
            stripped_state,
            forgotten: false,
        };
        self.writes.put::<Memberships>(&key, &Stamped::pending(record));
        self.point(&user_id, InboxPointer::Room(self.room.id.clone()));
        if before != "join" && membership == "join" {
            Arc::make_mut(&mut self.members).push(user_id.clone());
            self.members_changed = true;
            self.newcomers.push((user_id.clone(), earlier.map(|event| event.event_id.clone())));
            if self.room.is_big() {
                self.list_as_big(&key, true);
            }
        }
        if before == "join" && membership != "join" {
            Arc::make_mut(&mut self.members).retain(|member| *member != user_id);
            self.members_changed = true;
            self.list_as_big(&key, false);
        }
        Ok(())
    }

    /// Lists the room among a user's rooms that are read instead of fanned out to, or takes it off the list.
    fn list_as_big(&mut self, key: &UserRoomKey, is_listed: bool) {
        match is_listed {
            true => self.writes.put::<BigRooms>(key, &()),
            false => self.writes.delete::<BigRooms>(key),
        }
        self.writes.notify(Notice::BigRooms(key.user_id.clone()));
    }

    fn point(&mut self, user_id: &OwnedUserId, pointer: InboxPointer) {
        point(&mut self.writes, user_id, pointer);
    }

    async fn stripped_state(&mut self, member: &Pdu) -> Result<Vec<String>> {
        let mut events = Vec::new();
        for event_type in STRIPPED_TYPES {
            if let Some(event) = self.state_event(&event_type, "").await? {
                events.push(stripped_state_event(&event));
            }
        }
        if let Some(sender) = self.state_event(&StateEventType::RoomMember, member.sender.as_str()).await?
            && Some(member.sender.as_str()) != member.state_key.as_deref()
        {
            events.push(stripped_state_event(&sender));
        }
        events.push(stripped_state_event(member));
        Ok(events)
    }

    /// Notes the event's relation to its parent.
    /// <https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events>
    async fn relate(&mut self, pdu: &Pdu, seq: i64) -> Result<()> {
        let Some(relation) = relation_of(pdu) else { return Ok(()) };
        let RelatesTo { rel_type, event_id: parent, key } = relation;
        if rel_type == "m.thread" {
            let thread_key = RoomEventKey { room_id: self.room.id.clone(), event_id: parent.clone() };
            let mut thread = self.thread(&thread_key).await?;
            if thread.count == 0 && !self.from_elsewhere {
                self.check_thread_root(&parent).await?;
            }
            thread.latest_seq = seq;
            thread.count += 1;
            match thread.participants.iter_mut().find(|(sender, _)| *sender == pdu.sender) {
                Some((_, replies)) => *replies += 1,
                None => thread.participants.push((pdu.sender.clone(), 1)),
            }
            self.writes.put::<Threads>(&thread_key, &thread);
            self.threads.insert(parent.clone(), thread);
        }
        let relation_key = RelationKey { room_id: self.room.id.clone(), parent, rel_type, seq };
        let record = RelationRecord {
            event_id: pdu.event_id.clone(),
            event_type: pdu.event_type.to_string(),
            sender: pdu.sender.clone(),
            key,
        };
        self.writes.put::<Relations>(&relation_key, &record);
        self.changing.push(self.room.unchanged.relations.change(self.rooms.store()));
        Ok(())
    }

    /// Refuses to start a thread at what relates to another event.
    /// <https://spec.matrix.org/v1.19/client-server-api/#validation-of-mthread-relationships>
    async fn check_thread_root(&self, root: &OwnedEventId) -> Result<()> {
        match self.rooms.event(&self.room.id, root).await? {
            Some(root) if !can_root_thread(&root.pdu) => Err(RoomsError::NoThreadRoot),
            _ => Ok(()),
        }
    }

    /// A thread as staged.
    async fn thread(&self, key: &RoomEventKey) -> Result<ThreadRecord> {
        if let Some(thread) =
            self.threads.get(&key.event_id).or_else(|| self.writer.threads.get(&key.event_id))
        {
            return Ok(thread.clone());
        }
        let thread = self.rooms.store().get::<Threads>(key).await?;
        Ok(thread.unwrap_or(ThreadRecord { latest_seq: 0, count: 0, participants: Vec::new() }))
    }

    /// Takes the content of an event away, if the sender of the redaction, which is at `seq`, may do that.
    /// <https://spec.matrix.org/v1.19/rooms/v12/#handling-redactions>
    async fn redact(&mut self, redaction: &Pdu, redacts: &OwnedEventId, seq: i64) -> Result<()> {
        let Some(target) = self.rooms.event(&self.room.id, redacts).await? else {
            if self.from_elsewhere {
                self.await_redacted(redacts, seq);
            }
            return Ok(());
        };
        match self.may_redact(redaction, &target.pdu).await {
            Err(RoomsError::Storage(error)) => return Err(error.into()),
            Err(_) if self.from_elsewhere => return Ok(()),
            allowed => allowed?,
        }
        let key = TimelineKey { room_id: self.room.id.clone(), seq: target.seq };
        let Some(mut stored) = self.rooms.store().get::<Timeline>(&key).await? else { return Ok(()) };
        if stored.value.flags & FLAG_REDACTED != 0 {
            return Ok(());
        }
        stored.value.pdu = redact(&stored.value.pdu, &self.room.rules, &redaction.event_id)
            .map_err(|error| RoomsError::BadJson(error.to_string()))?;
        stored.value.flags |= FLAG_REDACTED;
        self.writes.put::<Timeline>(&key, &stored);
        if let Some(relation) = relation_of(&target.pdu) {
            self.unrelate(&target, relation).await?;
        }
        let redacted = Arc::new(TimelineEvent::from_stored(target.seq, stored)?);
        if let Some(entry) = redacted.pdu.state_entry() {
            let current = self.state_event(&entry.0, &entry.1).await?;
            if current.is_some_and(|current| current.event_id == redacted.pdu.event_id) {
                if entry.0 == StateEventType::RoomGuestAccess && entry.1.is_empty() {
                    self.note_guest_access(Some(&redacted.pdu)).await?;
                }
                self.state.insert(entry, Some(redacted.pdu.clone()));
            }
        }
        self.redacted.push(redacted);
        Ok(())
    }

    /// Refuses if a redaction may not take the content of an event.
    pub(crate) async fn may_redact(&mut self, redaction: &Pdu, target: &Pdu) -> Result<()> {
        // What others sent needs power. Of events made elsewhere it is known only that who may speak for
        // the sender's server let them pass.
        let own = match self.from_elsewhere {
            true => target.sender.server_name() == redaction.sender.server_name(),
            false => target.sender == redaction.sender,
        };
        if !own {
            let levels = self.power_levels().await?;
            if levels.user(&redaction.sender) < levels.needed_to_redact() {
                return Err(RoomsError::Forbidden("you may not redact what others have sent".into()));
            }
        }
        if target.event_type == TimelineEventType::RoomCreate {
            return Err(RoomsError::Forbidden("the create event of a room cannot be redacted".into()));
        }
        self.check_redacted(target)
    }

    async fn unrelate(&mut self, target: &TimelineEvent, relation: RelatesTo) -> Result<()> {
        let RelatesTo { rel_type, event_id: parent, .. } = relation;
        if rel_type == "m.thread" {
            let key = RoomEventKey { room_id: self.room.id.clone(), event_id: parent.clone() };
            let mut thread = self.thread(&key).await?;
            thread.count = thread.count.saturating_sub(1);
            if let Some((_, replies)) =
                thread.participants.iter_mut().find(|(sender, _)| *sender == target.pdu.sender)
            {
                *replies = replies.saturating_sub(1);
            }
            thread.participants.retain(|(_, replies)| *replies > 0);
            if thread.latest_seq == target.seq {
                thread.latest_seq = self.reply_before(&key, target.seq).await?;
            }
            self.writes.put::<Threads>(&key, &thread);
            self.threads.insert(parent.clone(), thread);
        }
        let room_id = self.room.id.clone();
        self.changing.push(self.room.unchanged.relations.change(self.rooms.store()));
        self.writes.delete::<Relations>(&RelationKey { room_id, parent, rel_type, seq: target.seq });
        Ok(())
    }

    /// The place of the last reply of a thread before `seq`; 0 if there is none.
    async fn reply_before(&self, root: &RoomEventKey, seq: i64) -> Result<i64> {
        let rel_type = "m.thread".to_owned();
        let range = Range::<Relations>::between(
            (&root.room_id, &root.event_id, &rel_type, &i64::MIN),
            (&root.room_id, &root.event_id, &rel_type, &seq),
        );
        let keys = self.rooms.store().keys(range.reverse().limit(1)).await?;
        Ok(keys.first().map_or(0, |key| key.seq))
    }

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

    /// Points the inboxes of all joined local members at the room, or, in a big room, wakes who watches it.
    fn tell_members(&mut self) {
        self.writes.notify(Notice::Room(self.room.id.clone()));
        if self.room.is_big() {
            return;
        }
        if self.members.len() > BIG_ROOM_MEMBERS {
            let mut record = self.room.record.clone();
            record.big = true;
            self.writes.put::<RoomsTable>(&RoomKey { room_id: self.room.id.clone() }, &record);
            for user_id in self.members.clone().iter() {
                let key = UserRoomKey { user_id: user_id.clone(), room_id: self.room.id.clone() };
                self.list_as_big(&key, true);
            }
            self.room.big.store(true, Ordering::Release);
        }
        for user_id in self.members.clone().iter() {
            self.point(user_id, InboxPointer::Room(self.room.id.clone()));
        }
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
    /// It is not on disk. The room in memory is ahead of the disk: the next who asks loads it anew.
    fn fail(self) {
        self.rooms.shared.disowned.insert(self.room.id.clone(), self.room.unchanged.clone());
        self.rooms.disown(&self.room);
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

fn whole(entries: HashMap<(String, String), Option<OwnedEventId>>) -> StateDeltaRecord {
    let changes: Vec<_> = entries
        .into_iter()
        .filter(|(_, event_id)| event_id.is_some())
        .map(|((event_type, state_key), event_id)| (event_type, state_key, event_id))
        .collect();
    StateDeltaRecord { parent: None, until_whole: chain_length(changes.len()), changes }
}

/// `m.relates_to` of an event.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RelatesTo {
    pub(crate) rel_type: String,
    pub(crate) event_id: OwnedEventId,
    pub(crate) key: Option<String>,
}

/// The relation of an event to its parent, if it has one.
pub(crate) fn relation_of(pdu: &Pdu) -> Option<RelatesTo> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: Option<RelatesTo>,
    }
    if pdu.state_key.is_some() {
        return None;
    }
    pdu.content_as::<Content>()?.relates_to.filter(|relation| relation.rel_type.len() <= MAX_REL_TYPE_BYTES)
}

/// `{"key": "value", …}`.
pub(crate) fn object<const N: usize>(entries: [(&str, CanonicalJsonValue); N]) -> CanonicalJsonObject {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A string as a JSON value.
pub(crate) fn text(value: impl Into<String>) -> CanonicalJsonValue {
    CanonicalJsonValue::String(value.into())
}
