//! Numbers that are counted while work goes on and read now and then: how many there were up to each of some bounds.
//!
//! Counting is two additions to memory and takes no lock. What is read while others count may be one ahead in one place
//! and not in another, which does no harm.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often values up to each of some bounds were seen.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// By bound; the last is for what is greater than all.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a [`Histogram`] has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramReading {
    /// The bounds, rising.
    pub bounds: &'static [u64],
    /// How many values were at most the bound in the same place, and greater than the one before. The last, which has
    /// no bound, counts what is greater than all.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: u64,
}

impl Histogram {
    /// Nothing counted yet. The bounds rise.
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn note(&self, value: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> HistogramReading {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        HistogramReading { bounds: self.bounds, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_at_the_first_bound_that_holds_them() {
        let histogram = Histogram::new(&[1, 10]);
        [0, 1, 2, 10, 11].into_iter().for_each(|value| histogram.note(value));
        let expected = HistogramReading { bounds: &[1, 10], counts: vec![2, 2, 1], sum: 24 };
        assert_eq!(histogram.read(), expected);
    }
}
