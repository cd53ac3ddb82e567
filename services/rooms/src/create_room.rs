//! Creating a room: all its first events in one commit.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom>

use std::{collections::BTreeSet, sync::Arc};

use linkspan_accounts::ThirdPartyId;
use linkspan_domain::{Draft, Place, TIMER_TYPE, room_id_is_hash, versions};
use linkspan_platforms::RateClass;
use linkspan_storage::{
    WriteSet,
    catalogue::{RoomKey, Rooms as RoomsTable},
    records::RoomRecord,
};
use rand::{RngExt as _, distr::Alphanumeric};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int, MilliSecondsSinceUnixEpoch, OwnedRoomAliasId, OwnedRoomId,
    OwnedUserId, RoomVersionId, UInt,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
};

use crate::{
    Result, Room, Rooms, RoomsError,
    append::{Append, object, text},
    policy::Consulted,
    reach::set_direct,
    third_party_invites::AddressInvitations,
    topic::topic_content,
};

/// The most invitations in one request.
const MAX_INVITES: usize = 200;
/// The most events of initial state in one request.
const MAX_INITIAL_STATE: usize = 200;

/// Which set of rules a room starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// People join by invitation.
    PrivateChat,
    /// People join by invitation, and have the creator's power.
    TrustedPrivateChat,
    /// Everybody may join.
    PublicChat,
}

/// A state event to start with.
#[derive(Clone, Debug)]
pub struct InitialState {
    /// Its type.
    pub event_type: String,
    /// Its state key.
    pub state_key: String,
    /// Its content.
    pub content: CanonicalJsonObject,
}

/// What a room is to be.
#[derive(Clone, Debug)]
pub struct CreateRoom {
    /// The version, or `None` for the platform's default.
    pub version: Option<RoomVersionId>,
    /// Which set of rules it starts with.
    pub preset: Preset,
    /// Whether its creator's platform lists it.
    pub published: bool,
    /// The local part of its alias.
    pub alias_name: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Whom to invite.
    pub invite: Vec<OwnedUserId>,
    /// Whether the invitations are to a direct chat.
    pub is_direct: bool,
    /// State events, which replace those of the preset.
    pub initial_state: Vec<InitialState>,
    /// Further fields of the content of the create event.
    pub creation_content: CanonicalJsonObject,
    /// Fields that replace those of the content of `m.room.power_levels`.
    pub power_levels: CanonicalJsonObject,
}

impl Rooms {
    /// Creates a room; returns its id.
    pub async fn create_room(
        &self,
        creator: &OwnedUserId,
        command: CreateRoom,
        now_ts: u64,
    ) -> Result<OwnedRoomId> {
        self.create_room_inviting(creator, command, &AddressInvitations::default(), now_ts).await
    }

    /// Creates a room and invites people to it, by their addresses too; returns its id.
    pub async fn create_room_inviting(
        &self,
        creator: &OwnedUserId,
        command: CreateRoom,
        by_address: &AddressInvitations,
        now_ts: u64,
    ) -> Result<OwnedRoomId> {
        self.count_new_room(creator)?;
        self.count_by_address(creator, by_address.ids.len(), now_ts).await?;
        let create =
            async |consulted| self.create_once(creator, &command, by_address, consulted, now_ts).await;
        let (room_id, hidden) = self.consulting(now_ts, create).await?;
        self.write_to(creator, hidden, &by_address.base_url, now_ts)?;
        Ok(room_id)
    }

    /// Counts a room that somebody creates, or refuses it: what is created stays.
    pub(crate) fn count_new_room(&self, creator: &OwnedUserId) -> Result<()> {
        Ok(self.platform_of(creator)?.rate_limiter.check(RateClass::RoomsOfDay, creator.as_str())?)
    }

    /// Creates a room, unless something changes meanwhile. Returns also the addresses that nobody has whom the creator
    /// may find by them.
    pub(crate) async fn create_once(
        &self,
        creator: &OwnedUserId,
        command: &CreateRoom,
        by_address: &AddressInvitations,
        consulted: Consulted,
        now_ts: u64,
    ) -> Result<(OwnedRoomId, Vec<(ThirdPartyId, bool)>)> {
        let (mut command, mut expected) = (command.clone(), WriteSet::new());
        let (found, hidden) = self.sort_invitees(&mut expected, creator, by_address).await?;
        let found = found.into_iter().filter(|user_id| !command.invite.contains(user_id));
        command.invite.extend(found.collect::<Vec<_>>());
        let invited: BTreeSet<_> = command.invite.iter().filter(|user_id| *user_id != creator).collect();
        let is_for_several = invited.len() + hidden.len() > 1;
        let staged = self.stage_room(creator, command.clone(), is_for_several, now_ts).await;
        let mut append = staged.map_err(impossible)?;
        append.consulted = consulted;
        append.writes.append(expected);
        let room = append.room.clone();
        let created = self.invite_and_commit(append, creator, &command, &hidden, by_address).await;
        if created.is_err() {
            self.drop_room(&room);
        }
        created.map(|()| (room.id.clone(), hidden))
    }

