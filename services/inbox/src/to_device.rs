//! Messages to devices: a stored queue for each device, emptied as the device acknowledges it.
//!
//! A long message to several devices of a user is stored once, and its rows in their queues point to it. It goes in the
//! write-set that removes the last of these rows.

use std::convert::Infallible;

use linkspan_storage::{
    Json, Position, Range, StorageError, Trailing, WriteSet,
    catalogue::{DeviceKey, ToDevice, ToDeviceBodies, ToDeviceBodyKey, ToDeviceBodyUses, ToDeviceKey},
    records::ToDeviceLabel,
};
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId};
use tokio::sync::mpsc;

use crate::{
    Inbox,
    tally::{Amount, HeldRoom, NoRoom, QueueLimits},
};

/// Messages that one sync hands over at most; the next one gets the rest.
const PAGE: usize = 100;
/// The bytes that these have together at most, but for those of one commit. A hundred room keys have a third of it.
const PAGE_BYTES: usize = 1 << 20;
/// What a message is taken to have that was stored before its size was noted, in bytes: as much as one may have.
const UNKNOWN_BYTES: usize = 64 << 10;
/// Rows that are removed at once at most.
const REMOVED_AT_ONCE: usize = 1_000;
/// Keys of a queue that are read at a time when a sender's oldest messages are looked for.
const LOOKED_AT_ONCE: usize = 10_000;
/// The bytes from which on a message to several devices is stored once. A shorter one is read with its row, and its
/// copies cost hardly more than pointers.
const SHARED_FROM_BYTES: usize = 1_024;

/// A message that waits for a device.
#[derive(Clone, Debug)]
pub struct ToDeviceMessage {
    /// Where it stands in the order of commits.
    pub position: Position,
    /// The event, JSON: `content`, `sender`, `type`.
    pub json: String,
}

/// Somebody sends messages to devices. It is begun before the devices are looked for, and ends when it is dropped, once
/// the messages are committed or will not be: a device that goes meanwhile has its queue emptied after that.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct SendingToDevices {
    inbox: Inbox,
    sender: OwnedUserId,
    held: Vec<HeldRoom>,
    /// How many rows were put.
    rows: u32,
    _under_way: UnderWay,
}

impl SendingToDevices {
    /// Keeps room for a message of so many bytes in the queue of a device; says whether there is that much.
    pub async fn hold_room(
        &mut self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        size_bytes: usize,
        limits: QueueLimits,
    ) -> Result<bool, StorageError> {
        let device = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        Ok(self.hold(&device, size_bytes as u64, limits).await?.is_ok())
    }

    /// The same, but the oldest messages of the same sender give way if these have used up the sender's share.
    pub async fn hold_or_make_room(
        &mut self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        size_bytes: usize,
        limits: QueueLimits,
    ) -> Result<bool, StorageError> {
        let device = DeviceKey { user_id: user_id.clone(), device_id: device_id.clone() };
        let size_bytes = size_bytes as u64;
        match self.hold(&device, size_bytes, limits).await? {
            Ok(()) => Ok(true),
            Err(NoRoom::Queue) => Ok(false),
            Err(NoRoom::OwnShare) => {
                self.inbox.remove_oldest_of(&device, &self.sender, size_bytes, limits.of_sender).await?;
                Ok(self.hold(&device, size_bytes, limits).await?.is_ok())
            }
        }
    }

    async fn hold(
        &mut self,
        device: &DeviceKey,
        size_bytes: u64,
        limits: QueueLimits,
    ) -> Result<Result<(), NoRoom>, StorageError> {
        let shared = &self.inbox.shared;
        let held = shared.tallies.hold(&shared.store, device, &self.sender, size_bytes, limits).await?;
        Ok(held.map(|held| self.held.push(held)))
    }

