//! Counts of unread events, in a room's main timeline and in each of its threads.
//! <https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications>
//!
//! Events are counted when somebody asks, and each is counted once. Counts are kept in memory event by event,
//! so that a receipt takes away what it covers. The store keeps them as numbers, from which a restart counts
//! on.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use linkspan_domain::EncryptionRule;
use linkspan_platforms::let_others_run;
use linkspan_rooms::TimelineEvent;
use linkspan_storage::{
    Position, WriteSet,
    catalogue::{UnreadCounts, UserRoomKey},
    records::{RoomHeadRecord, UnreadCountsRecord},
};
use quick_cache::sync::Cache;
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use tokio::sync::Mutex;

use crate::{
    Push, PushEvent, Recipient, Result, UserContext,
    room_facts::{ReadMarks, RoomFacts},
    thread_subscriptions::ThreadPlace,
};

/// The most events that are counted for a user without a count. They are the newest ones.
const MAX_COUNTED: i64 = 10_000;
/// The most counted events of a room that are remembered one by one.
const MAX_REMEMBERED: usize = 256;
/// What is known only as numbers is counted anew at most once in this time for what has disappeared, in milliseconds:
/// where people write all the time, something of it disappears all the time.
const RECOUNT_MS: u64 = 5 * 60_000;
/// How many events are read at once.
const PAGE: usize = 256;
/// How many events a count has advanced by when it is stored.
const STORE_AFTER: i64 = 100;
/// How old a stored count is when any advance is stored, in milliseconds.
const STORE_AFTER_MS: u64 = 60_000;
/// How many counts are kept in memory, each of one user in one room.
const CACHED: usize = 100_000;

/// How many unread events notify, and how many of these stand out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreadCount {
    /// How many events notify.
    pub notify: u64,
    /// How many of them stand out.
    pub highlight: u64,
}

/// The unread events of a room that notify a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// The count of the main timeline.
    pub main: UnreadCount,
    /// The counts of threads that have unread events, by root.
    pub threads: BTreeMap<OwnedEventId, UnreadCount>,
}

impl Unread {
    /// The sum, for clients that do not tell threads from the rest of the room.
    pub fn total(&self) -> UnreadCount {
        self.threads.values().fold(self.main, |sum, count| UnreadCount {
            notify: sum.notify + count.notify,
            highlight: sum.highlight + count.highlight,
        })
    }
}

pub(crate) type UnreadCache = Cache<(OwnedUserId, OwnedRoomId), Arc<Mutex<Option<Counting>>>>;

pub(crate) fn new_cache() -> UnreadCache {
    Cache::new(CACHED)
}

/// What was counted for a user in a room.
#[derive(Debug)]
pub(crate) struct Counting {
    counted_to: i64,
    main: Line,
    threads: BTreeMap<OwnedEventId, Line>,
    /// Whether the user was in the room at `counted_to`.
    joined: bool,
    stored_to: i64,
    stored_ts: u64,
    /// Up to where the user has read, with the position of the commit for which that is known.
    marks: Option<(Position, Arc<ReadMarks>)>,
}

/// The unread events of the main timeline or of a thread.
#[derive(Debug, Default)]
struct Line {
    /// The count of those up to `forgotten_to`, of which only numbers are known.
    forgotten: UnreadCount,
    forgotten_to: i64,
    /// The end of the step of [`RECOUNT_MS`] in which the first of these disappears, if any does.
    forgotten_disappears_ts: Option<u64>,
    /// The place up to which the line was read when they were counted.
    read_to: i64,
    /// The other events.
    events: VecDeque<Counted>,
}

/// A counted event.
#[derive(Debug)]
struct Counted {
    seq: i64,
    /// Whether it stands out.
    highlight: bool,
    disappears_ts: Option<u64>,
}

impl Line {
    fn count(&self) -> UnreadCount {
        UnreadCount {
            notify: self.forgotten.notify + self.events.len() as u64,
            highlight: self.forgotten.highlight
                + self.events.iter().filter(|counted| counted.highlight).count() as u64,
        }
    }

    fn is_empty(&self) -> bool {
        self.forgotten.notify == 0 && self.events.is_empty()
    }

    /// Notes that everything up to `seq` is read.
    fn clear(&mut self, seq: i64) {
        *self = Self { read_to: seq, ..Self::default() };
    }

    /// Whether a receipt covers a part of what is known only as numbers, or a part of it has disappeared. Nobody knows
    /// which part.
    fn is_cut_by(&self, mark: i64, now_ts: u64) -> bool {
        let is_read = mark > self.read_to && mark < self.forgotten_to;
        self.forgotten.notify > 0 && (is_read || is_past(self.forgotten_disappears_ts, now_ts))
    }

