//! The index: an entry for each address of somebody whom everybody may find by it. All get the same entries, so
//! whom only some may find has none.
//!
//! Rows lie in the order of their slots, platform by platform. A bucket is a stretch of slots, so the number
//! of buckets can change without a row being moved. It is a power of two: what lay in one bucket lies in one
//! half of it afterwards, so somebody who has seen both asked for learns no more than from the smaller one.

use std::{collections::BTreeMap, sync::Arc};

use linkspan_accounts::{AddressIndex, Indexing};
use linkspan_address_book::{Address, MAX_BUCKET_BITS, wire::MAX_ENTRIES};
use linkspan_domain::{Audience, FoundBy};
use linkspan_platforms::{Platforms, Settings};
use linkspan_storage::{
    Limits, Range, Rows, StorageError, Store, WriteSet,
    catalogue::{MatchingEntries, MatchingEntryKey, MatchingHashes, MatchingKeys, PlatformHashKey},
    records::{MatchingHashRecord, MatchingKeyRecord, SealedEntry},
};
use ruma::{OwnedServerName, OwnedUserId, thirdparty::Medium};

use crate::{
    hashes::{hash_of, pepper_of},
    key::{KEY, new_key, oprf_of, secret_of},
};

/// There is one row to be kept in memory.
const KEYS: Limits = Limits { entries: 1, weight: 1 };
/// A bucket is split when it has as many entries as this on average, so that its halves have 16: a bucket
/// that is asked for tells that somebody knows one of so many people, or nobody of them.
const SPLIT_AT: u64 = 32;
/// Two buckets become one when each has fewer entries than this. It is less than half of [`SPLIT_AT`], so
/// that people who come and go do not have it change all the time.
const MERGE_BELOW: u64 = 12;
/// How many entries of a platform are counted one by one. More are estimated from how far these reach: slots
/// are spread evenly, so that is right to two in a hundred.
const COUNTED: usize = 4_096;

/// The index of all platforms' people. Clones are the same index.
#[derive(Clone, Debug)]
pub struct Index {
    pub(crate) store: Store,
    pub(crate) platforms: Arc<Platforms>,
    keys: Arc<Rows<MatchingKeys>>,
}

impl Index {
    /// The index in a store, which gets a key if it has none. Hashes are kept only if a platform has people
    /// looked up by them. When that changes, or what a platform says of who is found, the index has to be filled
    /// anew.
    pub async fn open(store: Store, platforms: Arc<Platforms>, now_ts: u64) -> Result<Self, StorageError> {
        let keys = Arc::new(Rows::new(&store, KEYS, |_| 1));
        let index = Self { store, platforms, keys };
        index.note_platforms(now_ts).await?;
        Ok(index)
    }

    /// Writes down what platforms say of who is found, also those that have come since the start. If that is not what
    /// it was, the index has to be filled anew.
    pub async fn note_platforms(&self, now_ts: u64) -> Result<(), StorageError> {
        let index = self;
        let has_hashes = index.platforms.iter().any(|platform| platform.settings.identity_lookup);
        index
            .change_key(|known| match known {
                None => {
                    let usual = usual_of(&index.platforms).collect();
                    Some(MatchingKeyRecord { has_hashes, usual, ..new_key(1, 0, now_ts) })
                }
                Some(known) => {
                    let usual = known.usual.iter().map(|(name, said)| (name.clone(), said.clone()));
                    let usual: BTreeMap<_, _> = usual.chain(usual_of(&index.platforms)).collect();
                    let changed = |(name, said)| known.usual.get(name).is_some_and(|before| before != said);
                    let is_as_before = known.has_hashes == has_hashes && !usual.iter().any(changed);
                    let is_filled = known.is_filled && is_as_before;
                    let now = MatchingKeyRecord { has_hashes, usual, is_filled, ..known.clone() };
                    (now != known).then_some(now)
                }
            })
            .await
    }

    /// Begins with a new key, by which nobody is found until the index has been filled anew, as the next
    /// start does. Secrets that apps have kept are worth nothing from then on.
    pub async fn rotate_key(&self, now_ts: u64) -> Result<(), StorageError> {
        self.change_key(|known| {
            let known = known?;
            let new = new_key(known.version + 1, known.bucket_bits, now_ts);
            Some(MatchingKeyRecord { has_hashes: known.has_hashes, usual: known.usual, ..new })
        })
        .await
    }

