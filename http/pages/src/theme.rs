//! A platform's colours as a style sheet.

use linkspan_platforms::Colour;

/// The path where the colours are served.
pub(crate) const PATH: &str = "/_linkspan/theme.css";

/// What text in the platform's colour stands on: the strongest of the app's light grounds, and of its dark ones.
const LIGHT: Colour = Colour([0xe9, 0xeb, 0xee]);
const DARK: Colour = Colour([0x26, 0x2b, 0x31]);

/// The style sheet of a platform with this colour. Pages are light or dark as the device is, if nobody has chosen otherwise.
pub(crate) fn style(colour: Colour) -> String {
    let accent = colour.readable_on(LIGHT);
    // A paler one disturbs less on a dark page.
    let pale = colour.mixed(Colour::WHITE, 1, 2).readable_on(DARK);
    let text = colour.text();
    format!(
        ":root {{ --accent: {accent}; --brand: {colour}; --on-brand: {text}; }}\n\
         @media (prefers-color-scheme: dark) {{ :root:not([data-theme=\"light\"]) {{ --accent: {pale}; }} }}\n\
         :root[data-theme=\"dark\"] {{ --accent: {pale}; }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bright_colour_is_darkened_for_text_and_the_chosen_theme_counts() {
        let style = style(Colour([0xff, 0xd6, 0x0a]));
        assert!(style.contains("--brand: #ffd60a; --on-brand: #10151b;"), "{style}");
        assert!(style.starts_with(":root { --accent: #776404;"), "{style}");
        assert!(style.contains(":root[data-theme=\"dark\"] { --accent: #ffea84; }"), "{style}");
    }
}
