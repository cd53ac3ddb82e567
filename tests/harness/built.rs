//! The programs under test: where they are, and whether they are made of the sources as they are now.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// The programs that were found to be current. Each is looked at once, for sources may change while tests
/// run.
static CURRENT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Where a program of this build is.
///
/// # Panics
/// If it is not built, or one of its sources has changed since: then it is not what is to be tested.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test is a program");
    let folder = test.ancestors().nth(2).expect("tests are built in target/PROFILE/deps");
    let program = folder.join(name);
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if !current.contains(&program) {
        if let Some(why) = why_not_current(&program) {
            panic!(
                "{} {why}: build it with `cargo build --workspace --bins` (linkspan-rust-client with \
                 `tests/setup.sh rust`); `make test` does both",
                program.display()
            );
        }
        current.insert(program.clone());
    }
    program
}

fn why_not_current(program: &Path) -> Option<String> {
    let Some(built) = modified(program) else { return Some("is not built".to_owned()) };
    // Cargo writes beside each program of what sources it was made. It does not name manifests there, and
    // they are not looked at: most changes of them concern other programs, and then Cargo would build nothing
    // anew.
    let Ok(made_of) = fs::read_to_string(program.with_extension("d")) else {
        return Some("was built by `cargo test`, which does not say of what it is made".to_owned());
    };
    let changed = changed_source(&made_of, built, modified)?;
    Some(format!("is older than its source {}", changed.display()))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

/// A source that was changed or removed after the program was built. `made_of` is in the form of a rule for make:
/// `program: source source`.
fn changed_source<T: Ord>(made_of: &str, built: T, modified: impl Fn(&Path) -> Option<T>) -> Option<PathBuf> {
    let (_, sources) = made_of.trim().split_once(": ").expect("it is made of something");
    // A space that is a part of a path has a backslash before it.
    let sources = sources.replace("\\ ", "\0");
    let mut sources = sources.split(' ').map(|source| PathBuf::from(source.replace('\0', " ")));
    sources.find(|source| modified(source).is_none_or(|at| at > built))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_older_than_a_source_that_was_changed_or_removed_since() {
        let made_of = "/target/linkspan: /src/main.rs /my\\ src/lib.rs /src/page.css\n";
        let times = |page: Option<u64>| {
            move |path: &Path| match path.to_str() {
                Some("/src/main.rs") => Some(1),
                Some("/my src/lib.rs") => Some(2),
                Some("/src/page.css") => page,
                _ => panic!("{} is no source", path.display()),
            }
        };
        assert_eq!(changed_source(made_of, 3, times(Some(3))), None);
        assert_eq!(changed_source(made_of, 3, times(Some(4))), Some("/src/page.css".into()));
        assert_eq!(changed_source(made_of, 3, times(None)), Some("/src/page.css".into()));
        assert_eq!(changed_source(made_of, 1, times(Some(0))), Some("/my src/lib.rs".into()));
    }
}
