//! Access lists of servers: hosted platforms keep each other out as servers do.
//! <https://spec.matrix.org/v1.19/client-server-api/#server-access-control-lists-acls-for-rooms>

use linkspan_domain::{Draft, SharedPdu};
use linkspan_inbox::Audience;
use ruma::{
    OwnedRoomId, UserId,
    events::{
        StateEventType, TimelineEventType,
        room::{member::MembershipState, server_acl::RoomServerAclEventContent},
    },
};

use crate::{Result, Rooms, blocked::Ignoring};

/// Whether an access list, if there is one, denies a user's platform.
pub(crate) fn denies(acl: Option<&SharedPdu>, user_id: &UserId) -> bool {
    let acl = acl.and_then(|event| event.content_as::<RoomServerAclEventContent>());
    acl.is_some_and(|acl| !acl.is_allowed(user_id.server_name()))
}

/// Whether an event would be an access list that denies its sender's platform. Nobody there could take it back.
pub(crate) fn shuts_out_its_sender(draft: &Draft, sender: &UserId) -> bool {
    if draft.event_type != TimelineEventType::RoomServerAcl || draft.state_key.as_deref() != Some("") {
        return false;
    }
    let content = serde_json::to_value(&draft.content);
    let acl = content.and_then(serde_json::from_value::<RoomServerAclEventContent>);
    acl.is_ok_and(|acl| !acl.is_allowed(sender.server_name()))
}

/// Whether a user leaves, or declines an invitation.
pub(crate) fn is_own_leave(draft: &Draft, sender: &UserId) -> bool {
    draft.state_key.as_deref() == Some(sender.as_str()) && draft.membership() == Some(MembershipState::Leave)
}

impl Rooms {
    /// Who of a room's hosted members is told what a user reads and types: a server takes that from no server that the
    /// room's access list denies. `ignoring`: how the user ignores the only other member, who is told nothing if it is by
    /// a link, while the user's own devices see no difference.
    pub(crate) async fn audience(
        &self,
        room_id: &OwnedRoomId,
        user_id: &UserId,
        ignoring: Ignoring,
    ) -> Result<Audience> {
        if ignoring == Ignoring::ByLink {
            return Ok(Audience::Oneself);
        }
        let acl = self.state_event(room_id, &StateEventType::RoomServerAcl, "").await?;
        Ok(if denies(acl.as_ref(), user_id) { Audience::OwnPlatform } else { Audience::Everybody })
    }
}
