//! Logging out: the device goes, and its tokens with it.

use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{Accounts, AccountsError, DeviceRemoved};

impl Accounts {
    /// Logs a device out.
    pub async fn log_out(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        self.remove_devices(user_id, std::slice::from_ref(device_id)).await
    }

    /// Logs out all devices of a user except for `except`.
    pub async fn log_out_all(
        &self,
        user_id: &OwnedUserId,
        except: Option<&OwnedDeviceId>,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        let mut devices = self.device_ids(user_id).await?;
        devices.retain(|device_id| Some(device_id) != except);
        self.remove_devices(user_id, &devices).await
    }
}
