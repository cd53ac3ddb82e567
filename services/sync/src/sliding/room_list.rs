//! The user's rooms, ordered by their last events, and which of them are in a list.
//!
//! They are kept in memory for a connection. What has changed brings them up to date, so that a wake-up does
//! not look at every room.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use linkspan_rooms::{TimelineEvent, is_withheld};
use linkspan_storage::{CacheSize, Position, Stamped, records::MembershipRecord};
use quick_cache::sync::Cache;
use ruma::{
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Filters, List,
    room::BUMP_LOOK,
    sent::{ConnectionState, Sent},
};
use crate::{Result, Sync};

/// The rooms of a user.
#[derive(Debug, Default)]
pub(crate) struct RoomList {
    rooms: HashMap<OwnedRoomId, Listed>,
    order: BTreeSet<(Reverse<Position>, OwnedRoomId)>,
    /// Rooms that the next request looks up again, because the answer that is being built may add or remove
    /// them.
    look_again: HashSet<OwnedRoomId>,
}

/// A room of the list.
#[derive(Clone, Debug)]
struct Listed {
    stamp: Position,
    is_joined: bool,
    is_invite: bool,
    /// Whether the room is encrypted. It is read when a filter first asks for it, like the field below.
    is_encrypted: Option<bool>,
    room_type: Option<RoomType>,
}

/// The type of a room. None stands for a room that people talk in.
type RoomType = Option<Arc<str>>;

/// How many rooms have their types in memory.
const CACHED_TYPES: usize = 100_000;

/// The types of rooms, which never change.
#[derive(Debug)]
pub(crate) struct RoomTypes(Cache<OwnedRoomId, RoomType>);

impl RoomTypes {
    pub(crate) fn new() -> Self {
        Self(Cache::new(CACHED_TYPES))
    }

    /// How many there are.
    pub(crate) fn size(&self) -> CacheSize {
        CacheSize::of(&self.0)
    }
}

/// What filters ask of the user, read once for a request.
#[derive(Debug, Default)]
pub(crate) struct UserFacts {
    /// The rooms that the user has marked as direct chats.
    pub(crate) direct: HashSet<OwnedRoomId>,
}

/// What one request's filters need to know, besides facts of rooms.
#[derive(Default)]
struct FilterFacts {
    in_spaces: Option<HashSet<OwnedRoomId>>,
}

impl RoomList {
    fn set(&mut self, room_id: &OwnedRoomId, listed: Option<Listed>) {
        if let Some(before) = self.rooms.remove(room_id) {
            self.order.remove(&(Reverse(before.stamp), room_id.clone()));
        }
        if let Some(listed) = listed {
            self.order.insert((Reverse(listed.stamp), room_id.clone()));
            self.rooms.insert(room_id.clone(), listed);
        }
    }

    /// Whether the user is joined to a room.
    pub(super) fn is_joined(&self, room_id: &OwnedRoomId) -> bool {
        self.rooms.get(room_id).is_some_and(|listed| listed.is_joined)
    }

    /// Notes that an answer shows a room for the first time. If the user has left the room, it is in the list
    /// from now on.
    pub(super) fn note_shown(&mut self, room_id: &OwnedRoomId) {
        if !self.rooms.contains_key(room_id) {
            self.look_again.insert(room_id.clone());
        }
    }
}

impl Sync {
    /// Loads all rooms of a user that are in the list of a connection that was answered up to `told`.
    pub(super) async fn load_room_list(
        &self,
        connection: &ConnectionState,
        user_id: &OwnedUserId,
        told: Position,
    ) -> Result<RoomList> {
        let mut list = RoomList::default();
        for (room_id, stored) in self.rooms.memberships(user_id).await? {
            let listed = self.listed(connection, user_id, &room_id, &stored, told).await?;
            list.set(&room_id, listed);
        }
        Ok(list)
    }

    /// Brings rooms in which something has happened up to date.
    pub(super) async fn update_room_list(
        &self,
        list: &mut RoomList,
        connection: &ConnectionState,
        user_id: &OwnedUserId,
        changed: impl Iterator<Item = &OwnedRoomId>,
        told: Position,
    ) -> Result<()> {
        let mut rooms = std::mem::take(&mut list.look_again);
        rooms.extend(changed.cloned());
        let memberships = self.rooms.membership_records(user_id, &rooms).await?;
        for (room_id, stored) in rooms.into_iter().zip(memberships) {
            let listed = match &stored {
                Some(stored) => self.listed(connection, user_id, &room_id, stored, told).await?,
                None => None,
            };
            // A forgotten room stays until the client has been told that the user left it.
            if listed.is_some() && stored.is_some_and(|stored| stored.value.forgotten) {
                list.look_again.insert(room_id.clone());
            }
            list.set(&room_id, listed);
        }
        Ok(())
    }

