//! The words of a text, folded so that what looks alike is found alike.

use std::collections::BTreeSet;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The most words of one text that are looked at.
const WORDS: usize = 16;
/// The greatest length of a word; the rest of a longer one is cut off.
const WORD_BYTES: usize = 64;
/// The most characters of a text that are looked at.
const TEXT_CHARS: usize = 1024;

/// The words of a text, each once: in compatibility form, without accents, lower case.
pub(crate) fn words(text: &str) -> BTreeSet<String> {
    let folded: String = text
        .chars()
        .take(TEXT_CHARS)
        .nfkd()
        .filter(|&char| !is_accent(char))
        .flat_map(char::to_lowercase)
        .filter(|&char| !is_accent(char))
        .collect();
    folded
        .split(|char: char| !char.is_alphanumeric() && !is_combining_mark(char))
        .filter(|word| !word.is_empty())
        .take(WORDS)
        .map(|word| cut(word).to_owned())
        .collect()
}

/// Whether a character is an accent of Latin, Greek or Cyrillic letters. Marks of other scripts are parts of
/// their words.
fn is_accent(char: char) -> bool {
    matches!(char, '\u{300}'..='\u{36F}')
}

fn cut(word: &str) -> &str {
    &word[..word.floor_char_boundary(WORD_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::words;

    fn list(text: &str) -> Vec<String> {
        words(text).into_iter().collect()
    }

    #[test]
    fn words_are_folded() {
        assert_eq!(list("Zoë  O'Brien-SMITH"), ["brien", "o", "smith", "zoe"]);
        assert_eq!(list("Ｆｕｌｌ ﬁ İstanbul"), ["fi", "full", "istanbul"]);
        assert_eq!(list("anna.b_c=/42"), ["42", "anna", "b", "c"]);
        assert_eq!(list("  🎈 \0 --"), [""; 0]);
    }

    #[test]
    fn marks_of_other_scripts_stay_in_their_words() {
        assert_eq!(list("राम कुमार").len(), 2);
        assert_eq!(list("山田太郎"), ["山田太郎"]);
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "é".repeat(100);
        assert_eq!(list(&long), ["e".repeat(64)]);
        let wide = "山".repeat(100);
        assert_eq!(list(&wide), ["山".repeat(21)]);
        let many: String = (0..100).map(|number| format!("w{number} ")).collect();
        assert_eq!(list(&many).len(), 16);
    }
}
