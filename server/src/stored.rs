//! What the store holds, compared with the configuration: accounts that no platform serves any more, and platforms on
//! which nobody can register yet.
//!
//! A server name is part of every user id. If it is changed in the configuration, or its platform is taken out, the
//! accounts stay in the store and nobody can log in to them. The configuration must say that this is meant: `retired`.

use std::os::unix::fs::MetadataExt;

use linkspan_accounts::{Accounts, RegistrationTokenInfo};
use linkspan_platforms::{Platforms, Registration, Settings};
use linkspan_storage::{StorageError, Store};
use linkspan_wire::now_ts;
use ruma::OwnedServerName;

use crate::{
    Failure,
    config::{Config, Finding, Severity},
    services::store_folder,
};

/// Registration tokens that are read to find one that is still valid.
const TOKENS: usize = 1000;

/// Refuses if the store has accounts that no platform of the configuration serves.
pub(crate) async fn check_served(store: &Store, config: &Config) -> Result<(), Failure> {
    let unserved = list_unserved(store, config).await?;
    let messages: Vec<_> = unserved.iter().map(explain_unserved).collect();
    if messages.is_empty() { Ok(()) } else { Err(messages.join("\n").into()) }
}

/// Findings about a configuration that is good by itself.
pub(crate) async fn judge(config: &Config) -> Result<Vec<Finding>, Failure> {
    let folder = store_folder(&config.data);
    if !folder.exists() {
        return Ok(config.platforms.iter().filter_map(|platform| without_token(platform, &[])).collect());
    }
    // Opening a store writes to it, and the server could not write to what then belongs to another user.
    if folder.metadata()?.uid() != rustix::process::geteuid().as_raw() {
        return Ok(vec![not_compared(config, "belongs to another user of this machine")]);
    }
    let store = match Store::open(&folder) {
        Err(StorageError::InUse(_)) => {
            return Ok(vec![not_compared(config, "is in use by a running server")]);
        }
        opened => opened?,
    };
    let error = |message| Finding { severity: Severity::Error, line: None, message };
    if let Err(newer @ StorageError::NewerFormat { .. }) = store.check_format().await {
        return Ok(vec![error(format!("the store in {} cannot be used: {newer}", folder.display()))]);
    }
    judge_open(&store, config).await
}

/// The same for a store that is open.
pub(crate) async fn judge_open(store: &Store, config: &Config) -> Result<Vec<Finding>, Failure> {
    let error = |message| Finding { severity: Severity::Error, line: None, message };
    let unserved = list_unserved(store, config).await?;
    let mut findings: Vec<_> = unserved.iter().map(explain_unserved).map(error).collect();
    let accounts = Accounts::new(store.clone());
    for platform in &config.platforms {
        let tokens = accounts.list_registration_tokens(&platform.server_name, None, TOKENS).await?;
        findings.extend(without_token(platform, &tokens));
    }
    Ok(findings)
}

/// The server names under which the store has accounts, and which the configuration neither serves nor retires.
async fn list_unserved(store: &Store, config: &Config) -> Result<Vec<OwnedServerName>, Failure> {
    let accounts = Accounts::new(store.clone());
    let mut unserved = Vec::new();
    for name in Platforms::list_stored(store).await? {
        let is_known = config.retired.contains(&name)
            || config.platforms.iter().any(|platform| platform.server_name == name);
        if !is_known && !accounts.list_accounts(&name, None, 1).await?.is_empty() {
            unserved.push(name);
        }
    }
    Ok(unserved)
}

fn explain_unserved(name: &OwnedServerName) -> String {
    format!(
        "the store has accounts of {name}, but no platform has this `server_name`, so nobody could log in to them. \
         If you changed a `server_name`, change it back: it is part of everybody's address. If you took the platform \
         out on purpose, write retired = [\"{name}\"] above the first [table] of the configuration"
    )
}

fn not_compared(config: &Config, why: &str) -> Finding {
    let message = format!(
        "the store in {} {why}, so it was not looked at: this check cannot tell whether it has accounts of a platform \
         that is missing here (`linkspan serve` refuses to start then)",
        config.data.display()
    );
    warning(message)
}

fn without_token(platform: &Settings, tokens: &[RegistrationTokenInfo]) -> Option<Finding> {
    let is_valid = |token: &RegistrationTokenInfo| token.is_valid(now_ts());
    if platform.registration != Registration::Token || tokens.iter().any(is_valid) {
        return None;
    }
    Some(warning(format!(
        "nobody can register on {} yet: `registration` is \"token\", and there is no valid token. Make one with: \
         linkspan token create {}",
        platform.server_name, platform.name
    )))
}

fn warning(message: String) -> Finding {
    Finding { severity: Severity::Warning, line: None, message }
}
