//! The encryption of messages to apps, so that push services cannot read them: RFC 8291, with the content encoding
//! `aes128gcm` of RFC 8188.

use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral},
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    rand::{SecureRandom, SystemRandom},
};

/// The bytes of a public key: an uncompressed point of the curve P-256.
pub(crate) const KEY_BYTES: usize = 65;
/// The bytes of a subscription's secret.
pub(crate) const AUTH_BYTES: usize = 16;
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// The greatest message that every push service takes, in bytes: RFC 8030, section 7.2.
const MAX_BYTES: usize = 4096;
/// What stands before the text of a message: the salt, the size of records, the length of the key, the key.
const HEAD_BYTES: usize = SALT_BYTES + 4 + 1 + KEY_BYTES;
/// The most bytes of what is encrypted. One byte marks its end.
pub(crate) const MAX_TEXT_BYTES: usize = MAX_BYTES - HEAD_BYTES - TAG_BYTES - 1;
/// Texts are made as long as the next multiple of this, so that push services do not see how long they are.
const STEP_BYTES: usize = 512;

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The public key of the app.
    pub(crate) key: [u8; KEY_BYTES],
    /// The secret that the app shares with the server.
    pub(crate) auth: [u8; AUTH_BYTES],
}

/// How many bytes are derived from a key.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl Subscription {
    /// Encrypts a text of at most [`MAX_TEXT_BYTES`]. Refuses if the app's key is no point of the curve.
    pub(crate) fn encrypt(&self, text: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt)?;
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &random)?;
        let own_key = own.compute_public_key()?;
        let key = UnparsedPublicKey::new(&ECDH_P256, self.key);
        agree_ephemeral(own, &key, |shared| self.seal(shared, own_key.as_ref(), salt, text))?
    }

    /// Encrypts with what both sides have agreed on.
    fn seal(
        &self,
        shared: &[u8],
        own_key: &[u8],
        salt: [u8; SALT_BYTES],
        text: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let secret = Salt::new(HKDF_SHA256, &self.auth).extract(shared);
        let secret: [u8; 32] = derive(&secret, &[b"WebPush: info\0", &self.key, own_key])?;
        let secret = Salt::new(HKDF_SHA256, &salt).extract(&secret);
        let key: [u8; 16] = derive(&secret, &[b"Content-Encoding: aes128gcm\0"])?;
        let nonce: [u8; 12] = derive(&secret, &[b"Content-Encoding: nonce\0"])?;

        let mut record = padded(text);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record)?;
        let record_size = (MAX_BYTES as u32).to_be_bytes();
        Ok([&salt[..], &record_size, &[KEY_BYTES as u8], own_key, &record].concat())
    }
}

fn derive<const N: usize>(secret: &Prk, info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    let mut derived = [0; N];
    secret.expand(info, Bytes(N))?.fill(&mut derived)?;
    Ok(derived)
}

/// The one record of a message: its text, the mark of the last record, and zeros.
fn padded(text: &[u8]) -> Vec<u8> {
    let len = (text.len() + 1).next_multiple_of(STEP_BYTES).min(MAX_TEXT_BYTES + 1);
    let mut record = [text, &[2]].concat();
    record.resize(len.max(record.len()), 0);
    record
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::{HEAD_BYTES, MAX_BYTES, MAX_TEXT_BYTES, Subscription, padded};

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).expect("base64")
    }

    /// The values of RFC 8291, appendix A. Its message is not padded, so the beginning is compared.
    #[test]
    fn messages_are_encrypted_as_the_rfc_does_it() {
        let subscription = Subscription {
            key: bytes(
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            )
            .try_into()
            .expect("a key"),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().expect("a secret"),
        };
        let own_key =
            bytes("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
        let shared = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().expect("a salt");
        let text = b"When I grow up, I want to be a watermelon";
        let sealed = subscription.seal(&shared, &own_key, salt, text).expect("sealed");
        let expected = bytes(
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK\
             6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
        );
        let compared = HEAD_BYTES + text.len() + 1;
        assert_eq!(sealed[..compared], expected[..compared]);
    }

    #[test]
    fn all_messages_fit_and_few_lengths_tell_them_apart() {
        assert_eq!(padded(b"").len(), padded(&[7; 511]).len());
        assert_eq!(padded(&[7; 512]).len(), 1024);
        assert_eq!(HEAD_BYTES + padded(&[7; MAX_TEXT_BYTES]).len() + 16, MAX_BYTES);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let subscription = Subscription { key: [4; 65], auth: [1; 16] };
        assert!(subscription.encrypt(b"").is_err());
    }
}
