//! One room in an answer.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use linkspan_domain::SharedPdu;
use linkspan_push::UnreadCount;
use linkspan_rooms::{Boundary, Reader, ReceiptKind, Standing, StateEntry, TimelineEvent, View};
use linkspan_storage::{
    Position, Stamped,
    records::{MembershipRecord, RoomHeadRecord},
};
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::client::filter::LazyLoadOptions,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Value, json};

use crate::{
    Ask, Event, Events, InvitedRoom, JoinedRoom, KnockedRoom, LeftRoom, Result, StateAfter, StateChange,
    Summary, Sync, SyncedRooms, Timeline, UnreadCounts,
    changes::{RoomChange, account_data_json, is_news, raw},
};

/// Events of a timeline, unless the filter says otherwise.
const TIMELINE_LIMIT: usize = 10;
/// Events of a timeline at most.
pub(crate) const MAX_TIMELINE_LIMIT: usize = 500;
/// Events that are read at once.
const MAX_PAGE: usize = 64;
/// Events that are looked at for one timeline: filters may refuse many.
const MAX_LOOK: usize = 2_000;
/// Members that name a room without a name.
const HEROES: usize = 5;

/// The part of a room's timeline that an answer shows.
pub(crate) struct Part {
    pub(crate) events: Vec<Arc<TimelineEvent>>,
    pub(crate) limited: bool,
    /// The place of the first event shown, or of the next to come.
    pub(crate) first: i64,
}

impl Ask<'_> {
    /// Events of a timeline that the client wants at most.
    fn timeline_limit(&self) -> usize {
        self.filter.definition.room.timeline.limit.map_or(TIMELINE_LIMIT, |limit| {
            usize::try_from(u64::from(limit)).unwrap_or(MAX_TIMELINE_LIMIT).min(MAX_TIMELINE_LIMIT)
        })
    }
}

