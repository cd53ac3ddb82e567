//! Receipts and typing.
//! <https://spec.matrix.org/v1.19/client-server-api/#receipts>

use std::{sync::Arc, time::Duration};

use linkspan_accounts::put_account_data;
use linkspan_inbox::{Audience, point};
use linkspan_storage::{
    Position, Range, Stamped, WriteSet,
    catalogue::{ReceiptKey, ReceiptLog, ReceiptLogKey, Receipts},
    records::{InboxPointer, ReceiptRecord},
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    Result, Room, Rooms, RoomsError, TimelineEvent, append::relation_of, blocked::Ignoring,
    events::MAX_THREAD_STEPS,
};

/// How long somebody counts as typing at most.
const MAX_TYPING: Duration = Duration::from_secs(120);

/// The threads of a room of which it is kept how far a user has read them; the least far are forgotten.
const MAX_THREADS: usize = 1_000;
/// What stands for the timeline outside threads in place of a root.
const MAIN: &str = "main";

/// The account data that holds a user's fully-read marker.
const FULLY_READ: &str = "m.fully_read";

/// Says who is told of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptKind {
    /// Everybody in the room.
    Public = 0,
    /// The user's own devices.
    Private = 1,
}

/// A receipt: the user has read up to an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The user who has read.
    pub user_id: OwnedUserId,
    /// Says who is told.
    pub kind: ReceiptKind,
    /// `main` or a thread's root; empty for a receipt of the whole room.
    pub thread: String,
    /// The event.
    pub event_id: OwnedEventId,
    /// The place of the event in the room.
    pub seq: i64,
    /// The time of reading, in milliseconds since the Unix epoch.
    pub ts: u64,
}

impl ReceiptKind {
    fn from_number(number: u8) -> Self {
        if number == 0 { Self::Public } else { Self::Private }
    }
}

/// Whether a receipt is of a thread, not of the main timeline or of the whole room.
fn is_of_thread(thread: &str) -> bool {
    !matches!(thread, "" | MAIN)
}

/// Removes a receipt as it was read.
fn delete_receipt(writes: &mut WriteSet, key: ReceiptKey, receipt: &Stamped<ReceiptRecord>) {
    writes.expect::<Receipts>(&key, receipt);
    writes.delete::<Receipts>(&key);
    let ReceiptKey { room_id, user_id, kind, thread } = key;
    let position = receipt.position;
    writes.delete::<ReceiptLog>(&ReceiptLogKey { room_id, position, user_id, kind, thread });
}

