//! Who types in which room. This is kept in memory only.
//!
//! Each time that it is told, all who are told look for news. So a room is told at once of a few changes, and then of
//! what has changed meanwhile, about once a second, or more rarely the more people it wakes.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{Inbox, live::LINGER};

/// The most typing changes that are remembered for a room.
const MAX_CHANGES: usize = 32;
/// How often a room is told at most, and how often is looked for who has stopped.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How much of this time may be taken in advance: somebody who begins, and soon stops, is told of both at once.
const IN_ADVANCE: Duration = Duration::from_secs(4);
/// How long a room waits for each person whom telling has woken, if that is longer: it wakes about a hundred in a second.
const WAIT_FOR_WOKEN: Duration = Duration::from_millis(10);
/// Rooms with more members are told nothing: somebody always types there, and nobody looks at it.
const MAX_MEMBERS: usize = 1_000;

/// Who is told what somebody does in a room. The widest audience comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// All members are told.
    Everybody,
    /// Members of the user's own platform are told. The other platforms do not accept typing from there.
    OwnPlatform,
    /// Nobody but the user is told.
    Oneself,
}

impl Audience {
    /// Whether `reader` is told what `user_id` does.
    pub fn has(self, reader: &UserId, user_id: &UserId) -> bool {
        match self {
            Self::Everybody => true,
            Self::OwnPlatform => reader.server_name() == user_id.server_name(),
            Self::Oneself => reader == user_id,
        }
    }
}

/// Who types in the rooms in which somebody does, or lately did.
#[derive(Debug, Default)]
pub(crate) struct TypingRooms {
    rooms: DashMap<OwnedRoomId, TypingRoom>,
    /// Those of them in which somebody types, or which have not been told everything.
    active: Mutex<HashSet<OwnedRoomId>>,
}

impl TypingRooms {
    /// How many rooms there are.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }
}

/// Who types in a room.
#[derive(Debug)]
struct TypingRoom {
    users: BTreeMap<OwnedUserId, Typing>,
    /// Who began to type or stopped, each with its epoch.
    changes: VecDeque<(u64, OwnedUserId)>,
    /// The epoch after which all changes are known.
    complete_after: u64,
    last_change: Instant,
    /// The members, as they were when somebody last said something of typing.
    members: Arc<Vec<OwnedUserId>>,
    /// Who has begun to type or stopped since the room was last told, and who is to know it.
    untold: BTreeMap<OwnedUserId, Audience>,
    /// The end of the time that telling the room has taken, which may lie a little ahead.
    taken_until: Instant,
}

#[derive(Debug)]
struct Typing {
    until: Instant,
    audience: Audience,
}

/// What a room is told.
#[derive(Debug)]
struct Telling {
    epoch: u64,
    who: BTreeMap<OwnedUserId, Audience>,
    members: Arc<Vec<OwnedUserId>>,
}

impl TypingRoom {
    /// Begins at an epoch. What changed until then is not known.
    fn new(epoch: u64) -> Self {
        Self {
            users: BTreeMap::new(),
            changes: VecDeque::new(),
            complete_after: epoch,
            last_change: Instant::now(),
            members: Arc::default(),
            untold: BTreeMap::new(),
            taken_until: Instant::now(),
        }
    }

    fn set(&mut self, user_id: &OwnedUserId, typing: Option<Typing>) {
        let audience = match typing {
            Some(typing) => {
                let audience = typing.audience;
                self.users.insert(user_id.clone(), typing).is_none().then_some(audience)
            }
            // Whoever was told of the beginning is told of the end.
            None => self.users.remove(user_id).map(|typing| typing.audience),
        };
        if let Some(audience) = audience {
            self.note_untold(user_id.clone(), audience);
        }
    }

