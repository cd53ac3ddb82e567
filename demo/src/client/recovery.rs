//! What lets somebody's next device read what was said before: an identity that it can sign itself with, a secret storage
//! that has the identity's keys, and a backup of the keys of rooms. The recovery key opens all of it.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#cross-signing>,
//! <https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups>

use hyper::Method;
use serde_json::{Map, Value, json};
use vodozemac::{
    Curve25519PublicKey, Curve25519SecretKey, Ed25519SecretKey, base64_encode,
    megolm::{ExportedSessionKey, InboundGroupSession, SessionConfig},
    pk_encryption::PkEncryption,
};

use super::{
    device::{MEGOLM, to_sign},
    http::{Http, escape, text},
    secret_storage::StorageKey,
};
use crate::person::Refusal;

const BACKUP: &str = "m.megolm_backup.v1.curve25519-aes-sha2";
/// The id of the key of secret storage.
const KEY_ID: &str = "demo";

/// What the server keeps for somebody.
pub(crate) struct Recovery {
    http: Http,
    user: String,
    key: StorageKey,
}

/// A backup that there is: its version, and the key with which it is written.
struct Backup {
    version: String,
    key: Curve25519PublicKey,
}

/// A key of an identity.
struct IdentityKey {
    usage: &'static str,
    secret: Ed25519SecretKey,
}

impl Recovery {
    /// With the token and the recovery key of a user.
    pub(crate) fn new(server: &str, token: &str, user: &str, recovery_key: &str) -> Result<Self, Refusal> {
        let mut http = Http::new(server.to_owned());
        http.token = Some(token.to_owned());
        Ok(Self { http, user: user.to_owned(), key: StorageKey::read(recovery_key)? })
    }

    /// Puts keys of rooms into the backup, as clients export them. If there is no backup, it is made before, with an
    /// identity and a secret storage.
    pub(crate) async fn keep(&self, room_keys: &Value) -> Result<(), Refusal> {
        let backup = match self.backup().await? {
            Some(backup) => backup,
            None => self.set_up().await?,
        };
        let mut rooms = Map::new();
        for room_key in room_keys.as_array().into_iter().flatten() {
            let room = rooms.entry(text(room_key, "room_id")).or_insert_with(|| json!({ "sessions": {} }));
            room["sessions"][text(room_key, "session_id")] = backup.seal(room_key)?;
        }
        let path = format!("/room_keys/keys?version={}", escape(&backup.version));
        self.http.json(Method::PUT, &path, json!({ "rooms": rooms })).await.map(drop)
    }

    async fn backup(&self) -> Result<Option<Backup>, Refusal> {
        match self.http.json(Method::GET, "/room_keys/version", Value::Null).await {
            Ok(answer) => {
                let key = Curve25519PublicKey::from_base64(&text(&answer["auth_data"], "public_key"));
                Ok(Some(Backup { version: text(&answer, "version"), key: key.map_err(Refusal::own)? }))
            }
            Err(refusal) if refusal.code == "M_NOT_FOUND" => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Makes everything. The server refuses another identity without a proof, so that of another client stays.
    async fn set_up(&self) -> Result<Backup, Refusal> {
        let [master, own, others] = ["master", "self_signing", "user_signing"].map(IdentityKey::new);
        let identity = json!({
            "master_key": master.public(&self.user),
            "self_signing_key": master.sign(&self.user, own.public(&self.user)),
            "user_signing_key": master.sign(&self.user, others.public(&self.user)),
        });
        self.http.post("/keys/device_signing/upload", identity).await?;
        let backup_secret = Curve25519SecretKey::new();
        let key = Curve25519PublicKey::from(&backup_secret);
        let auth_data = master.sign(&self.user, json!({ "public_key": key.to_base64() }));
        let made =
            self.http.post("/room_keys/version", json!({ "algorithm": BACKUP, "auth_data": auth_data }));
        let version = text(&made.await?, "version");

        self.put_account_data(&format!("m.secret_storage.key.{KEY_ID}"), self.key.description()).await?;
        self.put_account_data("m.secret_storage.default_key", json!({ "key": KEY_ID })).await?;
        self.put_secret("m.megolm_backup.v1", &base64_encode(backup_secret.to_bytes().as_slice())).await?;
        for key in [master, own, others] {
            self.put_secret(&format!("m.cross_signing.{}", key.usage), &key.secret.to_base64()).await?;
        }
        Ok(Backup { version, key })
    }

    async fn put_secret(&self, name: &str, secret: &str) -> Result<(), Refusal> {
        let encrypted = self.key.encrypt(name, secret.as_bytes());
        self.put_account_data(name, json!({ "encrypted": { KEY_ID: encrypted } })).await
    }

    async fn put_account_data(&self, kind: &str, content: Value) -> Result<(), Refusal> {
        let path = format!("/user/{}/account_data/{kind}", escape(&self.user));
        self.http.json(Method::PUT, &path, content).await.map(drop)
    }
}

impl Backup {
    /// The entry of the backup for a key of a room.
    fn seal(&self, room_key: &Value) -> Result<Value, Refusal> {
        let exported =
            ExportedSessionKey::from_base64(&text(room_key, "session_key")).map_err(Refusal::own)?;
        let session = InboundGroupSession::import(&exported, SessionConfig::version_1());
        let plain = json!({
            "algorithm": MEGOLM, "forwarding_curve25519_key_chain": [], "sender_key": room_key["sender_key"],
            "sender_claimed_keys": room_key["sender_claimed_keys"], "session_key": room_key["session_key"],
        });
        let sealed =
            PkEncryption::from_key(self.key).encrypt(plain.to_string().as_bytes()).map_err(Refusal::own)?;
        Ok(json!({
            "first_message_index": session.first_known_index(), "forwarded_count": 0, "is_verified": false,
            "session_data": {
                "ephemeral": sealed.ephemeral_key.to_base64(),
                "ciphertext": base64_encode(sealed.ciphertext),
                "mac": base64_encode(sealed.mac),
            },
        }))
    }
}

impl IdentityKey {
    fn new(usage: &'static str) -> Self {
        Self { usage, secret: Ed25519SecretKey::new() }
    }

    /// The public key as everybody sees it.
    fn public(&self, user: &str) -> Value {
        let key = self.secret.public_key().to_base64();
        json!({ "user_id": user, "usage": [self.usage], "keys": { format!("ed25519:{key}"): key } })
    }

    fn sign(&self, user: &str, mut object: Value) -> Value {
        let key = self.secret.public_key().to_base64();
        if let Some(text) = to_sign(&object) {
            let signature = self.secret.sign(text.as_bytes()).to_base64();
            object["signatures"][user][format!("ed25519:{key}")] = signature.into();
        }
        object
    }
}
