//! One room with many members on all platforms, everybody long-polling: fan-out.

use super::{ack_row, finding_of, one_room, per_second, rate_row};
use crate::{
    load::{Pace, Plan, exchange},
    report::Finding,
    setup::{Bench, BenchError},
};

/// How many receivers with limited timelines fetch the rest, at most.
const GAP_CLOSERS: usize = 9;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let members = bench.settings.count(200, 20);
    let room = one_room(bench, members, 10).await?;
    let plan = Plan { pace: Pace::FlatOut, length: bench.settings.load, gap_closers: GAP_CLOSERS };
    let outcome = exchange(bench, &room, &plan).await?;
    let rows = vec![
        rate_row(
            "deliveries, counted at the receivers",
            per_second(outcome.delivered, &outcome),
            Some(60_000),
        ),
        rate_row("acknowledged messages", per_second(outcome.acked, &outcome), None),
        ack_row(&outcome),
    ];
    let mut finding = finding_of(&outcome, rows);
    finding.describe(format!(
        "One room, {members} members, 10 of whom send with {} sends open each; all long-poll. A delivery is \
         a message in the sync response of a member other than its sender, while the load ran. Every \
         member's event ids are compared with the acknowledged ones; of members with limited timelines, the \
         first {GAP_CLOSERS} fetch what was left out through /messages, the others are not checked for \
         loss.",
        bench.settings.in_flight,
    ));
    Ok(finding)
}
