//! Telling the hosted members of a room that there is something new.

use std::sync::atomic::Ordering;

use linkspan_inbox::point;
use linkspan_storage::{
    catalogue::{BigRooms, RoomKey, Rooms as RoomsTable, UserRoomKey},
    records::InboxPointer,
};
use ruma::OwnedUserId;

use super::Append;
use crate::room::BIG_ROOM_MEMBERS;

impl Append {
    /// Points the inboxes of all joined local members at the room, or, in a big room, wakes who watches it.
    pub(super) fn tell_members(&mut self) {
        if self.room.is_big() {
            return;
        }
        if self.members.len() > BIG_ROOM_MEMBERS {
            let mut record = self.room.record.clone();
            record.big = true;
            self.writes.put::<RoomsTable>(&RoomKey { room_id: self.room.id.clone() }, &record);
            for user_id in self.members.clone().iter() {
                let key = UserRoomKey { user_id: user_id.clone(), room_id: self.room.id.clone() };
                self.list_as_big(&key, true);
            }
            self.room.big.store(true, Ordering::Release);
        }
        for user_id in self.members.clone().iter() {
            self.point(user_id, InboxPointer::Room(self.room.id.clone()));
        }
    }

    /// Lists the room among a user's rooms that are read instead of fanned out to, or takes it off the list.
    pub(super) fn list_as_big(&mut self, key: &UserRoomKey, is_listed: bool) {
        match is_listed {
            true => self.writes.put::<BigRooms>(key, &()),
            false => self.writes.delete::<BigRooms>(key),
        }
    }

    pub(super) fn point(&mut self, user_id: &OwnedUserId, pointer: InboxPointer) {
        point(&mut self.writes, user_id, pointer);
    }
}
