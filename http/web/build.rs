//! Lists the files of the chat app, so that they become part of the program: those of `web/dist`, which `npm run build`
//! makes in `web`. `npm run build` leaves compressed files there, too, `.br` and `.gz`, beside those that are worth it.

use std::{
    env, fs,
    io::{Error, Result},
    path::{Path, PathBuf},
};

/// The folder of the built app, from this crate.
const DIST: &str = "../../web/dist";

fn main() -> Result<()> {
    let here = variable("CARGO_MANIFEST_DIR")?;
    let dist = Path::new(&here).join(DIST);
    // Cargo would run this again at every build while the folder that it watches is not there.
    let _ = fs::create_dir_all(&dist);
    println!("cargo::rerun-if-changed={DIST}");
    let mut paths = Vec::new();
    if dist.join("index.html").exists() {
        list(&dist, &mut paths)?;
    }
    paths.sort();
    let entries: String =
        paths.iter().filter(|path| !is_compressed(path)).map(|path| entry(&dist, path)).collect();
    fs::write(Path::new(&variable("OUT_DIR")?).join("files.rs"), format!("&[\n{entries}]\n"))
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(Error::other)
}

fn list(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "br" || extension == "gz")
}

/// The line of a file in the list.
fn entry(dist: &Path, path: &Path) -> String {
    let name = path.strip_prefix(dist).unwrap_or(path).display();
    let compressed = |extension: &str| {
        let beside = PathBuf::from(format!("{}.{extension}", path.display()));
        match beside.exists() {
            true => format!("Some({})", include(&beside)),
            false => "None".to_owned(),
        }
    };
    format!(
        "File {{ path: {:?}, plain: {}, brotli: {}, gzip: {} }},\n",
        format!("/{name}"),
        include(path),
        compressed("br"),
        compressed("gz"),
    )
}

fn include(path: &Path) -> String {
    format!("include_bytes!({:?})", path.display().to_string())
}
