//! Events as a certain user sees them: with age, transaction id, earlier content and bundled relations.

use std::sync::Arc;

use linkspan_domain::{ClientEvent, Pdu, Unsigned};
use linkspan_storage::{
    Range,
    catalogue::{RelationKey, Relations, RoomEventKey, Threads},
    records::RelationRecord,
};
use ruma::{DeviceId, OwnedEventId, OwnedRoomId, events::TimelineEventType};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Result, Rooms, TimelineEvent, View};

/// Relations of one event that are looked at for bundling.
const MAX_RELATIONS: usize = 1_000;

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

#[derive(Default, Serialize)]
struct Bundle {
    #[serde(rename = "m.replace", skip_serializing_if = "Option::is_none")]
    replace: Option<Box<RawValue>>,
    #[serde(rename = "m.thread", skip_serializing_if = "Option::is_none")]
    thread: Option<ThreadBundle>,
    #[serde(rename = "m.reference", skip_serializing_if = "Option::is_none")]
    reference: Option<References>,
}

#[derive(Serialize)]
struct ThreadBundle {
    latest_event: Box<RawValue>,
    count: u64,
    current_user_participated: bool,
}

#[derive(Serialize)]
struct References {
    chunk: Vec<Reference>,
}

#[derive(Serialize)]
struct Reference {
    event_id: OwnedEventId,
}

impl Rooms {
    /// Renders an event with everything that belongs to it.
    pub async fn render(
        &self,
        view: &mut View,
        event: &TimelineEvent,
        reader: Reader<'_>,
    ) -> Result<Box<RawValue>> {
        let mut unsigned = self.unsigned(view, event, reader).await?;
        unsigned.relations = self.bundle(view, event, reader).await?;
        Ok(write(&event.pdu, unsigned, reader))
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
        events: impl IntoIterator<Item = &'e linkspan_domain::SharedPdu>,
        reader: Reader<'_>,
    ) -> Vec<Box<RawValue>> {
        let render = |pdu: &linkspan_domain::SharedPdu| {
            let unsigned = Unsigned { age: Some(age(pdu, reader.now_ts)), ..Unsigned::default() };
            write(pdu, unsigned, reader)
        };
        events.into_iter().map(render).collect()
    }

