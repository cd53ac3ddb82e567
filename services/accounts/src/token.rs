//! Makes the random names of tokens, sessions and devices. Of tokens only the SHA-256 hash is ever stored.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{Rng as _, RngExt as _};
use sha2::{Digest, Sha256};

/// The SHA-256 hash of a token.
pub type TokenHash = [u8; 32];

/// The hash under which a token is stored.
pub fn hash_token(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}

/// A token of 32 random bytes. The prefix tells people who find one what it is.
pub fn new_token(prefix: &str) -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// `length` random characters of an ASCII alphabet.
pub fn random_text(alphabet: &[u8], length: usize) -> String {
    let mut random = rand::rng();
    (0..length).map(|_| char::from(alphabet[random.random_range(0..alphabet.len())])).collect()
}
