//! Texts in the shape of what Olm and Megolm make, for tests that need no keys. They are no real ciphertext.

#![allow(dead_code, unreachable_pub)]

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use serde_json::{Value, json};

/// A public key, or the id of a session.
pub fn key(number: u8) -> String {
    BASE64_STANDARD_NO_PAD.encode([number; 32])
}

/// The ciphertext of a message to a room. It has two blocks.
pub fn megolm() -> String {
    BASE64_STANDARD_NO_PAD.encode([&[3, 0x08, 0, 0x12, 32], &[0xC5; 32 + 72][..]].concat())
}

/// The content of an encrypted message to a room.
pub fn to_room() -> Value {
    json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": megolm(), "session_id": key(1) })
}

fn olm() -> Vec<u8> {
    [&[3, 0x0A, 32], &[0xC5; 32][..], &[0x10, 0, 0x22, 16], &[0xC5; 16 + 8]].concat()
}

/// The ciphertext of a message to a device: the first one of a session, or a later one.
pub fn olm_body(first: bool) -> Value {
    let keys = [0x0A, 0x12, 0x1A].map(|tag| [&[tag, 32], &[0xC5; 32][..]].concat()).concat();
    let message = olm();
    let length = [0x22, u8::try_from(message.len()).expect("it is short")];
    let bytes = if first { [&[3], &keys[..], &length, &message].concat() } else { message };
    json!({ "type": u8::from(!first), "body": BASE64_STANDARD_NO_PAD.encode(bytes) })
}

/// The content of an encrypted message to a device.
pub fn to_device() -> Value {
    json!({ "algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": key(2),
            "ciphertext": { key(3): olm_body(true) } })
}
