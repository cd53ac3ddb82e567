//! `cargo xtask tidy`: the rules of the house that a program can check.
//!
//! Each check is a function from the [`Tree`] to [`Problem`]s, with samples of what it refuses beside it.
//! A rule that changes is changed here and in STYLE.md.

mod catalogue;
mod comments;
mod documents;
mod layers;
mod rust_code;
mod sources;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::Path,
    process::ExitCode,
};

/// Something that breaks a rule.
#[derive(Debug)]
pub(crate) struct Problem {
    path: String,
    /// The line, counted from 1. 0 stands for the whole file.
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what } = self;
        if *line == 0 { write!(f, "{path}: {what}") } else { write!(f, "{path}:{line}: {what}") }
    }
}

fn problem(path: &str, line: usize, what: impl Into<String>) -> Problem {
    Problem { path: path.to_owned(), line, what: what.into() }
}

/// The project's files: the texts that are checked, and the paths of everything else.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Rust sources, manifests and documents, by their path from the root with `/`.
    texts: BTreeMap<String, String>,
    /// All files and folders.
    paths: BTreeSet<String>,
}

impl Tree {
    fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                let built = matches!(&*name, "target" | "node_modules" | "data" | "__pycache__");
                if built || name.starts_with('.') {
                    continue;
                }
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else if [".rs", ".toml", ".md"].iter().any(|end| name.ends_with(end)) {
                self.texts.insert(path.clone(), fs::read_to_string(entry.path())?);
            }
            self.paths.insert(path);
        }
        Ok(())
    }

    /// The texts whose path ends with `end`.
    fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let texts = self.texts.iter().filter(move |(path, _)| path.ends_with(end));
        texts.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    #[cfg(test)]
    fn of(texts: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in texts {
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            tree.paths.extend(ends.map(|end| path[..end].to_owned()));
        }
        tree
    }
}

pub(crate) fn run() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the project");
    let tree = match Tree::read(root) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("tidy: the project cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let checks: [fn(&Tree) -> Vec<Problem>; 6] =
        [layers::check, sources::check, comments::check, catalogue::check, documents::check, words::check];
    let problems: Vec<Problem> = checks.iter().flat_map(|check| check(&tree)).collect();
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!("tidy: {} files, nothing to say", tree.texts.len());
        ExitCode::SUCCESS
    } else {
        println!("tidy: {} problems", problems.len());
        ExitCode::FAILURE
    }
}
