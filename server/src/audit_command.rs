//! The command `audit`: says where the tables of a store contradict each other, while the server is stopped.

use std::{process::ExitCode, sync::Arc};

use linkspan_accounts::Accounts;
use linkspan_contacts::Contacts;
use linkspan_directory::Directory;
use linkspan_inbox::Inbox;
use linkspan_platforms::Platforms;
use linkspan_rooms::Rooms;

use crate::{Failure, config::Config, counted, services};

/// Prints all findings; fails if there are any.
pub(crate) fn run(config: &Config) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let findings = runtime.block_on(find(config))?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("all tables agree");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", counted(findings.len(), "finding"));
    Ok(ExitCode::FAILURE)
}

async fn find(config: &Config) -> Result<Vec<String>, Failure> {
    let store = services::open_store(config).await?;
    let now_ts = linkspan_wire::now_ts();
    let platforms = Arc::new(Platforms::open(&store, config.platforms.clone(), now_ts).await?);
    let directory = Directory::new(store.clone(), platforms.clone());
    let inbox = Inbox::new(store.clone(), now_ts);
    let accounts = Accounts::new(store.clone());
    let contacts = Contacts::new(store.clone(), platforms.clone(), accounts.clone());
    let rooms = Rooms::new(store, platforms, accounts, contacts, directory, inbox);
    Ok(rooms.audit().await?)
}
