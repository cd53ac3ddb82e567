//! Joining, inviting, leaving, kicking, banning, knocking, forgetting.
//! <https://spec.matrix.org/v1.19/client-server-api/#room-membership>

use std::sync::Arc;

use linkspan_inbox::point;
use linkspan_platforms::Platform;
use linkspan_storage::{
    Range, Stamped, WriteSet,
    catalogue::{Memberships, UserRoomKey},
    records::{InboxPointer, MembershipRecord},
};
use ruma::{
    CanonicalJsonObject, OwnedRoomId, OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;

use crate::{
    Result, Room, Rooms, RoomsError,
    append::{Append, object, text},
};

/// `m.room.join_rules`, as far as joining asks for it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct JoinRules {
    pub(crate) join_rule: String,
    #[serde(default)]
    pub(crate) allow: Vec<Allow>,
}

/// A condition of a restricted room.
#[derive(Debug, Deserialize)]
pub(crate) struct Allow {
    #[serde(rename = "type")]
    kind: String,
    room_id: Option<OwnedRoomId>,
}

/// How somebody else's membership is ended, or a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The user has to leave, and may come back.
    Kick,
    /// The user has to leave, and may not come back.
    Ban,
    /// The user may come back.
    Unban,
}

impl JoinRules {
    /// Whether members of other rooms may join.
    pub(crate) fn is_restricted(&self) -> bool {
        matches!(self.join_rule.as_str(), "restricted" | "knock_restricted")
    }

    /// The rooms whose members may join.
    pub(crate) fn allowed_rooms(&self) -> Vec<OwnedRoomId> {
        let of_rooms = self.allow.iter().filter(|allow| allow.kind == "m.room_membership");
        of_rooms.filter_map(|allow| allow.room_id.clone()).collect()
    }
}

impl Rooms {
    /// The platform that hosts a user.
    pub(crate) fn platform_of(&self, user_id: &UserId) -> Result<Arc<Platform>> {
        let platform = self.shared.platforms.get(user_id.server_name());
        platform.ok_or_else(|| RoomsError::Forbidden(format!("{} is not hosted here", user_id.server_name())))
    }

    /// The content of a hosted user's membership, with the user's profile as far as the sender may see it.
    pub(crate) async fn member_content(
        &self,
        sender: &OwnedUserId,
        user_id: &OwnedUserId,
        membership: MembershipState,
        reason: Option<&str>,
    ) -> Result<CanonicalJsonObject> {
        let mut content = object([("membership", text(membership.as_str()))]);
        let is_hosted = self.shared.platforms.hosts(user_id.server_name());
        // Whoever declines shows nobody a name by it.
        let is_named = is_hosted && is_involved(&membership);
        if is_named && self.may_see_profile(user_id, Some(sender)).await? {
            for field in ["displayname", "avatar_url"] {
                let value = self.shared.accounts.profile_field(user_id, field).await?;
                if let Some(serde_json::Value::String(value)) = value {
                    content.insert(field.to_owned(), text(value));
                }
            }
        }
        if let Some(reason) = reason {
            content.insert("reason".to_owned(), text(reason));
        }
        Ok(content)
    }

    /// Joins a room.
    pub async fn join_room(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        reason: Option<&str>,
        now_ts: u64,
    ) -> Result<()> {
        self.again(async || {
            let room = self.room(room_id).await?;
            let mut append = self.begin(&room, now_ts).await?;
            let before = append.membership(user_id).await?;
            if before == Some(MembershipState::Join) {
                return append.settle().await;
            }
            let mut content = self.member_content(user_id, user_id, MembershipState::Join, reason).await?;
            self.authorize_restricted_join(&mut append, user_id, &mut content).await?;
            append.stage_member(user_id, user_id, content).await?;
            append.commit().await?;
            Ok(())
        })
        .await
    }

    /// Adds what a join needs in a restricted room to who was not invited.
    pub(crate) async fn authorize_restricted_join(
        &self,
        append: &mut Append,
        user_id: &OwnedUserId,
        content: &mut CanonicalJsonObject,
    ) -> Result<()> {
        if append.membership(user_id).await? == Some(MembershipState::Invite) {
            return Ok(());
        }
        if let Some(authorizer) = self.restricted_join_authorizer(append, user_id).await? {
            content.insert("join_authorised_via_users_server".into(), text(authorizer.as_str()));
        }
        Ok(())
    }

