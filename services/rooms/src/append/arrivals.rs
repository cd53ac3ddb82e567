//! What becomes of invitations: whoever is reached straight comes in with the same write-set, and who begins
//! a direct chat or accepts one comes to know the other.

use std::pin::Pin;

use linkspan_accounts::AccountsError;
use linkspan_contacts::How;
use linkspan_domain::{Pdu, Reach};
use ruma::{CanonicalJsonValue, OwnedUserId, UserId, events::room::member::MembershipState};

use super::Append;
use crate::{
    Result, RoomsError,
    reach::{Arrival, is_direct, kind_of},
};

impl Append {
    /// How an invitation reaches its invitee, who is a user of a hosted platform. It is decided once, when it
    /// is first asked for; the invitee's membership is then still what it was before.
    pub(crate) async fn arrival(&mut self, invitation: &Pdu, user_id: &OwnedUserId) -> Result<Arrival> {
        if let Some((event_id, arrival)) = &self.arrival
            && *event_id == invitation.event_id
        {
            return Ok(*arrival);
        }
        let kind = kind_of(&self.room, invitation);
        let known_by = self.arrives_for.as_ref().unwrap_or(user_id);
        let mut arrival = self.rooms.arrival(user_id, known_by, &invitation.sender, kind).await?;
        let before = self.membership(user_id).await?;
        // Whoever has had to do with the room decides without help whether to come back.
        arrival.comes_in &= before.is_none();
        // One who has asked to be let in need not be asked whether the answer is wanted.
        if before == Some(MembershipState::Knock) && arrival.by_rules == Reach::Request {
            arrival.by_rules = Reach::Straight;
        }
        self.arrival = Some((invitation.event_id.clone(), arrival));
        Ok(arrival)
    }

    /// Has an account come along with who is invited to a chat of two: the one of the same person at which such chats are
    /// to arrive, if the person shows that to who begins the chat. If its platform does not allow that, the invitee alone
    /// is invited.
    pub(super) async fn bring_along(&mut self, invitation: &Pdu) -> Result<()> {
        let invitee = invitation.state_key.as_deref().filter(|_| is_direct(invitation));
        let Some(user_id) = invitee.and_then(|user_id| OwnedUserId::try_from(user_id).ok()) else {
            return Ok(());
        };
        let is_invitation = invitation.membership() == Some(MembershipState::Invite);
        let are_alone = self.may_bring_along && self.head.joined + self.head.invited == 2;
        if !is_invitation || !are_alone || self.arrives_for.is_some() {
            return Ok(());
        }
        let sender = &invitation.sender;
        let Some(account) = self.rooms.shared.contacts.arrives_at(&user_id, sender).await? else {
            return Ok(());
        };
        let is_unwanted = self.arrival(invitation, &user_id).await?.reach >= Reach::Ignored;
        let was_there = self.membership(&account).await?.is_some();
        // Else a room that is being created would be refused for it.
        if is_unwanted || was_there || !self.is_staged_right_for(&account) {
            return Ok(());
        }
        let mut content = self.rooms.member_content(&account, MembershipState::Invite, None).await?;
        content.insert("is_direct".into(), CanonicalJsonValue::Bool(true));
        self.arrives_for = Some(user_id);
        let invited = self.stage_member(sender, &account, content).await;
        self.arrives_for = None;
        only_failures(invited, &account)
    }

    /// Has somebody whom an invitation reaches straight join, if the room lets them. If it does not, they are
    /// invited.
    pub(super) fn bring_in<'a>(
        &'a mut self,
        invitation: &'a Pdu,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(async move {
            let invitee = invitation.state_key.as_deref().filter(|_| self.brings_in(invitation));
            let Some(user_id) = invitee.and_then(|user_id| OwnedUserId::try_from(user_id).ok()) else {
                return Ok(());
            };
            // The join is not what was sent later, only what follows from it.
            self.delay_id = None;
            let content = self.rooms.member_content(&user_id, MembershipState::Join, None).await?;
            let joined = self.stage_member(&user_id, &user_id, content).await;
            if joined.is_err() {
                return only_failures(joined, &user_id);
            }
            if is_direct(invitation) {
                let (accounts, room_id) = (self.rooms.shared.accounts.clone(), self.room.id.clone());
                accounts.add_direct_chat(&mut self.writes, &user_id, &invitation.sender, &room_id).await?;
            }
            Ok(())
        })
    }

    /// Notes who comes to know whom as a membership changes: whoever begins a direct chat knows the invitee,
    /// and whoever accepts knows the inviter. Somebody who was brought in has accepted nothing.
    pub(super) async fn note_contacts(
        &mut self,
        member: &Pdu,
        user_id: &OwnedUserId,
        earlier: Option<&Pdu>,
    ) -> Result<()> {
        let accepted = earlier
            .filter(|earlier| earlier.membership() == Some(MembershipState::Invite) && is_direct(earlier));
        let (whose, other, how) = match (member.membership(), accepted) {
            (Some(MembershipState::Invite), _) if is_direct(member) => {
                (&member.sender, user_id, How::WroteFirst)
            }
            (Some(MembershipState::Join), Some(invitation)) if !self.brings_in(invitation) => {
                (user_id, &invitation.sender, How::Accepted)
            }
            _ => return Ok(()),
        };
        if self.rooms.shared.platforms.hosts(whose.server_name()) {
            let (contacts, now_ts) = (self.rooms.shared.contacts.clone(), self.now.get().into());
            contacts.add_contact(&mut self.writes, whose, other, how, now_ts).await?;
        }
        Ok(())
    }

    /// Whether an invitation of this append brings its invitee in.
    fn brings_in(&self, invitation: &Pdu) -> bool {
        let decided = self.arrival.as_ref().filter(|(event_id, _)| *event_id == invitation.event_id);
        decided.is_some_and(|(_, arrival)| arrival.comes_in)
    }
}

/// Passes over refusals: what was to follow from an invitation does not. Failures of the store remain.
fn only_failures(outcome: Result<()>, user_id: &UserId) -> Result<()> {
    match outcome {
        Err(RoomsError::Storage(error) | RoomsError::Accounts(AccountsError::Storage(error))) => {
            Err(error.into())
        }
        Err(error) => {
            tracing::debug!(%error, %user_id, "somebody who was invited cannot come in by themselves");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
