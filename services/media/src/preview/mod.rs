//! Previews of pages that people link to. The server fetches a page, so that its readers do not have to.
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url>
//!
//! Previews are kept in memory for a while, by platform. The picture of a page becomes media of the user who
//! asked first, and counts as that user's.

mod fetch;
mod page;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::stream;
use linkspan_outbound::Outbound;
use linkspan_platforms::{HoldingLimits, Shares, WaitingLimits};
use linkspan_storage::CacheSize;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use reqwest::Url;
use ruma::{OwnedServerName, ServerName, UserId};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use crate::{Description, Media, MediaError, preview::fetch::Fetched, resize::Source};

/// How long a fetch may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a preview may take in all: a page, its picture, and the redirects to both.
const MAKING: Duration = Duration::from_secs(30);
/// How many previews are being made at the same time. Strangers may keep each waiting for as long as [`MAKING`], so that
/// neither a user nor the users of one platform may use all of the places. With 16 of them at most 88 MB of pages and
/// pictures are in memory.
const FETCHES: HoldingLimits = HoldingLimits { per_who: 4, per_platform: 12, in_all: 16 };
/// How many previews wait to be made. Clients ask for those that are in sight.
const WAITING: WaitingLimits = WaitingLimits { per_who: 32, per_platform: 128, in_all: 512 };
/// How many previews are kept of each platform: its people ask for others' in vain, and displace their own only.
const CACHED: usize = 2_000;
/// How long the preview of a page is kept, in milliseconds.
const FRESH_MS: u64 = 24 * 60 * 60 * 1000;
/// How long it is remembered that a page cannot be read, in milliseconds.
const FAILED_MS: u64 = 10 * 60 * 1000;
/// The longest address, in bytes.
const URL_BYTES: usize = 2_048;
/// The most bytes of a page that are read. The rest of a larger page is left out.
const PAGE_BYTES: usize = 512 << 10;
/// The greatest picture, in bytes.
const PICTURE_BYTES: usize = 5 << 20;

type Kept = (u64, Result<Arc<str>, String>);

/// What is known of previews. It is kept in memory only.
pub(crate) struct Previews {
    outbound: Outbound,
    fetches: Shares,
    kept: Mutex<HashMap<OwnedServerName, Arc<Cache<String, Kept>>>>,
}

impl std::fmt::Debug for Previews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Previews")
    }
}

impl Previews {
    pub(crate) fn new(allow_private: bool) -> Self {
        Self {
            outbound: Outbound::new(TIMEOUT, allow_private),
            fetches: Shares::new_limited(FETCHES, WAITING),
            kept: Mutex::default(),
        }
    }

    /// The places at which pages are fetched.
    pub(crate) fn places(&self) -> &Shares {
        &self.fetches
    }

    /// How many previews are kept.
    pub(crate) fn size(&self) -> CacheSize {
        let kept = self.kept.lock();
        let none = CacheSize { entries: 0, weight: 0, limit: 0 };
        kept.values().map(|kept| CacheSize::of(kept)).fold(none, |all, of_platform| CacheSize {
            entries: all.entries + of_platform.entries,
            weight: all.weight + of_platform.weight,
            limit: all.limit + of_platform.limit,
        })
    }

    /// The previews that are kept of a hosted platform.
    fn kept_of(&self, platform: &ServerName) -> Arc<Cache<String, Kept>> {
        let mut kept = self.kept.lock();
        let of_platform = kept.entry(platform.to_owned());
        of_platform.or_insert_with(|| Arc::new(Cache::new(CACHED))).clone()
    }
}

impl Media {
    /// The preview of the page at an address, as a JSON object of OpenGraph's properties.
    pub async fn preview_url(
        &self,
        user_id: &UserId,
        url: &str,
        now_ts: u64,
    ) -> Result<Arc<str>, MediaError> {
        let platform = self.shared.platforms.get(user_id.server_name()).ok_or(MediaError::NotFound)?;
        if !platform.settings.url_previews {
            return Err(MediaError::NotFound);
        }
        let no_page = || MediaError::NoPreview("this is not the address of a page".into());
        let mut url: Url = Some(url)
            .filter(|url| url.len() <= URL_BYTES)
            .and_then(|url| url.parse().ok())
            .ok_or_else(no_page)?;
        url.set_fragment(None);
        let kept = self.shared.previews.kept_of(user_id.server_name());
        let name = url.to_string();
        kept.remove_if(&name, |(expires_ts, _)| *expires_ts <= now_ts);
        // Others who ask for the same address wait for the same answer.
        let (_, kept) = match kept.get_value_or_guard_async(&name).await {
            Ok(kept) => kept,
            Err(guard) => {
                let kept = match self.make_preview(user_id, url, now_ts).await {
                    Ok(preview) => (now_ts + FRESH_MS, Ok(preview)),
                    Err(MediaError::NoPreview(reason)) => (now_ts + FAILED_MS, Err(reason)),
                    // What is wrong with this server is not kept.
                    Err(error) => return Err(error),
                };
                drop(guard.insert(kept.clone()));
                kept
            }
        };
        kept.map_err(MediaError::NoPreview)
    }

