//! The keys of a user's device, made as clients make them, and the form in which they are uploaded.
//! <https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption>

use serde_json::{Map, Value, json};
use vodozemac::{Curve25519PublicKey, olm::Account};

use crate::{
    client::Client,
    setup::{BenchError, During, User, post_patiently},
};

/// The algorithm of the one-time keys.
pub(crate) const ONE_TIME: &str = "signed_curve25519";

/// A device with an Olm account of its own.
pub(crate) struct OlmDevice {
    /// The user whose device it is.
    pub(crate) user_id: String,
    /// The device's id.
    pub(crate) device_id: String,
    /// Its private keys.
    pub(crate) account: Account,
}

impl OlmDevice {
    /// Makes new keys, of which nobody knows yet.
    pub(crate) fn new(user: &User) -> Self {
        Self { user_id: user.id.clone(), device_id: user.device_id.clone(), account: Account::new() }
    }

    /// Publishes the device's identity and this many one-time keys, and returns these.
    pub(crate) async fn publish(
        &mut self,
        client: &mut Client,
        one_time_keys: usize,
    ) -> Result<Vec<Curve25519PublicKey>, BenchError> {
        self.account.generate_one_time_keys(one_time_keys);
        let fresh = self.account.one_time_keys();
        let signed: Map<String, Value> = fresh
            .iter()
            .map(|(id, key)| {
                let name = format!("{ONE_TIME}:{}", id.to_base64());
                (name, self.sign(json!({ "key": key.to_base64() })))
            })
            .collect();
        let body = json!({ "device_keys": self.identity(), "one_time_keys": signed });
        post_patiently(client, "/_matrix/client/v3/keys/upload", &body).await.during("keys/upload")?;
        self.account.mark_keys_as_published();
        Ok(fresh.into_values().collect())
    }

    fn identity(&self) -> Value {
        let (own, device) = (self.account.identity_keys(), &self.device_id);
        let mut keys = Map::new();
        keys.insert(format!("curve25519:{device}"), own.curve25519.to_base64().into());
        keys.insert(format!("ed25519:{device}"), own.ed25519.to_base64().into());
        self.sign(json!({
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "device_id": device,
            "keys": keys,
            "user_id": self.user_id,
        }))
    }

    /// Adds the device's signature to an object without signatures. The text of a [`Value`] is canonical
    /// JSON, because its members are sorted, and these have neither fractions nor control characters in them.
    fn sign(&self, mut object: Value) -> Value {
        let signature = self.account.sign(object.to_string()).to_base64();
        object["signatures"] = json!({ &self.user_id: { format!("ed25519:{}", self.device_id): signature } });
        object
    }
}
