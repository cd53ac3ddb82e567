//! The key of the pseudo-random function. There is one for all platforms, so that their people find each
//! other.

use std::collections::BTreeMap;

use linkspan_address_book::{Address, Secret};
use linkspan_storage::{catalogue::MetaKey, records::MatchingKeyRecord};
use rand::Rng as _;
use voprf::{OprfServer, Ristretto255};

/// The server of RFC 9497 in the suite and mode that are used here.
pub(crate) type Oprf = OprfServer<Ristretto255>;

/// The row of the key.
pub(crate) const KEY: MetaKey = MetaKey { item: 0 };

/// A new key, by which nobody is found yet.
pub(crate) fn new_key(version: u32, bucket_bits: u8, now_ts: u64) -> MatchingKeyRecord {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let oprf = Oprf::new_from_seed(&seed, b"linkspan matching").expect("a seed gives a key");
    let secret = oprf.serialize().into();
    MatchingKeyRecord {
        secret,
        version,
        created_ts: now_ts,
        bucket_bits,
        is_filled: false,
        has_hashes: false,
        usual: BTreeMap::new(),
    }
}

/// The function with a stored key.
pub(crate) fn oprf_of(key: &MatchingKeyRecord) -> Oprf {
    Oprf::new_with_key(&key.secret).expect("a stored key is a scalar")
}

/// The secret of an address, which only the server can have without anybody's help.
pub(crate) fn secret_of(oprf: &Oprf, address: &Address) -> Secret {
    let output = oprf.evaluate(&address.to_input()).expect("an address is short");
    Secret::from_output(output.into())
}
