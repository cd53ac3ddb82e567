//! The one encoder of keys. Encoded keys sort as their fields do, field by field, so that a range
//! over a prefix of the fields is a range over the bytes.
//!
//! Strings end with `00 01` and escape an inner `00` as `00 FF`; integers are big-endian, signed
//! ones with the sign bit flipped. Identifiers that are a SHA-256 hash (event ids, room ids of
//! room version 12) are kept as their 32 bytes. Since every field says itself where it ends, no key
//! is the beginning of another, but for those that lack a [`Trailing`] field.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ruma::{
    OwnedDeviceId, OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId, ServerName,
    UserId,
};

use crate::Position;

/// A stored key did not have the shape its table demands: the store is damaged or of another version.
#[derive(Debug, thiserror::Error)]
#[error("malformed key: {0}")]
pub struct KeyError(pub &'static str);

/// Collects the bytes of a key and remembers where a [`Position::PENDING`] stands in it.
#[derive(Debug, Default)]
pub struct KeyWriter {
    pub(crate) bytes: Vec<u8>,
    pub(crate) stamp: Option<usize>,
}

impl KeyWriter {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), stamp: None }
    }

    fn str(&mut self, value: &str) {
        self.text_start(value);
        self.bytes.extend_from_slice(&[0, 1]);
    }

    /// Writes what the encodings of all texts that start with `value` have in common.
    pub(crate) fn text_start(&mut self, value: &str) {
        let mut parts = value.split('\0');
        self.bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            self.bytes.extend_from_slice(&[0, 0xFF]);
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }
}

/// Reads the fields of a key back in order.
#[derive(Debug)]
pub struct KeyReader<'a> {
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], KeyError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(KeyError("too short"))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        self.take(N)?.try_into().map_err(|_| KeyError("too short"))
    }

    fn str(&mut self) -> Result<String, KeyError> {
        let mut out = Vec::new();
        loop {
            let plain = self.rest.iter().position(|&byte| byte == 0).ok_or(KeyError("too short"))?;
            out.extend_from_slice(self.take(plain)?);
            match self.array::<2>()? {
                [0, 1] => break,
                [0, 0xFF] => out.push(0),
                _ => return Err(KeyError("bad escape in a string")),
            }
        }
        String::from_utf8(out).map_err(|_| KeyError("not UTF-8"))
    }

    fn end(&self) -> Result<(), KeyError> {
        if self.rest.is_empty() { Ok(()) } else { Err(KeyError("too long")) }
    }
}

/// A type that can be a field of a key.
pub trait KeyField: Sized {
    /// Appends the field in an encoding that keeps the order.
    fn write(&self, to: &mut KeyWriter);
    /// Reads what `write` wrote.
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError>;
}

/// The key of a table: a struct of [`KeyField`]s, made by [`key!`](crate::key!).
pub trait Key: Sized + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The fields as a tuple, for [`Prefix`].
    type Fields;
    /// Appends all fields.
    fn write(&self, to: &mut KeyWriter);
    /// Reads all fields.
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError>;

    /// The encoded key.
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = KeyWriter::default();
        self.write(&mut writer);
        writer.bytes
    }

    /// The key that `bytes` are the whole encoding of.
    fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut reader = KeyReader::new(bytes);
        let key = Self::read(&mut reader)?;
        reader.end()?;
        Ok(key)
    }
}

/// The first fields of a key with the fields `F`, such as `()`, `(&a,)` or `(&a, &b)`.
pub trait Prefix<F> {
    /// Appends the given fields.
    fn write(&self, to: &mut KeyWriter);
}

macro_rules! prefixes {
    ($(($($given:ident)*) of ($($all:ident)*);)*) => {$(
        impl<$($all: KeyField),*> Prefix<($($all,)*)> for ($(&$given,)*) {
            #[allow(non_snake_case, unused_variables)]
            fn write(&self, to: &mut KeyWriter) {
                let ($($given,)*) = self;
                $($given.write(to);)*
            }
        }
    )*};
}
prefixes! {
    () of (A); (A) of (A);
    () of (A B); (A) of (A B); (A B) of (A B);
    () of (A B C); (A) of (A B C); (A B) of (A B C); (A B C) of (A B C);
    () of (A B C D); (A) of (A B C D); (A B) of (A B C D); (A B C) of (A B C D); (A B C D) of (A B C D);
    () of (A B C D E); (A) of (A B C D E); (A B) of (A B C D E); (A B C) of (A B C D E);
    (A B C D) of (A B C D E); (A B C D E) of (A B C D E);
}

