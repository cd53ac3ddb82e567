//! What Olm and Megolm make, seen from outside: base64 of a version, numbered fields and what authenticates them.
//!
//! Without the key nobody can tell whether ciphertext is one. But whatever is no message by its shape is none, and
//! that keeps out what anybody could read. Nothing is decoded but the few bytes that are looked at.
//! <https://gitlab.matrix.org/matrix-org/olm/blob/master/docs/megolm.md#message-format>

/// The version of the messages of both.
const VERSION: u8 = 3;
/// The length of a code that authenticates a message, in bytes.
const MAC_BYTES: usize = 8;
/// The length of an Ed25519 signature, in bytes.
const SIGNATURE_BYTES: usize = 64;
/// The length of a public key of either curve, and of the id of a session, in bytes.
const KEY_BYTES: usize = 32;
/// The length of the blocks that AES in CBC mode makes, in bytes.
const BLOCK_BYTES: usize = 16;
/// The most bytes that a number takes.
const MAX_NUMBER_BYTES: u32 = 10;

/// Whether text is a public key, or the id of a Megolm session, which is one.
pub(crate) fn is_key(text: &str) -> bool {
    Base64::new(text).is_some_and(|bytes| bytes.len() == KEY_BYTES)
}

/// Whether text is a message of a Megolm session.
pub(crate) fn is_megolm_message(text: &str) -> bool {
    Base64::new(text).is_some_and(|bytes| megolm_message(bytes).is_some())
}

/// Whether text is a message of an Olm session: one that begins it, or a later one.
pub(crate) fn is_olm_message(text: &str, begins: bool) -> bool {
    Base64::new(text).is_some_and(|bytes| {
        let reader = Reader { bytes, at: 0, end: bytes.len() };
        let message = if begins { first_olm_message(reader) } else { olm_message(reader) };
        message.is_some()
    })
}

fn megolm_message(bytes: Base64<'_>) -> Option<()> {
    let end = bytes.len().checked_sub(MAC_BYTES + SIGNATURE_BYTES)?;
    let mut reader = Reader { bytes, at: 0, end };
    reader.version()?;
    u32::try_from(reader.number(0x08)?).ok()?;
    reader.sealed(0x12)?;
    reader.is_at_end().then_some(())
}

/// Reads a message that begins a session.
/// <https://gitlab.matrix.org/matrix-org/olm/blob/master/docs/olm.md#pre-key-messages>
fn first_olm_message(mut reader: Reader<'_>) -> Option<()> {
    reader.version()?;
    for tag in [0x0A, 0x12, 0x1A] {
        reader.key(tag)?;
    }
    let message = reader.bytes(0x22)?;
    olm_message(message)?;
    reader.is_at_end().then_some(())
}

/// Reads a later message of a session.
/// <https://gitlab.matrix.org/matrix-org/olm/blob/master/docs/olm.md#normal-messages>
fn olm_message(mut reader: Reader<'_>) -> Option<()> {
    reader.end = reader.end.checked_sub(MAC_BYTES)?;
    reader.version()?;
    reader.key(0x0A)?;
    reader.number(0x10)?;
    reader.sealed(0x22)?;
    reader.is_at_end().then_some(())
}

/// Bytes that are written as unpadded base64.
#[derive(Clone, Copy)]
struct Base64<'a>(&'a [u8]);

impl<'a> Base64<'a> {
    fn new(text: &'a str) -> Option<Self> {
        let text = text.as_bytes();
        // One letter more than whole groups says less than a byte.
        (text.len() % 4 != 1 && text.iter().all(|letter| sextet(*letter).is_some())).then_some(Self(text))
    }

    fn len(self) -> usize {
        self.0.len() / 4 * 3 + (self.0.len() % 4).saturating_sub(1)
    }

    fn byte(self, at: usize) -> Option<u8> {
        let (letter, bits_before) = (at / 3 * 4 + at % 3, at % 3 * 2);
        let pair = self.0.get(letter..letter + 2)?;
        let bits = u16::from(sextet(pair[0])?) << 6 | u16::from(sextet(pair[1])?);
        Some((bits >> (4 - bits_before)) as u8)
    }
}

fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Reads the fields of a message in their order: a tag, and a number or the length of the bytes that follow.
struct Reader<'a> {
    bytes: Base64<'a>,
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = if self.at < self.end { self.bytes.byte(self.at) } else { None };
        self.at += 1;
        byte
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then_some(())
    }

    fn version(&mut self) -> Option<()> {
        self.expect(VERSION)
    }

    /// Reads a number. Each byte has seven bits of it, the lowest first; the eighth bit says that more bytes
    /// follow.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for place in 0..MAX_NUMBER_BYTES {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            number |= bits.checked_shl(7 * place).filter(|shifted| shifted >> (7 * place) == bits)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn number(&mut self, tag: u8) -> Option<u64> {
        self.expect(tag)?;
        self.varint()
    }

    /// Reads a field of bytes, and returns a reader of these.
    fn bytes(&mut self, tag: u8) -> Option<Reader<'a>> {
        let length = usize::try_from(self.number(tag)?).ok()?;
        let (start, end) = (self.at, self.at.checked_add(length)?);
        if end > self.end {
            return None;
        }
        self.at = end;
        Some(Reader { bytes: self.bytes, at: start, end })
    }

    fn key(&mut self, tag: u8) -> Option<()> {
        (self.bytes(tag)?.left() == KEY_BYTES).then_some(())
    }

    fn sealed(&mut self, tag: u8) -> Option<()> {
        let length = self.bytes(tag)?.left();
        (length > 0 && length.is_multiple_of(BLOCK_BYTES)).then_some(())
    }

    fn left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    fn is_at_end(&self) -> bool {
        self.at == self.end
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
    use vodozemac::{
        megolm::{GroupSession, SessionConfig},
        olm::{Account, OlmMessage, SessionConfig as OlmConfig},
    };

    use super::*;

    fn encode(bytes: &[u8]) -> String {
        BASE64_STANDARD_NO_PAD.encode(bytes)
    }

    /// Makes a Megolm message with this ciphertext. `length`: what the message says the ciphertext's length
    /// to be.
    fn megolm(length: &[u8], ciphertext: &[u8], after: usize) -> Vec<u8> {
        [&[3, 0x08, 0, 0x12], length, ciphertext, &vec![7; after]].concat()
    }

    #[test]
    fn what_the_library_makes_is_taken() {
        let mut session = GroupSession::new(SessionConfig::version_1());
        assert!(is_key(&session.session_id()));
        for length in [0, 1, 15, 16, 17, 100, 1_000, 40_000] {
            let message = session.encrypt("x".repeat(length)).to_base64();
            assert!(is_megolm_message(&message), "{length}");
        }
        for _ in 0..300 {
            assert!(is_megolm_message(&session.encrypt("x").to_base64()), "{}", session.message_index());
        }

        let (alice, mut bob) = (Account::new(), Account::new());
        bob.generate_one_time_keys(1);
        let one_time = bob.one_time_keys().values().next().copied().expect("a key");
        let (own, other) = (alice.curve25519_key(), bob.curve25519_key());
        assert!(is_key(&own.to_base64()));
        let mut outbound =
            alice.create_outbound_session(OlmConfig::version_1(), other, one_time).expect("a session");
        let first = outbound.encrypt("hello").expect("sealed");
        let (kind, body) = first.clone().to_parts();
        assert_eq!((kind, is_olm_message(&encode(&body), true)), (0, true));
        assert!(!is_olm_message(&encode(&body), false));
        let OlmMessage::PreKey(first) = first else { panic!("not the first message") };
        let inbound = bob.create_inbound_session(OlmConfig::version_1(), own, &first).expect("a session");
        let mut inbound = inbound.session;
        for length in [0, 16, 1_000] {
            let (kind, body) = inbound.encrypt("x".repeat(length)).expect("sealed").to_parts();
            assert_eq!((kind, is_olm_message(&encode(&body), false)), (1, true), "{length}");
            assert!(!is_olm_message(&encode(&body), true));
        }
    }

    #[test]
    fn what_is_no_megolm_message_is_refused() {
        let good = megolm(&[16], &[5; 16], 72);
        assert!(is_megolm_message(&encode(&good)));
        assert!(is_megolm_message(&encode(&megolm(&[0x80, 0x01], &[5; 128], 72))));
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        for bytes in [
            with(0, 4),
            with(1, 0x0A),
            with(2, 0x80),
            with(3, 0x1A),
            with(4, 15),
            with(4, 17),
            with(4, 0xFF),
            megolm(&[0], &[], 72),
            megolm(&[8], &[5; 8], 72),
            megolm(&[16], &[5; 16], 71),
            megolm(&[16], &[5; 16], 73),
            megolm(&[16], &[5; 16], 72 + 16),
            // The length of the ciphertext, or the number of the message, does not fit into a number.
            megolm(&[0xFF; 10], &[5; 16], 72),
            megolm(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], &[5; 16], 72),
            [&[3, 0x08, 0x80, 0x80, 0x80, 0x80, 0x10, 0x12, 16], &[5; 88][..]].concat(),
        ] {
            assert!(!is_megolm_message(&encode(&bytes)), "{bytes:?}");
        }
        for cut in 0..good.len() {
            assert!(!is_megolm_message(&encode(&good[..cut])), "{cut} bytes");
        }
        let text = encode(&good);
        for text in ["", "A", "AwgA", "hello", "see you at eight", &text[1..], &format!("{text}A")] {
            assert!(!is_megolm_message(text), "{text}");
        }
        for other in ['=', ' ', '-', '_', '\n', '\0', 'é'] {
            assert!(!is_megolm_message(&format!("{text}{other}")), "{other:?} at the end");
            assert!(
                !is_megolm_message(&format!("{}{other}{}", &text[..60], &text[61..])),
                "{other:?} within"
            );
        }
    }

    #[test]
    fn whatever_it_is_given_it_answers() {
        // All short texts of some bytes, and messages in which one byte is any other.
        let bytes = [0, 3, 8, 0x0A, 0x10, 0x12, 0x1A, 0x22, 0x7F, 0x80, 0xFF];
        for first in bytes {
            for second in bytes {
                for third in bytes {
                    let mut text = vec![3, first, second, third];
                    for more in [0, 8, 32, 72, 100] {
                        text.resize(4 + more, 0xFF);
                        let text = encode(&text);
                        assert!(!is_megolm_message(&text) && !is_olm_message(&text, true));
                        assert!(!is_olm_message(&text, false));
                    }
                }
            }
        }
        let good = megolm(&[16], &[5; 16], 72);
        for at in 0..5 {
            for byte in (0..=u8::MAX).filter(|byte| *byte != good[at]) {
                let mut bytes = good.clone();
                bytes[at] = byte;
                // Its number may be another, of one byte.
                assert_eq!(is_megolm_message(&encode(&bytes)), at == 2 && byte < 0x80, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn keys_have_their_length() {
        for (bytes, is) in [(0, false), (31, false), (32, true), (33, false), (64, false)] {
            assert_eq!(is_key(&encode(&vec![9; bytes])), is, "{bytes}");
        }
        for text in ["X3lUlvLE", "see you at eight", &"-".repeat(43), &format!("{}=", "A".repeat(43))] {
            assert!(!is_key(text), "{text}");
        }
    }
}
