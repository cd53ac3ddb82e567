//! Asking the hooks of operators (services/policy) before strangers are reached.
//!
//! The door finds out what has to be asked, but nobody is called while a room's writer is held. Questions that have no
//! answer yet keep an append from being committed; whoever began it asks them, and begins anew with the answers. A way
//! into a room that does not know of this is refused, and not let through.

use linkspan_domain::{HistoryVisibility, Pdu, ReachKind};
use linkspan_inbox::point;
use linkspan_platforms::PolicyCheck;
use linkspan_policy::{PAUSE, Question, Verdict};
use linkspan_storage::{
    Range, Stamped,
    catalogue::{Members, Memberships, UserRoomKey},
    records::{InboxPointer, MembershipRecord},
};
use ruma::{
    OwnedServerName, OwnedUserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use tokio::task::JoinSet;

use crate::{Result, Rooms, RoomsError, append::Append, door::Coming};

/// How often an operation is begun: the second time it has all answers, unless the room has changed meanwhile.
const ROUNDS: usize = 4;
/// The most members of a room who are looked at for who is invited. Each invitation to a stranger was counted.
const MAX_MEMBERS: usize = 1_000;

/// What hooks have said of an operation, and what is still to be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consulted {
    answers: Vec<(Question, Verdict)>,
    open: Vec<Question>,
}

impl Consulted {
    /// Refuses if there is something to be asked.
    pub(crate) fn check(&mut self) -> Result<()> {
        match std::mem::take(&mut self.open) {
            open if open.is_empty() => Ok(()),
            open => Err(RoomsError::Unasked(open)),
        }
    }

    /// The answer to a question. If there is none, it is as good as allowed until somebody wants to commit.
    fn verdict(&mut self, question: Question) -> Verdict {
        let answer = self.answers.iter().find(|(asked, _)| asked.is_like(&question));
        let verdict = answer.map(|(_, verdict)| verdict.clone());
        verdict.unwrap_or_else(|| {
            self.open.push(question);
            Verdict::Allow
        })
    }
}

impl Rooms {
    /// Does something that hooks may have to be asked about: as often as it names new questions, these are asked, and it
    /// is done anew with the answers. Each time it is done as [`Rooms::again`] does it.
    pub(crate) async fn consulting<A, F>(&self, now_ts: u64, attempt: impl Fn(Consulted) -> F) -> Result<A>
    where
        F: Future<Output = Result<A>>,
    {
        let mut consulted = Consulted::default();
        for _ in 1..ROUNDS {
            match self.again(|| attempt(consulted.clone())).await {
                Err(RoomsError::Unasked(questions)) => {
                    consulted.answers.extend(self.ask_all(questions, now_ts).await);
                }
                outcome => return outcome,
            }
        }
        self.again(|| attempt(consulted.clone())).await
    }

    async fn ask_all(&self, questions: Vec<Question>, now_ts: u64) -> Vec<(Question, Verdict)> {
        let mut asking = JoinSet::new();
        for question in questions {
            let rooms = self.clone();
            asking.spawn(async move {
                let verdict = rooms.shared.policy.ask(&question, now_ts).await;
                (question, verdict)
            });
        }
        asking.join_all().await
    }
}

impl Append {
    /// Asks the hooks of both platforms about an invitation to somebody who does not know the sender.
    pub(crate) async fn consult_on_invitation(&mut self, coming: &Coming<'_>) -> Result<()> {
        let mut platforms = vec![coming.event.sender.server_name(), coming.user_id.server_name()];
        platforms.dedup();
        let mut verdict = Verdict::Allow;
        for platform in platforms {
            if self.rooms.shared.policy.asks(platform, PolicyCheck::Invitation) {
                let recipients = vec![coming.user_id.clone()];
                let kind = self.kind_of(coming.event, &coming.user_id).await?;
                let check = PolicyCheck::Invitation;
                let question = self.question(platform.to_owned(), check, coming.event, kind, recipients);
                verdict = verdict.max(self.consulted.verdict(question));
            }
        }
        if is_ignored(verdict)? {
            self.keep_away();
        }
        Ok(())
    }

