//! The member events that a device has been sent, so that lazy loading does not send them again.
//!
//! They are kept in memory, and only believed when the device comes back with the very token that it was
//! given. A lost answer or a restart costs some repetition and nothing else.

use std::collections::HashMap;

use linkspan_storage::CacheSize;
use quick_cache::sync::Cache;
use ruma::{DeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId};

/// The most devices that are remembered.
const DEVICES: usize = 4_096;
/// The most member events that are remembered for a device.
const EVENTS: usize = 4_096;

type Device = (OwnedUserId, String);
type Sent = HashMap<OwnedRoomId, HashMap<OwnedUserId, OwnedEventId>>;

#[derive(Debug)]
struct Entry {
    token: Option<String>,
    sent: Sent,
}

#[derive(Debug)]
pub(crate) struct SentMembers {
    devices: Cache<Device, std::sync::Arc<parking_lot::Mutex<Entry>>>,
}

impl SentMembers {
    pub(crate) fn new() -> Self {
        Self { devices: Cache::new(DEVICES) }
    }

    /// How many devices there are of which it is remembered.
    pub(crate) fn size(&self) -> CacheSize {
        CacheSize::of(&self.devices)
    }

    fn entry(&self, device_id: &DeviceId, user_id: &UserId) -> std::sync::Arc<parking_lot::Mutex<Entry>> {
        let key = (user_id.to_owned(), device_id.to_string());
        let fresh = || {
            Ok::<_, std::convert::Infallible>(std::sync::Arc::new(parking_lot::Mutex::new(Entry {
                token: None,
                sent: Sent::new(),
            })))
        };
        match self.devices.get_or_insert_with(&key, fresh) {
            Ok(entry) => entry,
            Err(never) => match never {},
        }
    }

    /// Begins a sync. Everything is forgotten unless the device has got the last answer.
    pub(crate) fn begin(&self, device_id: &DeviceId, user_id: &UserId, since: Option<&str>) {
        let entry = self.entry(device_id, user_id);
        let mut entry = entry.lock();
        let events: usize = entry.sent.values().map(HashMap::len).sum();
        if since.is_none() || entry.token.as_deref() != since || events > EVENTS {
            entry.sent.clear();
        }
    }

    /// Notes that a sync was answered, with its token.
    pub(crate) fn finish(&self, device_id: &DeviceId, user_id: &UserId, token: String) {
        self.entry(device_id, user_id).lock().token = Some(token);
    }

    /// Notes that the device begins a room anew, without what it had of it.
    pub(crate) fn forget_room(&self, device_id: &DeviceId, user_id: &UserId, room_id: &OwnedRoomId) {
        self.entry(device_id, user_id).lock().sent.remove(room_id);
    }

    /// Notes a member event. Returns false if the device has it already.
    pub(crate) fn note(
        &self,
        device_id: &DeviceId,
        user_id: &UserId,
        room_id: &OwnedRoomId,
        member: &OwnedUserId,
        event_id: &OwnedEventId,
    ) -> bool {
        let entry = self.entry(device_id, user_id);
        let mut entry = entry.lock();
        let of_room = entry.sent.entry(room_id.clone()).or_default();
        let before = of_room.insert(member.clone(), event_id.clone());
        before.as_ref() != Some(event_id)
    }
}
