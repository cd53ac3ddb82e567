//! Doc comments are sentences: none goes on from what stands elsewhere, and each ends.
//!
//! It finds some fragments, and takes no sentence for one; what reads well a program cannot tell.

use super::{Problem, Tree, problem};

/// How a comment begins that is a part of a sentence, or a sentence only beside another.
const BEGINNINGS: [&str; 8] = ["Of ", "Else ", "Nor ", "Besides ", "Such as ", "None: ", "As above", "…"];

/// How a sentence ends, or a link, code or a table.
const ENDS: [char; 7] = ['.', ':', '?', '!', '>', '`', '|'];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    tree.ending(".rs").flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut before: Option<&str> = None;
    // A last line without a comment ends the last comment.
    for (at, line) in text.lines().chain([""]).enumerate() {
        let comment = comment(line);
        match (before, comment) {
            (None, Some(text)) if BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) => {
                problems.push(problem(path, at + 1, "the comment begins like a part of a sentence"));
            }
            (Some(text), None) if !text.ends_with(ENDS) => {
                problems.push(problem(path, at, "the comment does not end with a full stop"));
            }
            _ => {}
        }
        before = comment;
    }
    problems
}

/// The text of a line that is a doc comment.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim();
    let text = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"))?;
    Some(text.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check_file("a/src/lib.rs", text).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn fragments_are_found() {
        assert_eq!(
            lines("//! A.\n\n/// Of the last mail.\na: u64,\n    /// Most keys are not longer …\n"),
            [3, 5]
        );
        assert_eq!(lines("/// … nor most values.\nconst A: u8 = 1;\n/// None: it is\n/// gone\n"), [1, 3, 4]);
    }

    #[test]
    fn sentences_are_not() {
        assert_eq!(lines("//! A page.\n//! <https://a.example>\n//!\n//! Often more.\n"), [0; 0]);
        assert_eq!(
            lines("/// Two kinds:\n/// Of these one.\n///\n/// ```\n/// a()\n/// ```\n// Of any\n"),
            [0; 0]
        );
    }
}