    /// Asks the hooks about an event that waits for an answer: the sender's about all who are invited, and those of
    /// these about their own people, if they could read it.
    pub(crate) async fn consult_on_first_message(&mut self, event: &Pdu) -> Result<()> {
        if !self.rooms.shared.policy.asks_anybody(PolicyCheck::FirstMessage) {
            return Ok(());
        }
        let invited = self.invited().await?;
        for (platform, recipients) in self.readers(event, invited).await? {
            if self.rooms.shared.policy.asks(&platform, PolicyCheck::FirstMessage) {
                let (check, kind) = (PolicyCheck::FirstMessage, self.kind_of_invitation(&recipients).await?);
                let question = self.question(platform, check, event, kind, recipients.clone());
                if is_ignored(self.consulted.verdict(question))? {
                    self.hide_from(&recipients).await?;
                }
            }
        }
        Ok(())
    }

    /// The people who are invited to the room.
    async fn invited(&self) -> Result<Vec<OwnedUserId>> {
        self.settle().await?;
        let members = Range::<Members>::prefix((&self.room.id,)).limit(MAX_MEMBERS);
        let members = self.rooms.store().range(members).await?.into_iter();
        let invited = members.filter(|(_, member)| member.membership == MembershipState::Invite);
        Ok(invited.map(|(key, _)| key.user_id).collect())
    }

    /// The platforms that an event concerns, each with the people of whom its operator may know.
    async fn readers(
        &mut self,
        event: &Pdu,
        invited: Vec<OwnedUserId>,
    ) -> Result<Vec<(OwnedServerName, Vec<OwnedUserId>)>> {
        let mut readers = vec![(event.sender.server_name().to_owned(), invited.clone())];
        let visibility = self.state_event(&StateEventType::RoomHistoryVisibility, "").await?;
        if HistoryVisibility::of(visibility.as_deref()) == HistoryVisibility::Joined {
            return Ok(readers);
        }
        for user_id in invited {
            match readers.iter_mut().find(|(platform, _)| platform == user_id.server_name()) {
                Some((platform, _)) if platform == event.sender.server_name() => {}
                Some((_, recipients)) => recipients.push(user_id),
                None => readers.push((user_id.server_name().to_owned(), vec![user_id])),
            }
        }
        Ok(readers)
    }

    /// What people were invited to: where there are several, what the first of them was.
    async fn kind_of_invitation(&mut self, recipients: &[OwnedUserId]) -> Result<ReachKind> {
        let Some(first) = recipients.first() else { return Ok(ReachKind::Group) };
        let invitation = self.state_event(&StateEventType::RoomMember, first.as_str()).await?;
        match invitation {
            Some(invitation) => self.kind_of(&invitation, first).await,
            None => Ok(ReachKind::Group),
        }
    }

    fn question(
        &self,
        platform: OwnedServerName,
        check: PolicyCheck,
        event: &Pdu,
        kind: ReachKind,
        recipients: Vec<OwnedUserId>,
    ) -> Question {
        // What is encrypted tells nobody anything.
        let is_readable = event.event_type != TimelineEventType::RoomEncrypted;
        let is_shown = is_readable && self.rooms.shared.policy.is_shown_content(&platform);
        Question {
            platform,
            check,
            sender: event.sender.clone(),
            recipients,
            room_id: (!self.is_new_room()).then(|| self.room.id.clone()),
            kind,
            event_type: event.event_type.to_string(),
            content: is_shown.then(|| event.content.clone()),
        }
    }

    /// Hides the invitation from those who have one, as if they had deleted it.
    async fn hide_from(&mut self, recipients: &[OwnedUserId]) -> Result<()> {
        for user_id in recipients {
            let key = UserRoomKey { user_id: user_id.clone(), room_id: self.room.id.clone() };
            let Some(stored) = self.rooms.store().get::<Memberships>(&key).await? else { continue };
            if stored.value.membership == MembershipState::Invite && !stored.value.is_hidden {
                self.writes.expect::<Memberships>(&key, &stored);
                let hidden = MembershipRecord { is_hidden: true, ..stored.value };
                self.writes.put::<Memberships>(&key, &Stamped::pending(hidden));
                point(&mut self.writes, user_id, InboxPointer::Room(key.room_id));
            }
        }
        Ok(())
    }
}

/// Whether the person is not to learn of it; refuses what is refused.
fn is_ignored(verdict: Verdict) -> Result<bool> {
    match verdict {
        Verdict::Allow => Ok(false),
        Verdict::Ignore => Ok(true),
        Verdict::Later => Err(RoomsError::PolicyUnavailable { retry_after: PAUSE }),
        Verdict::Refuse(reason) => Err(RoomsError::PolicyRefused { reason }),
    }
}
