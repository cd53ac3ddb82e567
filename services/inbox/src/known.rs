//! What is known of a connected user's stored queues without looking: commits are heard of before anybody is told
//! of them, so what has not been heard of has not happened.

use std::{collections::VecDeque, sync::Arc};

use linkspan_storage::{Position, records::InboxPointer};
use ruma::{OwnedDeviceId, OwnedRoomId};

use crate::queue::row_position;

/// Pointers of a user that are remembered.
const MAX_TAIL: usize = 128;
/// Rows that one write-set trims.
const TRIM_ROWS: usize = 128;
/// Pointers that may come in with no earlier one to the same known, before all that are stored are looked through.
const MAX_STRAYS: u32 = 1_024;
/// Devices of a user whose queues are known.
const MAX_DEVICES: usize = 32;

/// What is known of a user's inbox and of the queues of the user's devices.
#[derive(Debug)]
pub(crate) struct Known {
    /// All pointers after it are in the tail.
    complete_after: Position,
    tail: VecDeque<(Position, InboxPointer)>,
    /// Rows that newer ones stand for and that are still stored.
    outdated: Vec<(Position, InboxPointer)>,
    /// Pointers that came in and may stand for rows that are not known.
    strays: u32,
    devices: Vec<DeviceQueue>,
    /// When it may last have changed which rooms of the user are big.
    big_rooms_changed: Position,
    /// The big rooms as they were at a position.
    big_rooms: Option<(Position, Arc<[OwnedRoomId]>)>,
}

/// What is to be removed of a stored inbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trim {
    /// These rows.
    Rows(Vec<(Position, InboxPointer)>),
    /// Whatever newer rows stand for: it has to be found.
    All,
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
            outdated: Vec::new(),
            strays: 0,
            devices: Vec::new(),
            big_rooms_changed: heard,
            big_rooms: None,
        }
    }

    pub(crate) fn hear_pointer(&mut self, position: Position, pointer: &InboxPointer) {
        match self.tail.iter().rposition(|(_, earlier)| earlier == pointer) {
            Some(at) => {
                let earlier = self.tail.remove(at).map(|(position, _)| row_position(position, pointer));
                let outdated = earlier.filter(|earlier| *earlier < row_position(position, pointer));
                self.outdated.extend(outdated.map(|row| (row, pointer.clone())));
            }
            None => self.strays += 1,
        }
        self.tail.push_back((position, pointer.clone()));
        if self.tail.len() > MAX_TAIL
            && let Some((forgotten, _)) = self.tail.pop_front()
        {
            self.complete_after = forgotten;
        }
    }

    /// What is to be removed, once that is worth a write.
    pub(crate) fn trim(&mut self) -> Option<Trim> {
        if self.strays >= MAX_STRAYS {
            self.strays = 0;
            self.outdated.clear();
            return Some(Trim::All);
        }
        (self.outdated.len() >= TRIM_ROWS).then(|| Trim::Rows(std::mem::take(&mut self.outdated)))
    }

    /// The pointers after a position, in order; None: not all of them are known.
    pub(crate) fn pointers(&self, since: Position) -> Option<Vec<InboxPointer>> {
        let newer = self.tail.iter().filter(|(position, _)| *position > since);
        (since >= self.complete_after).then(|| newer.map(|(_, pointer)| pointer.clone()).collect())
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
        assert_eq!(known.pointers(at(10)), Some(vec![room("b"), room("a")]));
        assert_eq!(known.pointers(at(12)), Some(vec![room("a")]));
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
    fn rows_that_newer_ones_stand_for_are_removed_and_no_others() {
        let mut known = Known::new(at(0));
        let profile = InboxPointer::Profile("@bert:one.localhost".try_into().expect("a user id"));
        let rows = TRIM_ROWS as u64;
        for position in 1..=rows + 1 {
            assert_eq!(known.trim(), None);
            known.hear_pointer(at(position), &profile);
            // In the same era as the one of before: both are one row.
            known.hear_pointer(at(position), &room("a"));
        }
        let Some(Trim::Rows(removed)) = known.trim() else { panic!("there is enough to remove") };
        assert_eq!(removed, (1..=rows).map(|position| (at(position), profile.clone())).collect::<Vec<_>>());
        let mut next = at(rows + 1);
        for _ in 0..rows {
            assert_eq!(known.trim(), None);
            next = Position::from_u64(next.get() + (1 << 14));
            known.hear_pointer(next, &room("a"));
        }
        let Some(Trim::Rows(removed)) = known.trim() else { panic!("there is enough to remove") };
        assert_eq!(removed.len(), TRIM_ROWS);
        assert!(removed.iter().all(|(position, _)| *position == position.era() && *position < next.era()));
    }

    #[test]
    fn all_is_looked_through_when_many_have_come_of_which_nothing_was_known() {
        let mut known = Known::new(at(0));
        for number in 1..=MAX_STRAYS {
            assert_eq!(known.trim(), None);
            known.hear_pointer(at(number.into()), &room(&number.to_string()));
        }
        assert_eq!(known.trim(), Some(Trim::All));
        assert_eq!(known.trim(), None);
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
