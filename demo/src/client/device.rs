//! The keys of the built-in client's device: what it gives to the server of them, whom it gives the keys of
//! rooms, and what it can open. Nothing here speaks with anybody.
//!
//! The device lasts as long as its session, which is one conversation, so its keys are never written down.
//! <https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption>

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use vodozemac::{
    Curve25519PublicKey, Ed25519PublicKey, Ed25519Signature, base64_decode, base64_encode,
    megolm::{self, GroupSession, InboundGroupSession, MegolmMessage, SessionKey},
    olm::{self, Account, OlmMessage, Session},
};

use crate::person::Refusal;

pub(super) const OLM: &str = "m.olm.v1.curve25519-aes-sha2";
pub(super) const MEGOLM: &str = "m.megolm.v1.aes-sha2";
/// How many others can send keys at the same time; after them, the fallback key serves.
const ONE_TIME_KEYS: usize = 20;

/// The device of this client.
pub(super) struct Device {
    user: String,
    id: String,
    account: Account,
    /// The sessions with other devices, by the key of the device. The latest comes last.
    sessions: HashMap<Curve25519PublicKey, Vec<Session>>,
    /// The sessions for what this device sends, by room.
    sending: HashMap<String, Sending>,
    /// The sessions for what this device receives, by room and session id.
    receiving: HashMap<(String, String), Receiving>,
}

struct Sending {
    session: GroupSession,
    /// The devices that have the key of the session, as user id and device id.
    shared: BTreeSet<(String, String)>,
}

struct Receiving {
    session: InboundGroupSession,
    /// Whose messages it opens.
    sender: Sender,
}

/// A device that has given away the key of what it says.
#[derive(Clone)]
struct Sender {
    user: String,
    curve25519: String,
    ed25519: String,
}

/// A device of somebody else. It has signed its keys itself, but nobody has compared them.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) user: String,
    pub(super) id: String,
    curve25519: Curve25519PublicKey,
    ed25519: Ed25519PublicKey,
}

impl Peer {
    /// Reads what the server has of a device. The answer is None if it is not what it claims to be.
    fn read(user: &str, id: &str, keys: &Value) -> Option<Self> {
        let key = |kind: &str| keys["keys"][format!("{kind}:{id}")].as_str();
        let curve25519 = Curve25519PublicKey::from_base64(key("curve25519")?).ok()?;
        let ed25519 = Ed25519PublicKey::from_base64(key("ed25519")?).ok()?;
        let peer = Self { user: user.to_owned(), id: id.to_owned(), curve25519, ed25519 };
        (keys["user_id"] == user && keys["device_id"] == id && peer.has_signed(keys)).then_some(peer)
    }

    fn has_signed(&self, object: &Value) -> bool {
        let signature = object["signatures"][&self.user][format!("ed25519:{}", self.id)].as_str();
        let signature = signature.and_then(|text| Ed25519Signature::from_base64(text).ok());
        let signed = signature.zip(to_sign(object));
        signed.is_some_and(|(signature, text)| self.ed25519.verify(text.as_bytes(), &signature).is_ok())
    }

    fn name(&self) -> (String, String) {
        (self.user.clone(), self.id.clone())
    }
}

/// The canonical form of an object, without the members that are not signed: the members of a [`Value`] are
/// sorted, and keys of devices have no fractions in them.
pub(super) fn to_sign(object: &Value) -> Option<String> {
    let mut object = object.as_object()?.clone();
    object.remove("signatures");
    object.remove("unsigned");
    serde_json::to_string(&object).ok()
}

impl Device {
    pub(super) fn new(user: String, id: String) -> Self {
        let (sessions, sending, receiving) = Default::default();
        Self { user, id, account: Account::new(), sessions, sending, receiving }
    }

