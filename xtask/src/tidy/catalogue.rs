//! Tables: only the crate that the catalogue names as a table's owner writes it.

use std::collections::BTreeMap;

use super::{
    Problem, Tree, problem,
    rust_code::{code, test_lines},
};

const CATALOGUE: &str = "storage/src/catalogue.rs";

/// Tables that a service writes although another owns them: the service's folder and the table.
const ALLOWED: [(&str, &str); 2] = [
    // Using up a token and making the account that it allows are one write-set.
    ("services/accounts/", "RegistrationTokens"),
    // Whether a room is big changes with its members, in the same write-set.
    ("services/rooms/", "BigRooms"),
];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let Some(catalogue) = tree.texts.get(CATALOGUE) else { return Vec::new() };
    let owners = owners(catalogue);
    if owners.is_empty() {
        return vec![problem(
            CATALOGUE,
            0,
            "no table was found in it: xtask/src/tidy/catalogue.rs is out of date",
        )];
    }
    let mut problems = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| path.contains("/src/")) {
        let code = code(text);
        let aliases = aliases(&code);
        for (at, (line, in_test)) in code.lines().zip(test_lines(&code)).enumerate() {
            for table in written(line).filter(|_| !in_test) {
                let table = aliases.get(table).copied().unwrap_or(table);
                let Some(owner) = owners.get(table) else { continue };
                let own = path.starts_with("storage/") || path.starts_with(&format!("services/{owner}/"));
                if !own && !ALLOWED.iter().any(|(folder, name)| path.starts_with(folder) && *name == table) {
                    problems.push(problem(path, at + 1, format!("it writes the table {table} of {owner}")));
                }
            }
        }
    }
    problems
}

/// The owner of each table: lines such as `20 accounts Accounts "accounts": …`.
fn owners(catalogue: &str) -> BTreeMap<&str, &str> {
    let line = |line: &'_ str| -> Option<()> { line.split_whitespace().next()?.parse::<u8>().ok().map(drop) };
    let lines = catalogue.lines().filter(|text| line(text).is_some());
    lines
        .filter_map(|text| {
            let mut words = text.split_whitespace().skip(1);
            let (owner, table) = (words.next()?, words.next()?);
            words.next()?.starts_with('"').then_some((table, owner))
        })
        .collect()
}

/// Imports under another name, by that name: `Inbox as InboxTable`.
fn aliases(code: &str) -> BTreeMap<&str, &str> {
    let words: Vec<&str> = code.split(|it: char| !it.is_alphanumeric() && it != '_').collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.windows(3).filter(|three| three[1] == "as").map(|three| (three[2], three[0])).collect()
}

/// The tables that a line puts to or deletes from.
fn written(line: &str) -> impl Iterator<Item = &str> {
    [".put::<", ".delete::<", ".delete_range::<"].into_iter().flat_map(move |verb| {
        line.match_indices(verb).filter_map(move |(at, _)| {
            let path = line[at + verb.len()..].split('>').next()?;
            path.rsplit("::").next()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "    /// The queue.\n    40 inbox Inbox \"inbox\": InboxKey => ();\n";

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let tree = Tree::of(&[(CATALOGUE, TABLES), (path, text)]);
        check(&tree).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn writes_by_others_are_found() {
        assert_eq!(lines("services/rooms/src/a.rs", "a\nwrites.put::<Inbox>(&key, &());\n"), [2]);
        assert_eq!(lines("http/client-api/src/a.rs", "writes.delete::<catalogue::Inbox>(&key);\n"), [1]);
        let alias = "use c::{Inbox as Queue};\nwrites.delete::<Queue>(&key);\n";
        assert_eq!(lines("services/rooms/src/a.rs", alias), [2]);
    }

    #[test]
    fn reads_and_the_owners_writes_are_not() {
        assert_eq!(lines("services/rooms/src/a.rs", "store.get::<Inbox>(&key);\n"), [0; 0]);
        assert_eq!(lines("services/inbox/src/a.rs", "writes.put::<Inbox>(&key, &());\n"), [0; 0]);
    }
}
