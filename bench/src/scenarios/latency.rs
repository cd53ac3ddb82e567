//! How long a message takes to the other side at a fixed, moderate rate.

use super::{ack_row, finding_of, pairs, per_second, rate_row};
use crate::{
    load::{Pace, Plan, exchange, percentile},
    report::{Finding, Row, ms},
    setup::{Bench, BenchError},
};

/// Messages per second over all rooms.
const RATE: f64 = 500.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let pairs = pairs(bench).await?;
    let plan = Plan { pace: Pace::Rate(RATE), length: bench.settings.load, gap_closers: usize::MAX };
    let outcome = exchange(bench, &pairs, &plan).await?;
    let (p50, p99) = (percentile(&outcome.latency_us, 0.5), percentile(&outcome.latency_us, 0.99));
    let measured = !outcome.latency_us.is_empty();
    let rows = vec![
        Row::new("send to arrival, p50").figure(ms(p50)).target("< 5 ms", measured && p50 < 5_000),
        Row::new("send to arrival, p99").figure(ms(p99)).target("< 25 ms", measured && p99 < 25_000),
        rate_row("acknowledged messages", per_second(outcome.acked, &outcome), None),
        ack_row(&outcome),
    ];
    let mut finding = finding_of(&outcome, rows);
    finding.describe(format!(
        "The same rooms at {RATE} messages per second in total, sent at fixed times (open loop); measured \
         from the time a message was due to be sent until the receiver had read the sync response that \
         holds it. The generator's own lateness is inside the figure: p50 {}, p99 {}.",
        ms(percentile(&outcome.late_us, 0.5)),
        ms(percentile(&outcome.late_us, 0.99)),
    ));
    Ok(finding)
}
