//! What is counted of a platform since the start, for operators. Who counts knows what it means; nothing is decided by it.
//!
//! Each platform has numbers of its own, so that the requests of one do not slow down those of another. Counting is an
//! addition to memory and takes no lock.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use linkspan_storage::Histogram;

/// Bounds of how long the server works for a sync, in microseconds. Most take less than a millisecond; the first of an
/// account with many chats may take seconds.
const SYNCS_US: &[u64] = &[250, 1_000, 5_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn note(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many of something there are now.
#[derive(Debug, Default)]
pub struct Present(Arc<AtomicUsize>);

impl Present {
    /// Counts one until what this returns is dropped.
    pub fn begin(&self) -> PresentOne {
        self.0.fetch_add(1, Ordering::Relaxed);
        PresentOne(self.0.clone())
    }

    /// How many there are.
    pub fn read(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of what [`Present`] counts.
#[derive(Debug)]
pub struct PresentOne(Arc<AtomicUsize>);

impl Drop for PresentOne {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What became of things that were sent to the outside.
#[derive(Debug, Default)]
pub struct Sent {
    /// Those that were taken.
    pub sent: Counter,
    /// Those that failed.
    pub failed: Counter,
}

/// What is counted of one platform.
#[derive(Debug)]
pub struct PlatformCounts {
    /// Messages of its people, encrypted ones among them.
    pub messages: Counter,
    /// State events of its people.
    pub state_events: Counter,
    /// Redactions of its people.
    pub redactions: Counter,
    /// All other events of its people, such as reactions.
    pub other_events: Counter,
    /// Rooms that its people have created.
    pub rooms_created: Counter,
    /// Its syncs that wait for news.
    pub syncs_waiting: Present,
    /// How long the server has worked for each of its syncs, without waiting for news, in microseconds.
    pub syncs_us: Histogram,
    /// Requests to push gateways and push services for its people.
    pub pushes: Sent,
    /// Those of them that were answered by a refusal, of the message or of the pusher.
    pub pushes_refused: Counter,
    /// Pushers of its people that have something to be told.
    pub push_queues: Present,
    /// Mails to its people.
    pub mails: Sent,
    /// SMS to its people.
    pub sms: Sent,
}

impl PlatformCounts {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            messages: Counter::default(),
            state_events: Counter::default(),
            redactions: Counter::default(),
            other_events: Counter::default(),
            rooms_created: Counter::default(),
            syncs_waiting: Present::default(),
            syncs_us: Histogram::new(SYNCS_US),
            pushes: Sent::default(),
            pushes_refused: Counter::default(),
            push_queues: Present::default(),
            mails: Sent::default(),
            sms: Sent::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_present_is_counted_until_it_is_gone() {
        let present = Present::default();
        let (one, other) = (present.begin(), present.begin());
        assert_eq!(present.read(), 2);
        drop(one);
        assert_eq!(present.read(), 1);
        drop(other);
        assert_eq!(present.read(), 0);
    }
}
