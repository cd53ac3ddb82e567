//! The door of every room. Whatever comes into a room passes here, whoever made it and whichever way it came; and so
//! does everybody who joins, is invited or asks to be let in. The rules of the room have allowed it before: here the
//! platforms are asked.

use linkspan_accounts::AccountsError;
use linkspan_domain::{POLICY_SERVER_TYPE, Pdu, PolicyServer, Reach, check_event};
use ruma::{
    OwnedUserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use crate::{Result, RoomsError, append::Append, membership::is_involved, public_rooms::kept_to};

/// Somebody who is about to join a room, to be invited to it, or to ask to be let in.
pub(crate) struct Coming<'a> {
    /// The member event. Its sender is who brings them, and its content says whether it begins a direct chat.
    pub(crate) event: &'a Pdu,
    pub(crate) user_id: OwnedUserId,
    /// The membership that they had until now.
    pub(crate) before: Option<MembershipState>,
    /// The membership that they are to have: to be joined, invited or knocking.
    pub(crate) after: MembershipState,
}

impl Append {
    /// Lets an event into the room, and whom it brings, or refuses it.
    ///
    /// What was made elsewhere is asked about encryption alone: the room goes on from it on other servers, whatever is
    /// made of it here. An invitation that its invitee does not want is kept from the invitee instead.
    pub(crate) async fn let_in(&mut self, event: &Pdu) -> Result<()> {
        check_event(&self.present, event)?;
        if self.waits_for_answer(event) {
            // Sending a message should not have to make room for it.
            Box::pin(self.let_wait(event)).await?;
        }
        if event.state_key.as_deref() == Some("") {
            self.check_policy_server(event)?;
        }
        if !self.from_elsewhere {
            self.check_not_blocked(event)?;
        }
        let Some(coming) = self.coming(event).await? else { return Ok(()) };
        if !self.from_elsewhere {
            self.check_may_come(&coming.user_id)?;
            if coming.after == MembershipState::Invite {
                self.check_invitation(&coming).await?;
            }
            self.check_account(&coming).await?;
        }
        self.check_encryption_of(&coming).await
    }

    /// Whom an event brings into the room, if it brings anybody.
    async fn coming<'a>(&mut self, event: &'a Pdu) -> Result<Option<Coming<'a>>> {
        if event.event_type != TimelineEventType::RoomMember {
            return Ok(None);
        }
        let user_id = event.state_key.as_deref().and_then(|user_id| OwnedUserId::try_from(user_id).ok());
        let (Some(after), Some(user_id)) = (event.membership().filter(is_involved), user_id) else {
            return Ok(None);
        };
        let before = self.membership(&user_id).await?;
        Ok(Some(Coming { event, user_id, before, after }))
    }

    /// Whether the room's creator keeps it to another server than the user's: it is closed to the other platforms too.
    pub(crate) async fn is_closed_to(&mut self, user_id: &OwnedUserId) -> Result<bool> {
        let create = self.state_event(&StateEventType::RoomCreate, "").await?;
        Ok(create.as_deref().and_then(kept_to).is_some_and(|server| server != user_id.server_name()))
    }

    /// Decides whether somebody can be invited, and whether this sender may do it as far as the sender's platform goes.
    /// Somebody who has no account can be invited, too: whoever invites does not learn that there is nobody.
    async fn check_invitation(&mut self, coming: &Coming<'_>) -> Result<()> {
        let user_id = &coming.user_id;
        let accounts = &self.rooms.shared.accounts;
        if accounts.is_guest(&coming.event.sender).await? {
            return Err(AccountsError::Guest("guests cannot invite anybody").into());
        }
        if !self.rooms.shared.platforms.hosts(user_id.server_name()) {
            let server = user_id.server_name();
            let reason = format!("{server} cannot be reached: outside servers are not connected");
            return Err(RoomsError::TurnedAway(reason));
        }
        if self.is_closed_to(user_id).await? {
            return Err(RoomsError::TurnedAway("this room is closed to other platforms".into()));
        }
        // Nothing of the invitee's has been looked at up to here, and nothing makes a difference to the count.
        let is_approach = self.is_approach(coming).await?;
        if is_approach {
            self.count_approach(coming).await?;
        }
        let reach = self.arrival(coming.event, user_id).await?.reach;
        if reach == Reach::Refused && !self.is_wanted {
            return Err(RoomsError::InviteBlocked);
        }
        if is_approach || self.is_wanted {
            self.consult_on_invitation(coming).await?;
        }
        if is_approach {
            self.note_approach(coming);
        }
        Ok(())
    }

    /// Refuses to name a hosted platform as a room's policy server: none of them is one, so nothing that is said there
    /// could have the signature that is asked of it. Another server is named in vain until a user of it can join.
    fn check_policy_server(&self, event: &Pdu) -> Result<()> {
        if self.from_elsewhere || event.event_type.to_string() != POLICY_SERVER_TYPE {
            return Ok(());
        }
        let named = PolicyServer::parse(event.content.get()).map(|server| server.via);
        match named.filter(|server| self.rooms.shared.platforms.hosts(server)) {
            Some(server) => Err(RoomsError::BadJson(format!("{server} is no policy server"))),
            None => Ok(()),
        }
    }

    /// Lets in what waits for an answer, if the sender has not sent too much of it, and no operator objects.
    async fn let_wait(&mut self, event: &Pdu) -> Result<()> {
        self.count_unanswered(event).await?;
        // The name is set in all rooms at once, and a redaction takes back what was asked about.
        match event.event_type {
            TimelineEventType::RoomMember | TimelineEventType::RoomRedaction => Ok(()),
            _ => self.consult_on_first_message(event).await,
        }
    }

    /// Asks whether the account of who comes still is one, and whether it may come where guests may not. Whoever
    /// deactivates an account leaves the rooms that the account is in then: it comes into no other any more.
    async fn check_account(&mut self, coming: &Coming<'_>) -> Result<()> {
        let accounts = &self.rooms.shared.accounts;
        if !self.rooms.shared.platforms.hosts(coming.user_id.server_name()) {
            return Ok(());
        }
        match accounts.expect_active(&mut self.writes, &coming.user_id).await {
            Ok(Some(account)) if account.guest => self.check_guest(coming).await,
            // The invitation is kept from whoever had the account.
            Err(AccountsError::Deactivated) if coming.after == MembershipState::Invite => Ok(()),
            outcome => Ok(outcome.map(drop)?),
        }
    }
}
