//! One room in the answer to a sliding sync.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use linkspan_domain::SharedPdu;
use linkspan_platforms::give_way;
use linkspan_rooms::{
    Boundary, Reader, Standing, StateEntry, TimelineEvent, View, WantedMembers, is_withheld,
};
use linkspan_storage::{Position, Stamped, records::MembershipRecord};
use ruma::{
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::Value;

use super::{Building, Hero, Relevant, RoomConfig, SlidingRoom, sent::Sent};
use crate::{
    Result, Sync,
    changes::raw,
    room::{MAX_TIMELINE_LIMIT, Part},
};

/// Types of events that count as activity.
const BUMP_TYPES: [&str; 7] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "m.beacon_info",
];
/// The most events that are looked at to find the last activity.
pub(super) const BUMP_LOOK: usize = 50;

/// How many events of a state are read at a time.
const AT_ONCE: usize = 64;

/// What the device has of a room already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) sent: Sent,
    pub(super) timeline_sent: usize,
    pub(super) state_sent: bool,
}

impl Known {
    /// Whether the device has nothing of the room that still counts, so that it is told everything.
    fn is_nothing(self) -> bool {
        self.sent == Sent::Never
    }

    /// The position up to which commits were told before.
    fn since(self) -> Position {
        match self.sent {
            Sent::Never => Position::ZERO,
            Sent::UpTo(up_to) => up_to,
        }
    }
}

/// What an answer tells of a room.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) news: Option<SlidingRoom>,
    /// Whether events are missing between the last timeline and this one.
    pub(super) gap: bool,
    /// Whether entries of the state have changed, be they wanted or not.
    pub(super) state_changed: bool,
}

impl Sync {
    /// Finds the news of a room, if there is any. None means that the room is not told of at all.
    pub(super) async fn sliding_room(
        &self,
        building: &Building<'_>,
        room_id: &OwnedRoomId,
        relevant: &Relevant,
        known: Known,
    ) -> Result<Option<Told>> {
        let told = building.ask.since_position();
        let is_whole = known.is_nothing();
        let change = building.changes.rooms.get(room_id).copied().unwrap_or_default();
        let expands = known.timeline_sent < relevant.config.timeline_limit.min(MAX_TIMELINE_LIMIT);
        let is_behind = matches!(known.sent, Sent::UpTo(up_to) if up_to < told);
        if !(is_whole || is_behind || expands || !known.state_sent || change.events || change.receipts) {
            return Ok(Some(Told::default()));
        }
        let record = self.rooms.membership_record(&building.request.user_id, room_id).await?;
        // A device that has a forgotten room still learns that the user has left it.
        let is_to_be_told = |stored: &Stamped<MembershipRecord>| {
            !stored.value.forgotten || matches!(known.sent, Sent::UpTo(up_to) if stored.position > up_to)
        };
        let Some(stored) = record.filter(is_to_be_told) else { return Ok(None) };
        match stored.value.membership {
            MembershipState::Invite
                if self.rooms.hides_invitation(&building.request.user_id, &stored.value).await? =>
            {
                Ok(None)
            }
            MembershipState::Invite | MembershipState::Knock => {
                let news = stripped_room(&stored, is_whole, told);
                Ok(Some(Told { news, ..Told::default() }))
            }
            MembershipState::Join => self.joined(building, room_id, relevant, known).await.map(Some),
            _ => self.left(building, room_id, relevant, known, &stored).await.map(Some),
        }
    }