    async fn listed(
        &self,
        connection: &ConnectionState,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        stored: &Stamped<MembershipRecord>,
        told: Position,
    ) -> Result<Option<Listed>> {
        let record = &stored.value;
        let membership = &record.membership;
        let stamp = match membership {
            MembershipState::Join => self.newest_position(user_id, room_id).await?,
            MembershipState::Invite if self.rooms.hides_invitation(user_id, record).await? => {
                return Ok(None);
            }
            MembershipState::Invite | MembershipState::Knock => stored.position,
            _ if connection.sent(room_id, told) != Sent::Never => {
                if record.forgotten && self.is_end_told(room_id, stored, told).await? {
                    return Ok(None);
                }
                stored.position
            }
            // Users who left know it. Users who were kicked or banned may not.
            _ if !record.forgotten
                && record.sender != *user_id
                && self.was_joined(user_id, room_id, record).await? =>
            {
                stored.position
            }
            _ => return Ok(None),
        };
        let (is_joined, is_invite) =
            (*membership == MembershipState::Join, *membership == MembershipState::Invite);
        Ok(Some(Listed { stamp, is_joined, is_invite, is_encrypted: None, room_type: None }))
    }

    /// Whether the client was told how the user's membership ended.
    async fn is_end_told(
        &self,
        room_id: &OwnedRoomId,
        stored: &Stamped<MembershipRecord>,
        told: Position,
    ) -> Result<bool> {
        let end = self.rooms.event_at(room_id, stored.value.seq).await?;
        // Of a room that was deleted the event is gone.
        Ok(end.map_or(stored.position, |end| end.position) <= told)
    }

    async fn was_joined(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        record: &MembershipRecord,
    ) -> Result<bool> {
        let before = self.rooms.membership_before(room_id, &record.event_id, user_id).await?;
        Ok(before == Some(MembershipState::Join))
    }

