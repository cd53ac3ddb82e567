//! How people's memberships of a room have gone since a position, step by step.

use std::collections::BTreeMap;

use linkspan_storage::{Position, catalogue::StateLogKey, records::StateEntryRecord};
use ruma::{
    OwnedRoomId, OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};

use crate::{Result, Rooms};

/// How somebody's membership of a room went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberChanges {
    /// The membership before the first change; None: never a member.
    pub before: Option<MembershipState>,
    /// The memberships since then, oldest first; None: state resolution took the membership away.
    pub after: Vec<Option<MembershipState>>,
}

impl Rooms {
    /// All changes of memberships of a room after a position, those of profiles included.
    pub async fn member_changes(
        &self,
        room_id: &OwnedRoomId,
        since: Position,
    ) -> Result<BTreeMap<OwnedUserId, MemberChanges>> {
        let member = StateEventType::RoomMember.to_string();
        let mut changes: BTreeMap<OwnedUserId, MemberChanges> = BTreeMap::new();
        for (StateLogKey { event_type, state_key, .. }, entry) in self.state_log(room_id, since).await? {
            if event_type != member {
                continue;
            }
            let Ok(user_id) = OwnedUserId::try_from(state_key) else { continue };
            let membership = self.entry_event(room_id, &entry).await?.and_then(|event| event.membership());
            match changes.get_mut(&user_id) {
                Some(known) => known.after.push(membership),
                None => {
                    let before = self.membership_before_entry(room_id, &entry, &user_id).await?;
                    changes.insert(user_id, MemberChanges { before, after: vec![membership] });
                }
            }
        }
        Ok(changes)
    }

    async fn membership_before_entry(
        &self,
        room_id: &OwnedRoomId,
        entry: &StateEntryRecord,
        user_id: &OwnedUserId,
    ) -> Result<Option<MembershipState>> {
        match &entry.event_id {
            Some(event_id) => self.membership_before(room_id, event_id, user_id).await,
            // Only who was there can be taken away.
            None => Ok(Some(MembershipState::Join)),
        }
    }
}
