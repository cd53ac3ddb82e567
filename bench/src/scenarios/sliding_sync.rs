//! Simplified sliding sync of a user with very many rooms, asked for as Element X does it: the first window,
//! the growing of the window to all rooms, one new message, and nothing new.
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4186>

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{FilledRooms, MESSAGES, incremental_sync::server_row, many_rooms};
use crate::{
    client::{Client, encode},
    load::percentile,
    report::{Finding, Measure, Row, grouped, ms},
    setup::{Bench, BenchError, During, send_text},
};

/// How many rooms the first window has.
const FIRST: usize = 20;
/// By how many rooms the window grows.
const STEP: usize = 100;
/// How long the first window may take, in microseconds.
const FIRST_TARGET_US: u32 = 15_000;

const PATH: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// A connection of sliding sync.
struct Connection {
    client: Client,
    request: Value,
    pos: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    pos: String,
    #[serde(default)]
    lists: BTreeMap<String, List>,
    #[serde(default)]
    rooms: BTreeMap<String, Room>,
}

#[derive(Deserialize)]
struct List {
    count: usize,
}

#[derive(Deserialize)]
struct Room {
    #[serde(default)]
    timeline: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    event_id: String,
}

/// How long the requests of one kind took, in microseconds, and how large their largest answer was.
struct Samples {
    measured: String,
    took_us: Vec<u32>,
    size: usize,
    /// How much processor time of the server they cost, in microseconds, where that was measured.
    server_us: Vec<u32>,
    /// How many answers did not have what they should.
    wrong: u64,
}

impl Connection {
    fn new(client: Client, name: &str) -> Self {
        let required_state = json!([
            ["m.room.name", ""],
            ["m.room.encryption", ""],
            ["m.room.member", "$LAZY"],
            ["m.room.member", "$ME"],
            ["m.room.topic", ""],
            ["m.room.avatar", ""],
            ["m.room.canonical_alias", ""],
            ["m.room.power_levels", ""],
            ["m.room.join_rules", ""],
            ["m.room.history_visibility", ""],
            ["m.room.tombstone", ""],
            ["m.room.create", ""],
            ["org.matrix.msc3401.call.member", "*"],
            ["m.space.parent", "*"],
            ["m.space.child", "*"],
        ]);
        let list = json!({
            "timeline_limit": 1, "required_state": required_state, "include_heroes": true,
            "filters": { "not_room_types": ["m.space"] },
        });
        let extensions = json!({
            "account_data": { "enabled": true }, "receipts": { "enabled": true, "rooms": ["*"] },
            "typing": { "enabled": true },
        });
        let request = json!({ "conn_id": name, "lists": { "all_rooms": list }, "extensions": extensions });
        let mut connection = Self { client, request, pos: None };
        connection.show(FIRST);
        connection
    }

    /// Asks for this many rooms, from the first one, from now on.
    fn show(&mut self, rooms: usize) {
        self.request["lists"]["all_rooms"]["ranges"] = json!([[0, rooms - 1]]);
    }

    /// Makes one request, which does not wait for news.
    async fn next(&mut self, samples: &mut Samples) -> Result<Answer, BenchError> {
        let pos = self.pos.as_ref().map(|pos| format!("&pos={}", encode(pos))).unwrap_or_default();
        let body = self.request.to_string();
        let started = Instant::now();
        let body = self.client.post(&format!("{PATH}?timeout=0{pos}"), body).await.during("sliding sync")?;
        samples.took_us.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        samples.size = samples.size.max(body.len());
        let answer: Answer = serde_json::from_slice(&body).during("sliding sync")?;
        self.pos = Some(answer.pos.clone());
        Ok(answer)
    }
}

impl Samples {
    fn new(measured: impl Into<String>) -> Self {
        Self { measured: measured.into(), took_us: Vec::new(), size: 0, server_us: Vec::new(), wrong: 0 }
    }

    fn expect(&mut self, right: bool) {
        self.wrong += u64::from(!right);
    }

    fn row(&mut self) -> (Row, u32) {
        self.took_us.sort_unstable();
        let (p50, p99) = (percentile(&self.took_us, 0.5), percentile(&self.took_us, 0.99));
        let row = Row::new(&format!("{}, p50 / p99", self.measured));
        let row = row.figure(format!("{} / {}", ms(p50), ms(p99)));
        (row.compared(Measure::Cost(p50.into())), p99)
    }
}

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    if !is_spoken(bench).await? {
        let mut finding = Finding::not_run();
        finding
            .describe("Not run: the server does not say that it has org.matrix.simplified_msc3575.".into());
        return Ok(finding);
    }
    let filled = many_rooms(bench).await?;
    let before = bench.usage();
    let first = first_windows(bench, &filled).await?;
    let (grown, whole, mut connection) = grow(bench, &filled).await?;
    let news = follow(bench, &filled, &mut connection).await?;
    let mut empty = Samples::new("nothing new");
    for _ in 0..bench.settings.count(1000, 50) {
        let answer = connection.next(&mut empty).await?;
        empty.expect(answer.rooms.is_empty());
    }
    let mut finding = finding([first, grown, whole, news, empty]);
    finding.use_since(before, bench.usage());
    finding.describe(format!(
        "Someone in {} rooms of two with at least {MESSAGES} messages each, one request after the other and \
         none that waits: a list with a timeline of 1 event, fifteen kinds of state with members loaded \
         lazily, heroes, and the extensions for account data, receipts and typing. First windows are each of \
         a new connection id; the window then grows by {STEP} rooms to all of them. A new message is asked \
         for when the server acknowledged it to its sender; the server's processor time for it is measured as \
         in incremental-sync.",
        grouped(filled.rooms.len() as u64),
    ));
    Ok(finding)
}

