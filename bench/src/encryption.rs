//! Olm and Megolm between the two members of each room, as clients do it. Every user encrypts for the other
//! with a Megolm session, whose key goes to the other's device in an Olm message.
//!
//! This module owns all sessions, and counts what could not be decrypted. A sender reads its own messages,
//! too.
//! <https://spec.matrix.org/v1.19/client-server-api/#messaging-algorithms>

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use vodozemac::{
    Curve25519PublicKey,
    megolm::{GroupSession, InboundGroupSession, MegolmMessage, SessionConfig, SessionKey},
    olm::{self, OlmMessage},
};

use crate::{
    client::{CallError, Client, encode},
    load::ExchangeRoom,
    olm::{ONE_TIME, OlmDevice},
    setup::{BenchError, During, SETUP_WIDTH, User, post_patiently},
};

/// After how many messages of a Megolm session the sender makes another one. It is the default of the
/// specification.
const ROTATE_AFTER: u32 = 100;
/// How many one-time keys every device publishes.
const ONE_TIME_KEYS: usize = 50;

const OLM: &str = "m.olm.v1.curve25519-aes-sha2";
const MEGOLM: &str = "m.megolm.v1.aes-sha2";

/// The devices of an exchange, by the index of their user.
pub(crate) struct Encryption {
    devices: Vec<Device>,
    /// A word that makes the transaction ids of this exchange differ from those of others.
    name: String,
    /// How many messages to rooms and devices could not be decrypted.
    failed: AtomicU64,
}

struct Device {
    room_id: String,
    /// It is locked while a new session is made known, because nobody could read messages of it before that.
    outgoing: tokio::sync::Mutex<Outgoing>,
    incoming: Mutex<Incoming>,
}

/// What a user encrypts with.
struct Outgoing {
    peer: Peer,
    olm: olm::Session,
    megolm: GroupSession,
    sent: u32,
    shared: u32,
}

/// The device that is to read it.
struct Peer {
    user_id: String,
    device_id: String,
    identity_key: Curve25519PublicKey,
    signing_key: String,
}

/// What a user decrypts with.
struct Incoming {
    device: OlmDevice,
    olm: HashMap<String, olm::Session>,
    megolm: HashMap<String, InboundGroupSession>,
}

impl Encryption {
    /// Publishes the keys of all users' devices and makes the first sessions known. Each user is in one room, with
    /// one other.
    pub(crate) async fn establish(
        users: &[User],
        rooms: &[ExchangeRoom],
        name: String,
    ) -> Result<Self, BenchError> {
        let published: Vec<OlmDevice> = stream::iter(users)
            .map(async |user| {
                let mut device = OlmDevice::new(user);
                device.publish(&mut user.client(), ONE_TIME_KEYS).await?;
                Ok::<_, BenchError>(device)
            })
            .buffered(SETUP_WIDTH)
            .try_collect()
            .await?;
        let mut devices = Vec::new();
        for (index, own) in published.into_iter().enumerate() {
            let room = rooms.iter().find(|room| room.members.contains(&index));
            let room = room.ok_or_else(|| BenchError::Other("someone is in no room".to_owned()))?;
            let peer = room.members.iter().find(|member| **member != index);
            let peer = peer.ok_or_else(|| BenchError::Other("someone is alone".to_owned()))?;
            devices.push(Device::meet(&users[index], own, &users[*peer], room.id.clone()).await?);
        }
        let encryption = Self { devices, name, failed: AtomicU64::new(0) };
        try_join_all(users.iter().enumerate().map(|(index, user)| encryption.introduce(index, user))).await?;
        for (index, user) in users.iter().enumerate() {
            encryption.read_first_keys(index, user).await?;
        }
        Ok(encryption)
    }

    async fn introduce(&self, index: usize, user: &User) -> Result<(), BenchError> {
        let device = &self.devices[index];
        self.share(index, device, &mut *device.outgoing.lock().await, &mut user.client())
            .await
            .during("share")
    }

