//! Encrypted rooms of two across platforms: real devices, real sessions, and every message must be readable.

use std::sync::Arc;

use serde_json::json;

use super::{ack_row, meet_in_pairs, notes_of, per_second, rate_row};
use crate::{
    encryption::Encryption,
    load::{Exchange, Outcome, Pace, Plan, exchange, percentile},
    report::{Finding, Row, grouped, ms},
    setup::{Bench, BenchError},
};

/// How many messages per second are due over all rooms, at fixed times.
const RATE: f64 = 500.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let pairs = encrypted_pairs(bench).await?;
    let length = bench.settings.load;
    let plan = |pace| Plan { pace, length, gap_closers: usize::MAX };
    let closed = exchange(bench, &pairs, &plan(Pace::FlatOut)).await?;
    let open = exchange(bench, &pairs, &plan(Pace::Rate(RATE))).await?;

    let mut finding = Finding { rows: rows(&closed, &open), ..Finding::default() };
    let both = [&closed, &open];
    // A message that could not be read is missing too, unless it was never acknowledged.
    finding.lost = both.iter().map(|outcome| outcome.missing.max(outcome.undecrypted)).sum();
    finding.duplicated = both.iter().map(|outcome| outcome.duplicated).sum();
    finding.use_of(closed.server);
    finding.describe(format!(
        "{} users in {} rooms of two with m.room.encryption, the two on different platforms where there are \
         several. Each device publishes its keys and claims a one-time key of the other's; the key of its \
         Megolm session goes to the other as m.room_key in an Olm message, by /sendToDevice and /sync, and \
         anew after every 100 messages, also under load. Each user has {} sends open and one long poll. Closed \
         loop first, then {RATE} messages per second in total at fixed times. The generator encrypts \
         everything once and decrypts it twice, since senders read their own messages back; that is in its \
         processor time and in the figures, and processor time and memory of the server are those of the \
         closed loop.",
        pairs.users.len(),
        pairs.rooms.len(),
        bench.settings.in_flight,
    ));
    finding.notes.extend(both.into_iter().flat_map(notes_of));
    Ok(finding)
}

/// Makes users for this scenario alone, because a device keeps the identity with which it was published.
async fn encrypted_pairs(bench: &mut Bench) -> Result<Exchange, BenchError> {
    let mut users = Vec::new();
    for index in 0..bench.settings.count(40, 8) {
        users.push(bench.fresh_user(index).await?);
    }
    let encrypted = json!([{
        "type": "m.room.encryption", "state_key": "", "content": { "algorithm": "m.megolm.v1.aes-sha2" },
    }]);
    let mut pairs = meet_in_pairs(users, encrypted).await?;
    let encryption = Encryption::establish(&pairs.users, &pairs.rooms, bench.new_name()).await?;
    pairs.encryption = Some(Arc::new(encryption));
    Ok(pairs)
}

fn rows(closed: &Outcome, open: &Outcome) -> Vec<Row> {
    let (p50, p99) = (percentile(&open.latency_us, 0.5), percentile(&open.latency_us, 0.99));
    let missing = closed.missing + open.missing;
    let doubled = closed.duplicated + open.duplicated;
    let undecrypted = closed.undecrypted + open.undecrypted;
    vec![
        rate_row("acknowledged messages", per_second(closed.acked, closed), None),
        rate_row("decrypted by the other side", per_second(closed.delivered, closed), None),
        ack_row(closed),
        Row::new("at a fixed rate, send to decrypted, p50 / p99").figure(format!(
            "{} / {}",
            ms(p50),
            ms(p99)
        )),
        Row::new("at a fixed rate, acknowledged, of messages due").figure(format!(
            "{} of {}",
            grouped(open.acked),
            grouped(open.due)
        )),
        Row::new("decrypted, those of the receivers themselves included")
            .figure(grouped(closed.arrived + open.arrived)),
        Row::new("missing / doubled / not decrypted after draining")
            .figure(format!("{missing} / {doubled} / {undecrypted}"))
            .target("0 / 0 / 0", missing == 0 && doubled == 0 && undecrypted == 0)
            .always(),
    ]
}
