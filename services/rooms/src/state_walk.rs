//! Reading a room's state piece by piece: a state may have a hundred thousand events, which nobody should have to hold
//! at once.

use std::vec;

use linkspan_domain::SharedPdu;
use linkspan_storage::{Range, catalogue::CurrentState, records::StateEntryRecord};
use ruma::{
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};

use crate::{Result, Rooms, View, state::EMPTY_STATE};

/// How many events are read at a time. Each may have 64 KiB.
const PIECE: usize = 16;
/// About how much memory an entry takes that was not read yet, in bytes: an event's id and its place.
const ENTRY_BYTES: usize = 100;

/// A walk through the events of a state that a user may see.
#[derive(Debug)]
pub struct StateWalk {
    view: View,
    /// What was not read yet.
    entries: vec::IntoIter<StateEntryRecord>,
    members: Option<WantedMembers>,
}

/// Which member events are wanted.
#[derive(Clone, Debug, Default)]
pub struct WantedMembers {
    /// Only those with this membership.
    pub membership: Option<MembershipState>,
    /// None of those with this membership.
    pub not_membership: Option<MembershipState>,
}

impl WantedMembers {
    fn has(&self, event: &SharedPdu) -> bool {
        let is = event.membership();
        event.event_type == TimelineEventType::RoomMember
            && (self.membership.is_none() || is == self.membership)
            && (self.not_membership.is_none() || is != self.not_membership)
    }
}

impl StateWalk {
    /// Whether the user has left the room.
    pub(crate) fn has_left(&self) -> bool {
        self.view.end().is_some()
    }

    /// About how much memory the walk itself takes, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES
    }
}

impl Rooms {
    /// A walk through the state of a room as the user may see it: the current one, or the one when the user left.
    pub async fn walk_state(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<StateWalk> {
        let view = self.view(user_id, room_id).await?;
        let entries = match view.end() {
            Some((_, state)) => self.entries_in(room_id, state, None).await?,
            None => self.current_entries(room_id, None).await?,
        };
        Ok(StateWalk { view, entries: entries.into_iter(), members: None })
    }

    /// A walk through the member events of a room as the user may see it. `at`: as they were after the event at this
    /// place.
    pub async fn walk_members(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        at: Option<i64>,
        wanted: WantedMembers,
    ) -> Result<StateWalk> {
        let view = self.view(user_id, room_id).await?;
        let state = match (view.end(), at) {
            (Some((seq, state)), at) if at.is_none_or(|at| at >= seq) => Some(state),
            (_, Some(at)) => {
                let newest = self.timeline_back(room_id, at, 0, 1).await?;
                // Before its first event nobody was in the room.
                Some(newest.first().map_or(EMPTY_STATE, |event| event.state_after))
            }
            _ => None,
        };
        let kind = StateEventType::RoomMember;
        let entries = match state {
            Some(state) => self.entries_in(room_id, state, Some(&kind)).await?,
            None => self.current_entries(room_id, Some(&kind)).await?,
        };
        Ok(StateWalk { view, entries: entries.into_iter(), members: Some(wanted) })
    }

    /// The next events of a walk, of which there may be none; `None` at its end.
    pub async fn next_state(&self, walk: &mut StateWalk) -> Result<Option<Vec<SharedPdu>>> {
        let entries: Vec<_> = walk.entries.by_ref().take(PIECE).collect();
        if entries.is_empty() {
            return Ok(None);
        }
        let room_id = walk.view.room.id.clone();
        let mut events = self.entry_events(&room_id, &entries).await?;
        events.retain(|event| walk.members.as_ref().is_none_or(|wanted| wanted.has(event)));
        Ok(Some(self.state_for(&mut walk.view, events).await?))
    }

    /// The rest of a walk at once, for those who need all of it.
    pub(crate) async fn rest_of_state(&self, mut walk: StateWalk) -> Result<Vec<SharedPdu>> {
        let mut events = Vec::new();
        while let Some(mut piece) = self.next_state(&mut walk).await? {
            events.append(&mut piece);
        }
        Ok(events)
    }

    /// The entries of a room's current state, or those of one type.
    pub(crate) async fn current_entries(
        &self,
        room_id: &OwnedRoomId,
        event_type: Option<&StateEventType>,
    ) -> Result<Vec<StateEntryRecord>> {
        let range = match event_type {
            Some(event_type) => Range::<CurrentState>::prefix((room_id, &event_type.to_string())),
            None => Range::prefix((room_id,)),
        };
        Ok(self.store().range(range).await?.into_iter().map(|(_, entry)| entry).collect())
    }

    async fn entries_in(
        &self,
        room_id: &OwnedRoomId,
        state_id: u64,
        event_type: Option<&StateEventType>,
    ) -> Result<Vec<StateEntryRecord>> {
        let state = self.state_map(room_id, state_id).await?;
        let wanted = state.into_iter().filter(|((is, _), _)| event_type.is_none_or(|wanted| is == wanted));
        self.placed_entries(room_id, wanted.map(|(_, event_id)| event_id)).await
    }
}
