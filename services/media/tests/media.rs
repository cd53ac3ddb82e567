//! Media over an in-memory object store and an in-memory store. Where a test needs files, they lie in a
//! folder.

use std::{collections::BTreeMap, io::Cursor, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    future::{join, poll_immediate},
    stream,
};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage, Rgba, RgbaImage};
use linkspan_media::{
    Description, Media, MediaError, MediaFile, MediaStore, ThumbnailMethod, ThumbnailRequest, carry,
};
use linkspan_platforms::{Platforms, Settings};
use linkspan_storage::{
    Faults, Memory, Range, Space, Store, WriteSet,
    catalogue::{ExpiringMedia, Thumbnails},
};
use object_store::{ObjectStore, memory::InMemory};
use ruma::{MxcUri, OwnedMxcUri, OwnedUserId, ServerName, UserId, server_name, user_id};
use tokio::task::JoinSet;

const NOW: u64 = 1_700_000_000_000;
const MINUTE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const NO_WAIT: Duration = Duration::ZERO;

fn anna() -> &'static UserId {
    user_id!("@anna:insta.example")
}

fn insta() -> &'static ServerName {
    server_name!("insta.example")
}

/// Who asks for thumbnails.
fn asker() -> (&'static ServerName, &'static str) {
    (insta(), anna().as_str())
}

struct World {
    store: Store,
    media: Media,
    objects: Arc<InMemory>,
}

async fn platforms(store: &Store, upload_bytes: u64, media_quota_bytes: u64) -> Arc<Platforms> {
    let settings = ["insta", "phones"].map(|name| {
        let text = serde_json::json!({
            "name": name,
            "server_name": format!("{name}.example"),
            "limits": { "upload_bytes": upload_bytes, "media_quota_bytes": media_quota_bytes },
        });
        serde_json::from_value::<Settings>(text).expect("settings")
    });
    Arc::new(Platforms::open(store, settings.into(), 1).await.expect("platforms"))
}

async fn world_with(upload_bytes: u64, media_quota_bytes: u64) -> World {
    let store = Store::in_memory(Memory::new().expect("store"));
    let platforms = platforms(&store, upload_bytes, media_quota_bytes).await;
    let objects = Arc::new(InMemory::new());
    World { media: Media::new(store.clone(), platforms, MediaStore::of(objects.clone())), objects, store }
}

async fn world() -> World {
    world_with(50 << 20, 200 << 20).await
}

fn described(content_type: &str) -> Description {
    Description { content_type: Some(content_type.to_owned()), ..Description::default() }
}

fn chunks(content: &[u8]) -> impl futures_util::Stream<Item = Result<Bytes, String>> + Send + 'static {
    let chunks: Vec<_> = content.chunks(1 << 20).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks)
}

fn parts(uri: &MxcUri) -> (&ServerName, &str) {
    uri.parts().expect("a good URI")
}

impl World {
    async fn upload(&self, content: &[u8], content_type: &str) -> Result<OwnedMxcUri, MediaError> {
        self.media.upload(anna(), described(content_type), chunks(content), NOW).await
    }

    async fn open(&self, uri: &MxcUri) -> Result<MediaFile, MediaError> {
        let (server_name, media_id) = parts(uri);
        self.media.open(server_name, media_id, NO_WAIT, NOW).await
    }

    async fn thumbnail(
        &self,
        uri: &MxcUri,
        width: u32,
        height: u32,
        method: ThumbnailMethod,
    ) -> Result<MediaFile, MediaError> {
        let (server_name, media_id) = parts(uri);
        let wanted = ThumbnailRequest { width, height, method };
        self.media.thumbnail(asker(), server_name, media_id, wanted, NO_WAIT, NOW).await
    }

    async fn count_objects(&self) -> usize {
        self.objects.list(None).count().await
    }
}

async fn read(file: &MediaFile, range: std::ops::Range<u64>) -> Vec<u8> {
    let chunks: Vec<Bytes> = file.read(range).await.expect("open").try_collect().await.expect("read");
    chunks.concat()
}

async fn read_image(file: &MediaFile) -> DynamicImage {
    image::load_from_memory(&read(file, 0..file.size_bytes).await).expect("an image")
}

// Uploads and downloads

