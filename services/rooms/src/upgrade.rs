//! Upgrading a room: a new one of another version takes its place.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-upgrades>

use linkspan_domain::{Draft, SharedPdu, TIMER_TYPE, parse_content};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomVersionId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    room_version_rules::{AuthorizationRules, RoomVersionRules},
};

use crate::{
    InitialState, Result, Rooms, RoomsError,
    append::{Append, object, text},
    create_room::rules_of,
    disappearing::check_timer,
    follow_upgrade::replacement_of,
    policy::Consulted,
    upgraded_levels::{
        close_to_talk, give_creators_a_level, keep_upgrades_to_creators, levels_to_numbers,
        privilege_creators,
    },
};

/// The most events that the new room takes over, bans included. No space and no list of bans in use is so long; all of
/// them are in memory until they are written at once.
const MAX_TAKEN_OVER: usize = 10_000;

/// The types of state that the new room takes over as it is. Power levels come after them, and may differ.
const TAKEN_OVER: [&str; 10] = [
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    TIMER_TYPE,
    SPACE_CHILD,
];
const SPACE_CHILD: &str = "m.space.child";

/// What a room is replaced by.
struct Upgrade<'a> {
    user_id: &'a OwnedUserId,
    version: RoomVersionId,
    rules: RoomVersionRules,
    additional_creators: Vec<OwnedUserId>,
}

/// Somebody who is banned, with the reason.
type Ban = (OwnedUserId, Option<String>);

impl Rooms {
    /// Replaces a room by a new one of another version; returns the new room's id. Both happen in one commit: what
    /// is refused in either room leaves nothing behind.
    ///
    /// `additional_creators` are ignored by versions that know none.
    pub async fn upgrade_room(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        version: RoomVersionId,
        mut additional_creators: Vec<OwnedUserId>,
        now_ts: u64,
    ) -> Result<OwnedRoomId> {
        self.count_new_room(user_id)?;
        let rules = rules_of(&version)?;
        if !rules.authorization.explicitly_privilege_room_creators {
            additional_creators.clear();
        }
        let upgrade = Upgrade { user_id, version, rules, additional_creators };
        let replace = async |consulted| self.replace_room(room_id, &upgrade, consulted, now_ts).await;
        let new_room_id = self.consulting(now_ts, replace).await?;
        // Nobody else is in the new room yet, so nothing there can come before this.
        self.copy_room_settings(user_id, room_id, &new_room_id).await;
        Ok(new_room_id)
    }

    async fn replace_room(
        &self,
        room_id: &OwnedRoomId,
        upgrade: &Upgrade<'_>,
        consulted: Consulted,
        now_ts: u64,
    ) -> Result<OwnedRoomId> {
        let room = self.joined_room(upgrade.user_id, room_id).await?;
        let mut old = self.begin(&room, now_ts).await?;
        old.consulted = consulted;
        // What was queued must be on disk, because the state is read from there.
        old.settle().await?;
        let levels = old.power_levels().await?;
        if levels.user(upgrade.user_id) < levels.needed_for_event("m.room.tombstone", true) {
            return Err(RoomsError::Forbidden("you may not upgrade this room".into()));
        }
        self.check_not_replaced(&mut old).await?;
        let content = creation_content(&mut old, upgrade).await?;
        let new = self.begin_room(upgrade.user_id, &upgrade.version, content, now_ts).await?;
        let new_room = new.room.clone();
        if let Err(error) = self.move_over(old, new, upgrade).await {
            self.drop_room(&new_room);
            return Err(error);
        }
        Ok(new_room.id.clone())
    }

    /// Refuses to replace a room once more, or to link to it, while somebody is in the room that its tombstone names.
    /// Aliases, listings, links and those who follow have gone there; another tombstone would lead everybody else to
    /// another room. The specification leaves this open. A tombstone that names no room here, or one that everybody
    /// has left, leads nobody anywhere: the room can then be upgraded again.
    pub(crate) async fn check_not_replaced(&self, old: &mut Append) -> Result<()> {
        let tombstone = old.state_event(&StateEventType::RoomTombstone, "").await?;
        let Some(new_id) = tombstone.and_then(|event| replacement_of(&event)) else { return Ok(()) };
        let Some(new) = self.find_room(&new_id).await? else { return Ok(()) };
        if self.has_stored_members(&new).await? { Err(RoomsError::Replaced { by: new_id }) } else { Ok(()) }
    }

