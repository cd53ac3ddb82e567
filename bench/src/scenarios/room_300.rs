//! A room that 300 people of all platforms enter at once: what making it and joining it takes.

use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::JOIN_WIDTH;
use crate::{
    report::{Finding, Row},
    setup::{Bench, BenchError, create_room, join_room},
};

/// How many rooms are made, one after the other.
const ROOMS: usize = 3;
/// How long the slowest of them may take, in seconds.
const TARGET_SECONDS: f64 = 3.0;

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let count = bench.settings.count(300, 20);
    let users = bench.users(count).await?;
    let body = json!({"preset": "public_chat", "name": "Opening night"});
    let via = &users[0].platform.server_name;
    let mut took = Vec::new();
    let before = bench.usage();
    for _ in 0..ROOMS {
        let started = Instant::now();
        let id = create_room(&mut users[0].client(), &body).await?;
        stream::iter(&users[1..])
            .map(async |user| join_room(&mut user.client(), &id, via).await)
            .buffer_unordered(JOIN_WIDTH)
            .try_collect::<Vec<()>>()
            .await?;
        took.push(started.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    let slowest = took[ROOMS - 1];
    let mut finding = Finding {
        rows: vec![
            Row::new("from createRoom to the last join's answer, slowest")
                .figure(format!("{slowest:.2} s"))
                .target("< 3 s", slowest < TARGET_SECONDS),
            Row::new("the same, median").figure(format!("{:.2} s", took[ROOMS / 2])),
        ],
        ..Finding::default()
    };
    finding.use_since(before, bench.usage());
    finding.describe(format!(
        "{ROOMS} public rooms, one after the other, each joined by its id by {} others, {JOIN_WIDTH} at a \
         time and each over a new connection; the platforms take turns. Nobody polls.",
        count - 1,
    ));
    Ok(finding)
}
