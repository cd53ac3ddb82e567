//! Rules of single Rust files.

use super::{Problem, Tree, problem, rust_code::lines};

/// What no source may have, and why.
const NEVER: [(&str, &str); 4] = [
    ("todo!", "unfinished work is not merged"),
    ("unimplemented!", "unfinished work is not merged"),
    ("dbg!", "it is for debugging"),
    ("#[ignore", "a test that does not run shows nothing"),
];

/// What only tests may have, and why others may not.
const TESTS_ONLY: [(&str, &str); 1] = [(".unwrap()", "handle it, or state the invariant with `expect`")];

/// What a crate without I/O, clock and randomness must not name.
const IMPURE: [&str; 7] =
    ["SystemTime", "Instant::now", "std::fs", "std::net", "std::thread", "std::env", "rand::"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    tree.ending(".rs").flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems.push(problem(path, 1, "it does not open with `//!`: what it owns and must not do"));
    }
    let lines = match lines(text) {
        Ok(lines) => lines,
        Err(error) => return vec![problem(path, 0, format!("it is no Rust: {error}"))],
    };
    let all_tests = path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
    for (at, line) in lines.iter().enumerate() {
        let mut refuse = |word: &str, why: &str| {
            if line.code.contains(word) {
                problems.push(problem(path, at + 1, format!("`{word}`: {why}")));
            }
        };
        NEVER.iter().for_each(|(word, why)| refuse(word, why));
        if !all_tests && !line.in_test {
            TESTS_ONLY.iter().for_each(|(word, why)| refuse(word, why));
            if path.starts_with("domain/src/") {
                IMPURE.iter().for_each(|word| refuse(word, "domain has no I/O, clock or randomness"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check_file(path, text).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn bad_lines_are_found() {
        assert_eq!(lines("a/src/lib.rs", "fn a() {}\n"), [1]);
        assert_eq!(lines("a/src/lib.rs", "//! A.\nfn a() { b.unwrap() }\nfn c() { todo!() }\n"), [2, 3]);
        assert_eq!(
            lines("tests/api/a.rs", "//! A.\n#[test]\n#[ignore = \"slow\"]\nfn a() { dbg!(1); }\n"),
            [3, 4]
        );
        assert_eq!(lines("domain/src/a.rs", "//! A.\nfn a() { SystemTime::now(); }\n"), [2]);
    }

    #[test]
    fn good_lines_are_not() {
        let text = "//! A: never `.unwrap()`.\nfn a() { b(\"todo!()\"); c.unwrap_or(1) }\n\
            #[cfg(test)]\nmod tests {\n    fn d() { e.unwrap(); }\n}\n";
        assert_eq!(lines("a/src/lib.rs", text), [0; 0]);
        assert_eq!(lines("tests/api/a.rs", "//! A.\nfn a() { b.unwrap(); }\n"), [0; 0]);
        assert_eq!(lines("server/src/a.rs", "//! A.\nfn a() { SystemTime::now(); }\n"), [0; 0]);
    }
}