    /// Takes over into the new room what it is to have, closes the old one, and commits both.
    async fn move_over(&self, mut old: Append, mut new: Append, upgrade: &Upgrade<'_>) -> Result<()> {
        let (user_id, old_id, new_id) = (upgrade.user_id, old.room.id.clone(), new.room.id.clone());
        // Those of other platforms go along when their own people do: services/rooms/src/follow_upgrade.rs.
        let platform = user_id.server_name();
        let aliases = self.shared.directory.aliases_on(platform, &old_id).await?;
        let (canonical_alias, left) = moved_canonical_alias(&mut old, &aliases).await?;
        let tombstone = object([
            ("body", text("This room has been replaced")),
            ("replacement_room", text(new_id.as_str())),
        ]);
        old.stage(user_id, Draft::state(TimelineEventType::RoomTombstone, "", tombstone), None).await?;
        self.fill_successor(&mut old, &mut new, upgrade, canonical_alias.clone()).await?;
        self.shared.directory.move_aliases(&mut old.writes, &aliases, &new_id).await?;
        let (old_room, new_room) = (old.room.clone(), new.room.clone());
        self.move_listing(&mut old.writes, platform, &old_room, &new_room).await?;
        self.move_join_links(&mut old.writes, &old_id, &new_id).await?;
        if canonical_alias.is_some() {
            stage_if_allowed(&mut old, user_id, TimelineEventType::RoomCanonicalAlias, left).await?;
        }
        if let Some(levels) = content_of(&mut old, &StateEventType::RoomPowerLevels).await? {
            let mut closed = levels.clone();
            close_to_talk(&mut closed);
            if closed != levels {
                stage_if_allowed(&mut old, user_id, TimelineEventType::RoomPowerLevels, closed).await?;
            }
        }
        old.commit_with(new).await
    }

    /// Stages what the new room takes over. Until it has power levels its creator may do everything, whatever power the
    /// same user has in the old room: so these come last.
    async fn fill_successor(
        &self,
        old: &mut Append,
        new: &mut Append,
        upgrade: &Upgrade<'_>,
        canonical_alias: Option<CanonicalJsonObject>,
    ) -> Result<()> {
        let user_id = upgrade.user_id;
        let current = self.current_state(&old.room.id, None).await?;
        let banned = banned_members(&current);
        check_not_banned(&upgrade.additional_creators, &banned)?;
        let mut state = state_taken_over(&current, &upgrade.rules.authorization);
        old.keep_encryption(&mut state);
        if state.len() + banned.len() > MAX_TAKEN_OVER {
            return Err(RoomsError::TooLarge("the room has too much state and too many bans".into()));
        }
        for InitialState { event_type, state_key, content } in state {
            new.stage(user_id, Draft::state(event_type.as_str().into(), state_key, content), None).await?;
        }
        if let Some(content) = canonical_alias {
            let draft = Draft::state(TimelineEventType::RoomCanonicalAlias, "", content);
            new.stage(user_id, draft, None).await?;
        }
        for (banned, reason) in &banned {
            let content =
                self.member_content(user_id, banned, MembershipState::Ban, reason.as_deref()).await?;
            new.stage_member(user_id, banned, content).await?;
        }
        if let Some(mut levels) = content_of(old, &StateEventType::RoomPowerLevels).await? {
            adapt_power_levels(&mut levels, old, upgrade, &banned).await?;
            let draft = Draft::state(TimelineEventType::RoomPowerLevels, "", levels);
            new.stage(user_id, draft, None).await?;
        }
        new.check_staged()
    }
}

fn state_taken_over(current: &[SharedPdu], rules: &AuthorizationRules) -> Vec<InitialState> {
    let mut taken_over = Vec::new();
    for event in current {
        let event_type = event.event_type.to_string();
        let Some(state_key) = event.state_key.clone() else { continue };
        let Ok(mut content) = parse_content(event.content.get()) else { continue };
        if !TAKEN_OVER.contains(&event_type.as_str()) || is_no_child(&event_type, &content) {
            continue;
        }
        if check_timer(&event.event_type, Some(&state_key), &content).is_err() {
            // It came from elsewhere, and counts as no timer.
            continue;
        }
        if event_type == "m.room.join_rules" {
            adapt_join_rule(&mut content, rules);
        }
        taken_over.push(InitialState { event_type, state_key, content });
    }
    taken_over
}

fn banned_members(current: &[SharedPdu]) -> Vec<Ban> {
    #[derive(serde::Deserialize)]
    struct Content {
        reason: Option<String>,
    }
    let members = current.iter().filter(|event| event.event_type == TimelineEventType::RoomMember);
    let banned = members.filter(|member| member.membership() == Some(MembershipState::Ban));
    banned
        .filter_map(|member| {
            let reason = member.content_as::<Content>().and_then(|content| content.reason);
            Some((member.state_key.as_deref()?.try_into().ok()?, reason))
        })
        .collect()
}

/// Whether this event of a space takes a room out of it, which it does by naming no servers to join by.
fn is_no_child(event_type: &str, content: &CanonicalJsonObject) -> bool {
    let via = content.get("via").and_then(CanonicalJsonValue::as_array);
    event_type == SPACE_CHILD && via.is_none_or(|via| via.is_empty())
}

