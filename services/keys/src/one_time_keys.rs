//! One-time and fallback keys: uploaded by a device, handed out to whoever begins a session with it.
//! <https://spec.matrix.org/v1.19/client-server-api/#one-time-and-fallback-keys>

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use linkspan_storage::{
    Copies, Position, Range, Store, WriteSet,
    catalogue::{
        DeviceKey, FallbackKeyKey, FallbackKeys, OneTimeKeyIdCounts, OneTimeKeyIdKey, OneTimeKeyIds,
        OneTimeKeyKey, OneTimeKeys,
    },
    records::{FallbackKeyRecord, OneTimeKeyIdRecord, OneTimeKeyRecord},
};
use ruma::{OwnedDeviceId, OwnedUserId};
use sha2::{Digest, Sha256};

use crate::{
    Keys, KeysError, Result,
    device_keys::fingerprint,
    signed_json::{ED25519, SignedJson, is_public_key},
};

/// One-time keys that a device may have waiting. Clients have about a hundred.
const MAX_ONE_TIME_KEYS: usize = 1_000;
/// Ids of one-time keys that are kept of a device, so that no key is given out twice. A client that uploads a key again
/// does so because an answer got lost: it is one of the last hundred. When there are so many, those of keys that were
/// given out are forgotten; a device needs years for that.
const MAX_IDS: u64 = 20_000;
/// Fallback keys that a device may have, one for each algorithm.
const MAX_FALLBACK_KEYS: usize = 10;
/// Fallback keys that are remembered when others have taken their place: what is uploaded again, because its answer
/// got lost, is mostly the last one.
const REMEMBERED_FALLBACK_KEYS: usize = 32;
/// The greatest JSON of a key, in bytes.
const MAX_JSON_BYTES: usize = 4_096;
/// The greatest length of an algorithm and of a key's id, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// Devices whose counts are kept in memory.
const CACHED_DEVICES: usize = 100_000;
/// The algorithm that clients use; it is always counted.
const SIGNED_CURVE25519: &str = "signed_curve25519";
/// The same without signatures.
const CURVE25519: &str = "curve25519";
/// Algorithms whose keys are signed by their device begin so.
const SIGNED: &str = "signed_";

/// A key of a device as it is uploaded and handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeKey {
    /// The algorithm, such as `signed_curve25519`.
    pub algorithm: String,
    /// Its id within the algorithm.
    pub key_id: String,
    /// JSON: an object, or a text for algorithms without signatures.
    pub json: String,
}

/// What a device publishes with one request.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    /// Its identity keys, JSON.
    pub device_keys: Option<String>,
    /// Keys to be handed out once each.
    pub one_time_keys: Vec<OneTimeKey>,
    /// Keys to be handed out when there are no others.
    pub fallback_keys: Vec<OneTimeKey>,
}

/// What a device has left for others to begin sessions with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// One-time keys that nobody was given yet, by algorithm; `signed_curve25519` is always named.
    pub one_time: BTreeMap<String, u64>,
    /// The algorithms whose fallback key nobody was given yet.
    pub unused_fallback: Vec<String>,
}

/// What devices have left, as it was counted lately.
pub(crate) type Counts = Copies<DeviceKey, Arc<Remaining>>;

/// Nothing is counted yet. What a device has left is counted anew after each change of its keys.
pub(crate) fn new_counts(store: &Store) -> Counts {
    let device = |user_id: &OwnedUserId, device_id: &OwnedDeviceId| {
        Some(Cow::Owned(DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() }))
    };
    Copies::new(CACHED_DEVICES)
        .forget_on::<OneTimeKeys>(store, move |key| device(&key.user_id, &key.device_id))
        .forget_on::<FallbackKeys>(store, move |key| device(&key.user_id, &key.device_id))
}

impl Keys {
    /// Publishes keys of a device; returns what it has left then. Keys that it uploaded before are passed over,
    /// also when they were given out since; another key under the same id is refused. So is a device that is gone.
    pub async fn upload(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        upload: &Upload,
    ) -> Result<Arc<Remaining>> {
        let device = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        self.store
            .update(async || {
                let mut writes = WriteSet::new();
                self.accounts.expect_device(&mut writes, user_id, device_id).await?;
                self.put_upload(&mut writes, &device, upload).await?;
                Ok::<_, KeysError>((writes, ()))
            })
            .await?;
        self.remaining(user_id, device_id).await
    }

