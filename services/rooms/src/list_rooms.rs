//! The rooms of a platform, as its operators see them.
//!
//! A platform's operator sees the rooms that people of the platform are in, and of other platforms' people in them how many
//! there are. The operator of the whole back-end sees all rooms, and everybody.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fmt,
    str::FromStr,
};

use linkspan_platforms::{give_way, note_rows};
use linkspan_storage::{
    Range,
    catalogue::{Members, RoomKey, RoomUserKey, Rooms as RoomsTable},
};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, events::StateEventType, events::room::member::MembershipState,
};

use crate::{Result, Rooms, RoomsError, membership::is_involved};

/// Rows that are read at a time.
const BATCH: usize = 256;
/// Rooms that are looked at for one page in the order of their ids: some milliseconds of reading. A page may have fewer rows
/// for it.
const MAX_LOOKED_AT: usize = 10_000;
/// Rooms that are put into another order: that takes some seconds.
const MAX_SORTED: usize = 200_000;
/// The longest text that is searched for, in bytes: as long as an alias can be.
const MAX_SEARCH_BYTES: usize = 255;

/// Whose rooms an operator sees and acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomScope {
    /// Rooms that people of this platform are in, and these people in them.
    Platform(OwnedServerName),
    /// All rooms, and everybody in them.
    All,
}

impl RoomScope {
    /// The platform, if it is one alone.
    pub fn platform(&self) -> Option<&OwnedServerName> {
        match self {
            Self::Platform(platform) => Some(platform),
            Self::All => None,
        }
    }

    fn includes(&self, user_id: &OwnedUserId) -> bool {
        self.platform().is_none_or(|platform| platform == user_id.server_name())
    }
}

/// The order of a list of rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomOrder {
    /// By their ids.
    #[default]
    Id,
    /// Those with the most members first.
    Members,
    /// Those with the newest event first.
    Activity,
}

/// A place in a list of rooms: after this one. It is written as a number, `~`, and a room id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomPlace {
    /// The greater it is, the earlier the room stands.
    rank: Reverse<u64>,
    room_id: OwnedRoomId,
}

impl fmt::Display for RoomPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.rank.0, self.room_id)
    }
}

impl FromStr for RoomPlace {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (rank, room_id) = text.split_once('~').ok_or(())?;
        Ok(Self { rank: Reverse(rank.parse().map_err(drop)?), room_id: room_id.try_into().map_err(drop)? })
    }
}

/// What is asked of a list of rooms.
#[derive(Clone, Debug)]
pub struct RoomsQuery {
    /// Whose rooms.
    pub scope: RoomScope,
    /// If it is there, only rooms with this in their name or an alias, or with this id.
    pub search: Option<String>,
    /// The order.
    pub order: RoomOrder,
    /// The place at which the page before ended.
    pub after: Option<RoomPlace>,
    /// The greatest length of the page.
    pub limit: usize,
}

/// A page of a list of rooms.
#[derive(Debug)]
pub struct RoomsPage {
    /// The rooms.
    pub rooms: Vec<ListedRoom>,
    /// Where the next page begins, if there may be one.
    pub next: Option<RoomPlace>,
}

/// A room of a list.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ListedRoom {
    pub room_id: OwnedRoomId,
    pub name: Option<String>,
    pub canonical_alias: Option<String>,
    pub room_type: Option<String>,
    pub version: String,
    /// The algorithm, if the room is encrypted.
    pub encryption: Option<String>,
    pub join_rule: String,
    /// Who created it, if the operator sees people of that platform.
    pub creator: Option<OwnedUserId>,
    pub creator_platform: OwnedServerName,
    pub created_ts: u64,
    /// How many members are joined.
    pub joined: u64,
    /// How many events there are, state included.
    pub events: u64,
    /// The time of the newest event.
    pub last_activity_ts: Option<u64>,
    /// It is blocked for the platform, or for everybody.
    pub blocked: bool,
}

