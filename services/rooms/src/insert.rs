//! Inserting an event that was made elsewhere: anywhere in the graph, also beside what came before.
//!
//! The checks are those of the specification on receiving a PDU; the signature is the caller's part.
//! <https://spec.matrix.org/v1.19/server-server-api/#checks-performed-on-receipt-of-a-pdu>

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use linkspan_domain::{
    Arena, Pdu, SharedPdu, StateKey as StateEntryKey, authorize, check_auth_events, resolve,
};
use linkspan_storage::{
    catalogue::{EventIds, EventKey, HiddenEvents, RoomEventKey},
    records::{EventPlaceRecord, EventRecord, FLAG_REJECTED, FLAG_SOFT_FAILED},
};
use ruma::{CanonicalJsonObject, OwnedEventId, OwnedRoomId};

use crate::{Result, Rooms, RoomsError, append::Append, disappearing::timer_entry, room::damaged};

type StateMap = HashMap<StateEntryKey, OwnedEventId>;

/// Hidden events that are stepped over to find which ends of the graph an event follows. Beyond that an
/// end may stay one too many, which costs a resolution and nothing else.
const MAX_HIDDEN_STEPS: usize = 500;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is in the timeline, at this place.
    InTimeline(i64),
    /// It was known already.
    Known,
    /// The rules allow it where it stands in the graph, but the room has moved on: hidden from clients.
    SoftFailed(String),
    /// The rules do not allow it: hidden, and never part of a state.
    Rejected(String),
    /// Events that it follows, or that allow it, are not known; nothing was done.
    Missing(Vec<OwnedEventId>),
}

impl Rooms {
    /// Inserts an event.
    pub async fn insert_event(
        &self,
        room_id: &OwnedRoomId,
        object: &CanonicalJsonObject,
        now_ts: u64,
    ) -> Result<Inserted> {
        let room = self.room(room_id).await?;
        // What another server notes there is its own affair.
        let mut object = object.clone();
        object.remove("unsigned");
        let pdu = Pdu::from_received(&object, &room.rules)
            .map_err(|error| RoomsError::BadJson(error.to_string()))?;
        if pdu.room_id != *room_id {
            return Err(RoomsError::Invalid("the event is of another room".into()));
        }
        let json = serde_json::to_string(&object).map_err(|error| RoomsError::BadJson(error.to_string()))?;
        let pdu = Arc::new(pdu);
        self.again(async || self.insert_once(&pdu, &json, now_ts).await).await
    }

    async fn insert_once(&self, pdu: &SharedPdu, json: &str, now_ts: u64) -> Result<Inserted> {
        let room_id = &pdu.room_id;
        let append = self.begin(&self.room(room_id).await?, now_ts).await?;
        // All that follows reads the disk: it must not lag behind the head.
        append.settle().await?;
        if self.event_place(&pdu.event_id).await?.is_some() {
            return Ok(Inserted::Known);
        }
        let mut events: HashMap<OwnedEventId, SharedPdu> = HashMap::new();
        let mut states_after = Vec::new();
        let mut missing = Vec::new();
        for event_id in pdu.prev_events.iter().chain(&pdu.auth_events) {
            match self.any_event(room_id, event_id).await? {
                Some(event) => {
                    if pdu.prev_events.contains(event_id) {
                        states_after.push(event.state_after);
                    }
                    events.insert(event_id.clone(), event.pdu.clone());
                }
                None => missing.push(event_id.clone()),
            }
        }
        if !missing.is_empty() {
            return Ok(Inserted::Missing(missing));
        }
        if states_after.is_empty() {
            return Err(RoomsError::Invalid("the event follows no other".into()));
        }
        append.made_elsewhere().insert(pdu.clone(), json.to_owned(), &events, states_after).await
    }
}

