//! The scenarios, in the order in which they run. Each has a file, and is a function from a [`Bench`] to a
//! [`Finding`].

mod abuse;
mod alike;
mod disk;
mod empty_sync;
mod encrypted;
mod growth;
mod idle;
mod incremental_sync;
mod initial_sync;
mod keys;
mod latency;
mod matching;
mod memory;
mod one_to_one;
mod room_10;
mod room_200;
mod room_300;
mod room_5000;
mod sliding_sync;
mod soak;
mod startup;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::{
    client::Client,
    load::{Exchange, ExchangeRoom, Outcome, Pace, Plan, exchange, percentile},
    report::{Finding, Measure, Row, grouped, ms},
    setup::{Bench, BenchError, SETUP_WIDTH, Settings, User, create_room, join_room, send_text, spread},
};

/// Names of all scenarios, in order.
pub(crate) const NAMES: [&str; 21] = [
    "memory",
    "one-to-one",
    "latency",
    "room-200",
    "room-10",
    "room-300",
    "room-5000",
    "idle",
    "empty-sync",
    "initial-sync",
    "keys",
    "encrypted",
    "sliding-sync",
    "incremental-sync",
    "disk",
    "startup",
    "matching",
    "alike",
    "abuse",
    "soak",
    "growth",
];

/// Those among them that run only when they are named, because they take many minutes.
pub(crate) const LONG: [&str; 2] = ["soak", "growth"];

/// How many rooms are joined by id at the same time.
const JOIN_WIDTH: usize = 16;
/// How many messages each room has that is made to be synced.
const MESSAGES: usize = 20;
/// How long [`fill`] writes before it looks how much there is.
const FILL_STEP: Duration = Duration::from_secs(5);
/// How much processor time a server uses in a second at rest, at most, in milliseconds.
const AT_REST_CPU_MS: u64 = 30;
/// After how many seconds a server counts as being at rest in any case.
const SETTLE_SECONDS: usize = 30;

/// Runs the scenario of this name.
pub(crate) async fn run(name: &str, bench: &mut Bench) -> Result<Finding, BenchError> {
    match name {
        "one-to-one" => one_to_one::run(bench).await,
        "latency" => latency::run(bench).await,
        "room-200" => room_200::run(bench).await,
        "room-10" => room_10::run(bench).await,
        "empty-sync" => empty_sync::run(bench).await,
        "initial-sync" => initial_sync::run(bench).await,
        "idle" => idle::run(bench).await,
        "keys" => keys::run(bench).await,
        "encrypted" => encrypted::run(bench).await,
        "sliding-sync" => sliding_sync::run(bench).await,
        "startup" => startup::run(bench).await,
        "matching" => matching::run(bench).await,
        "alike" => alike::run(bench).await,
        "abuse" => abuse::run(bench).await,
        "memory" => memory::run(bench).await,
        "room-300" => room_300::run(bench).await,
        "room-5000" => room_5000::run(bench).await,
        "incremental-sync" => incremental_sync::run(bench).await,
        "disk" => disk::run(bench).await,
        "soak" => soak::run(bench).await,
        "growth" => growth::run(bench).await,
        other => Err(BenchError::Other(format!("there is no scenario {other:?}"))),
    }
}

/// Rooms of two users of different platforms, or of the same one if there is only one. They are made once per
/// run.
async fn pairs(bench: &mut Bench) -> Result<Arc<Exchange>, BenchError> {
    if let Some(pairs) = &bench.pairs {
        return Ok(pairs.clone());
    }
    let pairs = Arc::new(new_pairs(bench).await?);
    bench.pairs = Some(pairs.clone());
    Ok(pairs)
}

/// The first users of the run in rooms of two.
pub(crate) async fn new_pairs(bench: &mut Bench) -> Result<Exchange, BenchError> {
    let users = bench.users(people_in_pairs(&bench.settings)).await?;
    meet_in_pairs(users, json!([])).await
}

/// How many people write to each other in pairs.
pub(crate) fn people_in_pairs(settings: &Settings) -> usize {
    settings.count(40, 8)
}

/// Has every two neighbours meet in a room of their own, which begins with this state.
async fn meet_in_pairs(users: Vec<User>, initial_state: Value) -> Result<Exchange, BenchError> {
    let rooms = stream::iter(users.chunks_exact(2).enumerate())
        .map(async |(index, pair)| {
            let body = json!({
                "preset": "trusted_private_chat", "is_direct": true, "invite": [pair[1].id],
                "initial_state": initial_state,
            });
            let id = create_room(&mut pair[0].client(), &body).await?;
            join_room(&mut pair[1].client(), &id, &pair[0].platform.server_name).await?;
            let both = vec![2 * index, 2 * index + 1];
            Ok::<_, BenchError>(ExchangeRoom { id, members: both.clone(), senders: both })
        })
        .buffered(SETUP_WIDTH)
        .try_collect()
        .await?;
    Ok(Exchange { users, rooms, encryption: None })
}

