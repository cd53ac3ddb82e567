//! What was committed since the start, as numbers for operators.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    CommitError, Histogram, HistogramReading,
    catalogue::{self, TableInfo},
    group_commit::AppliedChange,
    waiting::WaitingCommits,
};

/// Bounds of how many write-sets share a disk sync.
const GROUP_SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];
/// Bounds of how long a group takes to be on disk, in microseconds.
const DURATIONS_US: &[u64] = &[250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000];

/// Counts mostly on the thread that commits; others read.
#[derive(Debug)]
pub(crate) struct CommitCounts {
    group_sizes: Histogram,
    durations_us: Histogram,
    waits_us: Histogram,
    refused_busy: AtomicU64,
    refused_full: AtomicU64,
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
    /// How long write-sets took from when they were queued until they were on disk, in microseconds.
    pub waits_us: HistogramReading,
    /// How many write-sets were refused because too much waited.
    pub refused_busy: u64,
    /// How many write-sets were refused because the disk was nearly full.
    pub refused_full: u64,
    /// How many write-sets wait for their group now.
    pub waiting: usize,
    /// The bytes of their keys and values.
    pub waiting_bytes: usize,
    /// How many rows were put into each table, in the order of the catalogue.
    pub rows_put: Vec<(&'static str, u64)>,
}

impl Default for CommitCounts {
    fn default() -> Self {
        Self {
            group_sizes: Histogram::new(GROUP_SIZES),
            durations_us: Histogram::new(DURATIONS_US),
            waits_us: Histogram::new(DURATIONS_US),
            refused_busy: AtomicU64::new(0),
            refused_full: AtomicU64::new(0),
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

    /// Counts a write-set that took so long from when it was queued until it was on disk.
    pub(crate) fn note_wait(&self, took: Duration) {
        self.waits_us.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts a write-set that was refused.
    pub(crate) fn note_refused(&self, why: &CommitError) {
        match why {
            CommitError::Busy => self.refused_busy.fetch_add(1, Ordering::Relaxed),
            CommitError::Full => self.refused_full.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// What was counted so far, while this waits.
    pub(crate) fn read(&self, waiting: WaitingCommits) -> CommitStats {
        let put =
            |table: &TableInfo| (table.name, self.rows_put[usize::from(table.id.0)].load(Ordering::Relaxed));
        CommitStats {
            group_sizes: self.group_sizes.read(),
            durations_us: self.durations_us.read(),
            waits_us: self.waits_us.read(),
            refused_busy: self.refused_busy.load(Ordering::Relaxed),
            refused_full: self.refused_full.load(Ordering::Relaxed),
            waiting: waiting.count,
            waiting_bytes: waiting.bytes,
            rows_put: catalogue::TABLES.iter().map(put).collect(),
        }
    }
}
