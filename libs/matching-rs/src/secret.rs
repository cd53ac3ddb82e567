//! The secret of an address: where its entries lie, and by which key they are sealed.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The most bits of a secret that name a bucket. Each bucket that is asked for stands for some thousands of
/// the phone numbers that there are, so that a server that lies about how many buckets it has cannot find out
/// the number.
pub const MAX_BUCKET_BITS: u8 = 20;

/// How long the output of the pseudo-random function is, in bytes.
const OUTPUT_BYTES: usize = 64;
/// The length of a tag, in bytes: so that of the tens of thousands of entries that an app tries to open, none
/// opens by chance.
const TAG_BYTES: usize = 8;
/// What is sealed is filled up to a multiple of this, so that its length says little.
const BLOCK_BYTES: usize = 16;
/// How much of the hash of a server name stands in an entry, in bytes.
const SERVER_HASH_BYTES: usize = 4;

/// These keep the two uses of the key apart.
const FOR_TAG: u8 = 1;
const FOR_STREAM: u8 = 2;

/// The secret of an address. Whoever has it can find and open what is kept under the address, so it is as
/// confidential as the address itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; OUTPUT_BYTES]);

impl Secret {
    /// The secret that the pseudo-random function gave.
    pub fn from_output(output: [u8; OUTPUT_BYTES]) -> Self {
        Self(output)
    }

    #[cfg(test)]
    pub(crate) fn output(&self) -> &[u8; OUTPUT_BYTES] {
        &self.0
    }

    /// Where the entries of the address lie, from 0 to the greatest number there is. Slots are spread evenly.
    pub fn slot(&self) -> u64 {
        let first = self.0.first_chunk().expect("an output has more bytes");
        u64::from_be_bytes(*first)
    }

    /// Says who is found by the address, in a way that only the secret tells. Several people may be found by
    /// one address, and nothing shows that their entries belong together.
    pub fn seal(&self, localpart: &str, server_name: &str) -> Vec<u8> {
        let mut text = server_hash(server_name).to_vec();
        text.extend_from_slice(localpart.as_bytes());
        text.resize(text.len().next_multiple_of(BLOCK_BYTES), 0);
        let tag = self.tag(&text);
        self.add_stream(&tag, &mut text);
        [&tag[..], &text].concat()
    }

    /// Who an entry says is found by the address: the hash of their server name, and their localpart. None:
    /// it is an entry of another address.
    pub fn open(&self, entry: &[u8]) -> Option<([u8; SERVER_HASH_BYTES], String)> {
        let (tag, sealed) = entry.split_first_chunk::<TAG_BYTES>()?;
        let mut text = sealed.to_vec();
        self.add_stream(tag, &mut text);
        if self.tag(&text) != *tag {
            return None;
        }
        let (server_hash, localpart) = text.split_first_chunk::<SERVER_HASH_BYTES>()?;
        let localpart = std::str::from_utf8(localpart).ok()?;
        Some((*server_hash, localpart.trim_end_matches('\0').to_owned()))
    }

    /// The tag is made of what is sealed, so no two entries are sealed by the same stream.
    fn tag(&self, text: &[u8]) -> [u8; TAG_BYTES] {
        let mac = self.mac(FOR_TAG, text);
        *mac.first_chunk().expect("a code has more bytes")
    }

    /// Adds the stream of a tag, which seals and opens.
    fn add_stream(&self, tag: &[u8; TAG_BYTES], text: &mut [u8]) {
        for (number, part) in (0_u8..).zip(text.chunks_mut(32)) {
            let stream = self.mac(FOR_STREAM, &[&tag[..], &[number]].concat());
            part.iter_mut().zip(stream).for_each(|(byte, stream)| *byte ^= stream);
        }
    }

    fn mac(&self, purpose: u8, text: &[u8]) -> [u8; 32] {
        let key = &self.0[OUTPUT_BYTES / 2..];
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
        mac.update(&[purpose]);
        mac.update(text);
        mac.finalize().into_bytes().into()
    }
}

/// The bucket of a slot, where the first `bits` of a slot name buckets.
pub fn bucket_of(slot: u64, bits: u8) -> u32 {
    slot.checked_shr(u64::BITS - u32::from(bits)).map_or(0, |bucket| bucket as u32)
}

/// What stands for a server name in an entry: it takes less room than the name.
pub fn server_hash(server_name: &str) -> [u8; SERVER_HASH_BYTES] {
    let hash: [u8; 32] = Sha256::digest(server_name).into();
    *hash.first_chunk().expect("a hash has more bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret::from_output([byte; OUTPUT_BYTES])
    }

    #[test]
    fn only_the_secret_opens_what_it_sealed() {
        for localpart in ["a", "u7k2m9x4", "twelve-signs", "thirteen-sign", &"x".repeat(240)] {
            let entry = secret(1).seal(localpart, "whatsapp.localhost");
            let found = (server_hash("whatsapp.localhost"), localpart.to_owned());
            assert_eq!(secret(1).open(&entry), Some(found), "{localpart}");
            assert_eq!(secret(2).open(&entry), None, "{localpart}");
        }
        assert_eq!(secret(1).seal("twelve-signs", "a").len(), TAG_BYTES + BLOCK_BYTES);
        assert_eq!(secret(1).seal("thirteen-sign", "a").len(), TAG_BYTES + 2 * BLOCK_BYTES);
    }

    /// `libs/matching-js` has the same entry in its tests.
    #[test]
    fn an_entry_looks_the_same_everywhere() {
        let output: [u8; OUTPUT_BYTES] = std::array::from_fn(|at| at as u8);
        let secret = Secret::from_output(output);
        let hex: String =
            secret.seal("anna", "instagram.localhost").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "36f95c2b746325504cafec664f445c53ad5dce8ee6598554");
        assert_eq!((secret.slot(), bucket_of(secret.slot(), 15)), (0x0001_0203_0405_0607, 0));
    }

    #[test]
    fn what_is_damaged_does_not_open() {
        let entry = secret(1).seal("anna", "instagram.localhost");
        for at in 0..entry.len() {
            let mut damaged = entry.clone();
            damaged[at] ^= 1;
            assert_eq!(secret(1).open(&damaged), None, "byte {at}");
        }
        for len in 0..entry.len() {
            assert_eq!(secret(1).open(&entry[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn entries_of_one_address_have_nothing_in_common() {
        let one = secret(1).seal("anna", "instagram.localhost");
        let other = secret(1).seal("anna", "messenger.localhost");
        assert!(one.chunks(4).zip(other.chunks(4)).all(|(one, other)| one != other));
    }

    #[test]
    fn buckets_are_the_first_bits() {
        let slot = 0x8123_4567_89AB_CDEF;
        let of = |bits| bucket_of(slot, bits);
        assert_eq!([of(0), of(1), of(8), of(16), of(32)], [0, 1, 0x81, 0x8123, 0x8123_4567]);
    }
}
