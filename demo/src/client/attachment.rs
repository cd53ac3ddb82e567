//! Files of encrypted rooms: what is uploaded is encrypted, and its key is in the message.
//! <https://spec.matrix.org/v1.19/client-server-api/#sending-encrypted-attachments>

use aes::{
    Aes256,
    cipher::{KeyIvInit, StreamCipher},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ctr::Ctr64BE;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vodozemac::{base64_decode, base64_encode};

use crate::person::Refusal;

/// Encrypts a file. Returns what is to be uploaded, and the message's `file`, which has no `url` yet.
pub(super) fn encrypt(mut data: Vec<u8>) -> (Vec<u8>, Value) {
    let key: [u8; 32] = rand::random();
    let mut counter = [0; 16];
    // The other half counts.
    counter[..8].copy_from_slice(&rand::random::<[u8; 8]>());
    Ctr64BE::<Aes256>::new(&key.into(), &counter.into()).apply_keystream(&mut data);
    let key = json!({
        "kty": "oct", "key_ops": ["encrypt", "decrypt"], "alg": "A256CTR", "ext": true,
        "k": URL_SAFE_NO_PAD.encode(key),
    });
    let hash = base64_encode(Sha256::digest(&data));
    let file = json!({ "v": "v2", "key": key, "iv": base64_encode(counter), "hashes": { "sha256": hash } });
    (data, file)
}

/// Decrypts a file that was downloaded, by the `file` of the message that came with it.
pub(super) fn decrypt(mut data: Vec<u8>, file: &Value) -> Result<Vec<u8>, Refusal> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let hash = base64_decode(text(&file["hashes"]["sha256"])).map_err(Refusal::own)?;
    if hash != Sha256::digest(&data).as_slice() {
        return Err(Refusal::own("the file is another than was sent"));
    }
    let key = URL_SAFE_NO_PAD.decode(text(&file["key"]["k"])).map_err(Refusal::own)?;
    let counter = base64_decode(text(&file["iv"])).map_err(Refusal::own)?;
    let mut cipher = Ctr64BE::<Aes256>::new_from_slices(&key, &counter).map_err(Refusal::own)?;
    cipher.apply_keystream(&mut data);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_unless_it_was_changed() {
        let (data, mut file) = encrypt(b"a picture".to_vec());
        assert_ne!(data, b"a picture");
        assert_eq!(decrypt(data.clone(), &file).expect("it is the same"), b"a picture");
        assert!(decrypt([&data[..], b"!"].concat(), &file).is_err());
        file["iv"] = json!("AAAA");
        assert!(decrypt(data, &file).is_err(), "no panic at a counter that is too short");
    }
}
