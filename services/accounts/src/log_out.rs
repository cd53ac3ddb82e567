//! Logging out: the device goes, and its tokens with it.

use linkspan_storage::catalogue::{DeviceKey, Devices};
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

    /// Logs out all devices of a user, because one of them asks for it. A visitor of a demo account ends that one visit:
    /// the others are other people's.
    pub async fn log_out_everywhere(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        let key = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        match self.store.get::<Devices>(&key).await?.is_some_and(|device| device.is_visitors) {
            true => self.log_out(user_id, device_id).await,
            false => self.log_out_all(user_id, None).await,
        }
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
