//! Deliveries. Each pusher that has something to be told has a short queue, and a task of its own empties it.
//!
//! A gateway or push service that fails is tried again for a day, less and less often. If more comes meanwhile than fits into
//! the queue, the rest is not told any more, except for the badge.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};
use linkspan_platforms::{
    HoldingLimits, NamedShares, PlatformCounts, PresentOne, Share, Shares, WaitingLimits,
};
use linkspan_storage::{
    Store,
    catalogue::{PusherKey, Pushers},
};
use quick_cache::sync::Cache;
use ruma::{
    OwnedEventId, OwnedRoomId,
    push::{Action, Tweak},
};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::{
    Push, Result, Shared,
    badge::UnreadRooms,
    gateway::{
        Counts, Details, Device, Gateway, GatewayError, Message, Notification, Reception, device_data,
    },
    pushers::{ActivePusher, Channel, Standing},
    unread::is_past,
    web_push::{self, Told},
};

/// The most notifications that wait for a pusher.
const MAX_QUEUED: usize = 32;
/// The most requests to gateways and push services at the same time. Anybody names any number of addresses that never answer,
/// from any number of accounts, so neither one user nor one platform may keep others waiting by it.
const WORKING: HoldingLimits = HoldingLimits { per_who: 8, per_platform: 64, in_all: 96 };
/// The most, beside these, that go where the last request failed or took long: what takes ten seconds must not keep
/// everybody else waiting.
const RETRYING: HoldingLimits = HoldingLimits { per_who: 4, per_platform: 16, in_all: 24 };
/// The most, beside all these, that send an app the token by which it shows that it is reached.
const ACTIVATING: HoldingLimits = HoldingLimits { per_who: 1, per_platform: 16, in_all: 24 };
/// How long an answer may take until the next request to the same pusher goes among those that failed. Requests are told apart by how
/// long they take and not by their hosts: a limit for each host would hold up the few push services that most people use,
/// and whoever wants to hold up everybody has as many hosts as they like.
const SLOW: Duration = Duration::from_secs(2);
/// How many pushers are remembered whose last answer took long.
const MAX_SLOW: usize = 10_000;
/// The longest time between two tries, unless the first is longer.
const MAX_RETRY: Duration = Duration::from_secs(3600);
/// How long one may fail until what waits for it is thrown away.
const GIVE_UP_MS: u64 = 24 * 3600 * 1000;

/// The queues of all pushers that have something to be told.
#[derive(Debug)]
pub(crate) struct Deliveries {
    gateway: Gateway,
    /// The queue of each pusher. Each has a task that empties it.
    queues: DashMap<PusherKey, Queue>,
    working: Shares,
    retrying: Shares,
    activating: Shares,
    /// The pushers whose last answer took long.
    slow: Cache<PusherKey, ()>,
    generations: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    /// A number that tells this queue's task from that of an earlier queue of the same pusher.
    generation: u64,
    /// Whether the app has to be sent its token first.
    activation: bool,
    events: VecDeque<Arc<EventNotice>>,
    /// Whether the badge has to be told. It goes alone if no event goes out before.
    badge: bool,
    /// The newest badge.
    unread: UnreadRooms,
    /// It is counted for as long as it is there.
    _counted: Option<PresentOne>,
    /// Nothing is ever sent. When the queue is dropped, its task learns it, whatever it waits for.
    _dropped: oneshot::Sender<()>,
}

/// Requests of which there may be only so many at the same time. Of each pusher one waits at most, and there are only so
/// many pushers.
fn lane(limits: HoldingLimits) -> Shares {
    Shares::new_limited(limits, WaitingLimits::NONE)
}

/// What becomes of something that a pusher was to be told.
enum Outcome {
    Received(Reception),
    /// This pusher is to be told nothing more now.
    End,
    Failed {
        /// Since when nothing gets through; None if something did before.
        failing_since_ts: Option<u64>,
        error: GatewayError,
    },
}

impl Outcome {
    fn count(&self, counts: &PlatformCounts) {
        match self {
            Self::Received(Reception::Gone | Reception::Refused) => counts.pushes_refused.note(),
            Self::Received(_) => counts.pushes.sent.note(),
            Self::Failed { .. } => counts.pushes.failed.note(),
            Self::End => {}
        }
    }
}

