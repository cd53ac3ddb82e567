//! Previews of pages that people link to. The server fetches a page, so that its readers do not have to.
//! <https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url>
//!
//! Previews are kept in memory for a while, by platform. The picture of a page becomes media of the user who
//! asked first, and counts as that user's.

mod fetch;
mod page;

use std::{sync::Arc, time::Duration};

use futures_util::stream;
use image::ImageReader;
use linkspan_outbound::Outbound;
use quick_cache::sync::Cache;
use reqwest::Url;
use ruma::UserId;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::{Description, Media, MediaError, preview::fetch::Fetched};

/// How long a fetch may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many fetches of all users run at the same time.
const FETCHES: usize = 16;
/// How many previews are kept.
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
    fetches: Semaphore,
    kept: Cache<String, Kept>,
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
            fetches: Semaphore::new(FETCHES),
            kept: Cache::new(CACHED),
        }
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
        let previews = &self.shared.previews;
        let name = format!("{} {url}", user_id.server_name());
        previews.kept.remove_if(&name, |(expires_ts, _)| *expires_ts <= now_ts);
        // Others who ask for the same address wait for the same answer.
        let (_, kept) = match previews.kept.get_value_or_guard_async(&name).await {
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
        let _permit = previews.fetches.acquire().await.map_err(|_| MediaError::Busy)?;
        let fetched = fetch::fetch(&previews.outbound, url, PAGE_BYTES, PICTURE_BYTES).await;
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
                        fetch::fetch(&previews.outbound, picture, 0, PICTURE_BYTES).await
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
        let reader = ImageReader::new(std::io::Cursor::new(&bytes)).with_guessed_format();
        let Some((width, height)) = reader.ok().and_then(|reader| reader.into_dimensions().ok()) else {
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
