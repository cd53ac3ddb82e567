//! The picture of the conversation, drawn here, and what is seen of a picture that arrives.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

pub(crate) const WIDTH: u32 = 480;
pub(crate) const HEIGHT: u32 = 320;

/// Where the sky ends and the water begins.
const HORIZON: f32 = 0.62;

fn mix(from: [f32; 3], to: [f32; 3], part: f32) -> [f32; 3] {
    let part = part.clamp(0.0, 1.0);
    [0, 1, 2].map(|at| from[at] + (to[at] - from[at]) * part)
}

/// The colour of a point of the picture: a morning over the water, and a linkspan whose ramp is half lowered.
/// Both coordinates go from 0 to 1.
fn colour(x: f32, y: f32) -> [f32; 3] {
    const SKY: [[f32; 3]; 2] = [[52.0, 84.0, 140.0], [250.0, 198.0, 150.0]];
    const WATER: [[f32; 3]; 2] = [[214.0, 158.0, 132.0], [28.0, 52.0, 86.0]];
    const DARK: [f32; 3] = [24.0, 32.0, 46.0];
    let ratio = WIDTH as f32 / HEIGHT as f32;
    // The quay, its tower, the ramp, and the line that holds the ramp.
    let quay = x < 0.3 && y > 0.56;
    let tower = (0.25..0.27).contains(&x) && y > 0.26;
    let ramp = (0.3..0.66).contains(&x) && (y - (0.56 + (x - 0.3) * 0.12)).abs() < 0.011;
    let line = (0.26..0.6).contains(&x) && (y - (0.27 + (x - 0.26) * 0.95)).abs() < 0.004;
    let ship = (0.66..0.97).contains(&x) && y > 0.5 + (x - 0.66) * -0.1 && y < 0.68;
    if quay || tower || ramp || line || ship {
        return DARK;
    }
    if y > HORIZON {
        let glitter =
            if ((x - 0.5).abs() < 0.05 + (y - HORIZON) * 0.3) && ((y * 90.0) as u32).is_multiple_of(3) {
                0.35
            } else {
                0.0
            };
        return mix(mix(WATER[0], WATER[1], (y - HORIZON) / (1.0 - HORIZON)), [255.0, 226.0, 180.0], glitter);
    }
    let distance = (((x - 0.5) * ratio).powi(2) + (y - 0.48).powi(2)).sqrt();
    let sky = mix(SKY[0], SKY[1], y / HORIZON);
    mix([255.0, 240.0, 206.0], sky, (distance - 0.075) / 0.012)
}

/// Draws the picture, as PNG.
pub(crate) fn draw() -> Vec<u8> {
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        Rgb(colour(x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32).map(|value| value as u8))
    });
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).expect("a picture in memory becomes PNG");
    png.into_inner()
}

/// The width and height of a picture in pixels, or None if the data are no picture.
pub(crate) fn size(picture: &[u8]) -> Option<(u32, u32)> {
    image::load_from_memory(picture).ok().map(|picture| (picture.width(), picture.height()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_picture_of_its_size() {
        assert_eq!(size(&draw()), Some((WIDTH, HEIGHT)));
        assert_eq!(size(b"no picture"), None);
    }
}
