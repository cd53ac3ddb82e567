//! What a sync costs when nothing is new, for someone in one room and someone in very many.

use std::time::Instant;

use serde_json::json;

use crate::{
    client::{Client, encode},
    load::percentile,
    report::{Finding, Row, grouped},
    setup::{Bench, BenchError, During, Outline, SETUP_WIDTH, create_room, position, spread},
};

/// How many calls come before the first that is measured.
const WARM_UP: usize = 50;

struct Subject {
    client: Client,
    since: String,
    samples_us: Vec<u32>,
    not_empty: u64,
}

impl Subject {
    async fn sync(&mut self, record: bool) -> Result<(), BenchError> {
        let path = format!("/_matrix/client/v3/sync?timeout=0&since={}", encode(&self.since));
        let started = Instant::now();
        let body = self.client.get(&path).await.during("sync")?;
        let took = started.elapsed();
        let outline: Outline = serde_json::from_slice(&body).during("sync")?;
        if record {
            self.samples_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
            self.not_empty += u64::from(!outline.rooms.join.is_empty());
        }
        self.since = outline.next_batch;
        Ok(())
    }
}

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let many = bench.settings.count(1000, 50);
    let repetitions = bench.settings.count(2000, 100);
    let mut subjects = Vec::new();
    for rooms in [1, many] {
        let user = bench.fresh_user(0).await?;
        spread(&user, SETUP_WIDTH, (0..rooms).collect(), async |client, _| {
            create_room(client, &json!({"preset": "private_chat"})).await
        })
        .await?;
        let mut client = user.client();
        let since = position(&mut client).await?;
        subjects.push(Subject { client, since, samples_us: Vec::new(), not_empty: 0 });
    }
    let before = bench.usage();
    for repetition in 0..WARM_UP + repetitions {
        // The two take turns in going first, so that other things on the machine affect both alike.
        let first = repetition % 2;
        for index in [first, 1 - first] {
            subjects[index].sync(repetition >= WARM_UP).await?;
        }
    }
    let medians: Vec<u32> = subjects
        .iter_mut()
        .map(|subject| {
            subject.samples_us.sort_unstable();
            percentile(&subject.samples_us, 0.5)
        })
        .collect();
    let ratio = f64::from(medians[1]) / f64::from(medians[0].max(1));
    let p99 = subjects.iter().map(|subject| percentile(&subject.samples_us, 0.99)).collect::<Vec<_>>();
    let mut finding = Finding {
        rows: vec![
            Row::new(&format!("{} rooms against 1 room, ratio of medians", grouped(many as u64)))
                .figure(format!("{ratio:.2}"))
                .target("≤ 1.2", ratio <= 1.2),
            Row::new("1 room, median / p99").figure(format!("{} / {} µs", medians[0], p99[0])),
            Row::new(&format!("{} rooms, median / p99", grouped(many as u64)))
                .figure(format!("{} / {} µs", medians[1], p99[1])),
        ],
        ..Finding::default()
    };
    finding.use_since(before, bench.usage());
    finding.describe(format!(
        "Incremental /sync with timeout=0 and nothing new, {} times for each of two users in turn, one \
         connection each; {} responses were not empty.",
        grouped(repetitions as u64),
        subjects.iter().map(|subject| subject.not_empty).sum::<u64>(),
    ));
    Ok(finding)
}
