//! The badge of a user: the number of rooms in which something unread notifies, and of invitations, except
//! those from ignored users.

use std::{collections::HashSet, sync::Arc};

use linkspan_storage::records::MembershipRecord;
use quick_cache::sync::Cache;
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};
use tokio::sync::Mutex;

use crate::{Push, PushError, Result, delivery::Notice};

/// How many users with pushers have their badges in memory.
const CACHED: usize = 100_000;
/// The most rooms that are looked at again because the user may have read something. A user with more unread
/// rooms does not see the badge go down one by one.
const MAX_CHECKED: usize = 200;

/// The most rooms that are named when apps are told what is unread.
const MAX_LISTED: usize = 30;

pub(crate) type BadgeCache = Cache<OwnedUserId, Arc<Mutex<Badge>>>;

pub(crate) fn new_cache() -> BadgeCache {
    Cache::new(CACHED)
}

/// The rooms in which something is unread.
#[derive(Debug, Default)]
pub(crate) struct Badge {
    rooms: HashSet<OwnedRoomId>,
    counted: bool,
    /// The number that gateways were last told.
    told: u64,
}

/// What pushers are told of a badge.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnreadRooms {
    /// The number of rooms.
    pub(crate) count: u64,
    /// The rooms, unless there are many.
    pub(crate) rooms: Option<Arc<[OwnedRoomId]>>,
}

impl Badge {
    /// The badge as pushers are told it now.
    fn tell(&mut self) -> UnreadRooms {
        let is_listed = self.rooms.len() <= MAX_LISTED;
        self.told = self.rooms.len() as u64;
        UnreadRooms { count: self.told, rooms: is_listed.then(|| self.rooms.iter().cloned().collect()) }
    }

    fn note(&mut self, room_id: OwnedRoomId, is_unread: bool) {
        if is_unread {
            self.rooms.insert(room_id);
        } else {
            self.rooms.remove(&room_id);
        }
    }
}

impl Push {
    fn badge(&self, user_id: &OwnedUserId) -> Result<Arc<Mutex<Badge>>> {
        self.shared.badges.get_or_insert_with(user_id, || Ok::<_, PushError>(Arc::default()))
    }

    /// The badge of a user after something has happened in a room. It is taken as told.
    pub(crate) async fn badge_after(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<UnreadRooms> {
        let badge = self.badge(user_id)?;
        let mut badge = badge.lock().await;
        if badge.counted {
            let is_unread = self.is_unread(user_id, room_id).await?;
            badge.note(room_id.clone(), is_unread);
        } else {
            self.count_rooms(user_id, &mut badge).await?;
        }
        Ok(badge.tell())
    }

    async fn count_rooms(&self, user_id: &OwnedUserId, badge: &mut Badge) -> Result<()> {
        badge.rooms.clear();
        for (room_id, stored) in self.rooms().memberships(user_id).await? {
            let is_unread = self.counts(user_id, &room_id, &stored.value).await?;
            badge.note(room_id, is_unread);
        }
        badge.counted = true;
        Ok(())
    }

    async fn is_unread(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<bool> {
        match self.rooms().membership_record(user_id, room_id).await? {
            Some(stored) => self.counts(user_id, room_id, &stored.value).await,
            None => Ok(false),
        }
    }

    /// Whether a room counts for the badge: the user is invited to it, and is told so, or has not read it.
    async fn counts(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        record: &MembershipRecord,
    ) -> Result<bool> {
        match record.membership {
            MembershipState::Invite => Ok(!self.rooms().hides_invitation(user_id, record).await?),
            MembershipState::Join => Ok(self.unread(user_id, room_id).await?.total().notify > 0),
            _ => Ok(false),
        }
    }

    /// Tells the user's pushers a new badge, if the user has read something since they were last told.
    pub(crate) async fn update_badge(&self, user_id: &OwnedUserId) -> Result<()> {
        let badge = self.badge(user_id)?;
        let mut badge = badge.lock().await;
        if badge.told == 0 {
            return Ok(());
        }
        let rooms: Vec<_> = badge.rooms.iter().take(MAX_CHECKED).cloned().collect();
        for room_id in rooms {
            let is_unread = self.is_unread(user_id, &room_id).await?;
            badge.note(room_id, is_unread);
        }
        if (badge.rooms.len() as u64) < badge.told {
            let unread = badge.tell();
            for pusher in self.active_pushers(user_id).await? {
                self.deliver(&pusher.key, Notice::Badge, unread.clone());
            }
        }
        Ok(())
    }
}
