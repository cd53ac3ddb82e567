//! Whether a room is with people of other platforms, so that a client can show such chats together with the
//! user's others or apart from them.

use linkspan_storage::{Range, catalogue::Members};
use ruma::{OwnedRoomId, OwnedUserId, UserId, events::room::member::MembershipState};

use crate::{Result, Rooms, is_present};

/// People in a room of which those who are only invited count, too: a chat with somebody is one before they
/// have come.
const ALONE: u64 = 2;

impl Rooms {
    /// Whether somebody of another server than the user's own is in a room, or has invited the user to it.
    /// Where there are no more than two people, one who is invited counts as if they had come.
    pub async fn is_cross_platform(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<bool> {
        let is_other = |other: &UserId| other.server_name() != user_id.server_name();
        let own = self.membership_record(user_id, room_id).await?;
        if let Some(own) = own.filter(|own| own.value.membership == MembershipState::Invite) {
            return Ok(is_other(&own.value.sender));
        }
        let (room, head) = (self.find_room(room_id).await?, self.head(room_id).await?);
        let (Some(room), Some(head)) = (room, head) else { return Ok(false) };
        if head.joined + head.invited <= ALONE {
            let members = self.store().range::<Members>(Range::prefix((room_id,))).await?;
            let mut present = members.iter().filter(|(_, member)| is_present(&member.membership));
            return Ok(present.any(|(key, _)| is_other(&key.user_id)));
        }
        let hosted = self.local_members(&room).await?;
        Ok(head.joined > hosted.len() as u64 || hosted.iter().any(|member| is_other(member)))
    }
}
