//! Forgetting transaction ids that no client will use again.

use linkspan_storage::{Range, WriteSet, catalogue::Transactions};

use crate::{Result, Rooms};

/// How many rows are looked at, and removed, at once.
const PAGE: usize = 2_000;

impl Rooms {
    /// Forgets transactions from before `before_ts`, in milliseconds since the Unix epoch. Returns how many
    /// those were.
    pub async fn forget_transactions(&self, before_ts: u64) -> Result<usize> {
        let mut forgotten = 0;
        let mut last = None;
        loop {
            let range = match &last {
                Some(key) => Range::<Transactions>::all().after(key),
                None => Range::all(),
            };
            let rows = self.store().range(range.limit(PAGE)).await?;
            let Some((key, _)) = rows.last() else { return Ok(forgotten) };
            last = Some(key.clone());
            let mut writes = WriteSet::new();
            for (key, _) in rows.iter().filter(|(_, done)| done.ts < before_ts) {
                writes.delete::<Transactions>(key);
                forgotten += 1;
            }
            self.store().commit(writes).await?;
            tokio::task::yield_now().await;
        }
    }
}