/// Replaces a join rule that the version does not know, which would let nobody in, not even those who are invited, by
/// a stricter one that it knows.
fn adapt_join_rule(content: &mut CanonicalJsonObject, rules: &AuthorizationRules) {
    let known = match content.get("join_rule").and_then(CanonicalJsonValue::as_str) {
        Some("knock_restricted") if rules.knock_restricted_join_rule => return,
        Some("knock_restricted" | "restricted") if rules.restricted_join_rule => "restricted",
        Some("knock") if rules.knocking => return,
        Some("knock_restricted" | "restricted" | "knock") => "invite",
        _ => return,
    };
    content.insert("join_rule".into(), text(known));
}

/// A creator cannot be banned.
fn check_not_banned(creators: &[OwnedUserId], banned: &[Ban]) -> Result<()> {
    match creators.iter().find(|creator| banned.iter().any(|(user_id, _)| user_id == *creator)) {
        Some(creator) => Err(RoomsError::Invalid(format!("{creator} is banned, and cannot be a creator"))),
        None => Ok(()),
    }
}

async fn content_of(append: &mut Append, event_type: &StateEventType) -> Result<Option<CanonicalJsonObject>> {
    let event = append.state_event(event_type, "").await?;
    Ok(event.and_then(|event| parse_content(event.content.get()).ok()))
}

/// The content of the new room's create event.
async fn creation_content(old: &mut Append, upgrade: &Upgrade<'_>) -> Result<CanonicalJsonObject> {
    let mut content = content_of(old, &StateEventType::RoomCreate).await?.unwrap_or_default();
    for field in ["creator", "room_version", "predecessor", "additional_creators"] {
        content.remove(field);
    }
    let mut predecessor = object([("room_id", text(old.room.id.as_str()))]);
    // Version 12 does not need it any more, but older clients look for it.
    let last = old.head.extremities.first();
    predecessor.extend(last.map(|event_id| ("event_id".to_owned(), text(event_id.as_str()))));
    content.insert("predecessor".into(), CanonicalJsonValue::Object(predecessor));
    let creators = &upgrade.additional_creators;
    if !creators.is_empty() {
        let creators = creators.iter().map(|creator| text(creator.as_str())).collect();
        content.insert("additional_creators".into(), CanonicalJsonValue::Array(creators));
    }
    Ok(content)
}

/// Adapts power levels to a version. Versions differ in how they tell of a creator's power and in what a
/// level may be. Whoever is banned keeps no level.
async fn adapt_power_levels(
    content: &mut CanonicalJsonObject,
    old: &mut Append,
    upgrade: &Upgrade<'_>,
    banned: &[Ban],
) -> Result<()> {
    levels_to_numbers(content);
    let privileges = |rules: &RoomVersionRules| rules.authorization.explicitly_privilege_room_creators;
    match (privileges(&old.room.rules), privileges(&upgrade.rules)) {
        (true, false) => give_creators_a_level(content, creators(old).await?.iter()),
        (false, true) => keep_upgrades_to_creators(content),
        _ => {}
    }
    if privileges(&upgrade.rules) {
        privilege_creators(content, std::iter::once(upgrade.user_id).chain(&upgrade.additional_creators));
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

/// The content of `m.room.canonical_alias` for the new room, which names those of the old room's aliases that move there,
/// if it names any; and what the old room keeps.
async fn moved_canonical_alias(
    old: &mut Append,
    moved: &[OwnedRoomAliasId],
) -> Result<(Option<CanonicalJsonObject>, CanonicalJsonObject)> {
    let content = content_of(old, &StateEventType::RoomCanonicalAlias).await?.unwrap_or_default();
    let goes = |alias: &CanonicalJsonValue| moved.iter().any(|it| alias.as_str() == Some(it.as_str()));
    let there = with_aliases(content.clone(), goes);
    let names_any = !there.is_empty();
    Ok((names_any.then_some(there), with_aliases(content, |alias| !goes(alias))))
}

/// The content with those of its aliases only that are to be named.
fn with_aliases(
    mut content: CanonicalJsonObject,
    is_named: impl Fn(&CanonicalJsonValue) -> bool,
) -> CanonicalJsonObject {
    if !content.get("alias").is_some_and(&is_named) {
        content.remove("alias");
    }
    if let Some(CanonicalJsonValue::Array(others)) = content.get_mut("alt_aliases") {
        others.retain(is_named);
        if others.is_empty() {
            content.remove("alt_aliases");
        }
    }
    content
}

/// Stages state for which the user may lack the power. The upgrade goes on without it.
async fn stage_if_allowed(
    append: &mut Append,
    user_id: &OwnedUserId,
    event_type: TimelineEventType,
    content: CanonicalJsonObject,
) -> Result<()> {
    let draft = Draft::state(event_type, "", content);
    match append.stage(user_id, draft, None).await {
        Err(RoomsError::Storage(error)) => Err(error.into()),
        Err(error) => {
            tracing::info!(%error, room_id = %append.room.id, "an upgraded room keeps some state");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}