/// One public room with this many members from all platforms, of whom the first ones send.
async fn one_room(bench: &mut Bench, members: usize, senders: usize) -> Result<Exchange, BenchError> {
    let users = bench.users(members).await?;
    let body = json!({"preset": "public_chat", "name": "Everybody"});
    let id = create_room(&mut users[0].client(), &body).await?;
    let via = &users[0].platform.server_name;
    stream::iter(&users[1..])
        .map(async |user: &User| join_room(&mut user.client(), &id, via).await)
        .buffer_unordered(JOIN_WIDTH)
        .try_collect::<Vec<()>>()
        .await?;
    let room = ExchangeRoom { id, members: (0..members).collect(), senders: (0..senders).collect() };
    Ok(Exchange { users, rooms: vec![room], encryption: None })
}

/// Rooms with history for someone to sync.
pub(crate) struct FilledRooms {
    /// The user who is to sync, and of whom nothing else is known.
    reader: User,
    /// The user who wrote everything, who is on another platform if there is one.
    writer: User,
    /// The rooms of these two.
    rooms: Vec<String>,
}

/// A thousand rooms of two with [`MESSAGES`] messages each; made once per run.
async fn many_rooms(bench: &mut Bench) -> Result<Arc<FilledRooms>, BenchError> {
    if let Some(filled) = &bench.many_rooms {
        return Ok(filled.clone());
    }
    let count = bench.settings.count(1000, 50);
    let (reader, writer) = (bench.fresh_user(0).await?, bench.fresh_user(1).await?);
    let body = json!({"preset": "private_chat", "name": "Plans", "invite": [reader.id]});
    let rooms = spread(&writer, SETUP_WIDTH, (0..count).collect(), async |client, _| {
        create_room(client, &body).await
    })
    .await?;
    spread(&reader, SETUP_WIDTH, rooms.clone(), async |client, room| {
        join_room(client, &room, &writer.platform.server_name).await
    })
    .await?;
    spread(&writer, SETUP_WIDTH, rooms.clone(), async |client, room| write_history(client, &room).await)
        .await?;
    bench.stored += (count * MESSAGES) as u64;
    let filled = Arc::new(FilledRooms { reader, writer, rooms });
    bench.many_rooms = Some(filled.clone());
    Ok(filled)
}

async fn write_history(client: &mut Client, room: &str) -> Result<(), BenchError> {
    for number in 0..MESSAGES {
        send_text(client, room, &format!("fill-{number}"), "Shall we take the early boat?").await?;
    }
    Ok(())
}

/// Rooms that very many are in, for someone to sync.
pub(crate) struct CrowdedRooms {
    /// The user who is to sync, who is in these rooms only.
    reader: User,
    rooms: Vec<String>,
    /// How many joined members each room has, including the reader.
    members: usize,
    /// How long it took to make them.
    set_up: Duration,
}

/// 300 public rooms, all with the same 300 members of all platforms, and then [`MESSAGES`] messages in each.
/// They are made once per run.
async fn crowded_rooms(bench: &mut Bench) -> Result<Arc<CrowdedRooms>, BenchError> {
    if let Some(crowded) = &bench.crowded_rooms {
        return Ok(crowded.clone());
    }
    let (count, members) = (bench.settings.count(300, 30), bench.settings.count(300, 12));
    let reader = bench.fresh_user(0).await?;
    let mut users = bench.users(members - 1).await?;
    users.push(reader.clone());
    let started = Instant::now();
    let body = json!({"preset": "public_chat", "name": "The whole town"});
    // The platforms take turns in making rooms, and so in being asked for them.
    let owners: Vec<&User> = users[..members - 1].iter().cycle().take(count).collect();
    let rooms: Vec<String> = stream::iter(&owners)
        .map(async |owner| create_room(&mut owner.client(), &body).await)
        .buffered(SETUP_WIDTH)
        .try_collect()
        .await?;
    stream::iter(users.iter().enumerate())
        .map(async |(index, user)| {
            let mut client = user.client();
            // Everybody begins with another room, so that few wait for each other.
            for room in (0..count).map(|step| (index + step) % count) {
                if owners[room].id != user.id {
                    join_room(&mut client, &rooms[room], &owners[room].platform.server_name).await?;
                }
            }
            Ok::<_, BenchError>(())
        })
        .buffer_unordered(JOIN_WIDTH)
        .try_collect::<Vec<()>>()
        .await?;
    stream::iter(owners.iter().zip(&rooms))
        .map(async |(owner, room)| write_history(&mut owner.client(), room).await)
        .buffer_unordered(JOIN_WIDTH)
        .try_collect::<Vec<()>>()
        .await?;
    bench.stored += (count * MESSAGES) as u64;
    let set_up = started.elapsed();
    let crowded = Arc::new(CrowdedRooms { reader, rooms, members, set_up });
    bench.crowded_rooms = Some(crowded.clone());
    Ok(crowded)
}