    async fn read_first_keys(&self, index: usize, user: &User) -> Result<(), BenchError> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            to_device: ToDevice<'a>,
        }
        let body = user.client().get("/_matrix/client/v3/sync?timeout=0").await.during("sync")?;
        let answer: Answer = serde_json::from_slice(&body).during("sync")?;
        self.take_keys(index, &answer.to_device);
        match self.failed() == 0 && self.devices[index].incoming.lock().megolm.len() == 2 {
            true => Ok(()),
            false => Err(BenchError::Other(format!("{} did not get the key of the room", user.id))),
        }
    }

    /// How many messages could not be decrypted so far.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Encrypts the content of a message to the user's room. Now and then this makes a new session known
    /// first, over the client.
    pub(crate) async fn seal(
        &self,
        user: usize,
        client: &mut Client,
        content: &str,
    ) -> Result<String, CallError> {
        let device = &self.devices[user];
        let mut outgoing = device.outgoing.lock().await;
        if outgoing.sent >= ROTATE_AFTER {
            outgoing.megolm = GroupSession::new(SessionConfig::version_1());
            self.share(user, device, &mut outgoing, client).await?;
            outgoing.sent = 0;
        }
        let room_id = &device.room_id;
        let clear = format!(r#"{{"type":"m.room.message","room_id":"{room_id}","content":{content}}}"#);
        outgoing.sent += 1;
        let sealed = json!({
            "algorithm": MEGOLM,
            "ciphertext": outgoing.megolm.encrypt(clear).to_base64(),
            "session_id": outgoing.megolm.session_id(),
        });
        Ok(sealed.to_string())
    }

    /// Sends the key of the user's Megolm session to the peer, and keeps it for the user.
    async fn share(
        &self,
        user: usize,
        device: &Device,
        outgoing: &mut Outgoing,
        client: &mut Client,
    ) -> Result<(), CallError> {
        let key = outgoing.megolm.session_key();
        let body = {
            let mut incoming = device.incoming.lock();
            incoming.keep(&key);
            outgoing.room_key(&incoming.device, &device.room_id, &key)?
        };
        outgoing.shared += 1;
        let txn_id = format!("{}-{user}-{}", self.name, outgoing.shared);
        let path = format!("/_matrix/client/v3/sendToDevice/m.room.encrypted/{}", encode(&txn_id));
        client.put(&path, body).await.map(drop)
    }

    /// Takes in keys that came to the user's device.
    pub(crate) fn take_keys(&self, user: usize, messages: &ToDevice) {
        let mut incoming = self.devices[user].incoming.lock();
        for message in &messages.events {
            if message.kind == "m.room.encrypted" && incoming.take_key(message).is_none() {
                self.failed.fetch_add(1, Relaxed);
            }
        }
    }

    /// The content of a message that came to the user, decrypted. None if it is no message or cannot be read.
    pub(crate) fn open(&self, user: usize, content: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Sealed<'a> {
            #[serde(borrow)]
            session_id: Cow<'a, str>,
            #[serde(borrow)]
            ciphertext: Cow<'a, str>,
        }
        let sealed: Sealed = serde_json::from_str(content).ok()?;
        let device = &self.devices[user];
        let opened = device.decrypt(&sealed.session_id, &sealed.ciphertext);
        if opened.is_none() {
            self.failed.fetch_add(1, Relaxed);
        }
        opened
    }
}

impl Device {
    /// Looks up the peer's device, claims a one-time key of it and begins an Olm session.
    async fn meet(user: &User, own: OlmDevice, peer: &User, room_id: String) -> Result<Self, BenchError> {
        let mut client = user.client();
        let wanted = json!({ "device_keys": { &peer.id: [] } });
        let answer = post_patiently(&mut client, "/_matrix/client/v3/keys/query", &wanted).await;
        let answer: Value = serde_json::from_slice(&answer.during("keys/query")?).during("keys/query")?;
        let keys = &answer["device_keys"][&peer.id][&peer.device_id]["keys"];
        let wanted = json!({ "one_time_keys": { &peer.id: { &peer.device_id: ONE_TIME } } });
        let answer = post_patiently(&mut client, "/_matrix/client/v3/keys/claim", &wanted).await;
        let answer: Value = serde_json::from_slice(&answer.during("keys/claim")?).during("keys/claim")?;
        let claimed = answer["one_time_keys"][&peer.id][&peer.device_id].as_object();
        let one_time_key = claimed.and_then(|keys| public_key(&keys.values().next()?["key"]));
        let identity_key = public_key(&keys[format!("curve25519:{}", peer.device_id)]);
        let (Some(identity_key), Some(one_time_key)) = (identity_key, one_time_key) else {
            return Err(BenchError::Other(format!("no keys of {}", peer.id)));
        };
        let signing_key = keys[format!("ed25519:{}", peer.device_id)].as_str().unwrap_or_default().to_owned();
        let olm = own
            .account
            .create_outbound_session(olm::SessionConfig::version_1(), identity_key, one_time_key)
            .map_err(|error| BenchError::Other(format!("no session with {}: {error}", peer.id)))?;
        let (user_id, device_id) = (peer.id.clone(), peer.device_id.clone());
        let peer = Peer { user_id, device_id, identity_key, signing_key };
        let megolm = GroupSession::new(SessionConfig::version_1());
        let outgoing = Outgoing { peer, olm, megolm, sent: 0, shared: 0 };
        Ok(Self {
            room_id,
            outgoing: tokio::sync::Mutex::new(outgoing),
            incoming: Mutex::new(Incoming { device: own, olm: HashMap::new(), megolm: HashMap::new() }),
        })
    }

