//! One room of ten in which everybody sends and receives: how fast a single room's history can grow.

use super::{ack_row, finding_of, one_room, per_second, rate_row};
use crate::{
    load::{Pace, Plan, exchange},
    report::Finding,
    setup::{Bench, BenchError},
};

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let room = one_room(bench, 10, 10).await?;
    let plan = Plan { pace: Pace::FlatOut, length: bench.settings.load, gap_closers: usize::MAX };
    let outcome = exchange(bench, &room, &plan).await?;
    let rows = vec![
        rate_row("acknowledged messages", per_second(outcome.acked, &outcome), Some(8_000)),
        rate_row("deliveries", per_second(outcome.delivered, &outcome), None),
        ack_row(&outcome),
    ];
    let mut finding = finding_of(&outcome, rows);
    finding.describe(format!(
        "One room, 10 members on all platforms, each with {} sends open and one long poll, which asks for \
         timelines of up to 500 messages.",
        bench.settings.in_flight,
    ));
    Ok(finding)
}
