//! State resolution over forks of the graph, by ruma; this module feeds it.

use std::collections::{HashMap, HashSet};

use ruma::{
    EventId, OwnedEventId,
    room_version_rules::RoomVersionRules,
    state_res::{self, StateMap, utils::event_id_set::EventIdSet},
};

use crate::SharedPdu;

/// States could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("state resolution: {0}")]
pub struct ResolveError(String);

/// The events that a resolution may look at: all events of the states and their whole auth chains.
#[derive(Debug, Default)]
pub struct Arena {
    events: HashMap<OwnedEventId, SharedPdu>,
}

impl Arena {
    /// Adds an event.
    pub fn insert(&mut self, pdu: SharedPdu) {
        self.events.insert(pdu.event_id.clone(), pdu);
    }

    /// The event with this id.
    pub fn get(&self, event_id: &EventId) -> Option<&SharedPdu> {
        self.events.get(event_id)
    }

    /// Whether the event is there.
    pub fn contains(&self, event_id: &EventId) -> bool {
        self.events.contains_key(event_id)
    }

    /// The auth events of `from`, the auth events of these, and so on.
    fn auth_chain<'a>(&self, from: impl Iterator<Item = &'a OwnedEventId>) -> EventIdSet<OwnedEventId> {
        let mut seen = HashSet::new();
        let mut queue: Vec<OwnedEventId> = from.cloned().collect();
        while let Some(event_id) = queue.pop() {
            for auth in self.get(&event_id).into_iter().flat_map(|pdu| &pdu.auth_events) {
                if seen.insert(auth.clone()) {
                    queue.push(auth.clone());
                }
            }
        }
        seen.into_iter().collect()
    }

    /// The events on a way, along auth events, from one conflicted event to another, ends included.
    /// <https://spec.matrix.org/v1.19/rooms/v12/#state-resolution>
    fn conflicted_subgraph(&self, conflicted: &StateMap<Vec<OwnedEventId>>) -> EventIdSet<OwnedEventId> {
        let ends: HashSet<&OwnedEventId> = conflicted.values().flatten().collect();
        // An event belongs to it when it is reached from an end and reaches one; depth-first, with
        // an explicit stack: an event is settled once all its auth events are.
        let mut reaches: HashMap<OwnedEventId, bool> = HashMap::new();
        let mut stack: Vec<(OwnedEventId, bool)> = ends.iter().map(|&id| (id.clone(), false)).collect();
        while let Some((event_id, auth_settled)) = stack.pop() {
            if !auth_settled && reaches.contains_key(&event_id) {
                continue;
            }
            let auth_events = self.get(&event_id).map_or(&[][..], |pdu| &pdu.auth_events);
            if auth_settled {
                let reached = ends.contains(&event_id)
                    || auth_events.iter().any(|auth| reaches.get(auth).copied().unwrap_or(false));
                reaches.insert(event_id, reached);
            } else {
                stack.push((event_id.clone(), true));
                stack.extend(auth_events.iter().map(|auth| (auth.clone(), false)));
            }
        }
        reaches.into_iter().filter(|(_, reached)| *reached).map(|(event_id, _)| event_id).collect()
    }
}

/// The state that the given states resolve to.
pub fn resolve(
    rules: &RoomVersionRules,
    states: &[StateMap<OwnedEventId>],
    arena: &Arena,
) -> Result<StateMap<OwnedEventId>, ResolveError> {
    let Some(resolution_rules) = rules.state_res.v2_rules() else {
        return Err(ResolveError("the room version has no state resolution of version 2".into()));
    };
    let auth_chains = states.iter().map(|state| arena.auth_chain(state.values())).collect();
    state_res::resolve(
        &rules.authorization,
        resolution_rules,
        states,
        auth_chains,
        |event_id| arena.get(event_id).cloned(),
        |conflicted| Some(arena.conflicted_subgraph(conflicted)),
    )
    .map_err(|error| ResolveError(error.to_string()))
}