    fn decrypt(&self, session_id: &str, ciphertext: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Clear<'a> {
            #[serde(borrow)]
            room_id: Cow<'a, str>,
            #[serde(borrow)]
            content: &'a RawValue,
        }
        let message = MegolmMessage::from_base64(ciphertext).ok()?;
        let clear = self.incoming.lock().megolm.get_mut(session_id)?.decrypt(&message).ok()?.plaintext;
        let clear: Clear = serde_json::from_slice(&clear).ok()?;
        (clear.room_id == self.room_id).then(|| clear.content.get().to_owned())
    }
}

impl Outgoing {
    /// The body that brings the peer's device a key.
    fn room_key(&mut self, own: &OlmDevice, room_id: &str, key: &SessionKey) -> Result<String, CallError> {
        let peer = &self.peer;
        let clear = json!({
            "type": "m.room_key",
            "content": {
                "algorithm": MEGOLM, "room_id": room_id,
                "session_id": self.megolm.session_id(), "session_key": key.to_base64(),
            },
            "sender": own.user_id,
            "keys": { "ed25519": own.account.ed25519_key().to_base64() },
            "recipient": peer.user_id,
            "recipient_keys": { "ed25519": peer.signing_key },
        });
        let (kind, body) = self.olm.encrypt(clear.to_string())?.to_parts();
        let sealed = json!({
            "algorithm": OLM,
            "sender_key": own.account.curve25519_key().to_base64(),
            "ciphertext": {
                peer.identity_key.to_base64(): { "type": kind, "body": vodozemac::base64_encode(body) },
            },
        });
        Ok(json!({ "messages": { &peer.user_id: { &peer.device_id: sealed } } }).to_string())
    }
}

impl Incoming {
    fn keep(&mut self, key: &SessionKey) {
        let session = InboundGroupSession::new(key, SessionConfig::version_1());
        self.megolm.insert(session.session_id(), session);
    }

    fn take_key(&mut self, message: &Message) -> Option<()> {
        #[derive(Deserialize)]
        struct Clear {
            sender: String,
            recipient: String,
            recipient_keys: BTreeMap<String, String>,
            content: Value,
        }
        let clear: Clear = serde_json::from_slice(&self.decrypt(message)?).ok()?;
        let own = &self.device;
        let is_ours = clear.sender == message.sender
            && clear.recipient == own.user_id
            && clear.recipient_keys.get("ed25519") == Some(&own.account.ed25519_key().to_base64());
        let key = SessionKey::from_base64(clear.content["session_key"].as_str()?).ok()?;
        is_ours.then(|| self.keep(&key))
    }

    fn decrypt(&mut self, message: &Message) -> Option<Vec<u8>> {
        let sealed: Value = serde_json::from_str(message.content.get()).ok()?;
        let account = &mut self.device.account;
        let part = &sealed["ciphertext"][account.curve25519_key().to_base64()];
        let kind = usize::try_from(part["type"].as_u64()?).ok()?;
        let body = vodozemac::base64_decode(part["body"].as_str()?).ok()?;
        let message = OlmMessage::from_parts(kind, &body).ok()?;
        // Nobody answers in another's session, so all its messages are of the kind that can begin it.
        let OlmMessage::PreKey(first) = &message else { return None };
        if let Some(session) = self.olm.get_mut(&first.session_id()) {
            return session.decrypt(&message).ok();
        }
        let sender_key = public_key(&sealed["sender_key"])?;
        let config = olm::SessionConfig::version_1();
        let created = account.create_inbound_session(config, sender_key, first).ok()?;
        self.olm.insert(first.session_id(), created.session);
        Some(created.plaintext)
    }
}

fn public_key(value: &Value) -> Option<Curve25519PublicKey> {
    Curve25519PublicKey::from_base64(value.as_str()?).ok()
}

/// What a sync has for the device.
#[derive(Default, Deserialize)]
pub(crate) struct ToDevice<'a> {
    #[serde(borrow, default)]
    events: Vec<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}
