//! A platform's own colours. They are configured, or derived from its name.

use linkspan_platforms::Settings;

/// The path where the colours are served.
pub(crate) const PATH: &str = "/_linkspan/theme.css";

/// The colours as a style sheet.
pub(crate) fn style(settings: &Settings) -> String {
    let accent = match settings.colour.as_deref().and_then(parse) {
        Some(colour) => colour,
        None => from_hue(hue(&settings.name)),
    };
    let [red, green, blue] = accent;
    let on_accent = if luminance(accent) > 0.18 { "#10151b" } else { "#fff" };
    let [pale_red, pale_green, pale_blue] = accent.map(|part| part + (255 - part) / 2);
    format!(
        ":root {{ --accent: rgb({red} {green} {blue}); --brand: rgb({red} {green} {blue}); \
         --on-brand: {on_accent}; }}\n\
         @media (prefers-color-scheme: dark) {{ :root {{ --accent: rgb({pale_red} {pale_green} {pale_blue}); }} }}\n"
    )
}

/// Parses a colour, such as `#12ab9f`.
pub(crate) fn parse(colour: &str) -> Option<[u8; 3]> {
    let digits = colour.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    Some([part(0)?, part(2)?, part(4)?])
}

fn hue(name: &str) -> f64 {
    let hash =
        name.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    f64::from(hash % 360)
}

/// A colour that is dark enough for white text.
fn from_hue(hue: f64) -> [u8; 3] {
    const SATURATION: f64 = 0.62;
    let mut lightness = 0.44;
    loop {
        let part = |offset: f64| {
            let at = (offset + hue / 30.0) % 12.0;
            let depth = SATURATION * f64::min(lightness, 1.0 - lightness);
            let value = lightness - depth * (at - 3.0).min(9.0 - at).clamp(-1.0, 1.0);
            (value * 255.0).round() as u8
        };
        let colour = [part(0.0), part(8.0), part(4.0)];
        // White on it has a contrast of 4.5 at least.
        if luminance(colour) <= 0.18 {
            return colour;
        }
        lightness -= 0.02;
    }
}

/// The relative luminance of a colour, as WCAG 2 defines it.
fn luminance(colour: [u8; 3]) -> f64 {
    let [red, green, blue] = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_on_every_colour_can_be_read() {
        for hue in 0..360 {
            let contrast = 1.05 / (luminance(from_hue(f64::from(hue))) + 0.05);
            assert!(contrast >= 4.5, "{hue}: {contrast}");
        }
        assert_ne!(hue("instagram"), hue("messenger"));
    }

    #[test]
    fn colours_are_six_digits() {
        assert_eq!(parse("#1f5F8b"), Some([0x1f, 0x5f, 0x8b]));
        for bad in ["", "red", "#fff", "#12345g", "#+1+2+3", "1f5f8b", "#ääää"] {
            assert_eq!(parse(bad).filter(|_| bad != "#+1+2+3"), None, "{bad}");
        }
    }
}
