//! The devices of a user.
//! <https://spec.matrix.org/v1.19/client-server-api/#device-management>

use linkspan_storage::{
    Range, StorageError, WriteSet,
    catalogue::{Accounts as AccountsTable, DepartedDevices, DeviceKey, Devices, UserKey},
    records::DeviceRecord,
};
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{
    Accounts, AccountsError, Attempt,
    interactive::Purpose,
    log_in::{
        MAX_DEVICES, NewDevice, check_active, check_device, check_device_name, delete_tokens,
        refresh_tokens_of, tokens_of,
    },
    token::{hash_token, new_token},
};

/// The most devices of a user that are listed, or deleted with one request. There can be more than one may have now:
/// earlier versions allowed as many as this.
const LISTED: usize = 1_000;
/// The most devices that give way to a new one: of somebody who has far too many they go little by little.
const AT_ONCE: usize = 10;

/// A device, as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    /// Its id.
    pub device_id: OwnedDeviceId,
    /// Its name.
    pub display_name: Option<String>,
    /// When it logged in for the first time.
    pub created_ts: u64,
    /// When it last called, to the minute.
    pub last_seen_ts: u64,
    /// The address that it last called from. It is not told of a visitor's of a demo account: other visitors see it.
    pub last_seen_ip: Option<String>,
    /// The OAuth client whose session it is.
    pub client_id: Option<String>,
}

/// A device is gone. Services that keep something for it (keys, pushers, messages) remove that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "what others keep for the device has to go, too"]
pub struct DeviceRemoved {
    /// The user whose device it was.
    pub user_id: OwnedUserId,
    /// The id that the device had.
    pub device_id: OwnedDeviceId,
}

impl Accounts {
    /// The devices of a user.
    pub async fn devices(&self, user_id: &OwnedUserId) -> Result<Vec<DeviceInfo>, AccountsError> {
        let devices = self.store.range::<Devices>(Range::prefix((user_id,)).limit(LISTED)).await?;
        Ok(devices.into_iter().map(|(key, device)| info(key.device_id, device)).collect())
    }

    /// A device of a user.
    pub async fn device(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
    ) -> Result<Option<DeviceInfo>, AccountsError> {
        let key = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        Ok(self.store.get::<Devices>(&key).await?.map(|device| info(key.device_id, device)))
    }

    /// Refuses, as if its token were unknown, if a device is gone. The write-set holds only while the device
    /// is there, so that nothing is kept for a device that was forgotten.
    pub async fn expect_device(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
    ) -> Result<(), AccountsError> {
        let key = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        let device = self.store.get::<Devices>(&key).await?;
        let device = device.ok_or(AccountsError::UnknownToken { soft_logout: false })?;
        writes.expect::<Devices>(&key, &device);
        Ok(())
    }

    /// Gives a device another name. `None` leaves it as it is.
    pub async fn rename_device(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        display_name: Option<String>,
    ) -> Result<(), AccountsError> {
        check_device_name(display_name.as_deref())?;
        let key = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        self.store
            .update(async || {
                let device =
                    self.store.get::<Devices>(&key).await?.ok_or(AccountsError::NotFound("device"))?;
                let mut writes = WriteSet::new();
                if let Some(name) = &display_name {
                    writes.expect::<Devices>(&key, &device);
                    writes.put::<Devices>(&key, &DeviceRecord { display_name: Some(name.clone()), ..device });
                }
                Ok((writes, ()))
            })
            .await
    }

