//! What a page says about itself, in OpenGraph's properties or, without them, in the next best place.

use std::collections::BTreeMap;

use html5gum::{HtmlString, StartTag, Token, Tokenizer, emitters::default::DefaultEmitter};

/// The longest text of a property, in characters.
const TEXT_CHARS: usize = 1_000;
/// The longest address of a picture, in bytes.
const PICTURE_BYTES: usize = 2_048;
/// The properties that are passed on.
const PROPERTIES: [&str; 6] =
    ["og:title", "og:description", "og:site_name", "og:type", "og:url", "og:locale"];

/// What a page says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Texts by OpenGraph's names for them.
    pub(super) properties: BTreeMap<String, String>,
    /// The address of its picture, perhaps relative to its own.
    pub(super) picture: Option<String>,
}

/// The kind of element that a text stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Title,
    Heading,
    Paragraph,
    Elsewhere,
}

#[derive(Default)]
struct Found {
    meta: BTreeMap<String, String>,
    title: String,
    heading: String,
    paragraph: String,
}

/// Reads a page, or the beginning of one.
pub(super) fn read(html: &[u8]) -> Page {
    let html = String::from_utf8_lossy(html);
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut found = Found::default();
    let mut place = In::Elsewhere;
    for token in Tokenizer::new_with_emitter(&*html, emitter).flatten() {
        match token {
            Token::StartTag(tag) => match &**tag.name {
                b"meta" => found.add_meta(&tag),
                b"title" => place = In::Title,
                b"h1" => place = In::Heading,
                b"p" => place = In::Paragraph,
                b"script" | b"style" | b"nav" | b"header" | b"footer" => place = In::Elsewhere,
                _ => {}
            },
            Token::EndTag(tag) if matches!(&**tag.name, b"title" | b"h1" | b"p") => place = In::Elsewhere,
            Token::String(text) => found.add_text(place, &String::from_utf8_lossy(&text.value)),
            _ => {}
        }
    }
    found.into_page()
}

impl Found {
    fn add_meta(&mut self, tag: &StartTag<()>) {
        let attribute = |name: &[u8]| {
            let value = tag.attributes.get(&HtmlString(name.to_vec()))?;
            Some(String::from_utf8_lossy(&value.value).into_owned())
        };
        let name = attribute(b"property").or_else(|| attribute(b"name"));
        let (Some(name), Some(content)) = (name, attribute(b"content")) else { return };
        let name = name.trim().to_ascii_lowercase();
        let known = name.starts_with("og:") || name.starts_with("twitter:") || name == "description";
        // The first value of a property counts, as OpenGraph has it.
        if known && !content.trim().is_empty() {
            self.meta.entry(name).or_insert(content);
        }
    }

    fn add_text(&mut self, place: In, text: &str) {
        let (into, first_only) = match place {
            In::Title => (&mut self.title, false),
            In::Heading => (&mut self.heading, false),
            In::Paragraph => (&mut self.paragraph, true),
            In::Elsewhere => return,
        };
        if into.chars().count() < TEXT_CHARS {
            if first_only && !into.is_empty() {
                into.push(' ');
            }
            into.push_str(text);
        }
    }

    fn into_page(mut self) -> Page {
        let mut properties = BTreeMap::new();
        for name in PROPERTIES {
            properties.extend(self.meta.get(name).map(|text| (name.to_owned(), text.clone())));
        }
        let mut else_take = |name: &str, texts: Vec<Option<String>>| {
            let text = texts.into_iter().flatten().find(|text| !text.trim().is_empty());
            if let Some(text) = text {
                properties.entry(name.to_owned()).or_insert(text);
            }
        };
        let meta = |name: &str| self.meta.get(name).cloned();
        else_take("og:title", vec![meta("twitter:title"), Some(self.title), Some(self.heading)]);
        else_take(
            "og:description",
            vec![meta("twitter:description"), meta("description"), Some(self.paragraph)],
        );
        for text in properties.values_mut() {
            *text = tidy(text);
        }
        let pictures = ["og:image:secure_url", "og:image:url", "og:image", "twitter:image"];
        let picture = pictures.into_iter().find_map(|name| self.meta.remove(name));
        let picture = picture.map(|picture| picture.trim().to_owned());
        Page { properties, picture: picture.filter(|picture| picture.len() <= PICTURE_BYTES) }
    }
}

/// A text on one line, and not longer than it may be.
fn tidy(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    fn property(html: &str, name: &str) -> Option<String> {
        read(html.as_bytes()).properties.remove(name)
    }

    #[test]
    fn a_page_is_read() {
        let page = r#"<!doctype html><html><head><title>Tide &amp; time</title>
            <META Property="og:title" content="Tides">
            <meta property="og:title" content="second">
            <meta name='description' content="When
            it  rises">
            <meta property="og:image" content="/a.png"/>
            <script>var x = "<meta property='og:type' content='evil'>";</script>
            </head><body><h1>Heading</h1><p>First <b>words</b></p></body>"#;
        assert_eq!(property(page, "og:title").as_deref(), Some("Tides"));
        assert_eq!(property(page, "og:description").as_deref(), Some("When it rises"));
        assert_eq!(property(page, "og:type"), None);
        assert_eq!(read(page.as_bytes()).picture.as_deref(), Some("/a.png"));
    }

    #[test]
    fn the_next_best_is_taken() {
        let page = "<title>Tide &amp; time</title><body><p>First <b>words</b></p><p>more</p>";
        assert_eq!(property(page, "og:title").as_deref(), Some("Tide & time"));
        let description = property(page, "og:description").expect("a text");
        assert!(description.starts_with("First words"), "{description}");
        assert_eq!(property("<h1>Only <i>this</i></h1>", "og:title").as_deref(), Some("Only this"));
        assert_eq!(read(b""), read(b"\xff\xfe<"));
    }

    #[test]
    fn texts_have_an_end() {
        let page = format!("<meta property=og:title content='{}'>", "ä".repeat(5_000));
        assert_eq!(property(&page, "og:title").expect("a title").chars().count(), 1_001);
        let nested = "<p>".repeat(100_000) + "<meta property=og:title content=a";
        assert_eq!(property(&nested, "og:title"), None);
    }
}