    /// The body of the upload of its keys.
    pub(super) fn upload(&mut self) -> Value {
        self.account.generate_one_time_keys(ONE_TIME_KEYS);
        self.account.generate_fallback_key();
        let own = self.account.identity_keys();
        let device_keys = self.sign(json!({
            "user_id": self.user, "device_id": self.id, "algorithms": [OLM, MEGOLM],
            "keys": {
                format!("ed25519:{}", self.id): own.ed25519.to_base64(),
                format!("curve25519:{}", self.id): own.curve25519.to_base64(),
            },
        }));
        let named = |id: &vodozemac::KeyId| format!("signed_curve25519:{}", id.to_base64());
        let one_time = self.account.one_time_keys();
        let one_time = one_time.iter().map(|(id, key)| (named(id), json!({ "key": key.to_base64() })));
        let one_time: BTreeMap<_, _> = one_time.map(|(name, key)| (name, self.sign(key))).collect();
        let fallback = self.account.fallback_key();
        let fallback =
            fallback.iter().map(|(id, key)| (named(id), json!({ "key": key.to_base64(), "fallback": true })));
        let fallback: BTreeMap<_, _> = fallback.map(|(name, key)| (name, self.sign(key))).collect();
        self.account.mark_keys_as_published();
        json!({ "device_keys": device_keys, "one_time_keys": one_time, "fallback_keys": fallback })
    }

    fn sign(&self, mut object: Value) -> Value {
        if let Some(text) = to_sign(&object) {
            let signature = self.account.sign(text).to_base64();
            object["signatures"][&self.user][format!("ed25519:{}", self.id)] = signature.into();
        }
        object
    }

    /// All other devices in the answer to a query of keys.
    pub(super) fn peers(&self, answer: &Value) -> Vec<Peer> {
        let mut peers = Vec::new();
        for (user, devices) in answer["device_keys"].as_object().into_iter().flatten() {
            for (id, keys) in devices.as_object().into_iter().flatten() {
                peers.extend(Peer::read(user, id, keys).filter(|peer| peer.name() != self.name()));
            }
        }
        peers
    }

    fn name(&self) -> (String, String) {
        (self.user.clone(), self.id.clone())
    }

    /// Which of these devices, which are all that a room has, lack the key of what is said there next.
    pub(super) fn newcomers(&mut self, room: &str, peers: &[Peer]) -> Vec<Peer> {
        let there: BTreeSet<_> = peers.iter().map(Peer::name).collect();
        // Who has gone is not to read on.
        let stays = |sending: &Sending| sending.shared.is_subset(&there);
        if !self.sending.get(room).is_some_and(stays) {
            self.begin_sending(room);
        }
        let shared = self.sending.get(room).map(|sending| &sending.shared);
        let lacks = |peer: &&Peer| shared.is_none_or(|shared| !shared.contains(&peer.name()));
        peers.iter().filter(lacks).cloned().collect()
    }

    fn begin_sending(&mut self, room: &str) {
        let session = GroupSession::new(megolm::SessionConfig::version_1());
        // What this device sends comes back to it, too.
        let own = self.account.identity_keys();
        let (curve25519, ed25519) = (own.curve25519.to_base64(), own.ed25519.to_base64());
        let sender = Sender { user: self.user.clone(), curve25519, ed25519 };
        self.take_room_key(sender, room, &session.session_key());
        self.sending.insert(room.to_owned(), Sending { session, shared: BTreeSet::new() });
    }

    fn take_room_key(&mut self, sender: Sender, room: &str, key: &SessionKey) {
        let session = InboundGroupSession::new(key, megolm::SessionConfig::version_1());
        let name = (room.to_owned(), session.session_id());
        // The first is never replaced: who sends it again might begin it later.
        self.receiving.entry(name).or_insert(Receiving { session, sender });
    }

    /// All keys of rooms, as clients export them.
    /// <https://spec.matrix.org/v1.19/client-server-api/#key-export-format>
    pub(super) fn room_keys(&self) -> Vec<Value> {
        let exported = self.receiving.iter().map(|((room, id), Receiving { session, sender })| {
            json!({
                "algorithm": MEGOLM, "room_id": room, "session_id": id, "sender_key": sender.curve25519,
                "sender_claimed_keys": { "ed25519": sender.ed25519 }, "forwarding_curve25519_key_chain": [],
                "session_key": session.export_at_first_known_index().to_base64(),
            })
        });
        exported.collect()
    }

