//! Codes that people read on one device and type on another.

use crate::token::random_text;

/// The letters that codes are made of. Without vowels there are no words, and none looks like another
/// character.
const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
const LETTERS_IN_CODE: usize = 8;

/// The letters of a new code: one of 25 thousand million.
pub fn new_typed_code() -> String {
    random_text(LETTERS, LETTERS_IN_CODE)
}

/// The letters of a code that somebody has typed, however it is written; None if they are none.
pub fn read_typed_code(typed: &str) -> Option<String> {
    let letters: String =
        typed.chars().filter(char::is_ascii_alphabetic).map(|it| it.to_ascii_uppercase()).collect();
    (letters.len() == LETTERS_IN_CODE).then_some(letters)
}

/// A code as it is shown, in two halves.
pub fn show_typed_code(letters: &str) -> String {
    let (one, other) = letters.split_at(letters.len() / 2);
    format!("{one}-{other}")
}

#[cfg(test)]
mod tests {
    use super::{new_typed_code, read_typed_code, show_typed_code};

    #[test]
    fn a_code_is_read_however_it_is_written() {
        let letters = new_typed_code();
        let shown = show_typed_code(&letters);
        assert_eq!((shown.len(), shown.as_bytes()[4]), (9, b'-'));
        for typed in [shown.as_str(), &shown.to_lowercase(), &format!(" {letters} ")] {
            assert_eq!(read_typed_code(typed).as_ref(), Some(&letters), "{typed}");
        }
        for typed in ["", "BCDF", "BCDF-GHJKL", "1234-5678"] {
            assert_eq!(read_typed_code(typed), None, "{typed}");
        }
    }
}