    /// Has as many buckets as there are people for. It is asked now and then, and not for each who comes.
    pub async fn fit_buckets(&self) -> Result<(), StorageError> {
        let entries = self.count_entries().await?;
        self.change_key(|known| {
            let known = known?;
            let bucket_bits = fitting_bits(entries, known.bucket_bits);
            (bucket_bits != known.bucket_bits).then_some(MatchingKeyRecord { bucket_bits, ..known })
        })
        .await
    }

    /// Replaces the row of the key, unless `change` gives none.
    pub(crate) async fn change_key(
        &self,
        change: impl Fn(Option<MatchingKeyRecord>) -> Option<MatchingKeyRecord>,
    ) -> Result<(), StorageError> {
        self.store
            .update(async || {
                let known = self.store.get::<MatchingKeys>(&KEY).await?;
                let mut writes = WriteSet::new();
                writes.expect_read::<MatchingKeys>(&KEY, known.as_ref());
                if let Some(changed) = change(known) {
                    writes.put::<MatchingKeys>(&KEY, &changed);
                }
                Ok((writes, ()))
            })
            .await
    }

    pub(crate) async fn key(&self) -> Result<Arc<MatchingKeyRecord>, StorageError> {
        Ok(self.keys.get(&KEY).await?.expect("the index was opened with a key"))
    }

    /// About how many entries there are.
    async fn count_entries(&self) -> Result<u64, StorageError> {
        let mut entries = 0;
        for platform in self.platforms.iter() {
            let range = Range::<MatchingEntries>::prefix((platform.server_name(),)).limit(COUNTED);
            let first = self.store.keys(range).await?;
            let slots: Vec<u64> = first.iter().map(|key| key.slot).collect();
            entries += estimate(&slots, COUNTED);
        }
        Ok(entries)
    }

    /// The entries of a bucket, of all platforms together and in an order that tells nothing.
    pub(crate) async fn bucket(&self, bucket: u32, bits: u8) -> Result<Vec<Vec<u8>>, StorageError> {
        let (first, last) = slots_of(bucket, bits);
        let mut entries = Vec::new();
        for platform in self.platforms.iter() {
            let at = |slot, tag| MatchingEntryKey { platform: platform.server_name().clone(), slot, tag };
            let range = Range::<MatchingEntries>::prefix((platform.server_name(),))
                .from(&at(first, 0))
                .up_to(&at(last, u64::MAX))
                .limit(MAX_ENTRIES);
            entries.extend(self.store.range(range).await?.into_iter().map(|(_, SealedEntry(entry))| entry));
        }
        entries.sort_unstable();
        entries.truncate(MAX_ENTRIES);
        Ok(entries)
    }

    /// The rows by which a user is found by an address. None: it is no address by which people are found.
    async fn rows(
        &self,
        user_id: &OwnedUserId,
        medium: &Medium,
        address: &str,
    ) -> Result<Option<AddressRows>, StorageError> {
        let Ok(address) = Address::third_party(medium.as_str(), address) else { return Ok(None) };
        let key = self.key().await?;
        let secret = secret_of(&oprf_of(&key), &address);
        let entry = secret.seal(user_id.localpart(), user_id.server_name().as_str());
        let tag = u64::from_be_bytes(*entry.first_chunk().expect("an entry begins with a tag"));
        let platform: OwnedServerName = user_id.server_name().to_owned();
        let hash = hash_of(&address, &pepper_of(&key));
        Ok(Some(AddressRows {
            hash_key: PlatformHashKey { platform: platform.clone(), hash },
            hash: key.has_hashes.then(|| MatchingHashRecord {
                user_id: user_id.clone(),
                is_phone: *medium == Medium::Msisdn,
            }),
            entry_key: MatchingEntryKey { platform, slot: secret.slot(), tag },
            entry: SealedEntry(entry),
        }))
    }

    async fn put(
        &self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        medium: &Medium,
        address: &str,
        audience: Audience,
    ) -> Result<(), StorageError> {
        if let Some(rows) = self.rows(user_id, medium, address).await? {
            rows.put(writes, audience);
        }
        Ok(())
    }
}

/// What platforms say of who is found by addresses, in words that are compared and not read.
fn usual_of(platforms: &Platforms) -> impl Iterator<Item = (String, String)> {
    let said = |settings: &Settings| {
        let usual = settings.discovery();
        format!("{:?} {:?}", usual.audience(FoundBy::Phone), usual.audience(FoundBy::Email))
    };
    platforms.iter().map(move |platform| (platform.server_name().to_string(), said(&platform.settings)))
}