    fn read(&mut self, mark: i64, now_ts: u64) {
        if mark >= self.forgotten_to {
            (self.forgotten, self.forgotten_disappears_ts) = (UnreadCount::default(), None);
        }
        self.read_to = self.read_to.max(mark);
        self.events.retain(|counted| counted.seq > mark && !is_past(counted.disappears_ts, now_ts));
    }

    /// The earliest time at which an event of the line disappears.
    fn disappears_ts(&self) -> Option<u64> {
        let times = self.events.iter().map(|counted| counted.disappears_ts);
        times.chain([self.forgotten_disappears_ts]).flatten().min()
    }

    fn forget_oldest(&mut self) {
        while self.events.len() > MAX_REMEMBERED {
            let Some(oldest) = self.events.pop_front() else { break };
            self.forgotten.notify += 1;
            self.forgotten.highlight += u64::from(oldest.highlight);
            self.forgotten_to = oldest.seq;
            let ends = [self.forgotten_disappears_ts, oldest.disappears_ts.map(end_of_step)];
            self.forgotten_disappears_ts = ends.into_iter().flatten().min();
        }
    }
}

impl Counting {
    /// Nothing is counted yet. `from` is a place at which the user was in the room.
    fn new(from: i64) -> Self {
        Self {
            counted_to: from,
            main: Line::default(),
            threads: BTreeMap::new(),
            joined: true,
            stored_to: from,
            stored_ts: 0,
            marks: None,
        }
    }

    fn from_stored(record: UnreadCountsRecord) -> Self {
        let line = |read_to, notify, highlight| Line {
            forgotten: UnreadCount { notify, highlight },
            forgotten_to: record.counted_to,
            forgotten_disappears_ts: record.disappears_ts.map(end_of_step),
            read_to,
            events: VecDeque::new(),
        };
        Self {
            main: line(record.read_to, record.notify, record.highlight),
            threads: record
                .threads
                .iter()
                .map(|(root, read_to, notify, highlight)| (root.clone(), line(*read_to, *notify, *highlight)))
                .collect(),
            stored_to: record.counted_to,
            ..Self::new(record.counted_to)
        }
    }

    fn to_stored(&self) -> UnreadCountsRecord {
        let main = self.main.count();
        let threads = self.threads.iter().map(|(root, line)| {
            let count = line.count();
            (root.clone(), line.read_to, count.notify, count.highlight)
        });
        UnreadCountsRecord {
            counted_to: self.counted_to,
            read_to: self.main.read_to,
            notify: main.notify,
            highlight: main.highlight,
            threads: threads.collect(),
            disappears_ts: self.threads.values().chain([&self.main]).filter_map(Line::disappears_ts).min(),
        }
    }

    fn line(&mut self, thread: Option<OwnedEventId>) -> &mut Line {
        match thread {
            None => &mut self.main,
            Some(root) => self.threads.entry(root).or_default(),
        }
    }

    fn lines(&mut self) -> impl Iterator<Item = (Option<&EventId>, &mut Line)> {
        let threads = self.threads.iter_mut().map(|(root, line)| (Some(&**root), line));
        std::iter::once((None, &mut self.main)).chain(threads)
    }

    fn unread(&self) -> Unread {
        let threads = self.threads.iter().map(|(root, line)| (root.clone(), line.count()));
        Unread { main: self.main.count(), threads: threads.collect() }
    }

    /// Counts an event that comes after all that were counted.
    fn add(&mut self, event: &TimelineEvent, asked: &Asked<'_>, place: ThreadPlace) {
        self.counted_to = event.seq;
        let pdu = &event.pdu;
        let user_id = &asked.recipient.user_id;
        if pdu.event_type == TimelineEventType::RoomMember
            && pdu.state_key.as_deref() == Some(user_id.as_str())
        {
            let joined = pdu.membership() == Some(MembershipState::Join);
            if joined && !self.joined {
                self.lines().for_each(|(_, line)| line.clear(event.seq));
            }
            self.joined = joined;
        }
        if event.seq <= asked.marks.unthreaded || asked.rule.is_some_and(|rule| rule.hides(pdu)) {
            return;
        }
        let ThreadPlace { root: thread, subscribed } = place;
        if pdu.sender == *user_id && pdu.state_key.is_none() {
            // A user who answers has read what came before.
            match thread {
                None => self.main.clear(event.seq),
                Some(root) => drop(self.threads.remove(&root)),
            }
            return;
        }
        let is_gone = is_past(event.disappears_ts, asked.now_ts);
        if event.seq > asked.marks.of(thread.as_deref()) && !is_gone {
            let evaluation = asked.evaluate(&PushEvent::new(pdu), subscribed);
            if evaluation.0 {
                let line = self.line(thread);
                line.events.push_back(Counted {
                    seq: event.seq,
                    highlight: evaluation.1,
                    disappears_ts: event.disappears_ts,
                });
                line.forget_oldest();
            }
        }
    }

