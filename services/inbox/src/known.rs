//! What is known of a connected user's stored queues without looking: commits are heard of before they can be read,
//! so what has not been heard of has not happened.

use std::{collections::VecDeque, sync::Arc};

use linkspan_storage::{Position, records::InboxPointer};
use ruma::{OwnedDeviceId, OwnedRoomId};

/// Pointers of a user that are remembered.
const MAX_TAIL: usize = 128;
/// How many of the newest pointers are looked at for one that a new one stands for.
const LOOK_BACK: usize = 8;
/// Devices of a user whose queues are known.
const MAX_DEVICES: usize = 32;

/// What is known of a user's inbox and of the queues of the user's devices.
#[derive(Debug)]
pub(crate) struct Known {
    /// All pointers after it are in the tail.
    complete_after: Position,
    tail: VecDeque<(Position, InboxPointer)>,
    devices: Vec<DeviceQueue>,
    /// When it may last have changed which rooms of the user are big.
    big_rooms_changed: Position,
    /// The big rooms as they were at a position.
    big_rooms: Option<(Position, Arc<[OwnedRoomId]>)>,
    /// When the user's own account data may last have changed.
    account_data_changed: Position,
}

#[derive(Debug)]
struct DeviceQueue {
    device_id: OwnedDeviceId,
    /// No message is newer.
    newest: Position,
    /// There was no message up to here.
    empty_until: Position,
}

impl Known {
    /// Nothing is known of what happened up to `heard`.
    pub(crate) fn new(heard: Position) -> Self {
        Self {
            complete_after: heard,
            tail: VecDeque::new(),
            devices: Vec::new(),
            big_rooms_changed: heard,
            big_rooms: None,
            account_data_changed: heard,
        }
    }

    pub(crate) fn hear_pointer(&mut self, position: Position, pointer: &InboxPointer) {
        if *pointer == InboxPointer::AccountData(None) {
            self.account_data_changed = position;
        }
        let mut newest = self.tail.iter().rev().take(LOOK_BACK);
        if let Some(back) = newest.position(|(_, earlier)| earlier == pointer) {
            self.tail.remove(self.tail.len() - 1 - back);
        }
        self.tail.push_back((position, pointer.clone()));
        if self.tail.len() > MAX_TAIL
            && let Some((forgotten, _)) = self.tail.pop_front()
        {
            self.complete_after = forgotten;
        }
    }

    /// The pointers after a position, in order; None: not all of them are known.
    pub(crate) fn pointers(&self, since: Position) -> Option<Vec<(Position, InboxPointer)>> {
        let newer = || self.tail.iter().filter(|(position, _)| *position > since).cloned().collect();
        (since >= self.complete_after).then(newer)
    }

    pub(crate) fn hear_message(&mut self, position: Position, device_id: &OwnedDeviceId) {
        if let Some(queue) = self.devices.iter_mut().find(|queue| queue.device_id == *device_id) {
            queue.newest = position;
        }
    }

    /// Whether it is known that no message waits for a device. `heard`: up to where was heard, as of now.
    pub(crate) fn is_queue_empty(&mut self, device_id: &OwnedDeviceId, heard: Position) -> bool {
        match self.devices.iter().find(|queue| queue.device_id == *device_id) {
            Some(queue) => queue.newest <= queue.empty_until,
            None => {
                if self.devices.len() == MAX_DEVICES {
                    self.devices.remove(0);
                }
                let (device_id, empty_until) = (device_id.clone(), Position::ZERO);
                self.devices.push(DeviceQueue { device_id, newest: heard, empty_until });
                false
            }
        }
    }

    /// Whoever has looked found no message for a device up to `until`.
    pub(crate) fn found_queue_empty(&mut self, device_id: &OwnedDeviceId, until: Position) {
        if let Some(queue) = self.devices.iter_mut().find(|queue| queue.device_id == *device_id) {
            queue.empty_until = queue.empty_until.max(until);
        }
    }

    pub(crate) fn hear_big_rooms(&mut self, position: Position) {
        self.big_rooms_changed = position;
    }

    pub(crate) fn big_rooms(&self) -> Option<Arc<[OwnedRoomId]>> {
        let (at, rooms) = self.big_rooms.as_ref()?;
        (*at >= self.big_rooms_changed).then(|| rooms.clone())
    }

    /// These were the big rooms at a position.
    pub(crate) fn found_big_rooms(&mut self, at: Position, rooms: &Arc<[OwnedRoomId]>) {
        self.big_rooms = Some((at, rooms.clone()));
    }

    /// When the user's own account data may last have changed.
    pub(crate) fn account_data_changed(&self) -> Position {
        self.account_data_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> Position {
        Position::from_u64(position)
    }

    fn room(name: &str) -> InboxPointer {
        InboxPointer::Room(format!("!{name}:one.localhost").try_into().expect("a room id"))
    }

    #[test]
    fn pointers_are_told_from_where_all_are_known() {
        let mut known = Known::new(at(10));
        known.hear_pointer(at(11), &room("a"));
        known.hear_pointer(at(12), &room("b"));
        known.hear_pointer(at(13), &room("a"));
        assert_eq!(known.pointers(at(9)), None);
        assert_eq!(known.pointers(at(10)), Some(vec![(at(12), room("b")), (at(13), room("a"))]));
        assert_eq!(known.pointers(at(12)), Some(vec![(at(13), room("a"))]));
        assert_eq!(known.pointers(at(13)), Some(Vec::new()));
    }

    #[test]
    fn what_is_forgotten_is_not_said_to_be_known() {
        let mut known = Known::new(at(0));
        let rooms: Vec<_> = (0..200).map(|number| room(&number.to_string())).collect();
        for (position, pointer) in (1..).zip(&rooms) {
            known.hear_pointer(at(position), pointer);
        }
        let forgotten = at((rooms.len() - MAX_TAIL) as u64);
        assert_eq!(known.pointers(Position::from_u64(forgotten.get() - 1)), None);
        assert_eq!(known.pointers(forgotten).expect("all are known").len(), MAX_TAIL);
    }

    #[test]
    fn a_queue_is_empty_only_if_nothing_can_have_come() {
        let phone: OwnedDeviceId = "PHONE".into();
        let mut known = Known::new(at(5));
        assert!(!known.is_queue_empty(&phone, at(7)), "nobody has looked");
        known.found_queue_empty(&phone, at(6));
        assert!(!known.is_queue_empty(&phone, at(7)), "what came at 7 may have been missed");
        known.found_queue_empty(&phone, at(7));
        assert!(known.is_queue_empty(&phone, at(7)));
        known.hear_message(at(8), &phone);
        assert!(!known.is_queue_empty(&phone, at(8)));
        known.found_queue_empty(&phone, at(8));
        assert!(known.is_queue_empty(&phone, at(9)));
    }

    #[test]
    fn big_rooms_are_those_of_after_the_last_change() {
        let mut known = Known::new(at(3));
        let rooms: Arc<[OwnedRoomId]> = Arc::from([]);
        known.found_big_rooms(at(2), &rooms);
        assert!(known.big_rooms().is_none());
        known.found_big_rooms(at(3), &rooms);
        assert!(known.big_rooms().is_some());
        known.hear_big_rooms(at(4));
        assert!(known.big_rooms().is_none());
    }
}
