//! Looking people up by hashes of their addresses, as clients do it that know the Identity Service API. It is
//! weaker than everything else here: whoever sees the hashes can try all phone numbers, so this server learns
//! the address books of those who ask. A platform turns it on for its own people.
//! <https://spec.matrix.org/v1.19/identity-service-api/#association-lookup>

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use linkspan_address_book::{Address, wire::MAX_ELEMENTS};
use linkspan_storage::{
    catalogue::{MatchingHashes, PlatformHashKey},
    records::MatchingKeyRecord,
};
use ruma::OwnedUserId;
use sha2::{Digest, Sha256};

use crate::{Matching, MatchingError, Result, ask::check_count, usage::Asked};

/// How long a hash is in unpadded base64.
const HASH_CHARS: usize = 43;

/// The pepper of a key. It is public, and tells nothing of the key.
pub(crate) fn pepper_of(key: &MatchingKeyRecord) -> String {
    let hash = Sha256::new().chain_update(b"linkspan lookup pepper").chain_update(key.secret).finalize();
    BASE64_URL_SAFE_NO_PAD.encode(&hash[..24])
}

/// The hash of an address, as clients make it.
pub(crate) fn hash_of(address: &Address, pepper: &str) -> [u8; 32] {
    Sha256::digest(format!("{} {} {pepper}", address.text(), address.medium())).into()
}

impl Matching {
    /// What clients add to addresses before they hash them.
    pub async fn pepper(&self) -> Result<String> {
        Ok(pepper_of(&*self.index.key().await?))
    }

    /// The users with addresses that have these hashes, by the hash as it was given. Each hash counts for the
    /// user who asks as an evaluated element does.
    pub async fn look_up(
        &self,
        user_id: &OwnedUserId,
        pepper: &str,
        hashes: &[String],
        now_ts: u64,
    ) -> Result<BTreeMap<String, OwnedUserId>> {
        check_count(hashes.len(), MAX_ELEMENTS, "addresses")?;
        if pepper != self.pepper().await? {
            return Err(MatchingError::OtherPepper);
        }
        self.count(user_id, Asked { elements: hashes.len() as u32, buckets: 0 }, now_ts).await?;
        let mut found = BTreeMap::new();
        let own = self.index.platforms.get(user_id.server_name());
        for platform in own.into_iter().chain(self.index.platforms.iter()) {
            for text in hashes.iter().filter(|text| text.len() == HASH_CHARS) {
                let hash = BASE64_URL_SAFE_NO_PAD.decode(text).ok().and_then(|hash| hash.try_into().ok());
                let Some(hash) = hash else { continue };
                let key = PlatformHashKey { platform: platform.server_name().clone(), hash };
                if let Some(record) = self.store.get::<MatchingHashes>(&key).await? {
                    found.entry(text.clone()).or_insert(record.user_id);
                }
            }
        }
        Ok(found)
    }
}