/// Declares the struct that is a table's key, with its order-keeping encoding.
#[macro_export]
macro_rules! key {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, unreachable_pub)]
        pub struct $name { $($(#[$fmeta])* pub $field: $type),* }

        impl $crate::Key for $name {
            type Fields = ($($type,)*);
            fn write(&self, to: &mut $crate::KeyWriter) {
                $($crate::KeyField::write(&self.$field, to);)*
            }
            fn read(from: &mut $crate::KeyReader<'_>) -> Result<Self, $crate::KeyError> {
                Ok(Self { $($field: $crate::KeyField::read(from)?),* })
            }
        }
    };
}

impl KeyField for u8 {
    fn write(&self, to: &mut KeyWriter) {
        to.bytes.push(*self);
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(from.array::<1>()?[0])
    }
}

impl KeyField for u32 {
    fn write(&self, to: &mut KeyWriter) {
        to.bytes.extend_from_slice(&self.to_be_bytes());
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self::from_be_bytes(from.array()?))
    }
}

impl KeyField for u64 {
    fn write(&self, to: &mut KeyWriter) {
        to.bytes.extend_from_slice(&self.to_be_bytes());
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self::from_be_bytes(from.array()?))
    }
}

impl KeyField for i64 {
    fn write(&self, to: &mut KeyWriter) {
        ((*self as u64) ^ (1 << 63)).write(to);
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok((u64::read(from)? ^ (1 << 63)) as i64)
    }
}

impl KeyField for [u8; 32] {
    fn write(&self, to: &mut KeyWriter) {
        to.bytes.extend_from_slice(self);
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        from.array()
    }
}

impl KeyField for Position {
    fn write(&self, to: &mut KeyWriter) {
        if *self == Self::PENDING {
            debug_assert!(to.stamp.is_none(), "a key has one position at most");
            to.stamp = Some(to.bytes.len());
        }
        self.get().write(to);
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        u64::read(from).map(Self::from_u64)
    }
}

impl KeyField for String {
    fn write(&self, to: &mut KeyWriter) {
        to.str(self);
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        from.str()
    }
}

impl KeyField for OwnedServerName {
    fn write(&self, to: &mut KeyWriter) {
        to.str(self.as_str());
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        ServerName::parse(from.str()?).map_err(|_| KeyError("not a server name"))
    }
}

/// The platform stands first, so that everything of a platform lies together.
impl KeyField for OwnedUserId {
    fn write(&self, to: &mut KeyWriter) {
        to.str(self.server_name().as_str());
        to.str(self.localpart());
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let server = from.str()?;
        let localpart = from.str()?;
        UserId::parse(format!("@{localpart}:{server}")).map_err(|_| KeyError("not a user id"))
    }
}

/// The platform stands first, as for user ids.
impl KeyField for OwnedRoomAliasId {
    fn write(&self, to: &mut KeyWriter) {
        to.str(self.server_name().as_str());
        to.str(self.alias());
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let server = from.str()?;
        let alias = from.str()?;
        ruma::RoomAliasId::parse(format!("#{alias}:{server}")).map_err(|_| KeyError("not a room alias"))
    }
}

impl KeyField for OwnedDeviceId {
    fn write(&self, to: &mut KeyWriter) {
        to.str(self.as_str());
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(from.str()?.into())
    }
}

impl KeyField for OwnedRoomId {
    fn write(&self, to: &mut KeyWriter) {
        write_hash_id(self.as_str(), to);
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        read_hash_id('!', from)?.try_into().map_err(|_| KeyError("not a room id"))
    }
}

impl KeyField for OwnedEventId {
    fn write(&self, to: &mut KeyWriter) {
        write_hash_id(self.as_str(), to);
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        read_hash_id('$', from)?.try_into().map_err(|_| KeyError("not an event id"))
    }
}

impl<T: KeyField> KeyField for Option<T> {
    fn write(&self, to: &mut KeyWriter) {
        match self {
            None => to.bytes.push(0),
            Some(value) => {
                to.bytes.push(1);
                value.write(to);
            }
        }
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        match from.array::<1>()? {
            [0] => Ok(None),
            [1] => T::read(from).map(Some),
            _ => Err(KeyError("bad option")),
        }
    }
}

/// The last field of a key, which the keys lack that were written before there was such a field. The fields before it
/// have to tell all keys of the table apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trailing<T>(pub Option<T>);

