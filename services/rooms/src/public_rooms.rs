//! Finding rooms: aliases, lists of published rooms, summaries and spaces.

use std::collections::{BTreeSet, HashSet, VecDeque};

use linkspan_accounts::{Amount, Counted};
use linkspan_domain::{HistoryVisibility, Pdu};
use linkspan_platforms::{give_way, note_rows};
use linkspan_storage::WriteSet;
use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Result, Room, Rooms, RoomsError,
    guests::lets_guests_join,
    membership::{JoinRules, is_involved},
    topic::plain_topic,
};

/// The most rooms on one page.
const MAX_PAGE: usize = 500;
/// The most rooms of a space that are walked through.
const MAX_HIERARCHY: usize = 5_000;
/// How many entries of its state a room's summary is made of.
const SUMMARY_ROWS: u64 = 10;
/// The greatest depth to which a space is walked through.
const MAX_DEPTH: usize = 50;

/// What a room shows of itself to those who look for one.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct RoomSummary {
    pub room_id: Option<OwnedRoomId>,
    pub canonical_alias: Option<String>,
    pub name: Option<String>,
    pub topic: Option<String>,
    pub avatar_url: Option<String>,
    pub joined: u64,
    pub world_readable: bool,
    pub guest_can_join: bool,
    pub join_rule: String,
    pub allowed_room_ids: Vec<OwnedRoomId>,
    pub room_type: Option<String>,
    pub encryption: Option<String>,
    pub version: String,
    /// The only server that may know of it, if its creator keeps it to one.
    pub kept_to: Option<OwnedServerName>,
}

/// A page of a list of rooms.
#[derive(Debug)]
pub struct RoomPage {
    /// The rooms, those with the most members first.
    pub rooms: Vec<RoomSummary>,
    /// How many there are in all.
    pub total: usize,
    /// Where the next page starts, or `None` if this is the last one.
    pub next: Option<usize>,
    /// Where the page before this starts, or `None` if this is the first one.
    pub previous: Option<usize>,
}

/// What is asked of a list of published rooms.
#[derive(Clone, Debug, Default)]
pub struct RoomQuery {
    /// The user who asks. Rooms that are kept to another platform are not found.
    pub asker: Option<OwnedServerName>,
    /// If it is there, only rooms are found that this platform lists.
    pub platform: Option<OwnedServerName>,
    /// If it is there, only rooms are found with these words in name, topic or alias.
    pub search: Option<String>,
    /// If there are any, only rooms of one of these types are found. `None` stands for rooms without a type.
    pub room_types: Option<Vec<Option<String>>>,
    /// How many are skipped.
    pub from: usize,
    /// The greatest length of the page.
    pub limit: usize,
}

/// A room of a space, with the events that name its children.
#[derive(Debug)]
pub struct HierarchyRoom {
    /// What the room shows of itself.
    pub summary: RoomSummary,
    /// Stripped `m.space.child` events, as JSON.
    pub children: Vec<String>,
}

/// A page of a space's hierarchy.
#[derive(Debug)]
pub struct HierarchyPage {
    /// The rooms in depth-first order.
    pub rooms: Vec<HierarchyRoom>,
    /// How many are to be skipped for the next page, or `None` if this is the last one.
    pub next: Option<usize>,
}

/// Which part of a space's hierarchy is asked for.
#[derive(Clone, Copy, Debug)]
pub struct HierarchyQuery {
    /// Whether only children are given that are suggested.
    pub suggested_only: bool,
    /// How deep the walk goes.
    pub max_depth: Option<usize>,
    /// How many are skipped.
    pub from: usize,
    /// The greatest length of the page.
    pub limit: usize,
}

impl Rooms {
    /// The room that an alias points at.
    pub async fn resolve_alias(&self, alias: &OwnedRoomAliasId) -> Result<OwnedRoomId> {
        let room_id = self.shared.directory.resolve_alias(alias).await?;
        room_id
            .map(|record| record.room_id)
            .ok_or_else(|| RoomsError::NotFound(format!("there is no room {alias}")))
    }

    /// The platforms through which a room can be joined: those of its members.
    pub async fn servers_in(&self, room_id: &OwnedRoomId) -> Result<BTreeSet<OwnedServerName>> {
        let room = self.room(room_id).await?;
        let members = self.local_members(&room).await?;
        Ok(members.iter().map(|member| member.server_name().to_owned()).collect())
    }

