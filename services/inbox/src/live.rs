//! Users whose clients are connected: who waits, and what ephemeral news each has.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use linkspan_storage::{
    CommitGroup, Position, Unanswered,
    catalogue::{BigRooms, Inbox as InboxTable, InboxKey, ToDevice, ToDeviceKey, UserRoomKey},
};
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId};
use tokio::sync::Notify;

use crate::{Inbox, known::Known, news_of_rooms};

/// How long a user counts as connected after the last sync.
pub(crate) const LINGER: Duration = Duration::from_secs(300);

/// A connected user.
#[derive(Debug)]
pub struct Live {
    changed: Notify,
    pub(crate) known: Mutex<Known>,
    state: Mutex<LiveState>,
    /// Whose presence changed up to this epoch is not known.
    begun: u64,
}

#[derive(Debug, Default)]
struct LiveState {
    last_seen: Option<Instant>,
    /// Rooms in which who types has changed, with the epoch.
    typing: HashMap<OwnedRoomId, u64>,
    /// Users whose presence has changed, with the epoch.
    presence: HashMap<OwnedUserId, u64>,
    /// The user's own requests that have written something and may not have been answered.
    unanswered: Vec<Unanswered>,
    watching: Option<Watching>,
}

/// Big rooms, as they were listed last, and when each of them may last have changed.
type Watching = (Arc<[OwnedRoomId]>, Vec<Arc<AtomicU64>>);

/// A big room that connected users are in.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) watchers: Vec<OwnedUserId>,
    /// The position at which it may last have changed.
    changed: Arc<AtomicU64>,
}

impl Live {
    /// Nothing is known of what was committed up to `heard`, and of whose presence changed up to the epoch `begun`.
    fn new(heard: Position, begun: u64) -> Self {
        let known = Mutex::new(Known::new(heard));
        Self { changed: Notify::new(), known, state: Mutex::default(), begun }
    }

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

    /// Users whose presence has changed since the epoch; None: that is too long ago to be known.
    pub fn presence_since(&self, epoch: u64) -> Option<Vec<OwnedUserId>> {
        let state = self.live.state.lock();
        let newer = state.presence.iter().filter(|&(_, &at)| at > epoch);
        (epoch >= self.live.begun).then(|| newer.map(|(user_id, _)| user_id.clone()).collect())
    }
}

impl Waiter {
    /// Waits until the user's own requests that have written something have been answered, but not long. For who is
    /// about to tell a device of the user: clients expect to learn from the answer what they did, and only then from
    /// a sync. Whoever else is told waits for nobody.
    pub async fn own_requests_answered(&self) {
        let unanswered = {
            let mut state = self.live.state.lock();
            state.unanswered.retain(|request| !request.is_over());
            state.unanswered.clone()
        };
        for request in unanswered {
            request.over().await;
        }
    }
}

impl Inbox {
    /// How many users are, or were lately, connected.
    pub fn count_connected(&self) -> usize {
        self.shared.live.len()
    }

    /// Marks a user as connected.
    pub fn waiter(&self, user_id: &OwnedUserId) -> Waiter {
        let live = self.live(user_id);
        live.state.lock().last_seen = Some(Instant::now());
        Waiter { live }
    }

    /// What is in memory of a user; of whoever was not connected, that begins here.
    pub(crate) fn live(&self, user_id: &OwnedUserId) -> Arc<Live> {
        if let Some(live) = self.shared.live.get(user_id) {
            return live.clone();
        }
        // Under the lock of the entry: what is heard after this finds it.
        let new = || Arc::new(Live::new(self.heard(), self.now().epoch));
        self.shared.live.entry(user_id.clone()).or_insert_with(new).clone()
    }

    /// Hears of commits, before anybody is told of them.
    pub(crate) fn hear_early(&self, group: &CommitGroup) {
        self.shared.pace.hear(group.len());
        for committed in group.iter() {
            let position = committed.position;
            committed.request.iter().for_each(|request| self.note_unanswered(request));
            for InboxKey { user_id, pointer, .. } in committed.keys_put::<InboxTable>() {
                self.note(user_id, |known| known.hear_pointer(position, pointer));
            }
            for ToDeviceKey { user_id, device_id, .. } in committed.keys_put::<ToDevice>() {
                self.note(user_id, |known| known.hear_message(position, device_id));
            }
            for UserRoomKey { user_id, .. } in committed.keys_changed::<BigRooms>() {
                self.note(user_id, |known| known.hear_big_rooms(position));
            }
            for room_id in news_of_rooms(committed) {
                if let Some(watched) = self.shared.watched.get(room_id) {
                    watched.changed.fetch_max(position.get(), Ordering::SeqCst);
                }
            }
        }
    }

