//! Deliveries. Each pusher that has something to be told has a short queue, and a task of its own empties it.
//!
//! A gateway that fails is tried again for a day, less and less often. If more comes meanwhile than fits into
//! the queue, the rest is not told any more, except for the badge.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry};
use linkspan_storage::{
    Store,
    catalogue::{PusherKey, Pushers},
};
use ruma::{
    OwnedEventId, OwnedRoomId,
    push::{Action, Tweak},
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::{
    Push, Result,
    gateway::{Counts, Details, Device, Gateway, GatewayError, Notification, device_data},
    pushers::ActivePusher,
};

/// The most notifications that wait for a pusher.
const MAX_QUEUED: usize = 32;
/// The most requests to gateways at the same time.
const MAX_REQUESTS: usize = 64;
/// The longest time between two tries, unless the first is longer.
const MAX_RETRY: Duration = Duration::from_secs(3600);
/// How long a gateway may fail until what waits for it is thrown away.
const GIVE_UP_MS: u64 = 24 * 3600 * 1000;

/// The queues of all pushers that have something to be told.
#[derive(Debug)]
pub(crate) struct Deliveries {
    gateway: Gateway,
    /// The queue of each pusher. Each has a task that empties it.
    queues: DashMap<PusherKey, Queue>,
    permits: Semaphore,
    generations: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    /// A number that tells this queue's task from that of an earlier queue of the same pusher.
    generation: u64,
    events: VecDeque<Arc<EventNotice>>,
    /// Whether the badge has to be told. It goes alone if no event goes out before.
    badge: bool,
    /// The newest number for the badge.
    unread: u64,
}

/// An event, as a user's pushers are told of it.
#[derive(Debug)]
pub(crate) struct EventNotice {
    pub(crate) event_id: OwnedEventId,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) high_priority: bool,
    pub(crate) tweaks: Map<String, Value>,
    /// What the event says. None if all of the user's pushers want ids only.
    pub(crate) details: Option<Details>,
}

/// The tweaks among a rule's actions, as gateways get them.
pub(crate) fn tweaks(actions: &[Action]) -> Map<String, Value> {
    let tweaks = actions.iter().filter_map(|action| match action {
        Action::SetTweak(tweak) => Some(tweak),
        _ => None,
    });
    tweaks.map(|tweak| (tweak.set_tweak().to_owned(), tweak_value(tweak))).collect()
}

fn tweak_value(tweak: &Tweak) -> Value {
    let value = tweak.value();
    value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or(Value::Null)
}

impl Deliveries {
    /// Nothing waits yet. What waits for a pusher goes with it.
    pub(crate) fn watching(store: &Store, gateway: Gateway) -> Arc<Self> {
        let deliveries = Arc::new(Self {
            gateway,
            queues: DashMap::new(),
            permits: Semaphore::new(MAX_REQUESTS),
            generations: AtomicU64::new(0),
        });
        store.watch::<Pushers, _>(&deliveries, |deliveries, key, change| {
            if !change.is_put {
                deliveries.forget(key);
            }
        });
        deliveries
    }

    /// Drops everything that waits for a pusher.
    pub(crate) fn forget(&self, key: &PusherKey) {
        self.queues.remove(key);
    }

    /// The next thing to tell, with the number for the badge: an event, or None for the badge alone. If
    /// nothing is left to tell, the queue is removed.
    fn next(&self, key: &PusherKey, generation: u64) -> Option<(Option<Arc<EventNotice>>, u64)> {
        let Entry::Occupied(mut entry) = self.queues.entry(key.clone()) else { return None };
        let queue = entry.get_mut();
        if queue.generation != generation {
            return None;
        }
        let event = queue.events.pop_front();
        if event.is_none() && !queue.badge {
            entry.remove();
            return None;
        }
        queue.badge = false;
        Some((event, queue.unread))
    }

    fn is_current(&self, key: &PusherKey, generation: u64) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.generation == generation)
    }
}

