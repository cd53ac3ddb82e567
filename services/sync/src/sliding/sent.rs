//! What a connection has been sent of each room.
//!
//! Every entry names the answer since which it holds. When a client asks again because that answer was lost,
//! the entry is taken back.

use std::collections::{BTreeMap, HashMap, HashSet};

use linkspan_storage::{
    Position, WriteSet,
    catalogue::{SlidingConnectionKey, SlidingRoomKey, SlidingRooms},
    records::SlidingRoomRecord,
};
use ruma::OwnedRoomId;

use super::{request::SharedConfig, room::Told, room_list::RoomList};

/// The most configurations that are remembered for a room.
const MAX_CONFIGS: usize = 8;
/// Stands for a room that has news which were not sent.
const NOT_LIVE: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct ConnectionState {
    pub(crate) key: SlidingConnectionKey,
    pub(crate) generation: u64,
    /// When the connection was last used, as the disk has it.
    pub(crate) used_ts: u64,
    rooms: HashMap<OwnedRoomId, SlidingRoomRecord>,
    /// The rooms for which something is noted that the client may not have got.
    unconfirmed: HashSet<OwnedRoomId>,
    /// The sizes of lists, as they were told last.
    pub(crate) counts: BTreeMap<String, u64>,
    /// The user's rooms, once they were needed.
    pub(crate) list: Option<RoomList>,
}

/// What a device has of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The device has nothing of the room.
    Never,
    /// The device has everything up to this position.
    UpTo(Position),
}

impl ConnectionState {
    /// A connection that was begun, or one that was read from the store, whose last answer may not have
    /// arrived.
    pub(crate) fn new(
        key: SlidingConnectionKey,
        generation: u64,
        used_ts: u64,
        rooms: HashMap<OwnedRoomId, SlidingRoomRecord>,
    ) -> Self {
        Self {
            key,
            generation,
            used_ts,
            unconfirmed: rooms.keys().cloned().collect(),
            rooms,
            counts: BTreeMap::new(),
            list: None,
        }
    }

    /// Takes back what is noted of answers after the last one that the client has got. Those were lost.
    pub(crate) fn take_back(&mut self, had: u64, writes: &mut WriteSet) {
        for room_id in std::mem::take(&mut self.unconfirmed) {
            let Some(before) = self.rooms.get(&room_id) else { continue };
            if before.sent_from > had {
                self.rooms.remove(&room_id);
                writes.delete::<SlidingRooms>(&self.room_key(&room_id));
                continue;
            }
            let mut room = before.clone();
            if room.live_from > had {
                room.live_from = NOT_LIVE;
            }
            room.timelines.retain(|(_, from)| *from <= had);
            room.states.retain(|(_, from)| *from <= had);
            if room != *before {
                writes.put::<SlidingRooms>(&self.room_key(&room_id), &room);
                self.rooms.insert(room_id, room);
            }
        }
    }

    /// What the device has of a room, if it has got everything up to a position.
    pub(crate) fn sent(&self, room_id: &OwnedRoomId, told: Position) -> Sent {
        let Some(room) = self.rooms.get(room_id) else { return Sent::Never };
        if room.live_from != NOT_LIVE {
            return Sent::UpTo(told);
        }
        match room.behind {
            Some(behind) => Sent::UpTo(Position::from_u64(behind).min(told)),
            None => Sent::Never,
        }
    }

    /// How many events at the end of a room's timeline the device has seen.
    pub(crate) fn timeline_sent(&self, room_id: &OwnedRoomId) -> usize {
        let timelines = self.rooms.get(room_id).map(|room| room.timelines.as_slice()).unwrap_or_default();
        let limits = timelines.iter().map(|(limit, _)| usize::try_from(*limit).unwrap_or(usize::MAX));
        limits.max().unwrap_or(0)
    }

    /// Whether the device has been sent the state that a configuration wants.
    pub(crate) fn state_sent(&self, room_id: &OwnedRoomId, config: &SharedConfig) -> bool {
        let hash = config.state_hash();
        let states = self.rooms.get(room_id).map(|room| room.states.as_slice()).unwrap_or_default();
        states.iter().any(|(known, _)| *known == hash)
    }

    /// Whether the device has everything that a configuration wants of a room, up to the last answer that it
    /// has got.
    pub(crate) fn has_all(&self, room_id: &OwnedRoomId, config: &SharedConfig) -> bool {
        let Some(room) = self.rooms.get(room_id) else { return false };
        room.live_from != NOT_LIVE
            && room.timelines.iter().any(|(limit, _)| *limit >= config.timeline_limit as u64)
            && room.states.iter().any(|(known, _)| *known == config.state_hash())
    }

    /// Notes that an answer, whose number is `at`, has all news of a room up to itself. Returns the row if
    /// that is a transition.
    pub(super) fn note_sent(
        &mut self,
        room_id: &OwnedRoomId,
        config: &SharedConfig,
        told: Position,
        at: u64,
        news: &Told,
    ) -> Option<(SlidingRoomKey, SlidingRoomRecord)> {
        let was = self.sent(room_id, told);
        let (generation, before) = (self.generation, self.rooms.get(room_id).cloned());
        let mut room = match (&before, was) {
            (Some(before), Sent::UpTo(_)) => before.clone(),
            _ => SlidingRoomRecord {
                generation,
                sent_from: at,
                live_from: at,
                behind: None,
                timelines: Vec::new(),
                states: Vec::new(),
            },
        };
        if room.live_from == NOT_LIVE {
            room.live_from = at;
        }
        if news.gap {
            room.timelines.clear();
        }
        let limit = config.timeline_limit as u64;
        if room.timelines.iter().all(|(known, _)| *known < limit) {
            remember(&mut room.timelines, limit, at);
        }
        let hash = config.state_hash();
        if news.state_changed {
            // Other configurations may want changes that this one did not, so the device has not all of them.
            room.states.retain(|(known, _)| *known == hash);
        }
        if room.states.iter().all(|(known, _)| *known != hash) {
            remember(&mut room.states, hash, at);
        }
        (before.as_ref() != Some(&room)).then(|| self.put(room_id, room))
    }

    /// Notes that an answer leaves out news of a room. Returns the row if that is a transition.
    pub(crate) fn note_behind(
        &mut self,
        room_id: &OwnedRoomId,
        told: Position,
    ) -> Option<(SlidingRoomKey, SlidingRoomRecord)> {
        let Sent::UpTo(up_to) = self.sent(room_id, told) else { return None };
        let room = self.rooms.get(room_id).filter(|room| room.live_from != NOT_LIVE).cloned()?;
        let room = SlidingRoomRecord { live_from: NOT_LIVE, behind: Some(up_to.get()), ..room };
        Some(self.put(room_id, room))
    }

    fn put(&mut self, room_id: &OwnedRoomId, room: SlidingRoomRecord) -> (SlidingRoomKey, SlidingRoomRecord) {
        self.rooms.insert(room_id.clone(), room.clone());
        self.unconfirmed.insert(room_id.clone());
        (self.room_key(room_id), room)
    }

    fn room_key(&self, room_id: &OwnedRoomId) -> SlidingRoomKey {
        let SlidingConnectionKey { user_id, device_id, conn_id } = self.key.clone();
        SlidingRoomKey { user_id, device_id, conn_id, room_id: room_id.clone() }
    }
}

/// Adds what holds since an answer, and forgets the oldest if there are too many.
fn remember(known: &mut Vec<(u64, u64)>, value: u64, at: u64) {
    known.push((value, at));
    if known.len() > MAX_CONFIGS {
        known.remove(0);
    }
}
