//! The commands `user …`: the accounts of a platform.

use std::io::{BufRead, IsTerminal};

use hyper::Method;
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::{
    Failure,
    on_platform::{OnPlatform, encoded},
    shown::{printable, show},
    token_commands::describe_duration,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account; the password is read from standard input.
    Create {
        #[command(flatten)]
        at: OnPlatform,
        /// What stands before the colon in the user's address.
        name: String,
        /// The account administers the platform.
        #[arg(long)]
        admin: bool,
    },
    /// List the accounts of a platform.
    List {
        #[command(flatten)]
        at: OnPlatform,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
    /// Show an account.
    Show {
        #[command(flatten)]
        of: User,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set another password, which is read from standard input, and log all devices out.
    Password {
        #[command(flatten)]
        of: User,
        /// Let devices stay logged in.
        #[arg(long)]
        keep_devices: bool,
    },
    /// Let an account do nothing but log out.
    Lock(User),
    /// Let a locked account be used again.
    Unlock(User),
    /// Let an account only read, leave, and take back what it said.
    Suspend(User),
    /// Let a suspended account be used as before.
    Unsuspend(User),
    /// List the devices of an account.
    Devices {
        #[command(flatten)]
        of: User,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
    /// List the rooms that an account is joined to.
    Rooms {
        #[command(flatten)]
        of: User,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Log all devices of an account out, or one of them.
    LogOut {
        #[command(flatten)]
        of: User,
        /// The id of the device.
        #[arg(long, value_name = "DEVICE")]
        device: Option<String>,
    },
    /// Make an account an administrator of its platform.
    MakeAdmin(User),
    /// Make an administrator an account like others.
    RemoveAdmin(User),
    /// Deactivate an account for good: it can never log in again, and its name is not given to anybody else.
    #[command(alias = "deactivate")]
    Disable {
        #[command(flatten)]
        of: User,
        /// Remove the profile, too; who joins a room later does not see what the user said there.
        #[arg(long)]
        erase: bool,
    },
    /// Deactivate an account for good, also one that is deactivated already, and remove its profile: who joins a room later
    /// does not see what the user said there.
    Erase(User),
}

/// The arguments that name a user.
#[derive(Debug, clap::Args)]
pub(crate) struct User {
    #[command(flatten)]
    at: OnPlatform,
    /// The user's address, or what stands before the colon in it.
    name: String,
}

impl User {
    /// Asks about the user, or to change something; `what` is the rest of the path.
    async fn ask(&self, method: Method, what: &str, body: Option<Value>) -> Result<Value, Failure> {
        let path = format!("users/{}{what}", encoded(&self.name));
        self.at.reach().await?.ask(method, path, body).await
    }

    async fn put(&self, what: &str, body: Value, done: &str) -> Result<(), Failure> {
        self.ask(Method::PUT, &format!("/{what}"), Some(body)).await?;
        println!("{} {done}", self.name);
        Ok(())
    }
}

pub(crate) fn run(command: UserCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            UserCommand::Create { at, name, admin } => create(&at, &name, admin).await,
            UserCommand::List { at, json } => list(&at, json).await,
            UserCommand::Show { of, json } => {
                show(&of.ask(Method::GET, "", None).await?, json);
                Ok(())
            }
            UserCommand::Password { of, keep_devices } => set_password(&of, keep_devices).await,
            UserCommand::Lock(of) => of.put("locked", json!({ "locked": true }), "is locked").await,
            UserCommand::Unlock(of) => of.put("locked", json!({ "locked": false }), "is not locked").await,
            UserCommand::Suspend(of) => {
                of.put("suspended", json!({ "suspended": true }), "is suspended").await
            }
            UserCommand::Unsuspend(of) => {
                of.put("suspended", json!({ "suspended": false }), "is not suspended").await
            }
            UserCommand::Devices { of, json } => list_devices(&of, json).await,
            UserCommand::Rooms { of, json } => list_rooms(&of, json).await,
            UserCommand::LogOut { of, device: Some(device) } => {
                of.ask(Method::DELETE, &format!("/devices/{}", encoded(&device)), None).await?;
                println!("{} is logged out of {device}", of.name);
                Ok(())
            }
            UserCommand::LogOut { of, device: None } => {
                let answer = of.ask(Method::POST, "/log_out", Some(json!({}))).await?;
                println!("{} is logged out of {}", of.name, devices(&answer));
                Ok(())
            }
            UserCommand::MakeAdmin(of) => {
                of.put("admin", json!({ "admin": true }), "is an administrator").await
            }
            UserCommand::RemoveAdmin(of) => {
                of.put("admin", json!({ "admin": false }), "is no administrator").await
            }
            UserCommand::Erase(of) => {
                let answer = of.ask(Method::POST, "/deactivate", Some(json!({ "erase": true }))).await?;
                println!("{} is erased, {} logged out", of.name, devices(&answer));
                Ok(())
            }
            UserCommand::Disable { of, erase } => {
                let answer = of.ask(Method::POST, "/deactivate", Some(json!({ "erase": erase }))).await?;
                println!("{} is disabled, {} logged out", of.name, devices(&answer));
                Ok(())
            }
        }
    })
}

async fn create(at: &OnPlatform, name: &str, admin: bool) -> Result<(), Failure> {
    let mut platform = at.reach().await?;
    let body = json!({ "localpart": name, "password": read_password()?, "admin": admin });
    let made = platform.ask(Method::POST, "users".to_owned(), Some(body)).await?;
    println!("{}", made["user_id"].as_str().unwrap_or_default());
    Ok(())
}

async fn list(at: &OnPlatform, json: bool) -> Result<(), Failure> {
    let mut platform = at.reach().await?;
    let row = |user: &Value| println!("{}", if json { printable(&user.to_string()) } else { line(user) });
    platform.list("users", "", row).await
}

async fn list_devices(of: &User, json: bool) -> Result<(), Failure> {
    let answer = of.ask(Method::GET, "/devices", None).await?;
    for device in answer["devices"].as_array().into_iter().flatten() {
        let text = |field: &str| device[field].as_str().unwrap_or_default();
        let seen = describe_duration(now_ts().saturating_sub(device["last_seen_ts"].as_u64().unwrap_or(0)));
        let (id, name) = (printable(text("device_id")), printable(text("display_name")));
        match json {
            true => println!("{}", printable(&device.to_string())),
            false => println!("{id}\t{name}\tseen {seen} ago\t{}", text("last_seen_ip")),
        }
    }
    Ok(())
}

async fn list_rooms(of: &User, json: bool) -> Result<(), Failure> {
    let answer = of.ask(Method::GET, "/joined_rooms", None).await?;
    if json {
        show(&answer, true);
        return Ok(());
    }
    for room in answer["joined_rooms"].as_array().into_iter().flatten() {
        println!("{}", printable(room.as_str().unwrap_or_default()));
    }
    Ok(())
}

/// An account on one line.
fn line(user: &Value) -> String {
    let user_id = user["user_id"].as_str().unwrap_or_default();
    let localpart = user_id.trim_start_matches('@').split(':').next().unwrap_or_default();
    // A handle that was changed is not what the address says.
    let handle = user["handle"].as_str().filter(|handle| *handle != localpart);
    let handle = handle.map_or_else(String::new, |handle| format!("\t@{handle}"));
    let words = [
        ("admin", "admin"),
        ("guest", "guest"),
        ("locked", "locked"),
        ("suspended", "suspended"),
        ("deactivated", "disabled"),
    ];
    let words = words.into_iter().filter(|(field, _)| user[field] == true);
    let words: String = words.map(|(_, word)| format!("\t{word}")).collect();
    format!("{user_id}{handle}{words}")
}

async fn set_password(of: &User, keep_devices: bool) -> Result<(), Failure> {
    let body = json!({ "password": read_password()?, "log_out_devices": !keep_devices });
    let answer = of.ask(Method::PUT, "/password", Some(body)).await?;
    println!("{} has another password, {} logged out", of.name, devices(&answer));
    Ok(())
}

/// How many devices were logged out, in words.
fn devices(answer: &Value) -> String {
    let logged_out = answer["logged_out"].as_u64().unwrap_or_default();
    crate::counted(usize::try_from(logged_out).unwrap_or(usize::MAX), "device")
}

/// One line of standard input: arguments can be seen by everybody on the machine.
fn read_password() -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        eprintln!("the password (it is shown as you type):");
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err("no password on standard input".into()) } else { Ok(password.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_line() {
        let user =
            json!({ "user_id": "@anna:one.localhost", "handle": "anna", "admin": true, "locked": false });
        assert_eq!(line(&user), "@anna:one.localhost\tadmin");
        let user = json!({ "user_id": "@ben:one.localhost", "handle": "benny", "deactivated": true });
        assert_eq!(line(&user), "@ben:one.localhost\t@benny\tdisabled");
    }
}
