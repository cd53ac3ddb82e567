//! Users whose clients are connected: who waits, and what ephemeral news each has.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{
        Arc, Weak,
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

/// Rooms and people of whom is remembered for a connected user that there is ephemeral news, at most of each. Whoever has
/// been connected for long has met many.
const MAX_NEWS: usize = 4_096;

/// A connected user.
#[derive(Debug)]
pub struct Live {
    changed: Notify,
    pub(crate) known: Mutex<Known>,
    state: Mutex<LiveState>,
}

#[derive(Debug, Default)]
struct LiveState {
    last_seen: Option<Instant>,
    /// Rooms in which who types has changed.
    typing: News<OwnedRoomId>,
    /// Users whose presence has changed.
    presence: News<OwnedUserId>,
    /// The user's own requests that have written something and may not have been answered.
    unanswered: Vec<Unanswered>,
    watching: Option<Watching>,
}

/// What has news, each with the epoch of the newest.
#[derive(Debug)]
struct News<T> {
    epochs: HashMap<T, u64>,
    /// What had its newest up to this epoch may be missing.
    complete_after: u64,
}

impl<T> Default for News<T> {
    fn default() -> Self {
        Self { epochs: HashMap::new(), complete_after: 0 }
    }
}

impl<T: Clone + Eq + Hash> News<T> {
    fn note(&mut self, of: &T, epoch: u64) {
        self.epochs.insert(of.clone(), epoch);
        if self.epochs.len() > MAX_NEWS {
            let mut epochs: Vec<_> = self.epochs.values().copied().collect();
            let (_, &mut median, _) = epochs.select_nth_unstable(MAX_NEWS / 2);
            self.epochs.retain(|_, at| *at > median);
            self.complete_after = self.complete_after.max(median);
        }
    }

    /// What has news since an epoch, as far as it is remembered.
    fn since(&self, epoch: u64) -> Vec<T> {
        self.epochs.iter().filter(|&(_, &at)| at > epoch).map(|(of, _)| of.clone()).collect()
    }
}

/// Big rooms, as they were listed last, and when each of them may last have changed.
type Watching = (Arc<[OwnedRoomId]>, Vec<Arc<AtomicU64>>);

/// A big room that connected users are in.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Those who are connected no longer are gone.
    pub(crate) watchers: Vec<Weak<Live>>,
    /// The position at which it may last have changed.
    changed: Arc<AtomicU64>,
}

impl Live {
    /// Nothing is known of what was committed up to `heard`, and of whose presence changed up to the epoch `begun`.
    fn new(heard: Position, begun: u64) -> Self {
        let mut state = LiveState::default();
        state.presence.complete_after = begun;
        Self { changed: Notify::new(), known: Mutex::new(Known::new(heard)), state: Mutex::new(state) }
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

    /// Rooms in which who types has changed since the epoch, of the last few thousand.
    pub fn typing_since(&self, epoch: u64) -> Vec<OwnedRoomId> {
        self.live.state.lock().typing.since(epoch)
    }

    /// Users whose presence has changed since the epoch; None: that is too long ago to be known.
    pub fn presence_since(&self, epoch: u64) -> Option<Vec<OwnedUserId>> {
        let state = self.live.state.lock();
        (epoch >= state.presence.complete_after).then(|| state.presence.since(epoch))
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
    /// How many entries there are of what is kept in memory, by name, for operators.
    pub fn memory_entries(&self) -> [(&'static str, usize); 5] {
        let shared = &self.shared;
        [
            ("connected_users", shared.live.len()),
            ("watched_big_rooms", shared.watched.len()),
            ("typing_rooms", shared.typing.len()),
            ("present_users", shared.presence.len()),
            ("device_queues", shared.tallies.len()),
        ]
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
                let marks = rooms.iter().map(|room_id| self.watch(&live, room_id)).collect();
                if let Some((before, _)) = state.watching.take() {
                    let rooms: HashSet<_> = rooms.iter().collect();
                    let left = before.iter().filter(|room_id| !rooms.contains(room_id));
                    left.for_each(|room_id| self.unwatch(&live, room_id));
                }
                &state.watching.insert((rooms.clone(), marks)).1
            }
        };
        let changed = rooms.iter().zip(marks).filter(|(_, mark)| mark.load(Ordering::SeqCst) > since.get());
        changed.map(|(room_id, _)| room_id.clone()).collect()
    }

    /// When a room that a user watches from now on may last have changed.
    fn watch(&self, live: &Arc<Live>, room_id: &OwnedRoomId) -> Arc<AtomicU64> {
        // Under the lock of the entry: what is heard after this finds it.
        let mut watched = self.shared.watched.entry(room_id.clone()).or_insert_with(|| Watched {
            watchers: Vec::new(),
            changed: Arc::new(AtomicU64::new(self.heard().get())),
        });
        let watcher = Arc::downgrade(live);
        if !watched.watchers.iter().any(|other| other.ptr_eq(&watcher)) {
            watched.watchers.push(watcher);
        }
        watched.changed.clone()
    }

    fn unwatch(&self, live: &Arc<Live>, room_id: &OwnedRoomId) {
        if let Some(mut watched) = self.shared.watched.get_mut(room_id) {
            watched.watchers.retain(|watcher| !watcher.ptr_eq(&Arc::downgrade(live)));
        }
    }

    pub(crate) fn wake(&self, user_id: &OwnedUserId) {
        if let Some(live) = self.shared.live.get(user_id) {
            live.changed.notify_waiters();
        }
    }

    /// Tells a user that who types in a room has changed; says whether the user is connected.
    pub(crate) fn tell_typing(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId, epoch: u64) -> bool {
        let Some(live) = self.shared.live.get(user_id) else { return false };
        live.state.lock().typing.note(room_id, epoch);
        live.wake();
        true
    }

    pub(crate) fn note_presence(&self, user_id: &OwnedUserId, of: &OwnedUserId, epoch: u64) {
        if let Some(live) = self.shared.live.get(user_id) {
            live.state.lock().presence.note(of, epoch);
            live.changed.notify_waiters();
        }
    }

    /// Forgets users who have not synced for long; to be called now and then.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        self.shared.live.retain(|_, live| {
            // A waiter holds the other reference. So does whoever has the state locked: nobody is waited for here,
            // where all who look for a user would have to wait too.
            Arc::strong_count(live) > 1
                || live.state.lock().last_seen.is_some_and(|seen| now.duration_since(seen) <= LINGER)
        });
        self.shared.watched.retain(|_, watched| {
            watched.watchers.retain(|watcher| watcher.strong_count() > 0);
            !watched.watchers.is_empty()
        });
        self.forget_quiet_rooms();
        self.forget_absent();
        self.shared.tallies.forget_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_have_an_end_and_the_newest_are_kept() {
        let mut news = News::default();
        for epoch in 1..=3 * MAX_NEWS as u64 {
            news.note(&epoch, epoch);
        }
        assert!(news.epochs.len() <= MAX_NEWS);
        assert!(news.complete_after < 3 * MAX_NEWS as u64);
        let known = news.since(news.complete_after).len() as u64;
        assert_eq!(known, 3 * MAX_NEWS as u64 - news.complete_after);
    }
}
