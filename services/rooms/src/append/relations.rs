//! How an event relates to its parent, and the threads that come of it.

use linkspan_domain::Pdu;
use linkspan_storage::{
    Range,
    catalogue::{RelationKey, Relations, RoomEventKey, Threads},
    records::{RelationRecord, ThreadRecord},
};
use ruma::OwnedEventId;
use serde::Deserialize;

use super::Append;
use crate::{Result, RoomsError, TimelineEvent, bundle::can_root_thread};

/// The longest type of a relation that is noted, in bytes.
const MAX_REL_TYPE_BYTES: usize = 255;
/// How many replies of a thread are read at a time.
const BATCH: usize = 1_000;

impl Append {
    /// Notes the event's relation to its parent.
    /// <https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events>
    pub(super) async fn relate(&mut self, pdu: &Pdu, seq: i64, disappears_ts: Option<u64>) -> Result<()> {
        let Some(relation) = relation_of(pdu) else { return Ok(()) };
        let RelatesTo { rel_type, event_id: parent, key } = relation;
        if rel_type == "m.thread" {
            let thread_key = RoomEventKey { room_id: self.room.id.clone(), event_id: parent.clone() };
            let mut thread = self.thread(&thread_key).await?;
            if thread.count == 0 && !self.from_elsewhere {
                self.check_thread_root(&parent).await?;
            }
            thread.latest_seq = seq;
            thread.count += 1;
            thread.has_withheld |= pdu.withheld;
            thread.disappearing += u64::from(disappears_ts.is_some());
            thread.disappears_ts = [thread.disappears_ts, disappears_ts].into_iter().flatten().min();
            match thread.participants.iter_mut().find(|(sender, _)| *sender == pdu.sender) {
                Some((_, replies)) => *replies += 1,
                None => thread.participants.push((pdu.sender.clone(), 1)),
            }
            self.writes.put::<Threads>(&thread_key, &thread);
            self.threads.insert(parent.clone(), thread);
        }
        let relation_key = RelationKey { room_id: self.room.id.clone(), parent, rel_type, seq };
        let record = RelationRecord {
            event_id: pdu.event_id.clone(),
            event_type: pdu.event_type.to_string(),
            sender: pdu.sender.clone(),
            key,
            withheld: pdu.withheld,
            disappears_ts,
        };
        self.writes.put::<Relations>(&relation_key, &record);
        Ok(())
    }

    /// Refuses to start a thread at what relates to another event.
    /// <https://spec.matrix.org/v1.19/client-server-api/#validation-of-mthread-relationships>
    async fn check_thread_root(&self, root: &OwnedEventId) -> Result<()> {
        match self.rooms.event(&self.room.id, root).await? {
            Some(root) if !can_root_thread(&root.pdu) => Err(RoomsError::NoThreadRoot),
            _ => Ok(()),
        }
    }

    /// A thread as staged.
    async fn thread(&self, key: &RoomEventKey) -> Result<ThreadRecord> {
        if let Some(thread) = self.threads.get(&key.event_id) {
            return Ok(thread.clone());
        }
        let queued = self.room.queued.lock().threads.get(&key.event_id).cloned();
        let thread = match queued {
            Some(thread) => Some(thread),
            None => self.rooms.store().get::<Threads>(key).await?,
        };
        let new = ThreadRecord {
            latest_seq: 0,
            count: 0,
            participants: Vec::new(),
            has_withheld: false,
            disappearing: 0,
            disappears_ts: None,
        };
        Ok(thread.unwrap_or(new))
    }

