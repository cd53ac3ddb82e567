//! What a table is, and how its values are encoded. Which tables there are is in `catalogue`.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Key, KeyWriter, Position, StorageError, TableId, catalogue::WatchedKey};

/// A table of the catalogue.
pub trait Table: Send + Sync + 'static {
    /// Its key.
    type Key: Key;
    /// Its value.
    type Value: Value;
    /// Its number, never used again for another table.
    const ID: TableId;
    /// Its name, for people.
    const NAME: &'static str;
    /// The service that writes it.
    const OWNER: &'static str;

    /// The key as the stream of commits tells of it; None: the table is not watched.
    #[doc(hidden)]
    fn to_watched(_: &Self::Key) -> Option<WatchedKey> {
        None
    }
}

/// A table of whose changes the stream of commits tells.
pub trait Watched: Table {
    /// The key, if it is one of this table.
    #[doc(hidden)]
    fn watched_key(key: &WatchedKey) -> Option<&Self::Key>;
}

/// A type that can be stored as a value.
pub trait Value: Sized + Clone + Send + Sync {
    /// Whether the encoding starts with the position of the commit that wrote it.
    const STAMPED: bool = false;
    /// Appends the encoding.
    fn write(&self, to: &mut Vec<u8>);
    /// Decodes; the error says what is wrong.
    fn read(from: &[u8]) -> Result<Self, String>;
}

/// Marks a serde type as a value, encoded as a MessagePack array: fields may be added at the end
/// with `#[serde(default)]`.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync {}

impl<T: Record> Value for T {
    fn write(&self, to: &mut Vec<u8>) {
        rmp_serde::encode::write(to, self).expect("records hold nothing that MessagePack cannot");
    }
    fn read(from: &[u8]) -> Result<Self, String> {
        rmp_serde::from_slice(from).map_err(|error| error.to_string())
    }
}

impl Record for () {}
impl Record for u64 {}
impl Record for i64 {}
impl Record for String {}

/// JSON text as a value, kept as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub String);

impl Value for Json {
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.0.as_bytes());
    }
    fn read(from: &[u8]) -> Result<Self, String> {
        std::str::from_utf8(from).map(|text| Self(text.to_owned())).map_err(|error| error.to_string())
    }
}

/// A value with the position of the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped<V> {
    /// The position at which it was written; [`Position::PENDING`] until then.
    pub position: Position,
    /// The value.
    pub value: V,
}

impl<V> Stamped<V> {
    /// A value that the commit will stamp.
    pub fn pending(value: V) -> Self {
        Self { position: Position::PENDING, value }
    }
}

impl<V: Value> Value for Stamped<V> {
    const STAMPED: bool = true;

    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.position.get().to_be_bytes());
        self.value.write(to);
    }
    fn read(from: &[u8]) -> Result<Self, String> {
        let (position, value) = from.split_first_chunk::<8>().ok_or("too short for a position")?;
        Ok(Self { position: Position::from_u64(u64::from_be_bytes(*position)), value: V::read(value)? })
    }
}

/// The length of most keys at most.
const USUAL_KEY_BYTES: usize = 112;
/// The length of most values at most. Growing a buffer step by step would cost more than filling it.
const USUAL_VALUE_BYTES: usize = 256;

pub(crate) fn encode_key<T: Table>(key: &T::Key) -> KeyWriter {
    let mut writer = KeyWriter::with_capacity(USUAL_KEY_BYTES);
    key.write(&mut writer);
    writer
}

pub(crate) fn encode_value<T: Table>(value: &T::Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_VALUE_BYTES);
    value.write(&mut bytes);
    bytes
}

/// What would be written today for a value that is stored: a value that an older program wrote may
/// lack fields that were added to its record since. None if the stored value is damaged.
pub(crate) fn written_anew<T: Table>(bytes: &[u8]) -> Option<Vec<u8>> {
    T::Value::read(bytes).ok().map(|value| encode_value::<T>(&value))
}

pub(crate) fn decode_value<T: Table>(bytes: &[u8]) -> Result<T::Value, StorageError> {
    T::Value::read(bytes).map_err(|reason| StorageError::DamagedValue { table: T::NAME, reason })
}

pub(crate) fn decode_key<T: Table>(bytes: &[u8]) -> Result<T::Key, StorageError> {
    T::Key::from_bytes(bytes).map_err(|source| StorageError::DamagedKey { table: T::NAME, source })
}
