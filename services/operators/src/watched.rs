//! What a server that runs tells the operators of its platforms about itself: how it is, and how each platform was used in
//! the last hour. It is in memory only. Who measures is the server; each platform's operators get their platform's part.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};

/// How often a sample is taken.
pub const SAMPLED_EVERY: Duration = Duration::from_secs(5);
/// How many samples of a platform are kept: those of an hour.
const KEPT: usize = 720;

/// How long something took in the time of a sample, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// Half took at most this long.
    pub p50_ms: f32,
    /// 99 of 100 took at most this long.
    pub p99_ms: f32,
}

/// How a platform was used since the sample before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// When it was taken, in milliseconds since the Unix epoch.
    pub ts: u64,
    /// Messages that the platform's people have sent, a second.
    pub messages_per_second: f32,
    /// Requests that were answered, a second.
    pub requests_per_second: f32,
    /// Clients that wait for news.
    pub syncs_waiting: u32,
    /// From a request to send until its answer. None if nothing was sent.
    pub send: Option<Latency>,
    /// The work for a sync, without waiting for news. None if there was no sync.
    pub sync: Option<Latency>,
    /// Writes of the platform's people that wait for the disk.
    pub commits_waiting: u32,
    /// Memory of the process, which all platforms share, in bytes.
    pub memory_bytes: Option<u64>,
    /// Free space of the disk, which all platforms share, in bytes.
    pub disk_free_bytes: Option<u64>,
}

/// How the server is. It is the same for all platforms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// When it was found, in milliseconds since the Unix epoch.
    pub ts: u64,
    /// When the server began, in milliseconds since the Unix epoch.
    pub started_ts: u64,
    /// Whether the process can do its work without being started again.
    pub live: bool,
    /// Whether it should be sent requests.
    pub ready: bool,
    /// What is wrong, by short names.
    pub reasons: Vec<&'static str>,
    /// The size of the disk, in bytes.
    pub disk_bytes: Option<u64>,
}

/// What was measured. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    samples: Arc<Mutex<HashMap<OwnedServerName, VecDeque<Sample>>>>,
    condition: Arc<Mutex<Option<Condition>>>,
}

impl Watched {
    /// Keeps a sample of a platform. The oldest makes place for it.
    pub fn note(&self, platform: &OwnedServerName, sample: Sample) {
        let mut all = self.samples.lock();
        let samples = all.entry(platform.clone()).or_default();
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// The samples of a platform that were taken after a time, oldest first.
    pub fn samples(&self, platform: &ServerName, after_ts: u64) -> Vec<Sample> {
        let all = self.samples.lock();
        let samples = all.get(platform).into_iter().flatten();
        samples.filter(|sample| sample.ts > after_ts).copied().collect()
    }

    /// Notes how the server is.
    pub fn note_condition(&self, condition: Condition) {
        *self.condition.lock() = Some(condition);
    }

    /// How the server was when it was looked at last. None before the first look.
    pub fn condition(&self) -> Option<Condition> {
        self.condition.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_server_name;

    use super::*;

    #[test]
    fn the_samples_of_an_hour_are_kept_for_each_platform() {
        let watched = Watched::default();
        let (one, two) = (owned_server_name!("one.example"), owned_server_name!("two.example"));
        for ts in 1..=KEPT as u64 + 2 {
            watched.note(&one, Sample { ts, ..Sample::default() });
        }
        let times =
            |after_ts| watched.samples(&one, after_ts).iter().map(|sample| sample.ts).collect::<Vec<_>>();
        assert_eq!((times(0).len(), times(0)[0]), (KEPT, 3));
        assert_eq!(times(KEPT as u64), [721, 722]);
        assert!(watched.samples(&two, 0).is_empty());
    }
}