    /// When the newest event was written that is not withheld from the user.
    async fn newest_position(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<Position> {
        let head = self.rooms.head(room_id).await?.map_or(0, |head| head.seq);
        let mut newest = self.rooms.timeline_back(room_id, head, 0, 1).await?;
        let is_withheld = |event: &Arc<TimelineEvent>| is_withheld(&event.pdu, user_id);
        if newest.iter().any(is_withheld) {
            newest = self.rooms.timeline_back(room_id, head, 0, BUMP_LOOK).await?;
        }
        let event = newest.iter().find(|event| !is_withheld(event)).or(newest.last());
        Ok(event.map_or(Position::ZERO, |event| event.position))
    }

    /// The rooms of a list that are in its windows, in order, and the number of all rooms in the list.
    pub(crate) async fn window(
        &self,
        rooms: &mut RoomList,
        list: &List,
        user_id: &OwnedUserId,
        facts: &UserFacts,
    ) -> Result<(Vec<OwnedRoomId>, u64)> {
        let wanted = |place: u64| {
            let ranges = list.ranges.as_ref();
            ranges.is_none_or(|ranges| ranges.iter().any(|(first, last)| (*first..=*last).contains(&place)))
        };
        let mut window = Vec::new();
        if list.filters.is_everything() {
            let end = list.ranges.as_ref().map_or(u64::MAX, |ranges| {
                ranges.iter().map(|(_, last)| last.saturating_add(1)).max().unwrap_or(0)
            });
            let places = (0..end).zip(&rooms.order);
            window.extend(places.filter(|(at, _)| wanted(*at)).map(|(_, (_, room_id))| room_id.clone()));
            return Ok((window, rooms.order.len() as u64));
        }
        let filter_facts = self.filter_facts(&list.filters, user_id).await?;
        let mut count = 0;
        for (_, room_id) in &rooms.order {
            let Some(listed) = rooms.rooms.get_mut(room_id) else { continue };
            if self.matches(listed, room_id, &list.filters, user_id, facts, &filter_facts).await? {
                if wanted(count) {
                    window.push(room_id.clone());
                }
                count += 1;
            }
        }
        Ok((window, count))
    }

    async fn filter_facts(&self, filters: &Filters, user_id: &OwnedUserId) -> Result<FilterFacts> {
        let Some(spaces) = &filters.spaces else { return Ok(FilterFacts::default()) };
        let mut in_spaces = HashSet::new();
        for space in spaces {
            if self.rooms.membership(space, user_id).await? != Some(MembershipState::Join) {
                continue;
            }
            for child in self.rooms.current_state(space, Some(&StateEventType::SpaceChild)).await? {
                let via: Option<Value> = child.content_as();
                let is_child = via.is_some_and(|content| content.get("via").is_some_and(Value::is_array));
                let room_id = child.state_key.as_deref().and_then(|id| OwnedRoomId::try_from(id).ok());
                in_spaces.extend(room_id.filter(|_| is_child));
            }
        }
        Ok(FilterFacts { in_spaces: Some(in_spaces) })
    }

    async fn matches(
        &self,
        listed: &mut Listed,
        room_id: &OwnedRoomId,
        filters: &Filters,
        user_id: &OwnedUserId,
        user_facts: &UserFacts,
        filter_facts: &FilterFacts,
    ) -> Result<bool> {
        let unless = |wanted: Option<bool>, is: bool| wanted.is_some_and(|wanted| wanted != is);
        if unless(filters.is_invited, listed.is_invite)
            || unless(filters.is_dm, user_facts.direct.contains(room_id))
            || filter_facts.in_spaces.as_ref().is_some_and(|rooms| !rooms.contains(room_id))
        {
            return Ok(false);
        }
        if filters.is_encrypted.is_some() {
            let is_encrypted = match listed.is_encrypted {
                Some(known) => known,
                None => *listed.is_encrypted.insert(self.is_encrypted(room_id).await?),
            };
            if unless(filters.is_encrypted, is_encrypted) {
                return Ok(false);
            }
        }
        if filters.is_cross_platform.is_some()
            && unless(filters.is_cross_platform, self.rooms.is_cross_platform(user_id, room_id).await?)
        {
            return Ok(false);
        }
        if filters.asks_type() {
            let room_type = match &listed.room_type {
                Some(known) => known,
                None => listed.room_type.insert(self.room_type(room_id).await?),
            };
            let is = |wanted: &Option<String>| wanted.as_deref() == room_type.as_deref();
            let is_wanted = filters.room_types.as_ref().is_none_or(|types| types.iter().any(is));
            if !is_wanted || filters.not_room_types.iter().any(is) {
                return Ok(false);
            }
        }
        if filters.tags.is_some() || !filters.not_tags.is_empty() {
            let tags = self.tags(user_id, room_id).await?;
            let any = |wanted: &[String]| wanted.iter().any(|tag| tags.contains(tag));
            return Ok(filters.tags.as_ref().is_none_or(|wanted| any(wanted)) && !any(&filters.not_tags));
        }
        Ok(true)
    }

    async fn is_encrypted(&self, room_id: &OwnedRoomId) -> Result<bool> {
        let encryption = self.rooms.state_event(room_id, &StateEventType::RoomEncryption, "").await?;
        Ok(encryption.is_some())
    }

    async fn room_type(&self, room_id: &OwnedRoomId) -> Result<RoomType> {
        if let Some(known) = self.room_types.0.get(room_id) {
            return Ok(known);
        }
        let create = self.rooms.state_event(room_id, &StateEventType::RoomCreate, "").await?;
        // A room that is not known yet may still become known.
        let Some(create) = create else { return Ok(None) };
        let content: Option<Value> = create.content_as();
        let room_type: RoomType = content.and_then(|content| Some(content.get("type")?.as_str()?.into()));
        self.room_types.0.insert(room_id.clone(), room_type.clone());
        Ok(room_type)
    }

    async fn tags(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<HashSet<String>> {
        let content = self.accounts.account_data(user_id, Some(room_id), "m.tag").await?;
        let content = content.and_then(|content| serde_json::from_str::<Value>(&content).ok());
        let tags = content.as_ref().and_then(|content| content.get("tags")?.as_object());
        Ok(tags.map(|tags| tags.keys().cloned().collect()).unwrap_or_default())
    }

    /// What filters and answers need to know of the user.
    pub(crate) async fn user_facts(&self, user_id: &OwnedUserId) -> Result<UserFacts> {
        #[derive(Deserialize)]
        struct Direct(HashMap<String, Vec<OwnedRoomId>>);
        let content = self.accounts.account_data(user_id, None, "m.direct").await?;
        let content = content.and_then(|content| serde_json::from_str::<Direct>(&content).ok());
        let direct = content.map(|Direct(rooms)| rooms.into_values().flatten().collect()).unwrap_or_default();
        Ok(UserFacts { direct })
    }
}

impl Filters {
    fn is_everything(&self) -> bool {
        !self.asks_type()
            && self.is_encrypted.is_none()
            && self.is_dm.is_none()
            && self.is_invited.is_none()
            && self.is_cross_platform.is_none()
            && self.spaces.is_none()
            && self.tags.is_none()
            && self.not_tags.is_empty()
    }

    fn asks_type(&self) -> bool {
        self.room_types.is_some() || !self.not_room_types.is_empty()
    }
}