impl<T: KeyField> KeyField for Trailing<T> {
    fn write(&self, to: &mut KeyWriter) {
        if let Some(value) = &self.0 {
            value.write(to);
        }
    }
    fn read(from: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        match from.rest {
            [] => Ok(Self(None)),
            _ => T::read(from).map(|value| Self(Some(value))),
        }
    }
}

const ID_IS_HASH: u8 = 1;
const ID_IS_TEXT: u8 = 2;

/// An id that is a sigil and the unpadded URL-safe base64 of 32 bytes is written as those bytes.
fn write_hash_id(id: &str, to: &mut KeyWriter) {
    let mut hash = [0; 32];
    let is_hash = id.len() == 44 && BASE64_URL_SAFE_NO_PAD.decode_slice(&id[1..], &mut hash).is_ok();
    if is_hash {
        to.bytes.push(ID_IS_HASH);
        to.bytes.extend_from_slice(&hash);
    } else {
        to.bytes.push(ID_IS_TEXT);
        to.str(id);
    }
}

fn read_hash_id(sigil: char, from: &mut KeyReader<'_>) -> Result<String, KeyError> {
    match from.array::<1>()? {
        [ID_IS_HASH] => {
            let mut id = String::with_capacity(44);
            id.push(sigil);
            BASE64_URL_SAFE_NO_PAD.encode_string(from.array::<32>()?, &mut id);
            Ok(id)
        }
        [ID_IS_TEXT] => from.str(),
        _ => Err(KeyError("bad id tag")),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::memory::SplitMix64;

    const SERVERS: &[&str] =
        &["a.b", "a.b:8448", "a.b.c", "[::1]:80", "1.2.3.4", "instagram.localhost", "whatsapp.localhost"];

    fn pick<'a>(random: &mut SplitMix64, from: &[&'a str]) -> &'a str {
        from[random.below(from.len() as u64) as usize]
    }

    fn joined(random: &mut SplitMix64, parts: &[&str], limit: u64) -> String {
        (0..random.below(limit)).map(|_| pick(random, parts)).collect()
    }

    fn text(random: &mut SplitMix64) -> String {
        joined(
            random,
            &["\0", "\u{1}", "\u{2}", "a", "b", "\u{7F}", "é", "ÿ", "日", "\u{FFFF}", "😀", ":"],
            5,
        )
    }

    fn hash(random: &mut SplitMix64) -> [u8; 32] {
        std::array::from_fn(|_| random.next() as u8)
    }

    fn signed(random: &mut SplitMix64) -> i64 {
        let edges = [i64::MIN, i64::MIN + 1, -256, -2, -1, 0, 1, 255, i64::MAX - 1, i64::MAX];
        if random.below(2) == 0 { edges[random.below(10) as usize] } else { random.next() as i64 }
    }

    fn user_id(random: &mut SplitMix64) -> OwnedUserId {
        let localpart = joined(random, &["a", "b", "9", ".", "_", "=", "-", "/", "+", "Z", "!"], 6);
        let server = pick(random, SERVERS);
        UserId::parse(format!("@a{localpart}:{server}")).expect("a user id")
    }

    fn alias(random: &mut SplitMix64) -> OwnedRoomAliasId {
        let localpart = joined(random, &["a", "Ä", "#", " ", "日"], 6);
        let server = pick(random, SERVERS);
        ruma::RoomAliasId::parse(format!("#a{localpart}:{server}")).expect("a room alias")
    }

    /// An id of the newest form, of an old one, and some that look like the newest.
    fn id(sigil: char, random: &mut SplitMix64) -> String {
        let hash = hash(random);
        match random.below(4) {
            0 => format!("{sigil}{}", BASE64_URL_SAFE_NO_PAD.encode(hash)),
            1 => format!("{sigil}{}", base64::prelude::BASE64_STANDARD_NO_PAD.encode(hash)),
            // 43 characters that no 32 bytes encode to: the last has bits too many.
            2 => format!("{sigil}{}B", &BASE64_URL_SAFE_NO_PAD.encode(hash)[..42]),
            _ => format!("{sigil}{}:{}", joined(random, &["a", "B", "-", "_"], 40), pick(random, SERVERS)),
        }
    }

    fn room_id(random: &mut SplitMix64) -> OwnedRoomId {
        id('!', random).try_into().expect("a room id")
    }

    fn event_id(random: &mut SplitMix64) -> OwnedEventId {
        id('$', random).try_into().expect("an event id")
    }

    fn encoded<F: KeyField>(field: &F) -> Vec<u8> {
        let mut writer = KeyWriter::default();
        field.write(&mut writer);
        writer.bytes
    }

    /// Encodings give back what was encoded, none is the beginning of another, and they sort as `order`.
    fn check_field<F, O>(make: impl Fn(&mut SplitMix64) -> F, order: impl Fn(&F) -> O)
    where
        F: KeyField + PartialEq + Debug,
        O: Ord,
    {
        let mut random = SplitMix64(7);
        for _ in 0..3000 {
            let (a, b) = (make(&mut random), make(&mut random));
            let (a_bytes, b_bytes) = (encoded(&a), encoded(&b));
            let mut reader = KeyReader::new(&a_bytes);
            assert_eq!(F::read(&mut reader).expect("was just encoded"), a);
            reader.end().expect("all was read");
            assert_eq!(a_bytes.cmp(&b_bytes), order(&a).cmp(&order(&b)), "{a:?} and {b:?}");
            assert_eq!(a_bytes.starts_with(&b_bytes), a == b, "{a:?} and {b:?}");
        }
    }

    #[test]
    fn fields_keep_their_order() {
        check_field(|random| random.next() as u8, |&n| n);
        check_field(|random| random.next() as u32, |&n| n);
        check_field(|random| random.next() >> random.below(64), |&n| n);
        check_field(signed, |&n| n);
        check_field(hash, |&hash| hash);
        check_field(|random| Position::from_u64(random.next()), |&position| position);
        check_field(text, String::clone);
        check_field(|random| OwnedDeviceId::from(text(random)), |id| id.as_str().to_owned());
        check_field(|random| (random.below(3) > 0).then(|| text(random)), Option::clone);
        check_field(user_id, |id| (id.server_name().to_string(), id.localpart().to_owned()));
        check_field(alias, |id| (id.server_name().to_string(), id.alias().to_owned()));
        check_field(
            |random| ServerName::parse(pick(random, SERVERS)).expect("a server name"),
            |name| name.to_string(),
        );
    }

    key! {
        OldKey { name: String, number: u32 }
    }
    key! {
        NewKey { name: String, number: u32, added: Trailing<u64> }
    }

    #[test]
    fn a_field_may_be_added_at_the_end() {
        let key = |added| NewKey { name: "a".into(), number: 5, added: Trailing(added) };
        let old = OldKey { name: "a".into(), number: 5 }.to_bytes();
        assert_eq!(NewKey::from_bytes(&old).expect("it lacks a field"), key(None));
        assert_eq!(key(None).to_bytes(), old);
        let new = key(Some(7)).to_bytes();
        assert_eq!(NewKey::from_bytes(&new).expect("it was just encoded"), key(Some(7)));
        assert!(NewKey::from_bytes(&new[..new.len() - 1]).is_err(), "half of it is nothing");
        let larger = OldKey { name: "a".into(), number: 6 }.to_bytes();
        assert!(old < new && new < larger, "it changes no order");
    }

    #[test]
    fn ids_of_every_form_come_back() {
        // Hashes sort by their bytes, before other ids.
        check_field(room_id, encoded);
        check_field(event_id, encoded);
        let hash_id: OwnedEventId = format!("${}", "A".repeat(43)).try_into().expect("an event id");
        assert_eq!(encoded(&hash_id).len(), 33);
    }

    key! {
        /// A key for these tests.
        TestKey { user_id: OwnedUserId, text: String, number: i64, room_id: Option<OwnedRoomId>, last: u32 }
    }

    #[test]
    fn keys_sort_field_by_field() {
        let mut random = SplitMix64(11);
        let mut make = || TestKey {
            user_id: user_id(&mut random),
            text: text(&mut random),
            number: signed(&mut random),
            room_id: (random.below(2) == 0).then(|| room_id(&mut random)),
            last: random.next() as u32,
        };
        let order = |key: &TestKey| {
            let TestKey { user_id, text, number, room_id, last } = key.clone();
            let user = (user_id.server_name().to_string(), user_id.localpart().to_owned());
            (user, text, number, room_id.map(|id| encoded(&id)), last)
        };
        for _ in 0..3000 {
            let (a, mut b) = (make(), make());
            assert_eq!(TestKey::from_bytes(&a.to_bytes()).expect("was just encoded"), a);
            assert_eq!(a.to_bytes().cmp(&b.to_bytes()), order(&a).cmp(&order(&b)), "{a:?} and {b:?}");
            b.user_id.clone_from(&a.user_id);
            b.text.clone_from(&a.text);
            assert_eq!(a.to_bytes().cmp(&b.to_bytes()), order(&a).cmp(&order(&b)), "{a:?} and {b:?}");
        }
    }
}
