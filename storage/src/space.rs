//! How much room the disk has left, and what stops first when that runs short.
//!
//! A write that meets a full disk fails half done. Then nobody knows what of it is on the disk, and the store has to be
//! opened anew. So a part of the file system is kept in reserve: once the free space reaches into it, writes are refused
//! as a whole before they begin, and go on by themselves when there is room again. What uses most stops first, and what
//! frees room or protects people stops last.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::engine::RawWriteSet;

const MIB: u64 = 1 << 20;

/// How long a measurement holds. A disk that takes a gigabyte a second loses a half of the smallest reserve meanwhile,
/// and asking takes some microseconds.
const MEASURED_EVERY: Duration = Duration::from_millis(250);

/// The reserve if nothing else is asked for, in hundredths of the file system.
const RESERVE_PERCENT: u64 = 2;
/// The least that this is, in bytes: in a quarter of it the engine writes out what is in its journals.
const LEAST_RESERVE_BYTES: u64 = 512 * MIB;
/// The most that this is, in bytes. The engine never needs more at a time, however large the disk is.
const MOST_RESERVE_BYTES: u64 = 8 << 30;
/// No more than this part of a file system is kept, which matters for very small ones.
const SMALL_PART: u64 = 4;

/// What has to stop because room runs short. Whoever stops at a value stops at all greater ones, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    /// Nothing: there is more free space than the reserve.
    Nothing,
    /// Uploads: the reserve is reached.
    Uploads,
    /// Writes that neither free room nor protect anybody: half of the reserve is left.
    Writes,
    /// All writes: a quarter of the reserve is left, which the engine needs itself.
    Everything,
}

impl Shortage {
    /// With so much free space out of a reserve of so much, in bytes.
    fn of(free_bytes: u64, reserve_bytes: u64) -> Self {
        if free_bytes >= reserve_bytes {
            Self::Nothing
        } else if free_bytes >= reserve_bytes / 2 {
            Self::Uploads
        } else if free_bytes >= reserve_bytes / 4 {
            Self::Writes
        } else {
            Self::Everything
        }
    }

    /// Whether a write-set can be taken. One that writes nothing always can.
    pub(crate) fn allows(self, writes: &RawWriteSet) -> bool {
        match self {
            Self::Nothing | Self::Uploads => true,
            Self::Writes => writes.uses_reserve || writes.changes.iter().all(|change| change.value.is_none()),
            Self::Everything => writes.changes.is_empty(),
        }
    }
}

/// The free space of the file system that a folder is on. It is measured when somebody asks, but not too often.
#[derive(Debug)]
pub struct Space {
    source: Source,
    measured: Mutex<(Option<Instant>, Shortage)>,
    /// Whether writes have to stop, as was measured last.
    stops_writes: AtomicBool,
}

#[derive(Debug)]
enum Source {
    Folder {
        path: PathBuf,
        /// In bytes; None for what fits the file system.
        reserve_bytes: Option<u64>,
    },
    /// A free space that tests set, out of a reserve; both in bytes.
    Pretended { free_bytes: AtomicU64, reserve_bytes: u64 },
}

impl Space {
    fn over(source: Source) -> Self {
        Self { source, measured: Mutex::new((None, Shortage::Nothing)), stops_writes: AtomicBool::new(false) }
    }

    /// The space where a folder is, with a reserve in bytes. Without one it is what fits the file system: 2 % of it,
    /// at least 512 MiB and at most 8 GiB, but never more than a quarter of it.
    pub fn of_folder(path: &Path, reserve_bytes: Option<u64>) -> Self {
        Self::over(Source::Folder { path: path.to_owned(), reserve_bytes })
    }

    /// A space that is only made up, for tests; both are in bytes.
    pub fn pretended(free_bytes: u64, reserve_bytes: u64) -> Self {
        Self::over(Source::Pretended { free_bytes: free_bytes.into(), reserve_bytes })
    }

    /// Sets the free space of one that is made up, in bytes.
    pub fn pretend(&self, free: u64) {
        if let Source::Pretended { free_bytes, .. } = &self.source {
            free_bytes.store(free, Ordering::SeqCst);
        }
    }

