//! How long a message takes to the other side at a fixed, moderate rate.

use super::{ack_row, finding_of, pairs};
use crate::{
    load::{Pace, Plan, exchange, percentile},
    report::{Finding, Measure, Row, grouped, ms},
    setup::{Bench, BenchError},
};

/// How many messages are sent per second over all rooms.
const RATE: f64 = 1000.0;
/// What the median and the 99th percentile may be, in microseconds.
const TARGETS_US: (u32, u32) = (3_000, 12_000);

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let pairs = pairs(bench).await?;
    let plan = Plan { pace: Pace::Rate(RATE), length: bench.settings.load, gap_closers: usize::MAX };
    let outcome = exchange(bench, &pairs, &plan).await?;
    let (p50, p99) = (percentile(&outcome.latency_us, 0.5), percentile(&outcome.latency_us, 0.99));
    // A server that cannot keep up answers only the first messages, and those may be quick.
    let kept_up = outcome.acked == outcome.due;
    let rows = vec![
        Row::new("send to arrival, p50")
            .figure(ms(p50))
            .target("< 3 ms", kept_up && p50 < TARGETS_US.0)
            .compared(Measure::Cost(p50.into())),
        Row::new("send to arrival, p99")
            .figure(ms(p99))
            .target("< 12 ms", kept_up && p99 < TARGETS_US.1)
            .compared(Measure::Cost(p99.into())),
        Row::new("acknowledged, of messages due").figure(format!(
            "{} of {}",
            grouped(outcome.acked),
            grouped(outcome.due)
        )),
        ack_row(&outcome),
    ];
    let mut finding = finding_of(&outcome, rows);
    finding.describe(format!(
        "The same rooms at {RATE} messages per second in total, due at fixed times (open loop); measured \
         from the time a message was due until the receiver had read the sync response that holds it. \
         Messages left the generator p50 {}, p99 {} after they were due; that is inside the figure, and \
         grows when a user's {} connections all wait for answers. The targets count as met only if every \
         message that was due was acknowledged.",
        ms(percentile(&outcome.late_us, 0.5)),
        ms(percentile(&outcome.late_us, 0.99)),
        bench.settings.in_flight,
    ));
    Ok(finding)
}