    /// A new room with its first state, of which nothing is written yet. If it is not committed, the room has to
    /// be dropped.
    async fn stage_room(
        &self,
        creator: &OwnedUserId,
        mut command: CreateRoom,
        is_for_several: bool,
        now_ts: u64,
    ) -> Result<Append> {
        if command.invite.len() > MAX_INVITES || command.initial_state.len() > MAX_INITIAL_STATE {
            return Err(RoomsError::TooLarge("too many invitations or state events in one request".into()));
        }
        let members = TimelineEventType::RoomMember.to_string();
        if command.initial_state.iter().any(|state| state.event_type == members) {
            return Err(RoomsError::InvalidState("memberships are no initial state: use `invite`".into()));
        }
        self.plan_encryption(creator, &mut command)?;
        let platform = self.platform_of(creator)?;
        let version = command.version.clone().unwrap_or_else(|| platform.settings.room_version.clone());
        let alias = command.alias_name.as_ref().map(|name| self.new_alias(creator, name)).transpose()?;
        let content = creation_content(&command, &rules_of(&version)?);
        let mut append = self.begin_room(creator, &version, content, now_ts).await?;
        append.is_for_several = is_for_several;
        if let Err(error) = self.fill_room(&mut append, creator, &command, alias.as_ref()).await {
            self.drop_room(&append.room);
            return Err(error);
        }
        Ok(append)
    }

    /// A new room with nothing but its creator, of which nothing is written yet. If it is not committed, the room has
    /// to be dropped.
    ///
    /// `content` has the fields of the create event that the version does not ask for.
    pub(crate) async fn begin_room(
        &self,
        creator: &OwnedUserId,
        version: &RoomVersionId,
        content: CanonicalJsonObject,
        now_ts: u64,
    ) -> Result<Append> {
        let rules = rules_of(version)?;
        let create = Draft::state(
            TimelineEventType::RoomCreate,
            "",
            create_content(content, creator, version, &rules),
        );
        let mut created_ts = now_ts;
        let room = loop {
            let room = self.new_room(creator, version.clone(), rules.clone(), &create, created_ts)?;
            if self.adopt(&room).await? {
                break room;
            }
            // The same create event twice, as two alike rooms in one millisecond would have, is one room.
            created_ts += 1;
        };
        let begun = self.stage_creator(&room, creator, create, created_ts).await;
        if begun.is_err() {
            self.drop_room(&room);
        }
        begun
    }

    async fn invite_and_commit(
        &self,
        mut append: Append,
        creator: &OwnedUserId,
        command: &CreateRoom,
        hidden: &[(ThirdPartyId, bool)],
        by_address: &AddressInvitations,
    ) -> Result<()> {
        for user_id in command.invite.iter().filter(|user_id| *user_id != creator) {
            let mut content = self.member_content(creator, user_id, MembershipState::Invite, None).await?;
            set_direct(&mut content, command.is_direct);
            append.stage_member(creator, user_id, content).await.map_err(impossible)?;
        }
        append.stage_waiting(creator, hidden, by_address).await.map_err(impossible)?;
        // The initial state was staged when the rules of the platforms of those who are invited did not hold
        // yet.
        append.check_staged()?;
        append.commit().await?;
        Ok(())
    }

    async fn stage_creator(
        &self,
        room: &Arc<Room>,
        creator: &OwnedUserId,
        create: Draft,
        now_ts: u64,
    ) -> Result<Append> {
        let mut append = self.begin(room, now_ts).await?;
        let key = RoomKey { room_id: room.id.clone() };
        append.writes.expect_absent::<RoomsTable>(&key);
        append.writes.put::<RoomsTable>(&key, &room.record);
        append.stage(creator, create, None).await.map_err(impossible)?;
        let join = self.member_content(creator, creator, MembershipState::Join, None).await?;
        append.stage_member(creator, creator, join).await?;
        Ok(append)
    }

