//! The command `audit`: says where the tables of a store contradict each other, while the server is stopped.

use std::process::ExitCode;

use crate::{Failure, config::Config, counted, services};

/// Prints all findings; fails if there are any.
pub(crate) fn run(config: &Config) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let findings =
        runtime.block_on(async { Ok::<_, Failure>(services::rooms(config).await?.audit().await?) })?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("all tables agree");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", counted(findings.len(), "finding"));
    Ok(ExitCode::FAILURE)
}
