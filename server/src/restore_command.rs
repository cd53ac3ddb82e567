//! The command `restore`: checks a backup, and makes an empty data folder what it was when the backup was made.

use std::path::PathBuf;

use crate::{ConfigPath, Failure, backup, media, read_config, services};

/// What `restore` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    config: ConfigPath,
    /// Only read the backup and say whether all of it is whole.
    #[arg(long)]
    verify: bool,
    /// The folder of the backup.
    folder: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let config = read_config(&options.config.config)?;
    let media = config.media.is_none().then(|| media::media_folder(&config.data));
    if options.verify {
        println!("{} is whole", backup::verify(&options.folder)?);
        return Ok(());
    }
    let store = services::store_folder(&config.data);
    println!("{} is restored", backup::restore(&options.folder, &config.data, &store, media.as_deref())?);
    Ok(())
}