/// All that is shown of a room.
#[derive(Clone, Debug)]
pub struct RoomDetails {
    /// What lists show, too.
    pub listed: ListedRoom,
    /// The topic.
    pub topic: Option<String>,
    /// The picture.
    pub avatar_url: Option<String>,
    /// Who sees what was said.
    pub history_visibility: String,
    /// How many members are joined, by platform.
    pub joined_by_platform: BTreeMap<OwnedServerName, u64>,
    /// The bytes of its state, without the memberships; None if nobody has counted them yet.
    pub state_bytes: Option<u64>,
    /// The platform lists it among the public rooms.
    pub published: bool,
}

/// A member of a room.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedMember {
    /// Who.
    pub user_id: OwnedUserId,
    /// The membership: joined, invited or knocking.
    pub membership: MembershipState,
}

impl Rooms {
    /// A page of the rooms that an operator sees.
    pub async fn list_rooms(&self, query: &RoomsQuery) -> Result<RoomsPage> {
        if query.search.as_ref().is_some_and(|search| search.len() > MAX_SEARCH_BYTES) {
            return Err(RoomsError::Invalid("the text to search for is too long".into()));
        }
        match query.order {
            RoomOrder::Id => self.list_by_id(query).await,
            RoomOrder::Members | RoomOrder::Activity => self.list_by_rank(query).await,
        }
    }

    async fn list_by_id(&self, query: &RoomsQuery) -> Result<RoomsPage> {
        let mut last = query.after.as_ref().map(|place| RoomKey { room_id: place.room_id.clone() });
        let (mut rooms, mut looked_at) = (Vec::new(), 0);
        loop {
            let range = Range::<RoomsTable>::all().after_last(last.as_ref()).limit(BATCH);
            let keys = self.store().keys(range).await?;
            for key in &keys {
                looked_at += 1;
                rooms.extend(self.listed_if_found(query, &key.room_id).await?);
                if rooms.len() >= query.limit || looked_at >= MAX_LOOKED_AT {
                    let next = RoomPlace { rank: Reverse(0), room_id: key.room_id.clone() };
                    return Ok(RoomsPage { rooms, next: Some(next) });
                }
            }
            if keys.len() < BATCH {
                return Ok(RoomsPage { rooms, next: None });
            }
            last = keys.into_iter().next_back();
        }
    }

    async fn list_by_rank(&self, query: &RoomsQuery) -> Result<RoomsPage> {
        let mut first: BinaryHeap<RoomPlace> = BinaryHeap::new();
        let (mut last, mut looked_at): (Option<RoomKey>, _) = (None, 0);
        loop {
            let range = Range::<RoomsTable>::all().after_last(last.as_ref()).limit(BATCH);
            let keys = self.store().keys(range).await?;
            for RoomKey { room_id } in &keys {
                looked_at += 1;
                if looked_at > MAX_SORTED {
                    let reason = "there are too many rooms to sort them: ask for them by their ids";
                    return Err(RoomsError::Invalid(reason.into()));
                }
                if !self.is_found(query, room_id).await? {
                    continue;
                }
                let place = RoomPlace {
                    rank: Reverse(self.rank(query.order, room_id).await?),
                    room_id: room_id.clone(),
                };
                if query.after.as_ref().is_none_or(|after| place > *after) {
                    first.push(place);
                    if first.len() > query.limit {
                        first.pop();
                    }
                }
            }
            if keys.len() < BATCH {
                break;
            }
            last = keys.into_iter().next_back();
        }
        let places = first.into_sorted_vec();
        let next = places.last().filter(|_| places.len() == query.limit).cloned();
        let mut rooms = Vec::with_capacity(places.len());
        for place in &places {
            rooms.extend(self.listed_room(&query.scope, &place.room_id).await?);
        }
        Ok(RoomsPage { rooms, next })
    }

    async fn listed_if_found(&self, query: &RoomsQuery, room_id: &OwnedRoomId) -> Result<Option<ListedRoom>> {
        match self.is_found(query, room_id).await? {
            true => self.listed_room(&query.scope, room_id).await,
            false => Ok(None),
        }
    }

