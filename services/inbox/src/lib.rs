//! The inbox: one ordered queue of pointers for each user, and what wakes a waiting sync.
//!
//! Whoever commits something that concerns a user puts a pointer into the user's inbox in the same
//! write-set ([`point`]). A sync reads the pointers after its token and looks only at what they point
//! at. Typing and presence are never stored; they live here in memory, numbered by *epochs*.
//!
//! This crate does not know what events, rooms or accounts are.

mod known;
mod live;
mod pace;
mod presence;
mod queue;
mod tally;
mod to_device;
mod token;
mod typing;

use std::{
    collections::HashSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use dashmap::DashMap;
use linkspan_storage::{
    CommitGroup, Committed, Feed, News, Store,
    catalogue::{Accounts, Devices, Inbox as InboxTable, Receipts, RoomHeads, ToDevice},
};
use pace::Pace;
use ruma::{OwnedRoomId, OwnedUserId};
use tokio::task::JoinSet;

pub use live::{Live, Waiter};
pub use presence::{Presence, PresenceState, WaitingDevice};
pub use queue::{point, stored_pointers};
pub use tally::{Amount, QueueLimits};
pub use to_device::{SendingToDevices, ToDeviceMessage};
pub use token::{BadToken, SyncToken};
pub use typing::Audience;

/// The inboxes of all hosted users. Clones are the same inboxes.
#[derive(Clone, Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    /// Users whose clients are, or were lately, connected.
    live: DashMap<OwnedUserId, Arc<Live>>,
    /// Big rooms that connected users are in.
    watched: DashMap<OwnedRoomId, live::Watched>,
    typing: typing::TypingRooms,
    presence: DashMap<OwnedUserId, presence::PresentUser>,
    untrimmed: queue::Untrimmed,
    /// How much waits in the queues of devices.
    tallies: Arc<tally::Tallies>,
    sendings: to_device::Sendings,
    /// The epoch of the newest change of typing or presence. It starts from the clock, so that it rises over
    /// restarts.
    epoch: AtomicU64,
    /// Nobody is to wait any more.
    stopping: AtomicBool,
    pace: Pace,
}

impl Inbox {
    /// The inboxes over a store; `now_ts` in milliseconds since the Unix epoch.
    pub fn new(store: Store, now_ts: u64) -> Self {
        let tallies = tally::Tallies::watching(&store);
        let shared = Shared {
            store,
            live: DashMap::new(),
            watched: DashMap::new(),
            typing: typing::TypingRooms::default(),
            presence: DashMap::new(),
            untrimmed: queue::Untrimmed::new(),
            tallies,
            sendings: to_device::Sendings::new(),
            epoch: AtomicU64::new(now_ts * 1000),
            stopping: AtomicBool::new(false),
            pace: Pace::new(),
        };
        let inbox = Self { shared: Arc::new(shared) };
        // The store must not keep itself alive.
        let weak = Arc::downgrade(&inbox.shared);
        inbox.shared.store.listen(Arc::new(move |group| {
            if let Some(shared) = weak.upgrade() {
                Self { shared }.hear_early(group);
            }
        }));
        inbox
    }

    /// Follows the stream of commits and wakes those whom they concern, until the store is gone. Tells who types, too,
    /// as far as that has to wait.
    pub async fn follow(self, mut feed: Feed) {
        // It ends with this.
        let mut telling = JoinSet::new();
        telling.spawn(self.clone().keep_telling_typing());
        while let Some(news) = feed.next().await {
            match news {
                News::Commits(group) => self.tell(&group),
                News::Missed => self.wake_everybody(),
            }
        }
    }