    /// Points an alias of the user's own platform at a room.
    pub async fn create_alias(
        &self,
        user_id: &OwnedUserId,
        alias: &OwnedRoomAliasId,
        room_id: &OwnedRoomId,
    ) -> Result<()> {
        self.shared.accounts.check_not_suspended(user_id).await?;
        self.joined_room(user_id, room_id).await?;
        let attempt = async || {
            let mut writes = WriteSet::new();
            self.put_alias(&mut writes, alias, room_id, user_id).await?;
            Ok((writes, ()))
        };
        self.store().update(attempt).await
    }

    /// Points a new alias at a room in a write-set, and counts it for who sets it.
    pub(crate) async fn put_alias(
        &self,
        writes: &mut WriteSet,
        alias: &OwnedRoomAliasId,
        room_id: &OwnedRoomId,
        creator: &OwnedUserId,
    ) -> Result<()> {
        self.shared.directory.put_alias(writes, alias, room_id, creator).await?;
        let accounts = &self.shared.accounts;
        accounts.count_stored(writes, creator, Counted::Aliases, Amount::NONE, Amount::ONE).await?;
        Ok(())
    }

    /// The aliases of a room that are on the user's platform.
    pub async fn aliases(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<Vec<OwnedRoomAliasId>> {
        self.view(user_id, room_id).await?;
        let aliases = self.shared.directory.aliases_of(room_id).await?;
        Ok(aliases.into_iter().filter(|alias| alias.server_name() == user_id.server_name()).collect())
    }

    /// Whether a platform lists a room.
    pub async fn is_published(&self, platform: &OwnedServerName, room_id: &OwnedRoomId) -> Result<bool> {
        self.room(room_id).await?;
        Ok(self.shared.directory.is_published(platform, room_id).await?)
    }

    /// Has the user's platform list a room, or stop listing it.
    pub async fn set_published(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        published: bool,
    ) -> Result<()> {
        let room = self.joined_room(user_id, room_id).await?;
        let levels = self.power_levels(&room).await?;
        if levels.user(user_id) < levels.needed_for_event("m.room.canonical_alias", true) {
            return Err(RoomsError::Forbidden("you may not change whether this room is listed".into()));
        }
        let attempt = async || {
            let mut writes = WriteSet::new();
            self.put_published(&mut writes, user_id.server_name(), &room, published).await?;
            Ok((writes, ()))
        };
        self.store().update(attempt).await
    }

    /// Has a platform list a room, or stop listing it, in a write-set. It is counted for who created the room, which
    /// never changes, while others may list it and take it off the list.
    pub(crate) async fn put_published(
        &self,
        writes: &mut WriteSet,
        platform: &ServerName,
        room: &Room,
        published: bool,
    ) -> Result<()> {
        if !self.shared.directory.set_published(writes, platform, &room.id, published).await? {
            return Ok(());
        }
        let (before, after) =
            if published { (Amount::NONE, Amount::ONE) } else { (Amount::ONE, Amount::NONE) };
        self.count_listing(writes, room, before, after).await
    }

    /// Has a platform list the room that replaces another, if it listed that one.
    pub(crate) async fn move_listing(
        &self,
        writes: &mut WriteSet,
        platform: &ServerName,
        from: &Room,
        to: &Room,
    ) -> Result<()> {
        let directory = &self.shared.directory;
        if !directory.set_published(writes, platform, &from.id, false).await? {
            return Ok(());
        }
        let is_new = directory.set_published(writes, platform, &to.id, true).await?;
        if is_new && from.record.creator == to.record.creator {
            return Ok(());
        }
        self.count_listing(writes, from, Amount::ONE, Amount::NONE).await?;
        match is_new {
            true => self.count_listing(writes, to, Amount::NONE, Amount::ONE).await,
            false => Ok(()),
        }
    }

    async fn count_listing(
        &self,
        writes: &mut WriteSet,
        room: &Room,
        before: Amount,
        after: Amount,
    ) -> Result<()> {
        let (accounts, creator) = (&self.shared.accounts, &room.record.creator);
        if accounts.account(creator).await?.is_some_and(|account| !account.deactivated) {
            accounts.count_stored(writes, creator, Counted::PublishedRooms, before, after).await?;
        }
        Ok(())
    }

    /// The published rooms of one platform, or of all that list them.
    pub async fn published_rooms(&self, query: &RoomQuery) -> Result<RoomPage> {
        let mut seen = HashSet::new();
        let mut rooms = Vec::new();
        for platform in self.shared.platforms.iter() {
            if query.platform.as_ref().is_some_and(|wanted| wanted != platform.server_name()) {
                continue;
            }
            for room_id in self.shared.directory.published_rooms(platform.server_name()).await? {
                if seen.insert(room_id.clone()) {
                    give_way().await?;
                    let summary = self.summary_of(&room_id).await?;
                    rooms.extend(summary.filter(|summary| query.matches(summary)));
                }
            }
        }
        rooms.sort_by(|a, b| b.joined.cmp(&a.joined).then_with(|| a.room_id.cmp(&b.room_id)));
        let total = rooms.len();
        let limit = query.limit.clamp(1, MAX_PAGE);
        let rooms: Vec<_> = rooms.into_iter().skip(query.from).take(limit).collect();
        let reached = query.from + rooms.len();
        Ok(RoomPage {
            rooms,
            total,
            next: (reached < total).then_some(reached),
            previous: (query.from > 0).then(|| query.from.saturating_sub(limit)),
        })
    }

    /// What a room shows of itself, or `None` if there is no such room.
    pub(crate) async fn summary_of(&self, room_id: &OwnedRoomId) -> Result<Option<RoomSummary>> {
        let Some(room) = self.find_room(room_id).await? else { return Ok(None) };
        let Some(head) = self.head(room_id).await? else { return Ok(None) };
        note_rows(SUMMARY_ROWS);
        let join_rules: Option<JoinRules> =
            self.state_content(room_id, StateEventType::RoomJoinRules).await?;
        let join_rules = join_rules.unwrap_or_default();
        let text = |content: Option<serde_json::Value>, field: &str| {
            content
                .and_then(|content| content.get(field)?.as_str().map(str::to_owned))
                .filter(|text| !text.is_empty())
        };
        let create = self.state_event(room_id, &StateEventType::RoomCreate, "").await?;
        let guest_access = self.state_event(room_id, &StateEventType::RoomGuestAccess, "").await?;
        let topic: Option<serde_json::Value> = self.state_content(room_id, StateEventType::RoomTopic).await?;
        Ok(Some(RoomSummary {
            room_id: Some(room_id.clone()),
            canonical_alias: text(
                self.state_content(room_id, StateEventType::RoomCanonicalAlias).await?,
                "alias",
            ),
            name: text(self.state_content(room_id, StateEventType::RoomName).await?, "name"),
            topic: topic.as_ref().and_then(plain_topic).filter(|topic| !topic.is_empty()).map(str::to_owned),
            avatar_url: text(self.state_content(room_id, StateEventType::RoomAvatar).await?, "url"),
            joined: head.joined,
            world_readable: self.history_visibility(room_id).await? == HistoryVisibility::WorldReadable,
            guest_can_join: lets_guests_join(guest_access.as_deref()),
            allowed_room_ids: if join_rules.is_restricted() {
                join_rules.allowed_rooms()
            } else {
                Vec::new()
            },
            join_rule: if join_rules.join_rule.is_empty() { "invite".into() } else { join_rules.join_rule },
            room_type: room.record.room_type.clone(),
            encryption: text(self.state_content(room_id, StateEventType::RoomEncryption).await?, "algorithm"),
            version: room.record.version.clone(),
            kept_to: create.as_deref().and_then(kept_to),
        }))
    }

    async fn state_content<T: DeserializeOwned>(
        &self,
        room_id: &OwnedRoomId,
        event_type: StateEventType,
    ) -> Result<Option<T>> {
        let event = self.state_event(room_id, &event_type, "").await?;
        Ok(event.and_then(|event| serde_json::from_str(event.content.get()).ok()))
    }

    /// What a room shows of itself to a user, and the user's membership. There is nothing of a room that the
    /// user, or without one somebody on the platform, could neither see nor join.
    pub async fn summary(
        &self,
        platform: &ServerName,
        user_id: Option<&OwnedUserId>,
        room_id: &OwnedRoomId,
    ) -> Result<(RoomSummary, Option<MembershipState>)> {
        let not_found = || RoomsError::NotFound("there is no such room, or it does not show itself".into());
        let summary = self.summary_of(room_id).await?.ok_or_else(not_found)?;
        let membership = match user_id {
            Some(user_id) => self.membership(room_id, user_id).await?,
            None => None,
        };
        let is_open = summary.kept_to.as_ref().is_none_or(|server| server == platform);
        if is_open && self.is_shown(user_id, &summary, membership.as_ref()).await? {
            Ok((summary, membership))
        } else {
            Err(not_found())
        }
    }

    async fn is_shown(
        &self,
        user_id: Option<&OwnedUserId>,
        summary: &RoomSummary,
        membership: Option<&MembershipState>,
    ) -> Result<bool> {
        let open = matches!(summary.join_rule.as_str(), "public" | "knock" | "knock_restricted");
        if open || summary.world_readable || membership.is_some_and(is_involved) {
            return Ok(true);
        }
        match user_id {
            Some(user_id) => self.is_member_of_any(user_id, &summary.allowed_room_ids).await,
            None => Ok(false),
        }
    }

    /// A space and what is in it, as far as the user may see it.
    /// <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy>
    pub async fn hierarchy(
        &self,
        user_id: &OwnedUserId,
        root: &OwnedRoomId,
        query: HierarchyQuery,
    ) -> Result<HierarchyPage> {
        self.summary(user_id.server_name(), Some(user_id), root)
            .await
            .map_err(|_| RoomsError::Forbidden("there is no such room, or you may not see it".into()))?;
        let limit = query.limit.clamp(1, MAX_PAGE);
        let max_depth = query.max_depth.unwrap_or(MAX_DEPTH).min(MAX_DEPTH);
        let mut seen = HashSet::new();
        let mut queue = VecDeque::from([(root.clone(), 0)]);
        let mut page = HierarchyPage { rooms: Vec::new(), next: None };
        let mut passed = 0;
        while let Some((room_id, depth)) = queue.pop_front() {
            give_way().await?;
            if !seen.insert(room_id.clone()) || seen.len() > MAX_HIERARCHY {
                continue;
            }
            let Ok((summary, _)) = self.summary(user_id.server_name(), Some(user_id), &room_id).await else {
                continue;
            };
            let is_space = summary.room_type.as_deref() == Some("m.space");
            let children = if is_space {
                self.space_children(&room_id, query.suggested_only).await?
            } else {
                Vec::new()
            };
            if depth < max_depth {
                for (child, _) in children.iter().rev() {
                    queue.push_front((child.clone(), depth + 1));
                }
            }
            passed += 1;
            if passed <= query.from {
                continue;
            }
            if page.rooms.len() == limit {
                page.next = Some(query.from + limit);
                break;
            }
            let children = children.into_iter().map(|(_, event)| event).collect();
            page.rooms.push(HierarchyRoom { summary, children });
        }
        Ok(page)
    }

    /// The children of a space in the order that the space gives them.
    async fn space_children(
        &self,
        room_id: &RoomId,
        suggested_only: bool,
    ) -> Result<Vec<(OwnedRoomId, String)>> {
        #[derive(Deserialize)]
        struct Child {
            #[serde(default)]
            via: Vec<String>,
            order: Option<String>,
            #[serde(default)]
            suggested: bool,
        }
        let events = self.current_state(&room_id.to_owned(), Some(&StateEventType::SpaceChild)).await?;
        let mut children = Vec::new();
        for event in events {
            debug_assert_eq!(event.event_type, TimelineEventType::SpaceChild);
            let Some(child) = event.content_as::<Child>() else { continue };
            let Some(child_id) = event.state_key.as_deref().and_then(|id| OwnedRoomId::try_from(id).ok())
            else {
                continue;
            };
            if child.via.is_empty() || (suggested_only && !child.suggested) {
                continue;
            }
            let order = child
                .order
                .filter(|order| order.len() <= 50 && order.bytes().all(|b| (0x20..0x7F).contains(&b)));
            let key = (order.is_none(), order, event.origin_server_ts, child_id.clone());
            children.push((key, child_id, linkspan_domain::stripped_state_event(&event)));
        }
        children.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(children.into_iter().map(|(_, child_id, event)| (child_id, event)).collect())
    }

    /// The rooms that two users are both joined to.
    pub async fn mutual_rooms(&self, user_id: &OwnedUserId, other: &OwnedUserId) -> Result<Vec<OwnedRoomId>> {
        let mine: HashSet<_> = self.joined_rooms(user_id).await?.into_iter().collect();
        let theirs = self.joined_rooms(other).await?;
        Ok(theirs.into_iter().filter(|room_id| mine.contains(room_id)).collect())
    }
}

impl RoomQuery {
    fn matches(&self, summary: &RoomSummary) -> bool {
        let of_type = self.room_types.as_ref().is_none_or(|types| types.contains(&summary.room_type));
        let found = self.search.as_ref().is_none_or(|words| {
            let words = words.to_lowercase();
            [&summary.name, &summary.topic, &summary.canonical_alias]
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(&words))
        });
        let open = summary.kept_to.as_ref().is_none_or(|server| self.asker.as_ref() == Some(server));
        of_type && found && open
    }
}

/// The server of a room's creator, if the room is closed to all others.
pub(crate) fn kept_to(create: &Pdu) -> Option<OwnedServerName> {
    #[derive(Deserialize)]
    struct Create {
        #[serde(rename = "m.federate")]
        federate: Option<bool>,
    }
    let federates = create.content_as::<Create>().and_then(|content| content.federate).unwrap_or(true);
    (!federates).then(|| create.sender.server_name().to_owned())
}