impl Rooms {
    /// Notes that a user has read up to an event, which is in `thread`. One that goes back is ignored.
    pub async fn set_receipt(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        kind: ReceiptKind,
        thread: &str,
        event_id: &OwnedEventId,
        now_ts: u64,
    ) -> Result<()> {
        let room = self.joined_room(user_id, room_id).await?;
        let event = self.event(room_id, event_id).await?;
        let event = event.ok_or_else(|| RoomsError::NotFound("the event is not in this room".into()))?;
        self.check_thread(&event, thread).await?;
        let seq = event.seq;
        // Alone with somebody whom they ignore, users tell nobody how far they have read.
        let ignoring = self.ignoring_alone(user_id, &room).await?;
        let kind = if ignoring == Ignoring::ByList { ReceiptKind::Private } else { kind };
        // The members of a big room look there for themselves.
        let members = match kind {
            ReceiptKind::Public if !room.is_big() => self.local_members(&room).await?,
            _ => Arc::new(vec![user_id.clone()]),
        };
        let audience = self.audience(room_id, user_id, ignoring).await?;
        let key = ReceiptKey {
            room_id: room_id.clone(),
            user_id: user_id.clone(),
            kind: kind as u8,
            thread: thread.to_owned(),
        };
        let log_key = |position| ReceiptLogKey {
            room_id: room_id.clone(),
            position,
            user_id: user_id.clone(),
            kind: kind as u8,
            thread: thread.to_owned(),
        };
        let own_platform = audience == Audience::OwnPlatform;
        let own_only = audience == Audience::Oneself;
        let receipt = ReceiptRecord { event_id: event_id.clone(), seq, ts: now_ts, own_platform, own_only };
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                match self.store().get::<Receipts>(&key).await? {
                    Some(before) if before.value.seq >= seq => return Ok((writes, ())),
                    Some(before) => {
                        writes.expect::<Receipts>(&key, &before);
                        writes.delete::<ReceiptLog>(&log_key(before.position));
                    }
                    None => {
                        writes.expect_absent::<Receipts>(&key);
                        self.forget_threads(&mut writes, &key).await?;
                    }
                }
                writes.put::<ReceiptLog>(&log_key(Position::PENDING), &receipt);
                writes.put::<Receipts>(&key, &Stamped::pending(receipt.clone()));
                for member in members.iter().filter(|member| audience.has(member, user_id)) {
                    point(&mut writes, member, InboxPointer::Receipts(room_id.clone()));
                }
                Ok((writes, ()))
            })
            .await
    }

    /// Everybody in the room is told of the thread: it is the event's, and no text of the reader's.
    /// <https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts>
    ///
    /// What hangs on a reply, as a reaction does, may be read in either: clients do not always know where it belongs.
    async fn check_thread(&self, event: &Arc<TimelineEvent>, thread: &str) -> Result<()> {
        if thread == MAIN
            && let Some(relation) = relation_of(&event.pdu).filter(|relation| relation.rel_type == "m.thread")
            && self.event(&event.pdu.room_id, &relation.event_id).await?.is_some()
        {
            return Err(RoomsError::Invalid("the event is in a thread, and not in the main timeline".into()));
        }
        if !is_of_thread(thread) {
            return Ok(());
        }
        let room_id = &event.pdu.room_id;
        let mut event = event.clone();
        for _ in 0..=MAX_THREAD_STEPS {
            if event.pdu.event_id == thread {
                return Ok(());
            }
            let parent = match relation_of(&event.pdu) {
                Some(relation) => Some(relation.event_id),
                // What was redacted no longer says of which thread it was.
                None if event.pdu.redacted_by.is_some() => thread.try_into().ok(),
                None => None,
            };
            let Some(parent) = parent else { break };
            let Some(parent) = self.event(room_id, &parent).await? else { break };
            event = parent;
        }
        Err(RoomsError::Invalid(
            "a thread's id is `main` or the root of the thread that the event is in".into(),
        ))
    }

    /// Makes room for the receipt of another thread.
    async fn forget_threads(&self, writes: &mut WriteSet, new: &ReceiptKey) -> Result<()> {
        if !is_of_thread(&new.thread) {
            return Ok(());
        }
        let rows = self.store().range::<Receipts>(Range::prefix((&new.room_id, &new.user_id))).await?;
        let of_threads =
            rows.into_iter().filter(|(key, _)| key.kind == new.kind && is_of_thread(&key.thread));
        let mut of_threads: Vec<_> = of_threads.collect();
        of_threads.sort_by_key(|(_, receipt)| std::cmp::Reverse(receipt.value.seq));
        for (key, receipt) in of_threads.into_iter().skip(MAX_THREADS - 1) {
            delete_receipt(writes, key, &receipt);
        }
        Ok(())
    }

    /// Removes a user's private receipts of a room.
    pub(crate) async fn remove_private_receipts(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
    ) -> Result<()> {
        self.store()
            .update(async || {
                let mut writes = WriteSet::new();
                let rows = self.store().range::<Receipts>(Range::prefix((room_id, user_id))).await?;
                let private = rows.into_iter().filter(|(key, _)| key.kind == ReceiptKind::Private as u8);
                private.for_each(|(key, receipt)| delete_receipt(&mut writes, key, &receipt));
                Ok((writes, ()))
            })
            .await
    }

    /// Moves the marker up to which a user has read a room in full. One that goes back is ignored.
    /// <https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers>
    pub async fn set_fully_read(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        event_id: &OwnedEventId,
    ) -> Result<()> {
        #[derive(Deserialize, Serialize)]
        struct Marker {
            event_id: OwnedEventId,
        }
        self.joined_room(user_id, room_id).await?;
        let event = self.event(room_id, event_id).await?;
        let seq = event.ok_or_else(|| RoomsError::NotFound("the event is not in this room".into()))?.seq;
        let before = self.shared.accounts.account_data(user_id, Some(room_id), FULLY_READ).await?;
        if let Some(before) = before.and_then(|before| serde_json::from_str::<Marker>(&before).ok()) {
            let before = self.event(room_id, &before.event_id).await?;
            if before.is_some_and(|before| before.seq >= seq) {
                return Ok(());
            }
        }
        let marker = Marker { event_id: event_id.clone() };
        let marker = serde_json::to_string(&marker).expect("an event id is JSON");
        let mut writes = WriteSet::new();
        put_account_data(&mut writes, user_id, Some(room_id), FULLY_READ, marker);
        self.store().commit(writes).await?;
        Ok(())
    }

    /// The receipts of a room that changed after `since` and that the user is told of.
    pub async fn receipts_since(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        since: Position,
    ) -> Result<Vec<Receipt>> {
        let range = Range::<ReceiptLog>::between((room_id, &since.next()), (room_id, &Position::PENDING));
        if self.shared.receipt_changes.since(room_id, since) {
            return Ok(Vec::new());
        }
        let rows = self.store().range(range).await?;
        let is_told = |key: &ReceiptLogKey, receipt: &ReceiptRecord| {
            let audience = match receipt {
                ReceiptRecord { own_only: true, .. } => Audience::Oneself,
                ReceiptRecord { own_platform: true, .. } => Audience::OwnPlatform,
                _ => Audience::Everybody,
            };
            key.user_id == *user_id || (key.kind == 0 && audience.has(user_id, &key.user_id))
        };
        let told = rows.into_iter().filter(|(key, receipt)| is_told(key, receipt));
        Ok(told
            .map(|(key, receipt)| Receipt {
                user_id: key.user_id,
                kind: ReceiptKind::from_number(key.kind),
                thread: key.thread,
                event_id: receipt.event_id,
                seq: receipt.seq,
                ts: receipt.ts,
            })
            .collect())
    }

    /// A user's own receipts in a room.
    pub async fn own_receipts(&self, user_id: &OwnedUserId, room_id: &OwnedRoomId) -> Result<Vec<Receipt>> {
        let rows = self.store().range::<Receipts>(Range::prefix((room_id, user_id))).await?;
        Ok(rows
            .into_iter()
            .map(|(key, stored)| Receipt {
                user_id: key.user_id,
                kind: ReceiptKind::from_number(key.kind),
                thread: key.thread,
                event_id: stored.value.event_id,
                seq: stored.value.seq,
                ts: stored.value.ts,
            })
            .collect())
    }

    /// Says that a user types in a room, for `timeout`, or not any more.
    pub async fn set_typing(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        timeout: Option<Duration>,
    ) -> Result<()> {
        let room = self.joined_room(user_id, room_id).await?;
        let ignoring = self.ignoring_alone(user_id, &room).await?;
        if ignoring == Ignoring::ByList {
            return Ok(());
        }
        let members = self.local_members(&room).await?;
        let timeout = timeout.map(|timeout| timeout.min(MAX_TYPING));
        let audience = self.audience(room_id, user_id, ignoring).await?;
        self.shared.inbox.set_typing(room_id, user_id, timeout, audience, &members);
        Ok(())
    }

    /// Whether events or receipts came to a room after `since`.
    pub async fn room_changed_since(&self, room: &Room, since: Position) -> Result<bool> {
        let head = self.head(&room.id).await?.map_or(0, |head| head.seq);
        let newest = self.timeline_back(&room.id, head, 0, 1).await?;
        if newest.first().is_some_and(|event| event.position > since) {
            return Ok(true);
        }
        self.receipts_changed_since(&room.id, since).await
    }

    /// Whether it is known that no receipt of a room changed after `since`, without looking for one.
    pub fn receipts_are_unchanged(&self, room: &Room, since: Position) -> bool {
        self.shared.receipt_changes.since(&room.id, since)
    }

    /// A user's own receipts in a room, and up to where in the order of commits they are known to be all.
    pub async fn own_receipts_until(
        &self,
        user_id: &OwnedUserId,
        room: &Room,
    ) -> Result<(Vec<Receipt>, Position)> {
        let until = self.store().position();
        let receipts = self.own_receipts(user_id, &room.id).await?;
        Ok((receipts, until))
    }

    /// Whether any receipt of a room changed after `since`.
    pub async fn receipts_changed_since(&self, room_id: &OwnedRoomId, since: Position) -> Result<bool> {
        if self.shared.receipt_changes.since(room_id, since) {
            return Ok(false);
        }
        let range = Range::<ReceiptLog>::between((room_id, &since.next()), (room_id, &Position::PENDING));
        Ok(!self.store().keys(range.limit(1)).await?.is_empty())
    }
}