    fn tell(&self, group: &CommitGroup) {
        // Commits of a busy room concern the same people again and again.
        let (mut users, mut pointers, mut rooms) = (HashSet::new(), HashSet::new(), HashSet::new());
        for committed in group.iter() {
            pointers.extend(committed.keys_put::<InboxTable>().map(|key| (&key.user_id, &key.pointer)));
            users.extend(committed.keys_put::<ToDevice>().map(|key| &key.user_id));
            // Whoever waits asks anew whether its session holds.
            users.extend(committed.keys_changed::<Devices>().map(|key| &key.user_id));
            users.extend(committed.keys_changed::<Accounts>().map(|key| &key.user_id));
            rooms.extend(news_of_rooms(committed));
        }
        users.extend(pointers.iter().map(|(user_id, _)| user_id));
        users.into_iter().for_each(|user_id| self.wake(user_id));
        pointers.into_iter().for_each(|(user_id, _)| self.trim_if_due(user_id));
        for room_id in rooms {
            // Nobody is woken with the list locked: whoever watches anew waits for it.
            let watchers = self.shared.watched.get(room_id).map(|watched| watched.watchers.clone());
            watchers.iter().flatten().filter_map(Weak::upgrade).for_each(|live| live.wake());
        }
    }

    fn wake_everybody(&self) {
        self.shared.live.iter().for_each(|live| live.wake());
    }

    /// Lets news gather for some milliseconds if much is being committed; else returns at once. For syncs, before they
    /// look for news.
    pub async fn gather(&self) {
        self.shared.pace.gather().await;
    }

    /// Wakes everybody who waits, for good: the server is about to stop.
    pub fn stop_waiting(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.wake_everybody();
    }

    /// Whether a sync must answer with what it has instead of waiting for news.
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Acquire)
    }

    /// The token of everything up to now.
    pub fn now(&self) -> SyncToken {
        SyncToken { position: self.shared.store.position(), epoch: self.shared.epoch.load(Ordering::Acquire) }
    }

    fn next_epoch(&self) -> u64 {
        self.shared.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }
}

/// The rooms that a commit brought events or receipts to: for those who read a big room instead of having pointers.
fn news_of_rooms(committed: &Committed) -> impl Iterator<Item = &OwnedRoomId> {
    let heads = committed.keys_put::<RoomHeads>().map(|key| &key.room_id);
    heads.chain(committed.keys_put::<Receipts>().map(|key| &key.room_id))
}

#[cfg(test)]
mod tests {
    use linkspan_storage::{
        Memory, Position,
        catalogue::RoomKey,
        records::{InboxPointer, RoomHeadRecord},
    };

    use super::*;

    #[tokio::test]
    async fn stopping_wakes_who_waits_and_keeps_others_from_waiting() {
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let inbox = Inbox::new(store, 1);
        let user_id = "@anna:one.localhost".try_into().expect("a user id");
        let waiter = inbox.waiter(&user_id);
        let changed = waiter.changed();
        assert!(!inbox.is_stopping());
        inbox.stop_waiting();
        changed.await;
        assert!(inbox.is_stopping());
    }

