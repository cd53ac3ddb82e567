//! How fast it is said that somebody asks for too much. Saying so is cheap, but not for nothing: thousands of connections
//! that ask again at once, whatever they are told, would have the processors do nothing else. So when many are refused,
//! further refusals take a while. Whoever waits as long as a refusal asks for does not notice.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many refusals are told at once in a second. With as many as this, they take less than a hundredth of a processor.
const AT_ONCE: u32 = 100;
/// How long each further one takes. It is the shortest time for which a refusal asks.
const PAUSE: Duration = Duration::from_secs(1);
/// In this time refusals are counted.
const SECOND: Duration = Duration::from_secs(1);

/// Counts the refusals of a server, lately.
#[derive(Debug)]
pub(crate) struct RefusalPace(Mutex<(Instant, u32)>);

impl Default for RefusalPace {
    fn default() -> Self {
        Self(Mutex::new((Instant::now(), 0)))
    }
}

impl RefusalPace {
    /// Counts a refusal, and says how long it is to take.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        let (since, told) = &mut *self.0.lock();
        if now.saturating_duration_since(*since) >= SECOND {
            (*since, *told) = (now, 0);
        }
        *told = told.saturating_add(1);
        if *told > AT_ONCE { PAUSE } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_take_a_while_and_some_do_not() {
        let pace = RefusalPace::default();
        let start = Instant::now();
        let pauses: Vec<_> = (0..AT_ONCE + 2).map(|_| pace.pause(start)).collect();
        assert!(pauses[..AT_ONCE as usize].iter().all(Duration::is_zero));
        assert_eq!(pauses[AT_ONCE as usize..], [PAUSE, PAUSE]);
        assert_eq!(pace.pause(start + SECOND), Duration::ZERO);
    }
}