    /// Puts what a device publishes into a write-set.
    pub(crate) async fn put_upload(
        &self,
        writes: &mut WriteSet,
        device: &DeviceKey,
        upload: &Upload,
    ) -> Result<()> {
        let identity = self.put_device_keys(writes, device, upload.device_keys.as_deref()).await?;
        let signer = identity.as_ref().and_then(|keys| fingerprint(keys, &device.device_id));
        self.put_one_time_keys(writes, device, &upload.one_time_keys, signer).await?;
        self.put_fallback_keys(writes, device, &upload.fallback_keys, signer).await
    }

    async fn put_one_time_keys(
        &self,
        writes: &mut WriteSet,
        device: &DeviceKey,
        keys: &[OneTimeKey],
        signer: Option<&str>,
    ) -> Result<()> {
        let DeviceKey { user_id, device_id } = device;
        let mut added = 0;
        let id = |key: &OneTimeKey| OneTimeKeyIdKey {
            user_id: user_id.clone(),
            device_id: device_id.clone(),
            algorithm: key.algorithm.clone(),
            key_id: key.key_id.clone(),
        };
        let ids: Vec<_> = keys.iter().map(id).collect();
        let known = self.store.get_many::<OneTimeKeyIds>(&ids).await?;
        for ((key, id), known) in keys.iter().zip(ids).zip(known) {
            let OneTimeKey { algorithm, key_id, json } = key.clone();
            check_key(device, key, signer)?;
            let hash = OneTimeKeyIdRecord { hash: hash_of(&json)? };
            let (user_id, device_id) = (user_id.clone(), device_id.clone());
            match known {
                Some(known) if known == hash => continue,
                Some(_) => {
                    return Err(KeysError::Invalid(format!(
                        "there was another one-time key {algorithm}:{key_id} of this device"
                    )));
                }
                None => writes.expect_absent::<OneTimeKeyIds>(&id),
            }
            writes.put::<OneTimeKeyIds>(&id, &hash);
            let position = Position::PENDING;
            let row = OneTimeKeyKey { user_id, device_id, algorithm, position, index: added };
            writes.put::<OneTimeKeys>(&row, &OneTimeKeyRecord { key_id, key: json });
            added += 1;
        }
        if added > 0 {
            let waiting = self.store.keys(Range::<OneTimeKeys>::prefix((user_id, device_id))).await?;
            if waiting.len() + added as usize > MAX_ONE_TIME_KEYS {
                return Err(KeysError::TooMany("one-time keys that wait"));
            }
            self.count_ids(writes, device, added).await?;
        }
        Ok(())
    }

    /// Counts ids that are new. If that makes too many, those are forgotten whose keys do not wait any more.
    async fn count_ids(&self, writes: &mut WriteSet, device: &DeviceKey, added: u32) -> Result<()> {
        let DeviceKey { user_id, device_id } = device;
        let count = self.store.get::<OneTimeKeyIdCounts>(device).await?;
        let mut kept = count.unwrap_or_default();
        if kept + u64::from(added) > MAX_IDS {
            let waiting = self.store.range(Range::<OneTimeKeys>::prefix((user_id, device_id))).await?;
            let waiting: BTreeSet<_> =
                waiting.into_iter().map(|(row, record)| (row.algorithm, record.key_id)).collect();
            kept = 0;
            for id in self.store.keys(Range::<OneTimeKeyIds>::prefix((user_id, device_id))).await? {
                if waiting.contains(&(id.algorithm.clone(), id.key_id.clone())) {
                    kept += 1;
                } else {
                    writes.delete::<OneTimeKeyIds>(&id);
                }
            }
        }
        writes.expect_read::<OneTimeKeyIdCounts>(device, count.as_ref());
        writes.put::<OneTimeKeyIdCounts>(device, &(kept + u64::from(added)));
        Ok(())
    }

    async fn put_fallback_keys(
        &self,
        writes: &mut WriteSet,
        device: &DeviceKey,
        keys: &[OneTimeKey],
        signer: Option<&str>,
    ) -> Result<()> {
        let mut algorithms: BTreeSet<_> = keys.iter().map(|key| key.algorithm.clone()).collect();
        if algorithms.len() < keys.len() {
            return Err(KeysError::BadJson("there is one fallback key for each algorithm".into()));
        }
        if !keys.is_empty() {
            let DeviceKey { user_id, device_id } = device;
            let known = self.store.keys(Range::<FallbackKeys>::prefix((user_id, device_id))).await?;
            algorithms.extend(known.into_iter().map(|row| row.algorithm));
        }
        if algorithms.len() > MAX_FALLBACK_KEYS {
            return Err(KeysError::TooMany("algorithms of fallback keys"));
        }
        for key in keys {
            check_key(device, key, signer)?;
            let hash = hash_of(&key.json)?;
            let row = fallback_row(device, &key.algorithm);
            let mut replaced = Vec::new();
            match self.store.get::<FallbackKeys>(&row).await? {
                Some(known) => {
                    let known_hash = hash_of(&known.key)?;
                    if known_hash == hash || known.replaced.contains(&hash) {
                        continue;
                    }
                    writes.expect::<FallbackKeys>(&row, &known);
                    let too_old = (known.replaced.len() + 1).saturating_sub(REMEMBERED_FALLBACK_KEYS);
                    replaced.extend_from_slice(&known.replaced[too_old..]);
                    replaced.push(known_hash);
                }
                None => writes.expect_absent::<FallbackKeys>(&row),
            }
            let (key_id, json) = (key.key_id.clone(), key.json.clone());
            let record = FallbackKeyRecord { key_id, key: json, used: false, replaced };
            writes.put::<FallbackKeys>(&row, &record);
        }
        Ok(())
    }

