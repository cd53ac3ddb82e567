//! Reading single events, states and members.

use std::{collections::BTreeSet, sync::Arc};

use linkspan_domain::SharedPdu;
use linkspan_storage::{Range, catalogue::Members};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use crate::{
    Reader, Result, Rooms, RoomsError, TimelineEvent, View,
    membership::{is_present, not_in_room},
    state_walk::WantedMembers,
};

/// A joined member and the profile shown in the room.
#[derive(Clone, Debug)]
pub struct JoinedMember {
    /// Who.
    pub user_id: OwnedUserId,
    /// The name shown.
    pub displayname: Option<String>,
    /// The picture shown.
    pub avatar_url: Option<String>,
}

impl Rooms {
    /// An event, rendered for the user.
    pub async fn get_event(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        event_id: &OwnedEventId,
        reader: Reader<'_>,
    ) -> Result<Box<serde_json::value::RawValue>> {
        let mut view = self.view(user_id, room_id).await.map_err(|error| match error {
            RoomsError::Forbidden(_) => no_such_event(),
            error => error,
        })?;
        let event = self.shown_event(&mut view, event_id).await?;
        self.render(&mut view, &event, reader).await
    }

    /// The state of a room as the user may see it: the current one, or the one when the user left.
    pub async fn get_state(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<Vec<SharedPdu>> {
        self.rest_of_state(self.walk_state(user_id, room_id).await?).await
    }

    /// An entry of the state of a room as the user may see it.
    pub async fn get_state_event(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<SharedPdu> {
        let mut view = self.view(user_id, room_id).await?;
        let event = match view.end() {
            Some((_, state)) => self.state_event_in(room_id, state, event_type, state_key).await?,
            None => self.state_event(room_id, event_type, state_key).await?,
        };
        let event = self.state_for(&mut view, event.into_iter().collect()).await?.pop();
        event.ok_or_else(|| RoomsError::NotFound("the room's state has no such entry".into()))
    }

    /// The joined members of a room that the user is joined to, or that shows itself to everybody.
    pub async fn get_joined_members(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<Vec<JoinedMember>> {
        let wanted = WantedMembers { membership: Some(MembershipState::Join), not_membership: None };
        let mut walk = self.walk_members(user_id, room_id, None, wanted).await?;
        if walk.has_left() {
            return Err(not_in_room());
        }
        let mut joined = Vec::new();
        while let Some(members) = self.next_state(&mut walk).await? {
            joined.extend(members.iter().filter_map(joined_member));
        }
        Ok(joined)
    }

    /// The memberships of those who sent the events of a page, for a client that walks through it: each as it was
    /// where the walk meets the member first.
    pub async fn members_of(
        &self,
        view: &mut View,
        events: &[Arc<TimelineEvent>],
        forwards: bool,
    ) -> Result<Vec<SharedPdu>> {
        let room_id = &view.room.id.clone();
        let mut seen = BTreeSet::new();
        let mut members = Vec::new();
        for event in events.iter().filter(|event| seen.insert(event.pdu.sender.as_str())) {
            members.extend(self.member_met_at(room_id, event, forwards).await?);
        }
        self.state_for(view, members).await
    }

    /// The member event of somebody in a room, as the user is given it.
    pub async fn member_for(&self, view: &mut View, member: &UserId) -> Result<Option<SharedPdu>> {
        let kind = StateEventType::RoomMember;
        let event = match view.end() {
            Some((_, state)) => self.state_event_in(&view.room.id, state, &kind, member.as_str()).await?,
            None => self.state_event(&view.room.id, &kind, member.as_str()).await?,
        };
        Ok(self.state_for(view, event.into_iter().collect()).await?.pop())
    }

    /// The membership of an event's sender before the event if the walk goes forwards, after it if it goes back.
    async fn member_met_at(
        &self,
        room_id: &OwnedRoomId,
        event: &TimelineEvent,
        forwards: bool,
    ) -> Result<Option<SharedPdu>> {
        let (member, sender) = (StateEventType::RoomMember, event.pdu.sender.as_str());
        if forwards
            && let Some(before) = self.state_event_in(room_id, event.state_before, &member, sender).await?
        {
            return Ok(Some(before));
        }
        // Who comes into the room with the event was nothing before it.
        self.state_event_in(room_id, event.state_after, &member, sender).await
    }

    /// Who is joined to a room or invited: user ids, in the order of platforms and names.
    pub async fn present_user_ids(&self, room_id: &OwnedRoomId) -> Result<Vec<OwnedUserId>> {
        let rows = self.store().range::<Members>(Range::prefix((room_id,))).await?;
        let present = rows.into_iter().filter(|(_, member)| is_present(&member.membership));
        Ok(present.map(|(key, _)| key.user_id).collect())
    }

    /// An event of the room that shows itself to the user.
    pub(crate) async fn shown_event(
        &self,
        view: &mut View,
        event_id: &OwnedEventId,
    ) -> Result<Arc<TimelineEvent>> {
        let event = self.visible_event(view, event_id).await?;
        if view.ignores(&event.pdu) { Err(no_such_event()) } else { Ok(event) }
    }

    /// An event of the room that the user may see, also one that the user ignores.
    pub(crate) async fn visible_event(
        &self,
        view: &mut View,
        event_id: &OwnedEventId,
    ) -> Result<Arc<TimelineEvent>> {
        let event = self.event(&view.room.id.clone(), event_id).await?.ok_or_else(no_such_event)?;
        if self.may_see(view, &event).await? { Ok(event) } else { Err(no_such_event()) }
    }
}

/// Said alike of events that do not exist and of events that the user may not see.
pub(crate) fn no_such_event() -> RoomsError {
    RoomsError::NotFound("there is no such event, or you may not see it".into())
}

fn joined_member(event: &SharedPdu) -> Option<JoinedMember> {
    #[derive(serde::Deserialize)]
    struct Content {
        displayname: Option<String>,
        avatar_url: Option<String>,
    }
    let content = event.content_as::<Content>();
    let (displayname, avatar_url) = content.map(|c| (c.displayname, c.avatar_url)).unwrap_or_default();
    Some(JoinedMember { user_id: event.state_key.as_deref()?.try_into().ok()?, displayname, avatar_url })
}
