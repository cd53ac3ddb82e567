//! The name of a request in the log, by which an operator finds what belongs to a request that failed.
//!
//! It says nothing of who asks or what is asked.

use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::clock::now_ts;

/// The names that are set apart for each millisecond of time: more than there are requests in one. So each start begins
/// beyond all names of the one before it.
const NAMES_PER_MS: u64 = 1 << 20;

/// Begins with the time of the start.
static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(now_ts().wrapping_mul(NAMES_PER_MS)));

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The name of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// A name that no other request has.
    pub fn next() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The name of the request that is being answered, if this runs within [`Self::scope`].
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|id| *id).ok()
    }

    /// Answers the request of this name.
    pub async fn scope<F: Future>(self, answer: F) -> F::Output {
        CURRENT.scope(self, answer).await
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_asked_within_a_request_knows_its_name() {
        let (one, other) = (RequestId::next(), RequestId::next());
        assert_ne!(one, other);
        assert_eq!(one.scope(async { RequestId::current() }).await, Some(one));
        assert_eq!(RequestId::current(), None);
    }
}
