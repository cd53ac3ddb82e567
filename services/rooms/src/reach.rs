//! How people reach hosted users: what the users have chosen (services/contacts), asked with how the two
//! stand to each other in rooms. The door (`door.rs`) refuses invitations that are to be refused;
//! `append/arrivals.rs` does the rest.

use std::sync::LazyLock;

use linkspan_contacts::Choices;
use linkspan_domain::{Approach, Pdu, Reach, ReachKind, Relation};
use linkspan_storage::records::MembershipRecord;
use ruma::{CanonicalJsonObject, CanonicalJsonValue, OwnedUserId, events::TimelineEventType};
use serde::Deserialize;

use crate::{Result, Room, Rooms, blocked::Ignoring};

/// The types of rooms that are calls (MSC3417).
const CALL_ROOMS: [&str; 2] = ["m.call", "org.matrix.msc3417.call"];
/// The types of events that have a client ring.
static RINGING: LazyLock<[TimelineEventType; 5]> = LazyLock::new(|| {
    [
        "m.call.invite",
        "m.call.notify",
        "org.matrix.msc4075.call.notify",
        "m.rtc.notification",
        "org.matrix.msc4075.rtc.notification",
    ]
    .map(TimelineEventType::from)
});

/// How an invitation reaches its invitee.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// By the rules of the invitee and of the invitee's platform.
    pub(crate) by_rules: Reach,
    /// By these, by whom the invitee ignores, and by all else that clients have set.
    pub(crate) reach: Reach,
    /// The invitee comes in at once.
    pub(crate) comes_in: bool,
}

/// Whether a member event says that it is about a direct chat. Its sender may say so of any room.
/// <https://spec.matrix.org/v1.19/client-server-api/#mroommember>
pub(crate) fn is_direct(member: &Pdu) -> bool {
    #[derive(Deserialize)]
    struct Content {
        is_direct: bool,
    }
    member.content_as::<Content>().is_some_and(|content| content.is_direct)
}

/// Has an invitation say that it is to a direct chat.
pub(crate) fn set_direct(content: &mut CanonicalJsonObject, is_direct: bool) {
    if is_direct {
        content.insert("is_direct".into(), CanonicalJsonValue::Bool(true));
    }
}

/// What somebody wants who invites into a room.
pub(crate) fn kind_of(room: &Room, is_direct_chat: bool) -> ReachKind {
    if room.record.room_type.as_deref().is_some_and(|kind| CALL_ROOMS.contains(&kind)) {
        ReachKind::Call
    } else if is_direct_chat {
        ReachKind::DirectChat
    } else {
        ReachKind::Group
    }
}

impl Rooms {
    /// How an invitation reaches a user of a hosted platform. One to somebody who has no account arrives as
    /// if that person ignored it, or is refused if it would be by those who have chosen nothing: whoever invites
    /// does not learn who has one. `known_by`: the account of the user's person that counts for how the two know
    /// each other.
    pub(crate) async fn arrival(
        &self,
        user_id: &OwnedUserId,
        known_by: &OwnedUserId,
        sender: &OwnedUserId,
        kind: ReachKind,
    ) -> Result<Arrival> {
        let choices = self.shared.contacts.choices(user_id).await?;
        let mut by_rules = self.reach_by_rules(&choices, user_id, known_by, sender, kind).await?;
        if !self.shared.accounts.is_active(user_id).await? {
            by_rules = by_rules.max(Reach::Ignored);
            return Ok(Arrival { by_rules, reach: by_rules, comes_in: false });
        }
        let is_own = sender.server_name() == user_id.server_name();
        if is_own && self.shared.accounts.is_notices_account(sender).await? {
            return Ok(Arrival { by_rules: Reach::Straight, reach: Reach::Straight, comes_in: true });
        }
        let ignoring = self.ignoring(user_id, sender).await?;
        // It stays hidden whatever becomes of the user's list: it must not show of whom it is.
        if ignoring == Ignoring::ByLink {
            by_rules = by_rules.max(Reach::Ignored);
        }
        let mut reach = by_rules.max(choices.by_permission(sender));
        if ignoring != Ignoring::No {
            reach = reach.max(Reach::Ignored);
        }
        Ok(Arrival { by_rules, reach, comes_in: reach == Reach::Straight })
    }

    pub(crate) async fn reach_by_rules(
        &self,
        choices: &Choices,
        user_id: &OwnedUserId,
        known_by: &OwnedUserId,
        sender: &OwnedUserId,
        kind: ReachKind,
    ) -> Result<Reach> {
        let contacts = &self.shared.contacts;
        let source = contacts.source(user_id, sender);
        let decide =
            |relation| choices.by_rules(&Approach { source, server: sender.server_name(), relation, kind });
        if contacts.is_contact(known_by, sender).await? {
            return Ok(decide(Relation::Contact));
        }
        let (in_common_room, of_stranger) = (decide(Relation::CommonRoom), decide(Relation::Stranger));
        // Looking for a common room costs more than all the rest.
        if in_common_room == of_stranger || !self.share_a_room(user_id, sender).await? {
            return Ok(of_stranger);
        }
        Ok(in_common_room)
    }

    pub(crate) async fn share_a_room(&self, user_id: &OwnedUserId, other: &OwnedUserId) -> Result<bool> {
        if self.shared.platforms.hosts(other.server_name()) {
            return Ok(!self.mutual_rooms(user_id, other).await?.is_empty());
        }
        self.is_member_of_any(other, &self.joined_rooms(user_id).await?).await
    }

    /// Whether an invitation is kept from a hosted user: the user ignores its sender, takes no invitations of
    /// the sender, or has deleted it; or the user's rules have kept it away when it came.
    pub async fn hides_invitation(&self, user_id: &OwnedUserId, record: &MembershipRecord) -> Result<bool> {
        if record.is_hidden || self.ignored_users(user_id).await?.contains(&record.sender) {
            return Ok(true);
        }
        let choices = self.shared.contacts.choices(user_id).await?;
        Ok(choices.by_permission(&record.sender) >= Reach::Ignored)
    }

    /// Whether an event is a call that does not reach a user who is in the room, and must not ring therefore.
    pub(crate) async fn is_unwanted_call(&self, user_id: &OwnedUserId, pdu: &Pdu) -> Result<bool> {
        if !RINGING.contains(&pdu.event_type) || pdu.sender == *user_id {
            return Ok(false);
        }
        let contacts = &self.shared.contacts;
        let relation = match contacts.is_contact(user_id, &pdu.sender).await? {
            true => Relation::Contact,
            false => Relation::CommonRoom,
        };
        let approach = Approach {
            source: contacts.source(user_id, &pdu.sender),
            server: pdu.sender.server_name(),
            relation,
            kind: ReachKind::Call,
        };
        Ok(contacts.choices(user_id).await?.by_rules(&approach) != Reach::Straight)
    }
}
