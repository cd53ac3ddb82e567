//! The scenarios, in the order they run: each a file, each a function from a [`Bench`] to a [`Finding`].

mod empty_sync;
mod encrypted;
mod idle;
mod initial_sync;
mod keys;
mod latency;
mod one_to_one;
mod room_10;
mod room_200;
mod sliding_sync;
mod startup;

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::{
    load::{Exchange, ExchangeRoom, Outcome, percentile},
    report::{Finding, Row, grouped, ms},
    setup::{Bench, BenchError, SETUP_WIDTH, Settings, User, create_room, join_room, send_text, spread},
};

/// Names of all scenarios, in order.
pub(crate) const NAMES: [&str; 11] = [
    "one-to-one",
    "latency",
    "room-200",
    "room-10",
    "empty-sync",
    "initial-sync",
    "idle",
    "keys",
    "encrypted",
    "sliding-sync",
    "startup",
];

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
        other => Err(BenchError::Other(format!("there is no scenario {other:?}"))),
    }
}

/// Rooms of two users of different platforms (of the same one, if there is only one); made once per run.
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

/// One public room with so many members from all platforms, of whom the first send.
async fn one_room(bench: &mut Bench, members: usize, senders: usize) -> Result<Exchange, BenchError> {
    let users = bench.users(members).await?;
    let body = json!({"preset": "public_chat", "name": "Everybody"});
    let id = create_room(&mut users[0].client(), &body).await?;
    let via = &users[0].platform.server_name;
    stream::iter(&users[1..])
        .map(async |user: &User| join_room(&mut user.client(), &id, via).await)
        .buffered(SETUP_WIDTH)
        .try_collect::<Vec<()>>()
        .await?;
    let room = ExchangeRoom { id, members: (0..members).collect(), senders: (0..senders).collect() };
    Ok(Exchange { users, rooms: vec![room], encryption: None })
}

/// Rooms with history for someone to sync.
struct FilledRooms {
    /// Who is to sync; nothing else is known of them.
    reader: User,
    /// Who wrote everything, on another platform if there is one.
    writer: User,
    /// The rooms of these two.
    rooms: Vec<String>,
}

/// So many rooms of two with so many messages each.
async fn filled_rooms(bench: &mut Bench, count: usize, messages: usize) -> Result<FilledRooms, BenchError> {
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
    spread(&writer, SETUP_WIDTH, rooms.clone(), async |client, room| {
        for number in 0..messages {
            send_text(client, &room, &format!("fill-{number}"), "Shall we take the early boat?").await?;
        }
        Ok(())
    })
    .await?;
    bench.stored += (count * messages) as u64;
    Ok(FilledRooms { reader, writer, rooms })
}

/// What every scenario that sends has in common: loss and doubles as a row, and the generator's own use as a
/// note.
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
    let row = Row::new(measured).figure(format!("{} /s", grouped(rate as u64)));
    match target {
        Some(target) => row.target(&format!("≥ {} /s", grouped(target)), rate >= target as f64),
        None => row,
    }
}

/// The row of acknowledgement times.
fn ack_row(outcome: &Outcome) -> Row {
    let (p50, p99) = (percentile(&outcome.ack_us, 0.5), percentile(&outcome.ack_us, 0.99));
    Row::new("send to acknowledgement, p50 / p99").figure(format!("{} / {}", ms(p50), ms(p99)))
}
