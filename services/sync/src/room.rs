//! One room in the answer to a sync.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    vec,
};

use linkspan_domain::SharedPdu;
use linkspan_push::UnreadCount;
use linkspan_rooms::{Boundary, EventFilter, Reader, ReceiptKind, Standing, StateEntry, TimelineEvent, View};
use linkspan_storage::{
    Position, Stamped,
    records::{MembershipRecord, RoomHeadRecord},
};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, UserId,
    api::client::filter::LazyLoadOptions,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::{Value, json};

use crate::{
    Ask, Event, Events, InvitedRoom, JoinedRoom, KnockedRoom, LeftRoom, Result, StateAfter, StateChange,
    Summary, Sync, SyncRequest, Timeline, UnreadCounts,
    changes::{RoomChange, account_data_json, is_news, raw},
    pieces::SyncedRoom,
};

/// The number of events in a timeline, unless the filter says otherwise.
const TIMELINE_LIMIT: usize = 10;
/// The most events in a timeline.
pub(crate) const MAX_TIMELINE_LIMIT: usize = 500;
/// The most events that are read at once.
const MAX_PAGE: usize = 64;
/// The most events that are looked at for one timeline. A filter may refuse many.
const MAX_LOOK: usize = 2_000;
/// A timeline that has about so many bytes gets no further event; the client pages back for the others.
const TIMELINE_BYTES: usize = 256 << 10;
/// Once all timelines of an answer have about so many bytes, each further one gets a single event.
const ANSWER_TIMELINE_BYTES: usize = 8 << 20;
/// How many members name a room that has no name.
const HEROES: usize = 5;

/// How many events of a room's state are read at once. Each may have 64 KiB.
const STATE_PIECE: usize = 32;
/// Once the events of a room's state have about so many bytes, the others are told while the answer is sent.
const STATE_BYTES: usize = 256 << 10;

/// The part of a room's timeline that an answer shows.
pub(crate) struct Part {
    pub(crate) events: Vec<Arc<TimelineEvent>>,
    pub(crate) limited: bool,
    /// The place of the first event that was looked at. If there was none, it is the place of the next event
    /// to come.
    pub(crate) first: i64,
    /// The place of the last event that the answer knows of.
    pub(crate) last: i64,
}

/// A moment in a room's history.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// The moment is after the event at this place.
    place: i64,
    /// The number of the state at that moment, if it is known.
    state: Option<u64>,
}

impl Moment {
    fn before(event: &TimelineEvent) -> Self {
        Self { place: event.seq - 1, state: Some(event.state_before) }
    }
}

/// The moment for which each entry of a room's state is told, beside a part of its timeline.
#[derive(Debug)]
struct Moments {
    /// The moment before the timeline.
    start: Moment,
    /// The moment after the timeline.
    end: Moment,
    /// The keys of the state that the client takes from the timeline, by type.
    shown: HashMap<String, HashSet<String>>,
}

impl Moments {
    fn new(view: &View, part: &Part, state_after: StateAfter) -> Self {
        let end = match view.standing {
            Standing::Left { seq, state } if seq <= part.last => Moment { place: seq, state: Some(state) },
            _ => Moment { place: part.last, state: None },
        };
        let start = part.events.first().map_or(end, |event| Moment::before(event));
        let mut shown: HashMap<String, HashSet<String>> = HashMap::new();
        if state_after == StateAfter::No {
            for event in &part.events {
                if let Some(state_key) = event.pdu.state_key.as_deref() {
                    let of_type = shown.entry(event.pdu.event_type.to_string()).or_default();
                    of_type.insert(state_key.to_owned());
                }
            }
        }
        Self { start, end, shown }
    }

    /// The moment for which an entry is told. An entry that the timeline shows is told as it was before the
    /// timeline. Another one is told nowhere else, and so as it is after the timeline.
    fn of(&self, event_type: &str, state_key: &str) -> Moment {
        let is_shown = self.shown.get(event_type).is_some_and(|keys| keys.contains(state_key));
        if is_shown { self.start } else { self.end }
    }