    async fn fill_room(
        &self,
        append: &mut Append,
        creator: &OwnedUserId,
        command: &CreateRoom,
        alias: Option<&OwnedRoomAliasId>,
    ) -> Result<()> {
        self.stage_first_events(append, creator, command, alias).await?;
        let room_id = append.room.id.clone();
        if let Some(alias) = alias {
            self.put_alias(&mut append.writes, alias, &room_id, creator).await?;
        }
        if command.published {
            let room = append.room.clone();
            self.put_published(&mut append.writes, creator.server_name(), &room, true).await?;
        }
        Ok(())
    }

    fn new_alias(&self, creator: &OwnedUserId, name: &str) -> Result<OwnedRoomAliasId> {
        if name.is_empty() || name.contains([':', '\0']) || name.contains(char::is_whitespace) {
            return Err(RoomsError::Invalid("the alias has characters that an alias cannot have".into()));
        }
        format!("#{name}:{}", creator.server_name())
            .try_into()
            .map_err(|_| RoomsError::Invalid("the alias is not valid".into()))
    }

    fn new_room(
        &self,
        creator: &OwnedUserId,
        version: RoomVersionId,
        rules: RoomVersionRules,
        create: &Draft,
        now_ts: u64,
    ) -> Result<Arc<Room>> {
        let chosen: Option<OwnedRoomId> = (!room_id_is_hash(&rules)).then(|| random_room_id(creator));
        let now = MilliSecondsSinceUnixEpoch(UInt::try_from(now_ts).unwrap_or(UInt::MAX));
        let place = Place { depth: 1, ..Place::default() };
        let (event, _) = create.clone().into_pdu(&rules, chosen.as_ref(), creator, now, place)?;
        let room_type = match create.content.get("type") {
            Some(CanonicalJsonValue::String(room_type)) => Some(room_type.clone()),
            _ => None,
        };
        let record = RoomRecord {
            version: version.to_string(),
            creator: creator.clone(),
            create_event_id: event.event_id,
            created_ts: now_ts,
            room_type,
            big: false,
        };
        let nobody = Some(Arc::default());
        Ok(Arc::new(Room::new(event.room_id, version, rules, record, None, nobody)))
    }

    async fn stage_first_events(
        &self,
        append: &mut Append,
        creator: &OwnedUserId,
        command: &CreateRoom,
        alias: Option<&OwnedRoomAliasId>,
    ) -> Result<()> {
        let first = first_state(command, creator, append.is_for_several, &append.room.rules, alias);
        for (event_type, content) in first {
            let given = |state: &&InitialState| {
                state.event_type == event_type.to_string() && state.state_key.is_empty()
            };
            let content = match command.initial_state.iter().find(given) {
                Some(state) => state.content.clone(),
                None => content,
            };
            stage_state(append, creator, event_type, "", content).await?;
        }
        for state in &command.initial_state {
            let event_type = StateEventType::from(state.event_type.as_str());
            if append.state_event(&event_type, &state.state_key).await?.is_some() {
                continue;
            }
            let event_type = TimelineEventType::from(state.event_type.as_str());
            stage_state(append, creator, event_type, &state.state_key, state.content.clone()).await?;
        }
        let names = [
            (TimelineEventType::RoomName, command.name.as_ref().map(|name| object([("name", text(name))]))),
            (TimelineEventType::RoomTopic, command.topic.as_deref().map(topic_content)),
        ];
        for (event_type, content) in names {
            if let Some(content) = content {
                stage_state(append, creator, event_type, "", content).await?;
            }
        }
        append.check_staged()
    }
}

/// Stages state that the room starts with.
async fn stage_state(
    append: &mut Append,
    creator: &OwnedUserId,
    event_type: TimelineEventType,
    state_key: &str,
    content: CanonicalJsonObject,
) -> Result<()> {
    let draft = Draft::state(event_type, state_key, content);
    append.stage(creator, draft, None).await.map(|_| ())
}

/// Turns a refusal by the rules of rooms into an error of the request: another room could have been asked
/// for.
fn impossible(error: RoomsError) -> RoomsError {
    match error {
        RoomsError::Forbidden(reason) | RoomsError::BadJson(reason) => RoomsError::InvalidState(reason),
        error => error,
    }
}

pub(crate) fn rules_of(version: &RoomVersionId) -> Result<RoomVersionRules> {
    versions::rules(version).ok_or_else(|| RoomsError::UnsupportedVersion(version.to_string()))
}