    /// Notes something of a user, if the user is connected.
    fn note(&self, user_id: &OwnedUserId, note: impl FnOnce(&mut Known)) {
        if let Some(live) = self.shared.live.get(user_id) {
            note(&mut live.known.lock());
        }
    }

    /// A request has written something, which a sync of its user may tell.
    pub(crate) fn note_unanswered(&self, request: &Unanswered) {
        request.note_written();
        let Some(live) = self.shared.live.get(request.user_id()) else { return };
        let mut state = live.state.lock();
        state.unanswered.retain(|other| !other.is_over() && !other.is_same(request));
        state.unanswered.push(request.clone());
    }

    /// The same of the request that the present task runs a part of, for what is never stored.
    pub(crate) fn note_current_request(&self) {
        Unanswered::current().iter().for_each(|request| self.note_unanswered(request));
    }

    /// Up to where was heard.
    pub(crate) fn heard(&self) -> Position {
        self.shared.store.heard()
    }

    /// Which of a user's big rooms, as they were listed last, may have changed after `since`. From now on the user is
    /// woken when one of them changes.
    pub fn changed_big_rooms(
        &self,
        user_id: &OwnedUserId,
        rooms: &Arc<[OwnedRoomId]>,
        since: Position,
    ) -> Vec<OwnedRoomId> {
        let live = self.live(user_id);
        let mut state = live.state.lock();
        let marks = match &state.watching {
            Some((watching, marks)) if Arc::ptr_eq(watching, rooms) => marks,
            _ => {
                let marks = rooms.iter().map(|room_id| self.watch(user_id, room_id)).collect();
                if let Some((before, _)) = state.watching.take() {
                    let rooms: HashSet<_> = rooms.iter().collect();
                    let left = before.iter().filter(|room_id| !rooms.contains(room_id));
                    left.for_each(|room_id| self.unwatch(user_id, room_id));
                }
                &state.watching.insert((rooms.clone(), marks)).1
            }
        };
        let changed = rooms.iter().zip(marks).filter(|(_, mark)| mark.load(Ordering::SeqCst) > since.get());
        changed.map(|(room_id, _)| room_id.clone()).collect()
    }

    /// When a room that a user watches from now on may last have changed.
    fn watch(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Arc<AtomicU64> {
        // Under the lock of the entry: what is heard after this finds it.
        let mut watched = self.shared.watched.entry(room_id.clone()).or_insert_with(|| Watched {
            watchers: Vec::new(),
            changed: Arc::new(AtomicU64::new(self.heard().get())),
        });
        if !watched.watchers.contains(user_id) {
            watched.watchers.push(user_id.clone());
        }
        watched.changed.clone()
    }

    fn unwatch(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) {
        if let Some(mut watched) = self.shared.watched.get_mut(room_id) {
            watched.watchers.retain(|watcher| watcher != user_id);
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

    pub(crate) fn note_presence(&self, user_id: &OwnedUserId, of: &OwnedUserId, epoch: u64) {
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
            // A waiter holds the other reference. So does whoever has the state locked: nobody is waited for here,
            // where all who look for a user would have to wait too.
            if Arc::strong_count(live) > 1 {
                return true;
            }
            let state = live.state.lock();
            let idle = state.last_seen.is_none_or(|seen| now.duration_since(seen) > LINGER);
            if idle {
                let rooms = state.watching.iter().flat_map(|(rooms, _)| rooms.iter());
                left.extend(rooms.map(|room_id| (room_id.clone(), user_id.clone())));
            }
            !idle
        });
        for (room_id, user_id) in left {
            if let Some(mut watched) = self.shared.watched.get_mut(&room_id)
                // Who is back by now watches, or will.
                && !self.shared.live.contains_key(&user_id)
            {
                watched.watchers.retain(|watcher| *watcher != user_id);
            }
        }
        self.shared.watched.retain(|_, watched| !watched.watchers.is_empty());
        self.forget_quiet_rooms();
    }
}