impl Push {
    /// Queues an event for a pusher, or with None the badge alone. `unread` is the new badge.
    pub(crate) fn deliver(&self, key: &PusherKey, event: Option<Arc<EventNotice>>, unread: u64) {
        let deliveries = &self.shared.deliveries;
        let badge = event.is_none();
        match deliveries.queues.entry(key.clone()) {
            Entry::Occupied(mut entry) => {
                let queue = entry.get_mut();
                queue.unread = unread;
                queue.badge |= badge;
                queue.events.extend(event);
                if queue.events.len() > MAX_QUEUED {
                    queue.events.pop_front();
                    queue.badge = true;
                }
            }
            Entry::Vacant(entry) => {
                let generation = deliveries.generations.fetch_add(1, Ordering::Relaxed);
                entry.insert(Queue { generation, events: event.into_iter().collect(), badge, unread });
                let (push, key) = (self.clone(), key.clone());
                tokio::spawn(async move {
                    if let Err(error) = push.empty_queue(&key, generation).await {
                        tracing::warn!(%error, user_id = %key.user_id, "a pusher's queue was dropped");
                        push.shared
                            .deliveries
                            .queues
                            .remove_if(&key, |_, queue| queue.generation == generation);
                    }
                });
            }
        }
    }

    async fn empty_queue(&self, key: &PusherKey, generation: u64) -> Result<()> {
        let deliveries = &self.shared.deliveries;
        while let Some((event, unread)) = deliveries.next(key, generation) {
            if !self.deliver_one(key, generation, event.as_deref(), unread).await? {
                deliveries.queues.remove_if(key, |_, queue| queue.generation == generation);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tells a gateway again and again until it has understood. False means that this pusher is to be told
    /// nothing more now.
    async fn deliver_one(
        &self,
        key: &PusherKey,
        generation: u64,
        event: Option<&EventNotice>,
        unread: u64,
    ) -> Result<bool> {
        let mut wait = self.shared.settings.first_retry;
        loop {
            let Some(pusher) = self.active_pusher(key).await? else { return Ok(false) };
            if self.shared.accounts.device(&key.user_id, &pusher.device_id).await?.is_none() {
                // The device has logged out, so nothing of the account is for it any more.
                self.remove_pushers(vec![key.clone()]).await?;
                return Ok(false);
            }
            match self.send(&pusher, event, unread).await {
                Ok(rejected) if rejected.contains(&key.pushkey) => {
                    tracing::info!(user_id = %key.user_id, app_id = key.app_id, "a gateway rejected a pushkey");
                    self.remove_pushers(vec![key.clone()]).await?;
                    return Ok(false);
                }
                Ok(_) => {
                    if pusher.failing_since_ts.is_some() {
                        self.note_failing(key, None).await?;
                    }
                    return Ok(true);
                }
                Err(error) => {
                    tracing::debug!(%error, app_id = key.app_id, "a push gateway failed");
                    let now_ts = self.now_ts();
                    let since_ts = pusher.failing_since_ts.unwrap_or(now_ts);
                    if pusher.failing_since_ts.is_none() {
                        self.note_failing(key, Some(since_ts)).await?;
                    }
                    if matches!(error, GatewayError::Outbound(_))
                        || now_ts.saturating_sub(since_ts) >= GIVE_UP_MS
                    {
                        return Ok(false);
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(MAX_RETRY.max(self.shared.settings.first_retry));
            if !self.shared.deliveries.is_current(key, generation) {
                return Ok(false);
            }
        }
    }

    async fn send(
        &self,
        pusher: &ActivePusher,
        event: Option<&EventNotice>,
        unread: u64,
    ) -> std::result::Result<Vec<String>, GatewayError> {
        let details = event.and_then(|event| event.details.as_ref()).filter(|_| !pusher.event_id_only());
        let tweaks = match event {
            Some(event) if !pusher.event_id_only() => event.tweaks.clone(),
            _ => Map::new(),
        };
        let notification = Notification {
            event_id: event.map(|event| &*event.event_id),
            room_id: event.map(|event| &*event.room_id),
            details,
            prio: event.map(|event| if event.high_priority { "high" } else { "low" }),
            counts: Counts { unread },
            devices: [Device {
                app_id: &pusher.key.app_id,
                pushkey: &pusher.key.pushkey,
                data: device_data(&pusher.data),
                tweaks,
            }],
        };
        let _permit = self.shared.deliveries.permits.acquire().await;
        self.shared.deliveries.gateway.notify(&pusher.url, &notification).await
    }
}