    fn remove(&mut self, seq: i64) {
        for (_, line) in self.lines() {
            line.events.retain(|counted| counted.seq != seq);
        }
    }
}

/// Whether the time of something has come.
pub(crate) fn is_past(ts: Option<u64>, now_ts: u64) -> bool {
    ts.is_some_and(|ts| ts <= now_ts)
}

/// The end of the step of [`RECOUNT_MS`] that a time is in.
fn end_of_step(ts: u64) -> u64 {
    ts.div_ceil(RECOUNT_MS).saturating_mul(RECOUNT_MS)
}

/// What events are held against when they are counted.
struct Asked<'a> {
    recipient: &'a Recipient,
    name: Option<String>,
    facts: &'a RoomFacts,
    marks: &'a ReadMarks,
    /// The user's rule on encryption. Events that it hides are not counted.
    rule: Option<EncryptionRule>,
    /// What has disappeared by now is not counted either.
    now_ts: u64,
}

impl Asked<'_> {
    /// Whether the event notifies, and whether it stands out.
    fn evaluate(&self, event: &PushEvent<'_>, subscribed: Option<bool>) -> (bool, bool) {
        let user = UserContext { name: self.name.as_deref(), subscribed };
        let evaluation = self.recipient.evaluate(event, user, self.facts.context());
        (evaluation.notify, evaluation.highlight)
    }
}

