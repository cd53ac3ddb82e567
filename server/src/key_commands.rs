//! The commands `keys list` and `keys rotate`: the keys that a platform signs with.

use hyper::Method;
use linkspan_wire::now_ts;
use serde_json::Value;

use crate::{
    ConfigPath, Failure,
    back_end::{Ask, BackEnd},
    on_platform::{encoded, find_platform},
    read_config,
    report_commands::ago,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeysCommand {
    /// List the signing keys of a platform, the newest last.
    List {
        #[command(flatten)]
        of: OfPlatform,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have a platform sign with a new key. The old one is kept, so that what it has signed can still be checked.
    Rotate {
        #[command(flatten)]
        of: OfPlatform,
    },
}

/// Whose keys are meant.
#[derive(Debug, clap::Args)]
pub(crate) struct OfPlatform {
    #[command(flatten)]
    config: ConfigPath,
    /// The platform's name or server name.
    #[arg(long)]
    platform: String,
}

pub(crate) fn run(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::List { of, json } => {
            let told = ask(&of, Method::GET)?;
            if json {
                println!("{told:#}");
                return Ok(());
            }
            told["keys"].as_array().into_iter().flatten().for_each(|key| println!("{}", line(key)));
        }
        KeysCommand::Rotate { of } => println!("{}", line(&ask(&of, Method::POST)?)),
    }
    Ok(())
}

fn ask(of: &OfPlatform, method: Method) -> Result<Value, Failure> {
    let config = read_config(&of.config.config)?;
    let platform = find_platform(&config, &of.platform)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let path = format!("platforms/{}/signing_keys", encoded(platform.as_str()));
        let ask = Ask { method, platform: Some(&platform), path, body: None };
        BackEnd::reach(&config).await?.ask(ask).await
    })
}

fn line(key: &Value) -> String {
    let text = |field: &str| key[field].as_str().unwrap_or_default();
    let now_ts = now_ts();
    let state = match key["expired_ts"].is_u64() {
        true => format!("expired {}", ago(&key["expired_ts"], now_ts)),
        false => "signs".to_owned(),
    };
    let made = ago(&key["created_ts"], now_ts);
    format!("{}\t{}\tmade {made}\t{state}", text("key_id"), text("key"))
}
