//! The command `link list`: which accounts of a platform are linked with others.

use serde_json::Value;

use crate::{Failure, on_platform::OnPlatform};

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
    let row = |links: &Value| println!("{}", if json { links.to_string() } else { line(links) });
    at.reach().await?.list("account_links", "", row).await
}

/// An account and those that it is linked with, on one line.
fn line(links: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let other = |other: &Value| text(&other["user_id"]).or_else(|| text(&other["platform"]));
    let others: Vec<String> =
        links["linked_with"].as_array().into_iter().flatten().filter_map(other).collect();
    format!("{}\t{}", text(&links["user_id"]).unwrap_or_default(), others.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::line;

    #[test]
    fn linked_accounts_are_a_line() {
        let links = json!({ "user_id": "@anna:one.localhost", "linked_with": [
            { "platform": "one.localhost", "user_id": "@anna2:one.localhost", "since_ts": 5 },
            { "platform": "two.localhost", "user_id": null, "since_ts": 7 },
        ] });
        assert_eq!(line(&links), "@anna:one.localhost\t@anna2:one.localhost, two.localhost");
    }
}
