//! Looking up the devices and identities of users.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery>

use std::collections::BTreeMap;

use linkspan_platforms::give_way;
use linkspan_rooms::RoomsError;
use linkspan_storage::catalogue::DeviceKey;
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{Keys, KeysError, Result, Usage};

/// The most users that one request may ask for.
const MAX_USERS: usize = 5_000;

/// The keys of users as JSON, with all signatures that the asker may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueriedKeys {
    /// The keys of devices.
    pub device_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>,
    /// The users' master keys.
    pub master_keys: BTreeMap<OwnedUserId, String>,
    /// The keys with which users sign their devices.
    pub self_signing_keys: BTreeMap<OwnedUserId, String>,
    /// The key with which the asker signs other users.
    pub user_signing_keys: BTreeMap<OwnedUserId, String>,
}

impl Keys {
    /// The keys of users, with those of the named devices. Where none is named, these are all of the user's
    /// devices. Somebody whom the asker may not know of has none, as somebody who is not there.
    pub async fn query(
        &self,
        asker: &OwnedUserId,
        wanted: &BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> Result<QueriedKeys> {
        if wanted.len() > MAX_USERS {
            return Err(KeysError::TooLarge(format!("more than {MAX_USERS} users")));
        }
        let hosted = wanted.keys().filter(|user_id| self.platforms.hosts(user_id.server_name()));
        let hosted: Vec<_> = hosted.cloned().collect();
        let known = self.rooms.known_among(&hosted, asker).await?;
        let mut found = QueriedKeys::default();
        for (user_id, device_ids) in wanted {
            give_way().await.map_err(RoomsError::from)?;
            if !self.platforms.hosts(user_id.server_name()) {
                continue;
            }
            if !known.contains(user_id) {
                found.device_keys.insert(user_id.clone(), BTreeMap::new());
                continue;
            }
            found.device_keys.insert(user_id.clone(), self.query_devices(asker, user_id, device_ids).await?);
            if let Some(key) = self.signed_master_key(user_id, asker).await? {
                found.master_keys.insert(user_id.clone(), key.to_json());
            }
            if let Some(mut key) = self.cross_signing_key(user_id, Usage::SelfSigning).await? {
                key.hide_signatures(user_id, asker);
                found.self_signing_keys.insert(user_id.clone(), key.to_json());
            }
            if user_id == asker
                && let Some(key) = self.cross_signing_key(user_id, Usage::UserSigning).await?
            {
                found.user_signing_keys.insert(user_id.clone(), key.to_json());
            }
        }
        Ok(found)
    }

    async fn query_devices(
        &self,
        asker: &OwnedUserId,
        user_id: &OwnedUserId,
        device_ids: &[OwnedDeviceId],
    ) -> Result<BTreeMap<OwnedDeviceId, String>> {
        // The display name of a device is not shown to other platforms.
        let shows_names = asker.server_name() == user_id.server_name();
        let mut found = BTreeMap::new();
        for info in self.accounts.devices(user_id).await? {
            if !device_ids.is_empty() && !device_ids.contains(&info.device_id) {
                continue;
            }
            let device = DeviceKey { user_id: user_id.clone(), device_id: info.device_id.clone() };
            let Some(mut keys) = self.signed_device_keys(&device, asker).await? else { continue };
            if let Some(name) = info.display_name.filter(|_| shows_names) {
                keys.set_unsigned("device_display_name", name);
            }
            found.insert(info.device_id, keys.to_json());
        }
        Ok(found)
    }
}
