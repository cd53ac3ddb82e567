//! Sending delayed events when their time has come.

use std::time::Duration;

use linkspan_accounts::AccountsError;
use linkspan_storage::{
    Range, WriteSet,
    catalogue::{DelayQueueKey, DelayedEventQueue, DelayedEvents},
    records::DelayedEventRecord,
};
use tokio::task::JoinSet;

use super::{due_ts, event_key, put_finalised, until};
use crate::{Result, Rooms, RoomsError, policy::Consulted};

/// How many events of a platform are sent at the same time.
const BATCH: usize = 64;
/// How long it waits before it looks at the clock again, which may have been set, or have gone on while the machine
/// slept. The store is not read for that.
const LOOK: Duration = Duration::from_secs(1);
/// How long it waits after the store has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

impl Rooms {
    /// Sends delayed events for as long as it runs, none before its time. `clock` says milliseconds since the
    /// Unix epoch.
    pub async fn send_delayed_events(self, clock: impl Fn() -> u64) {
        loop {
            // A call of `notify_one` while nobody waits here is remembered, so nothing falls in between.
            let changed = self.shared.delays.changed.notified();
            match self.send_due(clock()).await {
                Ok(Some(due_ts)) => tokio::select! {
                    () = changed => {}
                    () = due(due_ts, &clock) => {}
                },
                Ok(None) => changed.await,
                Err(error) => {
                    tracing::warn!(%error, "delayed events could not be sent; they are tried again");
                    drop(tokio::time::timeout(AFTER_FAILURE, changed).await);
                }
            }
        }
    }

    /// Sends what is due, and returns when to look again. What cannot be sent for now keeps nothing else.
    async fn send_due(&self, now_ts: u64) -> Result<Option<u64>> {
        let (mut next_ts, mut outcome) = (None, Ok(()));
        let again_ts = now_ts.saturating_add(AFTER_FAILURE.as_millis() as u64);
        for platform in self.shared.platforms.iter() {
            if platform.settings.fenced {
                // Nobody says when that is over.
                next_ts = [next_ts, Some(again_ts)].into_iter().flatten().min();
                continue;
            }
            let mut last: Option<DelayQueueKey> = None;
            loop {
                let range = Range::<DelayedEventQueue>::prefix((platform.server_name(),))
                    .limit(BATCH)
                    .after_last(last.as_ref());
                let queued = self.store().keys(range).await?;
                let waiting = queued.iter().find(|key| key.due_ts > now_ts).map(|key| key.due_ts);
                let due: Vec<_> = queued.into_iter().filter(|key| key.due_ts <= now_ts).collect();
                last = due.last().cloned();
                if last.is_none() {
                    next_ts = [next_ts, waiting].into_iter().flatten().min();
                    break;
                }
                outcome = outcome.and(self.send_all(due, now_ts).await);
            }
        }
        if let Err(error) = outcome {
            tracing::warn!(%error, "some delayed events could not be sent; they are tried again");
            next_ts = [next_ts, Some(again_ts)].into_iter().flatten().min();
        }
        Ok(next_ts)
    }

    async fn send_all(&self, due: Vec<DelayQueueKey>, now_ts: u64) -> Result<()> {
        let mut sending = JoinSet::new();
        for key in due {
            let rooms = self.clone();
            sending.spawn(async move {
                rooms.consulting(now_ts, async |consulted| rooms.fire(&key, consulted, now_ts).await).await
            });
        }
        let mut outcome = Ok(());
        while let Some(fired) = sending.join_next().await {
            match fired {
                Ok(fired) => outcome = outcome.and(fired),
                Err(error) => tracing::error!(%error, "sending a delayed event broke off"),
            }
        }
        outcome
    }

    /// Sends an event that is due, or notes why it cannot be sent. An error says that the store failed, or that hooks are
    /// to be asked first.
    async fn fire(&self, key: &DelayQueueKey, consulted: Consulted, now_ts: u64) -> Result<()> {
        let delay_id = &key.delay_id;
        let read = self.delayed_event(&key.platform, delay_id).await?;
        let is_due =
            |record: &DelayedEventRecord| record.finalised_ts.is_none() && due_ts(record) == key.due_ts;
        let Some(record) = read.clone().filter(is_due) else {
            // It was restarted, or has ended, since the queue was read.
            let mut writes = WriteSet::new();
            writes.expect_read::<DelayedEvents>(&event_key(&key.platform, delay_id), read.as_ref());
            writes.delete::<DelayedEventQueue>(key);
            self.store().commit(writes).await?;
            return Ok(());
        };
        match self.send_delayed(delay_id, &record, false, consulted, now_ts).await {
            Ok(()) => Ok(()),
            Err(
                error @ (RoomsError::Storage(_)
                | RoomsError::Accounts(AccountsError::Storage(_))
                | RoomsError::Unasked(_)),
            ) => Err(error),
            Err(error) => {
                let ended = DelayedEventRecord {
                    finalised_ts: Some(now_ts),
                    error: Some((errcode(&error).to_owned(), error.to_string())),
                    ..record.clone()
                };
                let mut writes = WriteSet::new();
                put_finalised(&mut writes, delay_id, &record, &ended);
                self.store().commit(writes).await?;
                Ok(())
            }
        }
    }
}

/// Waits until the clock says so, however it comes to that.
async fn due(due_ts: u64, clock: &impl Fn() -> u64) {
    loop {
        match until(due_ts, clock()) {
            Duration::ZERO => return,
            wait => tokio::time::sleep(wait.min(LOOK)).await,
        }
    }
}

/// The code that its user will be told.
fn errcode(error: &RoomsError) -> &'static str {
    match error {
        RoomsError::Forbidden(_)
        | RoomsError::TurnedAway(_)
        | RoomsError::Encryption(_)
        | RoomsError::Unanswered
        | RoomsError::TooMany(_)
        | RoomsError::PolicyRefused { .. } => "M_FORBIDDEN",
        RoomsError::NotFound(_) => "M_NOT_FOUND",
        RoomsError::Invalid(_) => "M_INVALID_PARAM",
        RoomsError::BadJson(_) => "M_BAD_JSON",
        RoomsError::TooLarge(_) => "M_TOO_LARGE",
        RoomsError::TooManyDelayed { .. }
        | RoomsError::TooManyStrangers { .. }
        | RoomsError::PolicyUnavailable { .. }
        | RoomsError::Limited(_) => "M_LIMIT_EXCEEDED",
        RoomsError::DuplicateAnnotation => "M_DUPLICATE_ANNOTATION",
        RoomsError::InviteBlocked => "M_INVITE_BLOCKED",
        RoomsError::Accounts(AccountsError::Suspended) => "M_USER_SUSPENDED",
        _ => "M_UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use tokio::time::{Instant, sleep};

    use super::{LOOK, due};

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed() {
        let clock = AtomicU64::new(0);
        let (hour_ms, soon) = (3_600_000, Duration::from_secs(10));
        let begun = Instant::now();
        let set = async {
            sleep(soon).await;
            clock.store(2 * hour_ms, Ordering::Relaxed);
        };
        let read = || clock.load(Ordering::Relaxed);
        tokio::join!(due(hour_ms, &read), set);
        assert!(begun.elapsed() <= soon + LOOK, "{:?}", begun.elapsed());
    }
}
