//! Walking through a room's history: messages, context, relations, threads, by time.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
    str::FromStr,
    sync::Arc,
};

use linkspan_domain::SharedPdu;
use linkspan_inbox::SyncToken;
use linkspan_platforms::give_way;
use linkspan_storage::{
    Position, Range,
    catalogue::{Relations, RoomEventKey, Threads},
    records::ThreadRecord,
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use crate::{EventFilter, Result, Rooms, RoomsError, TimelineEvent, View};

/// The most events of one page.
const MAX_PAGE: usize = 1_000;
/// A page that has about so many bytes gets no further event. Events have up to 64 KiB, so that thousand of them would
/// fill memory for a client that may read slowly.
const PAGE_BYTES: usize = 1 << 20;
/// The most events that one request looks at before it answers with what it has found.
const MAX_LOOK: usize = 10_000;
/// The most events that are read between two looks at what the page has.
const AT_ONCE: usize = 64;
/// The most steps of `recurse` through relations.
pub const MAX_RECURSION: usize = 3;

/// A place between two events of a room: after the event at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary(pub i64);

impl std::fmt::Display for Boundary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl FromStr for Boundary {
    type Err = RoomsError;

    fn from_str(text: &str) -> Result<Self> {
        let seq = text.strip_prefix('t').and_then(|seq| seq.parse().ok());
        seq.map(Self).ok_or_else(|| RoomsError::Invalid("not a pagination token".into()))
    }
}

/// A part of a room's history.
#[derive(Debug, Default)]
pub struct Page {
    /// The events, in the order that was asked for.
    pub events: Vec<Arc<TimelineEvent>>,
    /// The boundary where the page starts.
    pub start: Option<Boundary>,
    /// The boundary where the next page starts. None if there is no next page.
    pub end: Option<Boundary>,
}

/// An event and what is around it.
#[derive(Debug)]
pub struct Context {
    /// The event.
    pub event: Arc<TimelineEvent>,
    /// The events before it, the newest first.
    pub before: Vec<Arc<TimelineEvent>>,
    /// The events after it, the oldest first.
    pub after: Vec<Arc<TimelineEvent>>,
    /// The boundary before all of these.
    pub start: Boundary,
    /// The boundary after all of these.
    pub end: Boundary,
    /// The room's state after the last of these.
    pub state: Vec<SharedPdu>,
}

/// Which relations of an event are asked for.
#[derive(Clone, Debug, Default)]
pub struct RelationQuery {
    /// Only relations of this type.
    pub rel_type: Option<String>,
    /// Only events of this type.
    pub event_type: Option<String>,
    /// Whether relations of the relations are asked for, too.
    pub recurse: bool,
    /// The boundary to start from.
    pub from: Option<Boundary>,
    /// The boundary to end at.
    pub to: Option<Boundary>,
    /// Whether the oldest comes first.
    pub forwards: bool,
    /// The most events of the page.
    pub limit: usize,
}

/// A thread that may be listed, in the order of its newest reply. As long as nobody has looked at it, that is the
/// newest of all replies; the user may see an earlier one as the newest.
struct FoundThread {
    latest_seq: i64,
    /// The root, once the thread was looked at.
    root: Option<Arc<TimelineEvent>>,
    key: RoomEventKey,
    record: ThreadRecord,
}

impl FoundThread {
    fn unseen((key, record): (RoomEventKey, ThreadRecord)) -> Self {
        Self { latest_seq: record.latest_seq, root: None, key, record }
    }
}

impl Ord for FoundThread {
    fn cmp(&self, other: &Self) -> Ordering {
        self.latest_seq.cmp(&other.latest_seq)
    }
}

impl PartialOrd for FoundThread {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for FoundThread {
    fn eq(&self, other: &Self) -> bool {
        self.latest_seq == other.latest_seq
    }
}

impl Eq for FoundThread {}

impl Rooms {
    /// The boundary that a token stands for: one of this service's, or a sync token.
    pub async fn boundary(&self, room_id: &OwnedRoomId, token: &str) -> Result<Boundary> {
        match token.parse::<SyncToken>() {
            Ok(token) => Ok(Boundary(self.seq_at(room_id, token.position).await?)),
            Err(_) => token.parse(),
        }
    }

    /// The place of the last event that was on disk at a position.
    pub async fn seq_at(&self, room_id: &OwnedRoomId, position: Position) -> Result<i64> {
        let (mut low, mut high) = (0, self.head(room_id).await?.map_or(0, |head| head.seq));
        while low < high {
            let middle = low + (high - low + 1) / 2;
            match self.event_at(room_id, middle).await? {
                Some(event) if event.position <= position => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(low)
    }

    /// A page of a room's history, without the events that the filter does not let through.
    pub async fn messages(
        &self,
        view: &mut View,
        from: Option<Boundary>,
        to: Option<Boundary>,
        forwards: bool,
        limit: usize,
        filter: &EventFilter,
    ) -> Result<Page> {
        let room_id = view.room.id.clone();
        let head = self.head(&room_id).await?.map_or(0, |head| head.seq);
        let last = head.min(view.last_seq());
        let limit = limit.clamp(1, MAX_PAGE);
        let start = from.unwrap_or(Boundary(if forwards { 0 } else { last }));
        let mut at = start.0.clamp(0, last);
        let stop = to.map(|to| to.0);
        let mut page = Page { start: Some(start), ..Page::default() };
        let mut looked = 0;
        let mut finished = false;
        let mut bytes = 0;
        while page.events.len() < limit && bytes < PAGE_BYTES && looked < MAX_LOOK && !finished {
            give_way().await?;
            let want = (limit - page.events.len()).clamp(16, AT_ONCE);
            let events = if forwards {
                self.timeline(&room_id, at, stop.unwrap_or(last).min(last), want).await?
            } else {
                self.timeline_back(&room_id, at, stop.unwrap_or(0).max(0), want).await?
            };
            finished = events.len() < want;
            looked += events.len();
            for event in events {
                at = if forwards { event.seq } else { event.seq - 1 };
                if self.keeps(view, filter, &event.pdu).await? && self.shows(view, &event).await? {
                    bytes += event.pdu.size_bytes();
                    page.events.push(event);
                    if page.events.len() == limit || bytes >= PAGE_BYTES {
                        finished = false;
                        break;
                    }
                }
            }
        }
        let exhausted = if forwards { at >= last } else { at <= 0 };
        page.end = (!finished && !exhausted).then_some(Boundary(at));
        // Walking forwards, there may be more later.
        if forwards && page.end.is_none() && !page.events.is_empty() && stop.is_none() {
            page.end = Some(Boundary(at));
        }
        Ok(page)
    }

    /// An event with up to `limit` events around it.
    pub async fn context(
        &self,
        view: &mut View,
        event_id: &OwnedEventId,
        limit: usize,
        filter: &EventFilter,
    ) -> Result<Context> {
        let event = self.shown_event(view, event_id).await?;
        let limit = limit.min(MAX_PAGE);
        let (before, after) = self.surroundings(view, &event, limit / 2, limit - limit / 2, filter).await?;
        let last = after.last().unwrap_or(&event);
        let state = self.state_events_in(&view.room.id, last.state_after).await?;
        let state = self.state_for(view, state).await?;
        Ok(Context {
            start: Boundary(before.last().unwrap_or(&event).seq - 1),
            end: Boundary(last.seq),
            before,
            after,
            event,
            state,
        })
    }

    /// Up to `before` events before an event, the newest first, and up to `after` events after it, the oldest first.
    pub async fn surroundings(
        &self,
        view: &mut View,
        event: &TimelineEvent,
        before: usize,
        after: usize,
        filter: &EventFilter,
    ) -> Result<(Vec<Arc<TimelineEvent>>, Vec<Arc<TimelineEvent>>)> {
        let before = match before {
            0 => Page::default(),
            limit => self.messages(view, Some(Boundary(event.seq - 1)), None, false, limit, filter).await?,
        };
        let after = match after {
            0 => Page::default(),
            limit => self.messages(view, Some(Boundary(event.seq)), None, true, limit, filter).await?,
        };
        Ok((before.events, after.events))
    }

    /// The events that relate to an event.
    /// <https://spec.matrix.org/v1.19/client-server-api/#relationships-api>
    pub async fn relations(
        &self,
        view: &mut View,
        parent: &OwnedEventId,
        query: &RelationQuery,
    ) -> Result<Page> {
        // Relations by others to an event of an ignored user are read, too.
        self.visible_event(view, parent).await?;
        let mut found = self.related(view, parent, query.rel_type.as_deref()).await?;
        if query.recurse {
            let mut layer: Vec<_> = found.values().cloned().collect();
            for _ in 1..MAX_RECURSION {
                let mut next = BTreeMap::new();
                for event_id in &layer {
                    if found.len() + next.len() >= MAX_LOOK {
                        break;
                    }
                    next.append(&mut self.related(view, event_id, None).await?);
                }
                layer = next.values().cloned().collect();
                found.append(&mut next);
            }
        }
        let (low, high) = if query.forwards { (query.from, query.to) } else { (query.to, query.from) };
        let is_inside = |seq: i64| low.is_none_or(|low| seq > low.0) && high.is_none_or(|high| seq <= high.0);
        let mut seqs: Vec<i64> = found.into_keys().filter(|seq| is_inside(*seq)).collect();
        if !query.forwards {
            seqs.reverse();
        }
        self.page_of_relations(view, query, &seqs).await
    }

    /// The page of relations that begins with the first of these places.
    async fn page_of_relations(&self, view: &mut View, query: &RelationQuery, seqs: &[i64]) -> Result<Page> {
        let limit = query.limit.clamp(1, MAX_PAGE);
        let mut page = Page { start: query.from, ..Page::default() };
        let mut bytes = 0;
        for &seq in seqs {
            give_way().await?;
            let Some(event) = self.event_at(&view.room.id.clone(), seq).await? else { continue };
            let event_type = event.pdu.event_type.to_string();
            if query.event_type.as_ref().is_some_and(|wanted| event_type != *wanted) {
                continue;
            }
            if page.events.len() == limit || bytes >= PAGE_BYTES {
                let last = page.events.last().map_or(seq, |event| event.seq);
                page.end = Some(Boundary(if query.forwards { last } else { last - 1 }));
                break;
            }
            bytes += event.pdu.size_bytes();
            page.events.push(event);
        }
        Ok(page)
    }

    /// The events that relate to an event and show themselves to the user: their ids by their places.
    async fn related(
        &self,
        view: &mut View,
        parent: &OwnedEventId,
        rel_type: Option<&str>,
    ) -> Result<BTreeMap<i64, OwnedEventId>> {
        let range = match rel_type {
            Some(rel_type) => Range::<Relations>::prefix((&view.room.id, parent, &rel_type.to_owned())),
            None => Range::prefix((&view.room.id, parent)),
        };
        let keys = self.store().keys(range.limit(MAX_LOOK)).await?;
        let mut events = BTreeMap::new();
        for key in keys {
            give_way().await?;
            if let Some(child) = self.shown_child(view, key.seq).await? {
                events.insert(key.seq, child.pdu.event_id.clone());
            }
        }
        Ok(events)
    }

    /// The roots of a room's threads, the one with the newest reply first.
    /// <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidthreads>
    pub async fn threads(
        &self,
        view: &mut View,
        participated: bool,
        from: Option<Boundary>,
        limit: usize,
    ) -> Result<Page> {
        let room_id = view.room.id.clone();
        let threads = self.store().range::<Threads>(Range::prefix((&room_id,))).await?;
        let mut found: BinaryHeap<_> = threads.into_iter().map(FoundThread::unseen).collect();
        let limit = limit.clamp(1, MAX_PAGE);
        let mut page = Page { start: from, ..Page::default() };
        let mut bytes = 0;
        while let Some(mut thread) = found.pop() {
            give_way().await?;
            let Some(root) = thread.root.take() else {
                found.extend(self.look_at_thread(view, thread, participated, from).await?);
                continue;
            };
            if page.events.len() == limit || bytes >= PAGE_BYTES {
                page.end = Some(Boundary(thread.latest_seq));
                break;
            }
            bytes += root.pdu.size_bytes();
            page.events.push(root);
        }
        Ok(page)
    }

    /// A thread as the user sees it. None if it is not to be listed.
    async fn look_at_thread(
        &self,
        view: &mut View,
        thread: FoundThread,
        participated: bool,
        from: Option<Boundary>,
    ) -> Result<Option<FoundThread>> {
        let FoundThread { key, record, .. } = thread;
        let Some(root) = self.event(&key.room_id, &key.event_id).await? else { return Ok(None) };
        if !self.shows(view, &root).await? {
            return Ok(None);
        }
        let Some(seen) = self.thread_for(view, &root, &record).await? else { return Ok(None) };
        let latest_seq = seen.latest.seq;
        let is_wanted =
            (!participated || seen.has_participated) && from.is_none_or(|from| latest_seq <= from.0);
        Ok(is_wanted.then_some(FoundThread { latest_seq, root: Some(root), key, record }))
    }

    /// The event nearest to a time: the first not before it, or the last not after it.
    /// <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event>
    pub async fn event_near(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        ts: u64,
        forwards: bool,
    ) -> Result<Arc<TimelineEvent>> {
        let mut view = self.view(user_id, room_id).await?;
        // Times rise with places, as far as the clocks of the senders' servers do.
        let (mut low, mut high) = (0, self.head(room_id).await?.map_or(0, |head| head.seq));
        while low < high {
            let middle = low + (high - low) / 2 + 1;
            match self.event_at(room_id, middle).await? {
                Some(event) if u64::from(event.pdu.origin_server_ts.get()) < ts => low = middle,
                _ => high = middle - 1,
            }
        }
        let not_found = || RoomsError::NotFound("there is no event near that time".into());
        let all = EventFilter::default();
        let page = self.messages(&mut view, Some(Boundary(low)), None, forwards, 1, &all).await?;
        if !forwards {
            // Events of just that time come after the boundary.
            let exact = self.messages(&mut view, Some(Boundary(low)), None, true, 1, &all).await?;
            if let Some(event) =
                exact.events.into_iter().find(|e| u64::from(e.pdu.origin_server_ts.get()) == ts)
            {
                return Ok(event);
            }
        }
        page.events.into_iter().next().ok_or_else(not_found)
    }
}
