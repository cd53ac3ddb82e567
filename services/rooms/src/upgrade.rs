//! Upgrading a room: a new one of another version takes its place.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-upgrades>

use linkspan_domain::{Draft, versions};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomVersionId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
};

use crate::{
    CreateRoom, InitialState, Preset, Result, Rooms, RoomsError,
    append::{Append, object, text},
    upgraded_levels::{close_to_talk, give_creators_a_level, privilege_creators},
};

/// State that the new room takes over.
const TAKEN_OVER: [&str; 10] = [
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.power_levels",
    "m.space.child",
];

/// What a room is replaced by.
struct Upgrade<'a> {
    user_id: &'a OwnedUserId,
    version: RoomVersionId,
    rules: RoomVersionRules,
    additional_creators: Vec<OwnedUserId>,
}

impl Rooms {
    /// Replaces a room by a new one of another version; returns the new room's id. Both happen in one commit: what
    /// is refused in either room leaves nothing behind.
    pub async fn upgrade_room(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        version: RoomVersionId,
        additional_creators: Vec<OwnedUserId>,
        now_ts: u64,
    ) -> Result<OwnedRoomId> {
        let rules =
            versions::rules(&version).ok_or_else(|| RoomsError::UnsupportedVersion(version.to_string()))?;
        let upgrade = Upgrade { user_id, version, rules, additional_creators };
        let room = self.joined_room(user_id, room_id).await?;
        let mut old = self.begin(&room, now_ts).await?;
        // The state is read from the disk.
        old.settle().await?;
        let levels = old.power_levels().await?;
        if levels.user(user_id) < levels.needed_for_event("m.room.tombstone", true) {
            return Err(RoomsError::Forbidden("you may not upgrade this room".into()));
        }
        let banned = self.banned_members(room_id).await?;
        let command = self.successor(&mut old, &upgrade, &banned).await?;
        let new = self.stage_room(user_id, command, now_ts).await?;
        let new_room = new.room.clone();
        let replaced = self.replace(old, new, user_id, &banned).await;
        if replaced.is_err() {
            self.disown(&new_room);
        }
        replaced?;
        Ok(new_room.id.clone())
    }

    /// What the room that takes the old one's place is to be.
    async fn successor(
        &self,
        old: &mut Append,
        upgrade: &Upgrade<'_>,
        banned: &[(OwnedUserId, Option<String>)],
    ) -> Result<CreateRoom> {
        let room_id = &old.room.id.clone();
        let mut initial_state = Vec::new();
        for event in self.current_state(room_id, None).await? {
            let event_type = event.event_type.to_string();
            let Some(state_key) = event.state_key.clone() else { continue };
            if !TAKEN_OVER.contains(&event_type.as_str()) {
                continue;
            }
            let Ok(mut content) = linkspan_domain::parse_content(event.content.get()) else { continue };
            if event_type == "m.room.power_levels" {
                adapt_power_levels(&mut content, old, upgrade, banned).await?;
            }
            initial_state.push(InitialState { event_type, state_key, content });
        }
        old.keep_encryption(&mut initial_state);
        let platform = upgrade.user_id.server_name().to_owned();
        Ok(CreateRoom {
            version: Some(upgrade.version.clone()),
            preset: Preset::PrivateChat,
            published: self.is_published(&platform, room_id).await?,
            alias_name: None,
            name: None,
            topic: None,
            invite: Vec::new(),
            is_direct: false,
            initial_state,
            creation_content: creation_content(old, upgrade).await?,
            power_levels: CanonicalJsonObject::new(),
        })
    }

    async fn banned_members(&self, room_id: &OwnedRoomId) -> Result<Vec<(OwnedUserId, Option<String>)>> {
        #[derive(serde::Deserialize)]
        struct Content {
            reason: Option<String>,
        }
        let members = self.current_state(room_id, Some(&StateEventType::RoomMember)).await?;
        let banned = members.into_iter().filter(|member| member.membership().as_deref() == Some("ban"));
        Ok(banned
            .filter_map(|member| {
                let reason = member.content_as::<Content>().and_then(|content| content.reason);
                Some((member.state_key.as_deref()?.try_into().ok()?, reason))
            })
            .collect())
    }

    /// Puts the tombstone, carries bans, aliases and the listing over, closes the old room to talk, and commits
    /// both rooms.
    async fn replace(
        &self,
        mut old: Append,
        mut new: Append,
        user_id: &OwnedUserId,
        banned: &[(OwnedUserId, Option<String>)],
    ) -> Result<()> {
        let (room_id, new_room_id) = (old.room.id.clone(), new.room.id.clone());
        for (banned, reason) in banned {
            let content = self.member_content(banned, "ban", reason.as_deref()).await?;
            let draft = Draft::state(TimelineEventType::RoomMember, banned.as_str(), content);
            new.stage(user_id, draft, None).await?;
        }
        let tombstone = object([
            ("body", text("This room has been replaced")),
            ("replacement_room", text(new_room_id.as_str())),
        ]);
        old.stage(user_id, Draft::state(TimelineEventType::RoomTombstone, "", tombstone), None).await?;
        let moved = self.shared.directory.aliases_of(&room_id).await?;
        self.shared.directory.move_aliases(&mut old.writes, &room_id, &new_room_id).await?;
        self.shared.directory.unpublish(&mut old.writes, user_id.server_name(), &room_id);
        move_canonical_alias(&mut old, &mut new, user_id, &moved).await?;
        let levels = content_of(&mut old, &StateEventType::RoomPowerLevels).await?;
        if let Some(mut levels) = levels {
            close_to_talk(&mut levels);
            may_fail(&mut old, user_id, TimelineEventType::RoomPowerLevels, levels).await?;
        }
        old.commit_with(new).await
    }
}