    /// The body of a claim of keys of all these devices with which there is no session, or None if there is
    /// one with all.
    pub(super) fn claim(&self, peers: &[Peer]) -> Option<Value> {
        let mut claim = Map::new();
        for peer in peers.iter().filter(|peer| !self.sessions.contains_key(&peer.curve25519)) {
            let devices = claim.entry(peer.user.clone()).or_insert_with(|| json!({}));
            devices[&peer.id] = json!("signed_curve25519");
        }
        (!claim.is_empty()).then(|| json!({ "one_time_keys": claim }))
    }

    /// Begins a session with each of these devices of which a key was claimed.
    pub(super) fn take_claimed(&mut self, peers: &[Peer], answer: &Value) {
        for peer in peers {
            let claimed = answer["one_time_keys"][&peer.user][&peer.id].as_object();
            let Some(key) = claimed.and_then(|keys| keys.values().next()) else { continue };
            let one_time = key["key"].as_str().and_then(|text| Curve25519PublicKey::from_base64(text).ok());
            let Some(one_time) = one_time.filter(|_| peer.has_signed(key)) else { continue };
            let config = olm::SessionConfig::version_1();
            if let Ok(session) = self.account.create_outbound_session(config, peer.curve25519, one_time) {
                self.sessions.entry(peer.curve25519).or_default().push(session);
            }
        }
    }

    /// The messages to devices that give the key of what is said in a room next to each of these devices with
    /// which there is a session.
    pub(super) fn share(&mut self, room: &str, peers: &[Peer]) -> Result<Value, Refusal> {
        let sending = self.sending.get(room).ok_or_else(|| Refusal::own("there is no key to share"))?;
        let session = &sending.session;
        let content = json!({
            "algorithm": MEGOLM, "room_id": room, "session_id": session.session_id(),
            "session_key": session.session_key().to_base64(),
        });
        let mut messages = json!({});
        for peer in peers {
            if let Some(sealed) = self.seal_for(peer, "m.room_key", &content)? {
                messages[&peer.user][&peer.id] = sealed;
            }
        }
        Ok(messages)
    }

    fn seal_for(&mut self, peer: &Peer, kind: &str, content: &Value) -> Result<Option<Value>, Refusal> {
        let own = self.account.identity_keys();
        let Some(session) = self.sessions.get_mut(&peer.curve25519).and_then(|all| all.last_mut()) else {
            return Ok(None);
        };
        let plain = json!({
            "type": kind, "content": content, "sender": self.user, "sender_device": self.id,
            "recipient": peer.user, "keys": { "ed25519": own.ed25519.to_base64() },
            "recipient_keys": { "ed25519": peer.ed25519.to_base64() },
        });
        let (number, body) = session.encrypt(plain.to_string()).map_err(Refusal::own)?.to_parts();
        let ciphertext =
            json!({ peer.curve25519.to_base64(): { "type": number, "body": base64_encode(body) } });
        let sender_key = own.curve25519.to_base64();
        Ok(Some(json!({ "algorithm": OLM, "sender_key": sender_key, "ciphertext": ciphertext })))
    }

    /// Notes that these messages were sent, so that whom they are for has the room's key.
    pub(super) fn has_shared(&mut self, room: &str, messages: &Value) {
        let Some(sending) = self.sending.get_mut(room) else { return };
        for (user, devices) in messages.as_object().into_iter().flatten() {
            let ids = devices.as_object().into_iter().flat_map(Map::keys);
            sending.shared.extend(ids.map(|id| (user.clone(), id.clone())));
        }
    }