    fn of_entry(&self, entry: &StateEntry) -> Moment {
        self.of(&entry.event_type, &entry.state_key)
    }

    /// The users whose memberships a client needs to show the timeline, each as it was when the user first
    /// speaks. A user whose membership an earlier event of the timeline shows is known from there.
    fn of_speakers(&self, part: &Part) -> BTreeMap<OwnedUserId, Moment> {
        let members = self.shown.get("m.room.member");
        let mut known = HashSet::new();
        let mut speakers = BTreeMap::new();
        for event in &part.events {
            let sender = &event.pdu.sender;
            if !known.contains(sender.as_str()) && !speakers.contains_key(sender) {
                let is_shown = members.is_some_and(|members| members.contains(sender.as_str()));
                speakers.insert(sender.clone(), if is_shown { Moment::before(event) } else { self.end });
            }
            if let Some(member) = event.pdu.state_key.as_deref()
                && members.is_some_and(|members| members.contains(member))
            {
                known.insert(member);
            }
        }
        speakers
    }
}

/// What an answer has not told yet of the state of a room, because it is large.
#[derive(Debug)]
pub(crate) struct RestOfState {
    view: View,
    entries: vec::IntoIter<StateEntry>,
    moments: Moments,
    whole: bool,
}

impl RestOfState {
    /// Leaves an entry out.
    fn leave_out(&mut self, event: &SharedPdu) {
        let is_it = |entry: &StateEntry| {
            entry.event_type == event.event_type.to_string()
                && Some(entry.state_key.as_str()) == event.state_key.as_deref()
        };
        let kept: Vec<_> = self.entries.by_ref().filter(|entry| !is_it(entry)).collect();
        self.entries = kept.into_iter();
    }
}

impl Ask {
    /// The most events of a timeline that the client wants.
    fn timeline_limit(&self) -> usize {
        self.filter.definition.room.timeline.limit.map_or(TIMELINE_LIMIT, |limit| {
            usize::try_from(u64::from(limit)).unwrap_or(MAX_TIMELINE_LIMIT).min(MAX_TIMELINE_LIMIT)
        })
    }
}

impl Sync {
    pub(crate) async fn synced_room(
        &self,
        ask: &Ask,
        room_id: &OwnedRoomId,
        change: &RoomChange,
    ) -> Result<Option<SyncedRoom>> {
        let user_id = &ask.request.user_id;
        let Some(stored) = self.rooms.membership_record(user_id, room_id).await? else { return Ok(None) };
        let Stamped { position, value: record } = stored;
        let is_new = position > ask.since_position();
        Ok(match record.membership {
            MembershipState::Join => {
                self.joined_room(ask, room_id, change, position).await?.map(SyncedRoom::Join)
            }
            // A client that was told of a request learns that the user has deleted it: as of a room that was left.
            MembershipState::Invite
                if is_new && record.is_request && record.is_hidden && ask.since.is_some() =>
            {
                Some(SyncedRoom::Leave(LeftRoom::default()))
            }
            MembershipState::Invite if is_new && !self.rooms.hides_invitation(user_id, &record).await? => {
                let invite_state = stripped(record);
                Some(SyncedRoom::Invite(InvitedRoom { invite_state }))
            }
            MembershipState::Knock if is_new => {
                Some(SyncedRoom::Knock(KnockedRoom { knock_state: stripped(record) }))
            }
            MembershipState::Leave | MembershipState::Ban if is_new && !record.is_hidden => {
                let is_told_whole = ask.filter.definition.room.include_leave && !record.forgotten;
                let wanted = ask.since.is_some() || is_told_whole;
                match wanted {
                    true => self.left_room(ask, room_id, &record).await?.map(SyncedRoom::Leave),
                    false => None,
                }
            }
            _ => None,
        })
    }

