//! The commands `room …`: the rooms that people of a platform are in.

use std::time::Duration;

use hyper::Method;
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::{
    Failure, counted,
    on_platform::{OnPlatform, Reached, encoded},
    shown::{columns, printable, show},
    token_commands::describe_duration,
};

/// How often a deletion is asked whether it has ended.
const ASK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum RoomCommand {
    /// List the rooms that people of a platform are in.
    List {
        #[command(flatten)]
        at: OnPlatform,
        /// List only rooms with this in their name or an alias, or with this id.
        #[arg(long)]
        search: Option<String>,
        /// The order.
        #[arg(long, value_enum, default_value_t = Order::Id)]
        by: Order,
        /// List the rooms of all platforms.
        #[arg(long)]
        all_platforms: bool,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
    /// Show what is known of a room.
    Show {
        #[command(flatten)]
        of: Room,
        /// Show a room that nobody of the platform is in, too.
        #[arg(long)]
        all_platforms: bool,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the members of a room who are of the platform.
    Members {
        #[command(flatten)]
        of: Room,
        /// List the members of all platforms.
        #[arg(long)]
        all_platforms: bool,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
    /// Let nobody of a platform join a room, be invited to it, or send anything there.
    Block {
        #[command(flatten)]
        of: Room,
        /// Block it for all platforms.
        #[arg(long)]
        all_platforms: bool,
    },
    /// Lift a block.
    Unblock {
        #[command(flatten)]
        of: Room,
        /// Lift the block for all platforms. Blocks for one platform stay.
        #[arg(long)]
        all_platforms: bool,
    },
    /// List the rooms that are blocked.
    Blocked {
        #[command(flatten)]
        at: OnPlatform,
        /// List those that are blocked for all platforms.
        #[arg(long)]
        all_platforms: bool,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
    /// Remove all members of a platform from a room, and what nobody may read any more from the store.
    Delete {
        #[command(flatten)]
        of: Room,
        /// What is said to those who are removed.
        #[arg(long)]
        message: Option<String>,
        /// Bring those who are removed to a new room, which this user creates.
        #[arg(long, value_name = "USER")]
        new_room_creator: Option<String>,
        /// The name of the new room.
        #[arg(long, requires = "new_room_creator")]
        new_room_name: Option<String>,
        /// Block the room, so that nobody comes back.
        #[arg(long)]
        block: bool,
        /// Keep what was said in the store.
        #[arg(long)]
        keep: bool,
        /// Remove the members of all platforms.
        #[arg(long)]
        all_platforms: bool,
        /// Print what became of it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the rooms that were deleted, or are being deleted.
    Deletions {
        #[command(flatten)]
        at: OnPlatform,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Order {
    /// By their ids.
    Id,
    /// Those with the most members first.
    Members,
    /// Those with the newest event first.
    Activity,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Id => "room_id",
            Self::Members => "members",
            Self::Activity => "activity",
        }
    }
}

/// The arguments that name a room.
#[derive(Debug, clap::Args)]
pub(crate) struct Room {
    #[command(flatten)]
    at: OnPlatform,
    /// The room's id.
    room: String,
}

impl Room {
    fn path(&self, what: &str) -> String {
        format!("rooms/{}{what}", encoded(&self.room))
    }

    async fn block(&self, blocked: bool, all_platforms: bool) -> Result<(), Failure> {
        let body = json!({ "blocked": blocked, "all_platforms": all_platforms });
        self.at.reach().await?.ask(Method::PUT, self.path("/blocked"), Some(body)).await?;
        println!("{} is {}", printable(&self.room), if blocked { "blocked" } else { "not blocked" });
        Ok(())
    }
}

pub(crate) fn run(command: RoomCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            RoomCommand::List { at, search, by, all_platforms, json } => {
                let search = search.map_or_else(String::new, |text| format!("&search={}", encoded(&text)));
                let query = format!("&order={}{search}{}", by.name(), everywhere('&', all_platforms));
                at.reach().await?.list("rooms", &query, |room| print_row(room, json, summary)).await
            }
            RoomCommand::Show { of, all_platforms, json } => {
                let path = of.path(&everywhere('?', all_platforms));
                show(&of.at.reach().await?.ask(Method::GET, path, None).await?, json);
                Ok(())
            }
            RoomCommand::Members { of, all_platforms, json } => {
                let (path, query) = (of.path("/members"), everywhere('&', all_platforms));
                of.at.reach().await?.list(&path, &query, |member| print_row(member, json, member_line)).await
            }
            RoomCommand::Block { of, all_platforms } => of.block(true, all_platforms).await,
            RoomCommand::Unblock { of, all_platforms } => of.block(false, all_platforms).await,
            RoomCommand::Blocked { at, all_platforms, json } => {
                let query = everywhere('&', all_platforms);
                let line = |room: &Value| text(&room["room_id"]).to_owned();
                at.reach().await?.list("rooms/blocked", &query, |room| print_row(room, json, line)).await
            }
            RoomCommand::Delete {
                of,
                message,
                new_room_creator,
                new_room_name,
                block,
                keep,
                all_platforms,
                json,
            } => {
                let new_room =
                    new_room_creator.map(|creator| json!({ "creator": creator, "name": new_room_name }));
                let body = json!({
                    "message": message,
                    "new_room": new_room,
                    "block": block,
                    "purge": !keep,
                    "all_platforms": all_platforms,
                });
                delete(&of, body, json).await
            }
            RoomCommand::Deletions { at, json } => {
                let row = |deletion: &Value| print_row(deletion, json, deletion_line);
                at.reach().await?.list("rooms/deletions", "", row).await
            }
        }
    })
}

/// Deletes a room, and waits until that has ended.
async fn delete(of: &Room, body: Value, json: bool) -> Result<(), Failure> {
    let mut platform: Reached = of.at.reach().await?;
    let mut deletion = platform.ask(Method::POST, of.path("/delete"), Some(body)).await?;
    let path = format!("rooms/deletions/{}", encoded(text(&deletion["id"])));
    while deletion["ended_ts"].is_null() {
        tokio::time::sleep(ASK_AGAIN).await;
        deletion = platform.ask(Method::GET, path.clone(), None).await?;
    }
    print_row(&deletion, json, deletion_line);
    match deletion["error"].as_str() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

fn everywhere(before: char, all_platforms: bool) -> String {
    if all_platforms { format!("{before}all_platforms=true") } else { String::new() }
}

fn print_row(row: &Value, json: bool, line: impl Fn(&Value) -> String) {
    println!("{}", if json { printable(&row.to_string()) } else { columns(&line(row)) });
}

/// A room on one line.
fn summary(room: &Value) -> String {
    let active = match room["last_activity_ts"].as_u64() {
        Some(ts) => format!("active {} ago", describe_duration(now_ts().saturating_sub(ts))),
        None => "never active".to_owned(),
    };
    let members = counted(number(&room["joined_members"]), "member");
    let words = [("encryption", "encrypted"), ("blocked", "blocked")];
    let words = words.into_iter().filter(|(field, _)| !room[field].is_null() && room[field] != false);
    let words: String = words.map(|(_, word)| format!("\t{word}")).collect();
    let name = room["name"].as_str().or(room["canonical_alias"].as_str()).unwrap_or_default();
    format!("{}\t{members}\t{active}\t{}{words}", text(&room["room_id"]), one_line(name))
}

fn member_line(member: &Value) -> String {
    format!("{}\t{}", text(&member["user_id"]), text(&member["membership"]))
}

fn deletion_line(deletion: &Value) -> String {
    let removed = counted(number(&deletion["removed_members"]), "member");
    let purged = if deletion["purged"] == true { ", removed from the store" } else { "" };
    let (id, room, state) = (text(&deletion["id"]), text(&deletion["room_id"]), text(&deletion["state"]));
    format!("{id}\t{room}\t{state}\t{removed} removed{purged}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\t'], " ")
}

fn number(value: &Value) -> usize {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_line() {
        let room = json!({
            "room_id": "!quay:one.localhost", "name": "The\nquay", "joined_members": 1, "encryption": null,
            "blocked": true, "last_activity_ts": null,
        });
        assert_eq!(summary(&room), "!quay:one.localhost\t1 member\tnever active\tThe quay\tblocked");
        let deletion = json!({
            "id": "a", "room_id": "!quay:one.localhost", "state": "done", "removed_members": 2, "purged": true,
        });
        let line = "a\t!quay:one.localhost\tdone\t2 members removed, removed from the store";
        assert_eq!(deletion_line(&deletion), line);
    }
}
