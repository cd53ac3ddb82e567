//! Whether the tables of all rooms agree with each other: for operators, and for tests of crashes.
//!
//! It reads the store alone, past all caches, and changes nothing. Rooms must be at rest meanwhile: an
//! event that comes in between two reads looks like a disagreement.

use std::collections::{BTreeMap, HashMap, HashSet};

use linkspan_domain::{Pdu, versions};
use linkspan_inbox::stored_pointers;
use linkspan_storage::{
    Position, Range, Store,
    catalogue::{
        BigRooms, CurrentState, EventIds, EventKey, HiddenEvents, Members, Memberships, ReceiptLog,
        ReceiptLogKey, Receipts, Relations, RoomEventKey, RoomHeads, RoomKey, RoomUserKey,
        Rooms as RoomsTable, StateDeltas, StateLog, Threads, Timeline, TimelineKey, Transactions,
        UserRoomKey,
    },
    records::{
        EventPlaceRecord, EventRecord, FLAG_REDACTED, FLAG_REJECTED, FLAG_SOFT_FAILED, InboxPointer,
        MemberRecord, RoomHeadRecord, RoomRecord, StateDeltaRecord, StateEntryRecord,
    },
};
use ruma::{CanonicalJsonObject, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId};
use ruma::{events::room::member::MembershipState, room_version_rules::RoomVersionRules};

use crate::{Result, Rooms, append::relation_of, state::EMPTY_STATE};

/// Findings that are told; the first ones tell enough.
const MAX_FINDINGS: usize = 1_000;
/// Rows that are read at once.
const PAGE: usize = 1_000;

type Entries = BTreeMap<(String, String), OwnedEventId>;

/// What was found wrong.
#[derive(Debug, Default)]
struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, finding: String) {
        if self.0.len() < MAX_FINDINGS {
            self.0.push(finding);
        }
    }

    fn check(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.add(finding());
        }
    }
}

