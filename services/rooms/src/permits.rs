//! Who was found to be allowed to send which messages. Whether a message is allowed depends on its sender, its
//! type and the state, and for most types not on what it says: as long as the state stays, one answer is good for all.
//! <https://spec.matrix.org/v1.19/rooms/v12/#authorization-rules>

use std::collections::HashMap;

use linkspan_domain::Draft;
use ruma::{OwnedEventId, OwnedUserId, events::TimelineEventType};

/// How many answers a room in use keeps.
const MAX_PERMITS: usize = 1_000;

/// A message of a type by a sender. It is not made for messages whose content matters to the rules: state,
/// redactions, and types of state, which the rules look into even if an event has no state key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    sender: OwnedUserId,
    event_type: TimelineEventType,
}

impl Asked {
    pub(crate) fn of(sender: &OwnedUserId, draft: &Draft) -> Option<Self> {
        let has_rules = matches!(
            draft.event_type,
            TimelineEventType::RoomCreate
                | TimelineEventType::RoomMember
                | TimelineEventType::RoomPowerLevels
                | TimelineEventType::RoomRedaction
                | TimelineEventType::RoomThirdPartyInvite
        );
        let is_message = draft.state_key.is_none() && draft.redacts.is_none() && !has_rules;
        is_message.then(|| Self { sender: sender.clone(), event_type: draft.event_type.clone() })
    }
}

/// Messages that the state of a room allows, with the events that allow them.
#[derive(Debug, Default)]
pub(crate) struct Permits(HashMap<Asked, Vec<OwnedEventId>>);

impl Permits {
    pub(crate) fn get(&self, asked: &Asked) -> Option<Vec<OwnedEventId>> {
        self.0.get(asked).cloned()
    }

    /// Notes that a message was allowed.
    pub(crate) fn note(&mut self, asked: Asked, auth_events: &[OwnedEventId]) {
        if self.0.len() >= MAX_PERMITS {
            self.0.clear();
        }
        self.0.entry(asked).or_insert_with(|| auth_events.to_vec());
    }
}
