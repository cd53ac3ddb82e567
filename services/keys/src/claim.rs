//! Handing out one-time keys. Each is handed out once, even if several ask at the same time.
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim>

use std::collections::{BTreeSet, HashSet};

use linkspan_storage::{
    Range, WriteSet,
    catalogue::{DeviceKey, FallbackKeys, OneTimeKeyKey, OneTimeKeys},
    records::{FallbackKeyRecord, OneTimeKeyRecord},
};
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{Keys, KeysError, OneTimeKey, Result, one_time_keys::fallback_row};

/// The most devices that one request may ask for.
const MAX_DEVICES: usize = 5_000;
/// How many rows are looked at beyond those that are being given to others.
const LOOK_AHEAD: usize = 8;

/// The device of which a key is wanted, and the algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The user whose device it is.
    pub user_id: OwnedUserId,
    /// The device's id.
    pub device_id: OwnedDeviceId,
    /// The algorithm, such as `signed_curve25519`.
    pub algorithm: String,
}

/// One-time keys that are being handed out. They stay reserved until that is on disk.
struct Reserved<'a> {
    keys: &'a Keys,
    rows: Vec<OneTimeKeyKey>,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut reserved = self.keys.shared.reserved.lock();
        for row in &self.rows {
            reserved.remove(row);
        }
    }
}

/// What was found of one device.
enum Found {
    OneTime(OneTimeKeyKey, OneTimeKeyRecord),
    Fallback(FallbackKeyRecord),
}

impl Keys {
    /// Takes a key of each wanted device: a one-time key, or else its fallback key. Devices that have
    /// neither, or do not exist, are left out, and so are those of users whom the asker may not know of. It answers
    /// once the removal of the one-time keys is on disk.
    pub async fn claim(
        &self,
        asker: &OwnedUserId,
        mut wanted: Vec<Wanted>,
    ) -> Result<Vec<(Wanted, OneTimeKey)>> {
        if wanted.len() > MAX_DEVICES {
            return Err(KeysError::TooLarge(format!("more than {MAX_DEVICES} devices")));
        }
        let users: BTreeSet<_> = wanted.iter().map(|wanted| wanted.user_id.clone()).collect();
        let known = self.rooms.known_among(&users, asker).await?;
        wanted.retain(|wanted| known.contains(&wanted.user_id));
        // Another may use a row up between the look at it and the reservation, or a fallback key for the first time.
        let attempt = async || {
            let mut reserved = Reserved { keys: self, rows: Vec::new() };
            let mut writes = WriteSet::new();
            let mut claimed = Vec::new();
            for wanted in &wanted {
                if let Some(found) = self.find_key(wanted, &mut reserved).await? {
                    claimed.push((wanted.clone(), take(&mut writes, wanted, found)));
                }
            }
            Ok::<_, KeysError>((writes, (claimed, reserved)))
        };
        let (claimed, _reserved) = self.store.update(attempt).await?;
        Ok(claimed)
    }

    async fn find_key(&self, wanted: &Wanted, reserved: &mut Reserved<'_>) -> Result<Option<Found>> {
        let Wanted { user_id, device_id, algorithm } = wanted;
        let mut look_at = LOOK_AHEAD;
        loop {
            let range = Range::<OneTimeKeys>::prefix((user_id, device_id, algorithm)).limit(look_at);
            let rows = self.store.range(range).await?;
            let looked_at = rows.len();
            let free = {
                let mut taken = self.shared.reserved.lock();
                rows.into_iter().find(|(row, _)| taken.insert(row.clone()))
            };
            if let Some((row, record)) = free {
                reserved.rows.push(row.clone());
                return Ok(Some(Found::OneTime(row, record)));
            }
            if looked_at < look_at {
                break;
            }
            look_at *= 2;
        }
        let device = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        let fallback = self.store.get::<FallbackKeys>(&fallback_row(&device, algorithm)).await?;
        Ok(fallback.map(Found::Fallback))
    }
}

fn take(writes: &mut WriteSet, wanted: &Wanted, found: Found) -> OneTimeKey {
    let algorithm = wanted.algorithm.clone();
    match found {
        Found::OneTime(row, record) => {
            writes.expect::<OneTimeKeys>(&row, &record);
            writes.delete::<OneTimeKeys>(&row);
            OneTimeKey { algorithm, key_id: record.key_id, json: record.key }
        }
        Found::Fallback(record) => {
            if !record.used {
                let device =
                    DeviceKey { user_id: wanted.user_id.clone(), device_id: wanted.device_id.clone() };
                let row = fallback_row(&device, &algorithm);
                writes.expect::<FallbackKeys>(&row, &record);
                writes.put::<FallbackKeys>(&row, &FallbackKeyRecord { used: true, ..record.clone() });
            }
            OneTimeKey { algorithm, key_id: record.key_id, json: record.key }
        }
    }
}

/// The rows that are reserved: see [`Reserved`].
pub(crate) type ReservedRows = parking_lot::Mutex<HashSet<OneTimeKeyKey>>;
