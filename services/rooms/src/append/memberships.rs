//! What follows when somebody's membership changes: the rows about the member, the counts of the room, and the
//! state that invited people are shown.

use std::sync::Arc;

use linkspan_domain::{Pdu, Reach, SharedPdu, stripped_state_event};
use linkspan_storage::{
    Stamped,
    catalogue::{Members, Memberships, RoomUserKey, UserRoomKey},
    records::{InboxPointer, MemberRecord, MembershipRecord},
};
use ruma::{
    OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::Append;
use crate::{Result, RoomsError};

/// State shown to those who are invited or knock.
/// <https://spec.matrix.org/v1.19/client-server-api/#stripped-state>
const STRIPPED_TYPES: [StateEventType; 9] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
    StateEventType::RoomPowerLevels,
    StateEventType::SpaceParent,
];

impl Append {
    /// The membership of a user has gone from the state: only state resolution does that.
    pub(super) async fn remove_membership(&mut self, state_key: &str) -> Result<()> {
        let Ok(user_id) = OwnedUserId::try_from(state_key) else { return Ok(()) };
        let before = self.membership(&user_id).await?;
        self.count(&user_id, before.as_ref(), None);
        let room_id = self.room.id.clone();
        self.writes.delete::<Members>(&RoomUserKey { room_id: room_id.clone(), user_id: user_id.clone() });
        if self.rooms.shared.platforms.hosts(user_id.server_name()) {
            let key = UserRoomKey { user_id: user_id.clone(), room_id: room_id.clone() };
            self.writes.delete::<Memberships>(&key);
            self.list_as_big(&key, false);
            self.point(&user_id, InboxPointer::Room(room_id));
            Arc::make_mut(&mut self.members).retain(|member| *member != user_id);
            self.members_changed = true;
        }
        Ok(())
    }

    pub(super) async fn change_membership(&mut self, pdu: &SharedPdu, seq: i64) -> Result<()> {
        let user_id: OwnedUserId = pdu
            .state_key
            .as_deref()
            .and_then(|user_id| user_id.try_into().ok())
            .ok_or_else(|| RoomsError::Invalid("the state key of a membership is a user id".into()))?;
        let earlier = self.state_event(&StateEventType::RoomMember, user_id.as_str()).await?;
        let before = earlier.as_ref().and_then(|event| event.membership());
        let membership =
            pdu.membership().ok_or_else(|| RoomsError::Invalid("a member event has a membership".into()))?;
        self.note_contacts(pdu, &user_id, earlier.as_deref()).await?;
        self.count(&user_id, before.as_ref(), Some(&membership));
        let member = MemberRecord { membership: membership.clone(), event_id: pdu.event_id.clone(), seq };
        let key = RoomUserKey { room_id: self.room.id.clone(), user_id: user_id.clone() };
        self.writes.put::<Members>(&key, &member);
        if !self.rooms.shared.platforms.hosts(user_id.server_name()) {
            return Ok(());
        }
        let stripped_state = match membership {
            MembershipState::Invite | MembershipState::Knock => self.stripped_state(pdu).await?,
            _ => Vec::new(),
        };
        let key = UserRoomKey { user_id: user_id.clone(), room_id: self.room.id.clone() };
        let (is_request, is_hidden) = match membership {
            MembershipState::Invite => self.place_of_invitation(pdu, &key, before.as_ref()).await?,
            _ => (false, false),
        };
        let record = MembershipRecord {
            membership: membership.clone(),
            event_id: pdu.event_id.clone(),
            seq,
            sender: pdu.sender.clone(),
            stripped_state,
            forgotten: false,
            is_request,
            is_hidden,
        };
        self.writes.put::<Memberships>(&key, &Stamped::pending(record));
        if !is_hidden {
            self.point(&user_id, InboxPointer::Room(self.room.id.clone()));
        }
        let was_joined = before == Some(MembershipState::Join);
        let is_joined = membership == MembershipState::Join;
        if !was_joined && is_joined {
            Arc::make_mut(&mut self.members).push(user_id.clone());
            self.members_changed = true;
            self.newcomers.push((user_id.clone(), earlier.map(|event| event.event_id.clone())));
            if self.room.is_big() {
                self.list_as_big(&key, true);
            }
        }
        if was_joined && !is_joined {
            Arc::make_mut(&mut self.members).retain(|member| *member != user_id);
            self.members_changed = true;
            self.list_as_big(&key, false);
        }
        Ok(())
    }

    /// Whether an invitation waits among its invitee's requests, and whether it is kept from the invitee.
    async fn place_of_invitation(
        &mut self,
        invitation: &Pdu,
        key: &UserRoomKey,
        before: Option<&MembershipState>,
    ) -> Result<(bool, bool)> {
        let by_rules = self.arrival(invitation, &key.user_id).await?.by_rules;
        let mut is_hidden = by_rules >= Reach::Ignored;
        // What was deleted does not come back because its sender tries again.
        if before == Some(&MembershipState::Invite) {
            // It takes as long for those who ignore it, and for those who are not there.
            self.settle().await?;
            let stored = self.rooms.store().get::<Memberships>(key).await?;
            let is_deleted = stored.is_some_and(|stored| stored.value.is_hidden);
            is_hidden |= is_deleted && by_rules == Reach::Request;
        }
        Ok((by_rules == Reach::Request, is_hidden))
    }

    /// Counts people and the rules that they bring, as a membership changes.
    fn count(
        &mut self,
        user_id: &OwnedUserId,
        before: Option<&MembershipState>,
        now: Option<&MembershipState>,
    ) {
        let counters = [
            (MembershipState::Join, &mut self.head.joined),
            (MembershipState::Invite, &mut self.head.invited),
        ];
        for (kind, counter) in counters {
            let (was, is) = (before == Some(&kind), now == Some(&kind));
            *counter = counter.saturating_sub(u64::from(was)) + u64::from(is);
        }
        self.note_rule(user_id, before, now);
    }

    /// What is shown of the room to somebody who is invited or knocks.
    async fn stripped_state(&mut self, member: &Pdu) -> Result<Vec<String>> {
        let mut events = Vec::new();
        for event_type in STRIPPED_TYPES {
            if let Some(event) = self.state_event(&event_type, "").await? {
                events.push(stripped_state_event(&event));
            }
        }
        if let Some(sender) = self.state_event(&StateEventType::RoomMember, member.sender.as_str()).await?
            && Some(member.sender.as_str()) != member.state_key.as_deref()
        {
            events.push(stripped_state_event(&sender));
        }
        events.push(stripped_state_event(member));
        Ok(events)
    }
}
