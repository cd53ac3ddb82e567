//! The first sync of a new device of someone with many rooms of many members.

use std::time::Instant;

use super::{CrowdedRooms, JOIN_WIDTH, MESSAGES, crowded_rooms};
use crate::{
    client::encode,
    load::percentile,
    report::{Finding, Measure, Row, grouped, ms},
    setup::{Bench, BenchError, During, Outline},
};

/// The kinds of syncs: with members loaded lazily, and with all of them. Each says how often it is made after
/// one that is not counted, and what the median may take.
const KINDS: [Kind; 2] = [
    Kind { name: "lazy members", lazy: true, repetitions: 9, target: "< 250 ms", target_us: 250_000 },
    Kind { name: "all members", lazy: false, repetitions: 5, target: "< 1.5 s", target_us: 1_500_000 },
];

struct Kind {
    name: &'static str,
    lazy: bool,
    repetitions: usize,
    target: &'static str,
    target_us: u32,
}

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let crowded = crowded_rooms(bench).await?;
    let mut finding = Finding::default();
    let before = bench.usage();
    for kind in &KINDS {
        measure(&crowded, kind, &mut finding).await?;
    }
    finding.use_since(before, bench.usage());
    finding.describe(format!(
        "/sync without a token, timeline limit {MESSAGES}, for a user in {} public rooms of {} members each; \
         the newest {MESSAGES} events of each room are messages. Making the rooms took {:.0} s, most of it for \
         {} joins by id, {JOIN_WIDTH} at a time.",
        crowded.rooms.len(),
        crowded.members,
        crowded.set_up.as_secs_f64(),
        grouped((crowded.rooms.len() * (crowded.members - 1)) as u64),
    ));
    Ok(finding)
}

async fn measure(crowded: &CrowdedRooms, kind: &Kind, finding: &mut Finding) -> Result<(), BenchError> {
    let filter = format!(
        r#"{{"room":{{"timeline":{{"limit":{MESSAGES}}},"state":{{"lazy_load_members":{}}}}}}}"#,
        kind.lazy
    );
    let path = format!("/_matrix/client/v3/sync?timeout=0&filter={}", encode(&filter));
    let mut client = crowded.reader.client();
    let mut samples_us = Vec::new();
    let mut last = bytes::Bytes::new();
    for repetition in 0..=kind.repetitions {
        let started = Instant::now();
        last = client.get(&path).await.during("sync")?;
        if repetition > 0 {
            samples_us.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
    let outline: Outline = serde_json::from_slice(&last).during("sync")?;
    let seen = &outline.rooms.join;
    let rooms = crowded.rooms.iter().filter(|room| seen.contains_key(*room)).count();
    let events: usize = seen.values().map(|room| room.timeline.events.len()).sum();
    let state: usize = seen.values().map(|room| room.state.events.len()).sum();
    let complete = rooms == crowded.rooms.len()
        && events >= rooms * MESSAGES
        && (kind.lazy || state >= rooms * crowded.members);

    samples_us.sort_unstable();
    let (median, slowest) = (percentile(&samples_us, 0.5), percentile(&samples_us, 1.0));
    finding.rows.push(
        Row::new(&format!("time to the last byte, {}, median", kind.name))
            .figure(ms(median))
            .target(kind.target, complete && median < kind.target_us)
            .compared(Measure::Cost(median.into())),
    );
    finding.rows.push(Row::new(&format!("{}, slowest", kind.name)).figure(ms(slowest)));
    finding.notes.push(format!(
        "With {}: median of {} after one that is not counted; the response has {} kB and held {rooms} of the \
         rooms with {} timeline events and {} state events. The target counts as met only if nothing is \
         missing.",
        kind.name,
        kind.repetitions,
        grouped(last.len() as u64 / 1000),
        grouped(events as u64),
        grouped(state as u64),
    ));
    Ok(())
}