    async fn make_preview(&self, user_id: &UserId, url: Url, now_ts: u64) -> Result<Arc<str>, MediaError> {
        let previews = &self.shared.previews;
        let _place = previews.fetches.take(user_id.server_name(), user_id.as_str()).await?;
        let ends = Instant::now() + MAKING;
        let fetched = fetch_until(ends, &previews.outbound, url, PAGE_BYTES).await;
        let mut preview = Map::new();
        match fetched.map_err(MediaError::NoPreview)? {
            Fetched::Page { url, html } => {
                let read = page::read(&html);
                preview.extend(read.properties.into_iter().map(|(name, text)| (name, Value::String(text))));
                preview.entry("og:url").or_insert_with(|| Value::String(url.to_string()));
                let picture = read.picture.and_then(|picture| url.join(&picture).ok());
                if let Some(picture) = picture {
                    // The preview of a page is good without its picture, too.
                    if let Ok(Fetched::Picture { content_type, bytes, .. }) =
                        fetch_until(ends, &previews.outbound, picture, 0).await
                    {
                        self.add_picture(user_id, &mut preview, content_type, bytes, now_ts).await?;
                    }
                }
            }
            Fetched::Picture { url, content_type, bytes } => {
                preview.insert("og:url".into(), url.to_string().into());
                self.add_picture(user_id, &mut preview, content_type, bytes, now_ts).await?;
            }
        }
        Ok(Value::Object(preview).to_string().into())
    }

    async fn add_picture(
        &self,
        user_id: &UserId,
        preview: &mut Map<String, Value>,
        content_type: String,
        bytes: Vec<u8>,
        now_ts: u64,
    ) -> Result<(), MediaError> {
        // What is no picture is not stored, whatever type its server gives it.
        let Some((width, height)) = Source::read(&bytes).map(|source| source.dimensions()) else {
            return Ok(());
        };
        let size_bytes = bytes.len() as u64;
        let description = Description {
            content_type: Some(content_type.clone()),
            filename: None,
            size_bytes: Some(size_bytes),
        };
        let content = stream::iter([Ok::<_, std::io::Error>(bytes.into())]);
        let uri = match self.upload(user_id, description, content, now_ts).await {
            Ok(uri) => uri,
            // Without room for the picture the preview has none.
            Err(MediaError::TooLarge { .. } | MediaError::QuotaExceeded { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        preview.insert("og:image".into(), uri.to_string().into());
        preview.insert("og:image:type".into(), content_type.into());
        preview.insert("og:image:width".into(), width.into());
        preview.insert("og:image:height".into(), height.into());
        preview.insert("matrix:image:size".into(), size_bytes.into());
        Ok(())
    }
}

/// Fetches a page or a picture, as [`fetch::fetch`] does, for as long as there is time.
async fn fetch_until(
    ends: Instant,
    outbound: &Outbound,
    url: Url,
    page_bytes: usize,
) -> Result<Fetched, String> {
    let fetched = fetch::fetch(outbound, url, page_bytes, PICTURE_BYTES);
    timeout_at(ends, fetched).await.unwrap_or_else(|_| Err("the page takes too long".to_owned()))
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pages_that_never_answer_keep_nobody_on_another_platform_waiting() {
        let (fetches, here) = (Previews::new(true).fetches, server_name!("a.example"));
        let mut held = Vec::new();
        for who in 0..FETCHES.in_all {
            let who = who.to_string();
            // Each user asks for more than one may have.
            for _ in 0..FETCHES.in_all {
                let place = fetches.take(here, &who);
                held.extend(tokio::time::timeout(TIMEOUT, place).await);
            }
        }
        assert_eq!(held.len(), FETCHES.per_platform);
        fetches.take(server_name!("b.example"), "@ben:b.example").await.expect("a place");
    }
}