impl Append {
    async fn insert(
        mut self,
        pdu: SharedPdu,
        json: String,
        events: &HashMap<OwnedEventId, SharedPdu>,
        mut states_after: Vec<u64>,
    ) -> Result<Inserted> {
        let rules = self.room.rules.clone();
        states_after.sort_unstable();
        states_after.dedup();
        let state_before = self.joined_state(&states_after).await?;
        let before = self.rooms.state_map_staged(&self, state_before).await?;
        let mut record = EventRecord {
            state_before,
            state_after: state_before,
            flags: 0,
            sent_by: String::new(),
            event_id: pdu.event_id.clone(),
            pdu: json,
            disappears_ts: None,
        };

        let create = self.state_event(&ruma::events::StateEventType::RoomCreate, "").await?;
        // Since version 12 the create event allows every event without being named by it.
        let by_auth_events = check_auth_events(&rules, &pdu, |event_id| {
            let named = events.get(event_id).cloned();
            named.or_else(|| create.clone().filter(|create| create.event_id == *event_id))
        });
        let auth_state: HashMap<StateEntryKey, SharedPdu> = pdu
            .auth_events
            .iter()
            .filter_map(|event_id| {
                let event = events.get(event_id)?;
                Some((event.state_entry()?, event.clone()))
            })
            .collect();
        let by_auth_state = by_auth_events.and_then(|()| {
            authorize(&rules, &pdu, |event_type, state_key| {
                let found = auth_state.get(&(event_type.clone(), state_key.to_owned())).cloned();
                found.or_else(|| create.clone().filter(|create| create.is_state(event_type, state_key)))
            })
        });
        let allowed = match by_auth_state {
            Ok(()) => self.allowed_by(&pdu, &before).await?,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = allowed {
            self.hide(record, FLAG_REJECTED).await?;
            return Ok(Inserted::Rejected(refusal.0));
        }
        if let Some(entry) = pdu.state_entry() {
            let change = (entry.0.to_string(), entry.1, Some(pdu.event_id.clone()));
            record.state_after = self.new_state(state_before, vec![change]).await?;
        }
        let current = self.rooms.state_map_staged(&self, self.head.state_id).await?;
        if let Err(refusal) = self.allowed_by(&pdu, &current).await? {
            self.hide(record, FLAG_SOFT_FAILED).await?;
            return Ok(Inserted::SoftFailed(refusal.0));
        }

        match self.let_in(&pdu).await {
            Ok(()) => {}
            // As with what the room has moved on from: it has its place in the graph, and nobody sees it.
            Err(RoomsError::Encryption(refusal)) => {
                self.hide(record, FLAG_SOFT_FAILED).await?;
                return Ok(Inserted::SoftFailed(refusal.to_string()));
            }
            Err(error) => return Err(error),
        }

        let seq = self.head.seq + 1;
        let state_after = record.state_after;
        let timer = match before.get(&(timer_entry(), String::new())) {
            Some(event_id) => self.staged_or_stored(event_id).await?,
            None => None,
        };
        record.disappears_ts = self.disappears_ts(&pdu, timer.as_ref()).await?;
        let pdu = self.redact_on_arrival(pdu, &mut record).await?;
        self.put_event(pdu.clone(), seq, record).await?;
        self.head.seq = seq;
        self.head.depth = self.head.depth.max(pdu.depth);
        let followed = self.followed(&pdu).await?;
        self.head.extremities.retain(|event_id| !followed.contains(event_id));
        self.head.extremities.push(pdu.event_id.clone());
        let mut ends = Vec::new();
        for event_id in self.head.extremities.clone() {
            if event_id == pdu.event_id {
                ends.push(state_after);
            } else {
                let event = self.rooms.any_event(&self.room.id, &event_id).await?;
                ends.push(event.ok_or_else(|| damaged("an extremity is missing"))?.state_after);
            }
        }
        ends.sort_unstable();
        ends.dedup();
        let new_state = self.joined_state(&ends).await?;
        self.move_current_state(current, new_state, &pdu, seq).await?;
        self.commit().await?;
        Ok(Inserted::InTimeline(seq))
    }

    async fn allowed_by(
        &self,
        pdu: &SharedPdu,
        state: &StateMap,
    ) -> Result<std::result::Result<(), linkspan_domain::Forbidden>> {
        let rules = &self.room.rules;
        let keys = linkspan_domain::auth_event_keys(
            rules,
            &pdu.event_type,
            &pdu.sender,
            pdu.state_key.as_deref(),
            &pdu.content,
        );
        let mut keys = match keys {
            Ok(keys) => keys,
            Err(malformed) => return Ok(Err(malformed.into())),
        };
        keys.push((ruma::events::StateEventType::RoomCreate, String::new()));
        let mut loaded = HashMap::new();
        for key in keys {
            if let Some(event_id) = state.get(&key) {
                let event = self.staged_or_stored(event_id).await?;
                loaded.extend(event.map(|event| (key, event)));
            }
        }
        Ok(authorize(rules, pdu, |event_type, state_key| {
            loaded.get(&(event_type.clone(), state_key.to_owned())).cloned()
        }))
    }

    /// The events that an event follows, directly or over hidden events, which are never ends themselves.
    async fn followed(&self, pdu: &Pdu) -> Result<HashSet<OwnedEventId>> {
        let mut followed = HashSet::new();
        let mut queue = pdu.prev_events.clone();
        let mut hidden = 0;
        while let Some(event_id) = queue.pop() {
            if !followed.insert(event_id.clone()) || hidden == MAX_HIDDEN_STEPS {
                continue;
            }
            if let Some(EventPlaceRecord::Hidden(_)) = self.rooms.event_place(&event_id).await? {
                hidden += 1;
                let event = self.rooms.any_event(&self.room.id, &event_id).await?;
                queue.extend(event.into_iter().flat_map(|event| event.pdu.prev_events.clone()));
            }
        }
        Ok(followed)
    }

    /// The number of the state that the given states resolve to.
    async fn joined_state(&mut self, states: &[u64]) -> Result<u64> {
        let [first, rest @ ..] = states else { return Err(damaged("a graph without ends")) };
        if rest.is_empty() {
            return Ok(*first);
        }
        let mut maps = Vec::new();
        for state_id in states {
            maps.push(self.rooms.state_map_staged(self, *state_id).await?);
        }
        let mut arena = Arena::default();
        let mut queue: Vec<OwnedEventId> = maps.iter().flat_map(|map| map.values().cloned()).collect();
        while let Some(event_id) = queue.pop() {
            if arena.contains(&event_id) {
                continue;
            }
            let event = self.staged_or_stored(&event_id).await?;
            let event = event.ok_or_else(|| damaged("an event of an auth chain is missing"))?;
            queue.extend(event.auth_events.iter().cloned());
            arena.insert(event);
        }
        let resolved = resolve(&self.room.rules, &maps, &arena)
            .map_err(|error| RoomsError::Invalid(error.to_string()))?;
        // Told as the difference from the nearest of the states.
        let mut best: Option<(u64, Vec<_>)> = None;
        for (state_id, map) in states.iter().zip(&maps) {
            let changes = difference(map, &resolved);
            if best.as_ref().is_none_or(|(_, least)| changes.len() < least.len()) {
                best = Some((*state_id, changes));
            }
        }
        match best {
            Some((state_id, changes)) if changes.is_empty() => Ok(state_id),
            Some((state_id, changes)) => self.new_state(state_id, changes).await,
            None => Err(damaged("a graph without ends")),
        }
    }

    async fn staged_or_stored(&self, event_id: &OwnedEventId) -> Result<Option<SharedPdu>> {
        if let Some(event) = self.staged_event(event_id) {
            return Ok(Some(event));
        }
        Ok(self.rooms.any_event(&self.room.id, event_id).await?.map(|event| event.pdu.clone()))
    }

    /// Makes a state the current one, entry by entry; where a rule on encryption is against it, the entry stays.
    async fn move_current_state(
        &mut self,
        current: StateMap,
        new_state: u64,
        inserted: &SharedPdu,
        inserted_seq: i64,
    ) -> Result<()> {
        let new = self.rooms.state_map_staged(self, new_state).await?;
        let changes = difference(&current, &new);
        let (count, mut kept) = (changes.len(), Vec::new());
        for (event_type, state_key, event_id) in changes {
            let entry: StateEntryKey = (event_type.as_str().into(), state_key);
            let event = match event_id {
                None => None,
                Some(event_id) if event_id == inserted.event_id => Some((inserted.clone(), inserted_seq)),
                Some(event_id) => {
                    let event = self.rooms.any_event(&self.room.id, &event_id).await?;
                    let event = event.ok_or_else(|| damaged("an event of the state is missing"))?;
                    Some((event.pdu.clone(), event.seq))
                }
            };
            let is_inserted = event.as_ref().is_some_and(|(pdu, _)| pdu.event_id == inserted.event_id);
            if is_inserted || self.may_become(&entry, event.as_ref().map(|(pdu, _)| pdu)).await? {
                self.set_entry(entry, event.as_ref().map(|(pdu, seq)| (pdu, *seq))).await?;
            } else {
                kept.push((event_type, entry.1.clone(), current.get(&entry).cloned()));
            }
        }
        if kept.is_empty() {
            self.head.state_id = new_state;
        } else if kept.len() < count {
            self.head.state_id = self.new_state(new_state, kept).await?;
        }
        Ok(())
    }

    /// Keeps an event for the graph only, where no client sees it.
    async fn hide(mut self, record: EventRecord, flag: u8) -> Result<()> {
        let (room_id, event_id) = (self.room.id.clone(), record.event_id.clone());
        let place = EventPlaceRecord::Hidden(room_id.clone());
        self.writes.put::<EventIds>(&EventKey { event_id: event_id.clone() }, &place);
        let record = EventRecord { flags: flag, ..record };
        self.writes.put::<HiddenEvents>(&RoomEventKey { room_id, event_id }, &record);
        self.commit().await.map(|_| ())
    }
}

/// What to change in `from` to get `to`.
fn difference(from: &StateMap, to: &StateMap) -> Vec<(String, String, Option<OwnedEventId>)> {
    let changed = to.iter().filter(|(key, event_id)| from.get(*key) != Some(event_id));
    let changed = changed.map(|(key, event_id)| (key.0.to_string(), key.1.clone(), Some(event_id.clone())));
    let gone = from.keys().filter(|key| !to.contains_key(*key));
    let mut changes: Vec<_> =
        changed.chain(gone.map(|key| (key.0.to_string(), key.1.clone(), None))).collect();
    changes.sort();
    changes
}
