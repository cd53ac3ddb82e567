//! The commands `report list`, `report show` and `report close`: what people have reported to the operators of a platform,
//! in the store of a server that is stopped.

use linkspan_rooms::Report;
use linkspan_storage::records::ReportRecord;
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::{Failure, on_platform::OnPlatform, shown::printable, token_commands::describe_duration};

/// Reports that are listed with one read.
const PAGE: usize = 1000;

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
    let (rooms, platform) = at.open_rooms().await?;
    let mut after = None;
    loop {
        let page = rooms.list_reports(&platform, after, PAGE).await?;
        for report in page.iter().filter(|report| all || report.record.closed_ts.is_none()) {
            println!(
                "{}",
                if json { printable(&to_json(report).to_string()) } else { summary(report, now_ts()) }
            );
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.number),
            _ => return Ok(()),
        }
    }
}

async fn show(at: &OnPlatform, number: u64, json: bool) -> Result<(), Failure> {
    let (rooms, platform) = at.open_rooms().await?;
    let report = rooms.get_report(&platform, number).await?;
    let report = report.ok_or_else(|| format!("{platform} has no report {number}"))?;
    match json {
        true => println!("{}", printable(&pretty(&to_json(&report)))),
        false => print!("{}", details(&report, now_ts())),
    }
    Ok(())
}

async fn close(at: &OnPlatform, number: u64, note: Option<String>) -> Result<(), Failure> {
    let (rooms, platform) = at.open_rooms().await?;
    rooms.close_report(&platform, number, note, now_ts()).await?;
    println!("report {number} is closed");
    Ok(())
}

/// A report on one line.
fn summary(report: &Report, now_ts: u64) -> String {
    let Report { number, record } = report;
    let reason = record.reason.as_deref().map_or_else(String::new, |reason| format!("\t{}", quoted(reason)));
    format!("{number}\t{}\t{}\t{}{reason}", state(record), ago(record.ts, now_ts), subject(record))
}

/// A report on several lines, with all that it says.
fn details(report: &Report, now_ts: u64) -> String {
    let Report { number, record } = report;
    let reporter = record.reporter.as_ref().map_or("is not named", |reporter| reporter.as_str());
    let mut lines = vec![
        format!("report    {number}, {}", state(record)),
        format!("made      {}", ago(record.ts, now_ts)),
        format!("about     {}", subject(record)),
        format!("reporter  {reporter}"),
    ];
    lines.extend(record.reason.as_deref().map(|reason| format!("reason    {}", quoted(reason))));
    lines.extend(record.score.map(|score| format!("score     {score}")));
    if let Some(closed_ts) = record.closed_ts {
        lines.push(format!("closed    {}", ago(closed_ts, now_ts)));
    }
    lines.extend(record.note.as_deref().map(|note| format!("note      {}", quoted(note))));
    if let Some(content) = content(record) {
        let source = if record.is_claimed { "the reporter's client says that it was" } else { "it was" };
        lines.extend([format!("content   {source}:"), printable(&pretty(&content))]);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn to_json(Report { number, record }: &Report) -> Value {
    let source = if record.is_claimed { "reporter" } else { "server" };
    json!({
        "number": number,
        "state": state(record),
        "kind": kind(record),
        "ts": record.ts,
        "reporter": record.reporter,
        "room_id": record.room_id,
        "event_id": record.event_id,
        "user_id": record.user_id,
        "reason": record.reason,
        "score": record.score,
        "content": content(record),
        "content_from": record.content.as_ref().map(|_| source),
        "closed_ts": record.closed_ts,
        "note": record.note,
    })
}

fn state(record: &ReportRecord) -> &'static str {
    if record.closed_ts.is_some() { "closed" } else { "open" }
}

fn kind(record: &ReportRecord) -> &'static str {
    match (&record.event_id, &record.room_id) {
        (Some(_), _) => "message",
        (None, Some(_)) => "room",
        (None, None) => "person",
    }
}

fn subject(record: &ReportRecord) -> String {
    let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
    let room = text(record.room_id.as_ref().map(|id| id.as_str()));
    let user = text(record.user_id.as_ref().map(|id| id.as_str()));
    match &record.event_id {
        Some(event_id) => format!("message {event_id} of {user} in {room}"),
        None => format!("{} {room}{user}", kind(record)),
    }
}

fn content(record: &ReportRecord) -> Option<Value> {
    record.content.as_ref().and_then(|content| serde_json::from_str(content).ok())
}

fn ago(ts: u64, now_ts: u64) -> String {
    format!("{} ago", describe_duration(now_ts.saturating_sub(ts)))
}

fn quoted(text: &str) -> String {
    printable(&Value::from(text).to_string())
}

fn pretty(json: &Value) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ruma::{owned_event_id, owned_room_id, owned_user_id};

    use super::*;

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    fn report() -> Report {
        let record = ReportRecord {
            reporter: Some(owned_user_id!("@anna:one.localhost")),
            room_id: Some(owned_room_id!("!quay:one.localhost")),
            event_id: Some(owned_event_id!("$rude")),
            user_id: Some(owned_user_id!("@ben:two.localhost")),
            reason: Some("rude\n\u{1b}[2J\u{9b}31m \u{202e}".to_owned()),
            score: None,
            ts: 1000,
            content: Some(r#"{"type":"m.room.message"}"#.to_owned()),
            is_claimed: true,
            closed_ts: None,
            note: None,
        };
        Report { number: 7, record }
    }

    #[test]
    fn a_report_is_a_line_or_several() {
        let mut report = report();
        let about = "message $rude of @ben:two.localhost in !quay:one.localhost";
        assert_eq!(
            summary(&report, 1000 + 3 * DAY_MS),
            format!("7\topen\t3 days ago\t{about}\t\"rude\\n\\u001b[2J\\u009b31m \\u202e\"")
        );
        report.record.closed_ts = Some(1000 + DAY_MS);
        report.record.note = Some("warned".to_owned());
        report.record.reporter = None;
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
        for text in [summary(&report, 1000), details(&report, 1000), printable(&to_json(&report).to_string())]
        {
            let obeyed = |character: char| character.is_control() && !"\n\t".contains(character);
            assert!(!text.contains(obeyed) && !text.contains('\u{202e}'), "{text:?}");
        }
        let read: Value =
            serde_json::from_str(&printable(&to_json(&report).to_string())).expect("still JSON");
        assert_eq!(read["reason"].as_str(), report.record.reason.as_deref());
    }
}