    /// What a device has left.
    pub async fn remaining(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
    ) -> Result<Arc<Remaining>> {
        let device = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        let count = async || self.count(&device).await.map(Arc::new);
        self.shared.counts.get_or_read(&device, count).await
    }

    async fn count(&self, device: &DeviceKey) -> Result<Remaining> {
        let DeviceKey { user_id, device_id } = device;
        let mut one_time = BTreeMap::from([(SIGNED_CURVE25519.to_owned(), 0)]);
        for key in self.store.keys(Range::<OneTimeKeys>::prefix((user_id, device_id))).await? {
            *one_time.entry(key.algorithm).or_default() += 1;
        }
        let fallback = self.store.range(Range::<FallbackKeys>::prefix((user_id, device_id))).await?;
        let unused = fallback.into_iter().filter(|(_, record)| !record.used);
        Ok(Remaining { one_time, unused_fallback: unused.map(|(row, _)| row.algorithm).collect() })
    }

    /// Removes what a device that is gone has left.
    pub(crate) async fn remove_one_time_keys(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
    ) -> Result<()> {
        let mut writes = WriteSet::new();
        for key in self.store.keys(Range::<OneTimeKeys>::prefix((user_id, device_id))).await? {
            writes.delete::<OneTimeKeys>(&key);
        }
        for key in self.store.keys(Range::<FallbackKeys>::prefix((user_id, device_id))).await? {
            writes.delete::<FallbackKeys>(&key);
        }
        let device = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        if self.store.contains::<OneTimeKeyIdCounts>(&device).await? {
            writes.delete::<OneTimeKeyIdCounts>(&device);
        }
        if !writes.is_empty() {
            self.store.commit(writes).await.map_err(linkspan_storage::StorageError::from)?;
        }
        Ok(())
    }
}

/// The hash of what a key says. Two keys with the same hash are the same key, however they are written and whoever else
/// has signed them.
fn hash_of(json: &str) -> Result<[u8; 32]> {
    let said = match serde_json::from_str::<String>(json) {
        Ok(text) => serde_json::Value::from(text).to_string(),
        Err(_) => SignedJson::parse(json)?.said(),
    };
    Ok(Sha256::digest(said).into())
}

/// Refuses a key that is too large, that is none, or that its device should have signed and has not.
fn check_key(device: &DeviceKey, key: &OneTimeKey, signer: Option<&str>) -> Result<()> {
    if key.json.len() > MAX_JSON_BYTES || key.algorithm.len().max(key.key_id.len()) > MAX_NAME_BYTES {
        return Err(KeysError::TooLarge("a key or its id is too long".into()));
    }
    if !key.algorithm.starts_with(SIGNED) {
        let text = serde_json::from_str::<String>(&key.json).ok();
        return match &*key.algorithm {
            CURVE25519 if !text.is_some_and(|text| is_public_key(&text)) => Err(not_a_key(key)),
            _ => Ok(()),
        };
    }
    let signed = SignedJson::parse(&key.json)?;
    if key.algorithm == SIGNED_CURVE25519 && !signed.text("key").is_some_and(is_public_key) {
        return Err(not_a_key(key));
    }
    let signer = signer.ok_or_else(|| {
        KeysError::Invalid("signed keys need the device's own keys first, or in the same request".into())
    })?;
    signed.check_signature(&device.user_id, &format!("{ED25519}{}", device.device_id), signer)
}

fn not_a_key(key: &OneTimeKey) -> KeysError {
    KeysError::BadJson(format!("{}:{} is not a Curve25519 key", key.algorithm, key.key_id))
}

pub(crate) fn fallback_row(device: &DeviceKey, algorithm: &str) -> FallbackKeyKey {
    FallbackKeyKey {
        user_id: device.user_id.clone(),
        device_id: device.device_id.clone(),
        algorithm: algorithm.to_owned(),
    }
}
