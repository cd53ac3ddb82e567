//! What is one emoji: the shapes of which <https://www.unicode.org/reports/tr51/#Definitions> builds them, bounded so
//! that no word can be spelled.

/// The length of the longest emoji, in bytes. Those of several people with colours of skin have 35.
const MAX_BYTES: usize = 64;
/// The most pictures that are joined to another one.
const MAX_JOINED: usize = 5;
/// The most letters and digits in the name of a part of a country. Its flag is written with this name.
const MAX_TAGS: usize = 6;

const JOINER: char = '\u{200D}';
const KEYCAP: char = '\u{20E3}';
const BLACK_FLAG: char = '\u{1F3F4}';
const END_OF_TAGS: char = '\u{E007F}';

/// Whether text is one emoji.
pub(crate) fn is_emoji(text: &str) -> bool {
    let mut rest = text.chars();
    text.len() <= MAX_BYTES && take_emoji(&mut rest) && rest.as_str().is_empty()
}

fn take_emoji(rest: &mut std::str::Chars<'_>) -> bool {
    match rest.next() {
        Some('0'..='9' | '#' | '*') => {
            take(rest, is_presentation);
            take(rest, |next| next == KEYCAP)
        }
        Some(first) if is_regional(first) => take(rest, is_regional),
        Some(BLACK_FLAG) if take(rest, is_tag) => {
            (1..MAX_TAGS).all(|_| take(rest, is_tag) || rest.as_str().starts_with(END_OF_TAGS))
                && take(rest, |next| next == END_OF_TAGS)
        }
        Some(first) if is_picture(first) => take_joined(rest),
        _ => false,
    }
}

/// Takes what may follow a picture: its presentation or colour of skin, and the pictures joined to it.
fn take_joined(rest: &mut std::str::Chars<'_>) -> bool {
    for _ in 1..=MAX_JOINED {
        take(rest, |next| is_presentation(next) || is_skin(next));
        if !take(rest, |next| next == JOINER) {
            return true;
        }
        if !take(rest, is_picture) {
            return false;
        }
    }
    false
}

/// Takes the next character if `is` is true of it.
fn take(rest: &mut std::str::Chars<'_>, is: impl Fn(char) -> bool) -> bool {
    let mut after = rest.clone();
    let taken = after.next().is_some_and(is);
    if taken {
        *rest = after;
    }
    taken
}

fn is_presentation(character: char) -> bool {
    matches!(character, '\u{FE0E}' | '\u{FE0F}')
}

fn is_skin(character: char) -> bool {
    matches!(character, '\u{1F3FB}'..='\u{1F3FF}')
}

fn is_regional(character: char) -> bool {
    matches!(character, '\u{1F1E6}'..='\u{1F1FF}')
}

fn is_tag(character: char) -> bool {
    matches!(character, '\u{E0030}'..='\u{E0039}' | '\u{E0061}'..='\u{E007A}')
}

/// Whether a character is in one of the blocks that have emoji, and is not a letter or digit.
fn is_picture(character: char) -> bool {
    matches!(character,
        '©' | '®' | '‼' | '⁉' | '™' | 'ℹ' | 'Ⓜ' | '〰' | '〽' | '㊗' | '㊙'
        | '\u{2194}'..='\u{21AA}'
        | '\u{231A}'..='\u{23FF}'
        | '\u{25AA}'..='\u{25FE}'
        | '\u{2600}'..='\u{2775}'
        | '\u{2794}'..='\u{27BF}'
        | '\u{2934}'..='\u{2935}'
        | '\u{2B05}'..='\u{2B55}'
        | '\u{1F004}' | '\u{1F0CF}'
        | '\u{1F170}' | '\u{1F171}' | '\u{1F17E}' | '\u{1F17F}' | '\u{1F18E}'
        | '\u{1F191}'..='\u{1F19A}'
        | '\u{1F201}' | '\u{1F202}' | '\u{1F21A}' | '\u{1F22F}'
        | '\u{1F232}'..='\u{1F23A}'
        | '\u{1F250}' | '\u{1F251}'
        | '\u{1F300}'..='\u{1F64F}'
        | '\u{1F680}'..='\u{1F6FF}'
        | '\u{1F7E0}'..='\u{1F7F0}'
        | '\u{1F90C}'..='\u{1F9FF}'
        | '\u{1FA70}'..='\u{1FAFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_emoji_is_one() {
        for emoji in [
            "👍",
            "👍️",
            "👍🏿",
            "❤️",
            "❤",
            "☝🏽",
            "👨🏿‍❤️‍💋‍👨🏿",
            "👨‍👩‍👧‍👦",
            "🏃🏿‍♀️‍➡️",
            "🏳️‍🌈",
            "🏴",
            "🏴‍☠️",
            "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
            "🇩🇪",
            "1️⃣",
            "#️⃣",
            "*⃣",
            "🅰️",
            "🆘",
            "ℹ️",
            "©️",
            "™",
            "⁉️",
            "🈚",
            "㊗️",
            "⬛",
            "🟩",
            "🫠",
            "🀄",
            "🃏",
            "⏰",
            "↔️",
            "🧑🏻‍🤝‍🧑🏿",
        ] {
            assert!(is_emoji(emoji), "{emoji}");
        }
    }

    #[test]
    fn more_or_less_is_none() {
        let tags: String = "seeyou".chars().filter_map(|c| char::from_u32(0xE0000 + c as u32)).collect();
        for text in [
            "",
            "ok",
            "a",
            "1",
            "12",
            "+1",
            ":)",
            "!",
            " ",
            "👍👍",
            "👍 ",
            "👍a",
            "a👍",
            "🇩",
            "🇩🇪🇫",
            "🇩🇪🇫🇷",
            "1️⃣2️⃣",
            "1️",
            "⠓⠑⠇⠇⠕",
            "⠓",
            "привет",
            "你",
            "é",
            "①",
            "❶",
            "🄰",
            "\u{200D}",
            "\u{FE0F}",
            "👨\u{200D}",
            "👨\u{200D}a",
            "👍\u{FE0F}\u{FE0F}",
            "👍🏿🏿",
            // Tags can spell without being seen: only after the flag, few, and ended.
            &tags,
            &format!("👍{tags}\u{E007F}"),
            &format!("🏴{tags}"),
            &format!("🏴{tags}{tags}\u{E007F}"),
            "🏴\u{E007F}",
            &["👨"; 6].join("\u{200D}"),
            &["👨"; 40].join("\u{200D}"),
            &"👍".repeat(17),
            "mxc://a.example/picture",
        ] {
            assert!(!is_emoji(text), "{text:?}");
        }
        assert!(is_emoji(&format!("🏴{tags}\u{E007F}")));
        assert!(is_emoji(&["👨"; 5].join("\u{200D}")));
    }
}
