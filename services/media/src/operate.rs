//! What operators do with the uploads of their platform: see how much there is and whose it is, remove uploads, and take
//! them out of use.
//!
//! An upload in quarantine is kept, and nobody is given it. One that is protected stays as it is when many are removed or
//! quarantined at a time.

use std::collections::HashMap;

use linkspan_platforms::{give_way, note_rows};
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{Media as MediaTable, PlatformKey},
    records::MediaRecord,
};
use ruma::{OwnedServerName, OwnedUserId};

use crate::{
    Media, MediaError,
    carried::has_expired,
    id::{check_id, media_key},
};

/// Rows that are read at a time.
const BATCH: usize = 256;
/// Uploads that are looked at for one page of a list: some milliseconds of reading. A page may have fewer rows for it.
const MAX_LOOKED_AT: usize = 10_000;
/// Uploads that are changed in one step. Each has files that are removed.
const MAX_TREATED: usize = 100;

/// Which uploads of a platform are meant.
#[derive(Clone, Debug, Default)]
pub struct MediaFilter {
    /// Those of this user.
    pub user_id: Option<OwnedUserId>,
    /// Those that were uploaded before this time, in milliseconds since the Unix epoch.
    pub before_ts: Option<u64>,
    /// Those that are in quarantine, or those that are not.
    pub quarantined: Option<bool>,
}

impl MediaFilter {
    fn matches(&self, record: &MediaRecord) -> bool {
        self.user_id.as_ref().is_none_or(|user_id| *user_id == record.user_id)
            && self.before_ts.is_none_or(|before_ts| record.created_ts < before_ts)
            && self.quarantined.is_none_or(|quarantined| quarantined == record.quarantined)
    }
}

/// An upload.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedMedia {
    /// Its id on the platform.
    pub media_id: String,
    /// What is recorded of it.
    pub record: MediaRecord,
}

/// A page of uploads.
#[derive(Debug)]
pub struct MediaPage {
    /// The uploads, in the order of their ids.
    pub media: Vec<ListedMedia>,
    /// The id after which the next page begins, if there may be one.
    pub next: Option<String>,
}

/// How much somebody has uploaded.
#[derive(Clone, Debug, PartialEq)]
pub struct UserUsage {
    /// Who.
    pub user_id: OwnedUserId,
    /// How many uploads.
    pub count: u64,
    /// Their bytes.
    pub size_bytes: u64,
}

/// How much a platform's people have uploaded.
#[derive(Debug, Default)]
pub struct MediaOverview {
    /// How many uploads.
    pub count: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// How many of them are in quarantine.
    pub quarantined: u64,
    /// Those who have uploaded most, by bytes.
    pub users: Vec<UserUsage>,
}

/// What is done with uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaTreatment {
    /// They are removed for good.
    Remove,
    /// Nobody is given them any more.
    Quarantine,
    /// They are given out again.
    Release,
}

/// What one step has done.
#[derive(Debug, Default)]
pub struct MediaStep {
    /// How many uploads were changed.
    pub treated: u64,
    /// Where the next step begins, if there is more to do.
    pub next: Option<String>,
}

