//! The page of the house's own words: each word occurs in the sources that its entry links to.

use super::{Problem, Tree, documents::resolved, problem};

const WORDS: &str = "docs/words.md";
const FOLDER: &str = "docs";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let Some(text) = tree.texts.get(WORDS) else { return vec![problem(WORDS, 0, "it is not there")] };
    let mut problems = Vec::new();
    for (line, entry) in entries(text) {
        match (word(&entry), link(&entry)) {
            (Some(word), Some(place)) if occurs(tree, word, &place) => {}
            (Some(word), Some(place)) => {
                problems.push(problem(WORDS, line, format!("“{word}” does not occur in {place}")));
            }
            _ => problems.push(problem(WORDS, line, "an entry is a word in `**`, a sentence and a link")),
        }
    }
    problems
}

/// The items of the page's lists, each on one line, with the number of its first line.
fn entries(text: &str) -> Vec<(usize, String)> {
    let mut entries: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(item) = line.strip_prefix("- ") {
            entries.push((at + 1, item.to_owned()));
        } else if let (Some((_, item)), Some(more)) = (entries.last_mut(), line.strip_prefix("  ")) {
            *item = format!("{item} {more}");
        }
    }
    entries
}

fn word(entry: &str) -> Option<&str> {
    entry.strip_prefix("**")?.split_once("**:").map(|(word, _)| word)
}

/// The path of the last link, from the root.
fn link(entry: &str) -> Option<String> {
    let (link, _) = entry.rsplit_once("](")?.1.split_once(')')?;
    Some(resolved(FOLDER, link))
}

/// Whether the word stands in the file, or in any file of the folder, whatever its case, also as an identifier.
fn occurs(tree: &Tree, word: &str, place: &str) -> bool {
    let one_piece = word.replace(' ', "");
    tree.texts.iter().filter(|(path, _)| path.starts_with(place)).any(|(_, text)| {
        let text = text.to_lowercase().replace('_', " ");
        text.contains(word) || text.contains(&one_piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(page: &str) -> Vec<usize> {
        let sources = [
            ("a/src/lib.rs", "struct BigRoom; const DEAD_END: () = ();"),
            ("a/src/b.rs", "// A pointer."),
            (WORDS, page),
        ];
        check(&Tree::of(&sources)).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn words_that_do_not_occur_are_found() {
        let page = "# Words\n- **pointer**: It\n  points ([a](../a/src)).\n- **tail**: It ends ([b](../a/src/b.rs)).\n";
        assert_eq!(lines(page), [4]);
        assert_eq!(
            lines("- **big room**: ([a](../a/src/lib.rs)).\n- **pointer**: ([a](../a/src/lib.rs)).\n"),
            [2]
        );
        assert_eq!(lines("- **dead end**: ([a](../a/src/lib.rs)).\n- pointer: It points.\n"), [2]);
    }
}
