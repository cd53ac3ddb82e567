//! What a user may see of a room.

use std::{collections::HashMap, sync::Arc};

use linkspan_accounts::Erasures;
use linkspan_domain::{EncryptionRule, HistoryVisibility, Pdu, Seen};
use linkspan_storage::records::StateEntryRecord;
use ruma::{
    OwnedRoomId, OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use crate::{IgnoredUsers, Result, Room, Rooms, TimelineEvent, membership::not_in_room};

/// How often a user who left may be invited, banned and so on before it is forgotten that the user was there.
const MAX_MEMBERSHIPS_AFTER_LEAVING: usize = 64;

/// How a user stands to a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The user is joined.
    Joined,
    /// The user was joined, and left with an event.
    Left {
        /// The place of the event by which the user left.
        seq: i64,
        /// The number of the state after it.
        state: u64,
    },
    /// The user never joined, or has forgotten it, but the room shows itself to everybody.
    Outside,
}

/// A user's view of a room. It remembers what it has looked up for as long as one request lasts.
#[derive(Debug)]
pub struct View {
    /// The room.
    pub room: Arc<Room>,
    /// The user.
    pub user_id: OwnedUserId,
    /// How the user stands to it.
    pub standing: Standing,
    /// What the user's platform demands of encryption.
    rule: Option<EncryptionRule>,
    /// Whether the user has left the room and forgotten it, so that nothing is shown of the time in it.
    is_forgotten: bool,
    ignored: IgnoredUsers,
    pub(crate) erasures: Arc<Erasures>,
    /// For each sender whose account was erased, the last place whose content the user is still given.
    pub(crate) whole_until: HashMap<OwnedUserId, i64>,
    /// What was found of a state, by the number of the state.
    visibility: HashMap<u64, HistoryVisibility>,
    membership: HashMap<u64, Option<MembershipState>>,
    /// The current visibility, and the place of the event that set it.
    visibility_now: (HistoryVisibility, i64),
    /// The current membership, and the place of the event that set it.
    membership_now: (Option<MembershipState>, i64),
}

impl View {
    /// Whether the user's platform keeps an event from the user because of its rule on encryption.
    pub fn hides(&self, pdu: &Pdu) -> bool {
        self.rule.is_some_and(|rule| rule.hides(pdu))
    }

    /// Whether the user ignores what an event says, or it is withheld from the user. State is told, whoever set it.
    /// <https://spec.matrix.org/v1.19/client-server-api/#ignoring-users>
    pub(crate) fn ignores(&self, pdu: &Pdu) -> bool {
        pdu.state_key.is_none() && (self.ignored.contains(&pdu.sender) || is_withheld(pdu, &self.user_id))
    }

    /// Whether the user has left the room and forgotten it.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.is_forgotten
    }

    /// Where the view of a user who has left ends: the place of the event by which the user left, and the
    /// state after it. It is `None` if the view does not end, because the user is there or the room shows
    /// itself to everybody.
    pub(crate) fn end(&self) -> Option<(i64, u64)> {
        match self.standing {
            Standing::Left { seq, state } if !self.is_world_readable() => Some((seq, state)),
            _ => None,
        }
    }

    /// The last place that the user may see.
    pub(crate) fn last_seq(&self) -> i64 {
        self.end().map_or(i64::MAX, |(seq, _)| seq)
    }

    fn is_world_readable(&self) -> bool {
        self.visibility_now.0 == HistoryVisibility::WorldReadable
    }

    /// Whether it is known without looking that the user may see all events after an event that the user sees, up to
    /// the end of the view.
    pub(crate) fn sees_all_after(&self, seq: i64) -> bool {
        let (visibility, set_at) = self.visibility_now;
        let (membership, since) = &self.membership_now;
        let is_shown = match visibility {
            HistoryVisibility::WorldReadable => true,
            HistoryVisibility::Shared => self.standing != Standing::Outside,
            HistoryVisibility::Invited | HistoryVisibility::Joined => false,
        };
        let was_there = *membership == Some(MembershipState::Join) && *since <= seq;
        self.rule.is_none() && (was_there || (is_shown && set_at <= seq))
    }

    /// Whether an event by `sender` that relates to an event that the user sees is shown to the user as
    /// related to it. It is `None` if one has to look at the event to know.
    pub(crate) fn shows_related(&self, parent_seq: i64, seq: i64, sender: &UserId) -> Option<bool> {
        if self.ignored.contains(sender) || seq > self.last_seq() {
            return Some(false);
        }
        let is_known = self.sees_all_after(parent_seq) && self.erasures.erased_at(sender).is_none();
        is_known.then_some(true)
    }
}

