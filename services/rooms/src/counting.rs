//! Counting what hosted people send, for operators: by kind, and from which platform to which. It is done when an event is
//! on disk, and reads nothing.

use std::{collections::BTreeSet, sync::Arc};

use linkspan_domain::Pdu;
use ruma::{OwnedUserId, events::TimelineEventType};

use crate::Rooms;

impl Rooms {
    /// The numbers of the platforms that these hosted members are on.
    pub(crate) fn platforms_of(&self, members: &[OwnedUserId]) -> Arc<[usize]> {
        // Members come platform by platform, mostly.
        let runs = members.chunk_by(|one, other| one.server_name() == other.server_name());
        let names = runs.filter_map(|run| run.first()).map(|user_id| user_id.server_name());
        let numbers = names.filter_map(|name| Some(self.shared.platforms.get(name)?.number));
        numbers.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Counts an event that came into being in a room with people of these platforms.
    pub(crate) fn count_event(&self, event: &Pdu, platforms: &[usize]) {
        // Whoever comes from elsewhere is not counted.
        let Some(platform) = self.shared.platforms.get(event.sender.server_name()) else { return };
        let counts = &platform.counts;
        match &event.event_type {
            TimelineEventType::RoomCreate => {
                counts.rooms_created.note();
                counts.state_events.note();
            }
            _ if event.state_key.is_some() => counts.state_events.note(),
            TimelineEventType::RoomRedaction => counts.redactions.note(),
            TimelineEventType::RoomMessage
            | TimelineEventType::RoomEncrypted
            | TimelineEventType::Sticker => {
                counts.messages.note();
                let others = platforms.iter().filter(|number| **number != platform.number);
                others.filter_map(|number| platform.messages_to.get(*number)).for_each(|to| to.note());
            }
            _ => counts.other_events.note(),
        }
    }
}
