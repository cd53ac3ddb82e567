//! Devices and identities with real keys, as clients make them.

use std::collections::BTreeMap;

use ruma::canonical_json::try_from_json_map;
use serde_json::{Value, json};
use vodozemac::{Ed25519SecretKey, olm::Account};

/// Somebody who has logged in on a device.
pub trait Owner {
    /// The user's id.
    fn user_id(&self) -> &str;
    /// The device's id.
    fn device_id(&self) -> &str;
}

/// A device with an Olm account.
pub struct OlmDevice {
    user_id: String,
    device_id: String,
    account: Account,
}

/// The cross-signing keys of a user.
pub struct Identity {
    user_id: String,
    /// The master key, which stands for the user.
    pub master: Ed25519SecretKey,
    /// The key that signs the user's devices.
    pub self_signing: Ed25519SecretKey,
    /// The key that signs the master keys of others.
    pub user_signing: Ed25519SecretKey,
}

impl OlmDevice {
    /// Makes the keys of somebody's device.
    pub fn new(owner: &impl Owner) -> Self {
        Self::of(owner.user_id(), owner.device_id())
    }

    /// Makes the keys of any device.
    pub fn of(user_id: &str, device_id: &str) -> Self {
        Self { user_id: user_id.to_owned(), device_id: device_id.to_owned(), account: Account::new() }
    }

    /// The device's identity keys, as they are uploaded.
    pub fn device_keys(&self) -> Value {
        let keys = self.account.identity_keys();
        self.sign(json!({
            "user_id": self.user_id, "device_id": self.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                format!("ed25519:{}", self.device_id): keys.ed25519.to_base64(),
                format!("curve25519:{}", self.device_id): keys.curve25519.to_base64(),
            },
        }))
    }

    /// Fresh one-time keys, as they are uploaded.
    pub fn one_time_keys(&mut self, count: usize) -> Value {
        self.account.generate_one_time_keys(count);
        let keys = self.account.one_time_keys().into_iter();
        let keys = keys.map(|(id, key)| {
            let key = self.sign(json!({ "key": key.to_base64() }));
            (format!("signed_curve25519:{}", id.to_base64()), key)
        });
        let keys: BTreeMap<_, _> = keys.collect();
        self.account.mark_keys_as_published();
        json!(keys)
    }

    /// A fresh fallback key, as it is uploaded.
    pub fn fallback_key(&mut self) -> Value {
        self.account.generate_fallback_key();
        let keys = self.account.fallback_key().into_iter();
        let keys = keys.map(|(id, key)| {
            let key = self.sign(json!({ "key": key.to_base64(), "fallback": true }));
            (format!("signed_curve25519:{}", id.to_base64()), key)
        });
        json!(keys.collect::<BTreeMap<_, _>>())
    }

    /// The object with the device's signature added.
    pub fn sign(&self, mut object: Value) -> Value {
        let signature = self.account.sign(to_sign(&object)).to_base64();
        object["signatures"][&self.user_id][format!("ed25519:{}", self.device_id)] = signature.into();
        object
    }
}

impl Identity {
    /// Makes a new identity.
    pub fn new(owner: &impl Owner) -> Self {
        Self {
            user_id: owner.user_id().to_owned(),
            master: Ed25519SecretKey::new(),
            self_signing: Ed25519SecretKey::new(),
            user_signing: Ed25519SecretKey::new(),
        }
    }

    /// The body of an upload.
    pub fn upload(&self) -> Value {
        let of_master =
            |usage: &str, key: &Ed25519SecretKey| signed(self.key(usage, key), &self.user_id, &self.master);
        json!({
            "master_key": self.key("master", &self.master),
            "self_signing_key": of_master("self_signing", &self.self_signing),
            "user_signing_key": of_master("user_signing", &self.user_signing),
        })
    }

    /// The name under which the master key is signed.
    pub fn master_name(&self) -> String {
        self.master.public_key().to_base64()
    }

    fn key(&self, usage: &str, key: &Ed25519SecretKey) -> Value {
        let public = key.public_key().to_base64();
        json!({ "user_id": self.user_id, "usage": [usage], "keys": { format!("ed25519:{public}"): public } })
    }
}

/// The object with a signature of a user's cross-signing key added.
pub fn signed(mut object: Value, user_id: &str, key: &Ed25519SecretKey) -> Value {
    let signature = key.sign(to_sign(&object).as_bytes()).to_base64();
    object["signatures"][user_id][format!("ed25519:{}", key.public_key().to_base64())] = signature.into();
    object
}

fn to_sign(object: &Value) -> String {
    let mut object = object.as_object().cloned().expect("an object");
    object.remove("signatures");
    object.remove("unsigned");
    let canonical = try_from_json_map(object).expect("canonical JSON");
    serde_json::to_string(&canonical).expect("JSON")
}