    async fn joined_room(
        &self,
        ask: &Ask,
        room_id: &OwnedRoomId,
        change: &RoomChange,
        member_since: Position,
    ) -> Result<Option<JoinedRoom>> {
        let user_id = &ask.request.user_id;
        let Some(head) = self.rooms.head(room_id).await? else { return Ok(None) };
        // A user who was not in the room at the token is told of it as a whole.
        let was_joined = match ask.since {
            None => false,
            Some(since) if member_since <= since.position => true,
            Some(since) => {
                self.membership_at(room_id, user_id, since.position).await? == Some(MembershipState::Join)
            }
        };
        let was_joined = was_joined && !self.may_be_new_to_filter(ask, room_id).await?;
        let whole = !was_joined || ask.request.full_state;
        let since = if was_joined { ask.since_position() } else { Position::ZERO };

        let mut room = JoinedRoom::default();
        let mut news = whole;
        if change.events || whole {
            let mut view = self.rooms.view(user_id, room_id).await?;
            let part = self.part(ask, &mut view, head.seq, since, ask.timeline_limit()).await?;
            let reader =
                Reader { device_id: &ask.request.device_id, now_ts: ask.now_ts, with_room_id: false };
            let (state, entries) = self.state(ask, &mut view, &part, since, whole).await?;
            let names_changed = whole
                || entries.is_some()
                || part.events.iter().any(|event| event.pdu.event_type == TimelineEventType::RoomMember)
                || state.iter().any(|pdu| pdu.event_type == TimelineEventType::RoomMember);
            news |= !part.events.is_empty() || !state.is_empty();
            if names_changed {
                room.summary = self.summary(user_id, room_id, head.joined, head.invited).await?;
            }
            let state = self.formatted(ask, room_id, self.rooms.render_state(&state, reader)).await?;
            room.state = state_change(ask, state);
            let events = self.rooms.render_all(&mut view, &part.events, reader).await?;
            room.timeline = Timeline {
                events: self.formatted(ask, room_id, events).await?,
                limited: part.limited,
                prev_batch: Some(Boundary(part.first - 1).to_string()),
            };
            room.rest = entries.map(|(entries, moments)| RestOfState { view, entries, moments, whole });
        }
        let receipts_since = if whole { Position::ZERO } else { since };
        if (change.receipts || whole) && ask.filter.wants_ephemeral(room_id, "m.receipt") {
            room.ephemeral.events.extend(self.receipts(ask, room_id, receipts_since).await?);
        }
        if (whole || ask.typing.contains(room_id)) && ask.filter.wants_ephemeral(room_id, "m.typing") {
            let typing = self.typing(ask, room_id);
            if !whole || !typing.is_empty() {
                let event = json!({ "type": "m.typing", "content": { "user_ids": typing } });
                room.ephemeral.events.extend(raw(event.to_string()));
            }
        }
        let filter = &ask.filter.room_account_data;
        if (change.account_data || whole) && filter.matches_room(room_id) && filter.matches_sender(user_id) {
            for item in self.accounts.list_account_data(user_id, Some(room_id)).await? {
                let wanted = if whole { !item.deleted } else { is_news(ask, &item) };
                if wanted && filter.matches_type(&item.event_type) {
                    room.account_data.events.push(account_data_json(&item));
                }
            }
        }
        news |= !room.ephemeral.events.is_empty() || !room.account_data.events.is_empty();
        // Although the client wants no receipts, it is told what is still unread after the user's own.
        if !news && change.receipts {
            news = self.has_read_on(user_id, room_id, receipts_since).await?;
        }
        if !news {
            return Ok(None);
        }
        self.count_unread(ask, room_id, &head, &mut room).await?;
        Ok(Some(room))
    }

    /// Whether the filter lets a room through by the platforms of the people in it.
    pub(crate) async fn is_of_wanted_platforms(&self, ask: &Ask, room_id: &OwnedRoomId) -> Result<bool> {
        let Some(wanted) = ask.filter.is_cross_platform else { return Ok(true) };
        Ok(self.rooms.is_cross_platform(&ask.request.user_id, room_id).await? == wanted)
    }