    async fn joined(
        &self,
        building: &Building<'_>,
        room_id: &OwnedRoomId,
        relevant: &Relevant,
        known: Known,
    ) -> Result<Told> {
        let user_id = &building.request.user_id;
        let config = &relevant.config;
        let told = building.ask.since_position();
        let Some(head) = self.rooms.head(room_id).await? else { return Ok(Told::default()) };
        let mut view = self.rooms.view(user_id, room_id).await?;
        // A user who comes back to a room is told all of it.
        let is_back = !known.is_nothing()
            && self.membership_at(room_id, user_id, known.since()).await? != Some(MembershipState::Join);
        let known = if is_back { Known { sent: Sent::Never, ..known } } else { known };
        let (is_whole, since) = (known.is_nothing(), known.since());
        let limit = config.timeline_limit.min(MAX_TIMELINE_LIMIT);
        let expands = !is_whole && known.timeline_sent < limit;
        let timeline_since = if expands { Position::ZERO } else { since };
        let part = self.part(&building.ask, &mut view, head.seq, timeline_since, limit).await?;
        let gap = part.limited && !expands;

        let mut room =
            SlidingRoom { initial: is_whole, expanded_timeline: expands, ..SlidingRoom::default() };
        let changed = self.rooms.state_changes(room_id, since).await?;
        let changed_types: BTreeSet<&str> = changed.iter().map(|entry| entry.event_type.as_str()).collect();
        let state = self.required_state(building, &mut view, config, &part, known).await?;
        let live = part.events.iter().filter(|event| event.position > told).count() as u64;
        let is_new = |types: &[&str]| is_whole || types.iter().any(|name| changed_types.contains(name));
        if is_new(&["m.room.name", "m.room.avatar", "m.room.member", "m.room.canonical_alias"]) {
            self.describe(building, &mut view, &mut room).await?;
        }
        if is_new(&["m.room.member"]) {
            room.joined_count = Some(head.joined);
            room.invited_count = Some(head.invited);
        }
        let reader = reader(building);
        room.required_state = self.rooms.render_state(&state, reader);
        room.timeline = self.rooms.render_all(&mut view, &part.events, reader).await?;
        room.limited = part.limited;
        room.prev_batch = Some(Boundary(part.first - 1).to_string());
        room.num_live = Some(if building.ask.since.is_some() { live } else { 0 });
        room.bump_stamp = self.bump_stamp(building, room_id, &part, head.seq, is_whole).await?;
        let unread = self.push.unread(user_id, room_id).await?.total();
        room.notification_count = Some(unread.notify);
        room.highlight_count = Some(unread.highlight);
        if is_whole || building.changes.account_data {
            room.is_dm = Some(building.facts.direct.contains(room_id));
        }
        room.membership = Some(MembershipState::Join);
        room.lists.clone_from(&relevant.lists);
        let has_news = is_whole
            || !room.timeline.is_empty()
            // There are events, although the client wants none of them. Counts change, and the timeline ends
            // later.
            || room.limited
            || !room.required_state.is_empty()
            || room.joined_count.is_some()
            || self.own_receipt_changed(building, room_id, since).await?;
        Ok(Told { news: has_news.then_some(room), gap, state_changed: !changed.is_empty() })
    }

    /// A room that the user is not in any more, as it was when the user left.
    async fn left(
        &self,
        building: &Building<'_>,
        room_id: &OwnedRoomId,
        relevant: &Relevant,
        known: Known,
        stored: &Stamped<MembershipRecord>,
    ) -> Result<Told> {
        let (user_id, config) = (&building.request.user_id, &relevant.config);
        let (is_whole, since) = (known.is_nothing(), known.since());
        let record = &stored.value;
        let Some(left) = self.rooms.event_at(room_id, record.seq).await? else {
            // An operator has deleted the room: all that is left to tell is that the user is not in it any more.
            let is_news = !is_whole && stored.position > since;
            let room = SlidingRoom {
                membership: Some(record.membership.clone()),
                lists: relevant.lists.clone(),
                bump_stamp: Some(stored.position.get()),
                ..SlidingRoom::default()
            };
            return Ok(Told { news: is_news.then_some(room), ..Told::default() });
        };
        // The record may be newer, because forgetting a room is no event.
        let is_new = left.position > since;
        if !is_new && known.state_sent {
            return Ok(Told::default());
        }
        let mut room = SlidingRoom {
            initial: is_whole,
            membership: Some(record.membership.clone()),
            lists: relevant.lists.clone(),
            bump_stamp: Some(left.position.get()),
            ..SlidingRoom::default()
        };
        let reader = reader(building);
        let mut state = Vec::new();
        let mut is_shown = !is_new;
        let view = self.rooms.view(user_id, room_id).await.ok();
        // A user who declined an invitation, or whose invitation was taken back, has never seen the room and
        // learns only that.
        if let Some(mut view) = view.filter(|view| matches!(view.standing, Standing::Left { .. })) {
            let limit = config.timeline_limit.clamp(1, MAX_TIMELINE_LIMIT);
            let part = self.part(&building.ask, &mut view, record.seq, since, limit).await?;
            is_shown |= part.events.iter().any(|event| event.seq == left.seq);
            state = self.required_state(building, &mut view, config, &part, known).await?;
            room.timeline = self.rooms.render_all(&mut view, &part.events, reader).await?;
            room.limited = part.limited;
            room.prev_batch = Some(Boundary(part.first - 1).to_string());
            let told = building.ask.since_position();
            room.num_live = Some(part.events.iter().filter(|event| event.position > told).count() as u64);
        }
        if !is_shown {
            room.timeline.extend(self.rooms.render_state([&left.pdu], reader));
        }
        if config.wants_own_membership(user_id) {
            state.retain(|pdu| pdu.state_entry() != left.pdu.state_entry());
            state.push(left.pdu.clone());
        }
        room.required_state = self.rooms.render_state(&state, reader);
        let has_news = is_whole || !room.timeline.is_empty() || !room.required_state.is_empty();
        Ok(Told { gap: room.limited, news: has_news.then_some(room), state_changed: is_new })
    }

