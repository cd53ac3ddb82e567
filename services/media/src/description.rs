//! What the uploader says about the content, made harmless.

/// The greatest length of a content type, in bytes.
const CONTENT_TYPE_BYTES: usize = 255;
/// The greatest length of a file name, in characters.
const FILENAME_CHARS: usize = 255;

/// What the uploader says about the content. None of it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The media type. Without one the content counts as arbitrary bytes.
    pub content_type: Option<String>,
    /// The file's name.
    pub filename: Option<String>,
    /// The size, if it was announced.
    pub size_bytes: Option<u64>,
}

impl Description {
    /// Leaves out what is malformed.
    pub(crate) fn cleaned(self) -> Self {
        Self {
            content_type: self.content_type.as_deref().and_then(clean_content_type),
            filename: self.filename.as_deref().and_then(clean_filename),
            size_bytes: self.size_bytes,
        }
    }
}

/// A media type with its parameters, the type in lower case, or None if it is malformed.
pub(crate) fn clean_content_type(given: &str) -> Option<String> {
    let given = given.trim();
    let is_harmless = |byte: u8| matches!(byte, b' '..=b'~');
    if given.len() > CONTENT_TYPE_BYTES || !given.bytes().all(is_harmless) {
        return None;
    }
    let (essence, parameters) = given.split_at(given.find(';').unwrap_or(given.len()));
    let essence = essence.trim_end().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then(|| format!("{essence}{parameters}"))
}

/// Whether text is a token of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// A file name made from what was given: its last part, without control characters and characters that
/// reorder text. None if nothing is left.
pub fn clean_filename(given: &str) -> Option<String> {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_harmless = |char: &char| {
        !char.is_control() && !matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let clean: String = last.chars().filter(is_harmless).take(FILENAME_CHARS).collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{clean_content_type, clean_filename};

    #[test]
    fn malformed_content_types_are_dropped() {
        let ok = |given, clean: &str| assert_eq!(clean_content_type(given).as_deref(), Some(clean));
        ok("image/PNG", "image/png");
        ok(" text/plain; charset=UTF-8", "text/plain; charset=UTF-8");
        ok("audio/ogg ;codecs=opus", "audio/ogg;codecs=opus");
        for bad in
            ["", "png", "image/", "/png", "image/p ng", "a/b/c", "image/png\r\nX: y", "text/html\u{1}", "ä/b"]
        {
            assert_eq!(clean_content_type(bad), None, "{bad:?}");
        }
        assert_eq!(clean_content_type(&format!("a/{}", "b".repeat(300))), None);
    }

    #[test]
    fn filenames_are_names_only() {
        let ok = |given, clean: &str| assert_eq!(clean_filename(given).as_deref(), Some(clean));
        ok("../../etc/passwd", "passwd");
        ok("C:\\Users\\a\\photo.jpg", "photo.jpg");
        ok("a\r\nSet-Cookie: b\".txt", "aSet-Cookie: b\".txt");
        ok("exe\u{202E}gpj.x", "exegpj.x");
        ok("Ödön 🎈.png", "Ödön 🎈.png");
        assert_eq!(clean_filename("dir/"), None);
        assert_eq!(clean_filename(" \0 "), None);
        assert_eq!(clean_filename(&"é".repeat(300)).map(|name| name.chars().count()), Some(255));
    }
}
