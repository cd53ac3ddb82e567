//! The sync that brings one new message to someone with very many rooms: what it costs the server.

use std::time::Instant;

use serde::Deserialize;

use super::{MESSAGES, many_rooms};
use crate::{
    client::encode,
    load::percentile,
    report::{Finding, Measure, Row, grouped, ms},
    setup::{Bench, BenchError, During, position, send_text},
};

/// How much processor time of the server a sync may cost on average, in microseconds.
pub(super) const SERVER_TARGET_US: f64 = 1_000.0;
const FILTER: &str = r#"{"room":{"state":{"lazy_load_members":true}}}"#;

#[derive(Deserialize)]
struct Answer {
    next_batch: String,
    #[serde(default)]
    rooms: Rooms,
}

#[derive(Deserialize, Default)]
struct Rooms {
    #[serde(default)]
    join: std::collections::BTreeMap<String, Room>,
}

#[derive(Deserialize)]
struct Room {
    timeline: Timeline,
}

#[derive(Deserialize)]
struct Timeline {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    event_id: String,
}

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let filled = many_rooms(bench).await?;
    let (mut reader, mut writer) = (filled.reader.client(), filled.writer.client());
    let (name, messages) = (bench.new_name(), bench.settings.count(500, 50));
    let mut since = position(&mut reader).await?;
    let (mut took_us, mut server_us, mut wrong) = (Vec::new(), Vec::new(), 0);
    let before = bench.usage();
    for (number, room) in filled.rooms.iter().cycle().step_by(7).take(messages).enumerate() {
        let event_id = send_text(&mut writer, room, &format!("{name}-{number}"), "On my way").await?;
        let path =
            format!("/_matrix/client/v3/sync?timeout=0&filter={}&since={}", encode(FILTER), encode(&since));
        let sync = async {
            let started = Instant::now();
            let body = reader.get(&path).await.during("sync")?;
            took_us.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
            Ok::<_, BenchError>(body)
        };
        let (body, server) = bench.server_time_of(sync).await;
        let answer: Answer = serde_json::from_slice(&body?).during("sync")?;
        server_us.extend(server);
        let told: Vec<&str> = answer.rooms.join.values().flat_map(|room| room.ids()).collect();
        wrong += u64::from(told != [event_id.as_str()] || !answer.rooms.join.contains_key(room));
        since = answer.next_batch;
    }
    bench.stored += messages as u64;
    took_us.sort_unstable();
    let (p50, p99) = (percentile(&took_us, 0.5), percentile(&took_us, 0.99));
    let mut finding = Finding {
        rows: vec![
            server_row("server CPU of a sync", &server_us),
            Row::new("sync, p50 / p99")
                .figure(format!("{} / {}", ms(p50), ms(p99)))
                .compared(Measure::Cost(p50.into())),
            Row::new("answers that did not hold the one message")
                .figure(grouped(wrong))
                .target("0", wrong == 0)
                .always(),
        ],
        lost: wrong,
        ..Finding::default()
    };
    finding.use_since(before, bench.usage());
    finding.describe(format!(
        "/sync from a token in {} rooms of two with at least {MESSAGES} messages each, after one new message \
         that was acknowledged, {} times, to rooms from everywhere. The server's processor time is that of \
         its threads from just before a request to just after its answer, when nothing else goes on; the \
         system's clock of it counts nanoseconds. Sending is no part of it.",
        grouped(filled.rooms.len() as u64),
        grouped(messages as u64),
    ));
    Ok(finding)
}

impl Room {
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.timeline.events.iter().map(|event| event.event_id.as_str())
    }
}

/// The row of what syncs cost the server on average.
pub(super) fn server_row(measured: &str, server_us: &[u32]) -> Row {
    let row = Row::new(&format!("{measured}, mean"));
    if server_us.is_empty() {
        return row.figure("not known (--pid is missing)".to_owned());
    }
    let sum: f64 = server_us.iter().map(|micros| f64::from(*micros)).sum();
    let mean = sum / server_us.len() as f64;
    row.figure(format!("{:.3} ms", mean / 1000.0))
        .target("< 1 ms", mean < SERVER_TARGET_US)
        .compared(Measure::Cost(mean))
}
