//! How long the server works for a sync, and which syncs wait for news: numbers for operators.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use linkspan_platforms::Platform;
use ruma::UserId;

use crate::Sync;

/// The time that a sync takes. It is counted when this is dropped, also if the client has gone.
pub(crate) struct Timing {
    platform: Option<Arc<Platform>>,
    begun: Instant,
    waited: Duration,
    /// Since when it waits for news, if it does.
    waits_since: Option<Instant>,
}

impl Timing {
    /// Waits for news, which counts as waiting.
    pub(crate) async fn wait<T>(&mut self, news: impl Future<Output = T>) -> T {
        let _waiting = self.platform.as_ref().map(|platform| platform.counts.syncs_waiting.begin());
        let since = Instant::now();
        self.waits_since = Some(since);
        let news = news.await;
        self.waits_since = None;
        self.waited += since.elapsed();
        news
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        let Some(platform) = &self.platform else { return };
        let end = self.waits_since.unwrap_or_else(Instant::now);
        let worked = end.duration_since(self.begun).saturating_sub(self.waited);
        platform.counts.syncs_us.note(u64::try_from(worked.as_micros()).unwrap_or(u64::MAX));
    }
}

impl Sync {
    /// Begins the time of a user's sync.
    pub(crate) fn timing(&self, user_id: &UserId) -> Timing {
        let platform = self.platforms.get(user_id.server_name());
        Timing { platform, begun: Instant::now(), waited: Duration::ZERO, waits_since: None }
    }
}
