//! Whose devices or identity have changed, for each user.
//! <https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user>
//!
//! A change of keys is told by pointers in inboxes. Who has come to share a room with the user, or shares
//! none any more, is read from the rooms in which something happened. So a join writes nothing for this.

use std::collections::{BTreeMap, BTreeSet};

use linkspan_inbox::point;
use linkspan_rooms::{MemberChanges, is_present};
use linkspan_storage::{Position, WriteSet, records::InboxPointer};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};

use crate::{Keys, Result};

/// The users whose keys a client has to look up again, or may forget. Both lists are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceListChanges {
    /// The users whose devices or identity have changed, or who share a room with the user that they did not
    /// share before.
    pub changed: Vec<OwnedUserId>,
    /// The users who share no room with the user any more.
    pub left: Vec<OwnedUserId>,
}

/// What was found out so far, room by room.
#[derive(Default)]
struct Found {
    changed: BTreeSet<OwnedUserId>,
    /// People who share no room with the user now, of those rooms in which they or the user came or went. The
    /// value says whether they shared one before.
    apart: BTreeMap<OwnedUserId, bool>,
}

/// How long somebody was in a room since a token. Somebody who left and came back counts as new, because
/// changes of keys were not told meanwhile.
#[derive(Clone, Copy)]
struct Stay {
    before: bool,
    now: bool,
    throughout: bool,
}

impl Stay {
    const THROUGHOUT: Self = Self { before: true, now: true, throughout: true };

    fn of(changes: &MemberChanges, counts: impl Fn(&MembershipState) -> bool) -> Self {
        let counts = |membership: &Option<MembershipState>| membership.as_ref().is_some_and(&counts);
        let before = counts(&changes.before);
        Self {
            before,
            now: changes.after.last().map_or(before, &counts),
            throughout: before && changes.after.iter().all(counts),
        }
    }
}

impl Keys {
    /// What has changed for a user after `since`.
    pub async fn device_list_changes(
        &self,
        user_id: &OwnedUserId,
        since: Position,
    ) -> Result<DeviceListChanges> {
        let mut told = Vec::new();
        let mut rooms = BTreeSet::new();
        for pointer in self.inbox.pointers(user_id, since).await? {
            match pointer {
                InboxPointer::DeviceList(other) => told.push(other),
                InboxPointer::Room(room_id) => drop(rooms.insert(room_id)),
                _ => {}
            }
        }
        rooms.extend(self.inbox.big_rooms(user_id).await?.iter().cloned());
        self.device_list_changes_in(user_id, since, told, rooms.iter()).await
    }

    /// Does the same for a caller that has read the pointers after `since`: the users whom these name, and
    /// the rooms with events.
    pub async fn device_list_changes_in(
        &self,
        user_id: &OwnedUserId,
        since: Position,
        told: Vec<OwnedUserId>,
        rooms: impl Iterator<Item = &OwnedRoomId>,
    ) -> Result<DeviceListChanges> {
        let mut found = Found { changed: told.into_iter().collect(), apart: BTreeMap::new() };
        for room_id in rooms {
            self.look_at_members(user_id, room_id, since, &mut found).await?;
        }
        let mut left = Vec::new();
        if !found.apart.is_empty() {
            let joined: BTreeSet<_> = self.rooms.joined_rooms(user_id).await?.into_iter().collect();
            for (other, shared_before) in found.apart {
                if !self.is_in_any(&other, &joined).await? {
                    found.changed.remove(&other);
                    left.extend(shared_before.then_some(other));
                }
            }
        }
        Ok(DeviceListChanges { changed: found.changed.into_iter().collect(), left })
    }

    /// Looks at who came to a room or left it, as far as it matters to the user.
    async fn look_at_members(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        since: Position,
        found: &mut Found,
    ) -> Result<()> {
        let mut changes = self.rooms.member_changes(room_id, since).await?;
        if changes.is_empty() {
            return Ok(());
        }
        let own = match changes.remove(user_id) {
            Some(changes) => Stay::of(&changes, |membership| *membership == MembershipState::Join),
            None if self.rooms.membership(room_id, user_id).await? == Some(MembershipState::Join) => {
                Stay::THROUGHOUT
            }
            None => return Ok(()),
        };
        // Whoever hides is shown once they have come, and not while they are invited.
        let has_come = |changes: &_| {
            let joined = Stay::of(changes, |membership| *membership == MembershipState::Join);
            joined.now && !joined.throughout
        };
        for (other, _) in changes.iter().filter(|(_, changes)| own.now && has_come(*changes)) {
            if !self.rooms.may_see_profile(other, None).await? {
                found.changed.insert(other.clone());
            }
        }
        let mut others: BTreeMap<_, _> =
            changes.into_iter().map(|(other, changes)| (other, Stay::of(&changes, is_present))).collect();
        if !own.throughout {
            for other in self.rooms.present_user_ids(room_id).await? {
                others.entry(other).or_insert(Stay::THROUGHOUT);
            }
            others.remove(user_id);
        }
        for (other, stay) in others {
            let shared_now = own.now && stay.now;
            if !shared_now {
                *found.apart.entry(other).or_default() |= own.before && stay.before;
            } else if !(own.throughout && stay.throughout) {
                found.changed.insert(other);
            }
        }
        Ok(())
    }

    /// Whether a user is joined or invited to any of the rooms.
    async fn is_in_any(&self, user_id: &OwnedUserId, rooms: &BTreeSet<OwnedRoomId>) -> Result<bool> {
        let memberships = self.rooms.memberships(user_id).await?;
        let mut present = memberships.into_iter().filter(|(_, stored)| is_present(&stored.value.membership));
        Ok(present.any(|(room_id, _)| rooms.contains(&room_id)))
    }

    /// Tells everybody who shares a room with a user, and the user, that the user's devices or identity have changed.
    /// Those who have only invited the user hear of it if any stranger may know of the user, unless the user ignores
    /// them: whoever invites people would see otherwise who is there.
    pub(crate) async fn tell_sharers(&self, writes: &mut WriteSet, user_id: &OwnedUserId) -> Result<()> {
        let (mut sharers, mut inviters) = (BTreeSet::from([user_id.clone()]), BTreeSet::new());
        let is_known_to_strangers = self.rooms.may_see_profile(user_id, None).await?;
        for (room_id, stored) in self.rooms.memberships(user_id).await? {
            let told = match stored.value.membership {
                MembershipState::Join => &mut sharers,
                MembershipState::Invite if is_known_to_strangers => &mut inviters,
                _ => continue,
            };
            if let Some(room) = self.rooms.find_room(&room_id).await? {
                told.extend(self.rooms.local_members(&room).await?.iter().cloned());
            }
        }
        for inviter in inviters {
            if !self.rooms.turns_away(user_id, &inviter).await? {
                sharers.insert(inviter);
            }
        }
        for sharer in &sharers {
            point(writes, sharer, InboxPointer::DeviceList(user_id.clone()));
        }
        Ok(())
    }
}
