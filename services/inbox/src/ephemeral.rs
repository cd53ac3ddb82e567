//! Typing and presence: in memory only.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ruma::{OwnedRoomId, OwnedUserId};

use crate::Inbox;

#[derive(Debug, Default)]
pub(crate) struct TypingRoom {
    users: BTreeMap<OwnedUserId, Instant>,
}

/// What a user is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceState {
    /// At the client.
    Online,
    /// At the client, but not using it.
    Unavailable,
    /// Away.
    Offline,
}

/// A user's presence.
#[derive(Clone, Debug)]
pub struct Presence {
    /// What the user is doing.
    pub state: PresenceState,
    /// The user's own words.
    pub status_msg: Option<String>,
    /// Since the user was last active.
    pub last_active_ago: Duration,
}

#[derive(Debug)]
pub(crate) struct PresenceEntry {
    state: PresenceState,
    status_msg: Option<String>,
    last_active: Instant,
}

impl Inbox {
    /// Sets whether a user types in a room, and tells `members`. `timeout`: for how long; None: not any more.
    pub fn set_typing(
        &self,
        room_id: &OwnedRoomId,
        user_id: &OwnedUserId,
        timeout: Option<Duration>,
        members: &[OwnedUserId],
    ) {
        let changed = {
            let mut room = self.shared.typing.entry(room_id.clone()).or_default();
            match timeout {
                Some(timeout) => room.users.insert(user_id.clone(), Instant::now() + timeout).is_none(),
                None => room.users.remove(user_id).is_some(),
            }
        };
        if changed {
            self.note_current_request();
            let epoch = self.next_epoch();
            members.iter().for_each(|member| self.tell_typing(member, room_id, epoch));
        }
        if let Some(timeout) = timeout {
            let (inbox, room_id, members) = (self.clone(), room_id.clone(), members.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(timeout).await;
                inbox.expire_typing(&room_id, &members);
            });
        }
    }

    fn expire_typing(&self, room_id: &OwnedRoomId, members: &[OwnedUserId]) {
        let now = Instant::now();
        let expired = match self.shared.typing.get_mut(room_id) {
            Some(mut room) => {
                let before = room.users.len();
                room.users.retain(|_, until| *until > now);
                before != room.users.len()
            }
            None => false,
        };
        self.shared.typing.remove_if(room_id, |_, room| room.users.is_empty());
        if expired {
            let epoch = self.next_epoch();
            members.iter().for_each(|member| self.tell_typing(member, room_id, epoch));
        }
    }

    /// Who types in a room.
    pub fn typing(&self, room_id: &OwnedRoomId) -> Vec<OwnedUserId> {
        let now = Instant::now();
        self.shared.typing.get(room_id).map_or_else(Vec::new, |room| {
            room.users.iter().filter(|(_, until)| **until > now).map(|(user_id, _)| user_id.clone()).collect()
        })
    }

    /// Sets a user's presence, and tells `watchers` if it differs from before. `status_msg` None keeps the old one.
    pub fn set_presence(
        &self,
        user_id: &OwnedUserId,
        state: PresenceState,
        status_msg: Option<Option<String>>,
        watchers: &[OwnedUserId],
    ) {
        let changed = {
            let mut entry = self.shared.presence.entry(user_id.clone()).or_insert_with(|| PresenceEntry {
                state: PresenceState::Offline,
                status_msg: None,
                last_active: Instant::now(),
            });
            let status_msg = status_msg.unwrap_or_else(|| entry.status_msg.clone());
            let changed = entry.state != state || entry.status_msg != status_msg;
            *entry = PresenceEntry { state, status_msg, last_active: Instant::now() };
            changed
        };
        if changed {
            self.note_current_request();
            let epoch = self.next_epoch();
            watchers.iter().for_each(|watcher| self.tell_presence(watcher, user_id, epoch));
        }
    }

    /// Users who count as present though no client of theirs has synced for `quiet`.
    pub fn quiet_users(&self, quiet: Duration) -> Vec<OwnedUserId> {
        let present = self.shared.presence.iter().filter(|entry| entry.state != PresenceState::Offline);
        let present: Vec<_> = present.map(|entry| (entry.key().clone(), entry.last_active)).collect();
        let now = Instant::now();
        let is_quiet = |(user_id, last_active): &(OwnedUserId, Instant)| {
            let last_seen = self.last_seen(user_id).unwrap_or(*last_active).max(*last_active);
            now.duration_since(last_seen) > quiet
        };
        present.into_iter().filter(is_quiet).map(|(user_id, _)| user_id).collect()
    }

    /// A user's presence; None if it was never set since the start.
    pub fn presence(&self, user_id: &OwnedUserId) -> Option<Presence> {
        self.shared.presence.get(user_id).map(|entry| Presence {
            state: entry.state,
            status_msg: entry.status_msg.clone(),
            last_active_ago: entry.last_active.elapsed(),
        })
    }
}
