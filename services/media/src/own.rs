//! What a user has uploaded, for the archive that the user can have of it (services/export).

use linkspan_storage::{
    Range,
    catalogue::{Media as MediaTable, UserMedia, UserNameKey},
    records::MediaRecord,
};
use ruma::OwnedUserId;

use crate::{Media, MediaError, MediaFile, carried::has_expired, id::media_key};

impl Media {
    /// The media of a user in the order of their ids, those after `after` and no more than `limit`. One without a record
    /// is gone, which includes what has expired.
    pub async fn list_own(
        &self,
        user_id: &OwnedUserId,
        after: Option<&str>,
        limit: usize,
        now_ts: u64,
    ) -> Result<Vec<(String, Option<MediaRecord>)>, MediaError> {
        let mut range = Range::<UserMedia>::prefix((user_id,)).limit(limit);
        if let Some(after) = after {
            range = range.after(&own_key(user_id, after));
        }
        let ids: Vec<_> = self.shared.store.keys(range).await?.into_iter().map(|key| key.name).collect();
        let keys: Vec<_> = ids.iter().map(|id| media_key(user_id.server_name(), id)).collect();
        let records = self.shared.store.get_many::<MediaTable>(&keys).await?;
        let records = records.into_iter().map(|record| record.filter(|it| !has_expired(it, now_ts)));
        Ok(ids.into_iter().zip(records).collect())
    }

    /// The content of one of them, unless it has expired since it was listed.
    pub fn own_file(&self, user_id: &OwnedUserId, record: &MediaRecord, now_ts: u64) -> Option<MediaFile> {
        let object = record.object.clone().filter(|_| !has_expired(record, now_ts))?;
        Some(self.original(user_id.server_name(), record.clone(), object))
    }
}

/// The row that says that a user has uploaded something.
pub(crate) fn own_key(user_id: &OwnedUserId, media_id: &str) -> UserNameKey {
    UserNameKey { user_id: user_id.clone(), name: media_id.to_owned() }
}