/// Has people write, here and there in turn, until the run has stored this many messages or the time is over.
/// The finding gets what was lost or came twice.
async fn fill(
    bench: &mut Bench,
    exchanges: &[Exchange],
    wanted: u64,
    limit: Duration,
    finding: &mut Finding,
) -> Result<(), BenchError> {
    let until = Instant::now() + limit;
    let plan = Plan { pace: Pace::FlatOut, length: FILL_STEP, gap_closers: usize::MAX };
    for place in exchanges.iter().cycle() {
        if bench.stored >= wanted || Instant::now() >= until {
            break;
        }
        let outcome = exchange(bench, place, &plan).await?;
        finding.lost += outcome.missing;
        finding.duplicated += outcome.duplicated;
    }
    Ok(())
}

/// Waits until the server is at rest.
async fn settle(bench: &Bench) {
    let mut last = bench.usage();
    for second in 0..bench.settings.count(SETTLE_SECONDS, 2) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = bench.usage();
        match last.zip(now) {
            Some((last, now)) if now.cpu_ms.saturating_sub(last.cpu_ms) >= AT_REST_CPU_MS => {}
            Some(_) => return,
            // A server that cannot be watched gets a few seconds.
            None if second >= 2 => return,
            None => {}
        }
        last = now;
    }
}

/// The finding of a scenario that needs a process of ours.
fn only_with_own_server() -> Finding {
    let mut finding = Finding::not_run();
    finding.describe("Not run: the server was not started by the generator (--linkspan).".to_owned());
    finding
}

/// Makes the finding of a scenario that sends, with what all of these have in common: a row about loss and
/// doubles, and a note about what the generator used.
fn finding_of(outcome: &Outcome, mut rows: Vec<Row>) -> Finding {
    let intact = outcome.missing == 0 && outcome.duplicated == 0;
    rows.push(
        Row::new("missing / doubled after draining")
            .figure(format!("{} / {}", outcome.missing, outcome.duplicated))
            .target("0 / 0", intact)
            .always(),
    );
    let notes = notes_of(outcome);
    let mut finding =
        Finding { rows, notes, lost: outcome.missing, duplicated: outcome.duplicated, ..Finding::default() };
    finding.use_of(outcome.server);
    finding
}

/// What a reader must know of a load: how much it was, and what arrived only later.
fn notes_of(outcome: &Outcome) -> Vec<String> {
    let mut notes = vec![format!(
        "The load lasted {:.1} s: {} messages acknowledged, {} sync responses of {:.1} messages on average. \
         The generator itself used {} ms of processor time.",
        outcome.elapsed.as_secs_f64(),
        grouped(outcome.acked),
        grouped(outcome.syncs),
        (outcome.arrived - outcome.backfilled) as f64 / outcome.syncs.max(1) as f64,
        grouped(outcome.own_cpu_ms),
    )];
    if outcome.gaps > 0 {
        notes.push(format!(
            "{} timelines were limited; after the load {} messages were fetched through /messages and count \
             as arrived, but not as delivered. {} receivers left their gaps open, so what they missed is \
             not counted.",
            grouped(outcome.gaps),
            grouped(outcome.backfilled),
            outcome.unchecked,
        ));
    }
    notes
}

/// Messages per second of the load.
pub(crate) fn per_second(count: u64, outcome: &Outcome) -> f64 {
    count as f64 / outcome.elapsed.as_secs_f64().max(0.001)
}

/// The row of a rate with its target in messages per second.
fn rate_row(measured: &str, rate: f64, target: Option<u64>) -> Row {
    let row = Row::new(measured).figure(format!("{} /s", grouped(rate as u64))).compared(Measure::Rate(rate));
    match target {
        Some(target) => row.target(&format!("≥ {} /s", grouped(target)), rate >= target as f64),
        None => row,
    }
}

/// The row of acknowledgement times.
fn ack_row(outcome: &Outcome) -> Row {
    ack_row_of("send to acknowledgement", outcome)
}

/// The same, if there are several rows of that kind.
fn ack_row_of(measured: &str, outcome: &Outcome) -> Row {
    let (p50, p99) = (percentile(&outcome.ack_us, 0.5), percentile(&outcome.ack_us, 0.99));
    Row::new(&format!("{measured}, p50 / p99")).figure(format!("{} / {}", ms(p50), ms(p99)))
}
