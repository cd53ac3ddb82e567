//! Secrets that the server keeps for somebody, encrypted with a key that they write down: their recovery key.
//! <https://spec.matrix.org/v1.19/client-server-api/#secret-storage>

use aes::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use vodozemac::base64_encode;

use crate::person::Refusal;

const ALGORITHM: &str = "m.secret_storage.v1.aes-hmac-sha2";
/// What a recovery key begins with, before the 32 bytes of the key.
const MARK: [u8; 2] = [0x8b, 0x01];

/// The key of somebody's secret storage.
pub(super) struct StorageKey([u8; 32]);

impl StorageKey {
    /// Reads a recovery key, as people write it down.
    /// <https://spec.matrix.org/v1.19/appendices/#cryptographic-key-representation>
    pub(super) fn read(recovery_key: &str) -> Result<Self, Refusal> {
        let text: String = recovery_key.split_whitespace().collect();
        let bytes = bs58::decode(text).into_vec().map_err(Refusal::own)?;
        let parity = bytes.iter().fold(0, |parity, byte| parity ^ byte);
        let key =
            bytes.strip_prefix(&MARK).and_then(<[u8]>::split_last).and_then(|(_, key)| key.try_into().ok());
        let key = key.filter(|_| parity == 0);
        key.map(Self).ok_or_else(|| Refusal::own("the configuration has a recovery key that is none"))
    }

    /// What clients are told of the key: how to find out whether they were given it.
    pub(super) fn description(&self) -> Value {
        let proof = self.encrypt("", &[0; 32]);
        json!({ "algorithm": ALGORITHM, "iv": proof["iv"], "mac": proof["mac"] })
    }

    /// A secret of this name, encrypted.
    pub(super) fn encrypt(&self, name: &str, secret: &[u8]) -> Value {
        let mut keys = [0; 64];
        let derived = Hkdf::<Sha256>::new(Some(&[0; 32]), &self.0);
        derived.expand(name.as_bytes(), &mut keys).expect("64 bytes are not too many");
        let (encrypting, signing) = keys.split_at(32);
        let mut iv: [u8; 16] = rand::random();
        // Some systems count in 63 bits only.
        iv[8] &= 0x7f;
        let mut data = secret.to_vec();
        let cipher = ctr::Ctr128BE::<aes::Aes256>::new_from_slices(encrypting, &iv);
        cipher.expect("key and vector have their lengths").apply_keystream(&mut data);
        let mut mac = Hmac::<Sha256>::new_from_slice(signing).expect("a key may have any length");
        mac.update(&data);
        let mac = mac.finalize().into_bytes();
        json!({ "iv": base64_encode(iv), "ciphertext": base64_encode(data), "mac": base64_encode(mac) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const KEY: &str = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d";

    #[test]
    fn a_recovery_key_is_read_and_a_wrong_one_is_not() {
        let key = StorageKey::read(KEY).expect("it is right");
        assert_eq!(key.0[..4], [0x77, 0x07, 0x6d, 0x0a]);
        assert!(StorageKey::read(&KEY.replace("UE4d", "UE4e")).is_err());
        assert!(StorageKey::read("EsTc").is_err() && StorageKey::read("").is_err());
    }
}
