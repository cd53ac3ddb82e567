//! Thumbnails, which are made when they are first asked for, and kept.
//! <https://spec.matrix.org/v1.19/client-server-api/#thumbnails>

use std::time::Duration;

use linkspan_platforms::NotDone;
use linkspan_storage::{
    WriteSet,
    catalogue::{Media as MediaTable, ThumbnailKey, Thumbnails},
    records::{MediaRecord, ThumbnailRecord},
};
use ruma::ServerName;
use tokio::runtime::Handle;

use crate::{
    IMAGE_MEMORY_KIB, Media, MediaError, MediaFile, carried,
    id::{media_key, object_path},
    resize::{MOST_BYTES, Resized, Source, resize},
};

/// The size of the largest image that thumbnails are made of, in bytes.
const IMAGE_BYTES: u64 = 20 << 20;

/// How an image is brought to the asked size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThumbnailMethod {
    /// The image is cut to the wanted proportions.
    Crop,
    /// The image keeps its proportions, and is at most as large as wanted.
    Scale,
}

impl ThumbnailMethod {
    fn as_str(self) -> &'static str {
        match self {
            Self::Crop => "crop",
            Self::Scale => "scale",
        }
    }

    /// The sizes to which images are brought in this way.
    fn sizes(self) -> &'static [(u32, u32)] {
        match self {
            Self::Crop => &SIZES[..],
            Self::Scale => &SIZES[2..],
        }
    }
}

/// The size and kind of a thumbnail, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThumbnailRequest {
    /// The wanted width.
    pub width: u32,
    /// The wanted height.
    pub height: u32,
    /// The wanted method.
    pub method: ThumbnailMethod,
}

/// The sizes of thumbnails that are made, the smallest first. For the two smallest, images are only cropped.
const SIZES: [(u32, u32); 5] = [(32, 32), (96, 96), (320, 240), (640, 480), (800, 600)];

impl ThumbnailRequest {
    /// The smallest size of those that are made that is not smaller than the wanted one, or the largest.
    fn snapped(self) -> Result<Self, MediaError> {
        if self.width == 0 || self.height == 0 {
            return Err(MediaError::CannotThumbnail);
        }
        let sizes = self.method.sizes();
        let fits = |(width, height): &&(u32, u32)| self.width <= *width && self.height <= *height;
        let (width, height) = *sizes.iter().find(fits).unwrap_or(&SIZES[SIZES.len() - 1]);
        Ok(Self { width, height, method: self.method })
    }
}

impl Media {
    /// Gives a thumbnail of an image of a hosted platform. It is never animated and never larger than the
    /// image; an image that is small enough is its own thumbnail. Waits as [`Media::open`] does. `asker` is a hosted
    /// platform, and who of it asks, a user or a network; too many at once are refused with [`MediaError::Busy`].
    pub async fn thumbnail(
        &self,
        asker: (&ServerName, &str),
        server_name: &ServerName,
        media_id: &str,
        wanted: ThumbnailRequest,
        wait: Duration,
        now_ts: u64,
    ) -> Result<MediaFile, MediaError> {
        let wanted = wanted.snapped()?;
        let (record, object) = self.find(server_name, media_id, wait, now_ts).await?;
        if !record.content_type.as_deref().is_some_and(|content_type| content_type.starts_with("image/")) {
            return Err(MediaError::CannotThumbnail);
        }
        if record.size_bytes > IMAGE_BYTES {
            return Err(MediaError::TooLargeToThumbnail);
        }
        let source = self.original(server_name, record.clone(), object);
        let key = ThumbnailKey {
            platform: server_name.to_owned(),
            media_id: media_id.to_owned(),
            width: wanted.width,
            height: wanted.height,
            method: wanted.method.as_str().to_owned(),
        };
        let made = match self.shared.store.get::<Thumbnails>(&key).await? {
            Some(made) => made,
            None => self.make_thumbnail(asker, &key, wanted, &source).await?,
        };
        match made {
            ThumbnailRecord::Original => Ok(source),
            ThumbnailRecord::Impossible => Err(MediaError::CannotThumbnail),
            ThumbnailRecord::Made { content_type, size_bytes } => {
                Ok(self.made(&key, &record, content_type, size_bytes))
            }
        }
    }

    fn made(
        &self,
        key: &ThumbnailKey,
        record: &MediaRecord,
        content_type: String,
        size_bytes: u64,
    ) -> MediaFile {
        let object = object_of(key);
        let extension = if content_type == "image/png" { "png" } else { "jpg" };
        let filename = record.filename.as_ref().map(|name| {
            let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
            format!("{stem}.{extension}")
        });
        MediaFile {
            content_type: Some(content_type),
            filename,
            size_bytes,
            path: object_path(&key.platform, &object),
            tag: object,
            expires_ts: carried::goes_at(record),
            objects: self.shared.objects.clone(),
        }
    }