impl Rooms {
    /// Walks through all rooms and says, in words, where tables contradict each other; empty when all is well.
    ///
    /// Fails only if the store cannot be read, or a row cannot be decoded.
    pub async fn audit(&self) -> Result<Vec<String>> {
        let mut findings = Findings::default();
        let mut after: Option<RoomKey> = None;
        loop {
            let mut range = Range::<RoomsTable>::all().limit(PAGE);
            if let Some(after) = &after {
                range = range.after(after);
            }
            let page = self.store().range(range).await?;
            for (key, record) in &page {
                self.audit_room(&key.room_id, record, &mut findings).await?;
            }
            match page.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        self.audit_heads(&mut findings).await?;
        self.audit_event_ids(&mut findings).await?;
        self.audit_memberships(&mut findings).await?;
        self.audit_transactions(&mut findings).await?;
        Ok(findings.0)
    }

    async fn audit_room(
        &self,
        room_id: &OwnedRoomId,
        record: &RoomRecord,
        findings: &mut Findings,
    ) -> Result<()> {
        let version = RoomVersionId::try_from(record.version.as_str()).ok();
        let Some(rules) = version.as_ref().and_then(versions::rules) else {
            findings.add(format!("{room_id}: version {:?} is not supported", record.version));
            return Ok(());
        };
        let store = self.store();
        let Some(head) = store.get::<RoomHeads>(&RoomKey { room_id: room_id.clone() }).await? else {
            findings.add(format!("{room_id}: it has no head"));
            return Ok(());
        };
        let deltas = store.range::<StateDeltas>(Range::prefix((room_id,))).await?;
        let deltas = deltas.into_iter().map(|(key, delta)| (key.state_id, delta)).collect();
        let mut room = RoomAudit {
            store,
            room_id,
            rules,
            head,
            deltas,
            events: HashMap::new(),
            relations: HashMap::new(),
            newest: Position::ZERO,
            findings,
        };
        room.states();
        room.events().await?;
        let current = room.current_state().await?;
        let members = room.members(&current).await?;
        room.relations().await?;
        room.receipts().await?;
        let newest = room.newest;
        for (user_id, member) in members {
            if self.shared.platforms.hosts(user_id.server_name()) {
                self.audit_member(room_id, record.big, newest, &user_id, &member, findings).await?;
            }
        }
        Ok(())
    }

    /// A hosted member: the own row, and how the user is told of the room.
    async fn audit_member(
        &self,
        room_id: &OwnedRoomId,
        big: bool,
        newest: Position,
        user_id: &OwnedUserId,
        member: &MemberRecord,
        findings: &mut Findings,
    ) -> Result<()> {
        let key = UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
        let own = self.store().get::<Memberships>(&key).await?;
        let same = own.is_some_and(|own| {
            own.value.membership == member.membership
                && own.value.event_id == member.event_id
                && own.value.seq == member.seq
        });
        findings.check(same, || {
            format!("{room_id}: members and memberships disagree about {user_id} ({})", member.membership)
        });
        if member.membership != MembershipState::Join {
            return Ok(());
        }
        if big {
            let listed = self.store().contains::<BigRooms>(&key).await?;
            findings
                .check(listed, || format!("{room_id}: it is big, but not among the big rooms of {user_id}"));
            return Ok(());
        }
        let pointers = stored_pointers(self.store(), user_id, newest).await?;
        let pointed = pointers.contains(&InboxPointer::Room(room_id.clone()));
        findings.check(pointed, || {
            format!(
                "{room_id}: the inbox of {user_id} has no pointer at or after the newest event ({newest})"
            )
        });
        Ok(())
    }

    async fn audit_heads(&self, findings: &mut Findings) -> Result<()> {
        for key in self.store().keys::<RoomHeads>(Range::all()).await? {
            let exists = self.store().contains::<RoomsTable>(&key).await?;
            findings.check(exists, || format!("{}: it has a head, but is no room", key.room_id));
        }
        Ok(())
    }

    async fn audit_event_ids(&self, findings: &mut Findings) -> Result<()> {
        let mut after: Option<EventKey> = None;
        loop {
            let mut range = Range::<EventIds>::all().limit(PAGE);
            if let Some(after) = &after {
                range = range.after(after);
            }
            let page = self.store().range(range).await?;
            for (EventKey { event_id }, place) in &page {
                let found = match place.clone() {
                    EventPlaceRecord::Timeline(room_id, seq) => {
                        let event = self.store().get::<Timeline>(&TimelineKey { room_id, seq }).await?;
                        event.map(|event| event.value.event_id)
                    }
                    EventPlaceRecord::Hidden(room_id) => {
                        let key = RoomEventKey { room_id, event_id: event_id.clone() };
                        self.store().get::<HiddenEvents>(&key).await?.map(|event| event.event_id)
                    }
                };
                findings.check(found.as_ref() == Some(event_id), || {
                    format!("{event_id}: it is not where its id says ({place:?})")
                });
            }
            match page.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// Rows of users that have none in the room.
    async fn audit_memberships(&self, findings: &mut Findings) -> Result<()> {
        for (UserRoomKey { user_id, room_id }, own) in self.store().range::<Memberships>(Range::all()).await?
        {
            let key = RoomUserKey { room_id: room_id.clone(), user_id: user_id.clone() };
            // Of a room that was deleted it remains who has left it.
            let is_gone = own.value.forgotten && !self.is_stored(&room_id).await?;
            let known = is_gone || self.store().contains::<Members>(&key).await?;
            findings.check(known, || format!("{room_id}: {user_id} has a membership, but is no member"));
        }
        for UserRoomKey { user_id, room_id } in self.store().keys::<BigRooms>(Range::all()).await? {
            let room = self.store().get::<RoomsTable>(&RoomKey { room_id: room_id.clone() }).await?;
            let big = room.is_some_and(|room| room.big);
            findings.check(big, || format!("{room_id}: it is a big room of {user_id}, but not big"));
            let key = RoomUserKey { room_id: room_id.clone(), user_id: user_id.clone() };
            let member = self.store().get::<Members>(&key).await?;
            let joined = member.is_some_and(|member| member.membership == MembershipState::Join);
            findings.check(joined, || format!("{room_id}: it is a big room of {user_id}, who is not joined"));
        }
        Ok(())
    }

    /// Whether a room is there. One that was deleted leaves who has left it, and transactions until they are old.
    async fn is_stored(&self, room_id: &OwnedRoomId) -> Result<bool> {
        Ok(self.store().contains::<RoomsTable>(&RoomKey { room_id: room_id.clone() }).await?)
    }

    async fn audit_transactions(&self, findings: &mut Findings) -> Result<()> {
        for (key, transaction) in self.store().range::<Transactions>(Range::all()).await? {
            let Some(event_id) = transaction.event_id else { continue };
            if let Some(room_id) = &key.room_id
                && !self.is_stored(room_id).await?
            {
                continue;
            }
            let exists = self.store().contains::<EventIds>(&EventKey { event_id: event_id.clone() }).await?;
            findings.check(exists, || {
                format!(
                    "{event_id}: transaction {:?} of {} made it, but it is nowhere",
                    key.txn_id, key.user_id
                )
            });
        }
        Ok(())
    }
}

/// A room under audit.
struct RoomAudit<'a> {
    store: &'a Store,
    room_id: &'a OwnedRoomId,
    rules: RoomVersionRules,
    head: RoomHeadRecord,
    deltas: HashMap<u64, StateDeltaRecord>,
    /// The places of all events; 0 for hidden ones.
    events: HashMap<OwnedEventId, i64>,
    /// The relations of the events that were not redacted, by their places.
    relations: HashMap<i64, (OwnedEventId, String)>,
    /// The position of the newest event.
    newest: Position,
    findings: &'a mut Findings,
}

impl RoomAudit<'_> {
    fn find(&mut self, finding: String) {
        let room_id = self.room_id;
        self.findings.add(format!("{room_id}: {finding}"));
    }

    fn check(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.find(finding());
        }
    }

