//! What becomes of invitations: whoever is reached straight comes in with the same write-set, and who begins
//! a direct chat or accepts one comes to know the other.

use std::pin::Pin;

use linkspan_contacts::How;
use linkspan_domain::{Pdu, Reach, ReachKind};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{Append, memberships::Known};
use crate::{
    Result,
    reach::{Arrival, is_direct, kind_of, set_direct},
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
        let kind = self.kind_of(invitation, user_id).await?;
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
        if !is_invitation || self.arrives_for.is_some() || !self.is_direct_chat(invitation, &user_id).await? {
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
        let mut content = self.rooms.member_content(sender, &account, MembershipState::Invite, None).await?;
        set_direct(&mut content, true);
        self.arrives_for = Some(user_id);
        let invited = self.stage_member(sender, &account, content).await;
        self.arrives_for = None;
        only_failures(invited, &account)
    }

    /// Has the invitation that was let in last be kept from its invitee.
    pub(crate) fn keep_away(&mut self) {
        if let Some((_, arrival)) = &mut self.arrival {
            (arrival.by_rules, arrival.comes_in) = (arrival.by_rules.max(Reach::Ignored), false);
            arrival.reach = arrival.reach.max(Reach::Ignored);
        }
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
            let content = self.rooms.member_content(&user_id, &user_id, MembershipState::Join, None).await?;
            let joined = self.stage_member(&user_id, &user_id, content).await;
            if joined.is_err() {
                return only_failures(joined, &user_id);
            }
            if self.is_direct_chat(invitation, &user_id).await? {
                let (accounts, room_id) = (self.rooms.shared.accounts.clone(), self.room.id.clone());
                accounts.add_direct_chat(&mut self.writes, &user_id, &invitation.sender, &room_id).await?;
            }
            Ok(())
        })
    }

    /// Notes who comes to know whom as a membership changes: whoever begins a direct chat knows the invitee,
    /// and whoever accepts a request knows who sent it. Somebody who was brought in has accepted nothing, and
    /// neither has somebody who joins a room without knowing of an invitation to it.
    pub(super) async fn note_contacts(
        &mut self,
        member: &Pdu,
        user_id: &OwnedUserId,
        earlier: Option<&Pdu>,
        known: Known,
        begins_chat: bool,
    ) -> Result<()> {
        let (whose, other, how) = match (member.membership(), earlier) {
            (Some(MembershipState::Invite), _) if begins_chat => (&member.sender, user_id, How::WroteFirst),
            (Some(MembershipState::Join), Some(request)) if known == (Known::Request { is_direct: true }) => {
                (user_id, &request.sender, How::Accepted)
            }
            _ => return Ok(()),
        };
        if self.rooms.shared.platforms.hosts(whose.server_name()) {
            let (contacts, now_ts) = (self.rooms.shared.contacts.clone(), self.now.get().into());
            contacts.add_contact(&mut self.writes, whose, other, how, now_ts).await?;
        }
        Ok(())
    }

    /// What somebody wants who sends an invitation.
    pub(crate) async fn kind_of(&mut self, invitation: &Pdu, invitee: &OwnedUserId) -> Result<ReachKind> {
        let is_direct_chat = self.is_direct_chat(invitation, invitee).await?;
        Ok(kind_of(&self.room, is_direct_chat))
    }

    /// Whether an invitation is to a direct chat: its sender says so, and besides the invitee there is one person in
    /// the room at most. Otherwise a group could come in as a direct chat, and whoever invites to it as a contact.
    pub(super) async fn is_direct_chat(&mut self, invitation: &Pdu, invitee: &OwnedUserId) -> Result<bool> {
        // Whoever comes along with an invitee makes it no group.
        if !is_direct(invitation) || self.arrives_for.is_some() {
            return Ok(is_direct(invitation));
        }
        if self.is_for_several {
            return Ok(false);
        }
        let is_counted =
            matches!(self.membership(invitee).await?, Some(MembershipState::Join | MembershipState::Invite));
        Ok(self.head.joined + self.head.invited - u64::from(is_counted) <= 1)
    }

    /// Whether an invitation of this append brings its invitee in.
    pub(crate) fn brings_in(&self, invitation: &Pdu) -> bool {
        let decided = self.arrival.as_ref().filter(|(event_id, _)| *event_id == invitation.event_id);
        decided.is_some_and(|(_, arrival)| arrival.comes_in)
    }
}

/// Passes over refusals: what was to follow from an invitation does not. Failures of the store remain.
fn only_failures(outcome: Result<()>, user_id: &UserId) -> Result<()> {
    match outcome {
        Err(error) if error.is_failure() => Err(error),
        Err(error) => {
            tracing::debug!(%error, %user_id, "somebody who was invited cannot come in by themselves");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
