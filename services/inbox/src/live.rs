//! Users whose clients are connected: who waits, and what ephemeral news each has.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId};
use tokio::sync::Notify;

use crate::Inbox;

/// How long a user counts as connected after the last sync.
const LINGER: Duration = Duration::from_secs(300);

/// A connected user.
#[derive(Debug, Default)]
pub struct Live {
    changed: Notify,
    state: Mutex<LiveState>,
}

#[derive(Debug, Default)]
struct LiveState {
    last_seen: Option<Instant>,
    /// Rooms in which who types has changed, with the epoch.
    typing: HashMap<OwnedRoomId, u64>,
    /// Users whose presence has changed, with the epoch.
    presence: HashMap<OwnedUserId, u64>,
    watched: Vec<OwnedRoomId>,
}

impl Live {
    /// Wakes who waits for news of the user.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }
}

/// Waits for news of one user, from the moment it was made.
#[derive(Debug)]
pub struct Waiter {
    live: Arc<Live>,
}

impl Waiter {
    /// A future that is ready once there is news; make it before looking whether there already is.
    pub fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.live.changed.notified()
    }

    /// Rooms in which who types has changed since the epoch.
    pub fn typing_since(&self, epoch: u64) -> Vec<OwnedRoomId> {
        let state = self.live.state.lock();
        state.typing.iter().filter(|&(_, &at)| at > epoch).map(|(room_id, _)| room_id.clone()).collect()
    }

    /// Users whose presence has changed since the epoch.
    pub fn presence_since(&self, epoch: u64) -> Vec<OwnedUserId> {
        let state = self.live.state.lock();
        state.presence.iter().filter(|&(_, &at)| at > epoch).map(|(user_id, _)| user_id.clone()).collect()
    }
}

impl Inbox {
    /// Marks a user as connected.
    pub fn waiter(&self, user_id: &OwnedUserId) -> Waiter {
        let live = match self.shared.live.get(user_id) {
            Some(live) => live.clone(),
            None => self.shared.live.entry(user_id.clone()).or_default().clone(),
        };
        live.state.lock().last_seen = Some(Instant::now());
        Waiter { live }
    }

    /// When a client of the user last began a sync, or now if one waits; None: long ago.
    pub(crate) fn last_seen(&self, user_id: &OwnedUserId) -> Option<Instant> {
        let live = self.shared.live.get(user_id)?;
        if Arc::strong_count(&live) > 1 {
            return Some(Instant::now());
        }
        let state = live.state.lock();
        state.last_seen
    }

    /// Wakes the user when one of these rooms grows; for rooms that are not fanned out to.
    pub fn watch_rooms(&self, user_id: &OwnedUserId, rooms: &[OwnedRoomId]) {
        let Some(live) = self.shared.live.get(user_id).map(|live| live.clone()) else { return };
        let mut state = live.state.lock();
        for room_id in rooms {
            if !state.watched.contains(room_id) {
                state.watched.push(room_id.clone());
                self.shared.watchers.entry(room_id.clone()).or_default().push(user_id.clone());
            }
        }
    }

    pub(crate) fn wake(&self, user_id: &OwnedUserId) {
        if let Some(live) = self.shared.live.get(user_id) {
            live.changed.notify_waiters();
        }
    }

    pub(crate) fn tell_typing(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId, epoch: u64) {
        if let Some(live) = self.shared.live.get(user_id) {
            live.state.lock().typing.insert(room_id.clone(), epoch);
            live.changed.notify_waiters();
        }
    }

    pub(crate) fn tell_presence(&self, user_id: &OwnedUserId, of: &OwnedUserId, epoch: u64) {
        if let Some(live) = self.shared.live.get(user_id) {
            live.state.lock().presence.insert(of.clone(), epoch);
            live.changed.notify_waiters();
        }
    }

    /// Forgets users who have not synced for long; to be called now and then.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        let mut left = Vec::new();
        self.shared.live.retain(|user_id, live| {
            // A waiter holds the other reference.
            let state = live.state.lock();
            let idle = Arc::strong_count(live) == 1
                && state.last_seen.is_none_or(|seen| now.duration_since(seen) > LINGER);
            if idle {
                left.extend(state.watched.iter().map(|room_id| (room_id.clone(), user_id.clone())));
            }
            !idle
        });
        for (room_id, user_id) in left {
            if let Some(mut watchers) = self.shared.watchers.get_mut(&room_id) {
                watchers.retain(|watcher| *watcher != user_id);
            }
        }
        self.shared.watchers.retain(|_, watchers| !watchers.is_empty());
    }
}
