//! Dehydrated devices. Such a device of a user receives keys while no client is logged in, and a later log-in
//! takes it up.
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/3814>

use linkspan_accounts::{DeviceRemoved, NewDevice};
use linkspan_inbox::ToDeviceMessage;
use linkspan_storage::{
    Position, WriteSet,
    catalogue::{DehydratedDevices, DeviceKey, UserKey},
    records::DehydratedDeviceRecord,
};
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{Keys, KeysError, Result, Upload};

/// The greatest JSON of a device's data, in bytes.
const MAX_JSON_BYTES: usize = 65_536;

/// A dehydrated device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DehydratedDevice {
    /// The device's id.
    pub device_id: OwnedDeviceId,
    /// The device, encrypted by a client, as a JSON object.
    pub device_data: String,
}

impl Keys {
    /// Puts a dehydrated device in the place of the user's earlier one, and returns the one that is gone for
    /// it. A device that a client has logged in as never becomes one.
    pub async fn put_dehydrated_device(
        &self,
        user_id: &OwnedUserId,
        device: &DehydratedDevice,
        display_name: Option<String>,
        upload: &Upload,
        now_ts: u64,
    ) -> Result<Option<DeviceRemoved>> {
        if device.device_data.len() > MAX_JSON_BYTES {
            return Err(KeysError::TooLarge(format!("device_data has more than {MAX_JSON_BYTES} bytes")));
        }
        if upload.device_keys.is_none() {
            return Err(KeysError::Missing("device_keys are needed"));
        }
        let DehydratedDevice { device_id, device_data } = device.clone();
        let key = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        let row = UserKey { user_id: user_id.clone() };
        let record = DehydratedDeviceRecord { device_id: device_id.clone(), device_data };
        let new = NewDevice { device_id: Some(device_id.clone()), display_name, ..NewDevice::default() };
        let before = self
            .store
            .update(async || {
                let mut writes = WriteSet::new();
                self.accounts.put_dehydrated_device(&mut writes, user_id, &new, now_ts).await?;
                self.put_upload(&mut writes, &key, upload).await?;
                let before = self.store.get::<DehydratedDevices>(&row).await?;
                writes.expect_read::<DehydratedDevices>(&row, before.as_ref());
                writes.put::<DehydratedDevices>(&row, &record);
                Ok::<_, KeysError>((writes, before))
            })
            .await?;
        match before.filter(|before| before.device_id != device_id) {
            Some(before) => Ok(self.accounts.remove_dehydrated_device(user_id, &before.device_id).await?),
            None => Ok(None),
        }
    }

    /// The user's dehydrated device.
    pub async fn dehydrated_device(&self, user_id: &OwnedUserId) -> Result<Option<DehydratedDevice>> {
        let row = UserKey { user_id: user_id.clone() };
        let stored = self.store.get::<DehydratedDevices>(&row).await?;
        let Some(DehydratedDeviceRecord { device_id, device_data }) = stored else { return Ok(None) };
        // A client may have logged in as the device since. And when a device is removed, it is gone before
        // this row is.
        let is_dehydrated = self.accounts.is_dehydrated(user_id, &device_id).await?;
        Ok(is_dehydrated.then_some(DehydratedDevice { device_id, device_data }))
    }

    /// Removes the user's dehydrated device. None means that there was none.
    pub async fn delete_dehydrated_device(&self, user_id: &OwnedUserId) -> Result<Option<DeviceRemoved>> {
        match self.dehydrated_device(user_id).await? {
            Some(device) => Ok(self.accounts.remove_dehydrated_device(user_id, &device.device_id).await?),
            None => Ok(None),
        }
    }

    /// Makes a device that is gone count as dehydrated no longer.
    pub(crate) async fn forget_dehydrated(&self, writes: &mut WriteSet, device: &DeviceKey) -> Result<()> {
        let row = UserKey { user_id: device.user_id.clone() };
        let stored = self.store.get::<DehydratedDevices>(&row).await?;
        if let Some(stored) = stored.filter(|stored| stored.device_id == device.device_id) {
            writes.expect::<DehydratedDevices>(&row, &stored);
            writes.delete::<DehydratedDevices>(&row);
        }
        Ok(())
    }

    /// The messages for the dehydrated device after `since`, the oldest first, with the position up to which
    /// these are all. They stay until the device goes.
    pub async fn dehydrated_messages(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        since: Position,
    ) -> Result<(Vec<ToDeviceMessage>, Position)> {
        let device = self.dehydrated_device(user_id).await?;
        if device.is_none_or(|device| device.device_id != *device_id) {
            return Err(KeysError::NotFound("there is no such dehydrated device"));
        }
        let now = self.inbox.now().position;
        Ok(self.rooms.to_device_after(user_id, device_id, since, now).await?)
    }
}
