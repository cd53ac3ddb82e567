//! The command `backup`: by a server that runs, or else by itself.

use std::path::PathBuf;

use hyper::Method;
use serde_json::json;

use crate::{
    ConfigPath, Failure,
    back_end::{Ask, BackEnd},
    backup::{self, Pace},
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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let told = runtime.block_on(async {
        let Some(mut back_end) = BackEnd::running_over(&config).await? else { return Ok(None) };
        let body = Some(json!({ "folder": folder }));
        let ask = Ask { method: Method::POST, platform: None, path: "backup".to_owned(), body };
        Ok::<_, Failure>(Some(back_end.ask(ask).await?))
    })?;
    if let Some(told) = told {
        println!("{}", told["told"].as_str().unwrap_or_default());
        return Ok(());
    }
    let store = runtime.block_on(services::open_store(&config))?;
    let media = config.media.is_none().then(|| media::media_folder(&config.data));
    let source = backup::Source { store: &store, media: media.as_deref(), data: &config.data };
    println!("{}", backup::make(&source, &folder, Pace::Full)?);
    Ok(())
}