impl Push {
    /// The unread events of a room, up to its newest, that notify a user who is in it.
    pub async fn unread(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<Unread> {
        let Some(head) = self.rooms().head(room_id).await? else { return Ok(Unread::default()) };
        self.unread_at(user_id, room_id, &head).await
    }

    /// The same, for a caller that has the room's head.
    pub async fn unread_at(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        head: &RoomHeadRecord,
    ) -> Result<Unread> {
        let room = self.rooms().room(room_id).await?;
        let cache_key = (user_id.clone(), room_id.clone());
        let slot = self
            .shared
            .unread
            .get_or_insert_with(&cache_key, || Ok::<_, crate::PushError>(Arc::default()))?;
        let mut slot = slot.lock().await;
        let known = slot.as_ref().and_then(|counting| counting.marks.clone());
        let known = known.filter(|(until, _)| self.rooms().receipts_are_unchanged(&room, *until));
        let (until, marks) = match known {
            Some(known) => known,
            None => self.read_marks_until(user_id, &room).await?,
        };
        if slot.is_none() {
            *slot = Some(self.start_counting(user_id, room_id, &marks, head).await?);
        }
        let counting = slot.as_mut().expect("was just set");
        let now_ts = self.now_ts();
        counting.marks = marks.are_few().then(|| (until, marks.clone()));
        if counting.counted_to < head.seq
            || counting.lines().any(|(thread, line)| line.is_cut_by(marks.of(thread), now_ts))
        {
            let recipient = self.recipient(user_id).await?;
            let facts = self.room_facts(room_id, head).await?;
            let name = self.asked_name(room_id, &recipient).await?;
            let rule = self.rooms().encryption_rule(user_id);
            let asked = Asked { recipient: &recipient, name, facts: &facts, marks: &marks, rule, now_ts };
            self.count_on(room_id, counting, head, &asked).await?;
            self.recount_cut(room_id, counting, &asked).await?;
        }
        counting.lines().for_each(|(thread, line)| line.read(marks.of(thread), now_ts));
        counting.threads.retain(|_, line| !line.is_empty());
        self.store_counts(user_id, room_id, counting);
        Ok(counting.unread())
    }

    async fn start_counting(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        marks: &ReadMarks,
        head: &RoomHeadRecord,
    ) -> Result<Counting> {
        let key = UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
        let bound = head.seq - MAX_COUNTED;
        match self.store().get::<UnreadCounts>(&key).await? {
            Some(record) if record.counted_to >= bound && record.counted_to <= head.seq => {
                Ok(Counting::from_stored(record))
            }
            _ => {
                let joined_at = self.joined_at(user_id, room_id).await?;
                Ok(Counting::new(marks.unthreaded.max(joined_at).max(bound).min(head.seq)))
            }
        }
    }

    async fn count_on(
        &self,
        room_id: &OwnedRoomId,
        counting: &mut Counting,
        head: &RoomHeadRecord,
        asked: &Asked<'_>,
    ) -> Result<()> {
        if head.seq - counting.counted_to > MAX_COUNTED {
            counting.counted_to = head.seq - MAX_COUNTED;
        }
        while counting.counted_to < head.seq {
            let_others_run().await;
            let events = self.rooms().timeline(room_id, counting.counted_to, head.seq, PAGE).await?;
            if events.is_empty() {
                break;
            }
            for event in events {
                let place = self.thread_place(asked.recipient, &event).await?;
                counting.add(&event, asked, place);
                if let Some(redacted) = &event.pdu.redacts
                    && let Some(redacted) = self.rooms().event(room_id, redacted).await?
                {
                    counting.remove(redacted.seq);
                }
            }
        }
        // Somebody else may have counted further, because `head` was read before this room's lock was free.
        counting.counted_to = counting.counted_to.max(head.seq);
        Ok(())
    }

    /// Counts anew from a receipt, or from where the user has joined, if the receipt covers a part of what is known only
    /// as numbers, or a part of that has disappeared.
    async fn recount_cut(
        &self,
        room_id: &OwnedRoomId,
        counting: &mut Counting,
        asked: &Asked<'_>,
    ) -> Result<()> {
        let cut: Vec<_> = counting
            .lines()
            .filter(|(thread, line)| line.is_cut_by(asked.marks.of(*thread), asked.now_ts))
            .map(|(thread, line)| (thread.map(ToOwned::to_owned), line.forgotten_to))
            .collect();
        if cut.is_empty() {
            return Ok(());
        }
        let joined_at = self.joined_at(&asked.recipient.user_id, room_id).await?;
        for (thread, to) in cut {
            let from = asked.marks.of(thread.as_deref()).max(joined_at).max(to - MAX_COUNTED);
            let mut again = Counting::new(from);
            while again.counted_to < to {
                let_others_run().await;
                let events = self.rooms().timeline(room_id, again.counted_to, to, PAGE).await?;
                if events.is_empty() {
                    break;
                }
                for event in &events {
                    let place = self.thread_place(asked.recipient, event).await?;
                    again.add(event, asked, place);
                }
            }
            let mut again = std::mem::take(again.line(thread.clone()));
            let line = counting.line(thread);
            again.read_to = again.read_to.max(line.read_to);
            again.events.append(&mut line.events);
            again.forget_oldest();
            *line = again;
        }
        Ok(())
    }

    /// Stores a count that has advanced far or was stored long ago. Nobody waits for that, because a lost
    /// count is made again.
    fn store_counts(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId, counting: &mut Counting) {
        let (advanced, now_ts) = (counting.counted_to - counting.stored_to, self.now_ts());
        if counting.stored_ts == 0 {
            counting.stored_ts = now_ts;
        }
        let is_due = advanced >= STORE_AFTER
            || (advanced > 0 && now_ts.saturating_sub(counting.stored_ts) >= STORE_AFTER_MS);
        if is_due {
            let key = UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
            let mut writes = WriteSet::new();
            writes.put::<UnreadCounts>(&key, &counting.to_stored());
            drop(self.store().submit(writes));
            (counting.stored_to, counting.stored_ts) = (counting.counted_to, now_ts);
        }
    }

    /// Whether a user has read the event at `seq`, which is in the main timeline or in a thread.
    pub(crate) async fn has_read(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        thread: Option<&EventId>,
        seq: i64,
    ) -> Result<bool> {
        Ok(self.read_marks(user_id, room_id).await?.of(thread) >= seq)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, Line, MAX_REMEMBERED, RECOUNT_MS};

    const SECOND_MS: u64 = 1_000;

    /// A line of events, one a second from `from_ts` on, of which each disappears after a time.
    fn line(from_ts: u64, count: usize, lasts_ms: u64) -> Line {
        let mut line = Line::default();
        for seq in 1..=count as i64 {
            let disappears_ts = Some(from_ts + seq.unsigned_abs() * SECOND_MS + lasts_ms);
            line.events.push_back(Counted { seq, highlight: false, disappears_ts });
            line.forget_oldest();
        }
        line
    }

    #[test]
    fn what_is_known_as_numbers_is_counted_anew_once_in_a_step() {
        let first_ts = 10 * RECOUNT_MS + SECOND_MS;
        let line = line(10 * RECOUNT_MS, MAX_REMEMBERED + 100, 0);
        assert_eq!(line.forgotten.notify, 100);
        for later_ms in [0, SECOND_MS, RECOUNT_MS - SECOND_MS - 1] {
            assert!(!line.is_cut_by(0, first_ts + later_ms), "{later_ms}");
        }
        assert!(line.is_cut_by(0, 11 * RECOUNT_MS));
    }

    #[test]
    fn what_is_remembered_disappears_at_its_time() {
        let mut line = line(10 * RECOUNT_MS, MAX_REMEMBERED, 0);
        line.read(0, 10 * RECOUNT_MS + 10 * SECOND_MS);
        assert_eq!(line.count().notify, MAX_REMEMBERED as u64 - 10);
    }
}
