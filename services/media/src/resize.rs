//! Making a small image of a large one. This is pure. Images come from outside, so there are limits to what
//! is decoded.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits,
    codecs::{jpeg::JpegEncoder, png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};

use crate::{ThumbnailMethod, ThumbnailRequest};

/// The greatest width or height of an image that is decoded.
const SIDE_PIXELS: u32 = 16_384;
/// The most pixels of an image that is decoded. A decoder may need up to ten bytes for each.
const IMAGE_PIXELS: u64 = 40_000_000;
/// The most bytes that a decoder may allocate.
const DECODER_BYTES: u64 = 256 << 20;
const JPEG_QUALITY: u8 = 80;

/// What became of an image.
#[derive(Debug)]
pub(crate) enum Resized {
    Made {
        content: Vec<u8>,
        content_type: &'static str,
    },
    /// The image is small enough as it is.
    Original,
    /// It is no image that can be read, or it is too large.
    Impossible,
}

/// Makes a thumbnail that does not move.
pub(crate) fn resize(image: &[u8], wanted: ThumbnailRequest) -> Resized {
    try_resize(image, wanted).unwrap_or_else(|error| {
        tracing::debug!(%error, "no thumbnail can be made");
        Resized::Impossible
    })
}

fn try_resize(image: &[u8], wanted: ThumbnailRequest) -> ImageResult<Resized> {
    let mut reader = ImageReader::new(Cursor::new(image)).with_guessed_format()?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_PIXELS);
    limits.max_image_height = Some(SIDE_PIXELS);
    limits.max_alloc = Some(DECODER_BYTES);
    reader.limits(limits.clone());
    let format = reader.format();
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > IMAGE_PIXELS {
        return Ok(Resized::Impossible);
    }
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation()?;
    let is_turned = turns(orientation);
    // The image is turned after it was made small, so the frame is turned before that.
    let (frame_width, frame_height) =
        if is_turned { (wanted.height, wanted.width) } else { (wanted.width, wanted.height) };
    let is_small = width <= frame_width && height <= frame_height;
    if is_small && !may_move(image, format)? {
        return Ok(Resized::Original);
    }
    let image = DynamicImage::from_decoder(decoder)?;
    let mut small = match (is_small, wanted.method) {
        (true, _) => image,
        (false, ThumbnailMethod::Scale) => scale(&image, frame_width, frame_height),
        (false, ThumbnailMethod::Crop) => crop(&image, frame_width, frame_height),
    };
    small.apply_orientation(orientation);
    encode(&small)
}

/// Whether width and height change places when the image is turned.
fn turns(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Whether the original may be animated. Then it cannot stand for its own thumbnail.
fn may_move(image: &[u8], format: Option<ImageFormat>) -> ImageResult<bool> {
    match format {
        Some(ImageFormat::Gif) => Ok(true),
        Some(ImageFormat::Png) => PngDecoder::new(Cursor::new(image))?.is_apng(),
        Some(ImageFormat::WebP) => Ok(WebPDecoder::new(Cursor::new(image))?.has_animation()),
        _ => Ok(false),
    }
}

/// Fits the whole image into the frame.
fn scale(image: &DynamicImage, frame_width: u32, frame_height: u32) -> DynamicImage {
    image.thumbnail(frame_width, frame_height)
}

/// Fills the frame with the middle of the image, without making it larger.
fn crop(image: &DynamicImage, frame_width: u32, frame_height: u32) -> DynamicImage {
    let (width, height) = (u64::from(image.width()), u64::from(image.height()));
    let (frame_width, frame_height) = (u64::from(frame_width), u64::from(frame_height));
    // This is the largest part of the image that has the frame's proportions.
    let (part_width, part_height) = if width * frame_height > height * frame_width {
        ((height * frame_width / frame_height).max(1), height)
    } else {
        (width, (width * frame_height / frame_width).max(1))
    };
    let pixels = |value: u64| u32::try_from(value).expect("not more than the image's side");
    let part = image.crop_imm(
        pixels((width - part_width) / 2),
        pixels((height - part_height) / 2),
        pixels(part_width),
        pixels(part_height),
    );
    if part_width <= frame_width {
        return part;
    }
    part.thumbnail_exact(pixels(frame_width), pixels(frame_height))
}

/// Encodes an image as PNG if parts of it are transparent, and otherwise as JPEG.
fn encode(image: &DynamicImage) -> ImageResult<Resized> {
    let mut content = Cursor::new(Vec::new());
    let content_type = if image.color().has_alpha() {
        DynamicImage::from(image.to_rgba8()).write_to(&mut content, ImageFormat::Png)?;
        "image/png"
    } else {
        image.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut content, JPEG_QUALITY))?;
        "image/jpeg"
    };
    Ok(Resized::Made { content: content.into_inner(), content_type })
}