/// Something that a pusher is told.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// The token by which an app shows that it is told anything.
    Activation,
    /// An event.
    Event(Arc<EventNotice>),
    /// The badge alone.
    Badge,
}

/// What is told next.
struct Next {
    notice: Notice,
    unread: UnreadRooms,
    /// Whether something that counted is read, or is gone, since the pusher was last told.
    has_read: bool,
}

impl Queue {
    fn add(&mut self, notice: Notice) {
        match notice {
            Notice::Activation => self.activation = true,
            Notice::Badge => self.badge = true,
            Notice::Event(event) => self.events.push_back(event),
        }
        if self.events.len() > MAX_QUEUED {
            self.events.pop_front();
            self.badge = true;
        }
    }

    fn next(&mut self) -> Option<Next> {
        let unread = self.unread.clone();
        if std::mem::take(&mut self.activation) {
            return Some(Next { notice: Notice::Activation, unread, has_read: false });
        }
        let has_read = std::mem::take(&mut self.badge);
        let notice = match self.events.pop_front() {
            Some(event) => Notice::Event(event),
            None if has_read => Notice::Badge,
            None => return None,
        };
        Some(Next { notice, unread, has_read })
    }
}

/// An event, as a user's pushers are told of it.
#[derive(Debug)]
pub(crate) struct EventNotice {
    pub(crate) event_id: OwnedEventId,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) high_priority: bool,
    /// The time at which the event disappears, if it does.
    pub(crate) disappears_ts: Option<u64>,
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
            working: lane(WORKING),
            retrying: lane(RETRYING),
            activating: lane(ACTIVATING),
            slow: Cache::new(MAX_SLOW),
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

    /// The next thing to tell. If nothing is left to tell, the queue is removed.
    fn next(&self, key: &PusherKey, generation: u64) -> Option<Next> {
        let Entry::Occupied(mut entry) = self.queues.entry(key.clone()) else { return None };
        if entry.get().generation != generation {
            return None;
        }
        let next = entry.get_mut().next();
        if next.is_none() {
            entry.remove();
        }
        next
    }

    /// The places that requests share, for operators.
    pub(crate) fn shares(&self) -> [NamedShares; 3] {
        [
            ("push", self.working.clone()),
            ("push_retries", self.retrying.clone()),
            ("push_activations", self.activating.clone()),
        ]
    }

    /// Waits until a request to a pusher may be made.
    async fn turn(&self, key: &PusherKey, standing: Standing) -> Share {
        let lane = match standing {
            Standing::Unconfirmed => &self.activating,
            Standing::Working if self.slow.get(key).is_none() => &self.working,
            Standing::Working | Standing::Failing => &self.retrying,
        };
        let turn = lane.take(key.user_id.server_name(), key.user_id.as_str()).await;
        turn.expect("there is no limit to those who wait")
    }

    /// Notes how long a pusher's last answer took.
    fn note_pace(&self, key: &PusherKey, took: Duration) {
        if took > SLOW {
            self.slow.insert(key.clone(), ());
        } else {
            self.slow.remove(key);
        }
    }

    /// Makes a request to a pusher, whose turn it is, and notes how long the answer took.
    async fn paced<T>(&self, key: &PusherKey, request: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let answer = request.await;
        self.note_pace(key, begun.elapsed());
        answer
    }
}

impl Push {
    /// What is counted of a pusher's platform; None: it is hosted no more.
    fn platform_counts(&self, key: &PusherKey) -> Option<Arc<PlatformCounts>> {
        Some(self.shared.platforms.get(key.user_id.server_name())?.counts.clone())
    }