    fn states(&mut self) {
        let last = self.deltas.keys().max().copied().unwrap_or(EMPTY_STATE);
        let told = self.head.last_state_id;
        self.check(last == told, || format!("the last state is {last}, the head says {told}"));
        let mut wrong = Vec::new();
        for (state_id, delta) in &self.deltas {
            let Some(parent) = delta.parent.filter(|parent| *parent != EMPTY_STATE) else { continue };
            match self.deltas.get(&parent) {
                _ if parent >= *state_id => wrong.push(format!("state {state_id} differs from a later one")),
                None => wrong.push(format!("state {state_id} differs from {parent}, which is missing")),
                Some(before) if before.until_whole != delta.until_whole + 1 => {
                    wrong.push(format!("state {state_id} does not count down to a whole state"));
                }
                Some(_) => {}
            }
        }
        wrong.into_iter().for_each(|finding| self.find(finding));
    }

    /// The state with this number; None if it cannot be told.
    fn state(&self, mut state_id: u64) -> Option<Entries> {
        let mut entries: BTreeMap<(String, String), Option<OwnedEventId>> = BTreeMap::new();
        while state_id != EMPTY_STATE {
            let delta = self.deltas.get(&state_id)?;
            for (event_type, state_key, event_id) in &delta.changes {
                entries.entry((event_type.clone(), state_key.clone())).or_insert_with(|| event_id.clone());
            }
            // A loop is a finding already.
            state_id = delta.parent.filter(|parent| *parent < state_id).unwrap_or(EMPTY_STATE);
        }
        Some(entries.into_iter().filter_map(|(key, event_id)| Some((key, event_id?))).collect())
    }

    async fn events(&mut self) -> Result<()> {
        let mut graph = Graph::default();
        let mut at = i64::MIN;
        let mut last = 0;
        loop {
            let range = Range::<Timeline>::between((self.room_id, &at), (self.room_id, &i64::MAX));
            let page = self.store.range(range.limit(PAGE)).await?;
            for (TimelineKey { seq, .. }, stored) in &page {
                self.check(*seq == last + 1, || format!("event {seq} follows event {last}"));
                last = *seq;
                let (position, newest) = (stored.position, self.newest);
                self.check(position >= newest, || format!("event {seq} is older than the one before it"));
                self.newest = newest.max(position);
                self.events.insert(stored.value.event_id.clone(), *seq);
                self.event(&stored.value, *seq, &mut graph).await?;
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => at = key.seq + 1,
                _ => break,
            }
        }
        for (key, record) in self.store.range::<HiddenEvents>(Range::prefix((self.room_id,))).await? {
            self.check(key.event_id == record.event_id, || format!("{} is under a wrong id", key.event_id));
            let why = record.flags & (FLAG_REJECTED | FLAG_SOFT_FAILED);
            self.check(why != 0, || format!("{} is hidden for no reason", key.event_id));
            self.events.insert(record.event_id.clone(), 0);
            self.event(&record, 0, &mut graph).await?;
        }
        self.ends(last, &graph);
        Ok(())
    }