    /// What has to stop.
    pub fn shortage(&self) -> Shortage {
        let mut measured = self.measured.lock();
        let (at, before) = *measured;
        let is_fresh = at.is_some_and(|at| at.elapsed() < MEASURED_EVERY);
        if is_fresh && matches!(self.source, Source::Folder { .. }) {
            return before;
        }
        let now = self.measure(before);
        *measured = (Some(Instant::now()), now);
        self.stops_writes.store(now >= Shortage::Writes, Ordering::Relaxed);
        if now > before {
            tracing::error!(stops = ?now, "the disk is nearly full");
        } else if now < before {
            tracing::warn!(stops = ?now, "there is room on the disk again");
        }
        now
    }

    /// The free space that is kept in reserve, in bytes; None: the file system does not say how large it is.
    pub fn reserve_bytes(&self) -> Option<u64> {
        match &self.source {
            Source::Pretended { reserve_bytes, .. } => Some(*reserve_bytes),
            Source::Folder { path, reserve_bytes } => reserve_bytes.or_else(|| {
                let found = rustix::fs::statvfs(path).ok()?;
                Some(default_reserve(found.f_blocks.saturating_mul(found.f_frsize)))
            }),
        }
    }

    /// Whether a write-set can be taken, by what was measured last: as long as there is room, this costs nothing.
    pub(crate) fn allows(&self, writes: &RawWriteSet) -> bool {
        !self.stops_writes.load(Ordering::Relaxed) || self.shortage().allows(writes)
    }

    fn measure(&self, before: Shortage) -> Shortage {
        match &self.source {
            Source::Pretended { free_bytes, reserve_bytes } => {
                Shortage::of(free_bytes.load(Ordering::SeqCst), *reserve_bytes)
            }
            Source::Folder { path, reserve_bytes } => match rustix::fs::statvfs(path) {
                Ok(found) => {
                    let size_bytes = found.f_blocks.saturating_mul(found.f_frsize);
                    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
                    Shortage::of(free_bytes, reserve_bytes.unwrap_or_else(|| default_reserve(size_bytes)))
                }
                Err(error) => {
                    tracing::debug!(%error, path = %path.display(), "the free space could not be measured");
                    before
                }
            },
        }
    }
}

/// The reserve that fits a file system of a size, in bytes.
fn default_reserve(size_bytes: u64) -> u64 {
    let share = size_bytes / 100 * RESERVE_PERCENT;
    share.clamp(LEAST_RESERVE_BYTES, MOST_RESERVE_BYTES).min(size_bytes / SMALL_PART)
}

tokio::task_local! {
    static USES_RESERVE: ();
}

/// Runs an operation that frees room or protects somebody: all that it commits may use the reserve. What it hands to
/// other tasks may not. One write-set alone is told by [`WriteSet::use_reserve`](crate::WriteSet::use_reserve).
// Not an async function: that would hold the operation twice.
pub fn using_reserve<F: Future>(operation: F) -> impl Future<Output = F::Output> {
    USES_RESERVE.scope((), operation)
}

/// Whether the present task runs an operation that may use the reserve.
pub(crate) fn may_use_reserve() -> bool {
    USES_RESERVE.try_get().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_uses_most_stops_first() {
        let space = Space::pretended(1000, 1000);
        let stops = |free_bytes| {
            space.pretend(free_bytes);
            space.shortage()
        };
        assert_eq!([1000, 999, 500].map(stops), [Shortage::Nothing, Shortage::Uploads, Shortage::Uploads]);
        assert_eq!([499, 250].map(stops), [Shortage::Writes, Shortage::Writes]);
        assert_eq!([249, 0].map(stops), [Shortage::Everything, Shortage::Everything]);
        assert_eq!(stops(5000), Shortage::Nothing, "it goes on when there is room again");
    }

    #[test]
    fn a_reserve_fits_the_file_system() {
        let gib = 1 << 30;
        assert_eq!(default_reserve(gib), gib / 4);
        assert_eq!(default_reserve(20 * gib), LEAST_RESERVE_BYTES);
        assert_eq!(default_reserve(100 * gib), 100 * gib / 100 * 2);
        assert_eq!(default_reserve(4096 * gib), MOST_RESERVE_BYTES);
    }

    #[test]
    fn the_space_of_a_folder_is_measured() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Space::of_folder(folder.path(), Some(0)).shortage(), Shortage::Nothing);
        assert_eq!(Space::of_folder(folder.path(), Some(u64::MAX)).shortage(), Shortage::Everything);
    }
}