impl Sync {
    pub(crate) async fn add_room(
        &self,
        ask: &Ask<'_>,
        room_id: &OwnedRoomId,
        change: &RoomChange,
        rooms: &mut SyncedRooms,
    ) -> Result<()> {
        let user_id = &ask.request.user_id;
        let Some(stored) = self.rooms.membership_record(user_id, room_id).await? else { return Ok(()) };
        let Stamped { position, value: record } = stored;
        let is_new = position > ask.since_position();
        match record.membership.as_str() {
            "join" => {
                if let Some(room) = self.joined_room(ask, room_id, change, position).await? {
                    rooms.join.insert(room_id.clone(), room);
                }
            }
            "invite"
                if is_new
                    && !ask.ignored.contains(&record.sender)
                    && self.rooms.takes_invites(&ask.request.user_id).await? =>
            {
                let invite_state = stripped(record);
                rooms.invite.insert(room_id.clone(), InvitedRoom { invite_state });
            }
            "knock" if is_new => {
                rooms.knock.insert(room_id.clone(), KnockedRoom { knock_state: stripped(record) });
            }
            "leave" | "ban" if is_new && !record.forgotten => {
                let wanted = ask.since.is_some() || ask.filter.definition.room.include_leave;
                if wanted && let Some(room) = self.left_room(ask, room_id, &record).await? {
                    rooms.leave.insert(room_id.clone(), room);
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn joined_room(
        &self,
        ask: &Ask<'_>,
        room_id: &OwnedRoomId,
        change: &RoomChange,
        member_since: Position,
    ) -> Result<Option<JoinedRoom>> {
        let user_id = &ask.request.user_id;
        let Some(head) = self.rooms.head(room_id).await? else { return Ok(None) };
        // Told as a whole to who was not in it at the token.
        let was_joined = match ask.since {
            None => false,
            Some(since) if member_since <= since.position => true,
            Some(since) => {
                self.membership_at(room_id, user_id, since.position).await?.as_deref() == Some("join")
            }
        };
        let whole = !was_joined || ask.request.full_state;
        let since = if was_joined { ask.since_position() } else { Position::ZERO };

        let mut room = JoinedRoom::default();
        let mut news = whole;
        if change.events || whole {
            let mut view = self.rooms.view(user_id, room_id).await?;
            let part = self.part(ask, &mut view, head.seq, since, ask.timeline_limit()).await?;
            let reader =
                Reader { device_id: &ask.request.device_id, now_ts: ask.now_ts, with_room_id: false };
            let state = self.state(ask, &mut view, &part, since, whole).await?;
            let names_changed = whole
                || part.events.iter().any(|event| event.pdu.event_type == TimelineEventType::RoomMember)
                || state.iter().any(|pdu| pdu.event_type == TimelineEventType::RoomMember);
            news |= !part.events.is_empty() || !state.is_empty();
            if names_changed {
                room.summary = self.summary(user_id, room_id, head.joined, head.invited).await?;
            }
            room.state = state_change(ask, self.rooms.render_state(&state, reader));
            room.timeline = Timeline {
                events: self.rooms.render_all(&mut view, &part.events, reader).await?,
                limited: part.limited,
                prev_batch: Some(Boundary(part.first - 1).to_string()),
            };
        }
        let receipts_since = if whole { Position::ZERO } else { since };
        if (change.receipts || whole) && ask.filter.ephemeral.matches_type("m.receipt") {
            room.ephemeral.events.extend(self.receipts(ask, room_id, receipts_since).await?);
        }
        if (whole || ask.typing.contains(room_id)) && ask.filter.ephemeral.matches_type("m.typing") {
            let typing = self.inbox.typing(room_id);
            if !whole || !typing.is_empty() {
                let event = json!({ "type": "m.typing", "content": { "user_ids": typing } });
                room.ephemeral.events.extend(raw(event.to_string()));
            }
        }
        if (change.account_data || whole) && ask.filter.account_data.matches_room(room_id) {
            for item in self.accounts.list_account_data(user_id, Some(room_id)).await? {
                let wanted = if whole { !item.deleted } else { is_news(ask, &item) };
                if wanted && ask.filter.account_data.matches_type(&item.event_type) {
                    room.account_data.events.push(account_data_json(&item));
                }
            }
        }
        news |= !room.ephemeral.events.is_empty() || !room.account_data.events.is_empty();
        // Of receipts that are not told, the client is told the counts.
        if !news && change.receipts {
            news = self.rooms.receipts_changed_since(room_id, receipts_since).await?;
        }
        if !news {
            return Ok(None);
        }
        self.count_unread(ask, room_id, &head, &mut room).await?;
        Ok(Some(room))
    }

    async fn count_unread(
        &self,
        ask: &Ask<'_>,
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
        ask: &Ask<'_>,
        room_id: &OwnedRoomId,
        record: &MembershipRecord,
    ) -> Result<Option<LeftRoom>> {
        let user_id = &ask.request.user_id;
        let reader = Reader { device_id: &ask.request.device_id, now_ts: ask.now_ts, with_room_id: false };
        let Some(left) = self.rooms.event_at(room_id, record.seq).await? else { return Ok(None) };
        let mut room = LeftRoom::default();
        let before = match ask.since {
            Some(since) => self.membership_at(room_id, user_id, since.position).await?,
            None => None,
        };
        let view = self.rooms.view(user_id, room_id).await.ok();
        let view = view.filter(|view| matches!(view.standing, Standing::Left { .. }));
        match view {
            Some(mut view) => {
                // Who had left at the token knows how it ended.
                let knows_end = match (ask.since, view.standing) {
                    (Some(since), Standing::Left { seq, .. }) => {
                        let end = self.rooms.event_at(room_id, seq).await?;
                        end.is_some_and(|end| end.position <= since.position)
                    }
                    _ => false,
                };
                let was_joined = knows_end || before.as_deref() == Some("join");
                let since = if was_joined { ask.since_position() } else { Position::ZERO };
                let part = self.part(ask, &mut view, record.seq, since, ask.timeline_limit()).await?;
                let mut state = self.state(ask, &mut view, &part, since, !was_joined).await?;
                let mut events = self.rooms.render_all(&mut view, &part.events, reader).await?;
                // A ban after having left, or its end, is the one later event that is told.
                let is_told = part.events.iter().any(|event| event.seq == left.seq);
                if !is_told && self.rooms.keeps(&mut view, &ask.filter.timeline, &left.pdu).await? {
                    events.extend(self.rooms.render_state([&left.pdu], reader));
                    if ask.request.state_after != StateAfter::No {
                        state.retain(|pdu| {
                            pdu.event_type != left.pdu.event_type || pdu.state_key != left.pdu.state_key
                        });
                        state.push(left.pdu.clone());
                    }
                }
                room.state = state_change(ask, self.rooms.render_state(&state, reader));
                room.timeline = Timeline {
                    events,
                    limited: part.limited,
                    prev_batch: Some(Boundary(part.first - 1).to_string()),
                };
            }
            // Declined, or taken back: the user has never seen the room and learns only that.
            None => room.timeline.events = self.rooms.render_state([&left.pdu], reader),
        }
        Ok(Some(room))
    }

    /// A user's membership as it was at a position.
    pub(crate) async fn membership_at(
        &self,
        room_id: &OwnedRoomId,
        user_id: &OwnedUserId,
        position: Position,
    ) -> Result<Option<String>> {
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

    /// The newest events after `since`, as many as the client wants, that show themselves to the user.
    pub(crate) async fn part(
        &self,
        ask: &Ask<'_>,
        view: &mut View,
        head: i64,
        since: Position,
        limit: usize,
    ) -> Result<Part> {
        let wanted = ask.filter.timeline.matches_room(&view.room.id);
        let mut part = Part { events: Vec::new(), limited: false, first: head + 1 };
        let mut at = head;
        let mut looked = 0;
        // Mostly a few events are new; the more there are, the more are read at once.
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
                    continue;
                }
                if event.position <= since {
                    break 'look;
                }
                looked += 1;
                let shown = wanted
                    && self.rooms.keeps(view, &ask.filter.timeline, &event.pdu).await?
                    && (self.rooms.shows(view, &event).await? || self.is_in_state(view, &event).await?);
                if shown && part.events.len() == limit || looked > MAX_LOOK {
                    part.limited = true;
                    break 'look;
                }
                part.first = event.seq;
                if shown {
                    part.events.push(event);
                }
            }
        }
        part.events.reverse();
        Ok(part)
    }

    /// Whether the event is in the state that the user may read. Then it is told even from a past that is not
    /// shown: the state before the timeline does not have it, and nothing else would tell it.
    async fn is_in_state(&self, view: &View, event: &TimelineEvent) -> Result<bool> {
        let Some(state_key) = event.pdu.state_key.as_deref().filter(|_| !view.hides(&event.pdu)) else {
            return Ok(false);
        };
        let kind = StateEventType::from(event.pdu.event_type.to_string());
        let room_id = &view.room.id;
        let set = match view.standing {
            Standing::Joined => self.rooms.state_event(room_id, &kind, state_key).await?,
            Standing::Left { state, .. } => {
                self.rooms.state_event_in(room_id, state, &kind, state_key).await?
            }
            Standing::Outside => None,
        };
        Ok(set.is_some_and(|set| set.event_id == event.pdu.event_id))
    }

    /// The state events that go with a part of the timeline.
    async fn state(
        &self,
        ask: &Ask<'_>,
        view: &mut View,
        part: &Part,
        since: Position,
        whole: bool,
    ) -> Result<Vec<SharedPdu>> {
        let room_id = &view.room.id.clone();
        if !ask.filter.state.matches_room(room_id) {
            return Ok(Vec::new());
        }
        let after = ask.request.state_after != StateAfter::No;
        let lazy = match ask.filter.definition.room.state.lazy_load_options {
            LazyLoadOptions::Enabled { include_redundant_members } => Some(include_redundant_members),
            _ => None,
        };
        let mut entries = match (whole, lazy) {
            (true, Some(_)) => self.rooms.state_entries_without_members(room_id).await?,
            (true, None) => self.rooms.state_entries(room_id).await?,
            (false, _) => self.rooms.state_changes(room_id, since).await?,
        };
        let last = match view.standing {
            Standing::Left { seq, .. } => seq,
            _ => i64::MAX,
        };
        // As the state was before the first event of the timeline, or after the last one.
        let end = if after { last } else { part.first - 1 };
        let mut events = Vec::new();
        if whole {
            for entry in &mut entries {
                events.extend(self.entry_at(view, entry, part, end).await?);
            }
        } else {
            let mut newest: BTreeMap<(String, String), StateEntry> = BTreeMap::new();
            for entry in entries.into_iter().filter(|entry| entry.seq <= end) {
                newest.insert((entry.event_type.clone(), entry.state_key.clone()), entry);
            }
            for entry in newest.into_values() {
                events.extend(self.entry_event(room_id, &entry).await?);
            }
        }
        let mut wanted = Vec::with_capacity(events.len());
        for pdu in events {
            if self.rooms.keeps(view, &ask.filter.state, &pdu).await? {
                wanted.push(pdu);
            }
        }
        if let Some(redundant) = lazy {
            self.add_lazy_members(ask, view, part, whole, redundant, end, &mut wanted).await?;
        }
        Ok(self.rooms.state_for(view, wanted).await?)
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

    /// An entry of the current state as it was after the event at the place `end`.
    async fn entry_at(
        &self,
        view: &View,
        entry: &StateEntry,
        part: &Part,
        end: i64,
    ) -> Result<Option<SharedPdu>> {
        if entry.seq <= end {
            return self.entry_event(&view.room.id, entry).await;
        }
        let state = match (view.standing, part.events.first()) {
            (Standing::Left { state, .. }, None) => state,
            (_, Some(first)) if first.seq > end => first.state_before,
            (_, _) => match self.rooms.timeline_back(&view.room.id, end, 0, 1).await?.first() {
                Some(event) => event.state_after,
                None => return Ok(None),
            },
        };
        let event_type = StateEventType::from(entry.event_type.as_str());
        Ok(self.rooms.state_event_in(&view.room.id, state, &event_type, &entry.state_key).await?)
    }

    /// The memberships that lazy loading needs: of who speaks in the timeline, of who names the room.
    #[allow(clippy::too_many_arguments)]
    async fn add_lazy_members(
        &self,
        ask: &Ask<'_>,
        view: &mut View,
        part: &Part,
        whole: bool,
        redundant: bool,
        end: i64,
        events: &mut Vec<SharedPdu>,
    ) -> Result<()> {
        let room_id = &view.room.id.clone();
        let mut wanted: HashSet<OwnedUserId> =
            part.events.iter().map(|event| event.pdu.sender.clone()).collect();
        if whole {
            wanted.insert(view.user_id.clone());
            wanted.extend(self.heroes(&view.user_id, room_id).await?);
        }
        for pdu in events.iter().filter(|pdu| pdu.event_type == TimelineEventType::RoomMember) {
            if let Some(member) = pdu.state_key.as_deref().and_then(|id| OwnedUserId::try_from(id).ok()) {
                let device_id = &ask.request.device_id;
                self.sent_members.note(device_id, &view.user_id, room_id, &member, &pdu.event_id);
                wanted.remove(&member);
            }
        }
        // Memberships that the timeline itself shows need not be told, unless the client takes no state from there.
        if ask.request.state_after == StateAfter::No {
            let own = |event: &&Arc<TimelineEvent>| {
                event.pdu.event_type == TimelineEventType::RoomMember
                    && event.pdu.state_key.as_deref() == Some(event.pdu.sender.as_str())
            };
            for event in part.events.iter().filter(own) {
                wanted.remove(&event.pdu.sender);
            }
        }
        let mut wanted: Vec<_> = wanted.into_iter().collect();
        wanted.sort();
        for member in wanted {
            let kind = StateEventType::RoomMember;
            let current = self.rooms.current_entry(room_id, &kind, member.as_str()).await?;
            let Some(entry) = current else { continue };
            let Some(pdu) = self.entry_at(view, &entry, part, end).await? else { continue };
            let device_id = &ask.request.device_id;
            let is_new = self.sent_members.note(device_id, &view.user_id, room_id, &member, &pdu.event_id);
            if (is_new || redundant || whole) && self.rooms.keeps(view, &ask.filter.state, &pdu).await? {
                events.push(pdu);
            }
        }
        Ok(())
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

    /// The members that name a room which has no name.
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

    /// The receipts that changed, as one event.
    pub(crate) async fn receipts(
        &self,
        ask: &Ask<'_>,
        room_id: &OwnedRoomId,
        since: Position,
    ) -> Result<Option<Event>> {
        let receipts = self.rooms.receipts_since(&ask.request.user_id, room_id, since).await?;
        if receipts.is_empty() {
            return Ok(None);
        }
        let mut content = json!({});
        for receipt in receipts {
            if ask.ignored.contains(&receipt.user_id) {
                continue;
            }
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

/// State under the name that the client asked for.
fn state_change(ask: &Ask<'_>, events: Vec<Event>) -> StateChange {
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