async fn is_spoken(bench: &Bench) -> Result<bool, BenchError> {
    let body = Client::anonymous(&bench.platforms[0]).get("/_matrix/client/versions").await;
    let versions: Value = serde_json::from_slice(&body.during("versions")?).during("versions")?;
    Ok(versions["unstable_features"]["org.matrix.simplified_msc3575"] == true)
}

async fn first_windows(bench: &mut Bench, filled: &FilledRooms) -> Result<Samples, BenchError> {
    let mut samples = Samples::new(format!("first window of {FIRST} rooms"));
    let mut client = filled.reader.client();
    for _ in 0..bench.settings.count(500, 20) {
        let mut connection = Connection::new(client, &bench.new_name());
        let answer = connection.next(&mut samples).await?;
        let complete = answer.rooms.len() == FIRST
            && answer.rooms.values().all(|room| room.timeline.len() == 1)
            && answer.lists["all_rooms"].count == filled.rooms.len();
        samples.expect(complete);
        client = connection.client;
    }
    Ok(samples)
}

/// Grows from the first window to all rooms. Returns single steps, whole ways, and the connection that went
/// last.
async fn grow(bench: &mut Bench, filled: &FilledRooms) -> Result<(Samples, Samples, Connection), BenchError> {
    let count = filled.rooms.len();
    let mut steps = Samples::new(format!("a step that adds up to {STEP} rooms"));
    let mut ways = Samples::new(format!("from nothing to all {} rooms", grouped(count as u64)));
    let mut connection = Connection::new(filled.reader.client(), &bench.new_name());
    for _ in 0..bench.settings.count(20, 2) {
        connection = Connection::new(connection.client, &bench.new_name());
        let mut seen = BTreeSet::new();
        let started = Instant::now();
        let mut first = Samples::new("");
        seen.extend(connection.next(&mut first).await?.rooms.into_keys());
        for window in (STEP..count + STEP).step_by(STEP) {
            connection.show(window.min(count));
            let answer = connection.next(&mut steps).await?;
            let fresh = answer.rooms.into_keys().filter(|room| seen.insert(room.clone())).count();
            steps.expect(fresh > 0 && seen.len() == window.min(count));
        }
        ways.took_us.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        ways.expect(filled.rooms.iter().all(|room| seen.contains(room)));
    }
    Ok((steps, ways, connection))
}

/// Sends one message at a time, to rooms from all parts of the list.
async fn follow(
    bench: &mut Bench,
    filled: &FilledRooms,
    connection: &mut Connection,
) -> Result<Samples, BenchError> {
    let mut samples = Samples::new("one new message");
    let mut writer = filled.writer.client();
    let (name, messages) = (bench.new_name(), bench.settings.count(500, 50));
    for (number, room) in filled.rooms.iter().cycle().step_by(7).take(messages).enumerate() {
        let event_id = send_text(&mut writer, room, &format!("{name}-{number}"), "On my way").await?;
        let (answer, server_us) = bench.server_time_of(connection.next(&mut samples)).await;
        let mut answer = answer?;
        samples.server_us.extend(server_us);
        let told = answer
            .rooms
            .remove(room)
            .is_some_and(|room| room.timeline.iter().map(|event| &event.event_id).eq([&event_id]));
        samples.expect(told && answer.rooms.is_empty());
    }
    bench.stored += messages as u64;
    Ok(samples)
}

fn finding(all: [Samples; 5]) -> Finding {
    let wrong: u64 = all.iter().map(|samples| samples.wrong).sum();
    let mut finding = Finding { lost: wrong, ..Finding::default() };
    for (at, mut samples) in all.into_iter().enumerate() {
        let (row, p99) = samples.row();
        let row = if at == 0 { row.target("< 15 ms", p99 < FIRST_TARGET_US) } else { row };
        finding.rows.push(row);
        if !samples.server_us.is_empty() {
            finding.rows.push(server_row(&format!("server CPU, {}", samples.measured), &samples.server_us));
        }
        if samples.size > 0 {
            finding.notes.push(format!(
                "{}: {} times, the largest answer {:.1} kB.",
                samples.measured,
                grouped(samples.took_us.len() as u64),
                samples.size as f64 / 1000.0
            ));
        }
    }
    finding.rows.push(
        Row::new("answers that did not hold what they should")
            .figure(grouped(wrong))
            .target("0", wrong == 0)
            .always(),
    );
    finding
}
