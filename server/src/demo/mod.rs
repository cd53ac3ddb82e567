//! The command `demo`: three platforms on this machine that stand in for the three kinds.

use std::path::{Path, PathBuf};

use crate::{Failure, read_config, serve};

/// The configuration, to be read by people too.
const CONFIG: &str = include_str!("linkspan.toml");

/// Serves the demo. None: in a folder that goes when the demo ends.
pub(crate) fn run(data: Option<PathBuf>) -> Result<(), Failure> {
    let temporary;
    let folder = match &data {
        Some(folder) => folder.as_path(),
        None => {
            temporary = tempfile::Builder::new().prefix("linkspan-demo-").tempdir()?;
            temporary.path()
        }
    };
    let config = write_config(folder)?;
    println!("the demo's configuration and data are in {}", folder.display());
    serve::serve(read_config(&config)?)
}

/// Writes the configuration unless there is one: who changed it wants it so.
fn write_config(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    let path = folder.join("linkspan.toml");
    if !path.exists() {
        std::fs::write(&path, CONFIG).map_err(failed)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn the_demo_has_a_configuration_in_which_nothing_is_found() {
        let reading = Config::parse(super::CONFIG, &std::env::temp_dir(), None);
        assert!(reading.findings.is_empty(), "{:?}", reading.findings);
        let config = reading.config.expect("the configuration is good");
        let names: Vec<_> = config.platforms.iter().map(|platform| platform.server_name.as_str()).collect();
        assert_eq!(names, ["instagram.localhost", "messenger.localhost", "whatsapp.localhost"]);
    }
}
