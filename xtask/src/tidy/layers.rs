//! The order of the layers: which crate may use which.

use toml::{Table, Value};

use super::{Problem, Tree, problem};

/// All crates of the layers. Each may use those that stand before it, but see [`APART`].
const ORDER: [&str; 29] = [
    "linkspan-domain",
    "linkspan-address-book",
    "linkspan-storage",
    "linkspan-outbound",
    "linkspan-platforms",
    "linkspan-policy",
    "linkspan-inbox",
    "linkspan-accounts",
    "linkspan-matching",
    "linkspan-contacts",
    "linkspan-oauth",
    "linkspan-directory",
    "linkspan-media",
    "linkspan-rooms",
    "linkspan-finding",
    "linkspan-keys",
    "linkspan-push",
    "linkspan-sync",
    "linkspan-export",
    "linkspan-operators",
    "linkspan-lifecycle",
    "linkspan-wire",
    "linkspan-client-api",
    "linkspan-own-api",
    "linkspan-admin-api",
    "linkspan-identity-api",
    "linkspan-web",
    "linkspan-pages",
    "linkspan",
];

/// Crates that may not use each other, although the order would let one.
const APART: [(&str, &str); 1] = [("linkspan-storage", "linkspan-domain")];

/// Folders of crates outside the layers: they speak to the server from outside, look at its sources, or have no code.
const OUTSIDE: [&str; 5] = ["bench/", "demo/", "features/", "tests/", "xtask/"];

/// The crate without code, which any may name: what it depends on cannot be used through it.
const FEATURES: &str = "linkspan-features";

/// The last crate that must not know HTTP.
const LAST_SERVICE: &str = "linkspan-lifecycle";

/// The crates that are HTTP.
const HTTP: [&str; 10] = [
    "axum",
    "axum-core",
    "axum-extra",
    "http",
    "http-body",
    "http-body-util",
    "hyper",
    "hyper-util",
    "tower",
    "tower-http",
];

/// Dependencies that only some crates of the services may have, with these crates.
const ONLY_IN: [(&str, &[&str]); 2] = [
    // Push gateways, policy hooks and pages are called by HTTP, and buckets are reached through it.
    ("reqwest", &["linkspan-outbound", "linkspan-policy", "linkspan-push", "linkspan-media"]),
    ("object_store", &["linkspan-media"]),
];

/// The crates that one without I/O, clock and randomness must not depend on.
const IMPURE: [&str; 6] = ["tokio", "rand", "getrandom", "async-std", "smol", "chrono"];

/// Checks every crate's dependencies. Development dependencies are not checked, because tests may use
/// anything.
pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let inside = |path: &str| !OUTSIDE.iter().any(|folder| path.starts_with(folder));
    for (path, text) in tree.ending("Cargo.toml").filter(|(path, _)| inside(path)) {
        let manifest: Table = match text.parse() {
            Ok(manifest) => manifest,
            Err(error) => {
                problems.push(problem(path, 0, format!("it cannot be read: {error}")));
                continue;
            }
        };
        let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        let Some(name) = name else { continue };
        let found = dependencies(&manifest).into_iter().filter_map(|dependency| refusal(name, &dependency));
        problems.extend(found.map(|what| problem(path, 0, what)));
        if place(name).is_none() {
            problems.push(problem(
                path,
                0,
                format!("{name} has no place in the order of xtask/src/tidy/layers.rs"),
            ));
        }
    }
    problems
}

fn place(name: &str) -> Option<usize> {
    ORDER.iter().position(|other| *other == name)
}

/// The names of all crates that a crate uses.
fn dependencies(manifest: &Table) -> Vec<String> {
    let tables = ["dependencies", "build-dependencies"];
    let of = |table: &Table| -> Vec<String> {
        let found = tables.iter().filter_map(|key| table.get(*key).and_then(Value::as_table));
        found.flatten().map(|(key, value)| renamed(key, value)).collect()
    };
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let of_targets = targets.filter_map(|(_, target)| target.as_table()).flat_map(of);
    of(manifest).into_iter().chain(of_targets).collect()
}

