//! The command `backup`: by a server that runs, or else by itself.

use std::path::PathBuf;

use crate::{
    ConfigPath, Failure,
    backup::{self, Pace},
    control::{self, Request},
    media, read_config, services,
};

/// What `backup` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    config: ConfigPath,
    /// The folder of the backup: a new one, or that of an earlier backup, which becomes this one. What it has already is
    /// not written again.
    folder: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let config = read_config(&options.config.config)?;
    let folder = std::path::absolute(&options.folder)?;
    if control::ask(&config.data, &Request::Backup { folder: folder.clone() }, |line| println!("{line}"))? {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let store = runtime.block_on(services::open_store(&config))?;
    let media = config.media.is_none().then(|| media::media_folder(&config.data));
    let source = backup::Source { store: &store, media: media.as_deref(), data: &config.data };
    println!("{}", backup::make(&source, &folder, Pace::Full)?);
    Ok(())
}
