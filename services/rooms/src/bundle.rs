//! What relates to an event, summed up for a certain user: the newest edit, the thread, references. Nothing in it is
//! more than the user may see.
//! <https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events>

use std::sync::Arc;

use linkspan_domain::{Pdu, Unsigned};
use linkspan_storage::{
    Range,
    catalogue::{RelationKey, Relations, RoomEventKey, Threads},
    records::{RelationRecord, ThreadRecord},
};
use ruma::{OwnedEventId, OwnedRoomId, events::TimelineEventType};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    Reader, Result, Rooms, TimelineEvent, View,
    append::relation_of,
    render::{age, write},
};

/// How many relations of one event are looked at.
const MAX_RELATIONS: usize = 1_000;
/// How many replies of a thread are counted one by one for a user who does not see all of them.
const MAX_COUNTED: usize = 10_000;

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

/// A thread as a certain user sees it.
pub(crate) struct Thread {
    /// The newest reply.
    pub(crate) latest: Arc<TimelineEvent>,
    /// How many replies there are.
    pub(crate) count: u64,
    /// Whether the user sent the root or a reply.
    pub(crate) has_participated: bool,
}

type Relation = (RelationKey, RelationRecord);

impl Rooms {
    /// The bundled aggregations of an event, or `None` if it has none.
    pub(crate) async fn bundle(
        &self,
        view: &mut View,
        event: &TimelineEvent,
        reader: Reader<'_>,
    ) -> Result<Option<Box<RawValue>>> {
        if event.pdu.state_key.is_some() || self.has_surely_no_relations(event) {
            return Ok(None);
        }
        let relations = self.bundled_relations(&view.room.id, &event.pdu.event_id).await?;
        if relations.is_empty() {
            return Ok(None);
        }
        let is_thread = relations.iter().any(|(key, _)| key.rel_type == "m.thread");
        let bundle = Bundle {
            replace: self.latest_edit(view, event, &relations, reader).await?,
            thread: if is_thread { self.thread_bundle(view, event, reader).await? } else { None },
            reference: self.references(view, event, &relations).await?,
        };
        if bundle.replace.is_none() && bundle.thread.is_none() && bundle.reference.is_none() {
            return Ok(None);
        }
        Ok(Some(serde_json::value::to_raw_value(&bundle).expect("bundles are JSON")))
    }

    /// What was made here was not known to anybody before.
    fn has_surely_no_relations(&self, event: &TimelineEvent) -> bool {
        let is_made_here = !event.sent_by.is_empty();
        is_made_here && self.shared.relation_changes.since(&event.pdu.event_id, event.position)
    }

    /// All relations of an event. If it has many, these are the first references, the newest edits and one
    /// reply.
    async fn bundled_relations(
        &self,
        room_id: &OwnedRoomId,
        event_id: &OwnedEventId,
    ) -> Result<Vec<Relation>> {
        let all = Range::<Relations>::prefix((room_id, event_id)).limit(MAX_RELATIONS);
        let mut relations = self.store().range(all).await?;
        if relations.len() < MAX_RELATIONS {
            return Ok(relations);
        }
        // Many reactions must not hide what comes after them.
        let of_type = |rel_type: &str| Range::<Relations>::prefix((room_id, event_id, &rel_type.to_owned()));
        relations = self.store().range(of_type("m.reference").limit(MAX_RELATIONS)).await?;
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
        view: &mut View,
        event: &TimelineEvent,
        relations: &[Relation],
        reader: Reader<'_>,
    ) -> Result<Option<Box<RawValue>>> {
        let event_type = event.pdu.event_type.to_string();
        let is_candidate = |(key, relation): &&Relation| {
            key.rel_type == "m.replace"
                && relation.sender == event.pdu.sender
                && relation.event_type == event_type
        };
        let candidates: Vec<_> = relations.iter().filter(is_candidate).collect();
        if candidates.is_empty() || !self.can_be_edited(view, event).await? {
            return Ok(None);
        }
        for (key, _) in candidates.into_iter().rev() {
            let edit = self.shown_child(view, key.seq).await?;
            if let Some(edit) = edit.filter(|edit| has_new_content(&edit.pdu)) {
                let unsigned = Unsigned { age: Some(age(&edit.pdu, reader.now_ts)), ..Unsigned::default() };
                return Ok(Some(write(&edit.pdu, unsigned, reader)));
            }
        }
        Ok(None)
    }

    /// Whether an event can be edited: it has content that the user is shown, and is no edit itself.
    async fn can_be_edited(&self, view: &mut View, event: &TimelineEvent) -> Result<bool> {
        let is_edit = relation_of(&event.pdu).is_some_and(|relation| relation.rel_type == "m.replace");
        Ok(!is_edit && event.pdu.redacted_by.is_none() && self.is_whole(view, event).await?)
    }

    async fn references(
        &self,
        view: &mut View,
        event: &TimelineEvent,
        relations: &[Relation],
    ) -> Result<Option<References>> {
        let mut chunk = Vec::new();
        for (key, relation) in relations.iter().filter(|(key, _)| key.rel_type == "m.reference") {
            if self.shows_relation(view, event.seq, key, relation).await? {
                chunk.push(Reference { event_id: relation.event_id.clone() });
            }
        }
        Ok((!chunk.is_empty()).then_some(References { chunk }))
    }

