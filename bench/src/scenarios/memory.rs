//! How much memory a server takes that has just been started and that nobody has used yet.

use std::time::Duration;

use super::only_with_own_server;
use crate::{
    report::{Finding, Row},
    setup::{Bench, BenchError},
};

/// The time from the first answer to the reading. What is left to do after a start is done then.
const SETTLE: Duration = Duration::from_secs(5);
const MIB: f64 = (1024 * 1024) as f64;
/// How much memory may be resident, in MiB.
const TARGET_MIB: f64 = 40.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let Some(fresh) = bench.on_fresh_server().await? else {
        return Ok(only_with_own_server());
    };
    let settle = if bench.settings.quick { SETTLE / 5 } else { SETTLE };
    tokio::time::sleep(settle).await;
    let usage = fresh.usage().ok_or_else(|| BenchError::Other("the server is gone".to_owned()))?;
    let resident = usage.rss_bytes as f64 / MIB;
    let mut finding = Finding {
        rows: vec![
            Row::new("resident memory, idle")
                .figure(format!("{resident:.1} MiB"))
                .target("< 40 MiB", resident < TARGET_MIB)
                .always(),
        ],
        ..Finding::default()
    };
    finding.use_of(Some(usage));
    finding.describe(format!(
        "A second process on new data with {} platforms, {} s after its first answer. Processor time is that \
         of the start.",
        fresh.platforms.len(),
        settle.as_secs(),
    ));
    Ok(finding)
}