    /// Whoever has begun and stopped, or the other way round, before that was told has done nothing.
    fn note_untold(&mut self, user_id: OwnedUserId, audience: Audience) {
        match self.untold.remove(&user_id) {
            Some(earlier) if earlier == audience => {}
            earlier => {
                self.untold.insert(user_id, earlier.map_or(audience, |wider| wider.min(audience)));
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let expired: Vec<_> = self.users.extract_if(.., |_, typing| typing.until <= now).collect();
        for (user_id, typing) in expired {
            self.note_untold(user_id, typing.audience);
        }
    }

    /// What the room is to be told, if it is time for that.
    fn telling(&mut self, now: Instant, next_epoch: impl FnOnce() -> u64) -> Option<Telling> {
        if self.untold.is_empty() || self.taken_until > now + IN_ADVANCE {
            return None;
        }
        let (epoch, who) = (next_epoch(), std::mem::take(&mut self.untold));
        who.keys().for_each(|user_id| self.note_change(epoch, user_id.clone()));
        self.taken_until = self.taken_until.max(now) + TELL_EVERY;
        Some(Telling { epoch, who, members: self.members.clone() })
    }

    fn is_active(&self) -> bool {
        !self.users.is_empty() || !self.untold.is_empty()
    }

    fn note_change(&mut self, epoch: u64, user_id: OwnedUserId) {
        self.last_change = Instant::now();
        self.changes.push_back((epoch, user_id));
        if self.changes.len() > MAX_CHANGES
            && let Some((forgotten, _)) = self.changes.pop_front()
        {
            self.complete_after = forgotten;
        }
    }

    /// Whether anybody but `others` may have begun to type or stopped after an epoch.
    fn changed_besides(&self, others: &HashSet<OwnedUserId>, epoch: u64) -> bool {
        let mut newer = self.changes.iter().filter(|(at, _)| *at > epoch);
        epoch < self.complete_after || newer.any(|(_, user_id)| !others.contains(user_id))
    }
}

impl Inbox {
    /// Sets for how long a user types in a room, or that the user has stopped if `timeout` is None. Tells
    /// those of `members` who belong to the audience, at once or within about a second. Those of a room with very many
    /// are told nothing.
    pub fn set_typing(
        &self,
        room_id: &OwnedRoomId,
        user_id: &OwnedUserId,
        timeout: Option<Duration>,
        audience: Audience,
        members: &Arc<Vec<OwnedUserId>>,
    ) {
        if members.len() > MAX_MEMBERS {
            return;
        }
        let now = Instant::now();
        let telling = {
            let room = self.shared.typing.rooms.entry(room_id.clone());
            let mut room = room.or_insert_with(|| TypingRoom::new(self.now().epoch));
            room.members = members.clone();
            room.set(user_id, timeout.map(|timeout| Typing { until: now + timeout, audience }));
            let telling = room.telling(now, || self.next_epoch());
            self.note_active(room_id, &room);
            telling
        };
        if let Some(telling) = telling {
            self.note_current_request();
            self.tell_room(room_id, &telling);
        }
    }

    /// Has the room looked at again, if there may be something to tell. It is called with the room locked.
    fn note_active(&self, room_id: &OwnedRoomId, room: &TypingRoom) {
        if room.is_active() {
            self.shared.typing.active.lock().insert(room_id.clone());
        }
    }

    fn tell_room(&self, room_id: &OwnedRoomId, telling: &Telling) {
        let Telling { epoch, who, members } = telling;
        let is_told =
            |member: &OwnedUserId| who.iter().any(|(user_id, audience)| audience.has(member, user_id));
        let told = members.iter().filter(|member| is_told(member));
        let woken = told.filter(|member| self.tell_typing(member, room_id, *epoch)).count();
        let wait = WAIT_FOR_WOKEN.saturating_mul(u32::try_from(woken).unwrap_or(u32::MAX));
        if let Some(longer) = wait.checked_sub(TELL_EVERY)
            && let Some(mut room) = self.shared.typing.rooms.get_mut(room_id)
        {
            room.taken_until += longer;
        }
    }

    /// Tells rooms who has stopped typing, and what had to wait.
    pub(crate) async fn keep_telling_typing(self) {
        let mut times = interval(TELL_EVERY);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            self.tell_waiting_rooms();
        }
    }

    fn tell_waiting_rooms(&self) {
        let now = Instant::now();
        let rooms = std::mem::take(&mut *self.shared.typing.active.lock());
        for room_id in rooms {
            let telling = {
                let Some(mut room) = self.shared.typing.rooms.get_mut(&room_id) else { continue };
                room.expire(now);
                let telling = room.telling(now, || self.next_epoch());
                self.note_active(&room_id, &room);
                telling
            };
            if let Some(telling) = telling {
                self.tell_room(&room_id, &telling);
            }
        }
    }

    /// Who types in a room, as far as `reader` is told of it.
    pub fn typing(&self, room_id: &OwnedRoomId, reader: &UserId) -> Vec<OwnedUserId> {
        let now = Instant::now();
        let Some(room) = self.shared.typing.rooms.get(room_id) else { return Vec::new() };
        let typing = room.users.iter().filter(|(_, typing)| typing.until > now);
        let told = typing.filter(|(user_id, typing)| typing.audience.has(reader, user_id));
        told.map(|(user_id, _)| user_id.clone()).collect()
    }

    /// Whether anybody but `others` may have begun to type in a room after an epoch, or stopped.
    pub fn typing_changed_besides(
        &self,
        others: &HashSet<OwnedUserId>,
        room_id: &OwnedRoomId,
        epoch: u64,
    ) -> bool {
        self.shared.typing.rooms.get(room_id).is_none_or(|room| room.changed_besides(others, epoch))
    }

    /// Forgets rooms in which nobody has typed for long.
    pub(crate) fn forget_quiet_rooms(&self) {
        let is_quiet = |room: &TypingRoom| !room.is_active() && room.last_change.elapsed() >= LINGER;
        self.shared.typing.rooms.retain(|_, room| !is_quiet(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> OwnedUserId {
        format!("@{name}:one.localhost").try_into().expect("a user id")
    }

    #[test]
    fn what_the_ignored_do_is_no_change() {
        let ignored = HashSet::from([user("bert")]);
        let mut room = TypingRoom::new(10);
        room.note_change(11, user("bert"));
        assert!(!room.changed_besides(&ignored, 10));
        assert!(room.changed_besides(&ignored, 9), "what was before it is not known");
        assert!(room.changed_besides(&HashSet::new(), 10));
        room.note_change(12, user("carl"));
        room.note_change(13, user("bert"));
        assert!(room.changed_besides(&ignored, 11));
        assert!(!room.changed_besides(&ignored, 12));
    }

    #[test]
    fn what_is_forgotten_may_have_been_a_change() {
        let ignored = HashSet::from([user("bert")]);
        let mut room = TypingRoom::new(0);
        (1..=MAX_CHANGES as u64 + 1).for_each(|epoch| room.note_change(epoch, user("bert")));
        assert!(room.changed_besides(&ignored, 0));
        assert!(!room.changed_besides(&ignored, 1));
    }

    struct Scene {
        inbox: Inbox,
        room: OwnedRoomId,
        members: Arc<Vec<OwnedUserId>>,
        waiter: crate::Waiter,
    }

    impl Scene {
        /// Anna is connected, and the time stands still.
        fn new() -> Self {
            let store = linkspan_storage::Memory::new().expect("a store in memory opens");
            let inbox = Inbox::new(linkspan_storage::Store::in_memory(store), 1);
            let waiter = inbox.waiter(&user("anna"));
            let room = "!a:one.localhost".try_into().expect("a room id");
            Self { inbox, room, members: Arc::new(vec![user("anna"), user("bert"), user("carl")]), waiter }
        }

        fn types(&self, name: &str, seconds: u64) {
            let timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            self.inbox.set_typing(&self.room, &user(name), timeout, Audience::Everybody, &self.members);
        }

        /// Whether anna is told anything of a room that `does` something in it.
        fn is_told(&self, does: impl FnOnce()) -> bool {
            let before = self.inbox.now().epoch;
            does();
            !self.waiter.typing_since(before).is_empty()
        }

        fn shown(&self) -> Vec<OwnedUserId> {
            self.inbox.typing(&self.room, &user("anna"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_changes_are_told_at_once_and_the_next_together() {
        let scene = Scene::new();
        assert!(scene.is_told(|| scene.types("bert", 30)));
        assert!(!scene.is_told(|| scene.types("bert", 30)), "that is nothing new");
        for seconds in [0, 30, 0, 30] {
            assert!(scene.is_told(|| scene.types("bert", seconds)));
        }
        assert!(!scene.is_told(|| {
            scene.types("carl", 30);
            scene.types("bert", 0);
        }));
        assert!(!scene.is_told(|| scene.inbox.tell_waiting_rooms()), "it is not time");
        tokio::time::advance(TELL_EVERY).await;
        assert!(scene.is_told(|| scene.inbox.tell_waiting_rooms()));
        assert_eq!(scene.shown(), [user("carl")]);
        tokio::time::advance(TELL_EVERY).await;
        assert!(!scene.is_told(|| scene.inbox.tell_waiting_rooms()), "there is nothing left to tell");
    }

    #[tokio::test(start_paused = true)]
    async fn who_types_all_the_time_wakes_others_once_a_second() {
        let scene = Scene::new();
        let mut told = 0;
        for step in 0..200_u64 {
            told += usize::from(scene.is_told(|| scene.types("bert", (step + 1) % 2)));
            tokio::time::advance(Duration::from_millis(50)).await;
            if step % 20 == 19 {
                told += usize::from(scene.is_told(|| scene.inbox.tell_waiting_rooms()));
            }
        }
        assert!((10..=16).contains(&told), "{told} times in ten seconds");
        assert_eq!(scene.inbox.shared.typing.rooms.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_more_has_stopped() {
        let scene = Scene::new();
        scene.types("bert", 5);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(!scene.is_told(|| scene.inbox.tell_waiting_rooms()));
        tokio::time::advance(TELL_EVERY).await;
        assert!(scene.is_told(|| scene.inbox.tell_waiting_rooms()));
        assert!(scene.shown().is_empty());
        assert!(scene.inbox.shared.typing.active.lock().is_empty());
        scene.inbox.forget_idle();
        assert_eq!(scene.inbox.shared.typing.rooms.len(), 1, "an earlier sync may ask for it");
        tokio::time::advance(LINGER).await;
        scene.inbox.forget_idle();
        assert!(scene.inbox.shared.typing.rooms.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_more_are_woken_the_more_rarely() {
        let mut scene = Scene::new();
        let names: Vec<_> = (0..500).map(|number| user(&format!("user{number}"))).collect();
        let waiters: Vec<_> = names.iter().map(|name| scene.inbox.waiter(name)).collect();
        scene.members = Arc::new([names, vec![user("anna"), user("bert")]].concat());
        assert!(scene.is_told(|| scene.types("bert", 60)));
        assert!(!scene.is_told(|| scene.types("carl", 60)));
        let mut told = 0;
        for second in 0..20_u64 {
            tokio::time::advance(TELL_EVERY).await;
            let seconds = 60 * (second % 2);
            told += usize::from(scene.is_told(|| scene.types("bert", seconds)));
            told += usize::from(scene.is_told(|| scene.inbox.tell_waiting_rooms()));
        }
        drop(waiters);
        assert!((3..=5).contains(&told), "{told} times in twenty seconds");
        scene.members = Arc::new(vec![user("anna"); MAX_MEMBERS + 1]);
        tokio::time::advance(Duration::from_secs(60)).await;
        scene.inbox.tell_waiting_rooms();
        assert!(!scene.is_told(|| scene.types("bert", 30)), "so many are told nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_audience_is_told() {
        let scene = Scene::new();
        let tells = |audience| {
            let timeout = Some(Duration::from_secs(30));
            scene.inbox.set_typing(&scene.room, &user("bert"), timeout, audience, &scene.members);
        };
        assert!(!scene.is_told(|| tells(Audience::Oneself)));
        // It is her own platform.
        scene.types("bert", 0);
        tokio::time::advance(TELL_EVERY).await;
        assert!(scene.is_told(|| tells(Audience::OwnPlatform)));
    }
}