    /// Whether people of other platforms have come or gone since the token, so that the filter may let the room through
    /// only since then. A client that was not told of it before has to be told of it as a whole.
    async fn may_be_new_to_filter(&self, ask: &Ask, room_id: &OwnedRoomId) -> Result<bool> {
        if ask.filter.is_cross_platform.is_none() {
            return Ok(false);
        }
        let own = ask.request.user_id.server_name();
        let is_other = |member: &str| UserId::parse(member).is_ok_and(|member| member.server_name() != own);
        let changed = self.rooms.state_changes(room_id, ask.since_position()).await?;
        Ok(changed.iter().any(|entry| entry.event_type == "m.room.member" && is_other(&entry.state_key)))
    }

    async fn count_unread(
        &self,
        ask: &Ask,
        room_id: &OwnedRoomId,
        head: &RoomHeadRecord,
        room: &mut JoinedRoom,
    ) -> Result<()> {
        let unread = self.push.unread_at(&ask.request.user_id, room_id, head).await?;
        let counts = |count: UnreadCount| UnreadCounts {
            notification_count: count.notify,
            highlight_count: count.highlight,
        };
        if ask.filter.definition.room.timeline.unread_thread_notifications {
            room.unread_notifications = counts(unread.main);
            let threads = unread.threads.into_iter();
            room.unread_thread_notifications = threads.map(|(root, count)| (root, counts(count))).collect();
        } else {
            room.unread_notifications = counts(unread.total());
        }
        Ok(())
    }

    async fn left_room(
        &self,
        ask: &Ask,
        room_id: &OwnedRoomId,
        record: &MembershipRecord,
    ) -> Result<Option<LeftRoom>> {
        let user_id = &ask.request.user_id;
        let Some(left) = self.rooms.event_at(room_id, record.seq).await? else {
            // An operator has deleted the room: all that is left to tell is that the user is not in it any more.
            return Ok((record.forgotten && ask.since.is_some()).then(LeftRoom::default));
        };
        // If the user knew already that the room was left, forgetting it is no news.
        if record.forgotten && left.position <= ask.since_position() {
            return Ok(None);
        }
        let reader = Reader { device_id: &ask.request.device_id, now_ts: ask.now_ts, with_room_id: false };
        let limit = ask.timeline_limit();
        let passes = |filter: &EventFilter| filter.matches_room(room_id) && filter.matches(&left.pdu);
        let in_timeline = limit > 0 && passes(&ask.filter.timeline);
        let mut timeline = Timeline::default();
        let mut state = Vec::new();
        let mut rest = None;
        let mut is_shown = false;
        let view = self.rooms.view(user_id, room_id).await.ok();
        // A user who declined an invitation, or whose invitation was taken back, has never seen the room and
        // learns only that.
        if let Some(mut view) = view
            && let Standing::Left { seq: end, .. } = view.standing
        {
            let was_joined = self.knew_room(ask, room_id, end).await?;
            let since = if was_joined { ask.since_position() } else { Position::ZERO };
            // A ban after the user left, or its end, is the only later event that is told.
            let is_later = left.seq > end && in_timeline;
            let part = self.part(ask, &mut view, record.seq, since, limit - usize::from(is_later)).await?;
            is_shown = part.events.iter().any(|event| event.seq == left.seq);
            let (told, entries) = self.state(ask, &mut view, &part, since, !was_joined).await?;
            state = told;
            timeline = Timeline {
                events: self.rooms.render_all(&mut view, &part.events, reader).await?,
                limited: part.limited,
                prev_batch: Some(Boundary(part.first - 1).to_string()),
            };
            let whole = !was_joined;
            rest = entries.map(|(entries, moments)| RestOfState { view, entries, moments, whole });
        }
        if !is_shown && in_timeline {
            timeline.events.extend(self.rooms.render_state([&left.pdu], reader));
        }
        let in_state = !in_timeline || ask.request.state_after != StateAfter::No;
        if !is_shown && in_state && passes(&ask.filter.state) {
            state.retain(|pdu| pdu.state_entry() != left.pdu.state_entry());
            state.push(left.pdu.clone());
            if let Some(rest) = &mut rest {
                rest.leave_out(&left.pdu);
            }
        }
        let state = self.formatted(ask, room_id, self.rooms.render_state(&state, reader)).await?;
        let state = state_change(ask, state);
        timeline.events = self.formatted(ask, room_id, timeline.events).await?;
        Ok(Some(LeftRoom { timeline, account_data: Events::default(), state, rest }))
    }

