//! What a link leads to, and joining by it. Whoever opens a link comes of their own will: nobody's rules on who may reach
//! them are asked, and it is no approach. All else that the door asks of an invitation and of a join is asked.

use std::collections::BTreeSet;

use linkspan_accounts::hash_token;
use linkspan_storage::{
    catalogue::{JoinLinks, JoinTokens, PlatformHashKey, RoomHashKey},
    records::JoinLinkRecord,
};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, events::room::member::MembershipState};

use super::has_ended;
use crate::{Result, RoomSummary, Rooms, RoomsError, append::Append, policy::Consulted};

/// What somebody is shown who has a link and has not joined.
#[derive(Debug)]
pub struct LinkPreview {
    /// What the room shows of itself.
    pub summary: RoomSummary,
    /// The platforms that its members are of.
    pub platforms: BTreeSet<OwnedServerName>,
    /// For how long messages stay there, in milliseconds; None if they stay for good.
    pub disappearing_timer_ms: Option<u64>,
    /// The membership that the user has already.
    pub membership: Option<MembershipState>,
    /// The time until which the link works.
    pub expires_ts: Option<u64>,
    /// Why the user could not join by it now; None if the user could.
    pub refusal: Option<RoomsError>,
}

impl Rooms {
    /// What a link leads to. Whether the user could join is tried out, and nothing of it is kept. An operator's hook is
    /// asked only when the user joins.
    pub async fn preview_join_link(
        &self,
        user_id: &OwnedUserId,
        token: &str,
        now_ts: u64,
    ) -> Result<LinkPreview> {
        self.again(async || self.preview_once(user_id, token, now_ts).await).await
    }

    async fn preview_once(&self, user_id: &OwnedUserId, token: &str, now_ts: u64) -> Result<LinkPreview> {
        let (key, record) = self.open_link(token, now_ts).await?;
        let room = self.room(&key.room_id).await?;
        let mut append = self.begin(&room, now_ts).await?;
        append.check_link(user_id, &record).await?;
        let membership = append.membership(user_id).await?;
        let refusal = match append.stage_linked_join(user_id, &record).await {
            Err(error) if error.is_failure() => return Err(error),
            outcome => outcome.err(),
        };
        drop(append);
        Ok(LinkPreview {
            summary: self.summary_of(&key.room_id).await?.ok_or_else(no_link)?,
            platforms: self.servers_in(&key.room_id).await?,
            disappearing_timer_ms: self.timer_ms(&key.room_id).await?,
            membership,
            expires_ts: record.expires_ts,
            refusal,
        })
    }

    /// Joins the room that a link leads to; returns the room.
    pub async fn join_by_link(&self, user_id: &OwnedUserId, token: &str, now_ts: u64) -> Result<OwnedRoomId> {
        let join = async |consulted| self.join_by_link_once(user_id, token, consulted, now_ts).await;
        self.consulting(now_ts, join).await
    }

    async fn join_by_link_once(
        &self,
        user_id: &OwnedUserId,
        token: &str,
        consulted: Consulted,
        now_ts: u64,
    ) -> Result<OwnedRoomId> {
        let (key, _) = self.open_link(token, now_ts).await?;
        let room = self.room(&key.room_id).await?;
        let mut append = self.begin(&room, now_ts).await?;
        // Many may open a link at once. Each reads how often it was used once the one before is on disk, since what
        // expects an older number would fail, and take along whatever was queued for the room behind it.
        append.settle().await?;
        let record = self.working_link(&key, now_ts).await?;
        append.consulted = consulted;
        append.check_link(user_id, &record).await?;
        if append.membership(user_id).await? == Some(MembershipState::Join) {
            return Ok(key.room_id);
        }
        append.stage_linked_join(user_id, &record).await?;
        append.writes.expect::<JoinLinks>(&key, &record);
        let used = JoinLinkRecord { uses: record.uses.saturating_add(1), ..record };
        append.writes.put::<JoinLinks>(&key, &used);
        append.commit().await?;
        Ok(key.room_id)
    }

    /// The link with a token, whichever hosted platform its maker is of.
    async fn open_link(&self, token: &str, now_ts: u64) -> Result<(RoomHashKey, JoinLinkRecord)> {
        let hash = hash_token(token);
        for platform in self.shared.platforms.iter() {
            let key = PlatformHashKey { platform: platform.server_name().clone(), hash };
            let Some(found) = self.store().get::<JoinTokens>(&key).await? else { continue };
            let key = RoomHashKey { room_id: found.room_id, hash };
            let record = self.working_link(&key, now_ts).await?;
            return Ok((key, record));
        }
        Err(no_link())
    }

    async fn working_link(&self, key: &RoomHashKey, now_ts: u64) -> Result<JoinLinkRecord> {
        let record = self.store().get::<JoinLinks>(key).await?;
        record.filter(|record| !has_ended(record, now_ts)).ok_or_else(no_link)
    }
}

impl Append {
    /// Refuses, as if there were no link, whom its maker cannot invite any more, or would not: whoever is blocked must not
    /// learn it, nor whoever is of a platform that the room is closed to what the room is.
    async fn check_link(&mut self, user_id: &OwnedUserId, record: &JoinLinkRecord) -> Result<()> {
        let rooms = self.rooms.clone();
        let (maker, levels) = (&record.maker, self.power_levels().await?);
        let membership = self.membership(maker).await?;
        let works = rooms.link_works(maker, membership, &levels).await?
            && !self.is_closed_to(user_id).await?
            && !rooms.turns_away(maker, user_id).await?;
        if works { Ok(()) } else { Err(no_link()) }
    }

    /// Invites somebody in the name of a link's maker, unless they are invited, and has them join.
    async fn stage_linked_join(&mut self, user_id: &OwnedUserId, record: &JoinLinkRecord) -> Result<()> {
        let rooms = self.rooms.clone();
        self.is_wanted = true;
        for (sender, membership) in
            [(&record.maker, MembershipState::Invite), (user_id, MembershipState::Join)]
        {
            let before = self.membership(user_id).await?;
            // An invitation that reaches its invitee straight has them join by itself.
            if before != Some(MembershipState::Join) && before.as_ref() != Some(&membership) {
                rooms.stage_membership(self, sender, user_id, membership, None).await?;
            }
        }
        Ok(())
    }
}

/// Said alike of links that there never were, of those that have ended, and of those that are not for the user.
fn no_link() -> RoomsError {
    RoomsError::NotFound("this link does not lead anywhere, or not any more".into())
}
