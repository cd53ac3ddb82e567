//! One room with very many joined members on all platforms: what a message there costs its sender.

use std::time::Instant;

use super::{ack_row, finding_of, one_room};
use crate::{
    load::{Exchange, ExchangeRoom, Pace, Plan, exchange_with, percentile},
    report::{Finding, Row, grouped},
    setup::{Bench, BenchError},
};

/// How many messages are sent per second.
const RATE: f64 = 100.0;
/// How many members long-poll, including the sender.
const WATCHERS: usize = 20;
/// How much the 99th percentile of acknowledgements may be, in microseconds.
const ACK_TARGET_US: u32 = 5_000;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let members = bench.settings.count(5000, 60);
    let started = Instant::now();
    let everybody = one_room(bench, members, 1).await?;
    let set_up = started.elapsed();
    let room = ExchangeRoom {
        id: everybody.rooms[0].id.clone(),
        members: (0..WATCHERS).collect(),
        senders: everybody.rooms[0].senders.clone(),
    };
    let watched =
        Exchange { users: everybody.users[..WATCHERS].to_vec(), rooms: vec![room], encryption: None };
    let plan = Plan { pace: Pace::Rate(RATE), length: bench.settings.load, gap_closers: usize::MAX };
    let outcome = exchange_with(bench, &watched, &plan, 1).await?;
    let p99 = percentile(&outcome.ack_us, 0.99);
    let kept_up = outcome.acked == outcome.due;
    let rows = vec![
        ack_row(&outcome).target("p99 < 5 ms", kept_up && p99 < ACK_TARGET_US),
        Row::new("acknowledged, of messages due").figure(format!(
            "{} of {}",
            grouped(outcome.acked),
            grouped(outcome.due)
        )),
    ];
    let mut finding = finding_of(&outcome, rows);
    finding.describe(format!(
        "One public room that {} users of all platforms have joined. One of them sends {RATE} messages per \
         second over one connection; {WATCHERS} long-poll, and are checked for loss. Registering and joining \
         took {:.0} s.",
        grouped(members as u64),
        set_up.as_secs_f64(),
    ));
    Ok(finding)
}