    pub(super) async fn unrelate(&mut self, target: &TimelineEvent, relation: RelatesTo) -> Result<()> {
        let RelatesTo { rel_type, event_id: parent, .. } = relation;
        if rel_type == "m.thread" {
            let key = RoomEventKey { room_id: self.room.id.clone(), event_id: parent.clone() };
            let mut thread = self.thread(&key).await?;
            thread.count = thread.count.saturating_sub(1);
            if let Some((_, replies)) =
                thread.participants.iter_mut().find(|(sender, _)| *sender == target.pdu.sender)
            {
                *replies = replies.saturating_sub(1);
            }
            thread.participants.retain(|(_, replies)| *replies > 0);
            if target.disappears_ts.is_some() {
                thread.disappearing = thread.disappearing.saturating_sub(1);
                // What is past was told of a reply that is due, by `first_end`.
                if thread.disappears_ts == target.disappears_ts || self.rooms.is_past(thread.disappears_ts) {
                    self.shortened.insert(parent.clone());
                }
            }
            if thread.latest_seq == target.seq {
                thread.latest_seq = self.reply_before(&key, target.seq).await?;
            }
            self.writes.put::<Threads>(&key, &thread);
            self.threads.insert(parent.clone(), thread);
        }
        let room_id = self.room.id.clone();
        self.writes.delete::<Relations>(&RelationKey { room_id, parent, rel_type, seq: target.seq });
        self.unrelated.insert(target.seq);
        Ok(())
    }

    /// Finds out when the first reply disappears now, of threads that lose the one which was to be the first. It is
    /// done once for all that an append takes away, since it may read whole threads.
    pub(super) async fn settle_thread_ends(&mut self) -> Result<()> {
        // Replies that are queued are not read.
        self.settle().await?;
        for event_id in std::mem::take(&mut self.shortened) {
            let root = RoomEventKey { room_id: self.room.id.clone(), event_id };
            let mut thread = self.thread(&root).await?;
            thread.disappears_ts = match thread.disappearing {
                0 => None,
                _ => self.first_end(&root).await?,
            };
            self.writes.put::<Threads>(&root, &thread);
            self.threads.insert(root.event_id, thread);
        }
        Ok(())
    }

    /// When the first reply of a thread disappears, of those that stay for now. If the time of one of them has come
    /// already, it is as good as the first: it goes soon, and then this is asked again. So a long thread that goes a
    /// part at a time is read as a whole only when its last part goes.
    async fn first_end(&self, root: &RoomEventKey) -> Result<Option<u64>> {
        let RoomEventKey { room_id, event_id } = root;
        let rel_type = "m.thread".to_owned();
        // What is due next is most likely what came after those that go now.
        let gone = self.unrelated.iter().max().copied().unwrap_or(i64::MIN);
        let gone = RelationKey {
            room_id: room_id.clone(),
            parent: event_id.clone(),
            rel_type: rel_type.clone(),
            seq: gone,
        };
        let replies = || Range::<Relations>::prefix((room_id, event_id, &rel_type)).limit(BATCH);
        let mut first_ts = None;
        for is_later in [true, false] {
            let mut last: Option<RelationKey> = None;
            loop {
                let part = if is_later { replies().after(&gone) } else { replies().up_to(&gone) };
                let part = self.rooms.store().range(part.after_last(last.as_ref())).await?;
                let staying = part.iter().filter(|(key, _)| !self.unrelated.contains(&key.seq));
                let ends = staying.filter_map(|(_, reply)| reply.disappears_ts);
                first_ts = ends.chain(first_ts).min();
                if self.rooms.is_past(first_ts) {
                    return Ok(first_ts);
                }
                last = part.into_iter().last().map(|(key, _)| key);
                if last.is_none() {
                    break;
                }
            }
        }
        Ok(first_ts)
    }

    /// The place of the last reply of a thread before `seq`; 0 if there is none.
    async fn reply_before(&self, root: &RoomEventKey, seq: i64) -> Result<i64> {
        let rel_type = "m.thread".to_owned();
        let range = Range::<Relations>::between(
            (&root.room_id, &root.event_id, &rel_type, &i64::MIN),
            (&root.room_id, &root.event_id, &rel_type, &seq),
        );
        let keys = self.rooms.store().keys(range.reverse().limit(1)).await?;
        Ok(keys.first().map_or(0, |key| key.seq))
    }
}

/// `m.relates_to` of an event.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RelatesTo {
    pub(crate) rel_type: String,
    pub(crate) event_id: OwnedEventId,
    pub(crate) key: Option<String>,
}

/// The relation of an event to its parent, if it has one.
pub(crate) fn relation_of(pdu: &Pdu) -> Option<RelatesTo> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: Option<RelatesTo>,
    }
    if pdu.state_key.is_some() {
        return None;
    }
    pdu.content_as::<Content>()?.relates_to.filter(|relation| relation.rel_type.len() <= MAX_REL_TYPE_BYTES)
}
