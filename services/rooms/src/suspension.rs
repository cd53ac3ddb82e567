//! What a suspended account may still do in rooms: leave, and take back what it said.
//! <https://spec.matrix.org/v1.19/client-server-api/#account-suspension>

use linkspan_accounts::AccountsError;
use linkspan_domain::Draft;
use ruma::{OwnedRoomId, OwnedUserId};

use crate::{Result, Rooms, server_acl::is_own_leave};

impl Rooms {
    /// Refuses what a suspended sender may not send.
    pub(crate) async fn check_may_send(
        &self,
        room_id: &OwnedRoomId,
        sender: &OwnedUserId,
        draft: &Draft,
    ) -> Result<()> {
        let Err(error) = self.shared.accounts.check_not_suspended(sender).await else { return Ok(()) };
        let is_refusal = matches!(error, AccountsError::Suspended);
        if is_refusal && (is_own_leave(draft, sender) || self.redacts_own(room_id, sender, draft).await?) {
            return Ok(());
        }
        Err(error.into())
    }

    async fn redacts_own(&self, room_id: &OwnedRoomId, sender: &OwnedUserId, draft: &Draft) -> Result<bool> {
        let Some(redacts) = &draft.redacts else { return Ok(false) };
        Ok(self.event(room_id, redacts).await?.is_some_and(|event| event.pdu.sender == *sender))
    }
}