    /// Queues something for a pusher. `unread` is the new badge.
    pub(crate) fn deliver(&self, key: &PusherKey, notice: Notice, unread: UnreadRooms) {
        let deliveries = &self.shared.deliveries;
        match deliveries.queues.entry(key.clone()) {
            Entry::Occupied(mut entry) => {
                let queue = entry.get_mut();
                queue.unread = unread;
                queue.add(notice);
            }
            Entry::Vacant(entry) => {
                let generation = deliveries.generations.fetch_add(1, Ordering::Relaxed);
                let events = VecDeque::new();
                let (_dropped, dropped) = oneshot::channel();
                let _counted = self.platform_counts(key).map(|counts| counts.push_queues.begin());
                let mut queue =
                    Queue { generation, activation: false, events, badge: false, unread, _counted, _dropped };
                queue.add(notice);
                entry.insert(queue);
                let (push, key) = (self.clone(), key.clone());
                tokio::spawn(async move {
                    if let Err(error) = push.empty_queue(&key, generation, dropped).await {
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

    async fn empty_queue(
        &self,
        key: &PusherKey,
        generation: u64,
        mut dropped: oneshot::Receiver<()>,
    ) -> Result<()> {
        let deliveries = &self.shared.deliveries;
        while let Some(next) = deliveries.next(key, generation) {
            if !self.deliver_one(key, next, &mut dropped).await? {
                deliveries.queues.remove_if(key, |_, queue| queue.generation == generation);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tells a gateway or push service again and again until it has understood, or the queue is `dropped`. False means
    /// that this pusher is to be told nothing more now.
    async fn deliver_one(
        &self,
        key: &PusherKey,
        mut next: Next,
        dropped: &mut oneshot::Receiver<()>,
    ) -> Result<bool> {
        let mut wait = self.shared.settings.first_retry;
        let mut has_waited = false;
        loop {
            let Some(pusher) = self.active_pusher(key).await? else { return Ok(false) };
            let turn = tokio::select! {
                biased;
                _ = &mut *dropped => return Ok(false),
                turn = self.shared.deliveries.turn(key, pusher.standing()) => turn,
            };
            let outcome = self.try_one(key, &mut next).await?;
            drop(turn);
            if let Some(counts) = self.platform_counts(key) {
                outcome.count(&counts);
            }
            match outcome {
                Outcome::End => return Ok(false),
                Outcome::Received(Reception::Gone) => {
                    tracing::info!(user_id = %key.user_id, app_id = key.app_id, "a pushkey was rejected");
                    self.remove_pushers(vec![key.clone()]).await?;
                    return Ok(false);
                }
                Outcome::Received(reception) => {
                    if reception == Reception::Refused {
                        tracing::info!(user_id = %key.user_id, app_id = key.app_id, "a message was refused");
                    }
                    return Ok(true);
                }
                Outcome::Failed { failing_since_ts, error } => {
                    let (user_id, app_id) = (&key.user_id, &key.app_id);
                    let now_ts = self.now_ts();
                    let since_ts = failing_since_ts.unwrap_or(now_ts);
                    if failing_since_ts.is_none() {
                        tracing::info!(%error, %user_id, app_id, "a push gateway or push service fails");
                        self.note_failing(key, Some(since_ts)).await?;
                    }
                    if matches!(error, GatewayError::Outbound(_)) {
                        return Ok(false);
                    }
                    if now_ts.saturating_sub(since_ts) >= GIVE_UP_MS {
                        // Each further message is tried once, and not worth a line.
                        if has_waited {
                            tracing::warn!(%error, %user_id, app_id, "a push gateway or push service is given up");
                        }
                        return Ok(false);
                    }
                }
            }
            tokio::select! {
                _ = &mut *dropped => return Ok(false),
                () = tokio::time::sleep(wait) => {}
            }
            has_waited = true;
            wait = (wait * 2).min(MAX_RETRY.max(self.shared.settings.first_retry));
        }
    }

    /// Tells a gateway or push service once, if the pusher, its device and the event are still there. It is this pusher's
    /// turn, so it is told at once what was just read.
    async fn try_one(&self, key: &PusherKey, next: &mut Next) -> Result<Outcome> {
        if let Notice::Event(event) = &next.notice
            && !self.is_there(event).await?
        {
            // Of what is gone meanwhile only the badge is told, which counts it no more.
            let unread = self.badge_after(&key.user_id, &event.room_id).await?;
            *next = Next { notice: Notice::Badge, unread, has_read: true };
        }
        let Some(pusher) = self.active_pusher(key).await? else { return Ok(Outcome::End) };
        if self.shared.accounts.device(&key.user_id, &pusher.device_id).await?.is_none() {
            // The device has logged out, so nothing of the account is for it any more.
            self.remove_pushers(vec![key.clone()]).await?;
            return Ok(Outcome::End);
        }
        match self.send(&pusher, next).await {
            Ok(reception) => {
                if reception != Reception::Gone && pusher.failing_since_ts.is_some() {
                    self.note_failing(key, None).await?;
                }
                Ok(Outcome::Received(reception))
            }
            Err(error) => Ok(Outcome::Failed { failing_since_ts: pusher.failing_since_ts, error }),
        }
    }

    /// Whether an event is still what was queued: it has not disappeared, nor was it redacted or its sender erased.
    async fn is_there(&self, notice: &EventNotice) -> Result<bool> {
        if is_past(notice.disappears_ts, self.now_ts()) {
            return Ok(false);
        }
        let Some(event) = self.rooms().event(&notice.room_id, &notice.event_id).await? else {
            return Ok(false);
        };
        let erasures = self.shared.accounts.erasures().await?;
        Ok(event.pdu.redacted_by.is_none() && erasures.erased_at(&event.pdu.sender).is_none())
    }

    async fn send(&self, pusher: &ActivePusher, next: &Next) -> std::result::Result<Reception, GatewayError> {
        let event = match &next.notice {
            Notice::Activation => return self.activate(pusher).await,
            // It was set anew since, and waits for its app.
            _ if pusher.ack_token.is_some() => return Ok(Reception::Refused),
            Notice::Event(event) => Some(event),
            Notice::Badge => None,
        };
        let told = event.filter(|_| !pusher.event_id_only());
        let tweaks = told.map(|event| &event.tweaks);
        let disappears_ts = event.and_then(|event| event.disappears_ts);
        let message = Message {
            event_id: event.map(|event| &*event.event_id),
            room_id: event.map(|event| &*event.room_id),
            details: told.and_then(|event| event.details.as_ref()),
            prio: event.map(|event| if event.high_priority { "high" } else { "low" }),
            counts: Counts { unread: next.unread.count },
            disappears_ts,
        };
        let PusherKey { user_id, app_id, pushkey } = &pusher.key;
        match &pusher.channel {
            Channel::Gateway { url, data } => {
                let tweaks = tweaks.cloned().unwrap_or_default();
                let devices = [Device { app_id, pushkey, data: device_data(data), tweaks }];
                let notification = Notification { message, devices };
                let deliveries = &self.shared.deliveries;
                deliveries.paced(&pusher.key, deliveries.gateway.notify(url, &notification)).await
            }
            Channel::WebPush(target) => {
                let unread_rooms = next.unread.rooms.as_deref().filter(|_| next.has_read);
                let told = Told::news(user_id, &message, tweaks, unread_rooms);
                self.send_to_app(pusher, target, told.until(disappears_ts, self.now_ts())).await
            }
        }
    }

    /// Sends an app the token by which it shows that messages reach it.
    async fn activate(&self, pusher: &ActivePusher) -> std::result::Result<Reception, GatewayError> {
        let lasts_ms = pusher.ack_expires_ts.saturating_sub(self.now_ts());
        match (&pusher.channel, &pusher.ack_token) {
            (Channel::WebPush(target), Some(token)) if lasts_ms > 0 => {
                let told = Told::activation(&pusher.key.app_id, token, lasts_ms.div_ceil(1_000));
                self.send_to_app(pusher, target, told).await
            }
            _ => Ok(Reception::Refused),
        }
    }

    async fn send_to_app(
        &self,
        pusher: &ActivePusher,
        target: &web_push::Target,
        told: Told<'_>,
    ) -> std::result::Result<Reception, GatewayError> {
        let Shared { deliveries, platforms, .. } = &*self.shared;
        // A pusher of a platform that is hosted no more.
        let Some(platform) = platforms.get(pusher.key.user_id.server_name()) else {
            return Ok(Reception::Refused);
        };
        let request = web_push::send(&deliveries.gateway.outbound, &platform, target, told, self.now_ts());
        deliveries.paced(&pusher.key, request).await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::Arc,
        task::{Context, Poll, Waker},
    };

    use linkspan_storage::{Memory, Store};

    use linkspan_storage::catalogue::PusherKey;
    use ruma::owned_user_id;

    use super::{ACTIVATING, Deliveries, RETRYING, SLOW, WORKING};
    use crate::{
        PushSettings,
        gateway::Gateway,
        pushers::Standing::{self, Failing, Unconfirmed, Working},
    };

    fn deliveries() -> Arc<Deliveries> {
        let store = Store::in_memory(Memory::new().expect("an engine"));
        Deliveries::watching(&store, Gateway::new(&PushSettings::new(Arc::new(|| 0))))
    }

    fn key(pushkey: &str) -> PusherKey {
        let user_id = owned_user_id!("@anna:a.example");
        PusherKey { user_id, app_id: "org.example.app".to_owned(), pushkey: pushkey.to_owned() }
    }

    /// How many requests to a pusher may be made at once.
    fn turns(deliveries: &Deliveries, key: &PusherKey, standing: Standing) -> usize {
        let mut taken = Vec::new();
        loop {
            // Else tokio would have a task that asks so often wait.
            let turn = pin!(tokio::task::unconstrained(deliveries.turn(key, standing)));
            match turn.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(turn) => taken.push(turn),
                Poll::Pending => break,
            }
        }
        let count = taken.len();
        // They are never answered.
        taken.into_iter().for_each(std::mem::forget);
        count
    }

    /// How many requests may be made at once to pushers of many users of a platform.
    fn turns_of_many(deliveries: &Deliveries, platform: &str, standing: Standing) -> usize {
        let users = (0..100).map(|number| format!("@user{number}:{platform}").try_into().expect("a user id"));
        let keys = users.map(|user_id| PusherKey { user_id, ..key("silent") });
        keys.map(|key| turns(deliveries, &key, standing)).sum()
    }

    #[tokio::test]
    async fn who_does_not_answer_keeps_nobody_else_waiting() {
        let deliveries = deliveries();
        for (standing, limits) in [(Unconfirmed, ACTIVATING), (Failing, RETRYING), (Working, WORKING)] {
            assert_eq!(turns_of_many(&deliveries, "a.example", standing), limits.per_platform);
            // Nor do many accounts of one platform keep those of others waiting.
            let rest = limits.in_all - limits.per_platform;
            assert_eq!(turns_of_many(&deliveries, "b.example", standing), rest);
        }
    }

    #[tokio::test]
    async fn pushers_of_one_user_have_only_a_share() {
        let deliveries = deliveries();
        for (standing, limits) in [(Unconfirmed, ACTIVATING), (Failing, RETRYING), (Working, WORKING)] {
            assert_eq!(turns(&deliveries, &key("silent"), standing), limits.per_who);
            assert_eq!(turns(&deliveries, &key("another"), standing), 0);
            let rest = limits.per_platform - limits.per_who;
            assert_eq!(turns_of_many(&deliveries, "a.example", standing), rest);
        }
    }

    #[tokio::test]
    async fn who_takes_long_to_answer_keeps_nobody_else_waiting() {
        let deliveries = deliveries();
        let (slow, other) = (key("slow"), key("other"));
        deliveries.note_pace(&slow, SLOW * 4);
        deliveries.note_pace(&other, SLOW);
        assert_eq!(turns(&deliveries, &slow, Working), RETRYING.per_who);
        assert_eq!(turns(&deliveries, &other, Working), WORKING.per_who);
        deliveries.note_pace(&slow, SLOW * 4);
        assert_eq!(turns(&deliveries, &slow, Working), 0);
    }

    #[tokio::test]
    async fn who_answers_soon_again_is_told_with_all_others() {
        let deliveries = deliveries();
        let key = key("slow");
        deliveries.note_pace(&key, SLOW * 4);
        deliveries.note_pace(&key, SLOW / 4);
        assert_eq!(turns(&deliveries, &key, Working), WORKING.per_who);
    }
}
