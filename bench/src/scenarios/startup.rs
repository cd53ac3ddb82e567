//! How long a server with history takes to be back after it was killed, and whether it still has what it has
//! acknowledged.

use std::time::{Duration, Instant};

use super::{fill, only_with_own_server, pairs};
use crate::{
    client::encode,
    report::{Finding, Row, grouped},
    setup::{Bench, BenchError, During, Outline, position, send_text},
};

/// How many messages the store should hold.
const EVENTS: usize = 100_000;
/// How long filling up may take.
const FILL_LIMIT: Duration = Duration::from_secs(120);
/// How many messages are acknowledged just before the kill, and must be there after it.
const LAST_WORDS: usize = 20;
const ONE_SECOND: Duration = Duration::from_secs(1);

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    if bench.server.is_none() {
        return Ok(only_with_own_server());
    }
    let pairs = pairs(bench).await?;
    let wanted = bench.settings.count(EVENTS, 3000) as u64;
    let mut finding = Finding::default();
    fill(bench, std::slice::from_ref(&*pairs), wanted, FILL_LIMIT, &mut finding).await?;

    let user = &pairs.users[0];
    let since = position(&mut user.client()).await?;
    let mut sender = user.client();
    let mut last_words = Vec::new();
    let name = bench.new_name();
    for number in 0..LAST_WORDS {
        let txn_id = format!("{name}-{number}");
        last_words
            .push(send_text(&mut sender, &pairs.rooms[0].id, &txn_id, "And then the lights went out").await?);
    }
    let Some(server) = bench.server.as_mut() else {
        return Err(BenchError::Other("the server is gone".to_owned()));
    };
    let started = Instant::now();
    let up = server.kill_and_restart().await?;
    let killing = started.elapsed().saturating_sub(up);
    let mut client = user.client();
    let path = format!("/_matrix/client/v3/sync?timeout=0&since={}", encode(&since));
    let body = client.get(&path).await.during("sync")?;
    let synced = started.elapsed().saturating_sub(killing);
    let outline: Outline = serde_json::from_slice(&body).during("sync")?;

    let mut gone = 0;
    for event_id in &last_words {
        let path =
            format!("/_matrix/client/v3/rooms/{}/event/{}", encode(&pairs.rooms[0].id), encode(event_id));
        if let Err(error) = client.get(&path).await {
            bench.errors.note("event after the kill", &error);
            gone += 1;
        }
    }
    finding.rows = vec![
        Row::new("start to the first answer").figure(seconds(up)).target("< 1 s", up < ONE_SECOND),
        Row::new("start to an existing user's sync")
            .figure(seconds(synced))
            .target("< 1 s", synced < ONE_SECOND),
        Row::new("acknowledged just before the kill, gone after it")
            .figure(format!("{gone} of {LAST_WORDS}"))
            .target("0", gone == 0)
            .always(),
    ];
    finding.lost += gone;
    finding.use_of(bench.usage());
    finding.describe(format!(
        "The server is killed (SIGKILL) with {} messages stored besides rooms and memberships, and started \
         again on the same data; timed from the start of the process. The sync goes on from a token of \
         before, and spoke of {} rooms. Processor time is that of the new process so far.",
        grouped(bench.stored),
        outline.rooms.join.len(),
    ));
    Ok(finding)
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}
