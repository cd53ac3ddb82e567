//! Taking the content of an event away.

use std::sync::Arc;

use linkspan_domain::{Pdu, redact};
use linkspan_storage::{
    Stamped,
    catalogue::{Timeline, TimelineKey},
    records::{EventRecord, FLAG_REDACTED},
};
use ruma::{
    EventId, OwnedEventId,
    events::{StateEventType, TimelineEventType},
};

use super::{Append, relation_of};
use crate::{Result, RoomsError, TimelineEvent};

impl Append {
    /// Takes the content of an event away, if the sender of the redaction, which is at `seq`, may do that.
    /// <https://spec.matrix.org/v1.19/rooms/v12/#handling-redactions>
    pub(super) async fn redact(&mut self, redaction: &Pdu, redacts: &OwnedEventId, seq: i64) -> Result<()> {
        let Some(target) = self.rooms.event(&self.room.id, redacts).await? else {
            if self.from_elsewhere {
                self.await_redacted(redacts, seq);
            }
            return Ok(());
        };
        match self.may_redact(redaction, &target.pdu).await {
            Err(RoomsError::Storage(error)) => return Err(error.into()),
            Err(_) if self.from_elsewhere => return Ok(()),
            allowed => allowed?,
        }
        let key = TimelineKey { room_id: self.room.id.clone(), seq: target.seq };
        let Some(stored) = self.rooms.store().get::<Timeline>(&key).await? else { return Ok(()) };
        let Some(redacted) = self.take_content(target.seq, stored, &redaction.event_id).await? else {
            return Ok(());
        };
        if let Some(entry) = redacted.pdu.state_entry() {
            let current = self.state_event(&entry.0, &entry.1).await?;
            if current.is_some_and(|current| current.event_id == redacted.pdu.event_id) {
                if entry.0 == StateEventType::RoomGuestAccess && entry.1.is_empty() {
                    self.note_guest_access(Some(&redacted.pdu)).await?;
                }
                self.state.insert(entry, Some(redacted.pdu.clone()));
            }
        }
        Ok(())
    }

    /// Takes the content of an event away for good, and what it relates to; returns the event as it is then, or `None`
    /// if it has no content any more. `by` is told as what took it away.
    pub(crate) async fn take_content(
        &mut self,
        seq: i64,
        mut stored: Stamped<EventRecord>,
        by: &EventId,
    ) -> Result<Option<Arc<TimelineEvent>>> {
        if stored.value.flags & FLAG_REDACTED != 0 {
            return Ok(None);
        }
        let whole = TimelineEvent::from_stored(seq, stored.clone())?;
        stored.value.pdu = redact(&stored.value.pdu, &self.room.rules, by)
            .map_err(|error| RoomsError::BadJson(error.to_string()))?;
        stored.value.flags |= FLAG_REDACTED;
        self.writes.put::<Timeline>(&TimelineKey { room_id: self.room.id.clone(), seq }, &stored);
        if let Some(relation) = relation_of(&whole.pdu) {
            self.unrelate(&whole, relation).await?;
        }
        let redacted = Arc::new(TimelineEvent::from_stored(seq, stored)?);
        self.redacted.push(redacted.clone());
        Ok(Some(redacted))
    }

    /// Refuses if a redaction may not take the content of an event.
    pub(crate) async fn may_redact(&mut self, redaction: &Pdu, target: &Pdu) -> Result<()> {
        // What others sent needs power. Of events made elsewhere it is known only that who may speak for
        // the sender's server let them pass.
        let own = match self.from_elsewhere {
            true => target.sender.server_name() == redaction.sender.server_name(),
            false => target.sender == redaction.sender,
        };
        if !own {
            let levels = self.power_levels().await?;
            if levels.user(&redaction.sender) < levels.needed_to_redact() {
                return Err(RoomsError::Forbidden("you may not redact what others have sent".into()));
            }
        }
        if target.event_type == TimelineEventType::RoomCreate {
            return Err(RoomsError::Forbidden("the create event of a room cannot be redacted".into()));
        }
        self.check_redacted(target)
    }
}