    /// The state that the client wants: all of it, or what has changed since it was sent. The members that
    /// speak come with it.
    async fn required_state(
        &self,
        building: &Building<'_>,
        view: &mut View,
        config: &RoomConfig,
        part: &Part,
        known: Known,
    ) -> Result<Vec<SharedPdu>> {
        let room_id = &view.room.id.clone();
        if known.is_nothing() {
            let device_id = building.request.members_key();
            self.sent_members.forget_room(&device_id, &building.request.user_id, room_id);
        }
        let mut found = if known.is_nothing() || !known.state_sent {
            self.all_required_state(building, view, config).await?
        } else {
            let last = match view.standing {
                Standing::Left { seq, .. } => seq,
                _ => i64::MAX,
            };
            let changes = self.rooms.state_changes(room_id, known.since()).await?;
            let mut newest = BTreeMap::new();
            for entry in changes.into_iter().filter(|entry| entry.seq <= last) {
                let lazily =
                    entry.event_type == "m.room.member" && config.wants_lazy_members() && !part.limited;
                if lazily || config.wants(&entry.event_type, &entry.state_key) {
                    newest.insert((entry.event_type.clone(), entry.state_key.clone()), entry);
                }
            }
            self.events_of(building, room_id, newest.into_values().collect()).await?
        };
        if config.wants_lazy_members() {
            self.add_speakers(building, view, &part.events, &mut found).await?;
        }
        Ok(self.rooms.state_for(view, found).await?)
    }