    async fn unsigned(&self, view: &mut View, event: &TimelineEvent, reader: Reader<'_>) -> Result<Unsigned> {
        let mut unsigned = Unsigned { age: Some(age(&event.pdu, reader.now_ts)), ..Unsigned::default() };
        unsigned.membership = self.membership_then(view, event).await?.or_else(|| Some("leave".to_owned()));
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
                if let Some(replaced) = self.any_event(&view.room.id, &replaced).await? {
                    unsigned.prev_content = Some(replaced.pdu.content.clone());
                }
                unsigned.replaces_state = Some(replaced);
            }
        }
        if let Some(redacted_by) = &event.pdu.redacted_by
            && let Some(redaction) = self.event(&view.room.id, redacted_by).await?
            && !view.hides(&redaction.pdu)
        {
            unsigned.redacted_because = Some(write(&redaction.pdu, Unsigned::default(), reader));
        }
        Ok(unsigned)
    }

    /// The bundled aggregations of an event.
    /// <https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events>
    async fn bundle(
        &self,
        view: &mut View,
        event: &TimelineEvent,
        reader: Reader<'_>,
    ) -> Result<Option<Box<RawValue>>> {
        if event.pdu.state_key.is_some() || event.pdu.redacted_by.is_some() {
            return Ok(None);
        }
        // What was made here was not known to anybody before.
        let is_made_here = !event.sent_by.is_empty();
        if is_made_here && view.room.unchanged.relations.since(event.position) {
            return Ok(None);
        }
        let range = Range::<Relations>::prefix((&view.room.id, &event.pdu.event_id)).limit(MAX_RELATIONS);
        let mut relations = self.store().range(range).await?;
        if relations.is_empty() {
            return Ok(None);
        }
        if relations.len() == MAX_RELATIONS {
            // Many reactions must not hide what comes after them.
            relations = self.bundled_relations(&view.room.id, &event.pdu.event_id).await?;
        }
        let mut bundle =
            Bundle { replace: self.latest_edit(view, event, &relations, reader).await?, ..Bundle::default() };
        let is_thread = relations.iter().any(|(key, _)| key.rel_type == "m.thread");
        if is_thread {
            bundle.thread = self.thread_bundle(view, event, reader).await?;
        }
        let references: Vec<_> = relations
            .iter()
            .filter(|(key, _)| key.rel_type == "m.reference")
            .map(|(_, relation)| Reference { event_id: relation.event_id.clone() })
            .collect();
        bundle.reference = (!references.is_empty()).then_some(References { chunk: references });
        if bundle.replace.is_none() && bundle.thread.is_none() && bundle.reference.is_none() {
            return Ok(None);
        }
        Ok(Some(serde_json::value::to_raw_value(&bundle).expect("bundles are JSON")))
    }

    /// The first references, the newest edits and a reply of an event.
    async fn bundled_relations(
        &self,
        room_id: &OwnedRoomId,
        event_id: &OwnedEventId,
    ) -> Result<Vec<(RelationKey, RelationRecord)>> {
        let of_type = |rel_type: &str| Range::<Relations>::prefix((room_id, event_id, &rel_type.to_owned()));
        let mut relations = self.store().range(of_type("m.reference").limit(MAX_RELATIONS)).await?;
        let mut edits = self.store().range(of_type("m.replace").reverse().limit(MAX_RELATIONS)).await?;
        edits.reverse();
        relations.append(&mut edits);
        relations.append(&mut self.store().range(of_type("m.thread").limit(1)).await?);
        Ok(relations)
    }

    /// The newest edit of an event: by its sender, of its type.
    /// <https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events>
    async fn latest_edit(
        &self,
        view: &View,
        event: &TimelineEvent,
        relations: &[(RelationKey, RelationRecord)],
        reader: Reader<'_>,
    ) -> Result<Option<Box<RawValue>>> {
        let event_type = event.pdu.event_type.to_string();
        let edit = relations.iter().rev().find(|(key, relation)| {
            key.rel_type == "m.replace"
                && relation.sender == event.pdu.sender
                && relation.event_type == event_type
        });
        let Some((key, _)) = edit else { return Ok(None) };
        let Some(edit) = self.event_at(&view.room.id, key.seq).await? else { return Ok(None) };
        if view.hides(&edit.pdu) {
            return Ok(None);
        }
        let unsigned = Unsigned { age: Some(age(&edit.pdu, reader.now_ts)), ..Unsigned::default() };
        Ok(Some(write(&edit.pdu, unsigned, reader)))
    }

    async fn thread_bundle(
        &self,
        view: &mut View,
        root: &TimelineEvent,
        reader: Reader<'_>,
    ) -> Result<Option<ThreadBundle>> {
        let key = RoomEventKey { room_id: view.room.id.clone(), event_id: root.pdu.event_id.clone() };
        let Some(thread) = self.store().get::<Threads>(&key).await? else { return Ok(None) };
        let Some(latest) = self.latest_reply(view, &root.pdu.event_id, thread.latest_seq).await? else {
            return Ok(None);
        };
        let participated = root.pdu.sender == view.user_id || thread.participants.contains(&view.user_id);
        let mut unsigned = self.unsigned(view, &latest, reader).await?;
        let range = Range::<Relations>::prefix((&view.room.id, &latest.pdu.event_id)).limit(MAX_RELATIONS);
        let relations = self.store().range(range).await?;
        let replace = self.latest_edit(view, &latest, &relations, reader).await?;
        if replace.is_some() {
            let bundle = Bundle { replace, ..Bundle::default() };
            unsigned.relations = serde_json::value::to_raw_value(&bundle).ok();
        }
        Ok(Some(ThreadBundle {
            latest_event: write(&latest.pdu, unsigned, reader),
            count: thread.count,
            current_user_participated: participated,
        }))
    }

    /// The newest reply of a thread that the rule of the user's platform does not hide; `newest`: the last of all.
    async fn latest_reply(
        &self,
        view: &View,
        root: &OwnedEventId,
        newest: i64,
    ) -> Result<Option<Arc<TimelineEvent>>> {
        let room_id = &view.room.id;
        let latest = self.event_at(room_id, newest).await?;
        if latest.as_ref().is_none_or(|latest| !view.hides(&latest.pdu)) {
            return Ok(latest);
        }
        let range = Range::<Relations>::prefix((room_id, root, &"m.thread".to_owned()));
        for key in self.store().keys(range.reverse().limit(MAX_RELATIONS)).await? {
            if let Some(reply) = self.event_at(room_id, key.seq).await?
                && !view.hides(&reply.pdu)
            {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }
}

fn age(pdu: &Pdu, now_ts: u64) -> u64 {
    now_ts.saturating_sub(pdu.origin_server_ts.get().into())
}

fn write(pdu: &Pdu, unsigned: Unsigned, reader: Reader<'_>) -> Box<RawValue> {
    if reader.with_room_id {
        ClientEvent::new(pdu, unsigned).to_json()
    } else {
        ClientEvent::without_room_id(pdu, unsigned).to_json()
    }
}

/// Of which thread the event is a reply, by its own relation; for what relates to a reply see [`Rooms::thread_of`].
pub fn thread_root(pdu: &Pdu) -> Option<OwnedEventId> {
    if pdu.event_type == TimelineEventType::RoomMember {
        return None;
    }
    crate::append::relation_of(pdu).filter(|relation| relation.rel_type == "m.thread").map(|r| r.event_id)
}
