//! Who types in which room. This is kept in memory only.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use ruma::{OwnedRoomId, OwnedUserId, UserId};

use crate::{Inbox, live::LINGER};

/// The most typing changes that are remembered for a room.
const MAX_CHANGES: usize = 32;

/// Who is told what somebody does in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Who types in a room.
#[derive(Debug)]
pub(crate) struct TypingRoom {
    users: BTreeMap<OwnedUserId, Typing>,
    /// Who began to type or stopped, each with its epoch.
    changes: VecDeque<(u64, OwnedUserId)>,
    /// The epoch after which all changes are known.
    complete_after: u64,
    last_change: Instant,
}

#[derive(Debug)]
struct Typing {
    until: Instant,
    audience: Audience,
}

impl TypingRoom {
    /// Begins at an epoch. What changed until then is not known.
    fn new(epoch: u64) -> Self {
        Self {
            users: BTreeMap::new(),
            changes: VecDeque::new(),
            complete_after: epoch,
            last_change: Instant::now(),
        }
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
    /// those of `members` who belong to the audience.
    pub fn set_typing(
        &self,
        room_id: &OwnedRoomId,
        user_id: &OwnedUserId,
        timeout: Option<Duration>,
        audience: Audience,
        members: &[OwnedUserId],
    ) {
        let members: Vec<_> =
            members.iter().filter(|member| audience.has(member, user_id)).cloned().collect();
        let changed = {
            let room = self.shared.typing.entry(room_id.clone());
            let mut room = room.or_insert_with(|| TypingRoom::new(self.now().epoch));
            let changed = match timeout {
                Some(timeout) => {
                    let typing = Typing { until: Instant::now() + timeout, audience };
                    room.users.insert(user_id.clone(), typing).is_none()
                }
                None => room.users.remove(user_id).is_some(),
            };
            changed.then(|| {
                let epoch = self.next_epoch();
                room.note_change(epoch, user_id.clone());
                epoch
            })
        };
        if let Some(epoch) = changed {
            self.note_current_request();
            members.iter().for_each(|member| self.tell_typing(member, room_id, epoch));
        }
        if let Some(timeout) = timeout {
            let (inbox, room_id) = (self.clone(), room_id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(timeout).await;
                inbox.expire_typing(&room_id, &members);
            });
        }
    }

    fn expire_typing(&self, room_id: &OwnedRoomId, members: &[OwnedUserId]) {
        let now = Instant::now();
        let newest = {
            let Some(mut room) = self.shared.typing.get_mut(room_id) else { return };
            let (typing, expired) =
                std::mem::take(&mut room.users).into_iter().partition(|(_, typing)| typing.until > now);
            room.users = typing;
            let expired: BTreeMap<OwnedUserId, Typing> = expired;
            let epochs = expired.into_keys().map(|user_id| {
                let epoch = self.next_epoch();
                room.note_change(epoch, user_id);
                epoch
            });
            epochs.last()
        };
        if let Some(epoch) = newest {
            members.iter().for_each(|member| self.tell_typing(member, room_id, epoch));
        }
    }

    /// Who types in a room, as far as `reader` is told of it.
    pub fn typing(&self, room_id: &OwnedRoomId, reader: &UserId) -> Vec<OwnedUserId> {
        let now = Instant::now();
        let Some(room) = self.shared.typing.get(room_id) else { return Vec::new() };
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
        self.shared.typing.get(room_id).is_none_or(|room| room.changed_besides(others, epoch))
    }

    /// Forgets rooms in which nobody has typed for long.
    pub(crate) fn forget_quiet_rooms(&self) {
        self.shared.typing.retain(|_, room| !room.users.is_empty() || room.last_change.elapsed() < LINGER);
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
}