    /// An event by itself: its place by id, its hash, the states around it.
    async fn event(&mut self, record: &EventRecord, seq: i64, graph: &mut Graph) -> Result<()> {
        let event_id = &record.event_id;
        let place = self.store.get::<EventIds>(&EventKey { event_id: event_id.clone() }).await?;
        let expected = match seq {
            0 => EventPlaceRecord::Hidden(self.room_id.clone()),
            seq => EventPlaceRecord::Timeline(self.room_id.clone(), seq),
        };
        self.check(place.as_ref() == Some(&expected), || {
            format!("{event_id} is event {seq}, but its id says {place:?}")
        });
        for state_id in [record.state_before, record.state_after] {
            let known = state_id == EMPTY_STATE || self.deltas.contains_key(&state_id);
            self.check(known, || format!("{event_id}: its state {state_id} is missing"));
        }
        let object: Option<CanonicalJsonObject> = serde_json::from_str(&record.pdu).ok();
        let pdu = object.and_then(|object| Pdu::from_received(&object, &self.rules).ok());
        let Some(pdu) = pdu else {
            self.find(format!("{event_id}: its JSON is not an event"));
            return Ok(());
        };
        self.check(pdu.event_id == *event_id, || format!("{event_id}: its JSON has the id {}", pdu.event_id));
        let room_id = self.room_id;
        self.check(pdu.room_id == *room_id, || format!("{event_id}: its JSON is of {}", pdu.room_id));
        let redacted = record.flags & FLAG_REDACTED != 0;
        self.check(redacted == pdu.redacted_by.is_some(), || {
            format!("{event_id}: its flags and its JSON disagree about whether it was redacted")
        });
        self.transition(record, &pdu);
        if let Some(relation) = relation_of(&pdu).filter(|_| seq != 0 && !redacted) {
            self.relations.insert(seq, (relation.event_id, relation.rel_type));
        }
        graph.depth = graph.depth.max(if seq == 0 { 0 } else { pdu.depth });
        if seq != 0 {
            graph.named_in_timeline.extend(pdu.prev_events.iter().cloned());
        }
        graph.named.extend(pdu.prev_events);
        graph.named_as_allowing.extend(pdu.auth_events);
        Ok(())
    }

    /// The state after an event is the state before it, changed by the event.
    fn transition(&mut self, record: &EventRecord, pdu: &Pdu) {
        let event_id = &record.event_id;
        let entry = pdu.state_entry().filter(|_| record.flags & FLAG_REJECTED == 0);
        let follows = match &entry {
            None => record.state_before == record.state_after,
            Some((event_type, state_key)) => self.deltas.get(&record.state_after).is_some_and(|delta| {
                let change = (event_type.to_string(), state_key.clone(), Some(event_id.clone()));
                match delta.parent {
                    Some(parent) => parent == record.state_before && delta.changes == [change],
                    // It was told whole.
                    None => {
                        let mut before = self.state(record.state_before).unwrap_or_default();
                        before.insert((change.0, change.1), event_id.clone());
                        self.state(record.state_after).is_some_and(|after| after == before)
                    }
                }
            }),
        };
        self.check(follows, || format!("{event_id}: the state after it does not follow from the one before"));
    }

