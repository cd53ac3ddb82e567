//! The key by which push services know a platform: VAPID, RFC 8292.
//!
//! Apps subscribe with its public half, so it never changes: another key would end all subscriptions.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use linkspan_storage::{
    StorageError, Store, WriteSet,
    catalogue::{PlatformKey, VapidKeys},
    records::VapidKeyRecord,
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use ruma::OwnedServerName;
use serde_json::json;

use crate::PlatformsError;

/// The name of the one key that a platform has.
const NAME: &str = "web push";
/// How long push services accept a token, in seconds. They refuse those of more than a day.
const TOKEN_SECONDS: u64 = 12 * 60 * 60;

/// A key of the curve P-256.
pub struct VapidKey {
    pair: EcdsaKeyPair,
    public: String,
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VapidKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl VapidKey {
    /// Finds the key of a platform, or makes it.
    pub(crate) async fn open(store: &Store, server_name: &OwnedServerName) -> Result<Self, PlatformsError> {
        let damaged = |reason: String| PlatformsError::Key {
            key: "key for Web Push",
            server_name: server_name.clone(),
            reason,
        };
        let key = PlatformKey { platform: server_name.clone(), name: NAME.to_owned() };
        let random = SystemRandom::new();
        let der = match store.get::<VapidKeys>(&key).await? {
            Some(record) => record.der,
            None => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                let der = made.map_err(|_| damaged("it could not be made".to_owned()))?.as_ref().to_vec();
                let mut writes = WriteSet::new();
                writes.put::<VapidKeys>(&key, &VapidKeyRecord { der: der.clone() });
                store.commit(writes).await.map_err(StorageError::from)?;
                der
            }
        };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random);
        let pair = pair.map_err(|error| damaged(error.to_string()))?;
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Ok(Self { pair, public })
    }

    /// The public half: an uncompressed point in URL-safe base64 without padding.
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// The value of `Authorization` that shows a push service that a message comes from here. `origin` is the push
    /// service's, `contact` the URL at which its operators reach ours. `now_ts`: milliseconds since the Unix epoch.
    pub fn authorization(&self, origin: &str, contact: &str, now_ts: u64) -> String {
        let head = json!({ "typ": "JWT", "alg": "ES256" });
        let claims = json!({ "aud": origin, "exp": now_ts / 1_000 + TOKEN_SECONDS, "sub": contact });
        let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{head}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.expect("the system has randomness"));
        format!("vapid t={signed}.{signature}, k={}", self.public)
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::{
        Memory, Store, WriteSet,
        catalogue::{PlatformKey, VapidKeys},
        records::VapidKeyRecord,
    };
    use ruma::owned_server_name;

    use super::{NAME, VapidKey};

    #[tokio::test]
    async fn a_damaged_key_is_named() {
        let store = Store::in_memory(Memory::new().expect("an engine"));
        let server_name = owned_server_name!("a.example");
        let key = PlatformKey { platform: server_name.clone(), name: NAME.to_owned() };
        let mut writes = WriteSet::new();
        writes.put::<VapidKeys>(&key, &VapidKeyRecord { der: vec![1, 2, 3] });
        store.commit(writes).await.expect("written");
        let error = VapidKey::open(&store, &server_name).await.expect_err("it is damaged").to_string();
        assert!(error.starts_with("the key for Web Push of a.example cannot be used"), "{error}");
    }
}
