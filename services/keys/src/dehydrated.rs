//! Dehydrated devices: a device of the user that receives keys while no client is logged in, and that a later
//! log-in takes up.
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/3814>

use linkspan_accounts::DeviceRemoved;
use linkspan_inbox::ToDeviceMessage;
use linkspan_storage::{
    Position, WriteSet,
    catalogue::{DehydratedDevices, UserKey},
    records::DehydratedDeviceRecord,
};
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{Keys, KeysError, Result, Upload};

/// The greatest JSON of a device's data, in bytes.
const MAX_JSON_BYTES: usize = 65_536;

/// A dehydrated device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DehydratedDevice {
    /// Its id.
    pub device_id: OwnedDeviceId,
    /// The device, encrypted by a client; JSON, an object.
    pub device_data: String,
}

impl Keys {
    /// Puts a dehydrated device in the place of the one that the user has; returns the devices that are gone for it.
    pub async fn put_dehydrated_device(
        &self,
        user_id: &OwnedUserId,
        device: &DehydratedDevice,
        display_name: Option<String>,
        upload: &Upload,
        now_ts: u64,
    ) -> Result<Vec<DeviceRemoved>> {
        if device.device_data.len() > MAX_JSON_BYTES {
            return Err(KeysError::TooLarge(format!("device_data has more than {MAX_JSON_BYTES} bytes")));
        }
        if upload.device_keys.is_none() {
            return Err(KeysError::Missing("device_keys are needed"));
        }
        let mut replaced = self.dehydrated_device(user_id).await?;
        if replaced.as_ref().is_some_and(|old| old.device_id == device.device_id) {
            replaced = None;
        }
        self.accounts.create_dehydrated_device(user_id, &device.device_id, display_name, now_ts).await?;
        self.upload(user_id, &device.device_id, upload).await?;
        let mut writes = WriteSet::new();
        let record = DehydratedDeviceRecord {
            device_id: device.device_id.clone(),
            device_data: device.device_data.clone(),
        };
        writes.put::<DehydratedDevices>(&UserKey { user_id: user_id.clone() }, &record);
        self.store.commit(writes).await.map_err(linkspan_storage::StorageError::from)?;
        match replaced {
            Some(old) => Ok(self.accounts.remove_devices(user_id, &[old.device_id]).await?),
            None => Ok(Vec::new()),
        }
    }

    /// The user's dehydrated device.
    pub async fn dehydrated_device(&self, user_id: &OwnedUserId) -> Result<Option<DehydratedDevice>> {
        let row = UserKey { user_id: user_id.clone() };
        let stored = self.store.get::<DehydratedDevices>(&row).await?;
        let Some(DehydratedDeviceRecord { device_id, device_data }) = stored else { return Ok(None) };
        // Its owner may have removed it as any other device.
        let exists = self.accounts.device(user_id, &device_id).await?.is_some();
        Ok(exists.then_some(DehydratedDevice { device_id, device_data }))
    }

    /// Removes the user's dehydrated device; None: there is none.
    pub async fn delete_dehydrated_device(&self, user_id: &OwnedUserId) -> Result<Option<DeviceRemoved>> {
        let Some(device) = self.dehydrated_device(user_id).await? else { return Ok(None) };
        let removed = self.accounts.remove_devices(user_id, &[device.device_id]).await?;
        let mut writes = WriteSet::new();
        writes.delete::<DehydratedDevices>(&UserKey { user_id: user_id.clone() });
        self.store.commit(writes).await.map_err(linkspan_storage::StorageError::from)?;
        Ok(removed.into_iter().next())
    }

    /// The messages for the dehydrated device after `since`, oldest first, and up to where that is all. They stay until
    /// the device goes.
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
        Ok(self.inbox.to_device_after(user_id, device_id, since, now).await?)
    }
}
