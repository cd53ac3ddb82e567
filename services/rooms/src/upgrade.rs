//! Upgrading a room: a new one of another version takes its place.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-upgrades>

use linkspan_domain::{Draft, versions};
use linkspan_storage::WriteSet;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int, OwnedRoomId, OwnedUserId, RoomVersionId,
    events::{StateEventType, TimelineEventType},
};

use crate::{
    CreateRoom, InitialState, Preset, Result, Rooms, RoomsError,
    append::{object, text},
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

impl Rooms {
    /// Replaces a room by a new one of another version; returns the new room's id.
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
        let room = self.joined_room(user_id, room_id).await?;
        let levels = self.power_levels(&room).await?;
        if levels.user(user_id) < levels.needed_for_event("m.room.tombstone", true) {
            return Err(RoomsError::Forbidden("you may not upgrade this room".into()));
        }

        let mut creation_content = self.old_creation_content(room_id).await?;
        let mut predecessor = object([("room_id", text(room_id.as_str()))]);
        // Version 12 needs it no more, but clients of before look for it.
        let last = self.head(room_id).await?.and_then(|head| head.extremities.into_iter().next());
        predecessor.extend(last.map(|event_id| ("event_id".to_owned(), text(event_id.as_str()))));
        creation_content.insert("predecessor".into(), CanonicalJsonValue::Object(predecessor));
        let privileged = rules.authorization.explicitly_privilege_room_creators;
        if privileged && !additional_creators.is_empty() {
            let creators = additional_creators.iter().map(|creator| text(creator.as_str())).collect();
            creation_content.insert("additional_creators".into(), CanonicalJsonValue::Array(creators));
        }

        let mut initial_state = Vec::new();
        for event in self.current_state(room_id, None).await? {
            let event_type = event.event_type.to_string();
            let Some(state_key) = event.state_key.clone() else { continue };
            if !TAKEN_OVER.contains(&event_type.as_str()) {
                continue;
            }
            let Ok(mut content) = linkspan_domain::parse_content(event.content.get()) else { continue };
            if event_type == "m.room.power_levels" {
                let creators = privileged.then_some((user_id, &additional_creators[..]));
                adapt_power_levels(&mut content, creators);
            }
            initial_state.push(InitialState { event_type, state_key, content });
        }
        self.keep_encryption(&room, &mut initial_state, now_ts).await?;
        let banned = self.banned_members(room_id).await?;
        let published = self.is_published(&user_id.server_name().to_owned(), room_id).await?;
        let command = CreateRoom {
            version: Some(version),
            preset: Preset::PrivateChat,
            published,
            alias_name: None,
            name: None,
            topic: None,
            invite: Vec::new(),
            is_direct: false,
            initial_state,
            creation_content,
            power_levels: CanonicalJsonObject::new(),
        };
        let new_room_id = self.create_room(user_id, command, now_ts).await?;
        let new_room = self.room(&new_room_id).await?;
        let mut append = self.begin(&new_room, now_ts).await?;
        for (banned, reason) in &banned {
            let content = self.member_content(banned, "ban", reason.as_deref()).await?;
            append
                .stage(user_id, Draft::state(TimelineEventType::RoomMember, banned.as_str(), content), None)
                .await?;
        }
        if !banned.is_empty() {
            append.commit().await?;
        } else {
            drop(append);
        }
        self.bury(user_id, room_id, &new_room_id, now_ts).await?;
        Ok(new_room_id)
    }

    async fn old_creation_content(&self, room_id: &OwnedRoomId) -> Result<CanonicalJsonObject> {
        let create = self.state_event(room_id, &StateEventType::RoomCreate, "").await?;
        let content = create.and_then(|create| linkspan_domain::parse_content(create.content.get()).ok());
        let mut content = content.unwrap_or_default();
        for field in ["creator", "room_version", "predecessor", "additional_creators"] {
            content.remove(field);
        }
        Ok(content)
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

    /// Puts the tombstone, moves the aliases and the listing, and closes the old room to talk.
    async fn bury(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        new_room_id: &OwnedRoomId,
        now_ts: u64,
    ) -> Result<()> {
        let room = self.room(room_id).await?;
        let mut append = self.begin(&room, now_ts).await?;
        let content = object([
            ("body", text("This room has been replaced")),
            ("replacement_room", text(new_room_id.as_str())),
        ]);
        append.stage(user_id, Draft::state(TimelineEventType::RoomTombstone, "", content), None).await?;
        append.commit().await?;

        let mut writes = WriteSet::new();
        self.shared.directory.move_aliases(&mut writes, room_id, new_room_id).await?;
        self.shared.directory.unpublish(&mut writes, user_id.server_name(), room_id);
        self.store().commit(writes).await?;
        self.move_canonical_alias(user_id, room_id, new_room_id, now_ts).await;
        self.close_to_talk(user_id, room_id, now_ts).await;
        Ok(())
    }

    /// Failing is allowed: the upgrade stands without it.
    async fn move_canonical_alias(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        new_room_id: &OwnedRoomId,
        now_ts: u64,
    ) {
        let alias = self.state_event(room_id, &StateEventType::RoomCanonicalAlias, "").await;
        let Ok(Some(alias)) = alias else { return };
        let content = alias.content.get().to_owned();
        let event_type = "m.room.canonical_alias";
        let set = self.set_state(user_id, new_room_id, event_type, "", &content, now_ts).await;
        let cleared = self.set_state(user_id, room_id, event_type, "", "{}", now_ts).await;
        for error in [set.err(), cleared.err()].into_iter().flatten() {
            tracing::info!(%error, %room_id, "the canonical alias did not follow an upgrade");
        }
    }

    /// Failing is allowed: the sender may lack the power.
    async fn close_to_talk(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId, now_ts: u64) {
        let levels = self.state_event(room_id, &StateEventType::RoomPowerLevels, "").await;
        let Ok(Some(levels)) = levels else { return };
        let Ok(mut content) = linkspan_domain::parse_content(levels.content.get()) else { return };
        let default = content.get("users_default").and_then(|level| level.as_integer()).map_or(0, i64::from);
        let closed = CanonicalJsonValue::Integer(
            Int::try_from(default.saturating_add(50).max(50)).unwrap_or(Int::MAX),
        );
        content.insert("events_default".into(), closed.clone());
        content.insert("invite".into(), closed);
        let json = serde_json::to_string(&content).unwrap_or_default();
        if let Err(error) = self.set_state(user_id, room_id, "m.room.power_levels", "", &json, now_ts).await {
            tracing::info!(%error, %room_id, "an upgraded room stays open to talk");
        }
    }
}

/// In versions that privilege creators, these have no level of their own, and only they may upgrade.
fn adapt_power_levels(content: &mut CanonicalJsonObject, creators: Option<(&OwnedUserId, &[OwnedUserId])>) {
    let Some((creator, additional)) = creators else { return };
    if let Some(CanonicalJsonValue::Object(users)) = content.get_mut("users") {
        users.remove(creator.as_str());
        for user_id in additional {
            users.remove(user_id.as_str());
        }
    }
    if let Some(CanonicalJsonValue::Object(events)) = content.get_mut("events") {
        events.insert("m.room.tombstone".into(), CanonicalJsonValue::Integer(Int::from(150)));
    }
}