#[tokio::test]
async fn what_was_uploaded_is_downloaded() {
    let world = world().await;
    let description = Description {
        content_type: Some("Image/PNG".to_owned()),
        filename: Some("../a\r\nb.png".to_owned()),
        size_bytes: Some(5),
    };
    let uri = world.media.upload(anna(), description, chunks(b"hello"), NOW).await.expect("uploaded");
    let (server_name, media_id) = parts(&uri);
    assert_eq!((server_name, media_id.len()), (insta(), 24));

    let file = world.open(&uri).await.expect("there");
    assert_eq!(file.content_type.as_deref(), Some("image/png"));
    assert_eq!(file.filename.as_deref(), Some("ab.png"));
    assert_eq!(file.size_bytes, 5);
    assert_eq!(read(&file, 0..5).await, b"hello");
    assert_eq!(read(&file, 1..3).await, b"el");
    assert_eq!(read(&file, 4..5).await, b"o");
    assert_eq!(read(&file, 2..2).await, b"");
    // Contents lie in the folder of their platform.
    assert!(world.objects.list(Some(&"insta.example".into())).next().await.is_some());
}

#[tokio::test]
async fn empty_and_large_contents_are_whole() {
    let world = world().await;
    let empty = world.upload(b"", "text/plain").await.expect("uploaded");
    assert_eq!(world.open(&empty).await.expect("there").size_bytes, 0);

    let large: Vec<u8> = (0..12_000_000_u32).map(|index| (index % 251) as u8).collect();
    let uri = world.upload(&large, "video/mp4").await.expect("uploaded");
    let file = world.open(&uri).await.expect("there");
    assert_eq!(file.size_bytes, 12_000_000);
    assert!(read(&file, 0..12_000_000).await == large);
    assert_eq!(read(&file, 11_999_990..12_000_000).await, large[11_999_990..]);
}

#[tokio::test]
async fn a_folder_keeps_contents_too() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::in_memory(Memory::new().expect("store"));
    let platforms = platforms(&store, 50 << 20, 50 << 20).await;
    let objects = MediaStore::folder(&folder.path().join("media")).expect("folder");
    let media = Media::new(store, platforms, objects);

    let content: Vec<u8> = (0..6_000_000_u32).map(|index| (index % 251) as u8).collect();
    let uri = media.upload(anna(), Description::default(), chunks(&content), NOW).await.expect("uploaded");
    let (server_name, media_id) = parts(&uri);
    let path = folder.path().join("media").join("insta.example").join(&media_id[..2]).join(media_id);
    assert!(std::fs::read(path).expect("the file") == content);

    let file = media.open(server_name, media_id, NO_WAIT, NOW).await.expect("there");
    assert!(read(&file, 0..6_000_000).await == content);
    assert_eq!(read(&file, 5_000_000..5_000_007).await, content[5_000_000..5_000_007]);
}

#[tokio::test]
async fn ids_are_no_paths_and_servers_are_hosted() {
    let world = world().await;
    let uri = world.upload(b"secret", "text/plain").await.expect("uploaded");
    let (_, media_id) = parts(&uri);
    for (server_name, media_id) in [
        ("insta.example", "../insta.example"),
        ("insta.example", ".."),
        ("insta.example", ""),
        ("insta.example", "%2e%2e"),
        ("insta.example", "nothing-here"),
        ("phones.example", media_id),
        ("elsewhere.example", media_id),
    ] {
        let server_name = ServerName::parse(server_name).expect("server name");
        let found = world.media.open(&server_name, media_id, NO_WAIT, NOW).await;
        assert!(matches!(found, Err(MediaError::NotFound)), "{server_name} {media_id}: {found:?}");
    }
}

// Limits

#[tokio::test]
async fn too_large_uploads_leave_nothing() {
    let world = world_with(10_000_000, 100_000_000).await;
    for size in [10_000_001, 30_000_000] {
        let refused = world.upload(&vec![0; size], "text/plain").await;
        assert!(matches!(refused, Err(MediaError::TooLarge { limit_bytes: 10_000_000 })), "{refused:?}");
    }
    let announced = Description { size_bytes: Some(10_000_001), ..Description::default() };
    let never = stream::pending::<Result<Bytes, String>>();
    let refused = world.media.upload(anna(), announced, never, NOW).await;
    assert!(matches!(refused, Err(MediaError::TooLarge { .. })), "{refused:?}");
    assert_eq!(world.count_objects().await, 0);

    world.upload(&vec![0; 10_000_000], "text/plain").await.expect("just fits");
}

