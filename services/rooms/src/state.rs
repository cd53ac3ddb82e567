//! States of rooms: the current one, and any earlier one by its number.
//!
//! A state is stored as the difference from an earlier state; when that has been done for long
//! enough (in proportion to the state's size), it is stored whole, so that reading stays bounded.

use std::{collections::HashMap, sync::Arc};

use linkspan_domain::{HistoryVisibility, PowerLevels, SharedPdu, StateKey as StateEntryKey};
use linkspan_platforms::give_way;
use linkspan_storage::{
    Position, Range, WriteSet,
    catalogue::{
        CurrentState, EventIds, EventKey, Members, StateDeltas, StateIdKey, StateKey, StateLog, StateLogKey,
    },
    records::{EventPlaceRecord, StateDeltaRecord, StateEntryRecord},
};
use quick_cache::sync::Cache;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use crate::{Result, Room, Rooms, TimelineEvent, append::Append, membership::is_present, room::damaged};

pub(crate) type DeltaCache = Cache<(OwnedRoomId, u64), Arc<StateDeltaRecord>>;

/// Differences that are kept in memory.
const CACHED_DELTAS: usize = 16 << 10;
/// At least so many states are told as differences before one is told whole.
const MIN_CHAIN: u32 = 64;
/// The most events of a state that are read between two looks at whether others should run.
const AT_ONCE: usize = 64;
/// Members that are looked at to name a room.
const HERO_ROWS: usize = 50;
/// The number of the empty state.
pub(crate) const EMPTY_STATE: u64 = 0;

pub(crate) fn new_cache() -> DeltaCache {
    Cache::new(CACHED_DELTAS)
}

fn entry_key(room_id: &OwnedRoomId, event_type: &StateEventType, state_key: &str) -> StateKey {
    StateKey { room_id: room_id.clone(), event_type: event_type.to_string(), state_key: state_key.to_owned() }
}

/// How many states after one of `entries` entries are told as differences.
pub(crate) fn chain_length(entries: usize) -> u32 {
    MIN_CHAIN.max(u32::try_from(entries / 4).unwrap_or(u32::MAX))
}

/// An entry of a room's state, and the place of its event.
#[derive(Clone, Debug)]
pub struct StateEntry {
    /// The type.
    pub event_type: String,
    /// The state key.
    pub state_key: String,
    /// The event.
    pub event_id: OwnedEventId,
    /// Its place in the timeline; 0 when it is hidden.
    pub seq: i64,
}

impl StateEntry {
    fn from_row((key, record): (StateKey, StateEntryRecord)) -> Option<Self> {
        let StateKey { event_type, state_key, .. } = key;
        Some(Self { event_type, state_key, event_id: record.event_id?, seq: record.seq })
    }
}

