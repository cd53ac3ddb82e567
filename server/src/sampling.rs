//! Measures every few seconds how each platform is used and how the server is, so that the operators of a platform see its
//! last hour. It is made from what is counted anyway, for the metrics.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use linkspan_operators::{Condition, Latency, SAMPLED_EVERY, Sample};
use linkspan_platforms::Platform;
use linkspan_storage::{HistogramReading, Store};
use linkspan_wire::{App, now_ts};

use crate::{
    health::Health,
    metrics::{Requests, disk_space, resident_bytes},
};

/// Microseconds of a millisecond.
const US_OF_MS: f32 = 1_000.0;

/// What samples are made from.
pub(crate) struct Sampler {
    pub(crate) app: App,
    pub(crate) store: Store,
    pub(crate) requests: Arc<Requests>,
    pub(crate) health: Health,
    /// When the program has started.
    pub(crate) started: SystemTime,
    /// The data folder.
    pub(crate) data: PathBuf,
}

/// What was counted of a platform until some moment.
struct Reading {
    messages: u64,
    requests: u64,
    sends_us: HistogramReading,
    syncs_us: HistogramReading,
}

impl Sampler {
    /// Takes a sample of every platform again and again, for ever.
    pub(crate) async fn run(self) {
        let mut before = self.read_all();
        let mut read = Instant::now();
        self.note_condition(disk_space(&self.data).map(|(_, all)| all));
        loop {
            tokio::time::sleep(SAMPLED_EVERY).await;
            let now = self.read_all();
            let passed = read.elapsed();
            read = Instant::now();
            let disk = disk_space(&self.data);
            self.note_condition(disk.map(|(_, all)| all));
            let shared = Sample {
                ts: now_ts(),
                memory_bytes: resident_bytes(),
                disk_free_bytes: disk.map(|(free, _)| free),
                ..Sample::default()
            };
            for ((platform, before), now) in self.app.platforms.iter().zip(&before).zip(&now) {
                let sample = now.since(before, passed);
                let sample = Sample {
                    ts: shared.ts,
                    syncs_waiting: small(platform.counts.syncs_waiting.read()),
                    commits_waiting: small(self.store.waiting_of(platform.server_name()).count),
                    memory_bytes: shared.memory_bytes,
                    disk_free_bytes: shared.disk_free_bytes,
                    ..sample
                };
                self.app.operators.watched().note(platform.server_name(), sample);
            }
            before = now;
        }
    }

    fn read_all(&self) -> Vec<Reading> {
        self.app.platforms.iter().map(|platform| self.read(&platform)).collect()
    }

    fn read(&self, platform: &Platform) -> Reading {
        Reading {
            messages: platform.counts.messages.read(),
            requests: self.requests.ended_of(platform),
            sends_us: self.requests.sends_us(platform),
            syncs_us: platform.counts.syncs_us.read(),
        }
    }

    fn note_condition(&self, disk_bytes: Option<u64>) {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.app.operators.watched().note_condition(Condition {
            ts: now_ts(),
            started_ts: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
            live: self.health.is_live(),
            ready: self.health.is_ready(),
            reasons: self.health.short_reasons(),
            disk_bytes,
        });
    }
}

impl Reading {
    /// What was counted after the reading before.
    fn since(&self, before: &Self, passed: Duration) -> Sample {
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f32 / passed.as_secs_f32();
        Sample {
            messages_per_second: rate(self.messages, before.messages),
            requests_per_second: rate(self.requests, before.requests),
            send: latency(&self.sends_us, &before.sends_us),
            sync: latency(&self.syncs_us, &before.syncs_us),
            ..Sample::default()
        }
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// How long it took of what was counted between two readings.
fn latency(now: &HistogramReading, before: &HistogramReading) -> Option<Latency> {
    let counts: Vec<u64> =
        now.counts.iter().zip(&before.counts).map(|(now, before)| now.saturating_sub(*before)).collect();
    let all: u64 = counts.iter().sum();
    let at = |part: f32| quantile_us(now.bounds, &counts, all, part) / US_OF_MS;
    (all > 0).then(|| Latency { p50_ms: at(0.5), p99_ms: at(0.99) })
}

/// The value that so great a part of all values is at most. Between two bounds values count as evenly spread; what is
/// greater than all bounds counts as the last one.
fn quantile_us(bounds: &[u64], counts: &[u64], all: u64, part: f32) -> f32 {
    let wanted = all as f32 * part;
    let mut below = 0.0;
    let mut lower = 0.0;
    for (&bound, &count) in bounds.iter().zip(counts) {
        let (upper, count) = (bound as f32, count as f32);
        if count > 0.0 && below + count >= wanted {
            return lower + (upper - lower) * ((wanted - below) / count).clamp(0.0, 1.0);
        }
        (below, lower) = (below + count, upper);
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(counts: [u64; 4]) -> HistogramReading {
        HistogramReading { bounds: &[1_000, 2_000, 10_000], counts: counts.to_vec(), sum: 0 }
    }

    #[test]
    fn latencies_are_of_what_came_since() {
        let before = reading([10, 0, 0, 5]);
        assert_eq!(latency(&before, &before), None);
        let now = reading([10, 100, 0, 5]);
        assert_eq!(latency(&now, &before), Some(Latency { p50_ms: 1.5, p99_ms: 1.99 }));
        let slow = reading([10, 0, 0, 6]);
        assert_eq!(latency(&slow, &before), Some(Latency { p50_ms: 10.0, p99_ms: 10.0 }));
    }

    #[test]
    fn rates_are_by_the_second() {
        let reading = |messages| Reading {
            messages,
            requests: 2 * messages,
            sends_us: reading([0; 4]),
            syncs_us: reading([0; 4]),
        };
        let sample = reading(30).since(&reading(10), Duration::from_secs(5));
        assert_eq!((sample.messages_per_second, sample.requests_per_second), (4.0, 8.0));
    }
}