fn renamed(key: &str, value: &Value) -> String {
    value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned()
}

/// Why a crate may not have a dependency, if it may not.
fn refusal(name: &str, dependency: &str) -> Option<String> {
    if dependency == FEATURES {
        return None;
    }
    if dependency.starts_with(ORDER[ORDER.len() - 1]) && place(dependency).is_none() {
        return Some(format!("{name} uses {dependency}, which stands outside the layers"));
    }
    if APART.contains(&(name, dependency)) {
        return Some(format!("{name} and {dependency} must not know each other"));
    }
    if let (Some(own), Some(other)) = (place(name), place(dependency))
        && own <= other
    {
        return Some(format!("{name} uses {dependency}, which does not stand before it in the order"));
    }
    if place(name) > place(LAST_SERVICE) {
        return None;
    }
    if HTTP.contains(&dependency) {
        return Some(format!("{name} uses {dependency}: services and what is below them know no HTTP"));
    }
    if name == ORDER[0] && IMPURE.contains(&dependency) {
        return Some(format!("{name} uses {dependency}: it has no I/O, clock or randomness"));
    }
    let (_, only) = ONLY_IN.iter().find(|(crate_name, _)| *crate_name == dependency)?;
    (!only.contains(&name))
        .then(|| format!("{name} uses {dependency}, which only {} may", only.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, dependencies: &str) -> Vec<String> {
        problems_in("some/Cargo.toml", name, dependencies)
    }

    fn problems_in(path: &str, name: &str, dependencies: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n{dependencies}");
        check(&Tree::of(&[(path, &text)])).into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn upward_and_forbidden_dependencies_are_refused() {
        for (name, dependencies) in [
            ("linkspan-storage", "[dependencies]\nlinkspan-rooms.workspace = true"),
            ("linkspan-storage", "[dependencies]\nlinkspan-domain.workspace = true"),
            ("linkspan-domain", "[dependencies]\nlinkspan-storage.workspace = true"),
            ("linkspan-inbox", "[dependencies]\nlinkspan-sync.workspace = true"),
            ("linkspan-rooms", "[dependencies]\naxum = \"1\""),
            ("linkspan-rooms", "[dependencies]\nreqwest = \"1\""),
            ("linkspan-push", "[dependencies]\nobject_store = \"1\""),
            ("linkspan-domain", "[dependencies]\ntokio = \"1\""),
            ("linkspan-rooms", "[dependencies]\nweb = { package = \"hyper\", version = \"1\" }"),
            ("linkspan-rooms", "[build-dependencies]\nhyper = \"1\""),
            ("linkspan-rooms", "[target.'cfg(unix)'.dependencies]\nhyper = \"1\""),
            ("linkspan-client-api", "[dependencies]\nlinkspan-tests = { path = \"x\" }"),
            ("linkspan-newcomer", ""),
            ("linkspan-rooms", "[dependencies"),
        ] {
            assert_eq!(problems(name, dependencies).len(), 1, "{name}: {dependencies}");
        }
    }

    #[test]
    fn what_the_order_allows_is_allowed() {
        for (name, dependencies) in [
            ("linkspan-rooms", "[dependencies]\nlinkspan-domain.workspace = true\ntokio = \"1\""),
            ("linkspan-push", "[dependencies]\nreqwest = \"1\""),
            ("linkspan-rooms", "[dev-dependencies]\naxum = \"1\""),
            ("linkspan-domain", "[dependencies]\nlinkspan-features = { path = \"x\" }"),
            ("linkspan-client-api", "[dependencies]\naxum = \"1\"\nlinkspan-sync.workspace = true"),
        ] {
            assert_eq!(problems(name, dependencies), Vec::<String>::new(), "{name}: {dependencies}");
        }
        let outside = problems_in("bench/Cargo.toml", "linkspan-bench", "[dependencies]\nhyper = \"1\"");
        assert_eq!(outside, Vec::<String>::new());
    }
}
