//! The command `reload`: the server that runs reads its configuration again.

use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    Failure,
    back_end::{Ask, BackEnd},
    config::Config,
    read_config,
};

pub(crate) fn run(path: &Path) -> Result<(), Failure> {
    let config = read_config(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(apply(&config))? {
        true => Ok(()),
        false => Err(format!("no server runs over {}", config.data.display()).into()),
    }
}

/// Has the server that runs over the data folder read its configuration again, and prints what has come of it. False: no
/// server runs there.
pub(crate) async fn apply(config: &Config) -> Result<bool, Failure> {
    let Some(told) = ask(config, None).await? else { return Ok(false) };
    list(&told, "warnings").for_each(|warning| eprintln!("warning: {warning}"));
    let (applied, restart) = (list(&told, "applied"), list(&told, "restart"));
    applied.for_each(|it| println!("applied: {it}"));
    restart.for_each(|it| println!("after a restart: {it}"));
    if ["applied", "restart"].iter().all(|key| list(&told, key).count() == 0) {
        println!("nothing has changed");
    }
    Ok(true)
}

/// Prints what the server that runs would do with a configuration. False: no server runs there.
pub(crate) async fn check(config: &Config, path: &Path) -> Result<bool, Failure> {
    let folder = std::path::absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
    let body = json!({ "check": { "text": std::fs::read_to_string(path)?, "folder": folder } });
    let Some(told) = ask(config, Some(body)).await? else { return Ok(false) };
    list(&told, "warnings").for_each(|it| println!("{}: warning: {it}", path.display()));
    list(&told, "applied").for_each(|it| println!("a reload would apply: {it}"));
    list(&told, "restart").for_each(|it| println!("only a restart would apply: {it}"));
    Ok(true)
}

async fn ask(config: &Config, body: Option<Value>) -> Result<Option<Value>, Failure> {
    let Some(mut running) = BackEnd::running_over(config).await? else { return Ok(None) };
    let ask = Ask { method: Method::POST, platform: None, path: "reload".to_owned(), body };
    running.ask(ask).await.map(Some)
}

fn list<'a>(told: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    told[key].as_array().into_iter().flatten().filter_map(Value::as_str)
}
