//! Redactions that come in before what they redact, as may happen with events that were made elsewhere: they take
//! effect when that comes.
//! <https://spec.matrix.org/v1.19/rooms/v12/#handling-redactions>

use std::sync::Arc;

use linkspan_domain::{Pdu, SharedPdu, redact};
use linkspan_storage::{
    Range,
    catalogue::{AwaitedRedactions, RedactionKey},
    records::{EventRecord, FLAG_REDACTED},
};
use ruma::OwnedEventId;

use crate::{Result, RoomsError, append::Append};

/// Redactions of one event that are tried; each is an event of its own, so nobody notes more than was sent.
const MAX_TRIED: usize = 100;

impl Append {
    /// Notes that the redaction at a place waits for the event that it redacts.
    pub(crate) fn await_redacted(&mut self, redacts: &OwnedEventId, seq: i64) {
        let key = RedactionKey { room_id: self.room.id.clone(), redacts: redacts.clone(), seq };
        self.writes.put::<AwaitedRedactions>(&key, &());
    }

    /// Takes the content of an event that comes in away, in its record too, if a redaction that waits for it may do
    /// that.
    pub(crate) async fn redact_on_arrival(
        &mut self,
        pdu: SharedPdu,
        record: &mut EventRecord,
    ) -> Result<SharedPdu> {
        let range = Range::<AwaitedRedactions>::prefix((&self.room.id, &pdu.event_id)).limit(MAX_TRIED);
        let mut by = None;
        for key in self.rooms.store().keys(range).await? {
            self.writes.delete::<AwaitedRedactions>(&key);
            let redaction = self.rooms.event_at(&key.room_id, key.seq).await?;
            if let (None, Some(redaction)) = (&by, redaction) {
                match self.may_redact(&redaction.pdu, &pdu).await {
                    Ok(()) => by = Some(redaction.pdu.event_id.clone()),
                    Err(RoomsError::Storage(error)) => return Err(error.into()),
                    Err(_) => {}
                }
            }
        }
        let Some(by) = by else { return Ok(pdu) };
        let bad = |error: &dyn std::fmt::Display| RoomsError::BadJson(error.to_string());
        record.pdu = redact(&record.pdu, &self.room.rules, &by).map_err(|error| bad(&error))?;
        record.flags |= FLAG_REDACTED;
        let pdu = Pdu::from_stored(pdu.event_id.clone(), &record.pdu).map_err(|error| bad(&error))?;
        Ok(Arc::new(pdu))
    }
}
