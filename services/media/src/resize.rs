//! Making a small image of a large one. This is pure. Images come from outside, so there are limits to what
//! is decoded: first the head alone is read, within narrow limits, and it says how much memory the rest takes at most.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits,
    codecs::{jpeg::JpegEncoder, png::PngDecoder, webp::WebPDecoder},
    error::{LimitError, LimitErrorKind},
    metadata::Orientation,
};

use crate::{ThumbnailMethod, ThumbnailRequest, webp};

/// The greatest width or height of an image that is decoded.
const SIDE_PIXELS: u32 = 16_384;
/// The most pixels of an image that is decoded.
const IMAGE_PIXELS: u64 = 40_000_000;
/// The most bytes that a decoder needs for each pixel: those of the image itself, and those of what it is made from.
const PIXEL_BYTES: u64 = 10;
/// The most bytes that a decoder may allocate for the pixels.
const DECODER_BYTES: u64 = 256 << 20;
/// The most bytes that a decoder may allocate for the head: colour profiles and texts, which are unpacked before anything
/// else of a PNG image, and of which 20 MB are packed 20 GB. No real profile has more than a few megabytes.
const HEAD_BYTES: u64 = 8 << 20;
/// The most bytes of memory that one image takes while it is made small.
pub(crate) const MOST_BYTES: u64 = IMAGE_PIXELS * PIXEL_BYTES + 2 * HEAD_BYTES;
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

/// An image whose head has been read.
pub(crate) struct Source<'a> {
    image: &'a [u8],
    format: Option<ImageFormat>,
    decoder: Box<dyn ImageDecoder + 'a>,
}

impl<'a> Source<'a> {
    /// Reads the head of an image. None if it is no image that can be read, or it is too large.
    pub(crate) fn read(image: &'a [u8]) -> Option<Self> {
        let source = Self::try_read(image).inspect_err(|error| tracing::debug!(%error, "this is no image"));
        source.ok().filter(|source| source.pixels() <= IMAGE_PIXELS)
    }

    fn try_read(image: &'a [u8]) -> ImageResult<Self> {
        let mut reader = ImageReader::new(Cursor::new(image)).with_guessed_format()?;
        reader.limits(limits(HEAD_BYTES));
        let format = reader.format();
        // The decoder of WebP knows no limits.
        if format == Some(ImageFormat::WebP)
            && webp::most_pixels(image).is_none_or(|most| most > IMAGE_PIXELS)
        {
            let error = LimitError::from_kind(LimitErrorKind::DimensionError);
            return Err(ImageError::Limits(error));
        }
        Ok(Self { image, format, decoder: Box::new(reader.into_decoder()?) })
    }

    /// Its width and height, in pixels.
    pub(crate) fn dimensions(&self) -> (u32, u32) {
        self.decoder.dimensions()
    }

    fn pixels(&self) -> u64 {
        let (width, height) = self.dimensions();
        u64::from(width) * u64::from(height)
    }

    /// The most bytes of memory that [`resize`] takes for it, besides the image as it is.
    pub(crate) fn needed_bytes(&self) -> u64 {
        self.pixels() * PIXEL_BYTES + 2 * HEAD_BYTES
    }
}

/// Makes a thumbnail that does not move.
pub(crate) fn resize(source: Source<'_>, wanted: ThumbnailRequest) -> Resized {
    try_resize(source, wanted).unwrap_or_else(|error| {
        tracing::debug!(%error, "no thumbnail can be made");
        Resized::Impossible
    })
}

/// Limits to the sides of an image, and to what a decoder allocates.
fn limits(allocated_bytes: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_PIXELS);
    limits.max_image_height = Some(SIDE_PIXELS);
    limits.max_alloc = Some(allocated_bytes);
    limits
}

fn try_resize(source: Source<'_>, wanted: ThumbnailRequest) -> ImageResult<Resized> {
    let mut limits = limits(source.needed_bytes().min(DECODER_BYTES));
    let (width, height) = source.dimensions();
    let Source { image, format, mut decoder } = source;
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
        Some(ImageFormat::Png) => PngDecoder::with_limits(Cursor::new(image), limits(HEAD_BYTES))?.is_apng(),
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

#[cfg(test)]
mod tests {
    use image::{ImageEncoder, RgbImage, codecs::png::PngEncoder};

    use super::*;

    fn png_with_profile(profile_bytes: u64) -> Vec<u8> {
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_icc_profile(vec![0; profile_bytes as usize]).expect("it takes profiles");
        RgbImage::new(4, 4).write_with_encoder(encoder).expect("it is written");
        png
    }

    #[test]
    fn profiles_are_unpacked_within_limits() {
        for (profile_bytes, is_kept) in [(HEAD_BYTES / 4, true), (HEAD_BYTES + 1, false)] {
            let png = png_with_profile(profile_bytes);
            let mut source = Source::read(&png).expect("the image itself is small");
            assert_eq!(source.decoder.icc_profile().expect("it is read").is_some(), is_kept);
            let wanted = ThumbnailRequest { width: 32, height: 32, method: ThumbnailMethod::Crop };
            assert!(matches!(resize(source, wanted), Resized::Original));
        }
    }
}
