//! How syncs go slower, and say more at a time, while much is committed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The number of commits at once from which on the server counts as busy. More are on their way then that
/// concern the same people.
const BUSY_COMMITS: usize = 4;
/// How long the server counts as busy after such a moment.
const BUSY_FOR: Duration = Duration::from_millis(20);
/// How long a sync then lets news gather before it looks: an answer with several events costs as much as one with one.
const GATHER: Duration = Duration::from_millis(5);

/// Whether the server is busy.
#[derive(Debug)]
pub(crate) struct Pace {
    started: Instant,
    /// The end of being busy, in microseconds since `started`.
    busy_until: AtomicU64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), busy_until: AtomicU64::new(0) }
    }

    /// Notes that this many commits came at once.
    pub(crate) fn hear(&self, commits: usize) {
        self.hear_at(self.started.elapsed(), commits);
    }

    fn hear_at(&self, now: Duration, commits: usize) {
        if commits >= BUSY_COMMITS {
            self.busy_until.store((now + BUSY_FOR).as_micros() as u64, Ordering::Relaxed);
        }
    }

    fn is_busy_at(&self, now: Duration) -> bool {
        (now.as_micros() as u64) < self.busy_until.load(Ordering::Relaxed)
    }

    /// Returns at once, or, while the server is busy, after some milliseconds.
    pub(crate) async fn gather(&self) {
        if self.is_busy_at(self.started.elapsed()) {
            tokio::time::sleep(GATHER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_busy_for_a_while_after_many_commits_at_once() {
        let pace = Pace::new();
        let ms = Duration::from_millis;
        pace.hear_at(ms(1), BUSY_COMMITS - 1);
        assert!(!pace.is_busy_at(ms(1)));
        pace.hear_at(ms(2), BUSY_COMMITS);
        pace.hear_at(ms(3), 1);
        assert!(pace.is_busy_at(ms(21)));
        assert!(!pace.is_busy_at(ms(22)));
    }
}