    async fn is_found(&self, query: &RoomsQuery, room_id: &OwnedRoomId) -> Result<bool> {
        give_way().await?;
        if !self.is_in_scope(&query.scope, room_id).await? {
            return Ok(false);
        }
        let Some(search) = query.search.as_ref().map(|search| search.to_lowercase()) else { return Ok(true) };
        if room_id.as_str().to_lowercase() == search {
            return Ok(true);
        }
        let texts = [
            self.state_text(room_id, StateEventType::RoomName, "name").await?,
            self.state_text(room_id, StateEventType::RoomCanonicalAlias, "alias").await?,
        ];
        if texts.iter().flatten().any(|text| text.to_lowercase().contains(&search)) {
            return Ok(true);
        }
        let aliases = self.shared.directory.aliases_of(room_id).await?;
        Ok(aliases.iter().any(|alias| alias.as_str().to_lowercase().contains(&search)))
    }

    /// Whether an operator sees a room at all.
    async fn is_in_scope(&self, scope: &RoomScope, room_id: &OwnedRoomId) -> Result<bool> {
        let Some(platform) = scope.platform() else { return Ok(true) };
        let mut last: Option<RoomUserKey> = None;
        loop {
            let range = Range::<Members>::prefix_platform((room_id,), platform).after_last(last.as_ref());
            let rows = self.store().range(range.limit(BATCH)).await?;
            note_rows(rows.len() as u64);
            if rows.iter().any(|(_, member)| member.membership == MembershipState::Join) {
                return Ok(true);
            }
            if rows.len() < BATCH {
                return Ok(false);
            }
            last = rows.into_iter().next_back().map(|(key, _)| key);
        }
    }

    async fn rank(&self, order: RoomOrder, room_id: &OwnedRoomId) -> Result<u64> {
        Ok(match order {
            RoomOrder::Id => 0,
            RoomOrder::Members => self.head(room_id).await?.map_or(0, |head| head.joined),
            RoomOrder::Activity => self.last_activity_ts(room_id).await?.unwrap_or_default(),
        })
    }

    async fn last_activity_ts(&self, room_id: &OwnedRoomId) -> Result<Option<u64>> {
        let Some(head) = self.head(room_id).await? else { return Ok(None) };
        let newest = self.event_at(room_id, head.seq).await?;
        Ok(newest.map(|event| event.pdu.origin_server_ts.get().into()))
    }

    async fn listed_room(&self, scope: &RoomScope, room_id: &OwnedRoomId) -> Result<Option<ListedRoom>> {
        let Some(summary) = self.summary_of(room_id).await? else { return Ok(None) };
        let (room, head) = (self.room(room_id).await?, self.head(room_id).await?);
        let creator = &room.record.creator;
        Ok(Some(ListedRoom {
            room_id: room_id.clone(),
            name: summary.name,
            canonical_alias: summary.canonical_alias,
            room_type: summary.room_type,
            version: summary.version,
            encryption: summary.encryption,
            join_rule: summary.join_rule,
            creator: scope.includes(creator).then(|| creator.clone()),
            creator_platform: creator.server_name().to_owned(),
            created_ts: room.record.created_ts,
            joined: summary.joined,
            events: head.map_or(0, |head| u64::try_from(head.seq).unwrap_or_default()),
            last_activity_ts: self.last_activity_ts(room_id).await?,
            blocked: self.is_room_blocked(scope, room_id).await?,
        }))
    }

