//! Stored filters. The same filter has the same id.
//! <https://spec.matrix.org/v1.19/client-server-api/#filtering>

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use linkspan_storage::{
    Json, Range, WriteSet,
    catalogue::{Filters, UserNameKey},
};
use ruma::OwnedUserId;
use sha2::{Digest, Sha256};

use crate::{Accounts, AccountsError};

/// The greatest filter as JSON, in bytes.
const FILTER_BYTES: usize = 65_536;
/// The greatest number of filters of a user. No client removes one: the specification has no way.
const MAX_FILTERS: usize = 1_000;
/// How large all filters of a user may be together, in bytes. One has some hundred.
const ALL_FILTERS_BYTES: usize = 1 << 20;
/// How many bytes of the hash make an id.
const ID_BYTES: usize = 12;

impl Accounts {
    /// Stores a filter, including what of it is not known here, and returns its id.
    pub async fn create_filter(
        &self,
        user_id: &OwnedUserId,
        filter: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<String, AccountsError> {
        let json = serde_json::to_string(filter).map_err(|_| AccountsError::NotAnObject)?;
        if json.len() > FILTER_BYTES {
            return Err(AccountsError::TooLarge("the filter"));
        }
        let id = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&json)[..ID_BYTES]);
        let key = UserNameKey { user_id: user_id.clone(), name: id.clone() };
        if self.store.contains::<Filters>(&key).await? {
            return Ok(id);
        }
        self.store
            .update(async || {
                let filters =
                    self.store.range::<Filters>(Range::prefix((user_id,)).limit(MAX_FILTERS)).await?;
                let size_bytes = filters.iter().map(|(_, filter)| filter.0.len()).sum::<usize>();
                if filters.len() >= MAX_FILTERS || size_bytes + json.len() > ALL_FILTERS_BYTES {
                    return Err(AccountsError::TooMany("filters"));
                }
                let mut writes = WriteSet::new();
                self.expect_active(&mut writes, user_id).await?;
                writes.put::<Filters>(&key, &Json(json.clone()));
                Ok((writes, ()))
            })
            .await?;
        Ok(id)
    }

    /// The filter with an id, as JSON.
    pub async fn filter(&self, user_id: &OwnedUserId, id: &str) -> Result<Option<String>, AccountsError> {
        let key = UserNameKey { user_id: user_id.clone(), name: id.to_owned() };
        Ok(self.store.get::<Filters>(&key).await?.map(|json| json.0))
    }
}