    /// The head against the graph.
    fn ends(&mut self, last: i64, graph: &Graph) {
        let head = self.head.clone();
        self.check(last == head.seq, || format!("the last event is {last}, the head says {}", head.seq));
        self.check(graph.depth == head.depth, || {
            format!("the greatest depth is {}, the head says {}", graph.depth, head.depth)
        });
        let ends: HashSet<_> = head.extremities.iter().collect();
        for end in &head.extremities {
            let known = self.events.get(end).is_some_and(|seq| *seq != 0);
            self.check(known, || format!("{end} is an end, but not in the timeline"));
            self.check(!graph.named_in_timeline.contains(end), || format!("{end} is an end, but followed"));
        }
        let lost: Vec<_> = self
            .events
            .iter()
            .filter(|(id, seq)| **seq != 0 && !graph.named.contains(*id) && !ends.contains(id))
            .map(|(id, _)| format!("{id} is followed by none, but no end"))
            .collect();
        let unknown = graph.named.union(&graph.named_as_allowing).filter(|id| !self.events.contains_key(*id));
        let unknown: Vec<_> = unknown.map(|id| format!("{id} is named by an event, but missing")).collect();
        lost.into_iter().chain(unknown).for_each(|finding| self.find(finding));
    }

    async fn current_state(&mut self) -> Result<BTreeMap<(String, String), StateEntryRecord>> {
        let rows = self.store.range::<CurrentState>(Range::prefix((self.room_id,))).await?;
        let current: BTreeMap<_, _> =
            rows.into_iter().map(|(key, entry)| ((key.event_type, key.state_key), entry)).collect();
        let of_head = self.state(self.head.state_id).unwrap_or_default();
        for ((event_type, state_key), entry) in &current {
            let name = format!("{event_type} {state_key:?}");
            let place = entry.event_id.as_ref().and_then(|event_id| self.events.get(event_id).copied());
            let told = entry.seq;
            self.check(place == Some(told), || {
                format!("state {name}: its event is at {place:?}, the entry says {told}")
            });
        }
        let ids: Entries =
            current.iter().filter_map(|(key, entry)| Some((key.clone(), entry.event_id.clone()?))).collect();
        for key in ids.keys().chain(of_head.keys()).collect::<HashSet<_>>() {
            let (now, at_head) = (ids.get(key), of_head.get(key));
            self.check(now == at_head, || {
                format!("state {} {:?}: it is {now:?} now, but {at_head:?} at the head", key.0, key.1)
            });
        }
        let mut newest: BTreeMap<(String, String), Option<OwnedEventId>> = BTreeMap::new();
        for (key, entry) in self.store.range::<StateLog>(Range::prefix((self.room_id,))).await? {
            newest.insert((key.event_type, key.state_key), entry.event_id);
        }
        let logged: Entries = newest.into_iter().filter_map(|(key, id)| Some((key, id?))).collect();
        self.check(logged == ids, || "the log of state changes does not end in the current state".into());
        Ok(current)
    }

    async fn members(
        &mut self,
        current: &BTreeMap<(String, String), StateEntryRecord>,
    ) -> Result<Vec<(OwnedUserId, MemberRecord)>> {
        let rows = self.store.range::<Members>(Range::prefix((self.room_id,))).await?;
        let members: Vec<_> = rows.into_iter().map(|(key, member)| (key.user_id, member)).collect();
        let mut unseen: HashMap<&str, &StateEntryRecord> = current
            .iter()
            .filter(|((event_type, _), _)| event_type == "m.room.member")
            .map(|((_, state_key), entry)| (state_key.as_str(), entry))
            .collect();
        for (user_id, member) in &members {
            let entry = unseen.remove(user_id.as_str());
            let same = entry.is_some_and(|entry| {
                entry.event_id.as_ref() == Some(&member.event_id) && entry.seq == member.seq
            });
            self.check(same, || format!("members and current state disagree about {user_id}"));
            let event = self.stored(&member.event_id).await?;
            let is = event.as_ref().and_then(Pdu::membership);
            let told = &member.membership;
            self.check(is.as_ref() == Some(told), || {
                format!("{user_id} is {told:?} by members, {is:?} by the event")
            });
        }
        for user_id in unseen.into_keys() {
            self.find(format!("{user_id} has a membership in the state, but is no member"));
        }
        let told = [(MembershipState::Join, self.head.joined), (MembershipState::Invite, self.head.invited)];
        for (kind, told) in told {
            let counted = members.iter().filter(|(_, member)| member.membership == kind).count() as u64;
            self.check(counted == told, || format!("{counted} members are {kind:?}, the head says {told}"));
        }
        Ok(members)
    }

