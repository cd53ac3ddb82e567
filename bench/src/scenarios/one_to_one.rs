//! Rooms of two across platforms, everybody sending as fast as acknowledgements come and long-polling.

use super::{ack_row, finding_of, pairs, per_second, rate_row};
use crate::{
    load::{Pace, Plan, exchange},
    report::Finding,
    setup::{Bench, BenchError},
};

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let pairs = pairs(bench).await?;
    let plan = Plan { pace: Pace::FlatOut, length: bench.settings.load, gap_closers: usize::MAX };
    let outcome = exchange(bench, &pairs, &plan).await?;
    let rows = vec![
        rate_row("acknowledged messages", per_second(outcome.acked, &outcome), Some(5_000)),
        rate_row("delivered to the other side", per_second(outcome.delivered, &outcome), None),
        ack_row(&outcome),
    ];
    let mut finding = finding_of(&outcome, rows);
    finding.describe(format!(
        "{} users in {} rooms of two, the two on different platforms where there are several; each user has \
         {} sends open and one long poll. Closed loop. Every acknowledged event id must reach both members \
         exactly once.",
        pairs.users.len(),
        pairs.rooms.len(),
        bench.settings.in_flight,
    ));
    Ok(finding)
}
