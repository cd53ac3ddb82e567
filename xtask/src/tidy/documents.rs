//! Documents: what they name is there, the page on the architecture stays one page, and decisions have four parts.

use super::{Problem, Tree, problem};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
/// The most lines of the page that a newcomer is asked to read first.
const ARCHITECTURE_LINES: usize = 250;

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
    line.split('`').skip(1).step_by(2).filter(|text| {
        let path = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
        let file = [".rs", ".md", ".toml"].iter().any(|end| text.ends_with(end));
        path && !text.starts_with('/') && (file || text.contains('/'))
    })
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
