//! The command `notice send`: what those who run a platform tell its people.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    Failure, counted,
    on_platform::{OnPlatform, encoded},
};

/// How often a notice to everybody is asked whether everybody was told.
const ASK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum NoticeCommand {
    /// Tell one person something, or everybody.
    Send {
        #[command(flatten)]
        at: OnPlatform,
        /// The user's address, or what stands before the colon in it.
        #[arg(required_unless_present = "everybody", conflicts_with = "everybody")]
        user: Option<String>,
        /// Tell everybody of the platform.
        #[arg(long)]
        everybody: bool,
        /// What is said.
        #[arg(long)]
        message: String,
        /// Print what was done as JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: NoticeCommand) -> Result<(), Failure> {
    let NoticeCommand::Send { at, user, everybody, message, json } = command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut platform = at.reach().await?;
        let body = json!({ "user_id": user, "everybody": everybody, "body": message });
        let mut answer = platform.ask(Method::POST, "server_notices".to_owned(), Some(body)).await?;
        while everybody && answer["ended_ts"].is_null() {
            tokio::time::sleep(ASK_AGAIN).await;
            let id = answer["id"].as_str().unwrap_or_default();
            let path = format!("server_notices/{}", encoded(id));
            answer = platform.ask(Method::GET, path, None).await?;
        }
        println!("{}", if json { answer.to_string() } else { told(&answer, everybody) });
        Ok(())
    })
}

/// Who was told, in words.
fn told(answer: &Value, everybody: bool) -> String {
    let people = |field: &str| {
        let number = answer[field].as_u64().and_then(|number| usize::try_from(number).ok());
        counted(number.unwrap_or_default(), "account")
    };
    match everybody {
        true => format!("{} told, {} could not be", people("sent"), people("failed")),
        false => format!("it is told in {}", answer["room_id"].as_str().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_was_told() {
        let answer = json!({ "sent": 2, "failed": 1 });
        assert_eq!(told(&answer, true), "2 accounts told, 1 account could not be");
        assert_eq!(told(&json!({ "room_id": "!a:one.localhost" }), false), "it is told in !a:one.localhost");
    }
}