    /// The content of the `m.room.encrypted` that stands for a message.
    pub(super) fn seal(&mut self, room: &str, kind: &str, mut content: Value) -> Result<Value, Refusal> {
        let own = self.account.curve25519_key().to_base64();
        let sending =
            self.sending.get_mut(room).ok_or_else(|| Refusal::own("there is no key to seal with"))?;
        // Servers put together what belongs together, so this stays readable.
        let relation = content.as_object_mut().and_then(|content| content.remove("m.relates_to"));
        let plain = json!({ "room_id": room, "type": kind, "content": content });
        let ciphertext = sending.session.encrypt(plain.to_string()).to_base64();
        let mut sealed = json!({
            "algorithm": MEGOLM, "ciphertext": ciphertext, "session_id": sending.session.session_id(),
            "sender_key": own, "device_id": self.id,
        });
        if let Some(relation) = relation {
            sealed["m.relates_to"] = relation;
        }
        Ok(sealed)
    }

    /// Takes in a message to this device, and returns whether it brought the key of a room.
    pub(super) fn receive(&mut self, event: &Value) -> bool {
        let Some(plain) = self.unseal(event) else { return false };
        let own = self.account.ed25519_key().to_base64();
        let is_for_me = plain["recipient"] == self.user
            && plain["recipient_keys"]["ed25519"] == own
            && plain["sender"] == event["sender"];
        let content = &plain["content"];
        if !is_for_me || plain["type"] != "m.room_key" || content["algorithm"] != MEGOLM {
            return false;
        }
        let key = content["session_key"].as_str().and_then(|key| SessionKey::from_base64(key).ok());
        let known = content["room_id"].as_str().zip(key);
        let Some((room, key)) = known else { return false };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let sender = Sender {
            user: text(&event["sender"]),
            curve25519: text(&event["content"]["sender_key"]),
            ed25519: text(&plain["keys"]["ed25519"]),
        };
        self.take_room_key(sender, room, &key);
        true
    }

    fn unseal(&mut self, event: &Value) -> Option<Value> {
        let content = &event["content"];
        if event["type"] != "m.room.encrypted" || content["algorithm"] != OLM {
            return None;
        }
        let their = Curve25519PublicKey::from_base64(content["sender_key"].as_str()?).ok()?;
        let mine = &content["ciphertext"][self.account.curve25519_key().to_base64()];
        let number = usize::try_from(mine["type"].as_u64()?).ok()?;
        let message = OlmMessage::from_parts(number, &base64_decode(mine["body"].as_str()?).ok()?).ok()?;
        let sessions = self.sessions.entry(their).or_default();
        for session in sessions.iter_mut() {
            if let Ok(plain) = session.decrypt(&message) {
                return serde_json::from_slice(&plain).ok();
            }
        }
        let OlmMessage::PreKey(first) = &message else { return None };
        let config = olm::SessionConfig::version_1();
        let created = self.account.create_inbound_session(config, their, first).ok()?;
        sessions.push(created.session);
        serde_json::from_slice(&created.plaintext).ok()
    }