    /// The events of entries of the state.
    async fn events_of(
        &self,
        building: &Building<'_>,
        room_id: &OwnedRoomId,
        entries: Vec<StateEntry>,
    ) -> Result<Vec<SharedPdu>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for entries in entries.chunks(AT_ONCE) {
            give_way().await?;
            let events = self.entry_events(room_id, entries.iter()).await?;
            add_to(&mut found, &mut bytes, events);
            building.made.check(bytes)?;
        }
        Ok(found)
    }

    /// The events of all members.
    async fn all_members(&self, building: &Building<'_>, room_id: &OwnedRoomId) -> Result<Vec<SharedPdu>> {
        let user_id = &building.request.user_id;
        let mut walk = self.rooms.walk_members(user_id, room_id, None, WantedMembers::default()).await?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(events) = self.rooms.next_state(&mut walk).await? {
            give_way().await?;
            add_to(&mut found, &mut bytes, events);
            building.made.check(bytes)?;
        }
        Ok(found)
    }

    async fn all_required_state(
        &self,
        building: &Building<'_>,
        view: &View,
        config: &RoomConfig,
    ) -> Result<Vec<SharedPdu>> {
        let room_id = &view.room.id;
        if let Standing::Left { state, .. } = view.standing {
            return self.required_state_in(building, room_id, state, config).await;
        }
        let any_type = config.patterns().any(|(event_type, _)| event_type.is_none());
        let mut found = Vec::new();
        if any_type {
            let entries = match config.wants("m.room.member", "*") {
                true => self.rooms.state_entries(room_id).await?,
                false => self.rooms.state_entries_without_members(room_id).await?,
            };
            let wanted =
                entries.into_iter().filter(|entry| config.wants(&entry.event_type, &entry.state_key));
            found = self.events_of(building, room_id, wanted.collect()).await?;
        }
        let mut asked: BTreeSet<(&str, Option<&str>)> = BTreeSet::new();
        for (event_type, state_key) in config.patterns() {
            let Some(event_type) = event_type else { continue };
            // The members are not among those above.
            if (any_type && event_type != "m.room.member")
                || !asked.insert((event_type, state_key.as_deref()))
            {
                continue;
            }
            let kind = StateEventType::from(event_type.as_str());
            match state_key {
                Some(state_key) => found.extend(self.rooms.state_event(room_id, &kind, state_key).await?),
                None if kind == StateEventType::RoomMember => {
                    found.extend(self.all_members(building, room_id).await?);
                }
                None => found.extend(self.rooms.current_state(room_id, Some(&kind)).await?),
            }
        }
        let mut seen = BTreeSet::new();
        found.retain(|pdu| {
            let (kind, key) = (pdu.event_type.to_string(), pdu.state_key.as_deref().unwrap_or_default());
            config.wants(&kind, key) && seen.insert(pdu.event_id.clone())
        });
        Ok(found)
    }

    /// The wanted part of the state with this number.
    async fn required_state_in(
        &self,
        building: &Building<'_>,
        room_id: &OwnedRoomId,
        state: u64,
        config: &RoomConfig,
    ) -> Result<Vec<SharedPdu>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        if config.patterns().all(|(event_type, state_key)| event_type.is_some() && state_key.is_some()) {
            let named: BTreeSet<_> =
                config.patterns().filter_map(|(kind, key)| kind.as_ref().zip(key.as_ref())).collect();
            for (kind, key) in named.into_iter().filter(|(kind, key)| config.wants(kind, key)) {
                let event_type = StateEventType::from(kind.as_str());
                found.extend(self.rooms.state_event_in(room_id, state, &event_type, key).await?);
            }
            return Ok(found);
        }
        for ((kind, key), event_id) in self.rooms.state_map(room_id, state).await? {
            if config.wants(&kind.to_string(), &key) {
                give_way().await?;
                let event = self.rooms.any_event(room_id, &event_id).await?;
                add_to(&mut found, &mut bytes, event.map(|event| event.pdu.clone()));
                building.made.check(bytes)?;
            }
        }
        Ok(found)
    }

    /// Adds the members who speak in a timeline or are spoken of, unless the device has them.
    async fn add_speakers(
        &self,
        building: &Building<'_>,
        view: &View,
        events: &[Arc<TimelineEvent>],
        found: &mut Vec<SharedPdu>,
    ) -> Result<()> {
        let request = building.request;
        let device_id = request.members_key();
        let mut speakers: BTreeSet<OwnedUserId> =
            events.iter().map(|event| event.pdu.sender.clone()).collect();
        let of_members = events.iter().filter(|event| event.pdu.membership().is_some());
        speakers.extend(
            of_members.filter_map(|event| OwnedUserId::try_from(event.pdu.state_key.as_deref()?).ok()),
        );
        for member in speakers {
            let kind = StateEventType::RoomMember;
            let Some(pdu) = self.state_seen(view, &kind, member.as_str()).await? else { continue };
            let room_id = &view.room.id;
            let is_new =
                self.sent_members.note(&device_id, &request.user_id, room_id, &member, &pdu.event_id);
            if is_new && !found.iter().any(|other| other.event_id == pdu.event_id) {
                found.push(pdu);
            }
        }
        Ok(())
    }

    /// Adds the name, the picture and, if the room has no name, who names it.
    async fn describe(&self, building: &Building<'_>, view: &mut View, room: &mut SlidingRoom) -> Result<()> {
        let user_id = &building.request.user_id;
        let room_id = &view.room.id.clone();
        let text = async |event_type: StateEventType, field: &str| -> Result<Option<String>> {
            let event = self.rooms.state_event(room_id, &event_type, "").await?;
            let content: Option<Value> = event.and_then(|event| event.content_as());
            let text = content.and_then(|content| content.get(field)?.as_str().map(str::to_owned));
            Ok(text.filter(|text| !text.is_empty()))
        };
        let name = text(StateEventType::RoomName, "name").await?;
        let mut avatar = text(StateEventType::RoomAvatar, "url").await?;
        let mut heroes = Vec::new();
        for hero in self.heroes(user_id, room_id).await? {
            let member = self.rooms.member_for(view, &hero).await?;
            let content: Option<Value> = member.and_then(|event| event.content_as());
            let text = |field: &str| Some(content.as_ref()?.get(field)?.as_str()?.to_owned());
            heroes.push(Hero { user_id: hero, name: text("displayname"), avatar: text("avatar_url") });
        }
        if let [other] = heroes.as_slice()
            && building.facts.direct.contains(room_id)
        {
            avatar = avatar.or_else(|| other.avatar.clone());
        }
        room.heroes = (!heroes.is_empty()).then_some(heroes);
        room.name = Some(name);
        room.avatar = Some(avatar);
        Ok(())
    }

    /// When there was last activity, if the answer shows it or should.
    async fn bump_stamp(
        &self,
        building: &Building<'_>,
        room_id: &OwnedRoomId,
        part: &Part,
        head: i64,
        is_whole: bool,
    ) -> Result<Option<u64>> {
        let bumps = |event: &&Arc<TimelineEvent>| {
            BUMP_TYPES.iter().any(|kind| event.pdu.event_type.to_string() == *kind)
                && !building.ask.ignored.contains(&event.pdu.sender)
                && !is_withheld(&event.pdu, &building.ask.request.user_id)
        };
        if let Some(event) = part.events.iter().rev().find(bumps) {
            return Ok(Some(event.position.get()));
        }
        if !is_whole {
            return Ok(None);
        }
        let newest = self.rooms.timeline_back(room_id, head, 0, BUMP_LOOK).await?;
        let event = newest.iter().find(bumps).or(newest.last());
        Ok(event.map(|event| event.position.get()))
    }

    /// Whether the user has read on since the room was sent, which changes its counts.
    async fn own_receipt_changed(
        &self,
        building: &Building<'_>,
        room_id: &OwnedRoomId,
        since: Position,
    ) -> Result<bool> {
        let changed = building.changes.rooms.get(room_id).is_some_and(|change| change.receipts);
        if !changed && since >= building.ask.since_position() {
            return Ok(false);
        }
        self.has_read_on(&building.request.user_id, room_id, since).await
    }
}

/// Adds events to those that were found, and their sizes.
fn add_to(found: &mut Vec<SharedPdu>, bytes: &mut usize, events: impl IntoIterator<Item = SharedPdu>) {
    for event in events {
        *bytes += event.size_bytes();
        found.push(event);
    }
}

/// A room that the user is invited to or knocks on.
fn stripped_room(stored: &Stamped<MembershipRecord>, is_whole: bool, told: Position) -> Option<SlidingRoom> {
    if !is_whole && stored.position <= told {
        return None;
    }
    let record = &stored.value;
    Some(SlidingRoom {
        initial: true,
        membership: Some(record.membership.clone()),
        stripped_state: Some(record.stripped_state.iter().cloned().filter_map(raw).collect()),
        bump_stamp: Some(stored.position.get()),
        ..SlidingRoom::default()
    })
}

fn reader<'a>(building: &'a Building<'_>) -> Reader<'a> {
    Reader { device_id: &building.request.device_id, now_ts: building.ask.now_ts, with_room_id: false }
}
