//! `cargo xtask features`: whether the crates of others are built with the same features, whichever packages
//! are chosen.
//!
//! Where they are not, choosing a package compiles them anew, and everything that uses them. It is put right
//! by a line in `features/Cargo.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, ExitCode},
};

/// Which dependencies Cargo is asked for: all; and those without macros, which may have features of their
/// own.
const EDGES: [&str; 2] = ["normal,build", "normal,no-proc-macro"];
/// The packages that have features of their own: `xtask` is built before all others, and with few crates, and the
/// library is for other people's programs, which decide by themselves.
const APART: [&str; 2] = ["xtask", "linkspan-address-book"];

/// Crates with the features that they are built with.
type Crates = BTreeSet<(String, BTreeSet<String>)>;
/// Crates and the features that they lack, with the packages in which they do.
type Lacking = BTreeMap<(String, Vec<String>), BTreeSet<String>>;

/// Says which features are missing where; the exit code tells whether there are any.
pub(crate) fn run() -> ExitCode {
    match find_lacking() {
        Ok(lacking) => {
            for ((name, features), packages) in &lacking {
                let packages: Vec<_> = packages.iter().map(String::as_str).collect();
                println!(
                    "{name} lacks {} when only this is built: {}",
                    features.join(", "),
                    packages.join(", ")
                );
            }
            if lacking.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn find_lacking() -> Result<Lacking, String> {
    let members = tree(&["--workspace", "--depth=0", "--format={p}"])?;
    let members = members.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty());
    let packages: BTreeSet<_> = members.filter(|name| !APART.contains(name)).collect();
    let mut lacking = Lacking::new();
    for edges in EDGES {
        let with_tests = format!("{edges},dev");
        let all = crates(&["--workspace", "--edges", &with_tests])?;
        compare(
            "the workspace without tests",
            &crates(&["--workspace", "--edges", edges])?,
            &all,
            &mut lacking,
        );
        for package in &packages {
            for edges in [edges, &with_tests] {
                let own = crates(&["--package", package, "--edges", edges])?;
                compare(package, &own, &all, &mut lacking);
            }
        }
    }
    Ok(lacking)
}

fn tree(arguments: &[&str]) -> Result<String, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo).args(["tree", "--locked", "--prefix=none"]).args(arguments).output();
    let output = output.map_err(|error| format!("cargo does not run: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

fn crates(arguments: &[&str]) -> Result<Crates, String> {
    Ok(read(&tree(&[&["--format={p}|{f}"], arguments].concat())?))
}

/// Reads lines such as `libc v0.2.1|default,std`, without those of this workspace, which have a path.
fn read(lines: &str) -> Crates {
    let crates = lines.lines().filter(|line| !line.contains(" (/")).filter_map(|line| line.split_once('|'));
    crates
        .map(|(name, features)| {
            let features = features.trim_end_matches(" (*)").split(',').filter(|feature| !feature.is_empty());
            (name.replace(" (proc-macro)", ""), features.map(ToOwned::to_owned).collect())
        })
        .collect()
}

/// Notes the crates of a package that are built with other features than anywhere in the workspace.
fn compare(package: &str, own: &Crates, all: &Crates, lacking: &mut Lacking) {
    for (name, features) in own.difference(all) {
        let elsewhere = all.iter().filter(|(other, _)| other == name);
        let missing = elsewhere.map(|(_, more)| more.difference(features).cloned().collect::<Vec<_>>());
        let fewest = missing.min_by_key(Vec::len).unwrap_or_default();
        lacking.entry((name.clone(), fewest)).or_default().insert(package.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_is_built_with_fewer_features_is_found() {
        let all = read(
            "linkspan v0.1.0 (/linkspan/server)|\nlibc v0.2.1|default,std\nsyn v3.0.0 (proc-macro)|full,visit (*)\n",
        );
        assert_eq!(all.len(), 2, "{all:?}");
        let own =
            read("linkspan-domain v0.1.0 (/linkspan/domain)|\nlibc v0.2.1|std\nsyn v3.0.0|full,visit\n");
        let mut lacking = Lacking::new();
        compare("linkspan-domain", &own, &all, &mut lacking);
        let missing = ("libc v0.2.1".to_owned(), vec!["default".to_owned()]);
        assert_eq!(lacking, Lacking::from([(missing, BTreeSet::from(["linkspan-domain".to_owned()]))]));
        compare("linkspan-rooms", &all, &all, &mut lacking);
        assert_eq!(lacking.len(), 1, "the same is not said");
    }
}