    /// An event of a room as it was before it was sealed, or the reason why it stays closed.
    pub(super) fn open(&mut self, room: &str, event: &Value) -> Result<Value, String> {
        let content = &event["content"];
        let text = |key: &str| content[key].as_str().unwrap_or_default();
        if text("algorithm") != MEGOLM {
            return Err("another algorithm".to_owned());
        }
        let name = (room.to_owned(), text("session_id").to_owned());
        let known = self.receiving.get_mut(&name).filter(|known| event["sender"] == known.sender.user);
        let known = known.ok_or("no session")?;
        let message = MegolmMessage::from_base64(text("ciphertext")).map_err(|error| error.to_string())?;
        let opened = known.session.decrypt(&message).map_err(|error| error.to_string())?;
        let mut plain: Value =
            serde_json::from_slice(&opened.plaintext).map_err(|error| error.to_string())?;
        if plain["room_id"] != room {
            return Err("of another room".to_owned());
        }
        if let Some(relation) = content.get("m.relates_to") {
            plain["content"]["m.relates_to"] = relation.clone();
        }
        let mut item = event.clone();
        (item["type"], item["content"]) = (plain["type"].take(), plain["content"].take());
        Ok(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "!quay";

    /// Makes two devices, each with what it sees of the other by what the server was given.
    fn two() -> ((Device, Vec<Peer>), (Device, Vec<Peer>)) {
        let mut anna = Device::new("@anna:a".to_owned(), "A".to_owned());
        let mut ben = Device::new("@ben:b".to_owned(), "B".to_owned());
        let (of_anna, of_ben) = (anna.upload(), ben.upload());
        let seen = json!({ "device_keys": {
            "@anna:a": { "A": of_anna["device_keys"] }, "@ben:b": { "B": of_ben["device_keys"] },
        } });
        let (ben_is, anna_is) = (anna.peers(&seen), ben.peers(&seen));
        assert_eq!((ben_is.len(), anna_is.len()), (1, 1), "each sees the other, and not itself");
        let keys = of_ben["one_time_keys"].as_object().expect("keys");
        let (name, key) = keys.iter().next().expect("there are some");
        anna.take_claimed(&ben_is, &json!({ "one_time_keys": { "@ben:b": { "B": { name: key } } } }));
        ((anna, ben_is), (ben, anna_is))
    }

    /// Anna gives Ben the key. Returns the message to his device.
    fn gives(anna: &mut Device, ben_is: &[Peer]) -> Value {
        let newcomers = anna.newcomers(ROOM, ben_is);
        let messages = anna.share(ROOM, &newcomers).expect("it can be shared");
        anna.has_shared(ROOM, &messages);
        json!({ "type": "m.room.encrypted", "sender": "@anna:a", "content": messages["@ben:b"]["B"] })
    }

    fn says(anna: &mut Device, body: &str) -> Value {
        let content = json!({ "body": body, "m.relates_to": { "event_id": "$1" } });
        let sealed = anna.seal(ROOM, "m.room.message", content).expect("it is sealed");
        json!({ "type": "m.room.encrypted", "sender": "@anna:a", "content": sealed })
    }

    #[test]
    fn what_is_sealed_is_opened_by_who_was_given_the_key() {
        let ((mut anna, ben_is), (mut ben, _)) = two();
        assert!(anna.claim(&ben_is).is_none(), "there is a session already");
        let key = gives(&mut anna, &ben_is);
        let said = says(&mut anna, "All aboard");
        assert!(!said["content"].to_string().contains("aboard"));
        assert_eq!(ben.open(ROOM, &said), Err("no session".to_owned()));
        assert!(ben.receive(&key));
        let read = ben.open(ROOM, &said).expect("he has the key");
        assert_eq!(
            (&read["type"], &read["content"]["body"]),
            (&json!("m.room.message"), &json!("All aboard"))
        );
        assert_eq!(read["content"]["m.relates_to"]["event_id"], "$1");
        assert_eq!(anna.open(ROOM, &said).expect("it is hers"), read);
        assert!(anna.newcomers(ROOM, &ben_is).is_empty());

        let mut forged = said.clone();
        forged["sender"] = json!("@cleo:c");
        assert!(ben.open(ROOM, &forged).is_err(), "the session is Anna's");
        assert!(ben.open("!elsewhere", &said).is_err());
    }

    #[test]
    fn who_has_gone_cannot_read_on() {
        let ((mut anna, ben_is), (mut ben, _)) = two();
        let key = gives(&mut anna, &ben_is);
        assert!(ben.receive(&key));
        assert!(anna.newcomers(ROOM, &[]).is_empty());
        let said = says(&mut anna, "He has left");
        assert_eq!(ben.open(ROOM, &said), Err("no session".to_owned()));
    }

    #[test]
    fn a_device_whose_signature_is_wrong_is_given_nothing() {
        let anna = Device::new("@anna:a".to_owned(), "A".to_owned());
        let mut keys = Device::new("@ben:b".to_owned(), "B".to_owned()).upload()["device_keys"].take();
        let seen = |keys: &Value| anna.peers(&json!({ "device_keys": { "@ben:b": { "B": keys } } })).len();
        assert_eq!(seen(&keys), 1);
        keys["algorithms"] = json!([OLM]);
        assert_eq!(seen(&keys), 0);
    }
}
