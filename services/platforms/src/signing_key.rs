//! The signing keys of a platform.

use linkspan_storage::{
    Range, Store, WriteSet,
    catalogue::{PlatformKey, SigningKeys},
    records::SigningKeyRecord,
};
use ruma::{OwnedServerName, signatures::Ed25519KeyPair};

use crate::PlatformsError;

/// Finds the key that signs for a platform now, which is the newest that has not expired, or makes one.
pub(crate) async fn open(
    store: &Store,
    server_name: &OwnedServerName,
    now_ts: u64,
) -> Result<Ed25519KeyPair, PlatformsError> {
    let keys = store.range::<SigningKeys>(Range::prefix((server_name,))).await?;
    let newest =
        keys.into_iter().filter(|(_, key)| key.expired_ts.is_none()).max_by_key(|(_, key)| key.created_ts);
    let (version, der) = match newest {
        Some((key, record)) => (key.name, record.der),
        None => {
            let der = Ed25519KeyPair::generate().to_vec();
            let version = format!("k{now_ts}");
            let key = PlatformKey { platform: server_name.clone(), name: version.clone() };
            let mut writes = WriteSet::new();
            let record = SigningKeyRecord { der: der.clone(), created_ts: now_ts, expired_ts: None };
            writes.put::<SigningKeys>(&key, &record);
            store.commit(writes).await.map_err(linkspan_storage::StorageError::from)?;
            (version, der)
        }
    };
    Ed25519KeyPair::from_der(&der, version).map_err(|error| PlatformsError::Key {
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