const KIB: u64 = 1 << 10;

/// So many KiB.
fn zeros(kib: usize) -> Vec<u8> {
    vec![0; kib << 10]
}

#[tokio::test]
async fn a_quota_is_kept_by_each_user() {
    let world = world_with(100 * KIB, 250 * KIB).await;
    world.upload(&zeros(100), "text/plain").await.expect("fits");
    world.upload(&zeros(100), "text/plain").await.expect("fits");
    let refused = world.upload(&zeros(51), "text/plain").await;
    assert!(matches!(refused, Err(MediaError::QuotaExceeded { quota_bytes: 256_000 })), "{refused:?}");
    let refused = world.upload(&zeros(101), "text/plain").await;
    assert!(matches!(refused, Err(MediaError::QuotaExceeded { .. })), "{refused:?}");
    world.upload(&zeros(50), "text/plain").await.expect("just fits");
    assert_eq!(world.count_objects().await, 3);

    let bert = user_id!("@bert:insta.example");
    world.media.upload(bert, Description::default(), chunks(&zeros(100)), NOW).await.expect("has his own");
}

#[tokio::test]
async fn a_quota_holds_against_uploads_at_the_same_time() {
    let world = world_with(100 * KIB, 1_000 * KIB).await;
    let content = zeros(100);
    let uploads = (0..40).map(|_| world.upload(&content, "text/plain"));
    let outcomes = futures_util::future::join_all(uploads).await;
    let kept = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(MediaError::QuotaExceeded { .. }))).count();
    assert_eq!((kept, refused), (10, 30));
    assert_eq!(world.count_objects().await, 10);
}

