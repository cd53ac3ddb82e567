//! Leaving a hook alone that has failed several times in a row.

use std::time::{Duration, Instant};

/// After so many failures in a row a hook is left alone.
const MAX_FAILURES: u32 = 5;
/// How long it is left alone.
pub const PAUSE: Duration = Duration::from_secs(10);

/// How a hook has done lately.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    paused_until: Option<Instant>,
}

impl Breaker {
    /// Whether the hook may be asked. After a pause one question is let through; the others wait for how it ends.
    pub(crate) fn lets_through(&mut self, now: Instant) -> bool {
        match self.paused_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.paused_until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    /// Notes an answer.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes a failure. True: the hook is left alone from now on.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let pauses = self.failures >= MAX_FAILURES;
        if pauses {
            self.paused_until = Some(now + PAUSE);
        }
        pauses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_again_and_again_is_left_alone_for_a_while() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let failures: Vec<_> = (0..MAX_FAILURES).map(|_| breaker.failed(start)).collect();
        assert_eq!(failures, [false, false, false, false, true]);
        assert!(!breaker.lets_through(start + PAUSE - Duration::from_millis(1)));
        let later = start + PAUSE;
        assert_eq!(
            [breaker.lets_through(later), breaker.lets_through(later)],
            [true, false],
            "one tries it out"
        );
        assert!(breaker.failed(later), "one more failure is enough then");
        assert!(!breaker.lets_through(later + PAUSE / 2) && breaker.lets_through(later + PAUSE));
        breaker.succeeded();
        assert!(breaker.lets_through(later) && breaker.lets_through(later));
        assert!(!breaker.failed(later), "it is counted anew");
    }
}
