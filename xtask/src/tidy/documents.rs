//! Documents: what they name is there, the page on the architecture stays one page, and decisions have four parts.

use std::collections::BTreeSet;

use super::{Problem, Tree, problem, rust_code::lines};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
/// The most lines of the page that a newcomer is asked to read first.
const ARCHITECTURE_LINES: usize = 250;
/// Guides to the code: the Rust that they show is quoted from the file that they named last.
const GUIDES: &str = "docs/guides/add-";

const DECISIONS: &str = "docs/decisions/";
/// The headings of every decision, in this order.
const DECISION_PARTS: [&str; 4] = ["Context", "Choice", "Rejected", "Consequence"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.ending(".md") {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if path.starts_with(DECISIONS) && !text.lines().filter_map(heading).eq(DECISION_PARTS) {
            problems.push(problem(path, 0, format!("its headings are not {}", DECISION_PARTS.join(", "))));
        }
        for (at, line) in text.lines().enumerate() {
            let gone = links(line).filter(|link| !exists(tree, folder, link));
            problems.extend(
                gone.map(|link| problem(path, at + 1, format!("it links to {link}, which is not there"))),
            );
        }
    }
    problems.extend(check_guides(tree));
    let Some(text) = tree.texts.get(ARCHITECTURE) else {
        problems.push(problem(ARCHITECTURE, 0, "it is not there"));
        return problems;
    };
    if text.lines().count() > ARCHITECTURE_LINES {
        problems.push(problem(ARCHITECTURE, 0, format!("it has more than {ARCHITECTURE_LINES} lines")));
    }
    for (at, line) in text.lines().enumerate() {
        let gone = named_paths(line).filter(|named| !exists(tree, "", named));
        problems.extend(
            gone.map(|named| problem(ARCHITECTURE, at + 1, format!("it names {named}, which is not there"))),
        );
    }
    problems
}

fn check_guides(tree: &Tree) -> Vec<Problem> {
    // A source that cannot be read is a problem of its own.
    let code =
        |text: &str| lines(text).unwrap_or_default().into_iter().map(|line| line.code + "\n").collect();
    let sources: Vec<String> = tree.ending(".rs").map(|(_, text)| code(text)).collect();
    let words: BTreeSet<&str> = sources.iter().flat_map(|source| identifiers(source)).collect();
    let is_known = |name: &str| match name.contains("::") {
        true => sources.iter().any(|source| source.contains(name)),
        false => identifiers(name).filter(|word| is_name(word)).all(|word| words.contains(word)),
    };
    let guides = tree.ending(".md").filter(|(path, _)| path.starts_with(GUIDES));
    guides.flat_map(|(path, text)| check_guide(tree, path, text, is_known)).collect()
}

fn check_guide(tree: &Tree, path: &str, text: &str, is_known: impl Fn(&str) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |at: usize, what: String| problems.push(problem(path, at + 1, what));
    let mut source = "";
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line.starts_with("```") {
            let block: Vec<&str> =
                lines.by_ref().map(|(_, line)| line.trim()).take_while(|line| *line != "```").collect();
            if line == "```rust" && !tree.texts.get(source).is_some_and(|text| quotes(text, &block)) {
                add(at, format!("what it shows does not stand in {source:?}, the file that it named last"));
            }
            continue;
        }
        for named in named_paths(line) {
            source = named;
            if !exists(tree, "", named) {
                add(at, format!("it names {named}, which is not there"));
            }
        }
        for name in line.split('`').skip(1).step_by(2).filter(|text| !is_path(text) && !is_known(text)) {
            add(at, format!("it names {name}, which no source knows"));
        }
    }
    problems
}

/// Whether lines of a source are these, apart from how far they are indented.
fn quotes(source: &str, block: &[&str]) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    lines.windows(block.len().max(1)).any(|lines| lines == block)
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !it.is_alphanumeric() && it != '_').filter(|word| !word.is_empty())
}

/// Whether a word is a name of the code for sure, and not one of English.
fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_uppercase()) || word.trim_matches('_').contains('_')
}

fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("## ")
}

