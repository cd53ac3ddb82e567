//! What the operating system allows the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The open files that are not connections: those of the store, and some to spare.
const OTHER_FILES: u64 = 1024;
/// The most connections if the system sets no limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the limit of open files as far as it goes, and returns how many connections fit.
pub(crate) fn raise_open_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            current
        }
    };
    let files = raised.unwrap_or(UNLIMITED).min(UNLIMITED);
    // Where very little is allowed, half is left for other files.
    usize::try_from(files.saturating_sub(OTHER_FILES).max(files / 2)).unwrap_or(usize::MAX)
}
