//! A steady load for a long time, which shows whether the server's memory stops growing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{ack_row, finding_of, pairs};
use crate::{
    load::{Pace, Plan, exchange, percentile},
    report::{Finding, Row, grouped, ms},
    server::usage,
    setup::{Bench, BenchError},
};

/// How many messages are sent per second over all rooms.
const RATE: f64 = 1000.0;
const LENGTH: Duration = Duration::from_secs(600);
const QUICK_LENGTH: Duration = Duration::from_secs(4);
/// The time between two readings of the memory.
const STEP: Duration = Duration::from_secs(1);
/// How much memory may be gained in a minute. Tables fill and are written all the time, so memory is never
/// still, and less than this is no growth.
const TARGET_MIB_PER_MINUTE: f64 = 1.0;
const MIB: f64 = (1024 * 1024) as f64;

/// The minutes since the start, and the resident memory in MiB.
type Reading = (f64, f64);

pub(super) async fn run(bench: &mut Bench) -> Result<Finding, BenchError> {
    let pairs = pairs(bench).await?;
    let length = if bench.settings.quick { QUICK_LENGTH } else { LENGTH };
    let plan = Plan { pace: Pace::Rate(RATE), length, gap_closers: usize::MAX };
    let readings = Arc::new(Mutex::new(Vec::new()));
    let reader = tokio::spawn(read_memory(bench.pid(), readings.clone()));
    let outcome = exchange(bench, &pairs, &plan).await;
    reader.abort();
    let outcome = outcome?;

    let until = length.as_secs_f64() / 60.0;
    let readings: Vec<Reading> = readings.lock().iter().copied().filter(|(at, _)| *at <= until).collect();
    let second_half = &readings[readings.len() / 2..];
    let grows = slope(second_half);
    let kept_up = outcome.acked == outcome.due;
    let mib = |reading: Option<&Reading>| {
        reading.map_or_else(|| "not known".to_owned(), |(_, mib)| format!("{mib:.0} MiB"))
    };
    let mut rows = vec![
        match grows {
            Some(grows) => Row::new("memory gained in a minute of the second half")
                .figure(format!("{grows:.2} MiB"))
                .target("< 1 MiB", kept_up && grows < TARGET_MIB_PER_MINUTE),
            None => Row::new("memory").figure("not known (--pid is missing)".to_owned()),
        },
        Row::new("memory at the start / half-way / at the end").figure(format!(
            "{} / {} / {}",
            mib(readings.first()),
            mib(second_half.first()),
            mib(readings.last())
        )),
        Row::new("acknowledged, of messages due").figure(format!(
            "{} of {}",
            grouped(outcome.acked),
            grouped(outcome.due)
        )),
        Row::new("send to arrival, p50 / p99").figure(format!(
            "{} / {}",
            ms(percentile(&outcome.latency_us, 0.5)),
            ms(percentile(&outcome.latency_us, 0.99))
        )),
    ];
    rows.push(ack_row(&outcome));
    let mut finding = finding_of(&outcome, rows);
    finding.describe(format!(
        "The rooms of one-to-one at {} messages per second in total for {} s, everybody long-polling. \
         Resident memory is read once a second; what it gains in a minute is the slope of the line through the \
         readings of the second half (least squares).",
        grouped(RATE as u64),
        length.as_secs(),
    ));
    Ok(finding)
}

async fn read_memory(pid: Option<u32>, readings: Arc<Mutex<Vec<Reading>>>) {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(STEP);
    while let Some(usage) = pid.and_then(usage) {
        ticks.tick().await;
        readings.lock().push((started.elapsed().as_secs_f64() / 60.0, usage.rss_bytes as f64 / MIB));
    }
}

/// The slope of the line with the least squares of distances. None for fewer than two readings.
fn slope(readings: &[Reading]) -> Option<f64> {
    let count = readings.len() as f64;
    let mean_x = readings.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = readings.iter().map(|(_, y)| y).sum::<f64>() / count;
    let across = readings.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
    let along = readings.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    (along > 0.0).then(|| across / along)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_needs_two_readings_and_ignores_where_they_lie() {
        assert_eq!(slope(&[]), None);
        assert_eq!(slope(&[(1.0, 5.0)]), None);
        assert_eq!(slope(&[(4.0, 100.0), (5.0, 103.0), (6.0, 106.0)]), Some(3.0));
        assert_eq!(slope(&[(4.0, 100.0), (5.0, 90.0), (6.0, 100.0)]), Some(0.0));
    }
}
