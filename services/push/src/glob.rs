//! The globs of push rules. `*` stands for any text and `?` for any character; upper and lower case are the
//! same.
//!
//! Patterns come from anybody, so matching takes time linear in the text, whatever the pattern.

use std::borrow::Cow;

/// The most characters of a pattern with wildcards, apart from `*`. Each takes a bit of a set.
const MAX_WILDCARD_CHARS: usize = 127;

/// A compiled glob.
#[derive(Clone, Debug)]
pub(crate) enum Glob {
    /// The pattern has no wildcards. It is in lower case.
    Literal(String),
    /// The pattern has wildcards.
    Wildcards(Box<Automaton>),
    /// The pattern is too long to be matched.
    Never,
}

/// A machine whose sets of states are bits. In state `i` it has met the first `i` characters of the pattern.
#[derive(Clone, Debug)]
pub(crate) struct Automaton {
    /// For each character of the pattern, in order, the states from which it leads on.
    steps: Vec<(char, u128)>,
    /// The states from which `?` leads on.
    any: u128,
    /// The states that stay because of a `*`.
    stay: u128,
    /// The state in which the whole pattern was met.
    last: u128,
}

/// A text in lower case.
#[derive(Debug)]
pub(crate) struct Folded<'a>(Cow<'a, str>);

impl Folded<'static> {
    pub(crate) fn owned(text: &str) -> Self {
        Self(Cow::Owned(text.to_lowercase()))
    }
}

impl<'a> Folded<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
            Self(Cow::Borrowed(text))
        } else {
            Self(Cow::Owned(text.to_lowercase()))
        }
    }
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        let pattern = pattern.to_lowercase();
        if !pattern.contains(['*', '?']) {
            return Self::Literal(pattern);
        }
        let mut automaton = Automaton { steps: Vec::new(), any: 0, stay: 0, last: 1 };
        let mut met = 0;
        for char in pattern.chars() {
            match char {
                '*' => {
                    automaton.stay |= 1 << met;
                    continue;
                }
                _ if met == MAX_WILDCARD_CHARS => return Self::Never,
                '?' => automaton.any |= 1 << met,
                char => match automaton.steps.binary_search_by_key(&char, |step| step.0) {
                    Ok(at) => automaton.steps[at].1 |= 1 << met,
                    Err(at) => automaton.steps.insert(at, (char, 1 << met)),
                },
            }
            met += 1;
        }
        automaton.last = 1 << met;
        Self::Wildcards(Box::new(automaton))
    }

    /// Whether the pattern can be matched at all.
    pub(crate) fn is_possible(&self) -> bool {
        !matches!(self, Self::Never)
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(pattern) if text.is_ascii() => text.eq_ignore_ascii_case(pattern),
            Self::Literal(pattern) => text.to_lowercase() == *pattern,
            Self::Wildcards(automaton) => automaton.matches(&Folded::new(text).0),
            Self::Never => false,
        }
    }

    /// Whether some part of the text matches that neither starts nor ends inside a word.
    /// <https://spec.matrix.org/v1.19/client-server-api/#conditions-1>
    pub(crate) fn matches_words(&self, text: &Folded<'_>) -> bool {
        let text = &*text.0;
        match self {
            Self::Literal(pattern) => contains_words(text, pattern),
            Self::Wildcards(automaton) => automaton.matches_words(text),
            Self::Never => false,
        }
    }
}

/// Whether a display name stands in the text as whole words.
pub(crate) fn contains_name(text: &Folded<'_>, name: &str) -> bool {
    !name.is_empty() && contains_words(&text.0, &name.to_lowercase())
}

fn contains_words(text: &str, pattern: &str) -> bool {
    if pattern.is_empty() {
        return text.is_empty();
    }
    let first = pattern.chars().next();
    let mut from = 0;
    while let Some(found) = text[from..].find(pattern) {
        let (start, end) = (from + found, from + found + pattern.len());
        let before = text[..start].chars().next_back();
        let last = text[..end].chars().next_back();
        if !inside_word(before, first) && !inside_word(last, text[end..].chars().next()) {
            return true;
        }
        from = start + first.map_or(1, char::len_utf8);
    }
    false
}

/// Whether two neighbouring characters belong to one word.
fn inside_word(before: Option<char>, after: Option<char>) -> bool {
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    before.is_some_and(is_word) && after.is_some_and(is_word)
}

impl Automaton {
    fn step(&self, states: u128, char: char) -> u128 {
        let named = self.steps.binary_search_by_key(&char, |step| step.0).map_or(0, |at| self.steps[at].1);
        ((states & (named | self.any)) << 1) | (states & self.stay)
    }

    fn matches(&self, text: &str) -> bool {
        let mut states = 1;
        for char in text.chars() {
            states = self.step(states, char);
            if states == 0 {
                return false;
            }
        }
        states & self.last != 0
    }

    fn matches_words(&self, text: &str) -> bool {
        let (mut states, mut before) = (0, None);
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            if !inside_word(before, Some(char)) {
                states |= 1;
            }
            states = self.step(states, char);
            if states & self.last != 0 && !inside_word(Some(char), chars.peek().copied()) {
                return true;
            }
            before = Some(char);
        }
        // The pattern is only stars, which match the empty text too.
        text.is_empty() && self.last == 1
    }
}

#[cfg(test)]
mod tests {
    use super::{Folded, Glob};

    #[track_caller]
    fn check(pattern: &str, text: &str, whole: bool, words: bool) {
        let glob = Glob::new(pattern);
        assert_eq!(glob.matches(text), whole, "`{pattern}` is all of `{text}`");
        assert_eq!(glob.matches_words(&Folded::new(text)), words, "`{pattern}` is in `{text}`");
    }

    #[test]
    fn globs_match_whole_texts_or_words() {
        check("", "", true, true);
        check("", "a", false, false);
        check("cake", "Cake", true, true);
        check("cake", "a cake!", false, true);
        check("cake", "cakes, cake", false, true);
        check("cake", "cakes", false, false);
        check("cake", "a_cake", false, false);
        check("@room", "hey @room", false, true);
        check("@room", "hey@room", false, true);
        check("ca*e", "café cake", true, true);
        check("c?ke", "cakecoke", false, false);
        check("c?ke", "coke", true, true);
        check("ex*ple", "An example event.", false, true);
        check("exple", "An exciting triple-whammy", false, false);
        check("ex*ple", "An exciting triple-whammy", false, true);
        check("*", "", true, true);
        check("*", "anything", true, true);
        check("GRÜẞE", "grüße", true, true);
        check("aa", "aab aab aa", false, true);
    }

    #[test]
    fn long_patterns_and_texts_are_harmless() {
        assert!(!Glob::new(&"?".repeat(100_000)).is_possible());
        let text = "aab ".repeat(16_000);
        assert!(!Glob::new("aa").matches_words(&Folded::new(&text)));
        assert!(!Glob::new("*a*a*a*a*a*a*c").matches(&text));
    }
}
