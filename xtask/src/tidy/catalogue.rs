//! Tables: only the crate that the catalogue names as a table's owner writes it, and docs/quotas.md says of each what
//! bounds it.

use std::collections::BTreeMap;

use super::{Problem, Tree, problem, rust_code::lines};

const CATALOGUE: &str = "storage/src/catalogue.rs";
const QUOTAS: &str = "docs/quotas.md";

/// What may be done with every table: `verb::<Table>`. All other verbs write it, those included that are added later.
const READS: [&str; 16] = [
    "get",
    "get_many",
    "contains",
    "range",
    "keys",
    "Range",
    "Rows",
    "expect",
    "expect_absent",
    "expect_read",
    "watch",
    "forget_on",
    "keys_put",
    "keys_changed",
    "of",
    "hold_reads",
];

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
    let mut problems = without_bound(catalogue, tree.texts.get(QUOTAS).map_or("", String::as_str));
    for (path, text) in tree.ending(".rs").filter(|(path, _)| path.contains("/src/")) {
        // What is no Rust is found with the sources.
        let Ok(lines) = lines(text) else { continue };
        let aliases: BTreeMap<_, _> = lines.iter().flat_map(|line| aliases(&line.code)).collect();
        for (at, line) in lines.iter().enumerate() {
            for table in written(&line.code).filter(|_| !line.in_test) {
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

/// Tables whose name stands in no row of the page on quotas.
fn without_bound(catalogue: &str, quotas: &str) -> Vec<Problem> {
    let named =
        |name: &str| quotas.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
    let mut problems = Vec::new();
    for (at, line) in catalogue.lines().enumerate() {
        let mut words = line.split_whitespace();
        if words.next().is_none_or(|number| number.parse::<u8>().is_err()) {
            continue;
        }
        let name = words.nth(2).and_then(|name| name.strip_prefix('"')?.split('"').next());
        if let Some(name) = name.filter(|name| !named(name)) {
            let what = format!("{QUOTAS} does not say what bounds the table {name}");
            problems.push(problem(CATALOGUE, at + 1, what));
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
fn aliases(line: &str) -> Vec<(&str, &str)> {
    let words: Vec<&str> = line.split(|it| !is_word(it)).filter(|word| !word.is_empty()).collect();
    words.windows(3).filter(|three| three[1] == "as").map(|three| (three[2], three[0])).collect()
}

/// What a line names as `verb::<Table>` with a verb that is not known to only read.
fn written(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("::<").filter_map(|(at, turbofish)| {
        let verb = line[..at].rsplit(|it| !is_word(it)).next()?;
        let path = line[at + turbofish.len()..].split(|it| !is_word(it) && it != ':').next()?;
        (!READS.contains(&verb)).then(|| path.rsplit("::").next()).flatten()
    })
}

fn is_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "    /// The queue.\n    40 inbox Inbox \"inbox\": InboxKey => ();\n";

    const BOUNDS: &str = "| `inbox` | one for each event | - |\n";

    #[test]
    fn tables_without_a_bound_are_found() {
        let found = |page: &str| check(&Tree::of(&[(CATALOGUE, TABLES), (QUOTAS, page)])).len();
        assert_eq!((found(BOUNDS), found(""), found("`inbox` is bounded")), (0, 1, 1));
    }

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let tree = Tree::of(&[(CATALOGUE, TABLES), (QUOTAS, BOUNDS), (path, text)]);
        check(&tree).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn writes_by_others_are_found() {
        assert_eq!(lines("services/rooms/src/a.rs", "a\nwrites.put::<Inbox>(&key, &());\n"), [2]);
        assert_eq!(lines("services/rooms/src/a.rs", "writes.put_once_in_era::<Inbox>(&key, &());\n"), [1]);
        assert_eq!(lines("services/rooms/src/a.rs", "empty::<Inbox>(writes);\n"), [1]);
        assert_eq!(lines("http/client-api/src/a.rs", "writes.delete::<catalogue::Inbox>(&key);\n"), [1]);
        let alias = "use c::{Inbox as Queue};\nwrites.delete::<Queue>(&key);\n";
        assert_eq!(lines("services/rooms/src/a.rs", alias), [2]);
    }

    #[test]
    fn reads_and_the_owners_writes_are_not() {
        assert_eq!(lines("services/rooms/src/a.rs", "store.get::<Inbox>(&key);\n"), [0; 0]);
        assert_eq!(
            lines("services/rooms/src/a.rs", "a(Range::<Inbox>::prefix((&b,)), Vec::<Inbox2>::new());\n"),
            [0; 0]
        );
        assert_eq!(
            lines("services/rooms/src/a.rs", "#[test]\nfn a() { b.put::<Inbox>(&c, &()); }\n"),
            [0; 0]
        );
        assert_eq!(lines("services/inbox/src/a.rs", "writes.put::<Inbox>(&key, &());\n"), [0; 0]);
    }
}