impl Rooms {
    /// The view of a user who is or was in the room, or of anybody if the room shows itself.
    pub async fn view(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<View> {
        self.view_of(user_id, room_id, false).await
    }

    /// The view that an invited user would have of the room after joining.
    pub(crate) async fn view_if_joined(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<View> {
        self.view_of(user_id, room_id, true).await
    }

    async fn view_of(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        invited_as_joined: bool,
    ) -> Result<View> {
        let room = self.find_room(room_id).await?.ok_or_else(not_in_room)?;
        let entry = self.state_entry(room_id, &StateEventType::RoomMember, user_id.as_str()).await?;
        let event = match &entry {
            Some(entry) => self.timeline_event_of(room_id, entry).await?,
            None => None,
        };
        let membership = event.as_ref().and_then(|event| event.pdu.membership());
        let visibility_entry = self.state_entry(room_id, &StateEventType::RoomHistoryVisibility, "").await?;
        let visibility = match &visibility_entry {
            Some(entry) => HistoryVisibility::of(self.entry_event(room_id, entry).await?.as_deref()),
            None => HistoryVisibility::default(),
        };
        let has_gone = matches!(membership, Some(MembershipState::Leave | MembershipState::Ban));
        let is_forgotten = has_gone && self.has_forgotten(user_id, room_id).await?;
        let standing = match (&membership, &event) {
            _ if is_forgotten => outside(visibility)?,
            (Some(MembershipState::Join), _) => Standing::Joined,
            (Some(MembershipState::Invite), _) if invited_as_joined => Standing::Joined,
            (_, Some(gone)) if has_gone => match self.last_left(&room, user_id, gone).await? {
                Some(left) => Standing::Left { seq: left.seq, state: left.state_after },
                None => outside(visibility)?,
            },
            _ => outside(visibility)?,
        };
        Ok(View {
            room,
            user_id: user_id.clone(),
            standing,
            rule: self.encryption_rule(user_id),
            is_forgotten,
            ignored: self.ignored_users(user_id).await?,
            erasures: self.shared.accounts.erasures().await?.clone(),
            whole_until: HashMap::new(),
            visibility: HashMap::new(),
            membership: HashMap::new(),
            visibility_now: (visibility, since(visibility_entry)),
            membership_now: if is_forgotten { (None, 0) } else { (membership, since(entry)) },
        })
    }

    /// The event that ended the user's last time in the room, or `None` if the user was never in it. Bans,
    /// invitations and the like may have followed.
    pub(crate) async fn last_left(
        &self,
        room: &Room,
        user_id: &OwnedUserId,
        gone: &Arc<TimelineEvent>,
    ) -> Result<Option<Arc<TimelineEvent>>> {
        let mut left = gone.clone();
        for _ in 0..MAX_MEMBERSHIPS_AFTER_LEAVING {
            let member = StateEventType::RoomMember;
            let before = self.state_entry_in(&room.id, left.state_before, &member, user_id.as_str()).await?;
            let Some(event_id) = before else { return Ok(None) };
            let Some(event) = self.any_event(&room.id, &event_id).await? else { return Ok(None) };
            if event.pdu.membership() == Some(MembershipState::Join) {
                return Ok(Some(left));
            }
            left = event;
        }
        Ok(None)
    }

    /// The user's membership when the event happened (after it, if the event is that membership).
    pub async fn membership_then(
        &self,
        view: &mut View,
        event: &TimelineEvent,
    ) -> Result<Option<MembershipState>> {
        if view.membership_now.1 <= event.seq {
            return Ok(view.membership_now.0.clone());
        }
        if let Some(membership) = view.membership.get(&event.state_after) {
            return Ok(membership.clone());
        }
        let member = self
            .state_event_in(
                &view.room.id,
                event.state_after,
                &StateEventType::RoomMember,
                view.user_id.as_str(),
            )
            .await?;
        let membership = member.and_then(|member| member.membership());
        view.membership.insert(event.state_after, membership.clone());
        Ok(membership)
    }

    /// Whether the event shows itself to the user, who ignores what certain others say, and whom not everybody
    /// may call.
    pub async fn shows(&self, view: &mut View, event: &TimelineEvent) -> Result<bool> {
        Ok(!view.ignores(&event.pdu)
            && self.may_see(view, event).await?
            && !self.is_unwanted_call(&view.user_id, &event.pdu).await?)
    }

    /// Whether the user may see the event, also one that the user ignores.
    pub async fn may_see(&self, view: &mut View, event: &TimelineEvent) -> Result<bool> {
        if view.hides(&event.pdu) {
            return Ok(false);
        }
        let joined_since = match view.standing {
            Standing::Joined => true,
            Standing::Left { seq, .. } if event.seq <= seq => true,
            Standing::Left { .. } if !view.is_world_readable() => return Ok(false),
            // What came after is shown as it is to strangers.
            Standing::Left { .. } | Standing::Outside => false,
        };
        let visibility = self.visibility_then(view, event).await?;
        let settled = match visibility {
            HistoryVisibility::WorldReadable => true,
            HistoryVisibility::Shared => joined_since,
            HistoryVisibility::Invited | HistoryVisibility::Joined => false,
        };
        if settled {
            return Ok(true);
        }
        let membership = self.membership_then(view, event).await?;
        let shows = |visibility: HistoryVisibility, membership: Option<&MembershipState>| {
            visibility.shows(Seen { membership_then: membership, joined_since })
        };
        if shows(visibility, membership.as_ref()) {
            return Ok(true);
        }
        // An event that changes visibility or the user's membership is shown if it would be either before or
        // after it.
        if event.pdu.is_state(&StateEventType::RoomHistoryVisibility, "") {
            return Ok(shows(HistoryVisibility::of(Some(&event.pdu)), membership.as_ref()));
        }
        if event.pdu.is_state(&StateEventType::RoomMember, view.user_id.as_str()) && !view.is_forgotten {
            let member = StateEventType::RoomMember;
            let room_id = &view.room.id;
            let before =
                self.state_event_in(room_id, event.state_before, &member, view.user_id.as_str()).await?;
            let before = before.and_then(|before| before.membership());
            return Ok(shows(visibility, before.as_ref()));
        }
        Ok(false)
    }

    async fn visibility_then(&self, view: &mut View, event: &TimelineEvent) -> Result<HistoryVisibility> {
        // What an event changes holds only from the next event on.
        if view.visibility_now.1 < event.seq {
            return Ok(view.visibility_now.0);
        }
        if let Some(visibility) = view.visibility.get(&event.state_before) {
            return Ok(*visibility);
        }
        let set = self
            .state_event_in(&view.room.id, event.state_before, &StateEventType::RoomHistoryVisibility, "")
            .await?;
        let visibility = HistoryVisibility::of(set.as_deref());
        view.visibility.insert(event.state_before, visibility);
        Ok(visibility)
    }
}

/// Whether an event is withheld from a user.
pub fn is_withheld(pdu: &Pdu, user_id: &UserId) -> bool {
    pdu.withheld && pdu.sender != user_id
}

fn outside(visibility: HistoryVisibility) -> Result<Standing> {
    match visibility {
        HistoryVisibility::WorldReadable => Ok(Standing::Outside),
        _ => Err(not_in_room()),
    }
}

/// The place from which on an entry of the current state holds. Where it was set by a hidden event, there is
/// none.
fn since(entry: Option<StateEntryRecord>) -> i64 {
    match entry {
        Some(StateEntryRecord { seq: 0, .. }) => i64::MAX,
        Some(entry) => entry.seq,
        None => 0,
    }
}