    /// Puts a message into the queues of these devices of a user. `json` is the event: `content`, `sender`, `type`.
    pub fn put(
        &mut self,
        writes: &mut WriteSet,
        user_id: &OwnedUserId,
        device_ids: Vec<OwnedDeviceId>,
        json: String,
    ) {
        let first = self.rows;
        let is_shared = device_ids.len() > 1 && json.len() >= SHARED_FROM_BYTES;
        let label = ToDeviceLabel {
            sender: self.sender.clone(),
            size_bytes: u32::try_from(json.len()).unwrap_or(u32::MAX),
            body: is_shared.then_some(first),
        };
        let mut in_row = Json(json);
        if is_shared {
            let body = std::mem::replace(&mut in_row, Json(String::new()));
            let key = ToDeviceBodyKey { user_id: user_id.clone(), position: Position::PENDING, index: first };
            writes.put::<ToDeviceBodies>(&key, &body);
            writes.put::<ToDeviceBodyUses>(&key, &(device_ids.len() as u64));
        }
        for device_id in device_ids {
            let (user_id, label) = (user_id.clone(), Trailing(Some(label.clone())));
            let (position, index) = (Position::PENDING, self.rows);
            let key = ToDeviceKey { user_id, device_id, position, index, label };
            writes.put::<ToDevice>(&key, &in_row);
            self.rows += 1;
        }
    }
}

/// What is sent just now. It is told apart by generations: all of one share a channel, which ends with the last of them.
#[derive(Debug)]
pub(crate) struct Sendings {
    present: Mutex<(UnderWay, mpsc::Receiver<Infallible>)>,
    /// Who waits for a generation has waited for all before it.
    turn: tokio::sync::Mutex<()>,
}

type UnderWay = mpsc::Sender<Infallible>;

impl Sendings {
    pub(crate) fn new() -> Self {
        Self { present: Mutex::new(mpsc::channel(1)), turn: tokio::sync::Mutex::default() }
    }

    fn begin(&self) -> UnderWay {
        self.present.lock().0.clone()
    }

    /// Waits until everything has ended that has begun.
    async fn ended(&self) {
        let _turn = self.turn.lock().await;
        let (sender, mut generation) = std::mem::replace(&mut *self.present.lock(), mpsc::channel(1));
        drop(sender);
        generation.recv().await;
    }
}

/// The body that a row points to.
fn body_of(key: &ToDeviceKey) -> Option<ToDeviceBodyKey> {
    let Trailing(label) = &key.label;
    let index = label.as_ref()?.body?;
    Some(ToDeviceBodyKey { user_id: key.user_id.clone(), position: key.position, index })
}

fn size_of(key: &ToDeviceKey) -> usize {
    let Trailing(label) = &key.label;
    label.as_ref().map_or(UNKNOWN_BYTES, |label| label.size_bytes as usize)
}

/// How many of the messages that wait are handed over at once. It ends where a commit ends, so that a position can stand
/// for what was handed over; a commit that is more than a page, which hardly has two messages for a device, goes whole.
fn page_length(keys: &[ToDeviceKey]) -> usize {
    let mut bytes = 0;
    let fits = keys.iter().take(PAGE).take_while(|key| {
        bytes += size_of(key);
        bytes <= PAGE_BYTES
    });
    let fits = fits.count();
    let Some(next) = keys.get(fits) else { return fits };
    match keys.partition_point(|key| key.position < next.position) {
        0 => keys.partition_point(|key| key.position <= next.position),
        whole => whole,
    }
}