    /// Makes a thumbnail and keeps it, or notes that there can be none.
    async fn make_thumbnail(
        &self,
        (platform, who): (&ServerName, &str),
        key: &ThumbnailKey,
        wanted: ThumbnailRequest,
        source: &MediaFile,
    ) -> Result<ThumbnailRecord, MediaError> {
        let shared = &self.shared;
        let place = shared.thumbnails.take(platform, who).await?;
        // Somebody else who waited may have made it meanwhile.
        if let Some(made) = shared.store.get::<Thumbnails>(key).await? {
            return Ok(made);
        }
        let image = shared.objects.read_all(&source.path).await?;
        let (memory, runtime) = (shared.image_memory.clone(), Handle::current());
        let resized = place.run(move || {
            let Some(source) = Source::read(&image) else { return Resized::Impossible };
            let _memory = runtime.block_on(memory.acquire_many(needed_kib(&source)));
            resize(source, wanted)
        });
        let resized = match resized.await {
            // A decoder that panics has met an image that it cannot read.
            Err(NotDone::Panicked) => Resized::Impossible,
            resized => resized?,
        };
        let record = match resized {
            Resized::Original => ThumbnailRecord::Original,
            Resized::Impossible => ThumbnailRecord::Impossible,
            Resized::Made { content, content_type } => {
                let size_bytes = content.len() as u64;
                shared.objects.put(&object_path(&key.platform, &object_of(key)), content).await?;
                ThumbnailRecord::Made { content_type: content_type.to_owned(), size_bytes }
            }
        };
        let noted = self.note_thumbnail(key, &record).await;
        if matches!(noted, Err(MediaError::NotFound)) {
            shared.objects.delete(&object_path(&key.platform, &object_of(key))).await?;
        }
        noted.map(|()| record)
    }

    /// Notes a thumbnail, unless its image has gone meanwhile.
    async fn note_thumbnail(&self, key: &ThumbnailKey, record: &ThumbnailRecord) -> Result<(), MediaError> {
        let store = &self.shared.store;
        let media_key = media_key(&key.platform, &key.media_id);
        store
            .update(async || {
                let media = store.get::<MediaTable>(&media_key).await?.ok_or(MediaError::NotFound)?;
                let mut writes = WriteSet::new();
                writes.expect::<MediaTable>(&media_key, &media);
                writes.put::<Thumbnails>(key, record);
                Ok((writes, ()))
            })
            .await
    }
}

/// The memory that making an image small takes, in KiB.
fn needed_kib(source: &Source<'_>) -> u32 {
    const { assert!(MOST_BYTES >> 10 < IMAGE_MEMORY_KIB as u64) };
    u32::try_from(source.needed_bytes() >> 10).expect("it is less than that of the largest image")
}

/// All thumbnails that there may be of an image.
pub(crate) fn thumbnail_keys(platform: &ServerName, media_id: &str) -> Vec<ThumbnailKey> {
    let methods = [ThumbnailMethod::Crop, ThumbnailMethod::Scale];
    let kinds = methods.iter().flat_map(|method| method.sizes().iter().map(move |size| (method, size)));
    kinds
        .map(|(method, &(width, height))| ThumbnailKey {
            platform: platform.to_owned(),
            media_id: media_id.to_owned(),
            width,
            height,
            method: method.as_str().to_owned(),
        })
        .collect()
}

/// The name of a thumbnail in the object store.
pub(crate) fn object_of(key: &ThumbnailKey) -> String {
    format!("{}.{}x{}-{}", key.media_id, key.width, key.height, key.method)
}

#[cfg(test)]
mod tests {
    use super::{ThumbnailMethod::*, ThumbnailRequest};

    #[test]
    fn sizes_are_snapped() {
        let snapped = |width, height, method| {
            let made = ThumbnailRequest { width, height, method }.snapped().ok()?;
            Some((made.width, made.height))
        };
        assert_eq!(snapped(1, 1, Crop), Some((32, 32)));
        assert_eq!(snapped(33, 1, Crop), Some((96, 96)));
        assert_eq!(snapped(97, 97, Crop), Some((320, 240)));
        assert_eq!(snapped(1, 1, Scale), Some((320, 240)));
        assert_eq!(snapped(320, 241, Scale), Some((640, 480)));
        assert_eq!(snapped(801, 1, Scale), Some((800, 600)));
        assert_eq!(snapped(u32::MAX, u32::MAX, Crop), Some((800, 600)));
        assert_eq!(snapped(0, 1, Crop), None);
    }
}