    /// Whether a client knows a room that the user has left with the event at the place `end`. It does if the
    /// user was joined at the token, or the client was told then how the membership ended.
    async fn knew_room(&self, ask: &Ask, room_id: &OwnedRoomId, end: i64) -> Result<bool> {
        let Some(since) = ask.since else { return Ok(false) };
        let end = self.rooms.event_at(room_id, end).await?;
        if end.is_some_and(|end| end.position <= since.position) {
            return Ok(true);
        }
        let before = self.membership_at(room_id, &ask.request.user_id, since.position).await?;
        Ok(before == Some(MembershipState::Join))
    }

    /// A user's membership at a position.
    pub(crate) async fn membership_at(
        &self,
        room_id: &OwnedRoomId,
        user_id: &OwnedUserId,
        position: Position,
    ) -> Result<Option<MembershipState>> {
        let kind = StateEventType::RoomMember;
        let Some(record) = self.rooms.membership_record(user_id, room_id).await? else { return Ok(None) };
        let mut event = self.rooms.event_at(room_id, record.value.seq).await?;
        while let Some(current) = event {
            if current.position <= position {
                return Ok(current.pdu.membership());
            }
            let before =
                self.rooms.state_entry_in(room_id, current.state_before, &kind, user_id.as_str()).await?;
            event = match before {
                Some(event_id) => self.rooms.event(room_id, &event_id).await?,
                None => None,
            };
        }
        Ok(None)
    }

