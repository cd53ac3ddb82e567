//! Rust source as its tokens: line by line, without comments and literals, and with what belongs to tests marked.

use proc_macro2::{Delimiter, LineColumn, TokenStream, TokenTree};

/// A line of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Its tokens, with a blank only where two words meet.
    pub(super) code: String,
    /// It belongs to an item under `#[cfg(test)]` or `#[test]`.
    pub(super) in_test: bool,
}

/// The lines of a source; the error says why it cannot be read.
pub(super) fn lines(source: &str) -> Result<Vec<Line>, String> {
    let tokens = source.parse::<TokenStream>().map_err(|error| error.to_string())?;
    let mut lines = vec![Line::default(); source.lines().count()];
    add_tokens(&mut lines, tokens, false);
    Ok(lines)
}

fn add_tokens(lines: &mut [Line], tokens: TokenStream, in_test: bool) {
    let (mut is_test, mut after_hash) = (false, false);
    for token in tokens {
        let is_hash = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '#');
        match token {
            TokenTree::Group(group) => {
                is_test |= after_hash && marks_test(group.stream());
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                add(lines, group.span_open().start(), open, in_test || is_test);
                add_tokens(lines, group.stream(), in_test || is_test);
                add(lines, group.span_close().start(), close, in_test || is_test);
                // The item ends with its body.
                is_test &= group.delimiter() != Delimiter::Brace;
            }
            TokenTree::Literal(_) => {}
            token => {
                let text = token.to_string();
                add(lines, token.span().start(), &text, in_test || is_test);
                is_test &= text != ";";
            }
        }
        after_hash = is_hash;
    }
}

fn add(lines: &mut [Line], at: LineColumn, token: &str, in_test: bool) {
    let Some(line) = lines.get_mut(at.line - 1) else { return };
    let is_word = |it: char| it.is_alphanumeric() || it == '_';
    if line.code.ends_with(is_word) && token.starts_with(is_word) {
        line.code.push(' ');
    }
    line.code.push_str(token);
    line.in_test |= in_test;
}

/// Whether an attribute is `cfg(test)`, or the `test` of whatever runs it.
fn marks_test(attribute: TokenStream) -> bool {
    let mut last_word = String::new();
    for token in attribute {
        match token {
            TokenTree::Ident(word) => last_word = word.to_string(),
            TokenTree::Group(group) if last_word == "cfg" => return group.stream().to_string() == "test",
            _ => {}
        }
    }
    last_word == "test"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_left_out() {
        for (source, expected) in [
            ("a // b\nc", vec!["a", "c"]),
            ("a /* b /* c */ d */ e", vec!["a e"]),
            ("f(\"g\\\"h\") i", vec!["f()i"]),
            ("f(r#\"g\"h\"#) . i", vec!["f().i"]),
            ("f::<'a>(b, '\"')", vec!["f::<'a>(b,)"]),
            ("use r#type;", vec!["use r#type;"]),
            ("\"a\nb\" c", vec!["", "c"]),
        ] {
            let lines = lines(source).expect("it is Rust");
            assert_eq!(lines.into_iter().map(|line| line.code).collect::<Vec<_>>(), expected, "{source}");
        }
        lines("a(").expect_err("it is no Rust");
    }

    #[test]
    fn tests_are_told_from_the_rest() {
        let source = "a;\n#[cfg(test)]\nuse b;\nc;\n#[tokio::test(flavor = \"x\")]\nasync fn d() {\n    e;\n}\nf;\n\
            #[cfg(not(test))]\nmod g {}\nmod h {\n    #[test]\n    fn i() -> [u8; 2] { j }\n    k;\n}\n";
        let marked: Vec<_> =
            lines(source).expect("it is Rust").into_iter().map(|line| line.in_test).collect();
        let tests = [2, 3, 5, 6, 7, 8, 13, 14];
        assert_eq!(marked, (1..=16).map(|line| tests.contains(&line)).collect::<Vec<_>>());
    }
}
