//! The other scenarios again, with ten times as many messages in the store. Nothing may depend on how many
//! there are.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    crowded_rooms, fill, incremental_sync, initial_sync, latency, many_rooms, meet_in_pairs, one_to_one,
    only_with_own_server, pairs, room_10, settle, sliding_sync,
};
use crate::{
    load::Exchange,
    report::{Finding, Row, grouped},
    setup::{Bench, BenchError},
};

/// How many messages are stored before the first time.
const FIRST: usize = 100_000;
/// How many messages are stored before the second time.
const SECOND: usize = 1_000_000;
/// How long filling up may take.
const FILL_LIMIT: Duration = Duration::from_secs(900);
/// How long each load lasts. It is short, because it adds to what is stored.
const LOAD: Duration = Duration::from_secs(5);
/// How many times slower anything may be.
const TARGET: f64 = 1.3;
/// How many rooms hold the messages of each pair of users. The pair writes in one after another.
const ROOMS_PER_PAIR: usize = 20;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let Some(mut fresh) = bench.on_fresh_server().await? else {
        return Ok(only_with_own_server());
    };
    fresh.settings.load = fresh.settings.load.min(LOAD);
    let started = Instant::now();
    let archive = archive(&mut fresh).await?;
    many_rooms(&mut fresh).await?;
    crowded_rooms(&mut fresh).await?;
    let mut finding = Finding::default();
    let mut figures = Vec::new();
    let mut stored = Vec::new();
    for wanted in [fresh.settings.count(FIRST, 2000), fresh.settings.count(SECOND, 20_000)] {
        fill(&mut fresh, &archive, wanted as u64, FILL_LIMIT, &mut finding).await?;
        settle(&fresh).await;
        stored.push(fresh.stored);
        figures.push(measure(&mut fresh, &mut finding).await?);
    }
    for ((name, before), (_, after)) in figures[0].iter().zip(&figures[1]) {
        for (before, after) in before.rows.iter().zip(&after.rows) {
            finding.rows.extend(compare(name, before, after));
        }
    }
    let intact = finding.lost == 0 && finding.duplicated == 0;
    finding.rows.push(
        Row::new("missing or wrong / doubled")
            .figure(format!("{} / {}", finding.lost, finding.duplicated))
            .target("0 / 0", intact)
            .always(),
    );
    finding.use_of(fresh.usage());
    finding.describe(format!(
        "A process and data of its own. The scenarios are run with {} messages stored, and again with {}, \
         besides rooms and memberships; loads last {} s. The messages lie in {} rooms of those who send and \
         receive; after them the server gets the time to merge its files. A figure is how many times slower \
         the second time was. All of it took {:.0} s. Processor time and memory are of the whole process.",
        grouped(stored[0]),
        grouped(stored[1]),
        fresh.settings.load.as_secs(),
        archive.iter().map(|exchange| exchange.rooms.len()).sum::<usize>(),
        started.elapsed().as_secs_f64(),
    ));
    Ok(finding)
}

/// The pairs of the other scenarios, again and again in other rooms.
async fn archive(bench: &mut Bench) -> Result<Vec<Exchange>, BenchError> {
    let users = pairs(bench).await?.users.clone();
    let mut exchanges = Vec::new();
    for _ in 0..bench.settings.count(ROOMS_PER_PAIR, 2) {
        exchanges.push(meet_in_pairs(users.clone(), json!([])).await?);
    }
    Ok(exchanges)
}

/// Runs what is to be compared, and keeps account of what was lost.
async fn measure(bench: &mut Bench, total: &mut Finding) -> Result<[(&'static str, Finding); 6], BenchError> {
    let findings = [
        ("one-to-one", one_to_one::run(bench).await?),
        ("latency", latency::run(bench).await?),
        ("room-10", room_10::run(bench).await?),
        ("initial-sync", initial_sync::run(bench).await?),
        ("sliding-sync", sliding_sync::run(bench).await?),
        ("incremental-sync", incremental_sync::run(bench).await?),
    ];
    for (_, finding) in &findings {
        total.lost += finding.lost;
        total.duplicated += finding.duplicated;
    }
    Ok(findings)
}

fn compare(name: &str, before: &Row, after: &Row) -> Option<Row> {
    let ((measured, first, before), (_, second, after)) = (before.comparison()?, after.comparison()?);
    let factor = after.worse_than(before);
    Some(
        Row::new(&format!("{name}: {measured}"))
            .figure(format!("{factor:.2} ({first} → {second})"))
            .target("≤ 1.3", factor <= TARGET),
    )
}