/// The rows by which a user is found by an address.
struct AddressRows {
    entry_key: MatchingEntryKey,
    entry: SealedEntry,
    hash_key: PlatformHashKey,
    /// It is there only if hashes are kept.
    hash: Option<MatchingHashRecord>,
}

impl AddressRows {
    /// Has just these people find the user. Hashes are looked up one by one, so whoever asks for one can be asked
    /// who they are: it is kept for anybody whom somebody may find.
    fn put(&self, writes: &mut WriteSet, audience: Audience) {
        match audience {
            Audience::Everyone => writes.put::<MatchingEntries>(&self.entry_key, &self.entry),
            _ => writes.delete::<MatchingEntries>(&self.entry_key),
        }
        match self.hash.as_ref().filter(|_| audience != Audience::Nobody) {
            Some(hash) => writes.put::<MatchingHashes>(&self.hash_key, hash),
            None => writes.delete::<MatchingHashes>(&self.hash_key),
        }
    }
}

impl AddressIndex for Index {
    fn put_address<'a>(
        &'a self,
        writes: &'a mut WriteSet,
        user_id: &'a OwnedUserId,
        medium: &'a Medium,
        address: &'a str,
        audience: Audience,
    ) -> Indexing<'a> {
        Box::pin(self.put(writes, user_id, medium, address, audience))
    }
}

/// The first and the last slot of a bucket.
fn slots_of(bucket: u32, bits: u8) -> (u64, u64) {
    let rest = u64::BITS - u32::from(bits);
    let first = u64::from(bucket).checked_shl(rest).unwrap_or(0);
    (first, first | (u64::MAX >> bits))
}

/// How many bits name a bucket when there are so many entries, and it were `bits` before.
fn fitting_bits(entries: u64, mut bits: u8) -> u8 {
    while bits < MAX_BUCKET_BITS && entries >> bits >= SPLIT_AT {
        bits += 1;
    }
    while bits > 0 && entries >> bits < MERGE_BELOW {
        bits -= 1;
    }
    bits
}

/// How many slots there are, given the first of them up to a limit.
fn estimate(first: &[u64], limit: usize) -> u64 {
    match first.last() {
        Some(last) if first.len() == limit => {
            let share = (*last as f64 + 1.0) / u64::MAX as f64;
            (first.len() as f64 / share) as u64
        }
        _ => first.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use linkspan_address_book::bucket_of;

    use super::*;

    #[test]
    fn a_bucket_is_the_slots_that_begin_with_it() {
        for bits in [0, 1, 7, 15, 20] {
            let buckets = 1_u64 << bits;
            for bucket in [0, buckets / 2, buckets - 1] {
                let bucket = bucket as u32;
                let (first, last) = slots_of(bucket, bits);
                assert_eq!((bucket_of(first, bits), bucket_of(last, bits)), (bucket, bucket), "{bits} bits");
                let before = first.checked_sub(1).map(|slot| bucket_of(slot, bits));
                assert_eq!(before, bucket.checked_sub(1), "{bits} bits");
                let after = last.checked_add(1).map(|slot| bucket_of(slot, bits));
                assert_eq!(after.is_none(), u64::from(bucket) == buckets - 1, "{bits} bits");
            }
        }
    }

    #[test]
    fn buckets_have_sixteen_to_thirty_two_entries() {
        for (entries, bits) in [(0, 0), (31, 0), (32, 1), (63, 1), (64, 2), (1_000_000, 15), (u64::MAX, 20)] {
            assert_eq!(fitting_bits(entries, 0), bits, "{entries} entries");
        }
        // The number stays where it is while a few come and go.
        assert_eq!([32, 31, 25, 24, 23].map(|entries| fitting_bits(entries, 1)), [1, 1, 1, 1, 0]);
        assert_eq!(fitting_bits(0, 20), 0);
    }

    #[test]
    fn many_entries_are_estimated() {
        assert_eq!(estimate(&[], 100), 0);
        assert_eq!(estimate(&[1, 2, u64::MAX], 100), 3);
        let step = u64::MAX / 1_000_000;
        let first: Vec<u64> = (1..=100).map(|number| number * step).collect();
        let count = estimate(&first, 100);
        assert!((999_000..=1_001_000).contains(&count), "{count}");
    }
}
