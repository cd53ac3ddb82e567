//! The identity keys of devices.
//! <https://spec.matrix.org/v1.19/client-server-api/#device-keys>

use linkspan_storage::{
    Json, Range, WriteSet,
    catalogue::{DeviceKey, DeviceKeys, KeySignatureKey, KeySignatures, OneTimeKeyIds},
};
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{
    Keys, KeysError, Result,
    signed_json::{CURVE25519, ED25519, SignedJson, is_public_key},
};

/// The most keys that one device may publish.
const MAX_PUBLIC_KEYS: usize = 20;

impl Keys {
    /// Puts a device's keys into a write-set, and tells everybody whom they concern. Returns the keys as they
    /// will be.
    pub(crate) async fn put_device_keys(
        &self,
        writes: &mut WriteSet,
        device: &DeviceKey,
        uploaded: Option<&str>,
    ) -> Result<Option<SignedJson>> {
        let stored = self.store.get::<DeviceKeys>(device).await?;
        let before = stored.as_ref().map(|Json(json)| SignedJson::parse(json)).transpose()?;
        let Some(uploaded) = uploaded else { return Ok(before) };
        let keys = self.check_device_keys(writes, device, uploaded).await?;
        if let Some(before) = &before {
            check_same_identity(before, &keys)?;
        }
        let keys = keys.with_signatures_of(before.as_ref())?;
        if before.as_ref() == Some(&keys) {
            return Ok(before);
        }
        writes.expect_read::<DeviceKeys>(device, stored.as_ref());
        writes.put::<DeviceKeys>(device, &Json(keys.to_json()));
        self.tell_sharers(writes, &device.user_id).await?;
        Ok(Some(keys))
    }

    /// Refuses keys that are not the device's own, or not signed by it.
    async fn check_device_keys(
        &self,
        writes: &mut WriteSet,
        device: &DeviceKey,
        json: &str,
    ) -> Result<SignedJson> {
        let keys = SignedJson::parse_upload(json)?;
        let owner = (keys.text("user_id"), keys.text("device_id"));
        if owner != (Some(device.user_id.as_str()), Some(device.device_id.as_str())) {
            return Err(KeysError::BadJson("user_id and device_id must be those of the caller".into()));
        }
        let algorithms =
            keys.array("algorithms").filter(|names| names.iter().all(|name| name.as_str().is_some()));
        algorithms.ok_or_else(|| bad_json("algorithms is not a list of texts"))?;
        let published = keys.object("keys").ok_or_else(|| bad_json("keys is not an object"))?.len();
        if keys.public_keys().count() != published || published > MAX_PUBLIC_KEYS {
            return Err(bad_json("keys maps at most 20 key ids to texts"));
        }
        let own = |key_id: &str| key_id.split_once(':').is_some_and(|(_, name)| name == device.device_id);
        if keys.public_keys().any(|(key_id, _)| !own(key_id)) {
            return Err(bad_json("a key id does not name the device"));
        }
        let own_key_id = format!("{ED25519}{}", device.device_id);
        let own_key = keys.public_key(&own_key_id).filter(|key| is_public_key(key));
        let own_key = own_key.ok_or_else(|| bad_json("there is no Ed25519 key of the device"))?;
        let agreement_key = keys.public_key(&format!("{CURVE25519}{}", device.device_id));
        if !agreement_key.is_some_and(is_public_key) {
            return Err(bad_json("there is no Curve25519 key of the device"));
        }
        keys.check_signature(&device.user_id, &own_key_id, own_key)?;
        self.check_no_identity(writes, device).await?;
        Ok(keys)
    }

    /// Removes all keys of a device that is gone, and tells everybody whom that concerns.
    pub async fn remove_device(&self, user_id: &OwnedUserId, device_id: &OwnedDeviceId) -> Result<()> {
        let device = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        self.remove_one_time_keys(user_id, device_id).await?;
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                if let Some(stored) = self.store.get::<DeviceKeys>(&device).await? {
                    writes.expect::<DeviceKeys>(&device, &stored);
                    writes.delete::<DeviceKeys>(&device);
                    self.tell_sharers(&mut writes, user_id).await?;
                }
                self.forget_dehydrated(&mut writes, &device).await?;
                let signatures = Range::<KeySignatures>::prefix((user_id, &device_id.to_string()));
                for key in self.store.keys(signatures).await? {
                    writes.delete::<KeySignatures>(&key);
                }
                Ok::<_, KeysError>((writes, ()))
            })
            .await?;
        Ok(self.store.delete_range::<OneTimeKeyIds>(Range::prefix((user_id, device_id))).await?)
    }

    /// Makes everybody who shares a room with the user look up the user's devices again, because a name has
    /// changed.
    pub async fn device_renamed(&self, user_id: &OwnedUserId, device_id: &OwnedDeviceId) -> Result<()> {
        let device = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        if self.store.contains::<DeviceKeys>(&device).await? {
            let mut writes = WriteSet::new();
            self.tell_sharers(&mut writes, user_id).await?;
            self.store.commit(writes).await.map_err(linkspan_storage::StorageError::from)?;
        }
        Ok(())
    }

    /// A device's keys with all signatures that `viewer` may see.
    pub(crate) async fn signed_device_keys(
        &self,
        device: &DeviceKey,
        viewer: &OwnedUserId,
    ) -> Result<Option<SignedJson>> {
        let Some(Json(json)) = self.store.get::<DeviceKeys>(device).await? else { return Ok(None) };
        let mut keys = SignedJson::parse(&json)?;
        let target = device.device_id.to_string();
        self.show_signatures(&mut keys, &device.user_id, &target, viewer).await?;
        Ok(Some(keys))
    }

    /// Shows the signatures that `viewer` may see, with those that were made later by the owner and by `viewer`.
    pub(crate) async fn show_signatures(
        &self,
        keys: &mut SignedJson,
        owner: &OwnedUserId,
        target: &String,
        viewer: &OwnedUserId,
    ) -> Result<()> {
        keys.hide_signatures(owner, viewer);
        for signer in [Some(owner), Some(viewer).filter(|viewer| *viewer != owner)].into_iter().flatten() {
            let range = Range::<KeySignatures>::prefix((owner, target, signer));
            for (KeySignatureKey { signing_key_id, .. }, record) in self.store.range(range).await? {
                keys.add_signature(signer, &signing_key_id, &record.signature);
            }
        }
        Ok(())
    }
}

/// The Ed25519 key of a device.
pub(crate) fn fingerprint<'a>(keys: &'a SignedJson, device_id: &OwnedDeviceId) -> Option<&'a str> {
    keys.public_key(&format!("{ED25519}{device_id}"))
}

/// Refuses a change of a device's identity. Other clients take it for an attack.
fn check_same_identity(before: &SignedJson, after: &SignedJson) -> Result<()> {
    for (key_id, key) in before.public_keys() {
        if after.public_key(key_id) != Some(key) {
            return Err(KeysError::Invalid(format!(
                "this device has published another {key_id}; log in as a new device"
            )));
        }
    }
    Ok(())
}

fn bad_json(reason: &str) -> KeysError {
    KeysError::BadJson(reason.to_owned())
}
