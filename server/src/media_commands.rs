//! The commands `media …`: the uploads of a platform's people.

use hyper::Method;
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::{
    Failure, counted,
    on_platform::{OnPlatform, encoded},
    shown::{columns, printable, show},
    token_commands::describe_duration,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum MediaCommand {
    /// Say how much the people of a platform have uploaded, and who most.
    Usage {
        #[command(flatten)]
        at: OnPlatform,
        /// How many people are named.
        #[arg(long, default_value_t = 20)]
        top: usize,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// List uploads.
    List {
        #[command(flatten)]
        at: OnPlatform,
        /// Those of this user.
        #[arg(long)]
        user: Option<String>,
        /// Those that are older than so many days.
        #[arg(long, value_name = "DAYS")]
        older_than: Option<u64>,
        /// Those that are in quarantine.
        #[arg(long)]
        quarantined: bool,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
    /// Show an upload.
    Show {
        #[command(flatten)]
        of: Upload,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove uploads for good. What is protected stays.
    Remove {
        #[command(flatten)]
        which: Which,
        /// Print what was done as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give uploads to nobody any more, and keep them. What is protected stays as it is.
    Quarantine {
        #[command(flatten)]
        which: Which,
        /// Print what was done as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give an upload out again.
    Unquarantine(Upload),
    /// Keep an upload from being removed or quarantined.
    Protect(Upload),
    /// Let an upload be removed and quarantined again.
    Unprotect(Upload),
}

/// The arguments that name an upload.
#[derive(Debug, clap::Args)]
pub(crate) struct Upload {
    #[command(flatten)]
    at: OnPlatform,
    /// The upload's id, or its `mxc://` address.
    media: String,
}

/// The arguments that name an upload, or many.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    #[command(flatten)]
    at: OnPlatform,
    /// The upload's id, or its `mxc://` address.
    #[arg(conflicts_with_all = ["user", "older_than", "room"], required_unless_present_any = ["user", "older_than", "room"])]
    media: Option<String>,
    /// Those of this user.
    #[arg(long)]
    user: Option<String>,
    /// Those that are older than so many days.
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u64>,
    /// Those that people of the platform have sent to this room unencrypted.
    #[arg(long, conflicts_with_all = ["user", "older_than"])]
    room: Option<String>,
}

pub(crate) fn run(command: MediaCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            MediaCommand::Usage { at, top, json } => usage(&at, top, json).await,
            MediaCommand::List { at, user, older_than, quarantined, json } => {
                let user = user.map_or_else(String::new, |user| format!("&user_id={}", encoded(&user)));
                let before =
                    older_than.map_or_else(String::new, |days| format!("&before_ts={}", before(days)));
                let quarantined = if quarantined { "&quarantined=true" } else { "" };
                let row = |media: &Value| {
                    println!("{}", if json { printable(&media.to_string()) } else { columns(&line(media)) });
                };
                at.reach().await?.list("media", &format!("{user}{before}{quarantined}"), row).await
            }
            MediaCommand::Show { of, json } => {
                show(&of.at.reach().await?.ask(Method::GET, path(&of.media, ""), None).await?, json);
                Ok(())
            }
            MediaCommand::Remove { which, json } => treat(&which, Method::DELETE, "remove", json).await,
            MediaCommand::Quarantine { which, json } => treat(&which, Method::PUT, "quarantine", json).await,
            MediaCommand::Unquarantine(of) => put(&of, "quarantined", false, "is not in quarantine").await,
            MediaCommand::Protect(of) => put(&of, "protected", true, "is protected").await,
            MediaCommand::Unprotect(of) => put(&of, "protected", false, "is not protected").await,
        }
    })
}

async fn usage(at: &OnPlatform, top: usize, json: bool) -> Result<(), Failure> {
    let usage = at.reach().await?.ask(Method::GET, format!("media/usage?limit={top}"), None).await?;
    if json {
        show(&usage, true);
        return Ok(());
    }
    let uploads =
        |row: &Value| format!("{}\t{} bytes", counted(number(&row["count"]), "upload"), row["size_bytes"]);
    println!("all\t{}", uploads(&usage));
    for user in usage["users"].as_array().into_iter().flatten() {
        println!("{}\t{}", printable(text(&user["user_id"])), uploads(user));
    }
    Ok(())
}

/// Removes or quarantines an upload, or many, step by step.
async fn treat(which: &Which, method: Method, verb: &str, json: bool) -> Result<(), Failure> {
    let mut platform = which.at.reach().await?;
    let mut changed = 0;
    if let Some(media) = &which.media {
        match method {
            Method::DELETE => platform.ask(method, path(media, ""), None).await?,
            _ => {
                let body = json!({ "quarantined": true });
                platform.ask(method, path(media, "/quarantined"), Some(body)).await?
            }
        };
        changed = 1;
    } else {
        let mut body = json!({
            "user_id": which.user, "before_ts": which.older_than.map(before), "room_id": which.room,
        });
        loop {
            let step = platform.ask(Method::POST, format!("media/{verb}"), Some(body.clone())).await?;
            changed += number(&step["changed"]);
            match step["next_batch"].as_str() {
                Some(next) => body["from"] = next.into(),
                None => break,
            }
        }
    }
    if json {
        println!("{}", json!({ "changed": changed }));
    } else {
        let done = if verb == "remove" { "removed" } else { "quarantined" };
        println!("{} {done}", counted(changed, "upload"));
    }
    Ok(())
}

async fn put(of: &Upload, what: &str, value: bool, done: &str) -> Result<(), Failure> {
    let path = path(&of.media, &format!("/{what}"));
    of.at.reach().await?.ask(Method::PUT, path, Some(json!({ what: value }))).await?;
    println!("{} {done}", printable(&of.media));
    Ok(())
}

/// The address of an upload in the operator API.
fn path(media: &str, what: &str) -> String {
    let media_id = media.strip_prefix("mxc://").and_then(|rest| rest.split('/').nth(1)).unwrap_or(media);
    format!("media/{}{what}", encoded(media_id))
}

/// The time so many days ago.
fn before(days: u64) -> u64 {
    now_ts().saturating_sub(days.saturating_mul(DAY_MS))
}

/// An upload on one line.
fn line(media: &Value) -> String {
    let age = describe_duration(now_ts().saturating_sub(media["created_ts"].as_u64().unwrap_or_default()));
    let words = ["quarantined", "protected"].into_iter().filter(|word| media[*word] == true);
    let words: String = words.map(|word| format!("\t{word}")).collect();
    let (uri, user) = (text(&media["uri"]), text(&media["user_id"]));
    let kind = text(&media["content_type"]);
    format!("{uri}\t{user}\t{} bytes\t{age} ago\t{kind}{words}", media["size_bytes"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> usize {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_named_by_its_address_too() {
        assert_eq!(path("mxc://one.localhost/abc", "/protected"), "media/abc/protected");
        assert_eq!(path("abc", ""), "media/abc");
    }
}
