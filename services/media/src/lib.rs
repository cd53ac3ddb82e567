//! Media: uploads, downloads, thumbnails.
//!
//! The content lies in an object store, each platform's under its own prefix; the records lie in the
//! store. A record is committed, with the bytes counted for its user, once its content is whole: so a
//! record lacks no content before it has expired, and content without a record is left over from a crash and
//! swept up. Content never changes, and goes with the last message that carried it. This crate knows no HTTP; who may
//! ask is decided above.

mod carried;
mod description;
mod download;
mod id;
mod leftovers;
mod objects;
mod operate;
mod own;
mod pending;
mod preview;
mod resize;
mod thumbnail;
mod upload;
mod webp;

use std::{sync::Arc, thread, time::Duration};

use linkspan_platforms::{HoldingLimits, Limited, NamedShares, NotDone, Platforms, Shares, WaitingLimits};
use linkspan_storage::{CacheSize, StorageError, Store};
use ruma::{OwnedServerName, ServerName};
use tokio::sync::{Semaphore, broadcast};

pub use carried::{MAX_CARRIED, carry};
pub use description::{Description, clean_filename};
pub use download::{Content, MediaFile};
pub use objects::MediaStore;
#[cfg(feature = "s3")]
pub use objects::S3Settings;
pub use operate::{ListedMedia, MediaFilter, MediaOverview, MediaPage, MediaStep, MediaTreatment, UserUsage};
pub use thumbnail::{ThumbnailMethod, ThumbnailRequest};

/// How many thumbnails are made at the same time, if there are twice as many cores. It is all work and no waiting, and the
/// other half of the cores is for others.
const THUMBNAIL_WORKERS: usize = 4;
/// How many thumbnails wait to be made. Most take less than a tenth of a second. A room full of pictures has about a
/// hundred of them in sight at most, and a client asks for all at once.
const THUMBNAIL_WAITING: WaitingLimits = WaitingLimits { per_who: 128, per_platform: 256, in_all: 1_024 };
/// The memory of all images that are made small at the same time, in KiB. One of the largest kind fits in, or dozens of photos.
const IMAGE_MEMORY_KIB: u32 = 512 << 10;
/// How many uploads run at the same time, of which each has some megabytes in memory and is as slow as its client. Clients
/// send a few at a time.
const UPLOADS: HoldingLimits = HoldingLimits { per_who: 8, per_platform: 192, in_all: 256 };
/// How many uploads wait. Nothing of them is in memory.
const UPLOADS_WAITING: WaitingLimits = WaitingLimits { per_who: 32, per_platform: 512, in_all: 2_048 };
/// How many news of arrived contents are kept for those who wait for them.
const ARRIVALS: usize = 256;

/// Something about media failed.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// There is no such media.
    #[error("no such media")]
    NotFound,
    /// The id was given to somebody else.
    #[error("this media id was given to somebody else")]
    NotYours,
    /// The upload is too large.
    #[error("an upload has at most {limit_bytes} bytes")]
    TooLarge {
        /// The greatest size that is accepted.
        limit_bytes: u64,
    },
    /// The user would have more than the platform allows.
    #[error("you may store {quota_bytes} bytes in all")]
    QuotaExceeded {
        /// How much a user may store.
        quota_bytes: u64,
    },
    /// Operators keep it from being removed or quarantined.
    #[error("this upload is protected: lift that first")]
    Protected,
    /// The id has its content already.
    #[error("this media id is used already")]
    CannotOverwrite,
    /// The content has not come yet.
    #[error("the content has not been uploaded yet")]
    NotYetUploaded,
    /// The user has too many ids that wait for their content.
    #[error("too many uploads are pending")]
    TooManyPending {
        /// When the first of them ends.
        retry_after: Duration,
    },
    /// There is no thumbnail of this media.
    #[error("no thumbnail can be made of this")]
    CannotThumbnail,
    /// The image is too large to make a thumbnail of.
    #[error("this is too large to make a thumbnail of")]
    TooLargeToThumbnail,
    /// Too many uploads, thumbnails or previews of the same kind are waited for.
    #[error("too much is being uploaded or prepared at this time; try again")]
    Busy(#[from] Limited),
    /// No preview of this address can be shown, or none may be.
    #[error("{0}")]
    NoPreview(String),
    /// The disk that contents are kept on is nearly full.
    #[error("the server has no room for uploads at present")]
    Full,
    /// The content broke off.
    #[error("the upload broke off: {0}")]
    Interrupted(String),
    /// The object store failed.
    #[error("object store: {0}")]
    Objects(#[from] object_store::Error),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A thumbnail could not be begun.
    #[error(transparent)]
    NotDone(#[from] NotDone),
}

/// The media of all platforms. Clones are the same media.
#[derive(Clone, Debug)]
pub struct Media {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    platforms: Arc<Platforms>,
    objects: MediaStore,
    /// Tells which contents have come for ids that were given out before.
    arrivals: broadcast::Sender<(OwnedServerName, String)>,
    uploads: Shares,
    /// The places at which thumbnails are made.
    thumbnails: Shares,
    /// A permit for each KiB of memory of images that are decoded.
    image_memory: Arc<Semaphore>,
    previews: preview::Previews,
}

impl Media {
    /// The media whose records are in `store` and whose content is in `objects`.
    pub fn new(store: Store, platforms: Arc<Platforms>, objects: MediaStore) -> Self {
        Self::new_with(store, platforms, objects, false)
    }

    /// Does the same. With `preview_private`, pages at private and local addresses are previewed too, for
    /// networks in which users are trusted with all that the server reaches.
    pub fn new_with(
        store: Store,
        platforms: Arc<Platforms>,
        objects: MediaStore,
        preview_private: bool,
    ) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            store,
            platforms,
            objects,
            arrivals: broadcast::Sender::new(ARRIVALS),
            uploads: Shares::new_limited(UPLOADS, UPLOADS_WAITING),
            thumbnails: Shares::new((cores / 2).min(THUMBNAIL_WORKERS), THUMBNAIL_WAITING),
            image_memory: Arc::new(Semaphore::new(IMAGE_MEMORY_KIB as usize)),
            previews: preview::Previews::new(preview_private),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The places that its work shares, for operators.
    pub fn shares(&self) -> [NamedShares; 3] {
        let shared = &self.shared;
        [
            ("uploads", shared.uploads.clone()),
            ("thumbnails", shared.thumbnails.clone()),
            ("previews", shared.previews.places().clone()),
        ]
    }

    /// What is kept in memory, by name, for operators.
    pub fn cache_sizes(&self) -> [(&'static str, CacheSize); 1] {
        [("previews", self.shared.previews.size())]
    }

    /// The greatest upload that a platform accepts, in bytes.
    pub fn upload_limit(&self, platform: &ServerName) -> Result<u64, MediaError> {
        self.limits(platform).map(|(upload_bytes, _)| upload_bytes)
    }

    /// The greatest upload that a platform accepts and what a user of it may store, in bytes.
    fn limits(&self, platform: &ServerName) -> Result<(u64, u64), MediaError> {
        let platform = self.shared.platforms.get(platform).ok_or(MediaError::NotFound)?;
        let limits = &platform.settings.limits;
        Ok((limits.upload_bytes, limits.media_quota_bytes))
    }
}
