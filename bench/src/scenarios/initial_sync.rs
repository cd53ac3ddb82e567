//! The first sync of a new device of someone with many rooms.

use std::time::Instant;

use super::filled_rooms;
use crate::{
    client::encode,
    load::percentile,
    report::{Finding, Row, grouped, ms},
    setup::{Bench, BenchError, During, Outline},
};

/// Messages in each room, all of which fit into the timeline that is asked for.
const MESSAGES: usize = 20;
/// Syncs that are measured; one more goes before them.
const REPETITIONS: usize = 9;
const FILTER: &str = r#"{"room":{"timeline":{"limit":20},"state":{"lazy_load_members":true}}}"#;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let count = bench.settings.count(300, 30);
    let user = filled_rooms(bench, count, MESSAGES).await?.reader;

    let path = format!("/_matrix/client/v3/sync?timeout=0&filter={}", encode(FILTER));
    let mut client = user.client();
    let mut samples_us = Vec::new();
    let (mut size, mut seen_rooms, mut seen_events) = (0, 0, 0);
    let mut before = bench.usage();
    for repetition in 0..=REPETITIONS {
        let started = Instant::now();
        let body = client.get(&path).await.during("sync")?;
        let took = started.elapsed();
        if repetition == 0 {
            before = bench.usage();
            continue;
        }
        samples_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        let outline: Outline = serde_json::from_slice(&body).during("sync")?;
        size = body.len();
        seen_rooms = outline.rooms.join.len();
        seen_events = outline.rooms.join.values().map(|room| room.timeline.events.len()).sum();
    }
    samples_us.sort_unstable();
    let median = percentile(&samples_us, 0.5);
    let complete = seen_rooms == count && seen_events == count * MESSAGES;
    let mut finding = Finding {
        rows: vec![
            Row::new("time to the last byte, median")
                .figure(ms(median))
                .target("< 300 ms", complete && median < 300_000),
            Row::new("slowest of the measured").figure(ms(percentile(&samples_us, 1.0))),
            Row::new("size of the response").figure(format!("{} kB", grouped(size as u64 / 1000))),
        ],
        ..Finding::default()
    };
    finding.use_since(before, bench.usage());
    finding.describe(format!(
        "/sync without a token, timeline limit 20, members loaded lazily, for a user in {count} rooms of \
         two with {MESSAGES} messages each: median of {REPETITIONS} after one that is not counted. The \
         response held {seen_rooms} rooms and {} timeline events (expected {count} and {}).",
        grouped(seen_events as u64),
        grouped((count * MESSAGES) as u64),
    ));
    Ok(finding)
}