#[tokio::test]
async fn however_small_an_upload_is_it_counts() {
    const LEAST_BYTES: u64 = 4 << 10;
    let world = world_with(KIB, 3 * LEAST_BYTES).await;
    for _ in 0..3 {
        world.upload(&[0], "text/plain").await.expect("fits");
    }
    let refused = world.upload(&[0], "text/plain").await;
    assert!(matches!(refused, Err(MediaError::QuotaExceeded { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing() {
    let world = world().await;
    for sent in [3, 12] {
        let whole = (0..sent).map(|_| Ok(Bytes::from(vec![0; 1 << 20])));
        let broken = stream::iter(whole.chain([Err("connection reset".to_owned())]).collect::<Vec<_>>());
        let outcome = world.media.upload(anna(), Description::default(), broken, NOW).await;
        assert!(matches!(outcome, Err(MediaError::Interrupted(_))), "{outcome:?}");
    }
    assert_eq!(world.count_objects().await, 0);
}

// Uploads for ids that were given out before

#[tokio::test]
async fn a_created_id_gets_its_content_once() {
    let world = world().await;
    let (uri, expires_ts) = world.media.create(anna(), NOW).await.expect("created");
    assert_eq!(expires_ts, NOW + DAY_MS);
    let early = world.open(&uri).await;
    assert!(matches!(early, Err(MediaError::NotYetUploaded)), "{early:?}");

    let bert = user_id!("@bert:insta.example");
    let stranger = world.media.upload_to(bert, parts(&uri), described("a/b"), chunks(b"x"), NOW).await;
    assert!(matches!(stranger, Err(MediaError::NotYours)), "{stranger:?}");
    let cara = user_id!("@cara:phones.example");
    let foreigner = world.media.upload_to(cara, parts(&uri), described("a/b"), chunks(b"x"), NOW).await;
    assert!(matches!(foreigner, Err(MediaError::NotYours)), "{foreigner:?}");

    world
        .media
        .upload_to(anna(), parts(&uri), described("a/b"), chunks(b"content"), NOW)
        .await
        .expect("kept");
    let again = world.media.upload_to(anna(), parts(&uri), described("a/b"), chunks(b"other"), NOW).await;
    assert!(matches!(again, Err(MediaError::CannotOverwrite)), "{again:?}");
    let file = world.open(&uri).await.expect("there");
    assert_eq!(read(&file, 0..file.size_bytes).await, b"content");
    assert_eq!(world.count_objects().await, 1);
}

#[tokio::test]
async fn of_two_uploads_for_one_id_one_is_kept_whole() {
    let world = world().await;
    let (uri, _) = world.media.create(anna(), NOW).await.expect("created");
    let (long, short) = (vec![1; 1000], vec![2; 10]);
    let (first, second) = tokio::join!(
        world.media.upload_to(anna(), parts(&uri), described("a/b"), chunks(&long), NOW),
        world.media.upload_to(anna(), parts(&uri), described("a/b"), chunks(&short), NOW),
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let file = world.open(&uri).await.expect("there");
    let expected = if first.is_ok() { long } else { short };
    assert_eq!(read(&file, 0..file.size_bytes).await, expected);
    assert_eq!(world.count_objects().await, 1);
}

#[tokio::test]
async fn who_waits_gets_the_content_when_it_comes() {
    let world = world().await;
    let (uri, _) = world.media.create(anna(), NOW).await.expect("created");
    let (server_name, media_id) = parts(&uri);
    let (file, uploaded) = tokio::join!(
        world.media.open(server_name, media_id, Duration::from_secs(20), NOW),
        world.media.upload_to(anna(), (server_name, media_id), described("a/b"), chunks(b"hi"), NOW),
    );
    uploaded.expect("kept");
    assert_eq!(file.expect("it came").size_bytes, 2);
}

#[tokio::test]
async fn created_ids_expire_and_are_bounded() {
    let world = world().await;
    let (first, _) = world.media.create(anna(), NOW).await.expect("created");
    for _ in 1..50 {
        world.media.create(anna(), NOW).await.expect("created");
    }
    let refused = world.media.create(anna(), NOW + DAY_MS - 1).await;
    let Err(MediaError::TooManyPending { retry_after }) = refused else { panic!("{refused:?}") };
    assert_eq!(retry_after, Duration::from_millis(1), "the first ends then");

    let late = NOW + DAY_MS;
    let gone = world.media.upload_to(anna(), parts(&first), described("a/b"), chunks(b"x"), late).await;
    assert!(matches!(gone, Err(MediaError::NotFound)), "{gone:?}");
    let (server_name, media_id) = parts(&first);
    let gone = world.media.open(server_name, media_id, NO_WAIT, late).await;
    assert!(matches!(gone, Err(MediaError::NotFound)), "{gone:?}");
    world.media.create(anna(), late).await.expect("the old ones have expired");
}

#[tokio::test]
async fn a_used_id_is_no_longer_pending() {
    let world = world().await;
    for _ in 0..60 {
        let (uri, _) = world.media.create(anna(), NOW).await.expect("created");
        world.media.upload_to(anna(), parts(&uri), described("a/b"), chunks(b"x"), NOW).await.expect("kept");
    }
}

// Thumbnails

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

/// An image whose left half is red and whose right half is blue.
fn two_halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) })
}

fn is_red(image: &DynamicImage, x: u32, y: u32) -> bool {
    let Rgb([red, _, blue]) = *image.to_rgb8().get_pixel(x, y);
    red > 200 && blue < 60
}

fn is_blue(image: &DynamicImage, x: u32, y: u32) -> bool {
    let Rgb([red, _, blue]) = *image.to_rgb8().get_pixel(x, y);
    blue > 200 && red < 60
}

#[tokio::test]
async fn thumbnails_are_scaled_and_cropped_to_fixed_sizes() {
    let world = world().await;
    let uri = world.upload(&encoded(two_halves(800, 400), ImageFormat::Png), "image/png").await.expect("up");
    let mut made = BTreeMap::new();
    for (width, height, method) in [
        (320, 240, ThumbnailMethod::Scale),
        (100, 100, ThumbnailMethod::Scale),
        (640, 480, ThumbnailMethod::Scale),
        (20, 20, ThumbnailMethod::Crop),
        (96, 96, ThumbnailMethod::Crop),
        (200, 200, ThumbnailMethod::Crop),
    ] {
        let file = world.thumbnail(&uri, width, height, method).await.expect("thumbnail");
        assert_eq!(file.content_type.as_deref(), Some("image/jpeg"));
        let image = read_image(&file).await;
        made.insert(file.tag.clone(), (image.width(), image.height()));
        assert!(is_red(&image, 2, 2) && is_blue(&image, image.width() - 3, 2), "{width}x{height}");
    }
    let sizes: Vec<_> = made.into_values().collect();
    assert_eq!(sizes, [(320, 240), (320, 160), (32, 32), (640, 320), (96, 96)]);
    // There are the original and five thumbnails, as two of the six requests were for the same size.
    assert_eq!(world.count_objects().await, 6);
}

#[tokio::test]
async fn an_upload_goes_with_its_thumbnails_when_nothing_carries_it_any_more() {
    let world = world().await;
    let photo = encoded(two_halves(800, 400), ImageFormat::Png);
    let uri = world.upload(&photo, "image/png").await.expect("up");
    world.thumbnail(&uri, 96, 96, ThumbnailMethod::Crop).await.expect("thumbnail");
    let carry = async |by: &UserId, until_ts: Option<u64>| {
        let mut writes = WriteSet::new();
        let carried = carry(&world.store, &mut writes, by, &uri, until_ts, NOW).await.expect("read");
        world.store.commit(writes).await.expect("committed");
        carried
    };
    assert!(!carry(user_id!("@ben:insta.example"), Some(NOW + 1)).await, "it is anna's");
    assert!(carry(anna(), Some(NOW + 2)).await && carry(anna(), Some(NOW + 1)).await);
    let own =
        async |now_ts| world.media.list_own(&anna().to_owned(), None, 10, now_ts).await.expect("listed");
    // A message that was on its way may keep it for a minute.
    for now_ts in [NOW + 1 + MINUTE_MS, NOW + 2 + MINUTE_MS - 1] {
        world.media.remove_expired(now_ts).await.expect("removed");
        assert_eq!((world.count_objects().await, world.open(&uri).await.is_ok()), (2, true));
    }
    assert!(matches!(own(NOW + 1).await[..], [(_, Some(_))]));
    assert!(matches!(own(NOW + 2).await[..], [(_, None)]), "nobody is given it");
    world.media.remove_expired(NOW + 2 + MINUTE_MS).await.expect("removed");
    assert!(matches!(world.open(&uri).await, Err(MediaError::NotFound)));
    assert_eq!((world.count_objects().await, own(NOW).await), (0, Vec::new()));
}

#[tokio::test]
async fn uploads_stop_when_the_disk_is_nearly_full_and_go_on_when_it_is_not() {
    let store = Store::in_memory(Memory::new().expect("store"));
    let platforms = platforms(&store, 50 << 20, 50 << 20).await;
    let space = Arc::new(Space::pretended(1000, 1000));
    let objects = MediaStore::in_memory().with_space(space.clone());
    let media = Media::new(store, platforms, objects);
    let upload = async || media.upload(anna(), described("text/plain"), chunks(b"hello"), NOW).await;
    let uri = upload().await.expect("up");
    space.pretend(999);
    assert!(matches!(upload().await, Err(MediaError::Full)));
    let (server_name, media_id) = parts(&uri);
    media.open(server_name, media_id, NO_WAIT, NOW).await.expect("what is there is read");
    space.pretend(1000);
    upload().await.expect("up");
}

#[tokio::test]
async fn a_thumbnail_that_is_made_meanwhile_goes_with_its_image() {
    let engine = Memory::with_faults(Faults::default()).expect("store");
    let store = Store::in_memory(engine.clone());
    let (platforms, objects) = (platforms(&store, 50 << 20, 50 << 20).await, Arc::new(InMemory::new()));
    let media = Media::new(store.clone(), platforms, MediaStore::of(objects.clone()));
    let photo = encoded(two_halves(800, 400), ImageFormat::Png);
    let uri = media.upload(anna(), described("image/png"), chunks(&photo), NOW).await.expect("up");
    let mut writes = WriteSet::new();
    carry(&store, &mut writes, anna(), &uri, Some(NOW + 1), NOW).await.expect("read");
    store.commit(writes).await.expect("committed");

    let held = engine.hold_disk().expect("a disk");
    let (server_name, media_id) = parts(&uri);
    let wanted = ThumbnailRequest { width: 96, height: 96, method: ThumbnailMethod::Crop };
    let thumbnail = media.thumbnail(asker(), server_name, media_id, wanted, NO_WAIT, NOW);
    let sweep = async {
        let waiting = tokio::task::spawn_blocking(move || {
            held.wait_for_write();
            held
        });
        let held = waiting.await.expect("the thumbnail is written");
        let mut sweep = pin!(media.remove_expired(NOW + 1 + MINUTE_MS));
        let swept = poll_immediate(&mut sweep).await;
        assert!(swept.is_none(), "it waits for the disk");
        drop(held);
        sweep.await
    };
    let (thumbnail, swept) = join(thumbnail, sweep).await;
    thumbnail.expect("made");
    swept.expect("removed");
    assert_eq!(objects.list(None).count().await, 0);
    assert_eq!(store.keys(Range::<Thumbnails>::all()).await.expect("read"), []);
}

#[tokio::test]
async fn an_upload_that_cannot_be_removed_keeps_no_other() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::in_memory(Memory::new().expect("store"));
    let platforms = platforms(&store, 50 << 20, 50 << 20).await;
    let media = Media::new(store.clone(), platforms, MediaStore::folder(folder.path()).expect("folder"));
    let path = |uri: &MxcUri| {
        let (server_name, media_id) = parts(uri);
        folder.path().join(server_name.as_str()).join(&media_id[..2]).join(media_id)
    };
    let mut uris = Vec::new();
    for (number, by) in [anna(), anna(), user_id!("@ben:phones.example")].into_iter().enumerate() {
        let uri = media.upload(by, described("a/b"), chunks(b"x"), NOW).await.expect("up");
        let mut writes = WriteSet::new();
        carry(&store, &mut writes, by, &uri, Some(NOW + number as u64), NOW - 1).await.expect("read");
        store.commit(writes).await.expect("committed");
        uris.push(uri);
    }
    // A folder is no file, and is not removed as one.
    std::fs::remove_file(path(&uris[0])).expect("it was there");
    std::fs::create_dir_all(path(&uris[0]).join("full")).expect("it is made");
    media.remove_expired(NOW + 10 + MINUTE_MS).await.ok();
    let left = store.keys(Range::<ExpiringMedia>::all()).await.expect("read");
    assert_eq!(left.iter().map(|row| row.media_id.as_str()).collect::<Vec<_>>(), [parts(&uris[0]).1]);
    assert!(!path(&uris[1]).exists() && !path(&uris[2]).exists());
}

#[tokio::test]
async fn transparency_is_kept() {
    let world = world().await;
    let image = RgbaImage::from_pixel(400, 400, Rgba([0, 255, 0, 0]));
    let uri = world.upload(&encoded(image, ImageFormat::WebP), "image/webp").await.expect("up");
    let file = world.thumbnail(&uri, 96, 96, ThumbnailMethod::Crop).await.expect("thumbnail");
    assert_eq!(file.content_type.as_deref(), Some("image/png"));
    assert_eq!(read_image(&file).await.to_rgba8().get_pixel(50, 50).0[3], 0);
}

#[tokio::test]
async fn small_images_are_their_own_thumbnails_unless_they_move() {
    let world = world().await;
    let png = encoded(two_halves(60, 30), ImageFormat::Png);
    let uri = world.upload(&png, "image/png").await.expect("up");
    let file = world.thumbnail(&uri, 96, 96, ThumbnailMethod::Crop).await.expect("thumbnail");
    assert_eq!(read(&file, 0..file.size_bytes).await, png);
    let file = world.thumbnail(&uri, 96, 96, ThumbnailMethod::Crop).await.expect("from the record");
    assert_eq!(read(&file, 0..file.size_bytes).await, png);

    let gif = encoded(DynamicImage::from(two_halves(60, 30)).to_rgba8(), ImageFormat::Gif);
    let uri = world.upload(&gif, "image/gif").await.expect("up");
    let file = world.thumbnail(&uri, 96, 96, ThumbnailMethod::Crop).await.expect("thumbnail");
    assert_eq!(file.content_type.as_deref(), Some("image/png"));
    let image = read_image(&file).await;
    assert_eq!((image.width(), image.height()), (60, 30));
}

#[tokio::test]
async fn crops_are_never_larger_than_the_image() {
    let world = world().await;
    let uri = world.upload(&encoded(two_halves(40, 500), ImageFormat::Png), "image/png").await.expect("up");
    let image = read_image(&world.thumbnail(&uri, 96, 96, ThumbnailMethod::Crop).await.expect("made")).await;
    assert_eq!((image.width(), image.height()), (40, 40));
    let uri = world.upload(&encoded(two_halves(3000, 2), ImageFormat::Png), "image/png").await.expect("up");
    let image = read_image(&world.thumbnail(&uri, 96, 96, ThumbnailMethod::Crop).await.expect("made")).await;
    assert_eq!((image.width(), image.height()), (2, 2));
    let image = read_image(&world.thumbnail(&uri, 96, 96, ThumbnailMethod::Scale).await.expect("made")).await;
    assert_eq!((image.width(), image.height()), (320, 1));
}

/// A JPEG with an EXIF block that says how it is turned.
fn turned_jpeg(image: RgbImage, orientation: u8) -> Vec<u8> {
    let jpeg = encoded(image, ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut turned = jpeg[..2].to_vec();
    turned.extend([0xFF, 0xE1]);
    turned.extend(u16::try_from(exif.len() + 2).expect("short").to_be_bytes());
    turned.extend(exif);
    turned.extend(&jpeg[2..]);
    turned
}

#[tokio::test]
async fn photos_stand_upright() {
    let world = world().await;
    let photo = turned_jpeg(two_halves(800, 400), 6);
    let mut decoder = ImageReader::new(Cursor::new(&photo))
        .with_guessed_format()
        .expect("read")
        .into_decoder()
        .expect("a JPEG");
    assert_eq!(decoder.orientation().expect("EXIF").to_exif(), 6, "the test's photo is turned");

    let uri = world.upload(&photo, "image/jpeg").await.expect("up");
    // The image is turned by a quarter clockwise, so its left becomes its top.
    let image =
        read_image(&world.thumbnail(&uri, 320, 240, ThumbnailMethod::Scale).await.expect("made")).await;
    assert_eq!((image.width(), image.height()), (120, 240));
    assert!(is_red(&image, 60, 5) && is_blue(&image, 60, 234));
    let image =
        read_image(&world.thumbnail(&uri, 320, 240, ThumbnailMethod::Crop).await.expect("made")).await;
    assert_eq!((image.width(), image.height()), (320, 240));
    assert!(is_red(&image, 160, 5) && is_blue(&image, 160, 234));
}

/// A PNG whose header claims any size.
fn png_bomb(width: u32, height: u32) -> Vec<u8> {
    let mut png = encoded(two_halves(4, 4), ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = !png[12..29].iter().fold(!0_u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    });
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    png
}

#[tokio::test]
async fn bombs_and_rubbish_get_no_thumbnail() {
    let world = world().await;
    let mut gif_bomb = encoded(DynamicImage::from(two_halves(4, 4)).to_rgba8(), ImageFormat::Gif);
    gif_bomb[6..10].copy_from_slice(&[0xFF; 4]);
    let png = encoded(two_halves(500, 500), ImageFormat::Png);
    for (name, content) in [
        ("too wide", png_bomb(1_000_000, 1)),
        ("too many pixels", png_bomb(16_000, 16_000)),
        ("as many as there can be", png_bomb(0x7FFF_FFFF, 0x7FFF_FFFF)),
        ("a GIF", gif_bomb),
        ("cut off", png[..png.len() / 2].to_vec()),
        ("no image", b"GIF89a".to_vec()),
        ("empty", Vec::new()),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
    ] {
        let uri = world.upload(&content, "image/png").await.expect("up");
        for _ in 0..2 {
            let refused = world.thumbnail(&uri, 96, 96, ThumbnailMethod::Crop).await;
            assert!(matches!(refused, Err(MediaError::CannotThumbnail)), "{name}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn only_images_of_some_size_get_thumbnails() {
    let world = world().await;
    let text =
        world.upload(&encoded(two_halves(200, 200), ImageFormat::Png), "text/plain").await.expect("up");
    let refused = world.thumbnail(&text, 96, 96, ThumbnailMethod::Crop).await;
    assert!(matches!(refused, Err(MediaError::CannotThumbnail)), "{refused:?}");
    let large = world.upload(&vec![0; (20 << 20) + 1], "image/png").await.expect("up");
    let refused = world.thumbnail(&large, 96, 96, ThumbnailMethod::Crop).await;
    assert!(matches!(refused, Err(MediaError::TooLargeToThumbnail)), "{refused:?}");
    let refused = world.thumbnail(&text, 0, 96, ThumbnailMethod::Crop).await;
    assert!(matches!(refused, Err(MediaError::CannotThumbnail)), "{refused:?}");
}

#[tokio::test]
async fn a_crowd_that_wants_thumbnails_keeps_nobody_on_another_platform_waiting() {
    let world = world().await;
    let image = encoded(two_halves(200, 200), ImageFormat::Png);
    let of_crowd = stream::iter(0..200).then(|_| world.upload(&image, "image/png"));
    let of_crowd: Vec<_> = of_crowd.try_collect().await.expect("up");
    let one_more = world.upload(&image, "image/png").await.expect("up");
    let wanted = ThumbnailRequest { width: 96, height: 96, method: ThumbnailMethod::Crop };
    let mut crowd = JoinSet::new();
    for (number, uri) in of_crowd.into_iter().enumerate() {
        let media = world.media.clone();
        crowd.spawn(async move {
            let ((server_name, media_id), who) = (parts(&uri), number.to_string());
            media.thumbnail((insta(), &who), server_name, media_id, wanted, NO_WAIT, NOW).await.map(drop)
        });
    }
    // Once the first has its thumbnail, the others wait for theirs.
    crowd.join_next().await.expect("the first").expect("no panic").expect("made");
    let (server_name, media_id) = parts(&one_more);
    let asker = (server_name!("phones.example"), "@ben:phones.example");
    world.media.thumbnail(asker, server_name, media_id, wanted, NO_WAIT, NOW).await.expect("made");
    let before = std::iter::from_fn(|| crowd.try_join_next()).count();
    assert!(before < 40, "{before} came before, where a few had places");
}

#[tokio::test]
async fn uploads_that_stand_still_leave_room_to_others() {
    let world = world().await;
    let stalled = || stream::pending::<Result<Bytes, String>>();
    let users: Vec<OwnedUserId> =
        (0..30).map(|n| format!("@{n}:insta.example").try_into().expect("a user id")).collect();
    let upload = |user_id| Box::pin(world.media.upload(user_id, described("a/b"), stalled(), NOW));
    let mut uploads = Vec::new();
    // Each has eight at a time, and all of a platform have 192.
    for user_id in users.iter().flat_map(|user_id| std::iter::repeat_n(user_id, 10)) {
        let mut upload = upload(user_id);
        assert!(poll_immediate(&mut upload).await.is_none());
        uploads.push(upload);
    }
    let short = chunks(b"hello");
    let of_same = world.media.upload(anna(), described("a/b"), short, NOW);
    assert!(poll_immediate(pin!(of_same)).await.is_none(), "the platform has as many as it may have");
    let ben = user_id!("@ben:phones.example");
    world.media.upload(ben, described("a/b"), chunks(b"hello"), NOW).await.expect("uploaded");
}

// Leftovers

#[tokio::test]
async fn leftovers_are_removed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::in_memory(Memory::new().expect("store"));
    let platforms = platforms(&store, 50 << 20, 50 << 20).await;
    let media = Media::new(store, platforms, MediaStore::folder(folder.path()).expect("folder"));
    let png = encoded(two_halves(200, 200), ImageFormat::Png);
    let uri = media.upload(anna(), described("image/png"), chunks(&png), NOW).await.expect("up");
    let (server_name, media_id) = parts(&uri);
    let wanted = ThumbnailRequest { width: 96, height: 96, method: ThumbnailMethod::Crop };
    media.thumbnail(asker(), server_name, media_id, wanted, NO_WAIT, NOW).await.expect("made");
    let (pending, _) = media.create(anna(), NOW).await.expect("created");
    media.upload_to(anna(), parts(&pending), described("a/b"), chunks(b"x"), NOW).await.expect("kept");
    let shelf = folder.path().join("insta.example").join("le");
    std::fs::create_dir_all(&shelf).expect("shelf");
    for leftover in ["leftover-without-a-record", "leftover-half-written#1", "leftover.96x96-crop"] {
        std::fs::write(shelf.join(leftover), b"x").expect("written");
    }

    // Files carry the real time. Seen from long ago all of them are young, and from far ahead all are old.
    assert_eq!(media.remove_leftovers(NOW).await.expect("young ones stay"), 0);
    let far_ahead = NOW * 10;
    assert_eq!(media.remove_leftovers(far_ahead).await.expect("removed"), 3);
    assert_eq!(media.remove_leftovers(far_ahead).await.expect("nothing left"), 0);

    for uri in [&uri, &pending] {
        let (server_name, media_id) = parts(uri);
        let file = media.open(server_name, media_id, NO_WAIT, NOW).await.expect("there");
        assert_eq!(read(&file, 0..file.size_bytes).await.len() as u64, file.size_bytes);
    }
    let thumbnail =
        media.thumbnail(asker(), server_name, media_id, wanted, NO_WAIT, NOW).await.expect("there");
    assert_eq!(read(&thumbnail, 0..thumbnail.size_bytes).await.len() as u64, thumbnail.size_bytes);
}