    /// Users who are forgotten and remembered again while pointers come in see all of them.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn nothing_is_missed_while_users_are_forgotten() {
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let inbox = Inbox::new(store.clone(), 1);
        let user_id: ruma::OwnedUserId = "@anna:one.localhost".try_into().expect("a user id");
        let pointer = |number: u32| {
            let room_id = format!("!{number}:one.localhost").try_into().expect("a room id");
            InboxPointer::Room(room_id)
        };
        let number_of = |pointer: &InboxPointer| -> u32 {
            let InboxPointer::Room(room_id) = pointer else { panic!("only rooms are pointed at") };
            room_id.as_str().trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
        };
        let done = Arc::new(AtomicBool::new(false));
        let forget = tokio::spawn({
            let (inbox, done) = (inbox.clone(), done.clone());
            async move {
                while !done.load(Ordering::Relaxed) {
                    inbox.forget_idle();
                    tokio::task::yield_now().await;
                }
            }
        });
        let look = tokio::spawn({
            let (inbox, done, user_id) = (inbox.clone(), done.clone(), user_id.clone());
            async move {
                while !done.load(Ordering::Relaxed) {
                    let from = Position::from_u64(inbox.now().position.get().saturating_sub(20));
                    let pointers = inbox.pointers(&user_id, from).await.expect("they are read");
                    let mut numbers: Vec<u32> = pointers.iter().map(number_of).collect();
                    numbers.sort_unstable();
                    let next = u32::try_from(from.get()).expect("a small number");
                    // Commits are numbered from 1, rooms from 0.
                    let newer = numbers.iter().skip_while(|number| **number < next);
                    assert!(
                        newer.zip(next..).all(|(is, should)| *is == should),
                        "{numbers:?} after {from:?}"
                    );
                    tokio::task::yield_now().await;
                }
            }
        });
        for number in 0..1_000 {
            let mut writes = linkspan_storage::WriteSet::new();
            point(&mut writes, &user_id, pointer(number));
            let position = store.commit(writes).await.expect("it is committed");
            let before = Position::from_u64(position.get() - 1);
            let found = inbox.pointers(&user_id, before).await.expect("they are read");
            assert!(found.contains(&pointer(number)), "{number}");
        }
        done.store(true, Ordering::Relaxed);
        forget.await.expect("it ends");
        look.await.expect("nothing was missed");
    }

    #[tokio::test]
    async fn big_rooms_that_changed_are_told_and_those_that_were_left_are_not_watched() {
        let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
        let inbox = Inbox::new(store.clone(), 1);
        let anna: ruma::OwnedUserId = "@anna:one.localhost".try_into().expect("a user id");
        let room = |name: &str| OwnedRoomId::try_from(format!("!{name}:one.localhost")).expect("a room id");
        let write = async |name: &str| {
            let mut writes = linkspan_storage::WriteSet::new();
            let head = RoomHeadRecord {
                seq: 1,
                extremities: Vec::new(),
                depth: 1,
                state_id: 1,
                last_state_id: 1,
                joined: 1,
                invited: 0,
                unanswered: 0,
                unanswered_bytes: 0,
                state_size: None,
            };
            writes.put::<RoomHeads>(&RoomKey { room_id: room(name) }, &head);
            store.commit(writes).await.expect("it is committed")
        };
        let before = write("a").await;
        let rooms: Arc<[OwnedRoomId]> = Arc::from([room("a"), room("b")]);
        // What was before may have been missed.
        let nowhere = inbox.changed_big_rooms(&anna, &rooms, Position::ZERO);
        assert_eq!(nowhere, [room("a"), room("b")]);
        assert!(inbox.changed_big_rooms(&anna, &rooms, before).is_empty());
        let changed = write("b").await;
        write("c").await;
        assert_eq!(inbox.changed_big_rooms(&anna, &rooms, before), [room("b")]);
        assert!(inbox.changed_big_rooms(&anna, &rooms, changed).is_empty());

        let fewer: Arc<[OwnedRoomId]> = Arc::from([room("b")]);
        assert_eq!(inbox.changed_big_rooms(&anna, &fewer, before), [room("b")]);
        let watched =
            |name: &str| inbox.shared.watched.get(&room(name)).map(|watched| watched.watchers.len());
        assert_eq!((watched("a"), watched("b"), watched("c")), (Some(0), Some(1), None));
        inbox.forget_idle();
        assert!(inbox.shared.watched.is_empty());
    }

    #[tokio::test]
    async fn who_comes_back_watches_only_what_is_left() {
        let inbox = Inbox::new(Store::in_memory(Memory::new().expect("a store in memory opens")), 1);
        let anna: ruma::OwnedUserId = "@anna:one.localhost".try_into().expect("a user id");
        let room = |name: &str| OwnedRoomId::try_from(format!("!{name}:one.localhost")).expect("a room id");
        let rooms: Arc<[OwnedRoomId]> = Arc::from([room("a"), room("b")]);
        inbox.changed_big_rooms(&anna, &rooms, Position::ZERO);
        // She is forgotten, and back before the lists of rooms are looked through.
        inbox.shared.live.remove(&anna);
        let waiter = inbox.waiter(&anna);
        let fewer: Arc<[OwnedRoomId]> = Arc::from([room("b")]);
        inbox.changed_big_rooms(&anna, &fewer, Position::ZERO);
        inbox.forget_idle();
        let watched: Vec<_> = inbox.shared.watched.iter().map(|watched| watched.key().clone()).collect();
        assert_eq!(watched, [room("b")]);
        drop(waiter);
    }
}
