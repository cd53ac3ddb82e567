//! What an account that goes means in rooms.

use linkspan_storage::{
    Range, WriteSet,
    catalogue::{Memberships, UserRoomKey},
};
use ruma::{OwnedUserId, events::room::member::MembershipState};

use crate::{Result, Rooms, RoomsError, membership::is_involved};

impl Rooms {
    /// Has a user whose account is gone leave all rooms, and removes what is kept for the user alone. What the user said
    /// and did in rooms stays there.
    pub async fn remove_user(&self, user_id: &OwnedUserId, now_ts: u64) -> Result<()> {
        self.leave_all(user_id, now_ts).await?;
        self.remove_delayed_events(user_id).await?;
        self.remove_reporter(user_id).await?;
        self.remove_notice_room(user_id).await?;
        self.remove_inviter(user_id).await?;
        self.remove_approaches(user_id).await?;
        let rooms = self.store().keys::<Memberships>(Range::prefix((user_id,))).await?;
        for UserRoomKey { room_id, .. } in &rooms {
            self.remove_private_receipts(user_id, room_id).await?;
            self.remove_links_of(user_id, room_id).await?;
        }
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                self.shared.directory.unindex_user(&mut writes, user_id).await?;
                Ok::<_, RoomsError>((writes, ()))
            })
            .await
    }

    /// Leaves all rooms, declines invitations, takes all knocks back. Invitations that wait as requests, or are kept from
    /// the user, go on waiting: their senders do not learn whether there was anybody.
    async fn leave_all(&self, user_id: &OwnedUserId, now_ts: u64) -> Result<()> {
        for (room_id, stored) in self.memberships(user_id).await? {
            let is_invited = stored.value.membership == MembershipState::Invite;
            let waits = stored.value.is_request || self.hides_invitation(user_id, &stored.value).await?;
            if is_involved(&stored.value.membership)
                && !(is_invited && waits)
                && let Err(error) = self.leave_room(user_id, &room_id, None, now_ts).await
            {
                tracing::warn!(%error, %room_id, %user_id, "an account that goes could not leave a room");
            }
        }
        Ok(())
    }
}
