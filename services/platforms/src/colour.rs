//! A platform's colour: the one that is configured, or one that is derived from the platform's name.

use std::fmt;

/// The greatest relative luminance of a colour on which white text has a contrast of 4.5 at least.
const DARK: f64 = 0.18;

/// A colour: red, green and blue. It is written as `#1f5f8b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// White.
    pub const WHITE: Self = Self([0xff; 3]);
    /// What is nearly black, for text on a light colour.
    pub const INK: Self = Self([0x10, 0x15, 0x1b]);

    /// Parses a colour, such as `#12ab9f`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
        Some(Self([part(0)?, part(2)?, part(4)?]))
    }

    /// The colour of a platform for which none is configured. White text can be read on it.
    pub(crate) fn of_name(name: &str) -> Self {
        from_hue(hue(name))
    }

    /// The colour of text that can be read on this one.
    pub fn text(self) -> Self {
        if self.luminance() > DARK { Self::INK } else { Self::WHITE }
    }

    /// The colour that is nearest to this one, on the way to black or white, whose text can be read on a ground: it has a
    /// contrast of 4.5 at least.
    #[must_use]
    pub fn readable_on(self, ground: Self) -> Self {
        const STEPS: u16 = 32;
        let end = if ground.luminance() > DARK { Self([0; 3]) } else { Self::WHITE };
        (0..STEPS)
            .map(|step| self.mixed(end, step, STEPS))
            .find(|colour| colour.contrast(ground) >= 4.5)
            .unwrap_or(end)
    }

    /// This colour with so many parts of another in it, of `all` parts.
    #[must_use]
    pub fn mixed(self, other: Self, parts: u16, all: u16) -> Self {
        let mix = |at: usize| (u16::from(self.0[at]) * (all - parts) + u16::from(other.0[at]) * parts) / all;
        Self([0, 1, 2].map(|at| mix(at) as u8))
    }

    /// The contrast of two colours, from 1 to 21, as WCAG 2 defines it.
    fn contrast(self, other: Self) -> f64 {
        let [one, other] = [self, other].map(|colour| colour.luminance() + 0.05);
        f64::max(one, other) / f64::min(one, other)
    }

    /// The relative luminance, as WCAG 2 defines it.
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

fn hue(name: &str) -> f64 {
    let hash =
        name.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    f64::from(hash % 360)
}

/// A colour that is dark enough for white text.
fn from_hue(hue: f64) -> Colour {
    const SATURATION: f64 = 0.62;
    let mut lightness = 0.44;
    loop {
        let part = |offset: f64| {
            let at = (offset + hue / 30.0) % 12.0;
            let depth = SATURATION * f64::min(lightness, 1.0 - lightness);
            let value = lightness - depth * (at - 3.0).min(9.0 - at).clamp(-1.0, 1.0);
            (value * 255.0).round() as u8
        };
        let colour = Colour([part(0.0), part(8.0), part(4.0)]);
        if colour.luminance() <= DARK {
            return colour;
        }
        lightness -= 0.02;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_on_every_colour_can_be_read() {
        for hue in 0..360 {
            let contrast = from_hue(f64::from(hue)).contrast(Colour::WHITE);
            assert!(contrast >= 4.5, "{hue}: {contrast}");
        }
        assert_ne!(hue("instagram"), hue("messenger"));
        assert_eq!(Colour([0xff, 0xee, 0xdd]).text(), Colour::INK);
    }

    #[test]
    fn a_colour_becomes_one_that_can_be_read() {
        let [light, dark] = [Colour([0xe9, 0xeb, 0xee]), Colour([0x26, 0x2b, 0x31])];
        let samples = (0..=0xff).step_by(15);
        let all = samples.clone().flat_map(|red| samples.clone().map(move |green| [red, green]));
        for [red, green] in all {
            for colour in [Colour([red, green, 0]), Colour([0, red, green]), Colour([red, red, green])] {
                for ground in [light, dark] {
                    let contrast = colour.readable_on(ground).contrast(ground);
                    assert!(contrast >= 4.5, "{colour} on {ground}: {contrast}");
                }
            }
        }
        let plum = Colour([0x9c, 0x24, 0x63]);
        assert_eq!(plum.readable_on(light), plum, "what can be read already stays as it is");
        assert_eq!(Colour::WHITE.contrast(Colour([0; 3])).round(), 21.0);
        assert_eq!(plum.mixed(Colour::WHITE, 1, 2), Colour([0xcd, 0x91, 0xb1]));
    }

    #[test]
    fn colours_are_six_digits() {
        let colour = Colour::parse("#1f5F8b").expect("a colour");
        assert_eq!((colour, colour.to_string().as_str()), (Colour([0x1f, 0x5f, 0x8b]), "#1f5f8b"));
        for bad in ["", "red", "#fff", "#12345g", "#+1+2+3", "1f5f8b", "#ääää"] {
            assert_eq!(Colour::parse(bad), None, "{bad}");
        }
    }
}
