//! The command `link list`: which accounts of a platform are linked with others, in the store of a server that is stopped.
//!
//! Operators see accounts of their own platform. Of an account elsewhere they see the platform that it is on, which says
//! what kind of link it is, and not whose it is.

use linkspan_storage::records::AccountLinksRecord;
use ruma::{OwnedUserId, ServerName};
use serde_json::{Value, json};

use crate::{Failure, on_platform::OnPlatform};

/// Accounts that are listed with one read.
const PAGE: usize = 1000;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum LinkCommand {
    /// List the accounts of a platform that are linked with others: of these, accounts of the same platform by their
    /// address, and all else by the platform alone.
    List {
        #[command(flatten)]
        at: OnPlatform,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: LinkCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            LinkCommand::List { at, json } => list(&at, json).await,
        }
    })
}

async fn list(at: &OnPlatform, json: bool) -> Result<(), Failure> {
    let (accounts, platform) = at.open().await?;
    let mut after = None;
    loop {
        let page = accounts.list_account_links(&platform, after.as_ref(), PAGE).await?;
        for (user_id, links) in &page {
            println!("{}", if json { to_json(user_id, links).to_string() } else { line(user_id, links) });
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => after = Some(last.clone()),
            _ => return Ok(()),
        }
    }
}

/// What operators of a platform see of another account.
fn seen<'a>(platform: &ServerName, other: &'a OwnedUserId) -> &'a str {
    if other.server_name() == platform { other.as_str() } else { other.server_name().as_str() }
}

fn line(user_id: &OwnedUserId, links: &AccountLinksRecord) -> String {
    let others: Vec<_> = links.others.iter().map(|(other, _)| seen(user_id.server_name(), other)).collect();
    format!("{user_id}\t{}", others.join(", "))
}

fn to_json(user_id: &OwnedUserId, links: &AccountLinksRecord) -> Value {
    let other = |(other, since_ts): &(OwnedUserId, u64)| {
        let is_own = other.server_name() == user_id.server_name();
        json!({
            "platform": other.server_name(),
            "user_id": is_own.then_some(other),
            "since_ts": since_ts,
        })
    };
    json!({ "user_id": user_id, "linked_with": links.others.iter().map(other).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use linkspan_storage::records::AccountLinksRecord;
    use ruma::{owned_user_id, user_id};
    use serde_json::json;

    use super::{line, to_json};

    #[test]
    fn accounts_of_other_platforms_are_not_named() {
        let (own, other) = (owned_user_id!("@anna2:one.localhost"), owned_user_id!("@ann:two.localhost"));
        let links = AccountLinksRecord {
            others: vec![(own.clone(), 5), (other.clone(), 7)],
            shown: true,
            arrive_at: Some(other),
        };
        let anna = user_id!("@anna:one.localhost").to_owned();
        assert_eq!(line(&anna, &links), "@anna:one.localhost\t@anna2:one.localhost, two.localhost");
        let expected = json!({ "user_id": anna, "linked_with": [
            { "platform": "one.localhost", "user_id": own, "since_ts": 5 },
            { "platform": "two.localhost", "user_id": null, "since_ts": 7 },
        ] });
        assert_eq!(to_json(&anna, &links), expected);
    }
}