/// The content of a create event, with what the version asks for.
fn create_content(
    mut content: CanonicalJsonObject,
    creator: &OwnedUserId,
    version: &RoomVersionId,
    rules: &RoomVersionRules,
) -> CanonicalJsonObject {
    content.insert("room_version".into(), text(version.as_str()));
    if rules.authorization.use_room_create_sender {
        content.remove("creator");
    } else {
        content.insert("creator".into(), text(creator.as_str()));
    }
    content
}

/// What the create event is to say of the room. In a trusted private chat all have the creator's power.
fn creation_content(command: &CreateRoom, rules: &RoomVersionRules) -> CanonicalJsonObject {
    let mut content = command.creation_content.clone();
    if rules.authorization.explicitly_privilege_room_creators && command.preset == Preset::TrustedPrivateChat
    {
        add_creators(&mut content, &command.invite);
    }
    content
}

/// Makes further users creators. If there is something else than a list, it is left for the rules to refuse.
fn add_creators(content: &mut CanonicalJsonObject, users: &[OwnedUserId]) {
    let none = || CanonicalJsonValue::Array(Vec::new());
    let creators = content.entry("additional_creators".into()).or_insert_with(none);
    let CanonicalJsonValue::Array(creators) = creators else { return };
    for user_id in users {
        let user_id = text(user_id.as_str());
        if !creators.contains(&user_id) {
            creators.push(user_id);
        }
    }
}

/// The state of the preset, in the order in which it has to come.
fn first_state(
    command: &CreateRoom,
    creator: &OwnedUserId,
    is_for_several: bool,
    rules: &RoomVersionRules,
    alias: Option<&OwnedRoomAliasId>,
) -> Vec<(TimelineEventType, CanonicalJsonObject)> {
    let public = command.preset == Preset::PublicChat;
    let mut state =
        vec![(TimelineEventType::RoomPowerLevels, power_levels(command, creator, is_for_several, rules))];
    if let Some(alias) = alias {
        state.push((TimelineEventType::RoomCanonicalAlias, object([("alias", text(alias.as_str()))])));
    }
    let join_rule = if public { "public" } else { "invite" };
    state.push((TimelineEventType::RoomJoinRules, object([("join_rule", text(join_rule))])));
    let visibility = object([("history_visibility", text("shared"))]);
    state.push((TimelineEventType::RoomHistoryVisibility, visibility));
    let guests = if public { "forbidden" } else { "can_join" };
    state.push((TimelineEventType::RoomGuestAccess, object([("guest_access", text(guests))])));
    state
}

fn power_levels(
    command: &CreateRoom,
    creator: &OwnedUserId,
    is_for_several: bool,
    rules: &RoomVersionRules,
) -> CanonicalJsonObject {
    let level = |level: i32| CanonicalJsonValue::Integer(Int::from(level));
    let privileged = rules.authorization.explicitly_privilege_room_creators;
    let mut users = CanonicalJsonObject::new();
    if !privileged {
        users.insert(creator.to_string(), level(100));
        if command.preset == Preset::TrustedPrivateChat {
            users.extend(command.invite.iter().map(|user_id| (user_id.to_string(), level(100))));
        }
    }
    let mut events = object([
        ("m.room.avatar", level(50)),
        ("m.room.canonical_alias", level(50)),
        ("m.room.encryption", level(100)),
        ("m.room.history_visibility", level(100)),
        ("m.room.name", level(50)),
        ("m.room.power_levels", level(100)),
        ("m.room.server_acl", level(100)),
        ("m.room.tombstone", level(if privileged { 150 } else { 100 })),
    ]);
    // Of a chat of two both are the owners.
    if command.is_direct && !is_for_several {
        events.insert(TIMER_TYPE.to_owned(), level(0));
    }
    let mut content = object([
        ("ban", level(50)),
        ("events", CanonicalJsonValue::Object(events)),
        ("events_default", level(0)),
        ("invite", level(if command.preset == Preset::PublicChat { 50 } else { 0 })),
        ("kick", level(50)),
        ("notifications", CanonicalJsonValue::Object(object([("room", level(50))]))),
        ("redact", level(50)),
        ("state_default", level(50)),
        ("users", CanonicalJsonValue::Object(users)),
        ("users_default", level(0)),
    ]);
    content.extend(command.power_levels.clone());
    content
}

fn random_room_id(creator: &OwnedUserId) -> OwnedRoomId {
    let name: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
    format!("!{name}:{}", creator.server_name()).try_into().expect("letters and digits make a room id")
}