    /// For a restricted room: the hosted member by whose power the user may join; None where no
    /// such member is needed.
    async fn restricted_join_authorizer(
        &self,
        append: &mut Append,
        user_id: &OwnedUserId,
    ) -> Result<Option<OwnedUserId>> {
        let rules = append.state_event(&StateEventType::RoomJoinRules, "").await?;
        let rules: JoinRules = rules.and_then(|rules| rules.content_as()).unwrap_or_default();
        if !rules.is_restricted() {
            return Ok(None);
        }
        if !self.is_member_of_any(user_id, &rules.allowed_rooms()).await? {
            return Err(RoomsError::Forbidden(
                "only members of certain other rooms, or those who are invited, may join".into(),
            ));
        }
        let levels = append.power_levels().await?;
        let needed = levels.needed_to_invite();
        let authorizer = append.members.iter().find(|member| levels.user(member) >= needed).cloned();
        authorizer
            .map(Some)
            .ok_or_else(|| RoomsError::Forbidden("no member who may invite is hosted here".into()))
    }

    pub(crate) async fn is_member_of_any(&self, user_id: &UserId, rooms: &[OwnedRoomId]) -> Result<bool> {
        for room_id in rooms {
            if self.membership(room_id, user_id).await? == Some(MembershipState::Join) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Invites a user.
    pub async fn invite(
        &self,
        sender: &OwnedUserId,
        room_id: &OwnedRoomId,
        user_id: &OwnedUserId,
        reason: Option<&str>,
        now_ts: u64,
    ) -> Result<()> {
        self.consulting(now_ts, async |consulted| {
            let room = self.joined_room(sender, room_id).await?;
            let mut append = self.begin(&room, now_ts).await?;
            append.consulted = consulted;
            self.stage_membership(&mut append, sender, user_id, MembershipState::Invite, reason).await?;
            append.commit().await?;
            Ok(())
        })
        .await
    }

    /// Leaves a room, declines an invitation, takes a knock back.
    pub async fn leave_room(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        reason: Option<&str>,
        now_ts: u64,
    ) -> Result<()> {
        self.again(async || {
            let room = self.room(room_id).await?;
            let mut append = self.begin(&room, now_ts).await?;
            match append.membership(user_id).await? {
                Some(MembershipState::Invite) => self.check_may_decline(user_id, room_id).await?,
                Some(membership) if is_involved(&membership) => {}
                Some(MembershipState::Leave) => return append.settle().await,
                _ => return Err(RoomsError::Forbidden("you are not in this room".into())),
            }
            self.stage_membership(&mut append, user_id, user_id, MembershipState::Leave, reason).await?;
            append.commit().await?;
            Ok(())
        })
        .await
    }

    /// Removes a user from a room, bans a user, or lifts a ban.
    pub async fn remove_member(
        &self,
        removal: Removal,
        sender: &OwnedUserId,
        room_id: &OwnedRoomId,
        user_id: &OwnedUserId,
        reason: Option<&str>,
        now_ts: u64,
    ) -> Result<()> {
        self.again(async || {
            let room = self.joined_room(sender, room_id).await?;
            let mut append = self.begin(&room, now_ts).await?;
            let before = append.membership(user_id).await?;
            let membership = match removal {
                Removal::Kick if before.as_ref().is_some_and(is_involved) => MembershipState::Leave,
                Removal::Unban if before == Some(MembershipState::Ban) => MembershipState::Leave,
                Removal::Ban => MembershipState::Ban,
                Removal::Kick => {
                    return Err(RoomsError::Forbidden("the user is not in this room".into()));
                }
                Removal::Unban => return Err(RoomsError::Forbidden("the user is not banned".into())),
            };
            self.stage_membership(&mut append, sender, user_id, membership, reason).await?;
            append.commit().await?;
            Ok(())
        })
        .await
    }

    /// Asks to be invited.
    pub async fn knock(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        reason: Option<&str>,
        now_ts: u64,
    ) -> Result<()> {
        self.again(async || {
            let room = self.room(room_id).await?;
            let mut append = self.begin(&room, now_ts).await?;
            if append.membership(user_id).await? == Some(MembershipState::Knock) {
                return append.settle().await;
            }
            if !room.rules.authorization.knocking {
                return Err(RoomsError::Forbidden("rooms of this version know no knocking".into()));
            }
            self.stage_membership(&mut append, user_id, user_id, MembershipState::Knock, reason).await?;
            append.commit().await?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn stage_membership(
        &self,
        append: &mut Append,
        sender: &OwnedUserId,
        user_id: &OwnedUserId,
        membership: MembershipState,
        reason: Option<&str>,
    ) -> Result<()> {
        let content = self.member_content(sender, user_id, membership, reason).await?;
        append.stage_member(sender, user_id, content).await
    }

    /// Forgets a room that the user has left.
    pub async fn forget(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<()> {
        let key = UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
        self.store()
            .update(|| async {
                let Some(mut stored) = self.store().get::<Memberships>(&key).await? else {
                    return Err(RoomsError::NotFound("you were never in this room".into()));
                };
                if !matches!(stored.value.membership, MembershipState::Leave | MembershipState::Ban) {
                    return Err(RoomsError::NotLeft);
                }
                let mut writes = WriteSet::new();
                if !stored.value.forgotten {
                    // An invitation may come just now.
                    writes.expect::<Memberships>(&key, &stored);
                    stored.value.forgotten = true;
                    writes.put::<Memberships>(&key, &stored);
                    // Who was put out has the room in lists until then.
                    point(&mut writes, user_id, InboxPointer::Room(room_id.clone()));
                }
                Ok((writes, ()))
            })
            .await
    }

    /// The memberships of a hosted user, forgotten rooms left out.
    pub async fn memberships(
        &self,
        user_id: &OwnedUserId,
    ) -> Result<Vec<(OwnedRoomId, Stamped<MembershipRecord>)>> {
        let rows = self.store().range::<Memberships>(Range::prefix((user_id,))).await?;
        let kept = rows.into_iter().filter(|(_, stored)| !stored.value.forgotten);
        Ok(kept.map(|(key, stored)| (key.room_id, stored)).collect())
    }

    /// A hosted user's membership of a room.
    pub async fn membership_record(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<Option<Stamped<MembershipRecord>>> {
        let key = UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
        Ok(self.shared.memberships.get(&key).await?.map(|membership| (*membership).clone()))
    }

    /// A hosted user's memberships of some rooms, in the same order.
    pub async fn membership_records(
        &self,
        user_id: &OwnedUserId,
        room_ids: impl IntoIterator<Item = &OwnedRoomId>,
    ) -> Result<Vec<Option<Stamped<MembershipRecord>>>> {
        let key = |room_id: &OwnedRoomId| UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
        let keys: Vec<_> = room_ids.into_iter().map(key).collect();
        Ok(self.store().get_many::<Memberships>(&keys).await?)
    }

    /// Whether a user has left a room and forgotten it since.
    pub(crate) async fn has_forgotten(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<bool> {
        Ok(self.membership_record(user_id, room_id).await?.is_some_and(|stored| stored.value.forgotten))
    }

    /// The rooms that a hosted user is joined to.
    pub async fn joined_rooms(&self, user_id: &OwnedUserId) -> Result<Vec<OwnedRoomId>> {
        let memberships = self.memberships(user_id).await?;
        let joined =
            memberships.into_iter().filter(|(_, stored)| stored.value.membership == MembershipState::Join);
        Ok(joined.map(|(room_id, _)| room_id).collect())
    }

    /// The room, if the user is joined to it.
    pub(crate) async fn joined_room(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<Arc<Room>> {
        let room = self.find_room(room_id).await?;
        let joined = self.membership(room_id, user_id).await? == Some(MembershipState::Join);
        room.filter(|_| joined).ok_or_else(not_in_room)
    }
}

/// Whether somebody with this membership is joined or invited.
pub fn is_present(membership: &MembershipState) -> bool {
    matches!(membership, MembershipState::Join | MembershipState::Invite)
}

/// Whether somebody with this membership is joined or invited, or asks to be.
pub(crate) fn is_involved(membership: &MembershipState) -> bool {
    is_present(membership) || *membership == MembershipState::Knock
}

/// Said alike of rooms that do not exist and of rooms that the user is not in.
pub(crate) fn not_in_room() -> RoomsError {
    RoomsError::Forbidden("you are not in this room".into())
}