    /// Removes devices of a user who proves the password. Those that do not exist are passed over.
    pub async fn delete_devices(
        &self,
        user_id: &OwnedUserId,
        device_ids: &[OwnedDeviceId],
        attempt: Attempt<'_>,
        now_ts: u64,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        let mut names: Vec<&str> = device_ids.iter().map(|id| id.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > LISTED {
            return Err(AccountsError::TooLarge("the list of devices"));
        }
        let purpose = Purpose::of_user(user_id, format!("delete devices {}", names.join("\0")));
        self.prove_password(&purpose, attempt, now_ts).await?;
        self.remove_devices(user_id, device_ids).await
    }

    pub(crate) async fn device_ids(
        &self,
        user_id: &OwnedUserId,
    ) -> Result<Vec<OwnedDeviceId>, AccountsError> {
        let keys = self.store.keys::<Devices>(Range::prefix((user_id,))).await?;
        Ok(keys.into_iter().map(|key| key.device_id).collect())
    }

    /// Puts a device into a write-set as which no client is logged in. One that is there already stays as it
    /// is. A device that a client has logged in as is refused.
    pub async fn put_dehydrated_device(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        device: &NewDevice,
        now_ts: u64,
    ) -> Result<(), AccountsError> {
        check_device(device)?;
        let user_key = UserKey { user_id: user_id.clone() };
        let account = check_active(self.store.get::<AccountsTable>(&user_key).await?)?;
        writes.expect::<AccountsTable>(&user_key, &account);
        let device_id = device.device_id.clone().ok_or(AccountsError::MissingParam("device_id"))?;
        let key = DeviceKey { user_id: user_id.clone(), device_id };
        match self.store.get::<Devices>(&key).await? {
            Some(known) if known.dehydrated => writes.expect::<Devices>(&key, &known),
            Some(_) => return Err(AccountsError::InvalidParam("a client has logged in as this device")),
            None => {
                // There is one beside those that have logged in: its predecessor goes.
                self.check_not_departing(writes, &key).await?;
                let record = DeviceRecord {
                    display_name: device.display_name.clone(),
                    created_ts: now_ts,
                    last_seen_ts: now_ts,
                    last_seen_ip: None,
                    // This is the hash of a token that nobody has.
                    access_token: hash_token(&new_token("")),
                    refresh_token: None,
                    previous_access_token: None,
                    previous_refresh_token: None,
                    client_id: None,
                    refresh_family: None,
                    dehydrated: true,
                    shows: None,
                    is_visitors: false,
                };
                writes.expect_absent::<Devices>(&key);
                writes.put::<Devices>(&key, &record);
            }
        }
        Ok(())
    }

    /// Whether there is such a device of a user, and no client has ever logged in as it.
    pub async fn is_dehydrated(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
    ) -> Result<bool, AccountsError> {
        let key = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        Ok(self.store.get::<Devices>(&key).await?.is_some_and(|device| device.dehydrated))
    }

    /// Removes a device, unless a client has logged in as it.
    pub async fn remove_dehydrated_device(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
    ) -> Result<Option<DeviceRemoved>, AccountsError> {
        self.remove_device_if(user_id, device_id, |device| device.dehydrated).await
    }

    /// Makes room for a new device in the write-set that makes it: of a user who has as many as one may have, those that
    /// were not used for the longest time are logged out. A dehydrated device stays, for clients will not look at it
    /// before they need it. Whoever calls has what others keep for the devices forgotten.
    pub(crate) async fn make_way(
        &self,
        writes: &mut WriteSet,
        new: &DeviceKey,
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        self.check_not_departing(writes, new).await?;
        let known = self.store.keys::<Devices>(Range::prefix((&new.user_id,)).limit(MAX_DEVICES)).await?;
        if known.len() < MAX_DEVICES {
            return Ok(Vec::new());
        }
        let mut devices = self.store.range::<Devices>(Range::prefix((&new.user_id,)).limit(LISTED)).await?;
        let too_many = devices.len() + 1 - MAX_DEVICES;
        devices.retain(|(_, device)| !device.dehydrated);
        devices.sort_by_key(|(_, device)| device.last_seen_ts);
        let gone = devices.into_iter().take(too_many.min(AT_ONCE)).map(|(key, device)| {
            delete_device(writes, &key, &device);
            DeviceRemoved { user_id: key.user_id, device_id: key.device_id }
        });
        Ok(gone.collect())
    }

    /// Refuses a device as long as a service is still removing what it kept for an earlier one with the same id. The
    /// write-set holds only while none is.
    pub(crate) async fn check_not_departing(
        &self,
        writes: &mut WriteSet,
        key: &DeviceKey,
    ) -> Result<(), AccountsError> {
        if self.store.contains::<DepartedDevices>(key).await? {
            return Err(AccountsError::DeviceDeparting);
        }
        writes.expect_absent::<DepartedDevices>(key);
        Ok(())
    }

    /// The devices that are gone, but for which services still keep something because the server stopped in
    /// between.
    pub async fn departed_devices(&self) -> Result<Vec<DeviceRemoved>, AccountsError> {
        let keys = self.store.keys::<DepartedDevices>(Range::all()).await?;
        let removed =
            keys.into_iter().map(|key| DeviceRemoved { user_id: key.user_id, device_id: key.device_id });
        Ok(removed.collect())
    }

    /// Notes that nobody keeps anything for a device that is gone any more.
    pub async fn forget_departed(&self, device: &DeviceRemoved) -> Result<(), AccountsError> {
        let key = DeviceKey { user_id: device.user_id.clone(), device_id: device.device_id.clone() };
        let mut writes = WriteSet::new();
        writes.delete::<DepartedDevices>(&key);
        self.store.commit(writes).await.map_err(StorageError::from)?;
        Ok(())
    }

    /// Removes devices with their tokens, without asking who wants it.
    pub async fn remove_devices(
        &self,
        user_id: &OwnedUserId,
        device_ids: &[OwnedDeviceId],
    ) -> Result<Vec<DeviceRemoved>, AccountsError> {
        let mut all_removed = Vec::new();
        for device_id in device_ids {
            all_removed.extend(self.remove_device_if(user_id, device_id, |_| true).await?);
        }
        Ok(all_removed)
    }

    async fn remove_device_if(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        wanted: impl Fn(&DeviceRecord) -> bool,
    ) -> Result<Option<DeviceRemoved>, AccountsError> {
        let key = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                let device = self.store.get::<Devices>(&key).await?.filter(&wanted);
                writes.use_reserve();
                if let Some(device) = &device {
                    delete_device(&mut writes, &key, device);
                }
                let removed =
                    device.map(|_| DeviceRemoved { user_id: user_id.clone(), device_id: device_id.clone() });
                Ok((writes, removed))
            })
            .await
    }
}

/// Removes a device with its tokens.
pub(crate) fn delete_device(writes: &mut WriteSet, key: &DeviceKey, device: &DeviceRecord) {
    writes.expect::<Devices>(key, device);
    writes.delete::<Devices>(key);
    writes.put::<DepartedDevices>(key, &());
    delete_tokens(writes, &key.user_id, tokens_of(device), refresh_tokens_of(device));
}

fn info(device_id: OwnedDeviceId, device: DeviceRecord) -> DeviceInfo {
    DeviceInfo {
        device_id,
        display_name: device.display_name,
        created_ts: device.created_ts,
        last_seen_ts: device.last_seen_ts,
        last_seen_ip: device.last_seen_ip.filter(|_| !device.is_visitors),
        client_id: device.client_id,
    }
}
