//! Where contents lie: in a folder or a bucket.

use std::{
    io,
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, buffered::BufWriter,
    local::LocalFileSystem, memory::InMemory, path::Path,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use linkspan_storage::{Shortage, Space};

use crate::MediaError;

/// The size of the parts in which a large content is written. A content smaller than this is written at once.
const PART_BYTES: usize = 5 << 20;
/// How many parts of one content are written at the same time.
const PARTS: usize = 2;
/// How much of a file is read at once.
const READ_BYTES: usize = 128 << 10;

/// An object store for contents. Clones share it.
#[derive(Clone, Debug)]
pub struct MediaStore {
    objects: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
    /// The room there is for contents. A bucket looks after that itself.
    space: Option<Arc<Space>>,
}

impl MediaStore {
    /// Keeps contents in a folder, which is created if it is not there.
    pub fn folder(path: &FilePath) -> Result<Self, MediaError> {
        let failed = |error: io::Error| MediaError::Objects(generic(error));
        std::fs::create_dir_all(path).map_err(failed)?;
        let folder = path.canonicalize().map_err(failed)?;
        let objects = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
        let space = Arc::new(Space::of_folder(&folder, None));
        Ok(Self { objects: Arc::new(objects), folder: Some(folder), space: Some(space) })
    }

    /// Keeps contents in memory, for tests.
    pub fn in_memory() -> Self {
        Self::of(Arc::new(InMemory::new()))
    }

    /// Keeps contents in any object store.
    pub fn of(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, folder: None, space: None }
    }

    /// Takes contents as long as there is room in `space`.
    pub fn with_space(self, space: Arc<Space>) -> Self {
        Self { space: Some(space), ..self }
    }

    /// Refuses if there is no room for contents.
    pub(crate) fn check_space(&self) -> Result<(), MediaError> {
        match &self.space {
            Some(space) if space.shortage() >= Shortage::Uploads => Err(MediaError::Full),
            _ => Ok(()),
        }
    }

    /// Keeps contents in a bucket of S3, or of a server that speaks its protocol.
    #[cfg(feature = "s3")]
    pub fn s3(settings: &S3Settings) -> Result<Self, MediaError> {
        // The whole process has one provider, and another part of it may have set it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = object_store::aws::AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_access_key_id(&settings.access_key)
            .with_secret_access_key(&settings.secret_key);
        if let Some(endpoint) = &settings.endpoint {
            // Other servers know buckets by path, not by host name.
            builder = builder
                .with_endpoint(endpoint)
                .with_virtual_hosted_style_request(false)
                .with_allow_http(endpoint.starts_with("http://"));
        } else {
            builder = builder.with_virtual_hosted_style_request(true);
        }
        Ok(Self::of(Arc::new(builder.build()?)))
    }

    pub(crate) fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The folder that contents are kept in, if it is one.
    pub(crate) fn as_folder(&self) -> Option<&FilePath> {
        self.folder.as_deref()
    }

    /// Writes a content that is known to be small.
    pub(crate) async fn put(&self, path: &Path, content: Vec<u8>) -> Result<(), MediaError> {
        self.check_space()?;
        self.objects.put(path, content.into()).await?;
        Ok(())
    }

    /// Writes a content as it comes. One with more than `limit_bytes` is refused, and nothing remains of one
    /// that fails. Returns the size.
    pub(crate) async fn write<S, E>(
        &self,
        path: &Path,
        content: S,
        limit_bytes: u64,
        too_large: impl Fn() -> MediaError,
    ) -> Result<u64, MediaError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: std::fmt::Display,
    {
        let mut writer = BufWriter::with_capacity(self.objects.clone(), path.clone(), PART_BYTES)
            .with_max_concurrency(PARTS);
        let mut size_bytes = 0_u64;
        let mut content = std::pin::pin!(content);
        let filled = async {
            while let Some(chunk) = content.next().await {
                let chunk = chunk.map_err(|error| MediaError::Interrupted(error.to_string()))?;
                size_bytes += chunk.len() as u64;
                if size_bytes > limit_bytes {
                    return Err(too_large());
                }
                self.check_space()?;
                writer.put(chunk).await?;
            }
            Ok(())
        };
        let filled: Result<(), MediaError> = filled.await;
        if let Err(error) = filled {
            if let Err(error) = writer.abort().await {
                tracing::warn!(%error, %path, "an aborted upload could not be cleaned up");
            }
            return Err(error);
        }
        // A writer that fails removes what it has written.
        writer.shutdown().await.map_err(generic)?;
        Ok(size_bytes)
    }

    /// Reads a part of a content as it is asked for.
    pub(crate) async fn read(
        &self,
        path: &Path,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, MediaError> {
        if range.is_empty() {
            return Ok(futures_util::stream::empty().boxed());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.objects.get_opts(path, options).await?;
        Ok(match found.payload {
            GetResultPayload::File(file, _) => read_file(file, found.range).boxed(),
            _ => found.into_stream().map(|chunk| chunk.map_err(io::Error::from)).boxed(),
        })
    }

    /// Reads a whole content that is known to be small.
    pub(crate) async fn read_all(&self, path: &Path) -> Result<Bytes, MediaError> {
        Ok(self.objects.get(path).await?.bytes().await?)
    }

    /// Removes a content. It is no error if the content is not there.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), MediaError> {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads a part of a file, in larger pieces than the object store's own stream does.
fn read_file(file: std::fs::File, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> {
    let start = (tokio::fs::File::from_std(file), Some(range.start), range.end - range.start);
    futures_util::stream::try_unfold(start, |(mut file, seek_to, left)| async move {
        if let Some(offset) = seek_to {
            tokio::io::AsyncSeekExt::seek(&mut file, io::SeekFrom::Start(offset)).await?;
        }
        if left == 0 {
            return Ok(None);
        }
        let wanted = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
        let mut piece = bytes::BytesMut::with_capacity(wanted);
        let read = (&mut file).take(wanted as u64).read_buf(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((piece.freeze(), (file, None, left - read as u64))))
    })
}

fn generic(error: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "media", source: Box::new(error) }
}

/// An S3 bucket.
#[cfg(feature = "s3")]
#[derive(Clone)]
pub struct S3Settings {
    /// The name of the bucket.
    pub bucket: String,
    /// The region of the bucket.
    pub region: String,
    /// The URL of the server. Without one it is Amazon's.
    pub endpoint: Option<String>,
    /// The id of the access key.
    pub access_key: String,
    /// The secret part of the access key.
    pub secret_key: String,
}

#[cfg(feature = "s3")]
impl std::fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Settings").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
