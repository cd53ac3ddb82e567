//! Messages to devices: a stored queue for each device, emptied as the device acknowledges it.

use linkspan_storage::{
    Json, Position, Range, StorageError, WriteSet,
    catalogue::{ToDevice, ToDeviceKey},
};
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::Inbox;

/// Messages that one sync hands over at most; the next one gets the rest.
const PAGE: usize = 100;
/// Rows that one acknowledgement removes at most.
const ACKNOWLEDGE_ROWS: usize = 1_000;

/// A message that waits for a device.
#[derive(Clone, Debug)]
pub struct ToDeviceMessage {
    /// Where it stands in the order of commits.
    pub position: Position,
    /// The event, JSON: `content`, `sender`, `type`.
    pub json: String,
}

/// Puts a message into a device's queue. `index`: its number within the write-set.
pub fn send_to_device(
    writes: &mut WriteSet,
    user_id: &OwnedUserId,
    device_id: &OwnedDeviceId,
    index: u32,
    json: String,
) {
    let key = ToDeviceKey {
        user_id: user_id.clone(),
        device_id: device_id.clone(),
        position: Position::PENDING,
        index,
    };
    writes.put::<ToDevice>(&key, &Json(json));
}

impl Inbox {
    /// The messages that wait for a device, up to `until`, oldest first. The second value is the
    /// position up to which the answer is complete: less than `until` if there are more.
    pub async fn to_device(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        until: Position,
    ) -> Result<(Vec<ToDeviceMessage>, Position), StorageError> {
        let live = self.live(user_id);
        if live.known.lock().is_queue_empty(device_id, self.heard()) {
            return Ok((Vec::new(), until));
        }
        let found = self.to_device_after(user_id, device_id, Position::ZERO, until).await?;
        if found.0.is_empty() {
            live.known.lock().found_queue_empty(device_id, until);
        }
        Ok(found)
    }

    /// The same, but only those after `since`.
    pub async fn to_device_after(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        since: Position,
        until: Position,
    ) -> Result<(Vec<ToDeviceMessage>, Position), StorageError> {
        let first = (user_id, device_id, &since.next());
        let range = Range::<ToDevice>::between(first, (user_id, device_id, &until.next()));
        let rows = self.shared.store.range(range.limit(PAGE + 1)).await?;
        let mut messages: Vec<_> = rows
            .into_iter()
            .map(|(key, Json(json))| ToDeviceMessage { position: key.position, json })
            .collect();
        if messages.len() <= PAGE {
            return Ok((messages, until));
        }
        // Cut where a commit ends, so that a position can stand for what was handed over; unless a
        // single commit fills the page.
        let next = messages[PAGE].position;
        let whole = messages.iter().take_while(|message| message.position < next).count();
        if whole > 0 {
            messages.truncate(whole);
        }
        let complete = messages.last().map_or(until, |message| message.position);
        Ok((messages, complete))
    }

    /// Removes the messages up to `position`: the device has them.
    pub async fn acknowledge_to_device(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        position: Position,
    ) -> Result<(), StorageError> {
        if self.live(user_id).known.lock().is_queue_empty(device_id, self.heard()) {
            return Ok(());
        }
        let range = Range::<ToDevice>::between((user_id, device_id), (user_id, device_id, &position.next()));
        let keys = self.shared.store.keys(range.limit(ACKNOWLEDGE_ROWS)).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut writes = WriteSet::new();
        keys.iter().for_each(|key| writes.delete::<ToDevice>(key));
        self.shared.store.commit(writes).await?;
        Ok(())
    }
}
