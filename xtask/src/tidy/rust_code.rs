//! Rust source without what is only text: comments and literals become blanks, lines stay.

/// The code of a source, character for character at its place.
pub(super) fn code(source: &str) -> String {
    let characters: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < characters.len() {
        let end = text_end(&characters, at);
        if end == at {
            code.push(characters[at]);
            at += 1;
        } else {
            code.extend(characters[at..end].iter().map(|&it| if it == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn text_end(characters: &[char], at: usize) -> usize {
    let rest = &characters[at..];
    let after_name = at > 0 && (characters[at - 1].is_alphanumeric() || characters[at - 1] == '_');
    let length = match rest {
        ['/', '/', ..] => rest.iter().position(|&it| it == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment_length(rest),
        ['"', ..] => quoted_length(rest, '"'),
        ['r', '"' | '#', ..] if !after_name => raw_string_length(rest),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted_length(rest, '\''),
        _ => 0,
    };
    at + length
}

fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The length of `r"…"` or `r#"…"#`, or 0 for a raw identifier.
fn raw_string_length(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&it| it == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let body = hashes + 2;
    let closes = |at: &usize| {
        rest[*at] == '"' && rest.len() > at + hashes && rest[at + 1..=at + hashes].iter().all(|&it| it == '#')
    };
    (body..rest.len()).find(closes).map_or(rest.len(), |at| at + hashes + 1)
}

/// Whether each line of the code belongs to a test: to an item under `#[cfg(test)]` or `#[test]`.
pub(super) fn test_lines(code: &str) -> Vec<bool> {
    let mut lines = Vec::new();
    // The indentation of the attribute that began the item; its closing brace stands there too.
    let mut inside: Option<usize> = None;
    for line in code.lines() {
        let indentation = line.len() - line.trim_start().len();
        let text = line.trim();
        if inside.is_none() && (text.starts_with("#[cfg(test)]") || text.ends_with("test]")) {
            inside = Some(indentation);
        }
        lines.push(inside.is_some());
        let closes = text.starts_with('}') || (text.ends_with(';') && !text.starts_with("#["));
        if inside == Some(indentation) && closes {
            inside = None;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank() {
        for (source, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"g\\\"h\") i", "f(      ) i"),
            ("f(r#\"g\"h\"#) i", "f(        ) i"),
            ("f('\"') g", "f(   ) g"),
            ("f::<'a>(b)", "f::<'a>(b)"),
            ("r#type x", "r#type x"),
            ("\"a\nb\" c", "  \n   c"),
        ] {
            assert_eq!(code(source), expected, "{source}");
        }
    }

    #[test]
    fn tests_are_told_from_the_rest() {
        let source = "a\n#[cfg(test)]\nuse b;\nc\n#[cfg(test)]\nmod tests {\n    d;\n}\ne\n";
        assert_eq!(test_lines(source), [false, true, true, false, true, true, true, true, false]);
    }
}