    async fn stored(&self, event_id: &OwnedEventId) -> Result<Option<Pdu>> {
        let record = match self.events.get(event_id) {
            None => None,
            Some(0) => {
                let key = RoomEventKey { room_id: self.room_id.clone(), event_id: event_id.clone() };
                self.store.get::<HiddenEvents>(&key).await?
            }
            Some(seq) => {
                let key = TimelineKey { room_id: self.room_id.clone(), seq: *seq };
                self.store.get::<Timeline>(&key).await?.map(|stored| stored.value)
            }
        };
        Ok(record.and_then(|record| Pdu::from_stored(record.event_id, &record.pdu).ok()))
    }

    async fn relations(&mut self) -> Result<()> {
        let mut replies: HashMap<OwnedEventId, Replies> = HashMap::new();
        for (key, relation) in self.store.range::<Relations>(Range::prefix((self.room_id,))).await? {
            let of_event = self.relations.remove(&key.seq);
            let placed = self.events.get(&relation.event_id) == Some(&key.seq);
            let same = of_event == Some((key.parent.clone(), key.rel_type.clone()));
            self.check(placed && same, || {
                format!("{} does not relate to {} by {:?}", relation.event_id, key.parent, key.rel_type)
            });
            if key.rel_type == "m.thread" {
                let replies = replies.entry(key.parent).or_default();
                *replies.by_sender.entry(relation.sender).or_default() += 1;
                replies.latest_seq = replies.latest_seq.max(key.seq);
            }
        }
        for (seq, (parent, rel_type)) in std::mem::take(&mut self.relations) {
            self.find(format!("the relation {rel_type:?} of event {seq} to {parent} is not noted"));
        }
        for (key, thread) in self.store.range::<Threads>(Range::prefix((self.room_id,))).await? {
            let Replies { by_sender, latest_seq: latest } = replies.remove(&key.event_id).unwrap_or_default();
            let count: u64 = by_sender.values().sum();
            let told_senders: BTreeMap<_, _> = thread.participants.into_iter().collect();
            let same = (thread.count, thread.latest_seq, &told_senders) == (count, latest, &by_sender);
            self.check(same, || {
                let (told, told_latest) = (thread.count, thread.latest_seq);
                let root = key.event_id;
                format!(
                    "thread {root} has {count} replies up to {latest}, it says {told} up to {told_latest}; \
                     they are by {by_sender:?}, it says {told_senders:?}"
                )
            });
        }
        for root in replies.into_keys() {
            self.find(format!("the thread {root} has replies, but is not noted"));
        }
        Ok(())
    }

    async fn receipts(&mut self) -> Result<()> {
        let mut logged = self.store.keys::<ReceiptLog>(Range::prefix((self.room_id,))).await?.len();
        for (key, stored) in self.store.range::<Receipts>(Range::prefix((self.room_id,))).await? {
            let user_id = &key.user_id;
            let receipt = &stored.value;
            let placed = self.events.get(&receipt.event_id) == Some(&receipt.seq);
            self.check(placed, || format!("{user_id} has read {}, which is not there", receipt.event_id));
            let log_key = ReceiptLogKey {
                room_id: key.room_id.clone(),
                position: stored.position,
                user_id: key.user_id.clone(),
                kind: key.kind,
                thread: key.thread.clone(),
            };
            let log = self.store.get::<ReceiptLog>(&log_key).await?;
            logged = logged.saturating_sub(usize::from(log.is_some()));
            self.check(log.as_ref() == Some(receipt), || format!("a receipt of {user_id} is not in the log"));
        }
        self.check(logged == 0, || format!("{logged} receipts in the log are not the newest of their kind"));
        Ok(())
    }
}

/// The replies of a thread: how many each sender has sent, and where the newest is.
#[derive(Debug, Default)]
struct Replies {
    by_sender: BTreeMap<OwnedUserId, u64>,
    latest_seq: i64,
}

/// What the events of a room name.
#[derive(Debug, Default)]
struct Graph {
    depth: u64,
    named: HashSet<OwnedEventId>,
    named_in_timeline: HashSet<OwnedEventId>,
    named_as_allowing: HashSet<OwnedEventId>,
}