fn exists(tree: &Tree, folder: &str, path: &str) -> bool {
    let path = resolved(folder, path);
    // Folders whose name begins with a dot are not looked into.
    path.starts_with('.') || tree.paths.contains(&path)
}

/// A path that a document in a folder names, from the root.
pub(super) fn resolved(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The targets of a line's links that are files of the project.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let link = rest.split([')', '#']).next()?;
        (!link.is_empty() && !link.contains(':')).then_some(link)
    })
}

/// The texts between backticks that look like paths.
fn named_paths(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|text| is_path(text))
}

fn is_path(text: &str) -> bool {
    let path = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    let file = [".rs", ".md", ".toml"].iter().any(|end| text.ends_with(end));
    path && !text.starts_with('/') && (file || text.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[(&str, &str)]) -> Vec<(String, usize)> {
        check(&Tree::of(texts)).into_iter().map(|problem| (problem.path, problem.line)).collect()
    }

    #[test]
    fn what_is_gone_is_found() {
        let text = "`a/b.rs` and `a/gone.rs`\n[x](README.md)\n`gone.toml`\n";
        let found =
            lines(&[(ARCHITECTURE, text), ("a/b.rs", ""), ("docs/c.md", "[x](../a/b.rs) [y](d.md#z)")]);
        let expected = [("docs/c.md", 1), (ARCHITECTURE, 2), (ARCHITECTURE, 1), (ARCHITECTURE, 3)];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(
            expected.iter().all(|(path, line)| found.contains(&((*path).to_owned(), *line))),
            "{found:?}"
        );
    }

    #[test]
    fn guides_name_and_quote_what_there_is() {
        let source =
            "/// A note.\nenum Notice {\n    Inbox,\n}\nfn tell() { a(Notice::Inbox); check_is(); }\n";
        let of = |guide: &str| {
            let guide = format!("In `a/b.rs`:\n{guide}");
            let found = lines(&[(ARCHITECTURE, ""), ("a/b.rs", source), ("docs/guides/add-a.md", &guide)]);
            found.into_iter().map(|(_, line)| line).collect::<Vec<_>>()
        };
        assert_eq!(of("`Notice::Inbox`, `caller.check_is(&id)?`, `*_ts`, `cargo test`\n"), [0; 0]);
        assert_eq!(of("```rust\n/// A note.\nenum Notice {\n```\n\n```toml\nx = 1\n```\n"), [0; 0]);
        assert_eq!(of("`Notice::User`\n`Admin`\n`check_it()`\n`a/gone.rs`\n"), [2, 3, 4, 5]);
        assert_eq!(of("```rust\nenum Notice {\nOther,\n```\n```rust\n```\n"), [2, 6]);
        assert_eq!(of("`Cargo.toml`\n```rust\nInbox,\n```\n"), [2, 3]);
    }

    #[test]
    fn what_is_no_path_is_not() {
        let text = "`/sync`, `PUT a/{b}`, `a::b`, `@a:b`, `x`, [out](https://a.example/b.md), `a/`\n";
        assert_eq!(lines(&[(ARCHITECTURE, text), ("a/b.rs", "")]), []);
    }

    #[test]
    fn a_decision_without_its_parts_is_found() {
        let whole = "# 1. A\n## Context\n## Choice\n## Rejected\n## Consequence\n";
        let (short, long) = (whole.replace("## Rejected\n", ""), format!("{whole}## More\n"));
        let pages = [("1.md", whole), ("2.md", &short), ("3.md", &long)].map(|(name, text)| {
            let path = format!("{DECISIONS}{name}");
            (path, text)
        });
        let mut texts = vec![(ARCHITECTURE, "")];
        texts.extend(pages.iter().map(|(path, text)| (path.as_str(), *text)));
        let expected = ["2.md", "3.md"].map(|name| (format!("{DECISIONS}{name}"), 0));
        assert_eq!(lines(&texts), expected);
    }

    #[test]
    fn a_page_that_is_too_long_is_found() {
        assert_eq!(
            lines(&[(ARCHITECTURE, &"a\n".repeat(ARCHITECTURE_LINES + 1))]),
            [(ARCHITECTURE.to_owned(), 0)]
        );
    }
}