async fn content_of(append: &mut Append, event_type: &StateEventType) -> Result<Option<CanonicalJsonObject>> {
    let event = append.state_event(event_type, "").await?;
    Ok(event.and_then(|event| linkspan_domain::parse_content(event.content.get()).ok()))
}

/// The content of the new room's create event.
async fn creation_content(old: &mut Append, upgrade: &Upgrade<'_>) -> Result<CanonicalJsonObject> {
    let mut content = content_of(old, &StateEventType::RoomCreate).await?.unwrap_or_default();
    for field in ["creator", "room_version", "predecessor", "additional_creators"] {
        content.remove(field);
    }
    let mut predecessor = object([("room_id", text(old.room.id.as_str()))]);
    // Version 12 needs it no more, but clients of before look for it.
    let last = old.head.extremities.first();
    predecessor.extend(last.map(|event_id| ("event_id".to_owned(), text(event_id.as_str()))));
    content.insert("predecessor".into(), CanonicalJsonValue::Object(predecessor));
    let creators = &upgrade.additional_creators;
    if upgrade.rules.authorization.explicitly_privilege_room_creators && !creators.is_empty() {
        let creators = creators.iter().map(|creator| text(creator.as_str())).collect();
        content.insert("additional_creators".into(), CanonicalJsonValue::Array(creators));
    }
    Ok(content)
}

/// Versions differ in how they tell of a creator's power: some have no level for it. Who is banned keeps no level.
async fn adapt_power_levels(
    content: &mut CanonicalJsonObject,
    old: &mut Append,
    upgrade: &Upgrade<'_>,
    banned: &[(OwnedUserId, Option<String>)],
) -> Result<()> {
    if upgrade.rules.authorization.explicitly_privilege_room_creators {
        privilege_creators(content, std::iter::once(upgrade.user_id).chain(&upgrade.additional_creators));
    } else if old.room.rules.authorization.explicitly_privilege_room_creators {
        give_creators_a_level(content, creators(old).await?.iter());
    }
    if let Some(CanonicalJsonValue::Object(users)) = content.get_mut("users") {
        banned.iter().for_each(|(user_id, _)| drop(users.remove(user_id.as_str())));
    }
    Ok(())
}

/// The creators of a room whose version privileges them.
async fn creators(append: &mut Append) -> Result<Vec<OwnedUserId>> {
    #[derive(serde::Deserialize)]
    struct Content {
        #[serde(default)]
        additional_creators: Vec<OwnedUserId>,
    }
    let Some(create) = append.state_event(&StateEventType::RoomCreate, "").await? else {
        return Ok(Vec::new());
    };
    let additional = create.content_as::<Content>().map(|content| content.additional_creators);
    Ok(std::iter::once(create.sender.clone()).chain(additional.unwrap_or_default()).collect())
}

/// The aliases that lead to the new room now are named there, and no longer in the old one.
async fn move_canonical_alias(
    old: &mut Append,
    new: &mut Append,
    user_id: &OwnedUserId,
    moved: &[OwnedRoomAliasId],
) -> Result<()> {
    let Some(mut content) = content_of(old, &StateEventType::RoomCanonicalAlias).await? else {
        return Ok(());
    };
    let leads_there = |alias: &CanonicalJsonValue| moved.iter().any(|it| alias.as_str() == Some(it.as_str()));
    if !content.get("alias").is_some_and(leads_there) {
        content.remove("alias");
    }
    if let Some(CanonicalJsonValue::Array(others)) = content.get_mut("alt_aliases") {
        others.retain(leads_there);
    }
    if content.is_empty() {
        return Ok(());
    }
    may_fail(new, user_id, TimelineEventType::RoomCanonicalAlias, content).await?;
    may_fail(old, user_id, TimelineEventType::RoomCanonicalAlias, CanonicalJsonObject::new()).await
}

/// Stages state that the user may lack the power for: the upgrade stands without it.
async fn may_fail(
    append: &mut Append,
    user_id: &OwnedUserId,
    event_type: TimelineEventType,
    content: CanonicalJsonObject,
) -> Result<()> {
    let draft = Draft::state(event_type, "", content);
    match append.stage(user_id, draft, None).await {
        Err(RoomsError::Storage(error)) => Err(error.into()),
        Err(error) => {
            tracing::info!(%error, room_id = %append.room.id, "an upgrade goes without some state");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}
