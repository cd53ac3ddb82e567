//! The signing keys of a platform.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD};
use linkspan_storage::{
    Range, StorageError, Store, WriteSet,
    catalogue::{PlatformKey, SigningKeys},
    records::SigningKeyRecord,
};
use ruma::{OwnedServerName, signatures::Ed25519KeyPair};

use crate::PlatformsError;

/// A signing key, as everybody may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// Its id, such as `ed25519:k1`.
    pub id: String,
    /// The public half, in unpadded Base64.
    pub public: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ts: u64,
    /// Since when it signs nothing any more. What it has signed before stays good.
    pub expired_ts: Option<u64>,
}

/// Finds the key that signs for a platform now, which is the newest that has not expired, or makes one.
pub(crate) async fn open(
    store: &Store,
    server_name: &OwnedServerName,
    now_ts: u64,
) -> Result<Ed25519KeyPair, PlatformsError> {
    let keys = store.range::<SigningKeys>(Range::prefix((server_name,))).await?;
    let newest =
        keys.into_iter().filter(|(_, key)| key.expired_ts.is_none()).max_by_key(|(_, key)| key.created_ts);
    match newest {
        Some((key, record)) => pair(server_name, &key.name, &record),
        None => replace(store, server_name, now_ts).await,
    }
}

/// Makes a new key. Those from before expire, and are kept.
pub(crate) async fn replace(
    store: &Store,
    server_name: &OwnedServerName,
    now_ts: u64,
) -> Result<Ed25519KeyPair, PlatformsError> {
    let der = Ed25519KeyPair::generate().to_vec();
    let (name, record) = store
        .update(async || {
            let mut writes = WriteSet::new();
            let known = store.range::<SigningKeys>(Range::prefix((server_name,))).await?;
            for (key, record) in known.iter().filter(|(_, record)| record.expired_ts.is_none()) {
                writes.expect::<SigningKeys>(key, record);
                let expired = SigningKeyRecord { expired_ts: Some(now_ts), ..record.clone() };
                writes.put::<SigningKeys>(key, &expired);
            }
            let names = (now_ts..).map(|number| format!("k{number}"));
            let mut free = names.filter(|name| known.iter().all(|(key, _)| key.name != *name));
            let name = free.next().unwrap_or_default();
            let key = PlatformKey { platform: server_name.clone(), name: name.clone() };
            let record = SigningKeyRecord { der: der.clone(), created_ts: now_ts, expired_ts: None };
            writes.expect_absent::<SigningKeys>(&key);
            writes.put::<SigningKeys>(&key, &record);
            Ok::<_, StorageError>((writes, (name, record)))
        })
        .await?;
    pair(server_name, &name, &record)
}

/// Lists the keys of a platform, the newest last.
pub(crate) async fn list(
    store: &Store,
    server_name: &OwnedServerName,
) -> Result<Vec<SigningKey>, PlatformsError> {
    let keys = store.range::<SigningKeys>(Range::prefix((server_name,))).await?;
    let told = |(key, record): &(PlatformKey, SigningKeyRecord)| {
        Ok(SigningKey {
            expired_ts: record.expired_ts,
            ..public(&pair(server_name, &key.name, record)?, record.created_ts)
        })
    };
    let mut keys: Vec<_> = keys.iter().map(told).collect::<Result<_, PlatformsError>>()?;
    keys.sort_by_key(|key| key.created_ts);
    Ok(keys)
}

/// The public half of a key that signs.
pub(crate) fn public(pair: &Ed25519KeyPair, created_ts: u64) -> SigningKey {
    SigningKey {
        id: format!("ed25519:{}", pair.version()),
        public: STANDARD_NO_PAD.encode(pair.public_key()),
        created_ts,
        expired_ts: None,
    }
}

fn pair(
    server_name: &OwnedServerName,
    version: &str,
    record: &SigningKeyRecord,
) -> Result<Ed25519KeyPair, PlatformsError> {
    Ed25519KeyPair::from_der(&record.der, version.to_owned()).map_err(|error| PlatformsError::Key {
        key: "signing key",
        server_name: server_name.clone(),
        reason: error.to_string(),
    })
}

/// Lists the server names that have a signing key. A platform gets one when it is first opened.
pub(crate) async fn list_platforms(store: &Store) -> Result<Vec<OwnedServerName>, PlatformsError> {
    let keys = store.keys::<SigningKeys>(Range::all()).await?;
    let mut names: Vec<_> = keys.into_iter().map(|key| key.platform).collect();
    names.dedup();
    Ok(names)
}
