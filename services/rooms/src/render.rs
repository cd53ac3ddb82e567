//! Events as a certain user sees them: with age, transaction id, earlier content and bundled relations.

use std::sync::Arc;

use linkspan_domain::{ClientEvent, Pdu, SharedPdu, Unsigned};
use ruma::{DeviceId, OwnedEventId, events::room::member::MembershipState};
use serde_json::value::RawValue;

use crate::{Result, Rooms, TimelineEvent, View};

/// For whom events are rendered.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The device: it alone is told its transaction ids.
    pub device_id: &'a DeviceId,
    /// Milliseconds since the Unix epoch.
    pub now_ts: u64,
    /// Whether events say their room.
    pub with_room_id: bool,
}

impl Rooms {
    /// Renders an event with everything that belongs to it.
    pub async fn render(
        &self,
        view: &mut View,
        event: &TimelineEvent,
        reader: Reader<'_>,
    ) -> Result<Box<RawValue>> {
        let pdu = self.copy_for(view, event).await?;
        let mut unsigned = self.unsigned(view, event, reader).await?;
        unsigned.relations = self.bundle(view, event, reader).await?;
        Ok(write(&pdu, unsigned, reader))
    }

    /// Renders several events.
    pub async fn render_all<'e>(
        &self,
        view: &mut View,
        events: impl IntoIterator<Item = &'e Arc<TimelineEvent>>,
        reader: Reader<'_>,
    ) -> Result<Vec<Box<RawValue>>> {
        let mut rendered = Vec::new();
        for event in events {
            rendered.push(self.render(view, event, reader).await?);
        }
        Ok(rendered)
    }

    /// Renders state events: without what belongs to a place in the timeline.
    pub fn render_state<'e>(
        &self,
        events: impl IntoIterator<Item = &'e SharedPdu>,
        reader: Reader<'_>,
    ) -> Vec<Box<RawValue>> {
        let render = |pdu: &SharedPdu| {
            let unsigned = Unsigned { age: Some(age(pdu, reader.now_ts)), ..Unsigned::default() };
            write(pdu, unsigned, reader)
        };
        events.into_iter().map(render).collect()
    }

    pub(crate) async fn unsigned(
        &self,
        view: &mut View,
        event: &TimelineEvent,
        reader: Reader<'_>,
    ) -> Result<Unsigned> {
        let mut unsigned = Unsigned { age: Some(age(&event.pdu, reader.now_ts)), ..Unsigned::default() };
        unsigned.disappears_ts = event.disappears_ts.filter(|_| event.pdu.redacted_by.is_none());
        unsigned.membership = self.membership_then(view, event).await?.or(Some(MembershipState::Leave));
        if let Some((device_id, txn_id)) = event.sent_by.split_once('\0')
            && device_id == reader.device_id.as_str()
            && event.pdu.sender == view.user_id
        {
            unsigned.transaction_id = Some(txn_id.to_owned());
        }
        if let Some(delay_id) = event.sent_by.strip_prefix("\0\0")
            && event.pdu.sender == view.user_id
        {
            unsigned.delay_id = Some(delay_id.to_owned());
        }
        if let Some((event_type, state_key)) = event.pdu.state_entry() {
            let replaced =
                self.state_entry_in(&view.room.id, event.state_before, &event_type, &state_key).await?;
            if let Some(replaced) = replaced {
                if let Some(replaced) = self.any_event(&view.room.id, &replaced).await?
                    && !view.hides(&replaced.pdu)
                {
                    unsigned.prev_content = Some(self.copy_for(view, &replaced).await?.content.clone());
                }
                unsigned.replaces_state = Some(replaced);
            }
        }
        if let Some(redacted_by) = &event.pdu.redacted_by {
            let redaction = self.redaction_for(view, redacted_by).await?;
            unsigned.redacted_because =
                redaction.map(|redaction| write(&redaction, Unsigned::default(), reader));
        }
        Ok(unsigned)
    }

    /// A redaction as the user is told of it with what it redacted: only what the user may see. Of a redaction by
    /// somebody whom the user ignores the reason is left out; without all of it, a client would not know that the
    /// event is redacted. The timer by which a message has disappeared is state at its place: who is shown the message
    /// knows it.
    async fn redaction_for(&self, view: &mut View, redaction_id: &OwnedEventId) -> Result<Option<SharedPdu>> {
        let Some(redaction) = self.event(&view.room.id, redaction_id).await? else { return Ok(None) };
        if redaction.pdu.state_key.is_none() && !self.may_see(view, &redaction).await? {
            return Ok(None);
        }
        match view.ignores(&redaction.pdu) {
            true => self.without_content(view, &redaction.pdu).map(Some),
            false => self.copy_for(view, &redaction).await.map(Some),
        }
    }
}

pub(crate) fn age(pdu: &Pdu, now_ts: u64) -> u64 {
    now_ts.saturating_sub(pdu.origin_server_ts.get().into())
}

pub(crate) fn write(pdu: &Pdu, unsigned: Unsigned, reader: Reader<'_>) -> Box<RawValue> {
    if reader.with_room_id {
        ClientEvent::new(pdu, unsigned).to_json()
    } else {
        ClientEvent::without_room_id(pdu, unsigned).to_json()
    }
}
