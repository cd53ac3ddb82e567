//! Delayed events: what a user has the server send later, unless it is taken back in time.
//! <https://github.com/matrix-org/matrix-spec-proposals/pull/4140>
//!
//! Who knows the id of one may send, restart or cancel it: that is how the service that carries a call says
//! that somebody has gone. A sent event and the note that it was sent are one write-set, so none is sent twice.

mod act;
mod fire;
mod list;
mod schedule;

use std::time::Duration;

use linkspan_storage::{
    WriteSet,
    catalogue::{DelayQueueKey, DelayedEventQueue, DelayedEvents, PlatformKey, UserDelayedEvents, UserKey},
    records::DelayedEventRecord,
};
use ruma::{OwnedServerName, OwnedUserId};
use tokio::sync::Notify;

use crate::{Result, Rooms, RoomsError};

pub use act::DelayAction;
pub use list::{DelayOrder, DelayQuery, DelayStatus};
pub use schedule::NewDelayedEvent;

/// The longest delay: 30 days, in milliseconds.
pub const MAX_DELAY_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// The most events of a user that wait.
pub const MAX_SCHEDULED: usize = 100;
/// The most events of a user of which it is kept how they ended.
const MAX_FINALISED: usize = 100;
/// How long it is kept how an event ended, in milliseconds.
const FINALISED_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// A delayed event.
#[derive(Clone, Debug)]
pub struct DelayedEvent {
    /// The id of the delay: whoever knows it may act on the event.
    pub delay_id: String,
    /// The event, and how it ended if it did.
    pub record: DelayedEventRecord,
}

impl DelayedEvent {
    /// The time at which it is to be sent, in milliseconds since the Unix epoch.
    pub fn due_ts(&self) -> u64 {
        due_ts(&self.record)
    }
}

fn due_ts(record: &DelayedEventRecord) -> u64 {
    record.running_since_ts.saturating_add(record.delay_ms)
}

/// What is known of delayed events in memory only.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    /// It is notified when another event than before may be the first in the queue.
    changed: Notify,
}

impl Rooms {
    async fn delayed_event(
        &self,
        platform: &OwnedServerName,
        id: &str,
    ) -> Result<Option<DelayedEventRecord>> {
        Ok(self.store().get::<DelayedEvents>(&event_key(platform, id)).await?)
    }

    /// Removes all delayed events of a user whose account is gone.
    pub(crate) async fn remove_delayed_events(&self, user_id: &OwnedUserId) -> Result<()> {
        let platform = user_id.server_name().to_owned();
        let list_key = UserKey { user_id: user_id.clone() };
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                let list = self.store().get::<UserDelayedEvents>(&list_key).await?;
                writes.expect_read::<UserDelayedEvents>(&list_key, list.as_ref());
                for DelayedEvent { delay_id, record } in self.listed_events(user_id, list).await? {
                    let key = event_key(&platform, &delay_id);
                    writes.expect::<DelayedEvents>(&key, &record);
                    writes.delete::<DelayedEvents>(&key);
                    writes.delete::<DelayedEventQueue>(&queue_key(&platform, &delay_id, due_ts(&record)));
                }
                writes.delete::<UserDelayedEvents>(&list_key);
                Ok::<_, RoomsError>((writes, ()))
            })
            .await
    }
}

fn event_key(platform: &OwnedServerName, delay_id: &str) -> PlatformKey {
    PlatformKey { platform: platform.clone(), name: delay_id.to_owned() }
}

fn queue_key(platform: &OwnedServerName, delay_id: &str, due_ts: u64) -> DelayQueueKey {
    DelayQueueKey { platform: platform.clone(), due_ts, delay_id: delay_id.to_owned() }
}

/// Writes an event that waits from now on.
fn put_scheduled(writes: &mut WriteSet, delay_id: &str, record: &DelayedEventRecord) {
    let platform = record.user_id.server_name().to_owned();
    writes.put::<DelayedEvents>(&event_key(&platform, delay_id), record);
    writes.put::<DelayedEventQueue>(&queue_key(&platform, delay_id, due_ts(record)), &());
}

/// Writes how an event ended. The write-set holds only if nothing has happened to the event since it was
/// read.
fn put_finalised(
    writes: &mut WriteSet,
    delay_id: &str,
    before: &DelayedEventRecord,
    ended: &DelayedEventRecord,
) {
    let platform = before.user_id.server_name().to_owned();
    let key = event_key(&platform, delay_id);
    writes.expect::<DelayedEvents>(&key, before);
    writes.put::<DelayedEvents>(&key, ended);
    writes.delete::<DelayedEventQueue>(&queue_key(&platform, delay_id, due_ts(before)));
}

fn until(due_ts: u64, now_ts: u64) -> Duration {
    Duration::from_millis(due_ts.saturating_sub(now_ts))
}
