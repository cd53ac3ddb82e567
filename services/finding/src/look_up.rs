//! Looking people up by hashes of their addresses, for clients that know the Identity Service API.
//! <https://spec.matrix.org/v1.19/identity-service-api/#association-lookup>

use std::collections::BTreeMap;

use linkspan_domain::FoundBy;
use linkspan_matching::Hashed;
use ruma::OwnedUserId;

use crate::{Finding, Result};

impl Finding {
    /// The users whom the finder may find by addresses with these hashes, by the hash as it was given. Of several
    /// people with one address, one on the finder's platform is preferred.
    pub async fn look_up(
        &self,
        finder: &OwnedUserId,
        pepper: &str,
        hashes: &[String],
        now_ts: u64,
    ) -> Result<BTreeMap<String, OwnedUserId>> {
        let mut found = BTreeMap::new();
        for Hashed { hash, user_id, is_phone } in
            self.matching.look_up(finder, pepper, hashes, now_ts).await?
        {
            let by = if is_phone { FoundBy::Phone } else { FoundBy::Email };
            if !found.contains_key(&hash) && self.rooms.may_find(&user_id, Some(finder), by).await? {
                found.insert(hash, user_id);
            }
        }
        Ok(found)
    }
}
