//! The commands `user create`, `user list` and `user disable`: they work on the store of a server that is
//! stopped.

use linkspan_wire::now_ts;
use std::io::{BufRead, IsTerminal};

use ruma::OwnedUserId;

use crate::{Failure, on_platform::OnPlatform, services};

/// Accounts that are listed with one read.
const PAGE: usize = 1000;

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
    List(OnPlatform),
    /// Deactivate an account for good: it can never log in again, and its name is not given to anybody else.
    Disable {
        #[command(flatten)]
        at: OnPlatform,
        /// What stands before the colon in the user's address.
        name: String,
    },
}

pub(crate) fn run(command: UserCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            UserCommand::Create { at, name, admin } => create(&at, &name, admin).await,
            UserCommand::List(at) => list(&at).await,
            UserCommand::Disable { at, name } => disable(&at, &name).await,
        }
    })
}

async fn create(at: &OnPlatform, name: &str, admin: bool) -> Result<(), Failure> {
    let (accounts, platform) = at.open().await?;
    let password = read_password()?;
    let user_id = accounts.create_account(&platform, name, password, admin, now_ts()).await?;
    println!("{user_id}");
    Ok(())
}

async fn list(at: &OnPlatform) -> Result<(), Failure> {
    let (accounts, platform) = at.open().await?;
    let mut after = None;
    loop {
        let page = accounts.list_accounts(&platform, after.as_ref(), PAGE).await?;
        for account in &page {
            let admin = if account.admin { "\tadmin" } else { "" };
            let guest = if account.guest { "\tguest" } else { "" };
            let disabled = if account.deactivated { "\tdisabled" } else { "" };
            // A handle that was changed is not what the address says.
            let handle = account.handle.as_ref().filter(|handle| *handle != account.user_id.localpart());
            let handle = handle.map_or_else(String::new, |handle| format!("\t@{handle}"));
            println!("{}{handle}{admin}{guest}{disabled}", account.user_id);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.user_id.clone()),
            _ => return Ok(()),
        }
    }
}

async fn disable(at: &OnPlatform, name: &str) -> Result<(), Failure> {
    let (config, platform) = at.find()?;
    let user_id = OwnedUserId::try_from(format!("@{name}:{platform}"))?;
    let (app, _, _tasks) = services::open(&config).await?;
    let logged_out = app.deactivate(&user_id, None, false, now_ts()).await?;
    println!("{user_id} is disabled, {} logged out", crate::counted(logged_out, "device"));
    Ok(())
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
