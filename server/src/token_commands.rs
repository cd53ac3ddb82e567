//! The commands `token create`, `token list` and `token delete`: registration tokens.

use hyper::Method;
use linkspan_wire::now_ts;
use serde_json::{Value, json};

use crate::{
    Failure, counted,
    on_platform::{OnPlatform, encoded},
};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// The longest time for which a token can be valid, in days.
const MAX_DAYS: u64 = 36_500;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token with which people register where `registration` is "token", and print it.
    Create {
        #[command(flatten)]
        at: OnPlatform,
        /// The token itself, of at most 64 of A-Z a-z 0-9 . _ ~ and -; a random one if it is left out.
        token: Option<String>,
        /// How many accounts can be made with it; as many as people like if it is left out.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
        uses: Option<u64>,
        /// How long it is valid, such as 30m, 12h or 7d; for ever if it is left out.
        #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
        valid_for: Option<u64>,
    },
    /// List the tokens of a platform: how often each was used, and how long it is valid.
    List {
        #[command(flatten)]
        at: OnPlatform,
        /// Print a JSON object on a line for each.
        #[arg(long)]
        json: bool,
    },
    /// Delete a token; who has registered with it stays.
    Delete {
        #[command(flatten)]
        at: OnPlatform,
        /// The token.
        token: String,
    },
}

pub(crate) fn run(command: TokenCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            TokenCommand::Create { at, token, uses, valid_for } => create(&at, token, uses, valid_for).await,
            TokenCommand::List { at, json } => list(&at, json).await,
            TokenCommand::Delete { at, token } => delete(&at, &token).await,
        }
    })
}

async fn create(
    at: &OnPlatform,
    token: Option<String>,
    uses: Option<u64>,
    valid_for_ms: Option<u64>,
) -> Result<(), Failure> {
    let expires_ts = valid_for_ms.map(|valid_for_ms| now_ts() + valid_for_ms);
    let body = json!({ "token": token, "uses_allowed": uses, "expires_ts": expires_ts });
    let made = at.reach().await?.ask(Method::POST, "registration_tokens".to_owned(), Some(body)).await?;
    println!("{}", made["token"].as_str().unwrap_or_default());
    Ok(())
}

async fn list(at: &OnPlatform, json: bool) -> Result<(), Failure> {
    let row =
        |token: &Value| println!("{}", if json { token.to_string() } else { describe(token, now_ts()) });
    at.reach().await?.list("registration_tokens", "", row).await
}

async fn delete(at: &OnPlatform, token: &str) -> Result<(), Failure> {
    let path = format!("registration_tokens/{}", encoded(token));
    at.reach().await?.ask(Method::DELETE, path, None).await?;
    println!("{token} is deleted");
    Ok(())
}

fn describe(token: &Value, now_ts: u64) -> String {
    let uses = token["uses_allowed"].as_u64();
    let uses = uses.map_or_else(String::new, |uses| format!(" of {}", counted_uses(uses)));
    let expires = match token["expires_ts"].as_u64() {
        None => "no expiry".to_owned(),
        Some(expires_ts) if expires_ts <= now_ts => "expired".to_owned(),
        Some(expires_ts) => format!("expires in {}", describe_duration(expires_ts - now_ts)),
    };
    let text = token["token"].as_str().unwrap_or_default();
    format!("{text}\tused {}{uses}\t{expires}", token["completed"])
}

fn counted_uses(uses: u64) -> String {
    usize::try_from(uses).map_or_else(|_| format!("{uses} uses"), |uses| counted(uses, "use"))
}

/// A duration in the greatest unit of which it has at least one, rounded down.
pub(crate) fn describe_duration(duration_ms: u64) -> String {
    let units = [(DAY_MS, "day"), (HOUR_MS, "hour"), (MINUTE_MS, "minute")];
    let unit = units.into_iter().find(|(unit_ms, _)| duration_ms >= *unit_ms);
    unit.map_or_else(
        || "less than a minute".to_owned(),
        |(unit_ms, name)| counted(usize::try_from(duration_ms / unit_ms).unwrap_or(usize::MAX), name),
    )
}

/// A duration such as `30m`, `12h` or `7d`, in milliseconds.
fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("a time is a number with a unit, such as 30m, 12h or 7d, up to {MAX_DAYS}d");
    let (number, unit_ms) = [("m", MINUTE_MS), ("h", HOUR_MS), ("d", DAY_MS)]
        .into_iter()
        .find_map(|(unit, unit_ms)| Some((text.strip_suffix(unit)?, unit_ms)))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let duration_ms = number.checked_mul(unit_ms).filter(|ms| (1..=MAX_DAYS * DAY_MS).contains(ms));
    duration_ms.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, duration_ms) in [("30m", 1_800_000), ("12h", 43_200_000), ("7d", 604_800_000)] {
            assert_eq!(parse_duration_ms(text), Ok(duration_ms));
        }
        for text in ["", "7", "d", "0d", "-1d", "1.5h", "7 d", "7w", "99999999d", "18446744073709551615d"] {
            assert!(parse_duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_is_described() {
        let token = |uses_allowed: Option<u64>, completed: u64, expires_ts: Option<u64>| {
            let token = json!({
                "token": "welcome", "uses_allowed": uses_allowed, "completed": completed, "expires_ts": expires_ts,
            });
            describe(&token, 1000)
        };
        assert_eq!(token(None, 0, None), "welcome\tused 0\tno expiry");
        assert_eq!(token(Some(1), 1, Some(1000)), "welcome\tused 1 of 1 use\texpired");
        let in_two_days = 1000 + 2 * DAY_MS + HOUR_MS;
        assert_eq!(token(Some(5), 2, Some(in_two_days)), "welcome\tused 2 of 5 uses\texpires in 2 days");
        assert_eq!(token(None, 2, Some(1000 + HOUR_MS)), "welcome\tused 2\texpires in 1 hour");
        assert_eq!(token(None, 2, Some(1001)), "welcome\tused 2\texpires in less than a minute");
    }
}