    /// All that an operator is shown of a room.
    pub async fn show_room(&self, scope: &RoomScope, room_id: &OwnedRoomId) -> Result<RoomDetails> {
        self.check_in_scope(scope, room_id).await?;
        let listed = self.listed_room(scope, room_id).await?.ok_or_else(no_such_room)?;
        let visibility = self
            .state_text(room_id, StateEventType::RoomHistoryVisibility, "history_visibility")
            .await?
            .unwrap_or_else(|| "shared".to_owned());
        let published = match scope.platform() {
            Some(platform) => self.shared.directory.is_published(platform, room_id).await?,
            None => {
                let mut published = false;
                for platform in self.shared.platforms.iter() {
                    published |= self.shared.directory.is_published(platform.server_name(), room_id).await?;
                }
                published
            }
        };
        let summary = self.summary_of(room_id).await?.ok_or_else(no_such_room)?;
        let head = self.head(room_id).await?;
        Ok(RoomDetails {
            listed,
            topic: summary.topic,
            avatar_url: summary.avatar_url,
            history_visibility: visibility,
            joined_by_platform: self.count_joined(room_id).await?,
            state_bytes: head.and_then(|head| head.state_size.as_ref().map(|size| size.size_bytes)),
            published,
        })
    }

    async fn count_joined(&self, room_id: &OwnedRoomId) -> Result<BTreeMap<OwnedServerName, u64>> {
        let mut counts = BTreeMap::new();
        let mut last: Option<RoomUserKey> = None;
        loop {
            give_way().await?;
            let range = Range::<Members>::prefix((room_id,)).after_last(last.as_ref()).limit(BATCH);
            let rows = self.store().range(range).await?;
            note_rows(rows.len() as u64);
            for (key, member) in &rows {
                if member.membership == MembershipState::Join {
                    *counts.entry(key.user_id.server_name().to_owned()).or_default() += 1;
                }
            }
            if rows.len() < BATCH {
                return Ok(counts);
            }
            last = rows.into_iter().next_back().map(|(key, _)| key);
        }
    }

    /// The members of a room whom an operator sees, who are joined, invited or knocking: a page of those after `after`. The
    /// second value is where the next page begins, if there may be one.
    pub async fn list_room_members(
        &self,
        scope: &RoomScope,
        room_id: &OwnedRoomId,
        after: Option<OwnedUserId>,
        limit: usize,
    ) -> Result<(Vec<ListedMember>, Option<OwnedUserId>)> {
        self.check_in_scope(scope, room_id).await?;
        let last = after.map(|user_id| RoomUserKey { room_id: room_id.clone(), user_id });
        let range = member_range(scope, room_id).after_last(last.as_ref()).limit(limit);
        let rows = self.store().range(range).await?;
        note_rows(rows.len() as u64);
        let next = rows.last().filter(|_| rows.len() == limit).map(|(key, _)| key.user_id.clone());
        let present = rows.into_iter().filter(|(_, member)| is_involved(&member.membership));
        let listed =
            present.map(|(key, member)| ListedMember { user_id: key.user_id, membership: member.membership });
        Ok((listed.collect(), next))
    }

    /// Refuses if an operator does not see a room.
    pub(crate) async fn check_in_scope(&self, scope: &RoomScope, room_id: &OwnedRoomId) -> Result<()> {
        let is_there = self.find_room(room_id).await?.is_some() && self.is_in_scope(scope, room_id).await?;
        if is_there { Ok(()) } else { Err(no_such_room()) }
    }

    async fn state_text(
        &self,
        room_id: &OwnedRoomId,
        event_type: StateEventType,
        field: &str,
    ) -> Result<Option<String>> {
        let event = self.state_event(room_id, &event_type, "").await?;
        let content = event.and_then(|event| event.content_as::<serde_json::Value>());
        Ok(content.and_then(|content| content.get(field)?.as_str().map(str::to_owned)))
    }
}

/// The rows of the members whom an operator sees.
pub(crate) fn member_range(scope: &RoomScope, room_id: &OwnedRoomId) -> Range<Members> {
    match scope {
        RoomScope::Platform(platform) => Range::prefix_platform((room_id,), platform),
        RoomScope::All => Range::prefix((room_id,)),
    }
}

/// Said alike of rooms that do not exist and of rooms that nobody of the platform is in.
fn no_such_room() -> RoomsError {
    RoomsError::NotFound("nobody of this platform is in such a room".into())
}
