//! How large the parts of a WebP image are, as they say themselves. Its decoder takes their word, each on its own: a
//! small canvas may hold a frame of 268 million pixels, and room is made for a text of 4 GB that is not there.
//! <https://developers.google.com/speed/webp/docs/riff_container>

/// The length of the head of a file, and of each chunk in it, in bytes.
const FILE_HEAD: usize = 12;
const CHUNK_HEAD: usize = 8;
/// The length of what comes before the chunks of a frame, in bytes.
const FRAME_HEAD: usize = 16;

/// The pixels of the largest part. None if a part goes on after the end of the file, or is too short.
pub(crate) fn most_pixels(image: &[u8]) -> Option<u64> {
    most_of_chunks(image.get(FILE_HEAD..)?)
}

fn most_of_chunks(mut chunks: &[u8]) -> Option<u64> {
    let mut most = 0;
    while let Some((head, rest)) = chunks.split_at_checked(CHUNK_HEAD) {
        let (name, length) = head.split_at(4);
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (data, rest) = rest.split_at_checked(length)?;
        let pixels = match name {
            b"VP8X" => pixels(sides_24(data.get(4..10)?)),
            b"ANMF" => {
                let frame = pixels(sides_24(data.get(6..12)?));
                frame.max(most_of_chunks(data.get(FRAME_HEAD..)?)?)
            }
            // The two highest bits of each side say something else.
            b"VP8 " => pixels((number(data.get(6..8)?) & 0x3fff, number(data.get(8..10)?) & 0x3fff)),
            b"VP8L" => {
                let sides = number(data.get(1..5)?);
                pixels(((sides & 0x3fff) + 1, (sides >> 14 & 0x3fff) + 1))
            }
            _ => 0,
        };
        most = most.max(pixels);
        // A chunk of odd length is followed by a byte of padding.
        chunks = rest.get(length % 2..).unwrap_or_default();
    }
    Some(most)
}

/// Two sides of which each is one more than three bytes say.
fn sides_24(bytes: &[u8]) -> (u64, u64) {
    let (width, height) = bytes.split_at(3);
    (number(width) + 1, number(height) + 1)
}

fn pixels((width, height): (u64, u64)) -> u64 {
    width * height
}

/// A number, the lowest byte first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::most_pixels;

    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut chunk = [name, &(data.len() as u32).to_le_bytes()[..], data].concat();
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        chunk
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        [b"RIFF\0\0\0\0WEBP".to_vec(), chunks.concat()].concat()
    }

    #[test]
    fn the_largest_part_counts() {
        let canvas = chunk(b"VP8X", &[2, 0, 0, 0, 9, 0, 0, 4, 0, 0]);
        assert_eq!(most_pixels(&file(std::slice::from_ref(&canvas))), Some(10 * 5));
        let lossy = chunk(b"VP8 ", &[0, 0, 0, 0x9d, 1, 0x2a, 0xff, 0x3f, 0xff, 0xff]);
        assert_eq!(most_pixels(&file(&[canvas.clone(), lossy.clone()])), Some(16_383 * 16_383));
        let frame = chunk(b"ANMF", &[vec![0; 16], lossy].concat());
        assert_eq!(most_pixels(&file(&[canvas.clone(), frame])), Some(16_383 * 16_383));
        let lossless = chunk(b"VP8L", &[0x2f, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(most_pixels(&file(&[canvas.clone(), lossless])), Some(16_384 * 16_384));
        let text = [b"EXIF".to_vec(), u32::MAX.to_le_bytes().to_vec()].concat();
        assert_eq!(most_pixels(&file(&[canvas, text])), None);
        assert_eq!(most_pixels(b"RIFF"), None);
        assert_eq!(most_pixels(&file(&[chunk(b"ANMF", &[0; 15])])), None);
    }
}
