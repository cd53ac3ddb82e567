//! Receipts and typing.
//! <https://spec.matrix.org/v1.19/client-server-api/#receipts>

use std::time::Duration;

use linkspan_inbox::point;
use linkspan_storage::{
    Notice, Position, Range, Stamped, WriteSet,
    catalogue::{ReceiptKey, ReceiptLog, ReceiptLogKey, Receipts},
    records::{InboxPointer, ReceiptRecord},
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

use crate::{Result, Room, Rooms, RoomsError};

/// How long somebody counts as typing at most.
const MAX_TYPING: Duration = Duration::from_secs(120);

/// Who is told of a receipt.
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
    /// Who.
    pub user_id: OwnedUserId,
    /// Who is told.
    pub kind: ReceiptKind,
    /// `main` or a thread's root; empty for a receipt of the whole room.
    pub thread: String,
    /// The event.
    pub event_id: OwnedEventId,
    /// Its place.
    pub seq: i64,
    /// When, milliseconds since the Unix epoch.
    pub ts: u64,
}

impl ReceiptKind {
    fn from_number(number: u8) -> Self {
        if number == 0 { Self::Public } else { Self::Private }
    }
}

impl Rooms {
    /// Notes that a user has read up to an event. One that goes back is ignored.
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
        let seq = event.ok_or_else(|| RoomsError::NotFound("the event is not in this room".into()))?.seq;
        let members = match kind {
            ReceiptKind::Public if !room.is_big() => self.local_members(&room).await?,
            _ => vec![user_id.clone()],
        };
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
        self.store()
            .update(|| async {
                let mut writes = WriteSet::new();
                match self.store().get::<Receipts>(&key).await? {
                    Some(before) if before.value.seq >= seq => return Ok((writes, ())),
                    Some(before) => {
                        writes.expect::<Receipts>(&key, &before);
                        writes.delete::<ReceiptLog>(&log_key(before.position));
                    }
                    None => writes.expect_absent::<Receipts>(&key),
                }
                let receipt = ReceiptRecord { event_id: event_id.clone(), seq, ts: now_ts };
                writes.put::<ReceiptLog>(&log_key(Position::PENDING), &receipt);
                writes.put::<Receipts>(&key, &Stamped::pending(receipt));
                for member in &members {
                    point(&mut writes, member, InboxPointer::Receipts(room_id.clone()));
                }
                if room.is_big() {
                    writes.notify(Notice::Room(room_id.clone()));
                }
                Ok((writes, ()))
            })
            .await
    }

    /// The receipts of a room that changed after `since` and that the user is told of.
    pub async fn receipts_since(
        &self,
        user_id: &OwnedUserId,
        room_id: &OwnedRoomId,
        since: Position,
    ) -> Result<Vec<Receipt>> {
        let range = Range::<ReceiptLog>::between((room_id, &since.next()), (room_id, &Position::PENDING));
        let rows = self.store().range(range).await?;
        let told = rows.into_iter().filter(|(key, _)| key.kind == 0 || key.user_id == *user_id);
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
        let members = self.local_members(&room).await?;
        let timeout = timeout.map(|timeout| timeout.min(MAX_TYPING));
        self.shared.inbox.set_typing(room_id, user_id, timeout, &members);
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

    /// Whether any receipt of a room changed after `since`.
    pub async fn receipts_changed_since(&self, room_id: &OwnedRoomId, since: Position) -> Result<bool> {
        let range = Range::<ReceiptLog>::between((room_id, &since.next()), (room_id, &Position::PENDING));
        Ok(!self.store().keys(range.limit(1)).await?.is_empty())
    }
}