impl Media {
    /// How much a platform's people have uploaded, and who most: `top` of them.
    pub async fn overview(
        &self,
        platform: &OwnedServerName,
        top: usize,
        now_ts: u64,
    ) -> Result<MediaOverview, MediaError> {
        let mut overview = MediaOverview::default();
        let mut users: HashMap<OwnedUserId, (u64, u64)> = HashMap::new();
        let mut last: Option<PlatformKey> = None;
        loop {
            let rows = self.read_uploads(platform, last.as_ref()).await?;
            let is_last = rows.len() < BATCH;
            last = rows.last().map(|(key, _)| key.clone());
            for (_, record) in rows.into_iter().filter(|(_, record)| is_there(record, now_ts)) {
                overview.count += 1;
                overview.size_bytes += record.size_bytes;
                overview.quarantined += u64::from(record.quarantined);
                let (count, size_bytes) = users.entry(record.user_id).or_default();
                *count += 1;
                *size_bytes += record.size_bytes;
            }
            if is_last {
                break;
            }
        }
        let usage = |(user_id, (count, size_bytes))| UserUsage { user_id, count, size_bytes };
        overview.users = users.into_iter().map(usage).collect();
        overview
            .users
            .sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.user_id.cmp(&b.user_id)));
        overview.users.truncate(top);
        Ok(overview)
    }

    /// A page of the uploads of a platform: those after `after`.
    pub async fn list_media(
        &self,
        platform: &OwnedServerName,
        filter: &MediaFilter,
        after: Option<String>,
        limit: usize,
        now_ts: u64,
    ) -> Result<MediaPage, MediaError> {
        let mut last = after.map(|media_id| media_key(platform, &media_id));
        let (mut media, mut looked_at) = (Vec::new(), 0);
        loop {
            let rows = self.read_uploads(platform, last.as_ref()).await?;
            let is_last = rows.len() < BATCH;
            for (key, record) in rows {
                looked_at += 1;
                let is_meant = is_there(&record, now_ts) && filter.matches(&record);
                let next = key.name.clone();
                if is_meant {
                    media.push(ListedMedia { media_id: key.name.clone(), record });
                }
                last = Some(key);
                if media.len() >= limit || looked_at >= MAX_LOOKED_AT {
                    return Ok(MediaPage { media, next: Some(next) });
                }
            }
            if is_last {
                return Ok(MediaPage { media, next: None });
            }
        }
    }

    async fn read_uploads(
        &self,
        platform: &OwnedServerName,
        last: Option<&PlatformKey>,
    ) -> Result<Vec<(PlatformKey, MediaRecord)>, MediaError> {
        give_way().await?;
        let range = Range::<MediaTable>::prefix((platform,)).after_last(last).limit(BATCH);
        let rows = self.shared.store.range(range).await?;
        note_rows(rows.len() as u64);
        Ok(rows)
    }

    /// An upload of a platform.
    pub async fn get_media(
        &self,
        platform: &OwnedServerName,
        media_id: &str,
        now_ts: u64,
    ) -> Result<ListedMedia, MediaError> {
        check_id(media_id)?;
        let record = self.shared.store.get::<MediaTable>(&media_key(platform, media_id)).await?;
        let record = record.filter(|record| is_there(record, now_ts)).ok_or(MediaError::NotFound)?;
        Ok(ListedMedia { media_id: media_id.to_owned(), record })
    }

    /// Removes an upload, takes it out of use, or gives it out again. Refuses what is protected.
    pub async fn treat_media(
        &self,
        platform: &OwnedServerName,
        media_id: &str,
        treatment: MediaTreatment,
        now_ts: u64,
    ) -> Result<(), MediaError> {
        let ListedMedia { record, .. } = self.get_media(platform, media_id, now_ts).await?;
        if record.protected && treatment != MediaTreatment::Release {
            return Err(MediaError::Protected);
        }
        self.treat(&media_key(platform, media_id), None, treatment).await.map(drop)
    }

    /// Protects an upload, or lifts that.
    pub async fn set_media_protected(
        &self,
        platform: &OwnedServerName,
        media_id: &str,
        protected: bool,
        now_ts: u64,
    ) -> Result<(), MediaError> {
        self.get_media(platform, media_id, now_ts).await?;
        let (store, key) = (&self.shared.store, media_key(platform, media_id));
        store
            .update(async || {
                let record = store.get::<MediaTable>(&key).await?.ok_or(MediaError::NotFound)?;
                let mut writes = WriteSet::new();
                writes.expect::<MediaTable>(&key, &record);
                writes.put::<MediaTable>(&key, &MediaRecord { protected, ..record });
                Ok((writes, ()))
            })
            .await
    }

    /// Does something with the uploads that are meant, one step of it: with those after `after`. What is protected stays as
    /// it is.
    pub async fn treat_all_media(
        &self,
        platform: &OwnedServerName,
        filter: &MediaFilter,
        treatment: MediaTreatment,
        after: Option<String>,
        now_ts: u64,
    ) -> Result<MediaStep, MediaError> {
        let page = self.list_media(platform, filter, after, MAX_TREATED, now_ts).await?;
        let mut step = MediaStep { treated: 0, next: page.next };
        for media in page.media {
            let key = media_key(platform, &media.media_id);
            step.treated += u64::from(self.treat(&key, None, treatment).await?);
        }
        Ok(step)
    }

    /// Does something with some uploads of a platform, as far as they are each of this user and not protected. Returns how
    /// many were changed.
    pub async fn treat_media_of(
        &self,
        platform: &OwnedServerName,
        uploads: &[(OwnedUserId, String)],
        treatment: MediaTreatment,
    ) -> Result<u64, MediaError> {
        let mut treated = 0;
        for (user_id, media_id) in uploads.iter().filter(|(_, media_id)| check_id(media_id).is_ok()) {
            let key = media_key(platform, media_id);
            treated += u64::from(self.treat(&key, Some(user_id), treatment).await?);
        }
        Ok(treated)
    }

    /// Does something with an upload, if it is there, is not protected, and is of the user where one is named. Returns whether
    /// it changed anything.
    async fn treat(
        &self,
        key: &PlatformKey,
        uploader: Option<&OwnedUserId>,
        treatment: MediaTreatment,
    ) -> Result<bool, MediaError> {
        let store = &self.shared.store;
        store
            .update(async || {
                let mut writes = WriteSet::new();
                let Some(record) = store.get::<MediaTable>(key).await? else { return Ok((writes, false)) };
                let is_free = !record.protected || treatment == MediaTreatment::Release;
                let is_theirs = uploader.is_none_or(|uploader| *uploader == record.user_id);
                let quarantined = treatment == MediaTreatment::Quarantine;
                let is_done = treatment != MediaTreatment::Remove && record.quarantined == quarantined;
                if !is_free || !is_theirs || is_done || record.object.is_none() {
                    return Ok((writes, false));
                }
                writes.expect::<MediaTable>(key, &record);
                match treatment {
                    MediaTreatment::Remove => self.remove_upload(&mut writes, key, &record).await?,
                    MediaTreatment::Quarantine | MediaTreatment::Release => {
                        writes.put::<MediaTable>(key, &MediaRecord { quarantined, ..record });
                    }
                }
                Ok::<_, MediaError>((writes, true))
            })
            .await
    }
}

/// Whether an upload has come, and has not expired.
fn is_there(record: &MediaRecord, now_ts: u64) -> bool {
    record.object.is_some() && !has_expired(record, now_ts)
}
