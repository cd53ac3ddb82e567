//! Who takes no invitations: the user's own account data says so. The door (`door.rs`) refuses them; one that came
//! before, or from elsewhere, is hidden.
//! <https://spec.matrix.org/v1.19/client-server-api/#invite-permission>

use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::Value;

use crate::{Result, Rooms};

/// The account data that says so.
const INVITE_PERMISSION: &str = "m.invite_permission_config";
/// The account data that clients used before it was specified.
const UNSTABLE_INVITE_PERMISSION: &str = "org.matrix.msc4380.invite_permission_config";

/// The content of either. What is not understood means that invitations are taken.
#[derive(Default, Deserialize)]
#[serde(default)]
struct InvitePermission {
    default_action: Value,
    block_all: Value,
}

impl Rooms {
    /// Whether a hosted user wants to be invited.
    pub(crate) async fn takes_invites(&self, user_id: &OwnedUserId) -> Result<bool> {
        for event_type in [INVITE_PERMISSION, UNSTABLE_INVITE_PERMISSION] {
            let stored = self.shared.accounts.account_data(user_id, None, event_type).await?;
            let permission = stored.and_then(|json| serde_json::from_str::<InvitePermission>(&json).ok());
            let permission = permission.unwrap_or_default();
            if permission.default_action == "block" || permission.block_all == Value::Bool(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an invitation by `sender` is kept from a hosted user: the user ignores the sender, or takes no invitations.
    pub async fn hides_invitation(&self, user_id: &OwnedUserId, sender: &UserId) -> Result<bool> {
        Ok(self.ignored_users(user_id).await?.contains(sender) || !self.takes_invites(user_id).await?)
    }
}
