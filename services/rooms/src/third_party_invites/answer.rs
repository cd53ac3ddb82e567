//! What waits for somebody who has the address and is not to be found by it: they may look at it and accept it, and only
//! then does the inviter learn who they are.

use linkspan_accounts::ThirdPartyId;
use linkspan_domain::Reach;
use linkspan_storage::{
    WriteSet,
    catalogue::{PlatformKey, WaitingInvitations},
    records::WaitingInvitationRecord,
};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};

use super::waiting::{LIFE_MS, address_key, address_of, key_of};
use crate::{Result, Rooms, RoomsError, policy::Consulted, reach::kind_of};

/// An invitation that waits for the owner of an address.
#[derive(Clone, Debug)]
pub struct OfferedInvitation {
    /// The token that names it.
    pub token: String,
    /// Who has invited.
    pub sender: OwnedUserId,
    /// The address that was invited.
    pub id: ThirdPartyId,
    /// Whether it is to a direct chat.
    pub is_direct: bool,
    /// When it was made.
    pub made_ts: u64,
}

impl Rooms {
    /// What waits for a user's addresses, the oldest first for each address. What would not reach the user if the
    /// inviter knew who it is does not in this way either.
    pub async fn list_offered_invitations(
        &self,
        user_id: &OwnedUserId,
        now_ts: u64,
    ) -> Result<Vec<OfferedInvitation>> {
        let mut offered = Vec::new();
        for added in self.shared.accounts.third_party_ids(user_id).await? {
            for platform in self.shared.platforms.iter() {
                let (medium, address) = (added.id.medium().as_str(), added.id.address());
                let key = address_key(platform.server_name(), medium, address);
                for (token, record) in self.waiting_for(&key).await? {
                    if record.made_ts + LIFE_MS > now_ts && self.reaches(&record, user_id).await? {
                        let WaitingInvitationRecord { inviter: sender, is_direct, made_ts, .. } = record;
                        let id = added.id.clone();
                        offered.push(OfferedInvitation { token, sender, id, is_direct, made_ts });
                    }
                }
            }
        }
        Ok(offered)
    }

    /// Accepts what waits for an address of a user: the user is invited and joins. Returns the room.
    pub async fn accept_offered_invitation(
        &self,
        user_id: &OwnedUserId,
        token: &str,
        now_ts: u64,
    ) -> Result<OwnedRoomId> {
        let accept = async |consulted| self.accept_once(user_id, token, consulted, now_ts).await;
        self.consulting(now_ts, accept).await
    }

    async fn accept_once(
        &self,
        user_id: &OwnedUserId,
        token: &str,
        consulted: Consulted,
        now_ts: u64,
    ) -> Result<OwnedRoomId> {
        let (key, record, writes) = self.offered(user_id, token, now_ts).await?;
        let room = self.room(&record.room_id).await?;
        let mut append = self.begin(&room, now_ts).await?;
        append.consulted = consulted;
        append.writes.append(writes);
        let is_direct = record.is_direct && append.head.joined + append.head.invited <= 1;
        append.is_wanted = true;
        if !append.may_invite(&record.inviter).await? {
            return Err(no_invitation());
        }
        if append.membership(user_id).await? != Some(MembershipState::Join) {
            append.stage_brought(&key, &record, user_id).await?;
        }
        if append.membership(user_id).await? != Some(MembershipState::Join) {
            self.stage_membership(&mut append, user_id, user_id, MembershipState::Join, None).await?;
            if is_direct {
                let (accounts, contacts) = (&self.shared.accounts, &self.shared.contacts);
                let (writes, inviter) = (&mut append.writes, &record.inviter);
                accounts.add_direct_chat(writes, user_id, inviter, &room.id).await?;
                contacts
                    .add_contact(writes, user_id, inviter, linkspan_contacts::How::Accepted, now_ts)
                    .await?;
            }
        }
        self.end_waiting(&mut append.writes, &key, &record).await?;
        append.commit().await?;
        Ok(room.id.clone())
    }

    /// An invitation that waits for a user, and what holds only while the address is the user's.
    async fn offered(
        &self,
        user_id: &OwnedUserId,
        token: &str,
        now_ts: u64,
    ) -> Result<(PlatformKey, WaitingInvitationRecord, WriteSet)> {
        for platform in self.shared.platforms.iter() {
            let key = key_of(platform.server_name(), token);
            let record = self.store().get::<WaitingInvitations>(&key).await?;
            let Some(record) = record.filter(|record| !record.address.is_empty()) else { continue };
            let (mut writes, own) = (WriteSet::new(), user_id.server_name().to_owned());
            let accounts = &self.shared.accounts;
            let owner = accounts.expect_owner(&mut writes, &own, &address_of(&record)?).await?;
            let is_open = owner.as_ref() == Some(user_id)
                && record.made_ts + LIFE_MS > now_ts
                && self.reaches(&record, user_id).await?;
            return if is_open { Ok((key, record, writes)) } else { Err(no_invitation()) };
        }
        Err(no_invitation())
    }

    /// Whether an invitation reaches a user. Accounts that are linked with blocked ones make no difference: with them it
    /// would come and go as the user blocks one or the other, and tell which are linked.
    async fn reaches(&self, record: &WaitingInvitationRecord, user_id: &OwnedUserId) -> Result<bool> {
        let (inviter, room) = (&record.inviter, self.find_room(&record.room_id).await?);
        let head = self.head(&record.room_id).await?;
        let (Some(room), Some(head)) = (room, head) else { return Ok(false) };
        let kind = kind_of(&room, record.is_direct && head.joined + head.invited <= 1);
        let choices = self.shared.contacts.choices(user_id).await?;
        let by_rules = self.reach_by_rules(&choices, user_id, user_id, inviter, kind).await?;
        let is_ignored = self.ignored_users(user_id).await?.contains(inviter);
        Ok(by_rules.max(choices.by_permission(inviter)) < Reach::Ignored
            && !is_ignored
            && self.shared.accounts.may_act(inviter).await?)
    }
}

/// Said alike of what there is not and of what is not the user's.
fn no_invitation() -> RoomsError {
    RoomsError::NotFound("no such invitation waits for you".into())
}