impl Rooms {
    /// An entry of a room's current state.
    pub async fn state_event(
        &self,
        room_id: &OwnedRoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<SharedPdu>> {
        let entry = self.state_entry(room_id, event_type, state_key).await?;
        match entry {
            Some(entry) => self.entry_event(room_id, &entry).await,
            None => Ok(None),
        }
    }

    /// The same from the disk, and not from a copy, which may be older for a moment.
    pub(crate) async fn stored_state_event(
        &self,
        room_id: &OwnedRoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<SharedPdu>> {
        let entry = self.store().get::<CurrentState>(&entry_key(room_id, event_type, state_key)).await?;
        match entry {
            Some(entry) => self.entry_event(room_id, &entry).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn state_entry(
        &self,
        room_id: &OwnedRoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<StateEntryRecord>> {
        let key = entry_key(room_id, event_type, state_key);
        Ok(self.shared.state_entries.get(&key).await?.map(|entry| (*entry).clone()))
    }

    pub(crate) async fn entry_event(
        &self,
        room_id: &OwnedRoomId,
        entry: &StateEntryRecord,
    ) -> Result<Option<SharedPdu>> {
        Ok(self.timeline_event_of(room_id, entry).await?.map(|event| event.pdu.clone()))
    }

    /// The event of an entry of the state, with what is known of its place.
    pub(crate) async fn timeline_event_of(
        &self,
        room_id: &OwnedRoomId,
        entry: &StateEntryRecord,
    ) -> Result<Option<Arc<TimelineEvent>>> {
        match (&entry.event_id, entry.seq) {
            (None, _) => Ok(None),
            (Some(event_id), 0) => self.any_event(room_id, event_id).await,
            (Some(_), seq) => self.event_at(room_id, seq).await,
        }
    }

    /// The whole current state of a room, or all of one type.
    pub async fn current_state(
        &self,
        room_id: &OwnedRoomId,
        event_type: Option<&StateEventType>,
    ) -> Result<Vec<SharedPdu>> {
        let entries = self.current_entries(room_id, event_type).await?;
        self.entry_events(room_id, &entries).await
    }

    /// The events of entries of the state, in the same order; what has none is left out.
    pub(crate) async fn entry_events(
        &self,
        room_id: &OwnedRoomId,
        entries: &[StateEntryRecord],
    ) -> Result<Vec<SharedPdu>> {
        let seqs: Vec<i64> = entries.iter().map(|entry| entry.seq).collect();
        let mut events = Vec::with_capacity(entries.len());
        for (entries, seqs) in entries.chunks(AT_ONCE).zip(seqs.chunks(AT_ONCE)) {
            give_way().await?;
            for (entry, event) in entries.iter().zip(self.events_at(room_id, seqs).await?) {
                let event = match event {
                    Some(event) => Some(event.pdu.clone()),
                    // It is hidden.
                    None => self.entry_event(room_id, entry).await?,
                };
                events.extend(event);
            }
        }
        Ok(events)
    }

    /// The entries of a room's current state that are no memberships.
    pub async fn state_entries_without_members(&self, room_id: &OwnedRoomId) -> Result<Vec<StateEntry>> {
        let members = StateEventType::RoomMember.to_string();
        let (first, after) = (String::new(), format!("{members}\0"));
        let before = Range::<CurrentState>::between((room_id, &first), (room_id, &members));
        let mut rows = self.store().range(before).await?;
        let end = Range::<CurrentState>::prefix((room_id,)).from(&StateKey {
            room_id: room_id.clone(),
            event_type: after,
            state_key: String::new(),
        });
        rows.extend(self.store().range(end).await?);
        Ok(rows.into_iter().filter_map(StateEntry::from_row).collect())
    }

    /// All entries of a room's current state.
    pub async fn state_entries(&self, room_id: &OwnedRoomId) -> Result<Vec<StateEntry>> {
        let rows = self.store().range::<CurrentState>(Range::prefix((room_id,))).await?;
        Ok(rows.into_iter().filter_map(StateEntry::from_row).collect())
    }

    /// An entry of a room's current state.
    pub async fn current_entry(
        &self,
        room_id: &OwnedRoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<StateEntry>> {
        let record = self.state_entry(room_id, event_type, state_key).await?;
        let key = entry_key(room_id, event_type, state_key);
        Ok(record.and_then(|record| StateEntry::from_row((key, record))))
    }

    /// The first joined or invited members of a room beside the user; if there are none, those who left.
    pub async fn heroes(
        &self,
        room_id: &OwnedRoomId,
        user_id: &OwnedUserId,
        limit: usize,
    ) -> Result<Vec<OwnedUserId>> {
        let rows = self.store().range::<Members>(Range::prefix((room_id,)).limit(HERO_ROWS)).await?;
        let others = || rows.iter().filter(|(key, _)| key.user_id != *user_id);
        let present = others().filter(|(_, member)| is_present(&member.membership));
        let mut heroes: Vec<_> = present.take(limit).map(|(key, _)| key.user_id.clone()).collect();
        if heroes.is_empty() {
            heroes = others().take(limit).map(|(key, _)| key.user_id.clone()).collect();
        }
        Ok(heroes)
    }

    /// The changes of a room's current state after a position, oldest first.
    pub async fn state_changes(&self, room_id: &OwnedRoomId, since: Position) -> Result<Vec<StateEntry>> {
        let rows = self.state_log(room_id, since).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(key, record)| {
                Some(StateEntry {
                    event_type: key.event_type,
                    state_key: key.state_key,
                    event_id: record.event_id?,
                    seq: record.seq,
                })
            })
            .collect())
    }

    /// The same as it is stored: with entries that state resolution took away, which have no event.
    pub(crate) async fn state_log(
        &self,
        room_id: &OwnedRoomId,
        since: Position,
    ) -> Result<Vec<(StateLogKey, StateEntryRecord)>> {
        if self.shared.state_changes.since(room_id, since) {
            return Ok(Vec::new());
        }
        let range = Range::<StateLog>::between((room_id, &since.next()), (room_id, &Position::PENDING));
        Ok(self.store().range(range).await?)
    }

    async fn delta(&self, room_id: &OwnedRoomId, state_id: u64) -> Result<Arc<StateDeltaRecord>> {
        let cache_key = (room_id.clone(), state_id);
        if let Some(delta) = self.shared.deltas.get(&cache_key) {
            return Ok(delta);
        }
        let key = StateIdKey { room_id: room_id.clone(), state_id };
        let delta = self.store().get::<StateDeltas>(&key).await?;
        let delta = Arc::new(delta.ok_or_else(|| damaged("a state is missing"))?);
        self.shared.deltas.insert(cache_key, delta.clone());
        Ok(delta)
    }

    pub(crate) fn cache_delta(&self, room_id: &OwnedRoomId, state_id: u64, delta: StateDeltaRecord) {
        self.shared.deltas.insert((room_id.clone(), state_id), Arc::new(delta));
    }

    /// The state came to nothing: another may get its number.
    pub(crate) fn forget_delta(&self, room_id: &OwnedRoomId, state_id: u64) {
        self.shared.deltas.remove(&(room_id.clone(), state_id));
    }

    /// An entry of the state with this number.
    pub async fn state_entry_in(
        &self,
        room_id: &OwnedRoomId,
        mut state_id: u64,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<OwnedEventId>> {
        let event_type = event_type.to_string();
        while state_id != EMPTY_STATE {
            let delta = self.delta(room_id, state_id).await?;
            let found =
                delta.changes.iter().find(|(of_type, key, _)| *of_type == event_type && key == state_key);
            if let Some((_, _, event_id)) = found {
                return Ok(event_id.clone());
            }
            match delta.parent {
                Some(parent) => state_id = parent,
                None => break,
            }
        }
        Ok(None)
    }

    /// The event of an entry of the state with this number.
    pub async fn state_event_in(
        &self,
        room_id: &OwnedRoomId,
        state_id: u64,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<SharedPdu>> {
        match self.state_entry_in(room_id, state_id, event_type, state_key).await? {
            Some(event_id) => Ok(self.any_event(room_id, &event_id).await?.map(|event| event.pdu.clone())),
            None => Ok(None),
        }
    }

    /// The whole state with this number.
    pub async fn state_map(
        &self,
        room_id: &OwnedRoomId,
        mut state_id: u64,
    ) -> Result<HashMap<StateEntryKey, OwnedEventId>> {
        let mut entries: HashMap<StateEntryKey, Option<OwnedEventId>> = HashMap::new();
        while state_id != EMPTY_STATE {
            let delta = self.delta(room_id, state_id).await?;
            for (event_type, state_key, event_id) in &delta.changes {
                let key = (StateEventType::from(event_type.as_str()), state_key.clone());
                entries.entry(key).or_insert_with(|| event_id.clone());
            }
            match delta.parent {
                Some(parent) => state_id = parent,
                None => break,
            }
        }
        Ok(entries.into_iter().filter_map(|(key, event_id)| Some((key, event_id?))).collect())
    }

    /// The whole state with this number, which may have been staged only.
    pub(crate) async fn state_map_staged(
        &self,
        append: &Append,
        mut state_id: u64,
    ) -> Result<HashMap<StateEntryKey, OwnedEventId>> {
        let mut over: HashMap<StateEntryKey, Option<OwnedEventId>> = HashMap::new();
        while let Some(delta) = append.staged_delta(state_id) {
            for (event_type, state_key, event_id) in &delta.changes {
                let key = (StateEventType::from(event_type.as_str()), state_key.clone());
                over.entry(key).or_insert_with(|| event_id.clone());
            }
            state_id = delta.parent.unwrap_or(EMPTY_STATE);
        }
        let mut entries = self.state_map(&append.room.id, state_id).await?;
        for (key, event_id) in over {
            match event_id {
                Some(event_id) => entries.insert(key, event_id),
                None => entries.remove(&key),
            };
        }
        Ok(entries)
    }

    /// The events of the whole state with this number.
    pub(crate) async fn state_events_in(
        &self,
        room_id: &OwnedRoomId,
        state_id: u64,
    ) -> Result<Vec<SharedPdu>> {
        let ids = self.state_map(room_id, state_id).await?.into_values();
        let entries = self.placed_entries(room_id, ids).await?;
        self.entry_events(room_id, &entries).await
    }

    /// Entries of a state with the places of their events.
    pub(crate) async fn placed_entries(
        &self,
        room_id: &OwnedRoomId,
        event_ids: impl Iterator<Item = OwnedEventId>,
    ) -> Result<Vec<StateEntryRecord>> {
        let keys: Vec<_> = event_ids.map(|event_id| EventKey { event_id }).collect();
        let mut entries = Vec::with_capacity(keys.len());
        for keys in keys.chunks(AT_ONCE) {
            give_way().await?;
            let places = self.store().get_many::<EventIds>(keys).await?;
            for (EventKey { event_id }, place) in keys.iter().zip(places) {
                let seq = match place {
                    Some(EventPlaceRecord::Timeline(in_room, seq)) if in_room == *room_id => seq,
                    // It is hidden.
                    _ => 0,
                };
                entries.push(StateEntryRecord { event_id: Some(event_id.clone()), seq });
            }
        }
        Ok(entries)
    }

    /// How many states may follow the state with this number as differences.
    pub(crate) async fn until_whole(&self, room_id: &OwnedRoomId, state_id: u64) -> Result<u32> {
        match state_id {
            EMPTY_STATE => Ok(MIN_CHAIN),
            state_id => Ok(self.delta(room_id, state_id).await?.until_whole),
        }
    }

    /// The power levels of a room as they are now.
    pub async fn power_levels(&self, room: &Room) -> Result<Arc<PowerLevels>> {
        let event = self.state_event(&room.id, &StateEventType::RoomPowerLevels, "").await?;
        if let (Some(event), Some((read, levels))) = (&event, &*room.power_levels.lock())
            && Arc::ptr_eq(event, read)
        {
            return Ok(levels.clone());
        }
        let create = self.state_event(&room.id, &StateEventType::RoomCreate, "").await?;
        let create = create.ok_or_else(|| damaged("a room without a create event"))?;
        let levels = Arc::new(PowerLevels::new(&room.rules, &create, event.as_deref()));
        *room.power_levels.lock() = event.map(|event| (event, levels.clone()));
        Ok(levels)
    }

    /// A user's membership of a room as it is now; None: never a member.
    pub async fn membership(
        &self,
        room_id: &OwnedRoomId,
        user_id: &UserId,
    ) -> Result<Option<MembershipState>> {
        let event = self.state_event(room_id, &StateEventType::RoomMember, user_id.as_str()).await?;
        Ok(event.and_then(|event| event.membership()))
    }

    /// The membership that a user had before a member event of the user.
    pub async fn membership_before(
        &self,
        room_id: &OwnedRoomId,
        member_event_id: &OwnedEventId,
        user_id: &UserId,
    ) -> Result<Option<MembershipState>> {
        let Some(event) = self.any_event(room_id, member_event_id).await? else { return Ok(None) };
        let member = StateEventType::RoomMember;
        let before = self.state_event_in(room_id, event.state_before, &member, user_id.as_str()).await?;
        Ok(before.and_then(|event| event.membership()))
    }

    /// The history visibility of a room as it is now.
    pub async fn history_visibility(&self, room_id: &OwnedRoomId) -> Result<HistoryVisibility> {
        let event = self.state_event(room_id, &StateEventType::RoomHistoryVisibility, "").await?;
        Ok(HistoryVisibility::of(event.as_deref()))
    }
}

/// Puts a state into a write-set.
pub(crate) fn put_delta(
    writes: &mut WriteSet,
    room_id: &OwnedRoomId,
    state_id: u64,
    delta: &StateDeltaRecord,
) {
    writes.put::<StateDeltas>(&StateIdKey { room_id: room_id.clone(), state_id }, delta);
}
