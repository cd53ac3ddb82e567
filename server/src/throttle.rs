//! How fast the server does what it does for those whom it refuses. Each time costs little, but not nothing: thousands of
//! connections that ask again at once, whatever they are told, would have the processors do nothing else. So beyond some
//! in a second, each further time takes a while. Whoever waits as long as a refusal asks for does not notice.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long each further time takes. It is the shortest time for which a refusal asks.
const PAUSE: Duration = Duration::from_secs(1);
/// In this time it is counted how often something is done.
const SECOND: Duration = Duration::from_secs(1);

/// Counts how often something was done lately.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// How often it is done in a second without a pause.
    at_once: u32,
    counted: Mutex<(Instant, u32)>,
}

impl Throttle {
    fn new(at_once: u32) -> Self {
        Self { at_once, counted: Mutex::new((Instant::now(), 0)) }
    }

    /// Counts one time, and waits as long as it has to take.
    pub(crate) async fn wait(&self) {
        let pause = self.pause(Instant::now());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    fn pause(&self, now: Instant) -> Duration {
        let (since, times) = &mut *self.counted.lock();
        if now.saturating_duration_since(*since) >= SECOND {
            (*since, *times) = (now, 0);
        }
        *times = times.saturating_add(1);
        if *times > self.at_once { PAUSE } else { Duration::ZERO }
    }
}

/// What is throttled, on all connections together.
#[derive(Debug)]
pub(crate) struct Throttles {
    /// Answers that somebody asks for too much, and those that leave most of a body unread, which end the connection. With as
    /// many as are told at once they take less than a hundredth of a processor.
    pub(crate) refusals: Throttle,
    /// Pieces of 64 KiB that are read of such bodies only to be thrown away, which take some hundredths of a processor.
    pub(crate) unread_pieces: Throttle,
}

impl Default for Throttles {
    fn default() -> Self {
        Self { refusals: Throttle::new(100), unread_pieces: Throttle::new(1024) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_times_take_a_while_and_some_do_not() {
        let throttle = Throttle::new(3);
        let start = Instant::now();
        let pauses: Vec<_> = (0..5).map(|_| throttle.pause(start)).collect();
        assert!(pauses[..3].iter().all(Duration::is_zero));
        assert_eq!(pauses[3..], [PAUSE, PAUSE]);
        assert_eq!(throttle.pause(start + SECOND), Duration::ZERO);
    }
}
