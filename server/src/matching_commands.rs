//! The command `matching new-key`: another key for matching address books, in the store of a server that is
//! stopped.

use std::sync::Arc;

use linkspan_matching::Index;
use linkspan_platforms::Platforms;
use linkspan_wire::now_ts;

use crate::{ConfigPath, Failure, read_config, services};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum MatchingCommand {
    /// Make a new key, because somebody else may have the old one. The next start fills the index of
    /// addresses anew, and apps have all their addresses evaluated again.
    NewKey(ConfigPath),
}

pub(crate) fn run(command: MatchingCommand) -> Result<(), Failure> {
    let MatchingCommand::NewKey(path) = command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(make_key(&path))?;
    println!("there is a new key; the next start fills the index with everybody who is to be found");
    Ok(())
}

async fn make_key(path: &ConfigPath) -> Result<(), Failure> {
    let config = read_config(&path.config)?;
    let store = services::open_store(&config).await?;
    let platforms = Platforms::open(&store, config.platforms, now_ts()).await?;
    let index = Index::open(store, Arc::new(platforms), now_ts()).await?;
    Ok(index.rotate_key(now_ts()).await?)
}