impl Inbox {
    /// Begins to send messages of `sender` to devices.
    pub fn begin_sending(&self, sender: &OwnedUserId) -> SendingToDevices {
        SendingToDevices {
            inbox: self.clone(),
            sender: sender.clone(),
            held: Vec::new(),
            rows: 0,
            _under_way: self.shared.sendings.begin(),
        }
    }

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
        let (messages, complete) = self.to_device_after(user_id, device_id, Position::ZERO, until).await?;
        if messages.is_empty() && complete >= until {
            live.known.lock().found_queue_empty(device_id, until);
        }
        Ok((messages, complete))
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
        let range = || Range::<ToDevice>::between(first, (user_id, device_id, &until.next()));
        // The keys say how much it is, before anything of it is read.
        let mut keys = self.shared.store.keys(range().limit(PAGE + 1)).await?;
        let length = page_length(&keys);
        let is_all = length == keys.len() && length <= PAGE;
        keys.truncate(length);
        let Some(last) = keys.last() else { return Ok((Vec::new(), until)) };
        let rows = self.shared.store.range(range().up_to(last)).await?;
        let complete = if is_all { until } else { last.position };
        Ok((self.with_bodies(rows).await?, complete))
    }

    async fn with_bodies(
        &self,
        rows: Vec<(ToDeviceKey, Json)>,
    ) -> Result<Vec<ToDeviceMessage>, StorageError> {
        let bodies: Vec<_> = rows.iter().filter_map(|(key, _)| body_of(key)).collect();
        let texts = match bodies.is_empty() {
            true => Vec::new(),
            false => self.shared.store.get_many::<ToDeviceBodies>(&bodies).await?,
        };
        let mut texts = texts.into_iter();
        let messages = rows.into_iter().filter_map(|(key, in_row)| {
            let Json(json) = match body_of(&key) {
                // The device may just have acknowledged it with another request.
                Some(_) => texts.next().flatten()?,
                None => in_row,
            };
            Some(ToDeviceMessage { position: key.position, json })
        });
        Ok(messages.collect())
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
        self.remove_up_to(user_id, device_id, position).await.map(drop)
    }

    /// Removes all messages to a device that is gone. What is being sent to it is waited for.
    pub async fn empty_queue(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
    ) -> Result<(), StorageError> {
        self.shared.sendings.ended().await;
        let now = self.now().position;
        while self.remove_up_to(user_id, device_id, now).await? == REMOVED_AT_ONCE {}
        Ok(())
    }

    /// Removes the first messages of a queue as far as they are not newer than `until`; says how many these were.
    async fn remove_up_to(
        &self,
        user_id: &OwnedUserId,
        device_id: &OwnedDeviceId,
        until: Position,
    ) -> Result<usize, StorageError> {
        let store = &self.shared.store;
        let range = || Range::<ToDevice>::between((user_id, device_id), (user_id, device_id, &until.next()));
        if store.keys(range().limit(1)).await?.is_empty() {
            return Ok(0);
        }
        store
            .update(async || {
                let keys = store.keys(range().limit(REMOVED_AT_ONCE)).await?;
                let mut writes = WriteSet::new();
                keys.iter().for_each(|key| writes.delete::<ToDevice>(key));
                self.let_go(&mut writes, &keys).await?;
                Ok((writes, keys.len()))
            })
            .await
    }

    /// Removes the oldest messages of a sender to a device: so much that there is room for so many bytes, and an eighth of
    /// the sender's share at least, because the queue is looked through for them.
    async fn remove_oldest_of(
        &self,
        device: &DeviceKey,
        sender: &OwnedUserId,
        size_bytes: u64,
        share: Amount,
    ) -> Result<(), StorageError> {
        let store = &self.shared.store;
        store
            .update(async || {
                let (mut oldest, mut bytes) = (Vec::new(), 0);
                let mut last = None;
                'look: loop {
                    let range = Range::<ToDevice>::prefix((&device.user_id, &device.device_id));
                    let keys = store.keys(range.after_last(last.as_ref()).limit(LOOKED_AT_ONCE)).await?;
                    let Some(newest) = keys.last().cloned() else { break };
                    for key in keys {
                        let is_enough = oldest.len() as u64 >= share.messages / 8 || bytes >= share.bytes / 8;
                        if is_enough && bytes >= size_bytes {
                            break 'look;
                        }
                        if key.label.0.as_ref().is_some_and(|label| label.sender == *sender) {
                            bytes += size_of(&key) as u64;
                            oldest.push(key);
                        }
                    }
                    last = Some(newest);
                }
                let mut writes = WriteSet::new();
                oldest.iter().for_each(|key| writes.delete::<ToDevice>(key));
                self.let_go(&mut writes, &oldest).await?;
                Ok::<_, StorageError>((writes, ()))
            })
            .await?;
        self.shared.tallies.forget(device);
        Ok(())
    }

    /// Takes the uses of these rows from the bodies that they point to, and removes those that nobody uses any more.
    async fn let_go(&self, writes: &mut WriteSet, keys: &[ToDeviceKey]) -> Result<(), StorageError> {
        // A message comes to each device once.
        let bodies: Vec<_> = keys.iter().filter_map(body_of).collect();
        let all_uses = self.shared.store.get_many::<ToDeviceBodyUses>(&bodies).await?;
        for (body, uses) in bodies.into_iter().zip(all_uses) {
            writes.expect_read::<ToDeviceBodyUses>(&body, uses.as_ref());
            match uses.unwrap_or(0).saturating_sub(1) {
                0 => {
                    writes.delete::<ToDeviceBodyUses>(&body);
                    writes.delete::<ToDeviceBodies>(&body);
                }
                left => writes.put::<ToDeviceBodyUses>(&body, &left),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use linkspan_storage::{Memory, Store};
    use tokio::task::JoinSet;

    use super::*;
    use crate::tally::Amount;

    const ROOM: QueueLimits = QueueLimits {
        of_sender: Amount { messages: 1_000, bytes: 1 << 30 },
        of_queue: Amount { messages: 1_000, bytes: 1 << 30 },
    };

    struct Scene {
        store: Store,
        inbox: Inbox,
        anna: OwnedUserId,
        bert: OwnedUserId,
    }

    impl Scene {
        fn new() -> Self {
            let store = Store::in_memory(Memory::new().expect("a store in memory opens"));
            let inbox = Inbox::new(store.clone(), 1);
            let user = |name: &str| format!("@{name}:one.localhost").try_into().expect("a user id");
            Self { store, inbox, anna: user("anna"), bert: user("bert") }
        }

        async fn send(&self, devices: &[&str], json: &str) {
            let mut sending = self.inbox.begin_sending(&self.bert);
            let devices: Vec<_> = devices.iter().map(|name| device(name)).collect();
            for device_id in &devices {
                let held = sending.hold_room(&self.anna, device_id, json.len(), ROOM).await;
                assert!(held.expect("the keys are read"));
            }
            let mut writes = WriteSet::new();
            sending.put(&mut writes, &self.anna, devices, json.to_owned());
            self.store.commit(writes).await.expect("it is committed");
        }

        async fn page(&self, name: &str, since: Position) -> (Vec<String>, Position) {
            let until = self.store.position();
            let page = self.inbox.to_device_after(&self.anna, &device(name), since, until).await;
            let (messages, complete) = page.expect("the queue is read");
            (messages.into_iter().map(|message| message.json).collect(), complete)
        }

        async fn acknowledge(&self, name: &str) {
            let (device_id, now) = (device(name), self.store.position());
            let acknowledged = self.inbox.acknowledge_to_device(&self.anna, &device_id, now);
            acknowledged.await.expect("it is committed");
        }

        /// How many rows, bodies, and counts of their uses there are.
        async fn stored(&self) -> (usize, usize, usize) {
            let rows = self.store.keys::<ToDevice>(Range::all()).await.expect("they are read");
            let bodies = self.store.keys::<ToDeviceBodies>(Range::all()).await.expect("they are read");
            let uses = self.store.keys::<ToDeviceBodyUses>(Range::all()).await.expect("they are read");
            (rows.len(), bodies.len(), uses.len())
        }
    }

    fn device(name: &str) -> OwnedDeviceId {
        name.into()
    }

    #[tokio::test]
    async fn a_long_message_is_stored_once_until_the_last_device_has_it() {
        let scene = Scene::new();
        let long = format!("\"{}\"", "x".repeat(SHARED_FROM_BYTES));
        scene.send(&["PHONE", "LAPTOP"], &long).await;
        scene.send(&["PHONE", "LAPTOP"], "1").await;
        scene.send(&["PHONE"], &long).await;
        assert_eq!(scene.stored().await, (5, 1, 1));
        let all = [long.as_str(), "1", &long];
        assert_eq!(scene.page("PHONE", Position::ZERO).await.0, all);
        assert_eq!(scene.page("LAPTOP", Position::ZERO).await.0, all[..2]);
        scene.acknowledge("PHONE").await;
        assert_eq!(scene.stored().await, (2, 1, 1));
        assert_eq!(scene.page("LAPTOP", Position::ZERO).await.0, all[..2]);
        scene.inbox.empty_queue(&scene.anna, &device("LAPTOP")).await.expect("it is emptied");
        assert_eq!(scene.stored().await, (0, 0, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn devices_that_let_go_at_once_leave_nothing() {
        let scene = std::sync::Arc::new(Scene::new());
        let names: Vec<_> = (0..40).map(|number| format!("DEVICE{number}")).collect();
        let devices: Vec<_> = names.iter().map(String::as_str).collect();
        for _ in 0..5 {
            scene.send(&devices, &"x".repeat(SHARED_FROM_BYTES)).await;
        }
        let mut acknowledging = JoinSet::new();
        for name in names {
            // The client asks twice, as when it has not heard the answer.
            for _ in 0..2 {
                let (scene, name) = (scene.clone(), name.clone());
                acknowledging.spawn(async move { scene.acknowledge(&name).await });
            }
        }
        acknowledging.join_all().await;
        assert_eq!(scene.stored().await, (0, 0, 0));
    }

    #[tokio::test]
    async fn messages_of_before_are_handed_over_and_removed() {
        let scene = Scene::new();
        let (user_id, device_id) = (scene.anna.clone(), device("PHONE"));
        let key =
            ToDeviceKey { user_id, device_id, position: Position::PENDING, index: 0, label: Trailing(None) };
        let mut writes = WriteSet::new();
        writes.put::<ToDevice>(&key, &Json("\"old\"".into()));
        scene.store.commit(writes).await.expect("it is committed");
        scene.send(&["PHONE"], "\"new\"").await;
        assert_eq!(scene.page("PHONE", Position::ZERO).await.0, ["\"old\"", "\"new\""]);
        scene.acknowledge("PHONE").await;
        assert_eq!(scene.stored().await, (0, 0, 0));
    }

    #[tokio::test]
    async fn a_page_has_an_end_in_bytes() {
        let scene = Scene::new();
        let large = "x".repeat(60_000);
        for _ in 0..40 {
            scene.send(&["PHONE"], &large).await;
        }
        let (mut since, mut pages) = (Position::ZERO, Vec::new());
        while since < scene.store.position() {
            let (messages, complete) = scene.page("PHONE", since).await;
            pages.push(messages.len());
            since = complete;
        }
        assert_eq!(pages, [17, 17, 6]);
    }

    #[test]
    fn a_page_ends_where_a_commit_ends() {
        let key = |position, size_bytes| {
            let sender = "@bert:one.localhost".try_into().expect("a user id");
            let label = Trailing(Some(ToDeviceLabel { sender, size_bytes, body: None }));
            let user_id = "@anna:one.localhost".try_into().expect("a user id");
            let position = Position::from_u64(position);
            ToDeviceKey { user_id, device_id: device("PHONE"), position, index: 0, label }
        };
        let page = PAGE_BYTES as u32;
        assert_eq!(page_length(&[]), 0);
        assert_eq!(page_length(&[key(1, page), key(2, 1)]), 1);
        assert_eq!(page_length(&[key(1, 1), key(2, page - 1), key(2, 1), key(3, 1)]), 1);
        assert_eq!(page_length(&[key(1, page), key(1, page), key(2, 1)]), 2);
        let many: Vec<_> = (0..PAGE as u64 + 1).map(|position| key(position, 1)).collect();
        assert_eq!(page_length(&many), PAGE);
    }

    #[tokio::test]
    async fn what_is_being_sent_to_a_device_that_goes_is_waited_for() {
        let scene = Scene::new();
        let mut sending = scene.inbox.begin_sending(&scene.bert);
        let phone = device("PHONE");
        let mut emptying = Box::pin(scene.inbox.empty_queue(&scene.anna, &phone));
        assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut emptying).await.is_err());
        let mut writes = WriteSet::new();
        sending.put(&mut writes, &scene.anna, vec![phone.clone()], "1".into());
        scene.store.commit(writes).await.expect("it is committed");
        // What begins now knows that the device is gone, and is not waited for.
        let later = scene.inbox.begin_sending(&scene.bert);
        drop(sending);
        emptying.await.expect("it is emptied");
        drop(later);
        assert_eq!(scene.stored().await, (0, 0, 0));
    }
}