    async fn thread_bundle(
        &self,
        view: &mut View,
        root: &TimelineEvent,
        reader: Reader<'_>,
    ) -> Result<Option<ThreadBundle>> {
        let key = RoomEventKey { room_id: view.room.id.clone(), event_id: root.pdu.event_id.clone() };
        let Some(record) = self.store().get::<Threads>(&key).await? else { return Ok(None) };
        let Some(thread) = self.thread_for(view, root, &record).await? else { return Ok(None) };
        let latest = &thread.latest;
        let mut unsigned = self.unsigned(view, latest, reader).await?;
        let relations = self.bundled_relations(&view.room.id, &latest.pdu.event_id).await?;
        let replace = self.latest_edit(view, latest, &relations, reader).await?;
        if replace.is_some() {
            let bundle = Bundle { replace, ..Bundle::default() };
            unsigned.relations = serde_json::value::to_raw_value(&bundle).ok();
        }
        Ok(Some(ThreadBundle {
            latest_event: write(&latest.pdu, unsigned, reader),
            count: thread.count,
            current_user_participated: thread.has_participated,
        }))
    }

    /// A thread as the user sees it, or `None` if the user sees no reply, or the event can be no thread root.
    ///
    /// A user who sees all replies is told what the record says. For others they are counted.
    pub(crate) async fn thread_for(
        &self,
        view: &mut View,
        root: &TimelineEvent,
        record: &ThreadRecord,
    ) -> Result<Option<Thread>> {
        if record.count == 0 || !can_root_thread(&root.pdu) {
            return Ok(None);
        }
        let mut participants = record.participants.iter();
        let sees_all = !record.has_withheld
            && !self.is_past(record.disappears_ts)
            && participants
                .all(|(sender, _)| view.shows_related(root.seq, record.latest_seq, sender) == Some(true));
        let (count, latest) = match sees_all {
            true => (record.count, self.event_at(&view.room.id, record.latest_seq).await?),
            false => self.count_replies(view, root).await?,
        };
        let has_participated = root.pdu.sender == view.user_id
            || record.participants.iter().any(|(sender, _)| *sender == view.user_id);
        Ok(latest.map(|latest| Thread { latest, count, has_participated }))
    }

    /// How many replies of a thread the user sees, and the newest of them.
    async fn count_replies(
        &self,
        view: &mut View,
        root: &TimelineEvent,
    ) -> Result<(u64, Option<Arc<TimelineEvent>>)> {
        let (room_id, rel_type) = (view.room.id.clone(), "m.thread".to_owned());
        let range = Range::<Relations>::between(
            (&room_id, &root.pdu.event_id, &rel_type, &i64::MIN),
            (&room_id, &root.pdu.event_id, &rel_type, &view.last_seq().saturating_add(1)),
        );
        let (mut count, mut latest) = (0, None);
        for (key, relation) in self.store().range(range.reverse().limit(MAX_COUNTED)).await? {
            if latest.is_none() {
                latest = match view.shows_related(root.seq, key.seq, &relation.sender) {
                    Some(false) => None,
                    _ => self.shown_child(view, key.seq).await?,
                };
                count += u64::from(latest.is_some());
            } else {
                count += u64::from(self.shows_relation(view, root.seq, &key, &relation).await?);
            }
        }
        Ok((count, latest))
    }

    /// Whether the user is shown that an event relates to another, which is at `parent_seq`.
    pub(crate) async fn shows_relation(
        &self,
        view: &mut View,
        parent_seq: i64,
        key: &RelationKey,
        relation: &RelationRecord,
    ) -> Result<bool> {
        match view.shows_related(parent_seq, key.seq, &relation.sender) {
            Some(shows) if !relation.withheld && !self.is_past(relation.disappears_ts) => Ok(shows),
            _ => Ok(self.shown_child(view, key.seq).await?.is_some()),
        }
    }

    /// An event that relates to another, if it shows itself to the user with its content, which is what relates it.
    pub(crate) async fn shown_child(&self, view: &mut View, seq: i64) -> Result<Option<Arc<TimelineEvent>>> {
        let Some(child) = self.event_at(&view.room.id.clone(), seq).await? else { return Ok(None) };
        let is_shown = child.pdu.redacted_by.is_none()
            && self.shows(view, &child).await?
            && self.is_whole(view, &child).await?;
        Ok(is_shown.then_some(child))
    }
}

/// Whether an edit has the new content. If it is encrypted, the new content is inside.
fn has_new_content(edit: &Pdu) -> bool {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.new_content")]
        _new_content: IgnoredAny,
    }
    edit.event_type == TimelineEventType::RoomEncrypted || edit.content_as::<Content>().is_some()
}

/// Whether a thread can start at the event, which must not relate to another. A rich reply does not count.
/// <https://spec.matrix.org/v1.19/client-server-api/#threading>
pub fn can_root_thread(pdu: &Pdu) -> bool {
    relation_of(pdu).is_none()
}
