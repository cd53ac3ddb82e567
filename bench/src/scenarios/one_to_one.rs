//! Rooms of two across platforms, everybody sending as fast as acknowledgements come and long-polling.

use super::{ack_row_of, finding_of, notes_of, pairs, per_second, rate_row};
use crate::{
    load::{Outcome, Pace, Plan, exchange, exchange_with, percentile},
    report::{Finding, Measure, Row},
    setup::{Bench, BenchError},
};

/// How many messages per second should be acknowledged and delivered.
const RATE_TARGET: u64 = 12_000;
/// How much the 99th percentile of acknowledgements may be, in microseconds.
const ACK_TARGET_US: u32 = 15_000;
/// How much processor time of the server a delivered message may cost, in microseconds.
const CPU_TARGET_US: f64 = 60.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let pairs = pairs(bench).await?;
    let plan = Plan { pace: Pace::FlatOut, length: bench.settings.load, gap_closers: usize::MAX };
    let (users, in_flight) = (pairs.users.len(), bench.settings.in_flight);
    let full = exchange(bench, &pairs, &plan).await?;
    let single = exchange_with(bench, &pairs, &plan, 1).await?;

    let mut finding = finding_of(&full, rows(&full, users * in_flight));
    let mut others = rows(&single, users);
    let p99 = percentile(&single.ack_us, 0.99);
    others.push(
        ack_row(&single, users)
            .target("p99 < 15 ms", p99 < ACK_TARGET_US)
            .compared(Measure::Cost(p99.into())),
    );
    let other = finding_of(&single, others);
    finding.rows.push(ack_row(&full, users * in_flight));
    finding.rows.extend(other.rows);
    finding.lost += other.lost;
    finding.duplicated += other.duplicated;
    finding.notes.push(format!("And with {users} sends open:"));
    finding.notes.extend(notes_of(&single));
    finding.describe(format!(
        "{users} users in {} rooms of two, the two on different platforms where there are several; each user \
         has one long poll and first {in_flight} sends open, then 1. Closed loop, so by Little's law the \
         mean time to acknowledgement is the number of open sends divided by the rate, whatever the server: \
         with {} open sends 12,000 /s mean {:.1} ms, with {users} they mean {:.1} ms, where the 99th \
         percentile is judged. Processor time is all that the server's process used while a load ran, \
         divided by the messages. Every acknowledged event id must reach both members exactly once.",
        pairs.rooms.len(),
        users * in_flight,
        (users * in_flight) as f64 * 1000.0 / RATE_TARGET as f64,
        users as f64 * 1000.0 / RATE_TARGET as f64,
    ));
    Ok(finding)
}

fn ack_row(outcome: &Outcome, open: usize) -> Row {
    ack_row_of(&format!("send to acknowledgement, {open} sends open"), outcome)
}

fn rows(outcome: &Outcome, open: usize) -> Vec<Row> {
    let mut rows = vec![
        rate_row(
            &format!("acknowledged, {open} sends open"),
            per_second(outcome.acked, outcome),
            Some(RATE_TARGET),
        ),
        rate_row(
            &format!("delivered, {open} sends open"),
            per_second(outcome.delivered, outcome),
            Some(RATE_TARGET),
        ),
    ];
    if let Some(server) = outcome.server {
        let cost_us = server.cpu_ms as f64 * 1000.0 / outcome.delivered.max(1) as f64;
        let row = Row::new(&format!("server CPU per delivered message, {open} sends open"));
        rows.push(
            row.figure(format!("{cost_us:.1} µs"))
                .target("< 60 µs", cost_us < CPU_TARGET_US)
                .compared(Measure::Cost(cost_us)),
        );
    }
    rows
}
