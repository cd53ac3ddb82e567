//! What was committed since the start, as numbers for operators.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    Histogram, HistogramReading,
    catalogue::{self, TableInfo},
    group_commit::AppliedChange,
};

/// Bounds of how many write-sets share a disk sync.
const GROUP_SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];
/// Bounds of how long a group takes to be on disk, in microseconds.
const DURATIONS_US: &[u64] = &[250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000];

/// Counts on the thread that commits; others read.
#[derive(Debug)]
pub(crate) struct CommitCounts {
    group_sizes: Histogram,
    durations_us: Histogram,
    /// By table number.
    rows_put: Box<[AtomicU64]>,
}

/// What was committed since the start.
#[derive(Clone, Debug)]
pub struct CommitStats {
    /// How many write-sets each group had that went to disk together. The sum is the number of commits.
    pub group_sizes: HistogramReading,
    /// How long groups took to be on disk, in microseconds.
    pub durations_us: HistogramReading,
    /// How many write-sets wait for their group now.
    pub waiting: usize,
    /// How many rows were put into each table, in the order of the catalogue.
    pub rows_put: Vec<(&'static str, u64)>,
}

impl Default for CommitCounts {
    fn default() -> Self {
        Self {
            group_sizes: Histogram::new(GROUP_SIZES),
            durations_us: Histogram::new(DURATIONS_US),
            rows_put: (0..=usize::from(u8::MAX)).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl CommitCounts {
    /// Counts the rows of a group that is about to be written.
    pub(crate) fn note_rows(&self, changes: &[AppliedChange]) {
        for change in changes.iter().filter(|change| change.value.is_some()) {
            self.rows_put[usize::from(change.table.0)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a group of so many write-sets that is on disk.
    pub(crate) fn note_group(&self, write_sets: u64, took: Duration) {
        self.group_sizes.note(write_sets);
        self.durations_us.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// What was counted so far, while so many write-sets wait.
    pub(crate) fn read(&self, waiting: usize) -> CommitStats {
        let put =
            |table: &TableInfo| (table.name, self.rows_put[usize::from(table.id.0)].load(Ordering::Relaxed));
        CommitStats {
            group_sizes: self.group_sizes.read(),
            durations_us: self.durations_us.read(),
            waiting,
            rows_put: catalogue::TABLES.iter().map(put).collect(),
        }
    }
}
