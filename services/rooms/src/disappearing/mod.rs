//! Messages that disappear: what was sent while the room had a timer is erased when its time is up.
//!
//! A message is given its time when it comes into the room, by the room's state at that place, and keeps it whatever
//! becomes of the timer. From that time on nobody reads its content: [`Rooms::as_of_now`] stands between the store and
//! all readers. The content goes from the store soon after, in a sweep (`sweep.rs`).

mod sweep;

use std::sync::Arc;

use linkspan_domain::{Pdu, SharedPdu, TIMER_TYPE, can_disappear, parse_timer, without_content};
use linkspan_media::{MAX_CARRIED, carry};
use linkspan_storage::catalogue::{DisappearingKey, DisappearingMessages};
use ruma::{
    CanonicalJsonObject, MxcUri, OwnedEventId, OwnedMxcUri, OwnedRoomId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::Value;

use crate::{
    Result, Rooms, RoomsError, TimelineEvent,
    append::{Append, RelatesTo, relation_of},
    room::damaged,
};

/// The types of events that annotate others: reactions, and what is encrypted, of which the server knows no more. Of
/// other types anything could be said beside an old message, to stay for good.
const ANNOTATING: [TimelineEventType; 2] = [TimelineEventType::Reaction, TimelineEventType::RoomEncrypted];
/// Fields of messages that name uploads. Others name what is used in many places, as a person's picture.
const MEDIA_FIELDS: [&str; 2] = ["url", "thumbnail_url"];

pub(crate) fn timer_entry() -> StateEventType {
    StateEventType::from(TIMER_TYPE)
}

/// Refuses the content of a timer that is none.
pub(crate) fn check_timer(
    event_type: &TimelineEventType,
    state_key: Option<&str>,
    content: &CanonicalJsonObject,
) -> Result<()> {
    if state_key == Some("") && event_type.to_string() == TIMER_TYPE {
        let content =
            serde_json::to_string(content).map_err(|error| RoomsError::BadJson(error.to_string()))?;
        parse_timer(&content)?;
    }
    Ok(())
}

/// Refuses more uploads than a message may carry.
pub(crate) fn check_attached(attached: &[OwnedMxcUri]) -> Result<()> {
    match attached.len() <= MAX_CARRIED {
        true => Ok(()),
        false => Err(RoomsError::Invalid(format!("a message carries at most {MAX_CARRIED} uploads"))),
    }
}

impl Rooms {
    fn now_ts(&self) -> u64 {
        (self.shared.clock)()
    }

    /// Whether the time of something has come.
    pub(crate) fn is_past(&self, ts: Option<u64>) -> bool {
        ts.is_some_and(|ts| ts <= self.now_ts())
    }

    /// For how long messages stay that are sent to a room now, in milliseconds; None if they stay for good.
    pub(crate) async fn timer_ms(&self, room_id: &OwnedRoomId) -> Result<Option<u64>> {
        let timer = self.state_event(room_id, &timer_entry(), "").await?;
        Ok(timer.and_then(|timer| timer_ms_of(&timer)))
    }

    /// An event as it may be read now: as a redacted one if it has disappeared.
    pub(crate) async fn as_of_now(&self, event: Arc<TimelineEvent>) -> Result<Arc<TimelineEvent>> {
        match self.is_past(event.disappears_ts) && event.pdu.redacted_by.is_none() {
            // Most messages stay, and need not make room for it.
            true => Box::pin(self.erased_copy(&event)).await,
            false => Ok(event),
        }
    }

    async fn erased_copy(&self, event: &TimelineEvent) -> Result<Arc<TimelineEvent>> {
        let room = self.room(&event.pdu.room_id).await?;
        let copy = without_content(&event.pdu, &room.rules)
            .map_err(|_| damaged("an event whose content cannot be read"))?;
        let redacted_by = self.timer_of(&room.id, event).await?;
        Ok(Arc::new(event.with_pdu(Arc::new(Pdu { redacted_by: Some(redacted_by), ..copy }))))
    }

    /// The timer's event by which a message disappears, which is told as what redacted it.
    async fn timer_of(&self, room_id: &OwnedRoomId, event: &TimelineEvent) -> Result<OwnedEventId> {
        let timer = self.state_entry_in(room_id, event.state_before, &timer_entry(), "").await?;
        // Where a room has forked, an edit may have come in where its message's timer was not yet set.
        Ok(timer.unwrap_or_else(|| event.pdu.event_id.clone()))
    }
}

impl Append {
    /// When an event of this append disappears, if it does. `timer` is the timer's event in the state before it.
    pub(crate) async fn disappears_ts(&self, pdu: &Pdu, timer: Option<&SharedPdu>) -> Result<Option<u64>> {
        // Without such an event in the state there was no timer before either.
        let Some(timer) = timer.filter(|_| can_disappear(pdu)) else { return Ok(None) };
        if let Some(parent) = self.belongs_to(pdu).await? {
            return Ok(parent.disappears_ts);
        }
        // The clock of another server may be wrong, and keeps nothing for longer.
        let sent_ts = u64::from(pdu.origin_server_ts.get()).min(self.now.get().into());
        Ok(timer_ms_of(timer).map(|timer_ms| sent_ts.saturating_add(timer_ms)))
    }

    /// The message to which an edit or a reaction belongs. Without it they mean nothing, and they go with it.
    async fn belongs_to(&self, pdu: &Pdu) -> Result<Option<Arc<TimelineEvent>>> {
        let Some(RelatesTo { rel_type, event_id, .. }) = relation_of(pdu) else { return Ok(None) };
        let is_edit = rel_type == "m.replace";
        if !is_edit && (rel_type != "m.annotation" || !ANNOTATING.contains(&pdu.event_type)) {
            return Ok(None);
        }
        let parent = self.rooms.event(&self.room.id, &event_id).await?;
        let edits = |parent: &Pdu| parent.sender == pdu.sender && parent.event_type == pdu.event_type;
        Ok(parent.filter(|parent| can_disappear(&parent.pdu) && (!is_edit || edits(&parent.pdu))))
    }

    /// Puts a message that disappears into the queue of the sweep.
    pub(crate) fn queue_disappearing(&mut self, disappears_ts: u64, seq: i64) {
        let key = DisappearingKey { disappears_ts, room_id: self.room.id.clone(), seq };
        self.writes.put::<DisappearingMessages>(&key, &());
    }

    /// Notes what a message carries: what its sender says and, if it disappears, what can be read in it.
    pub(crate) async fn note_carried(&mut self, pdu: &Pdu, disappears_ts: Option<u64>) -> Result<()> {
        for uri in std::mem::take(&mut self.attached) {
            if !self.carry(pdu, &uri, disappears_ts).await? {
                return Err(RoomsError::Invalid(format!("{uri} is no upload of yours")));
            }
        }
        if disappears_ts.is_some() {
            for uri in named_media(pdu) {
                self.carry(pdu, &uri, disappears_ts).await?;
            }
        }
        Ok(())
    }

    async fn carry(&mut self, pdu: &Pdu, uri: &MxcUri, disappears_ts: Option<u64>) -> Result<bool> {
        let (store, now_ts) = (self.rooms.store().clone(), self.now.get().into());
        Ok(carry(&store, &mut self.writes, &pdu.sender, uri, disappears_ts, now_ts).await?)
    }
}

/// What a timer's event says. What another server has let through counts as no timer.
fn timer_ms_of(timer: &Pdu) -> Option<u64> {
    parse_timer(timer.content.get()).ok().flatten()
}

/// The uploads that an unencrypted message names. Stickers are used again and again, and are not looked at.
fn named_media(pdu: &Pdu) -> Vec<OwnedMxcUri> {
    let mut named = Vec::new();
    if pdu.event_type == TimelineEventType::RoomMessage
        && let Some(content) = pdu.content_as::<Value>()
    {
        find_media(&content, &mut named);
    }
    named.sort();
    named.dedup();
    named.truncate(MAX_CARRIED);
    named
}

fn find_media(value: &Value, named: &mut Vec<OwnedMxcUri>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                match value.as_str().filter(|_| MEDIA_FIELDS.contains(&field.as_str())) {
                    Some(uri) if uri.starts_with("mxc://") => named.push(uri.into()),
                    _ => find_media(value, named),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| find_media(value, named)),
        _ => {}
    }
}
