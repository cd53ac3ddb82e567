//! The commands `report list`, `report show` and `report close`: what people have reported to the operators of a
//! platform.

use hyper::Method;
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::{Failure, on_platform::OnPlatform, shown::printable, token_commands::describe_duration};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ReportCommand {
    /// List the open reports of a platform, oldest first.
    List {
        #[command(flatten)]
        at: OnPlatform,
        /// List those that are closed, too.
        #[arg(long)]
        all: bool,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
    /// Show all that a report says.
    Show {
        #[command(flatten)]
        at: OnPlatform,
        /// Its number.
        number: u64,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Close a report. Other platforms that were told of it do so by themselves.
    Close {
        #[command(flatten)]
        at: OnPlatform,
        /// Its number.
        number: u64,
        /// What was done.
        #[arg(long)]
        note: Option<String>,
    },
}

pub(crate) fn run(command: ReportCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            ReportCommand::List { at, all, json } => list(&at, all, json).await,
            ReportCommand::Show { at, number, json } => show(&at, number, json).await,
            ReportCommand::Close { at, number, note } => close(&at, number, note).await,
        }
    })
}

async fn list(at: &OnPlatform, all: bool, json: bool) -> Result<(), Failure> {
    let row = |report: &Value| match json {
        true => println!("{}", printable(&report.to_string())),
        false => println!("{}", summary(report, now_ts())),
    };
    at.reach().await?.list("reports", if all { "&all=true" } else { "" }, row).await
}

async fn show(at: &OnPlatform, number: u64, json: bool) -> Result<(), Failure> {
    let report = at.reach().await?.ask(Method::GET, format!("reports/{number}"), None).await?;
    match json {
        true => println!("{}", printable(&pretty(&report))),
        false => print!("{}", details(&report, now_ts())),
    }
    Ok(())
}

async fn close(at: &OnPlatform, number: u64, note: Option<String>) -> Result<(), Failure> {
    let (path, body) = (format!("reports/{number}/close"), json!({ "note": note }));
    at.reach().await?.ask(Method::POST, path, Some(body)).await?;
    println!("report {number} is closed");
    Ok(())
}

/// A report on one line.
fn summary(report: &Value, now_ts: u64) -> String {
    let reason = report["reason"].as_str().map_or_else(String::new, |reason| format!("\t{}", quoted(reason)));
    let made = ago(&report["ts"], now_ts);
    format!("{}\t{}\t{made}\t{}{reason}", report["number"], text(&report["state"]), subject(report))
}

/// A report on several lines, with all that it says.
fn details(report: &Value, now_ts: u64) -> String {
    let mut lines = vec![
        format!("report    {}, {}", report["number"], text(&report["state"])),
        format!("made      {}", ago(&report["ts"], now_ts)),
        format!("about     {}", subject(report)),
        format!("reporter  {}", report["reporter"].as_str().unwrap_or("is not named")),
    ];
    lines.extend(report["reason"].as_str().map(|reason| format!("reason    {}", quoted(reason))));
    lines.extend(report["score"].as_i64().map(|score| format!("score     {score}")));
    if report["closed_ts"].is_u64() {
        lines.push(format!("closed    {}", ago(&report["closed_ts"], now_ts)));
    }
    lines.extend(report["note"].as_str().map(|note| format!("note      {}", quoted(note))));
    if report["content"].is_object() {
        let is_claimed = report["content_from"] == "reporter";
        let source = if is_claimed { "the reporter's client says that it was" } else { "it was" };
        lines.extend([format!("content   {source}:"), printable(&pretty(&report["content"]))]);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn subject(report: &Value) -> String {
    let (room, user) = (text(&report["room_id"]), text(&report["user_id"]));
    match report["event_id"].as_str() {
        Some(event_id) => format!("message {event_id} of {user} in {room}"),
        None => format!("{} {room}{user}", text(&report["kind"])),
    }
}

pub(crate) fn ago(ts: &Value, now_ts: u64) -> String {
    format!("{} ago", describe_duration(now_ts.saturating_sub(ts.as_u64().unwrap_or_default())))
}

fn quoted(text: &str) -> String {
    printable(&Value::from(text).to_string())
}

fn pretty(json: &Value) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn report() -> Value {
        json!({
            "number": 7,
            "state": "open",
            "kind": "message",
            "ts": 1000,
            "reporter": "@anna:one.localhost",
            "room_id": "!quay:one.localhost",
            "event_id": "$rude",
            "user_id": "@ben:two.localhost",
            "reason": "rude\n\u{1b}[2J\u{9b}31m \u{202e}",
            "content": { "type": "m.room.message" },
            "content_from": "reporter",
            "closed_ts": null,
        })
    }

    #[test]
    fn a_report_is_a_line_or_several() {
        let mut report = report();
        let about = "message $rude of @ben:two.localhost in !quay:one.localhost";
        assert_eq!(
            summary(&report, 1000 + 3 * DAY_MS),
            format!("7\topen\t3 days ago\t{about}\t\"rude\\n\\u001b[2J\\u009b31m \\u202e\"")
        );
        report["state"] = "closed".into();
        report["closed_ts"] = (1000 + DAY_MS).into();
        report["note"] = "warned".into();
        report["reporter"] = Value::Null;
        let shown = details(&report, 1000 + 3 * DAY_MS);
        for line in [
            "report    7, closed",
            "reporter  is not named",
            "closed    2 days ago",
            "note      \"warned\"",
            "content   the reporter's client says that it was:",
            "  \"type\": \"m.room.message\"",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line:?} in\n{shown}");
        }
    }

    #[test]
    fn nothing_that_strangers_write_reaches_the_terminal() {
        let report = report();
        for text in [summary(&report, 1000), details(&report, 1000), printable(&report.to_string())] {
            let obeyed = |character: char| character.is_control() && !"\n\t".contains(character);
            assert!(!text.contains(obeyed) && !text.contains('\u{202e}'), "{text:?}");
        }
        let read: Value = serde_json::from_str(&printable(&report.to_string())).expect("still JSON");
        assert_eq!(read["reason"], report["reason"]);
    }
}