    /// The newest events after `since` that the user may see, as many as the client wants.
    pub(crate) async fn part(
        &self,
        ask: &Ask,
        view: &mut View,
        head: i64,
        since: Position,
        limit: usize,
    ) -> Result<Part> {
        let filter = &ask.filter.timeline;
        let wanted = filter.matches_room(&view.room.id) && !filter.is_closed();
        let mut part = Part { events: Vec::new(), limited: false, first: head + 1, last: head };
        let mut at = head;
        let (mut looked, mut bytes) = (0, 0);
        let is_answer_full = ask.timeline_bytes.load(Ordering::Relaxed) >= ANSWER_TIMELINE_BYTES;
        let most_bytes = if is_answer_full { 1 } else { TIMELINE_BYTES };
        // Usually only a few events are new. The more there are, the more are read at once.
        let mut page_size = 4;
        'look: while at > 0 {
            let page = self.rooms.timeline_back(&view.room.id, at, 0, page_size.min(limit + 1)).await?;
            if page.is_empty() {
                break;
            }
            page_size = (page_size * 2).min(MAX_PAGE);
            for event in page {
                at = event.seq - 1;
                if event.position > ask.until.position {
                    part.first = event.seq;
                    part.last = event.seq - 1;
                    continue;
                }
                if !wanted || event.position <= since {
                    break 'look;
                }
                looked += 1;
                let shown = self.rooms.keeps(view, &ask.filter.timeline, &event.pdu).await?
                    && (self.rooms.shows(view, &event).await? || self.is_in_state(view, &event).await?);
                let is_full = part.events.len() == limit || bytes >= most_bytes;
                if shown && is_full || looked > MAX_LOOK {
                    part.limited = true;
                    break 'look;
                }
                part.first = event.seq;
                if shown {
                    bytes += event.pdu.size_bytes();
                    part.events.push(event);
                }
            }
        }
        ask.timeline_bytes.fetch_add(bytes, Ordering::Relaxed);
        part.events.reverse();
        Ok(part)
    }

    /// Whether the event is in the state that the user may read. Then it is told even if the user may not see
    /// the past that it is from. The state before the timeline does not have it, so nothing else would tell
    /// it.
    async fn is_in_state(&self, view: &View, event: &TimelineEvent) -> Result<bool> {
        let Some(state_key) = event.pdu.state_key.as_deref().filter(|_| !view.hides(&event.pdu)) else {
            return Ok(false);
        };
        let kind = StateEventType::from(event.pdu.event_type.to_string());
        let set = self.state_seen(view, &kind, state_key).await?;
        Ok(set.is_some_and(|set| set.event_id == event.pdu.event_id))
    }

    /// An entry of the state that the user may read. This is the current state, or the one with which the
    /// user left.
    pub(crate) async fn state_seen(
        &self,
        view: &View,
        kind: &StateEventType,
        state_key: &str,
    ) -> Result<Option<SharedPdu>> {
        let room_id = &view.room.id;
        match view.standing {
            Standing::Joined => Ok(self.rooms.state_event(room_id, kind, state_key).await?),
            Standing::Left { state, .. } => {
                Ok(self.rooms.state_event_in(room_id, state, kind, state_key).await?)
            }
            Standing::Outside => Ok(None),
        }
    }

    /// The state events that go with a part of the timeline. Together with those that the part shows, they
    /// are the whole state or everything of it that has changed. That holds also where the filter has dropped
    /// events of the timeline. Where they are many, the entries come with them of those that are not among them.
    async fn state(
        &self,
        ask: &Ask,
        view: &mut View,
        part: &Part,
        since: Position,
        whole: bool,
    ) -> Result<(Vec<SharedPdu>, Option<(vec::IntoIter<StateEntry>, Moments)>)> {
        let room_id = &view.room.id.clone();
        if !ask.filter.state.matches_room(room_id) {
            return Ok((Vec::new(), None));
        }
        let lazy = match ask.filter.definition.room.state.lazy_load_options {
            LazyLoadOptions::Enabled { include_redundant_members } => Some(include_redundant_members),
            _ => None,
        };
        let entries = match (whole, lazy) {
            (true, Some(_)) => self.rooms.state_entries_without_members(room_id).await?,
            (true, None) => self.rooms.state_entries(room_id).await?,
            (false, _) => self.rooms.state_changes(room_id, since).await?,
        };
        let moments = Moments::new(view, part, ask.request.state_after);
        let mut entries = match whole {
            true => entries.into_iter(),
            false => {
                let mut newest: BTreeMap<(String, String), StateEntry> = BTreeMap::new();
                for entry in entries.into_iter().filter(|entry| entry.seq <= moments.of_entry(entry).place) {
                    newest.insert((entry.event_type.clone(), entry.state_key.clone()), entry);
                }
                newest.into_values().collect::<Vec<_>>().into_iter()
            }
        };
        let (mut wanted, mut bytes) = (Vec::new(), 0);
        while bytes < STATE_BYTES
            && let Some(events) = self.next_entries(ask, view, &mut entries, &moments, whole).await?
        {
            bytes += events.iter().map(|pdu| pdu.size_bytes()).sum::<usize>();
            wanted.extend(events);
        }
        if let Some(redundant) = lazy {
            self.add_lazy_members(ask, view, (part, &moments), whole, redundant, &mut wanted).await?;
        }
        let rest = (!entries.as_slice().is_empty()).then_some((entries, moments));
        Ok((self.rooms.state_for(view, wanted).await?, rest))
    }

    /// The wanted ones of the next events of a room's state; None at their end.
    async fn next_entries(
        &self,
        ask: &Ask,
        view: &mut View,
        entries: &mut vec::IntoIter<StateEntry>,
        moments: &Moments,
        whole: bool,
    ) -> Result<Option<Vec<SharedPdu>>> {
        let room_id = &view.room.id.clone();
        let entries: Vec<_> = entries.by_ref().take(STATE_PIECE).collect();
        if entries.is_empty() {
            return Ok(None);
        }
        ask.give_way().await?;
        let mut events = Vec::with_capacity(entries.len());
        if whole {
            let seqs: Vec<i64> = entries.iter().map(|entry| entry.seq).collect();
            for (entry, now) in entries.iter().zip(self.rooms.events_at(room_id, &seqs).await?) {
                let moment = moments.of_entry(entry);
                events.extend(match now {
                    Some(event) if entry.seq <= moment.place => Some(event.pdu.clone()),
                    _ => self.entry_at(room_id, entry, moment).await?,
                });
            }
        } else {
            events = self.entry_events(room_id, entries.iter()).await?;
        }
        let mut wanted = Vec::with_capacity(events.len());
        for pdu in events {
            if self.rooms.keeps(view, &ask.filter.state, &pdu).await? {
                wanted.push(pdu);
            }
        }
        Ok(Some(wanted))
    }

    /// The next events of what is still to be told of a room's state, of which there may be none; None at their end.
    pub(crate) async fn next_of_rest(&self, ask: &Ask, rest: &mut RestOfState) -> Result<Option<Vec<Event>>> {
        let RestOfState { view, entries, moments, whole } = rest;
        let Some(events) = self.next_entries(ask, view, entries, moments, *whole).await? else {
            return Ok(None);
        };
        let events = self.rooms.state_for(view, events).await?;
        let reader = Reader { device_id: &ask.request.device_id, now_ts: ask.now_ts, with_room_id: false };
        let events = self.rooms.render_state(&events, reader);
        Ok(Some(self.formatted(ask, &view.room.id, events).await?))
    }

    pub(crate) async fn entry_event(
        &self,
        room_id: &OwnedRoomId,
        entry: &StateEntry,
    ) -> Result<Option<SharedPdu>> {
        let event = match entry.seq {
            0 => self.rooms.event(room_id, &entry.event_id).await?,
            seq => self.rooms.event_at(room_id, seq).await?,
        };
        Ok(event.map(|event| event.pdu.clone()))
    }

    /// The events of entries of the current state, in the same order, without those that are hidden.
    pub(crate) async fn entry_events(
        &self,
        room_id: &OwnedRoomId,
        entries: impl Iterator<Item = &StateEntry>,
    ) -> Result<Vec<SharedPdu>> {
        let seqs: Vec<i64> = entries.map(|entry| entry.seq).collect();
        let events = self.rooms.events_at(room_id, &seqs).await?;
        Ok(events.into_iter().flatten().map(|event| event.pdu.clone()).collect())
    }

    /// An entry of the current state as it was at a moment.
    async fn entry_at(
        &self,
        room_id: &OwnedRoomId,
        entry: &StateEntry,
        moment: Moment,
    ) -> Result<Option<SharedPdu>> {
        if entry.seq <= moment.place {
            return self.entry_event(room_id, entry).await;
        }
        let state = match moment.state {
            Some(state) => state,
            None => match self.rooms.timeline_back(room_id, moment.place, 0, 1).await?.first() {
                Some(event) => event.state_after,
                None => return Ok(None),
            },
        };
        let event_type = StateEventType::from(entry.event_type.as_str());
        Ok(self.rooms.state_event_in(room_id, state, &event_type, &entry.state_key).await?)
    }

    /// Adds the memberships that lazy loading needs: those of users who speak in the timeline, and of those
    /// who name the room.
    async fn add_lazy_members(
        &self,
        ask: &Ask,
        view: &mut View,
        (part, moments): (&Part, &Moments),
        whole: bool,
        redundant: bool,
        events: &mut Vec<SharedPdu>,
    ) -> Result<()> {
        let room_id = &view.room.id.clone();
        let mut wanted = moments.of_speakers(part);
        if whole {
            for member in self.heroes(&view.user_id, room_id).await?.into_iter().chain([view.user_id.clone()])
            {
                let moment = moments.of("m.room.member", member.as_str());
                wanted.entry(member).or_insert(moment);
            }
        }
        for pdu in events.iter().filter(|pdu| pdu.event_type == TimelineEventType::RoomMember) {
            if let Some(member) = pdu.state_key.as_deref().and_then(|id| OwnedUserId::try_from(id).ok()) {
                self.note_member(ask, room_id, &member, &pdu.event_id);
                wanted.remove(&member);
            }
        }
        for (member, moment) in wanted {
            let kind = StateEventType::RoomMember;
            let current = self.rooms.current_entry(room_id, &kind, member.as_str()).await?;
            let Some(entry) = current else { continue };
            let Some(pdu) = self.entry_at(room_id, &entry, moment).await? else { continue };
            let is_new = self.note_member(ask, room_id, &member, &pdu.event_id);
            if (is_new || redundant || whole) && self.rooms.keeps(view, &ask.filter.state, &pdu).await? {
                events.push(pdu);
            }
        }
        Ok(())
    }

    /// Notes a member event that the client is sent. Returns false if it has it already.
    fn note_member(
        &self,
        ask: &Ask,
        room_id: &OwnedRoomId,
        member: &OwnedUserId,
        event_id: &OwnedEventId,
    ) -> bool {
        let SyncRequest { user_id, device_id, .. } = &*ask.request;
        ask.is_being_sent || self.sent_members.note(device_id, user_id, room_id, member, event_id)
    }

    async fn summary(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        joined: u64,
        invited: u64,
    ) -> Result<Summary> {
        let heroes = self.heroes(user_id, room_id).await?;
        Ok(Summary {
            heroes: (!heroes.is_empty()).then_some(heroes),
            joined: Some(joined),
            invited: Some(invited),
        })
    }

    /// The members that name a room without a name.
    /// <https://spec.matrix.org/v1.19/client-server-api/#calculating-the-display-name-for-a-room>
    pub(crate) async fn heroes(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<Vec<OwnedUserId>> {
        for (event_type, field) in
            [(StateEventType::RoomName, "name"), (StateEventType::RoomCanonicalAlias, "alias")]
        {
            let event = self.rooms.state_event(room_id, &event_type, "").await?;
            let content: Option<Value> = event.and_then(|event| event.content_as());
            if content.and_then(|content| content.get(field)?.as_str().map(|text| !text.is_empty()))
                == Some(true)
            {
                return Ok(Vec::new());
            }
        }
        Ok(self.rooms.heroes(room_id, user_id, HEROES).await?)
    }

    /// Whether the user has read on in a room, which changes its counts.
    pub(crate) async fn has_read_on(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        since: Position,
    ) -> Result<bool> {
        let receipts = self.rooms.receipts_since(user_id, room_id, since).await?;
        Ok(receipts.iter().any(|receipt| receipt.user_id == *user_id))
    }

    /// The receipts that have changed, as one event.
    pub(crate) async fn receipts(
        &self,
        ask: &Ask,
        room_id: &OwnedRoomId,
        since: Position,
    ) -> Result<Option<Event>> {
        let mut receipts = self.rooms.receipts_since(&ask.request.user_id, room_id, since).await?;
        receipts.retain(|receipt| {
            ask.filter.ephemeral.matches_sender(&receipt.user_id) && !ask.ignored.contains(&receipt.user_id)
        });
        if receipts.is_empty() {
            return Ok(None);
        }
        // A user has one receipt for an event here. That of the whole room comes last, so it takes the place
        // of one in a thread (MSC4102).
        receipts.sort_by_key(|receipt| receipt.thread.is_empty());
        let mut content = json!({});
        for receipt in receipts {
            let kind = match receipt.kind {
                ReceiptKind::Public => "m.read",
                ReceiptKind::Private => "m.read.private",
            };
            let mut value = json!({ "ts": receipt.ts });
            if !receipt.thread.is_empty() {
                value["thread_id"] = receipt.thread.into();
            }
            content[receipt.event_id.as_str()][kind][receipt.user_id.as_str()] = value;
        }
        Ok(raw(json!({ "type": "m.receipt", "content": content }).to_string()))
    }
}

/// The state under the name that the client asked for.
fn state_change(ask: &Ask, events: Vec<Event>) -> StateChange {
    let events = Events { events };
    match ask.request.state_after {
        StateAfter::No => StateChange::Before(events),
        StateAfter::Stable => StateChange::After(events),
        StateAfter::Unstable => StateChange::AfterUnstable(events),
    }
}

fn stripped(record: MembershipRecord) -> Events {
    Events { events: record.stripped_state.into_iter().filter_map(raw).collect() }
}
